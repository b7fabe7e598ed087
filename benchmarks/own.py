"""Stores that are there for one measurement: a SQLite, or a MariaDB and a Redis, in a folder that goes with them."""

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

# The servers of the tests serve here too.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from product import APPID, APPSECRET
from servers import MariaDB, RedisServer

SQLITE = "sqlite"


class _Pooled(MariaDB):
    """A MariaDB with a buffer pool of this size, as `128M`."""

    def __init__(self, folder: Path, pool: str) -> None:
        super().__init__(folder)
        self._pool = pool

    def command(self) -> Sequence[str]:
        """See MariaDB; of an option that is given twice the last counts."""
        return [*super().command(), f"--innodb-buffer-pool-size={self._pool}"]


@contextmanager
def own_stores(what: str) -> Iterator[Mapping[str, str]]:
    """The settings of empty stores: `sqlite`, or the size of MariaDB's buffer pool; all of it ends with the context."""
    with tempfile.TemporaryDirectory(prefix="menshen-own-") as name:
        folder = Path(name)
        settings = {"DATA_DIR": str(folder / "data"), "APPID": APPID, "APPSECRET": APPSECRET}
        settings["WECHAT_BASE"] = "http://127.0.0.1:1"  # nobody logs in here
        if what == SQLITE:
            yield _named(settings)
            return
        mariadb, redis = _Pooled(folder / "mariadb", what), RedisServer(folder / "redis")
        try:
            mariadb.start()
            redis.start()
            yield _named(settings | {"DATABASE": mariadb.database(), "SESSIONS": redis.url()})
        finally:
            redis.kill()
            mariadb.kill()


def _named(settings: Mapping[str, str]) -> dict[str, str]:
    return {f"MENSHEN_{name}": value for name, value in settings.items()}
