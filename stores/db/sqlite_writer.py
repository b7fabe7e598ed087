"""The one thread that writes to SQLite: it commits everything that waits at once, and only then answers.

On a full disk what may use the reserve is tried again in the room that it gives, and all else is refused.
"""

import asyncio
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from stores.db.promise import Script
from stores.db.reserve import Reserve
from stores.db.statements import Result
from stores.errors import StoreFull, StoreTrouble, UsersAway

log = logging.getLogger("menshen.store")

MOST_WAITING = 5_000
MOST_IN_ONE_COMMIT = 256
_LOOK_SECONDS = 1.0  # between two looks whether the reserve is whole
_REFUSES_TO_WRITE = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY}
# The second is what a quota gives, or a limit on the size of a file; the third a side file that cannot grow.
_NO_ROOM = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE}


class NoRoom(StoreFull):
    """The disk is full."""


@dataclass(eq=False)
class Job:
    """One script on its way through the thread. `from_reserve`: it is done on a full disk too.

    Whoever waits for it may give it up until the thread begins with it. One of the two comes first and the other sees
    that: what was said to have failed is never done afterwards.
    """

    make: Callable[[], Script[Any]]
    durable: bool
    from_reserve: bool
    answer: asyncio.Future[Any]
    _begun: bool = field(default=False, init=False)
    _first: threading.Lock = field(default_factory=threading.Lock, init=False)  # taken by the one who comes first

    def give_up(self) -> bool:
        """For the loop: whether that came in time, and then there will be no answer."""
        in_time = self._first.acquire(blocking=False)
        if in_time:
            self.answer.cancel()
        return in_time

    def begin(self) -> bool:
        """For the thread, which may begin anew: whether it may still be done."""
        self._begun = self._begun or self._first.acquire(blocking=False)
        return self._begun


