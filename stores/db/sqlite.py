"""SQLite in one file: reads in the loop, writes through one thread that commits many at once.

A read by key takes microseconds, less than handing it to a thread would. A write waits for the disk, so it never runs
in the loop but in the thread of stores/db/sqlite_writer.py. Lists are read in a third thread, one at a time.
"""

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from stores.db.copies import put_copy_aside
from stores.db.promise import BROWSE_SECONDS, MOST_BROWSING, WRITE_SECONDS, Script, T
from stores.db.reserve import Reserve
from stores.db.schema import NEWEST, UPKEEP, check_version
from stores.db.sqlite_writer import Job, NoRoom, Writer, kind, no_room, refuses_to_write, trouble
from stores.db.statements import Dialect, Query, Row, history
from stores.errors import StoreFull, StoreTrouble, UsersAway, WrongSchema

_BUSY_MILLISECONDS = 1_000  # another process of ours may hold the write lock for a moment
_COMMIT_SECONDS = 1.5  # for what has begun when its time is over: it cannot be taken back
_CACHE_KIB = 1024  # of lists and writers; more is no faster: what others write empties it, and the system has the file
_DAMAGED = {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}


def trouble_at_start(error: sqlite3.Error, path: Path) -> StoreTrouble:
    """`trouble` before anything is served, when a damaged file ends the start and the file is named."""
    if kind(error) in _DAMAGED:
        return WrongSchema(f"{path} is damaged ({error}): restore a backup; nothing was changed")
    if no_room(error):
        return NoRoom(f"{path} cannot be written, the disk is full: {error}")
    if refuses_to_write(error):
        return StoreFull(f"{path} cannot be written: {error}")
    return UsersAway(f"{path} cannot be used now: {error}")


