"""Whether a database is of the version that this program needs."""

import re

from stores.db.statements import history, load
from stores.errors import WrongSchema

UPKEEP = load("upkeep.sql")
NEWEST = max(history("sqlite"))
_MAKES = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+)")
# In the order in which they are made.
TABLE_NAMES = [found[1] for parts in history("sqlite").values() for part in parts if (found := _MAKES.match(part))]


def check_version(found: int) -> None:
    """Raises WrongSchema unless `found` is the version of this program."""
    if found > NEWEST:
        raise WrongSchema(
            f"the database is of version {found}, newer than this program's {NEWEST}: start the newer program, "
            "or restore a backup made before the upgrade"
        )
    if found < NEWEST:
        raise WrongSchema(
            f"the database is of version {found}, this program needs {NEWEST}: run 'upgrade', or set AUTO_UPGRADE"
        )