def kind(error: sqlite3.Error) -> int:
    """https://www.sqlite.org/rescode.html: the low byte is the kind, the rest only details."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def refuses_to_write(error: sqlite3.Error) -> bool:
    """Whether it can still be read."""
    return kind(error) in _REFUSES_TO_WRITE or no_room(error)


def no_room(error: sqlite3.Error) -> bool:
    """Whether the disk is full."""
    return getattr(error, "sqlite_errorcode", 0) in _NO_ROOM


def trouble(error: sqlite3.Error) -> StoreTrouble:
    """Our word for an error of SQLite, whose own texts name tables and columns and no value."""
    if no_room(error):
        return NoRoom(f"SQLite has no room: {error}")
    if refuses_to_write(error):
        return StoreFull(f"SQLite cannot write: {error}")
    if kind(error) not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        log.error("SQLite: %s", error)
    return UsersAway(f"SQLite did not do it: {error}")


class Writer:
    """The thread, with the two connections that are its own while it runs."""

    def __init__(self, durable: sqlite3.Connection, relaxed: sqlite3.Connection, reserve: Reserve) -> None:
        self._connections = durable, relaxed
        self._reserve = reserve
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._look_at = time.monotonic() + _LOOK_SECONDS
        self._full = reserve.in_use and not reserve.fill()  # there may be room since the last process ended
        self._thread = threading.Thread(target=self._write_on, name="sqlite-writer", daemon=True)
        self._thread.start()

    def put(self, job: Job) -> None:
        """To be committed in its turn. Raises UsersAway when too many wait.

        Counted here and not by the queue: a full one would also hold up the word to stop, and the loop with it.
        """
        if self._jobs.qsize() >= MOST_WAITING:
            raise UsersAway("too many writes are waiting")
        self._jobs.put(job)

    def finish(self) -> None:
        """Waits until all that was accepted is done and the thread has ended."""
        self._jobs.put(None)
        self._thread.join()

    def _write_on(self) -> None:
        stop = False
        while not stop:
            batch, stop = self._waiting()
            for connection, wanted in zip(self._connections, (True, False), strict=True):
                jobs = [job for job in batch if job.durable is wanted and not job.answer.cancelled()]
                if jobs:
                    self._do(connection, jobs)
            if time.monotonic() >= self._look_at:
                self._look_at_reserve()

    def _waiting(self) -> tuple[list[Job], bool]:
        """Everything that waits now, at least one job or the word to stop; nothing when nothing came for a while."""
        batch: list[Job] = []
        try:
            job = self._jobs.get(timeout=_LOOK_SECONDS)
            while job is not None:
                batch.append(job)
                if len(batch) == MOST_IN_ONE_COMMIT:
                    return batch, False
                job = self._jobs.get_nowait()
        except queue.Empty:
            return batch, False
        return batch, True

    def _do(self, connection: sqlite3.Connection, jobs: list[Job]) -> None:
        """Commits and answers them; on a full disk again, in more room each time, those that cannot wait for some."""
        if self._reserve.in_use:
            jobs = _refuse_what_can_wait(jobs)
        room = self._rooms(connection)
        while jobs:
            outcomes = _commit(connection, jobs)
            without_room = [isinstance(outcome, NoRoom) for outcome in outcomes]
            if any(without_room):
                self._say_it_is_full()
            again = [job for job, without in zip(jobs, without_room, strict=True) if without and job.from_reserve]
            if not again or not next(room, False):
                _deliver(jobs, outcomes)
                return
            done = [n for n, job in enumerate(jobs) if job not in again]
            _deliver([jobs[n] for n in done], [outcomes[n] for n in done])
            jobs = again

    def _rooms(self, connection: sqlite3.Connection) -> Iterator[bool]:
        """Makes room, more each time: first in the log, whose pages are written over once the file has them, then out
        of the reserve. So a part of it is spent on what makes the database larger, and not on each commit.
        """
        _checkpoint(connection)
        yield True
        while self._reserve.give():
            _checkpoint(connection)
            yield True

    def _say_it_is_full(self) -> None:
        self._reserve.use()
        self._look_at = time.monotonic() + _LOOK_SECONDS
        if not self._full:
            log.error("the disk is full: nobody can log in; who is in stays in, and can be put out")
        self._full = True

    def _look_at_reserve(self) -> None:
        self._look_at = time.monotonic() + _LOOK_SECONDS
        if self._reserve.fill() and self._full:
            self._full = False
            log.warning("the disk has room again")


def _refuse_what_can_wait(jobs: list[Job]) -> list[Job]:
    """Gives those that may use the reserve."""
    refused = [job for job in jobs if not job.from_reserve]
    _deliver(refused, [NoRoom("the disk is full") for _ in refused])
    return [job for job in jobs if job.from_reserve]


def _checkpoint(connection: sqlite3.Connection) -> None:
    """Brings the log into the file and lets it begin anew, as far as the disk and other readers let it."""
    try:
        connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
    except sqlite3.Error as error:
        log.debug("no checkpoint: %s", error)


def _commit(connection: sqlite3.Connection, jobs: list[Job]) -> list[Any]:
    """Plays the jobs in one transaction; gives the outcome of each once the commit holds, or for all the trouble."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        outcomes = [_play_apart(connection, job) for job in jobs]
        connection.execute("COMMIT")
    except Exception as error:  # whatever it was, the thread goes on: without it nothing is ever written again
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if not isinstance(error, sqlite3.Error):
            log.exception("a script went wrong")
        return [trouble(error) if isinstance(error, sqlite3.Error) else UsersAway()] * len(jobs)
    return outcomes


def _play_apart(connection: sqlite3.Connection, job: Job) -> Any:
    """One script within a savepoint: what it returned, or the exception that undid it."""
    if not job.begin():
        return UsersAway("it was given up")
    connection.execute("SAVEPOINT job")
    try:
        outcome = _play(connection, job.make())
    except Exception as error:
        if not connection.in_transaction:
            raise  # a full disk makes SQLite undo the whole transaction: nobody's part of it holds
        connection.execute("ROLLBACK TO job")
        outcome = trouble(error) if isinstance(error, sqlite3.Error) else error
    connection.execute("RELEASE job")
    return outcome


def _play(connection: sqlite3.Connection, script: Script[Any]) -> Any:
    try:
        query = next(script)
        while True:
            text, values = query.bound("sqlite")
            done = connection.execute(text, values)
            query = script.send(Result(done.fetchall(), max(done.rowcount, 0)))
    except StopIteration as end:
        return end.value


def _deliver(jobs: Sequence[Job], outcomes: Sequence[Any]) -> None:
    def hand_over() -> None:
        for job, outcome in zip(jobs, outcomes, strict=True):
            if job.answer.done():
                continue
            if isinstance(outcome, Exception):
                job.answer.set_exception(outcome)
            else:
                job.answer.set_result(outcome)

    if not jobs:
        return
    try:
        jobs[0].answer.get_loop().call_soon_threadsafe(hand_over)
    except RuntimeError:
        log.debug("the loop ended before %d writes could be answered", len(jobs))
