"""What every store of ours asks of a database, whichever of the two it is.

A *script* is a generator that yields queries and is sent their
results; it says once, for both databases, what happens inside one transaction:

    def rename(user_id: int, name: str) -> Script[bool]:
        done = yield SQL["rename_user"](id=user_id, name=name)
        return done.changed == 1

An exception raised in a script undoes its transaction and reaches the caller.
"""

from collections.abc import Callable, Generator
from typing import Protocol, TypeVar

from stores.db.statements import Dialect, Query, Result, Row

T = TypeVar("T")
Script = Generator[Query, Result, T]

READ_SECONDS = 1.5  # a login has 4 s in all; MySQL frozen must be noticed within 2 s
WRITE_SECONDS = 1.5
BROWSE_SECONDS = 3.0  # a person waits for a list, no phone does
MOST_BROWSING = 200  # a page asks for several lists, and one that waits is little more than its question


def all_of(*queries: Query) -> Callable[[], Script[int]]:
    """The script that runs these one after the other and gives how many rows the last of them changed."""

    def script() -> Script[int]:
        changed = 0
        for query in queries:
            changed = (yield query).changed
        return changed

    return script


class Database(Protocol):
    """What every store of ours asks of a database. All calls raise UsersAway or StoreFull, in bounded time."""

    dialect: Dialect

    async def read(self, query: Query) -> list[Row]:
        """The rows of one query, outside any transaction."""

    async def browse(self, query: Query) -> list[Row]:
        """As `read`, for statements of lists, which walk over more than a few rows: neither the loop nor the
        connections that logins need are theirs, so that they wait for each other and nobody for them.
        """

    async def write(self, make: Callable[[], Script[T]], *, durable: bool = True, from_reserve: bool = False) -> T:
        """Runs the script in a transaction and gives what it returns.

        `durable` promises that the outcome is on disk when this returns; without it the last moments may be lost to
        a power cut, which suits what nobody was told. `make` is called again when the database asks for a repeat.
        `from_reserve` is for what ends something, and for what operators do: it must work on a full disk too.
        """

    async def start(self) -> None:
        """Opens it. Raises WrongSchema or WrongCredentials; a MySQL that is merely away is no error."""

    async def ping(self) -> None:
        """Returns when the database answers and is of our version. Raises UsersAway, WrongSchema."""

    async def about(self) -> dict[str, str]:
        """How the engine is set up, by its own names in small letters; see actions/doctor.py. Raises UsersAway."""

    @property
    def answers(self) -> bool:
        """Whether the last call got an answer. While it did not, a probe asks again four times a second."""

    @property
    def full(self) -> bool:
        """Whether it was found to take nothing new; who can be told is told to make room."""

    async def upgrade(self) -> list[int]:
        """Brings the schema to this version; gives the versions that were applied."""

    async def close(self) -> None:
        """Finishes what was accepted and lets go."""