class _Lists:
    """A connection that only reads, in a thread of its own, for statements that would hold up the loop."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._thread = ThreadPoolExecutor(1, "sqlite-lists")
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._closing = False

    async def read(self, query: Query) -> list[Row]:
        """The rows; gives up after a while, and then the statement has ended before the next begins."""
        if self._waiting >= MOST_BROWSING:
            raise UsersAway("too many lists are waiting")
        self._waiting += 1
        try:
            async with asyncio.timeout(BROWSE_SECONDS), self._turn:
                return await self._run(query)
        except TimeoutError:
            raise UsersAway("a list took too long") from None
        except sqlite3.Error as error:
            raise trouble(error) from error
        finally:
            self._waiting -= 1

    async def _run(self, query: Query) -> list[Row]:
        if self._closing:
            raise UsersAway("the database is closed")
        text, values = query.bound("sqlite")
        running = asyncio.ensure_future(
            asyncio.get_running_loop().run_in_executor(
                self._thread, lambda: self._connection.execute(text, values).fetchall()
            )
        )
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await self._interrupt(running)
            if not running.cancelled():
                running.exception()  # looked at, or the loop would complain that nobody did
            raise

    async def close(self) -> None:
        """Ends what runs, then the thread and the connection."""
        self._closing = True
        await self._interrupt(asyncio.ensure_future(asyncio.to_thread(self._thread.shutdown)))
        self._connection.close()

    async def _interrupt(self, until: "asyncio.Future[Any]") -> None:
        """Again and again: a statement that has not begun yet cannot be interrupted."""
        while not until.done():
            self._connection.interrupt()
            await asyncio.wait([until], timeout=0.01)


class Sqlite:
    """The embedded engine. One instance belongs to one event loop."""

    dialect: Dialect = "sqlite"

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reserve = Reserve(path)
        self._writer: Writer | None = None
        self._reader: sqlite3.Connection | None = None
        self._writers: tuple[sqlite3.Connection, ...] = ()
        self._lists: _Lists | None = None

    @property
    def answers(self) -> bool:
        """A file is always there to be asked; each call tells for itself."""
        return True

    @property
    def full(self) -> bool:
        """See Database.full."""
        return self._reserve.in_use

    async def start(self) -> None:
        """Opens the file, for the thread as well, so that what fails there fails the start.

        Raises WrongSchema when it is missing, empty, no database, or of another version; UsersAway when it is locked.
        """
        if not self.path.exists():
            raise WrongSchema(f"there is no database at {self.path}: start the server once, or run 'upgrade'")
        self._make_file()  # refuses an empty one; opening it would fill it, and hide that something was lost
        with contextlib.ExitStack() as opened:
            reader, lists, durable, relaxed = (
                opened.enter_context(contextlib.closing(self._open(synchronous)))
                for synchronous in ("NORMAL", "NORMAL", "FULL", "NORMAL")
            )
            with self._start_troubles():
                check_version(_version(reader))
                reader.execute("PRAGMA query_only = ON")
                lists.execute("PRAGMA query_only = ON")
                for each in (lists, durable, relaxed):
                    each.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            opened.pop_all()
        self._reader, self._writers = reader, (durable, relaxed)
        self._lists = _Lists(lists)
        self._writer = Writer(durable, relaxed, self._reserve)

    async def upgrade(self) -> list[int]:
        """Applies every version that is missing, each in one transaction, after a copy of the file was put aside."""
        self._make_file()
        with contextlib.closing(self._open("FULL")) as connection, self._start_troubles():
            return _apply_history(connection, self.path)

    async def ping(self) -> None:
        """Returns when the file can be read."""
        await self.read(UPKEEP["schema_version"]())

    async def about(self) -> dict[str, str]:
        """See Database.about."""
        return {"version": sqlite3.sqlite_version}

    async def read(self, query: Query) -> list[Row]:
        """See Database.read. Runs in the loop: for statements that an index answers."""
        if self._reader is None:
            raise UsersAway("the database is not open")
        text, values = query.bound("sqlite")
        try:
            return self._reader.execute(text, values).fetchall()
        except sqlite3.Error as error:
            raise trouble(error) from error

    async def browse(self, query: Query) -> list[Row]:
        """See Database.browse."""
        if self._lists is None:
            raise UsersAway("the database is not open")
        return await self._lists.read(query)

    async def write(self, make: Callable[[], Script[T]], *, durable: bool = True, from_reserve: bool = False) -> T:
        """See Database.write."""
        if self._writer is None:
            raise UsersAway("the database is not open")
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        job = Job(make, durable, from_reserve, answer)
        self._writer.put(job)
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                return await asyncio.shield(answer)
        except TimeoutError:
            if job.give_up():
                raise UsersAway("the disk did not answer in time") from None
        except asyncio.CancelledError:
            job.give_up()
            raise
        try:
            async with asyncio.timeout(_COMMIT_SECONDS):
                return await answer
        except TimeoutError:
            raise UsersAway("the disk did not answer in time; what was begun may still be done") from None

    async def close(self) -> None:
        """Lets the thread finish what it accepted, then closes the file."""
        if self._writer is not None:
            await asyncio.to_thread(self._writer.finish)
            self._writer = None
        for connection in self._writers:
            connection.close()
        self._writers = ()
        if self._lists is not None:
            await self._lists.close()
            self._lists = None
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _make_file(self) -> None:
        """An empty file that only its owner can read; SQLite gives its side files the same mode."""
        if self.path.exists():
            if self.path.stat().st_size == 0:
                raise WrongSchema(f"{self.path} is empty, which no database is: restore a backup, or remove the file")
            if self.path.stat().st_mode & 0o077:
                raise WrongSchema(f"{self.path} can be read by others: run chmod 600 {self.path}")
            return
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))

    def _open(self, synchronous: str) -> sqlite3.Connection:
        """A connection; a server must be able to start on a full disk, and the files beside a database need room."""
        while True:
            try:
                return self._opened(synchronous)
            except NoRoom:
                if not self._reserve.give():
                    raise

    def _opened(self, synchronous: str) -> sqlite3.Connection:
        with self._start_troubles(), contextlib.ExitStack() as opened:
            # The loop's thread opens and closes them all; in between each is used by one thread alone.
            connection = sqlite3.connect(
                self.path, isolation_level=None, timeout=_BUSY_MILLISECONDS / 1000, check_same_thread=False
            )
            opened.enter_context(contextlib.closing(connection))
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {synchronous}")
            connection.execute("PRAGMA schema_version").fetchone()  # the first look at the file makes those beside it
            opened.pop_all()
        return connection

    @contextlib.contextmanager
    def _start_troubles(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise trouble_at_start(error, self.path) from None


def _version(connection: sqlite3.Connection) -> int:
    """The version of the schema; 0 where there is none yet."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'schema_version'").fetchone():
        return 0
    return int(connection.execute(UPKEEP["schema_version"].text["sqlite"]).fetchone()[0])


def _apply_history(connection: sqlite3.Connection, path: Path) -> list[int]:
    found = _version(connection)
    if found > NEWEST:
        check_version(found)
    missing = {number: parts for number, parts in history("sqlite").items() if number > found}
    if missing and found:
        put_copy_aside(connection, path.with_name(f"{path.name}.before-version-{max(missing)}"))
    for number, parts in missing.items():
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            for part in parts:
                connection.execute(part)
            values = {"version": number, "now": int(time.time())}
            connection.execute(UPKEEP["note_version"].text["sqlite"], values)
    return list(missing)
