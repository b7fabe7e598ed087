"""Whole copies of the embedded database: made beside a running server, looked at, and put in its place.

A copy is one file that any SQLite opens. It is written under another name first, so that one that was interrupted never
passes for whole, and only its owner can read it.
"""

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from stores.db.schema import NEWEST, UPKEEP
from stores.db.statements import load
from stores.folders import sync_folder

_SESSIONS = load("sessions.sql")
_BACKUPS = load("backups.sql")
_SIDE_FILES = ("-wal", "-shm")
_BUSY_SECONDS = 10
_NICENESS = 10  # a tenth of the turns of whoever wants the same core: it still comes to an end on a busy machine
_STEPS = 1_000  # of SQLite's machine between two looks at the clock: some tenths of a millisecond
_AT_WORK_SECONDS, _LONGEST_REST_SECONDS = 0.005, 0.05
_UNSYNCED_BYTES = 4 * 2**20


class CopyFailed(Exception):
    """A copy was not made, or is none that can be used; its text says why. Nothing was changed."""


class Found(msgspec.Struct, frozen=True):
    """What must not go backwards when an older copy takes the place of a database."""

    version: int
    epochs: dict[str, int]
    last_user_id: int


class _Rests:
    """Lets everybody else go on: SQLite calls it while it copies or checks, and it rests as long as there was work."""

    def __init__(self, written: int | None = None) -> None:
        """`written` is the file that is being written: the disk gets it in pieces, and others need not wait for all."""
        self._written = written
        self._synced = 0
        self._began = time.monotonic()

    def __call__(self) -> int:
        """Gives 0, which is the word to go on."""
        worked = time.monotonic() - self._began
        if worked >= _AT_WORK_SECONDS:
            self._sync()
            time.sleep(min(worked, _LONGEST_REST_SECONDS))
            self._began = time.monotonic()
        return 0

    def _sync(self) -> None:
        if self._written is not None and (size := os.fstat(self._written).st_size) - self._synced >= _UNSYNCED_BYTES:
            os.fdatasync(self._written)
            self._synced = size


def put_copy_aside(connection: sqlite3.Connection, path: Path, *, gently: bool = False) -> None:
    """Copies the whole database of a connection under another name; what is there already stays as it is."""
    if path.exists():
        return
    draft = path.with_name(f"{path.name}.draft")
    draft.unlink(missing_ok=True)
    file = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        if gently:
            connection.set_progress_handler(_Rests(file), _STEPS)
        connection.execute("VACUUM INTO ?", (str(draft),))
        os.fsync(file)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    finally:
        os.close(file)
    draft.rename(path)
    sync_folder(path.parent)


def copy_whole(source: Path, target: Path, *, gently: bool = False) -> int:
    """Makes a copy as of this moment, while others read and write; gives its size in bytes. Raises CopyFailed.

    It gets its name when it was read through. `gently` is for a copy beside a server, in a thread of its own: it lets
    everything else of the machine go first, and rests as long as it works. It holds no lock that a writer waits for.
    """
    if target.exists():
        raise CopyFailed(f"{target} is there already, and a backup is never written over another")
    unread = target.with_name(f"{target.name}.unread")
    with _told(source, target):
        if gently:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)  # to Linux a thread is a process here
        unread.unlink(missing_ok=True)
        try:
            with contextlib.closing(_connection(source, "rw")) as connection:
                put_copy_aside(connection, unread, gently=gently)
            _check(unread, of=source, gently=gently)
            unread.rename(target)
        finally:
            unread.unlink(missing_ok=True)
        sync_folder(target.parent)
        return target.stat().st_size


def look_at(path: Path) -> Found:
    """Reads a copy through and says what it holds. Raises CopyFailed when it is damaged, or no database of ours."""
    if not path.is_file():
        raise CopyFailed(f"there is no file {path}")
    with _told(path):
        _check(path)
        found = _facts(path)
    if found.version > NEWEST:
        raise CopyFailed(f"{path} is of version {found.version}, newer than this program's {NEWEST}")
    return found


def look_at_old(path: Path) -> Found | None:
    """What the database holds that is about to be replaced; None when there is none, or it cannot be read."""
    if not path.exists():
        return None
    try:
        with _told(path):
            return _facts(path)
    except CopyFailed:
        return None


def put_in_place(draft: Path, path: Path, aside: Path) -> None:
    """Puts a finished draft where the database is, and what was there aside. Raises CopyFailed.

    There is a database under the name at every moment. The log of the old one goes first: SQLite would play it into
    the new one.
    """
    with _told(path):
        if path.exists():
            with contextlib.suppress(sqlite3.Error), contextlib.closing(_connection(path, "rw")) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            for ending in _SIDE_FILES:
                side = path.with_name(path.name + ending)
                if side.exists():
                    side.rename(aside.with_name(aside.name + ending))
            os.link(path, aside)
        os.replace(draft, path)
        sync_folder(path.parent)


def _facts(path: Path) -> Found:
    with contextlib.closing(_connection(path, "ro")) as connection:
        version = connection.execute(UPKEEP["schema_version"].text["sqlite"]).fetchone()[0]
        epochs = dict(connection.execute(_SESSIONS["epochs"].text["sqlite"]).fetchall())
        last = connection.execute(_BACKUPS["last_user_id"].text["sqlite"]).fetchone()[0]
    return Found(version, epochs, last)


def _check(path: Path, *, of: Path | None = None, gently: bool = False) -> None:
    """Raises CopyFailed when something is wrong in it; then that is said `of` what it was copied from."""
    with contextlib.closing(_connection(path, "ro")) as connection:
        if gently:
            connection.set_progress_handler(_Rests(), _STEPS)
        said = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if said != "ok":
        raise CopyFailed(f"{of or path} is damaged: {said}")


def _connection(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_BUSY_SECONDS)


@contextlib.contextmanager
def _told(*paths: Path) -> Iterator[None]:
    """Turns what the system and SQLite say into one sentence that names the file."""
    try:
        yield
    except OSError as error:
        raise CopyFailed(f"{error.filename or paths[-1]}: {error.strerror}") from None
    except sqlite3.Error as error:
        raise CopyFailed(f"{paths[-1]} cannot be used: {error}") from None
