"""One server at a time on one embedded database: a lock that the operating system lets go when the process ends."""

import fcntl
import os
from pathlib import Path


class AlreadyServed(Exception):
    """Another process serves this database; its text names it by pid."""


class DataLock:
    """Held from `take` until `release` or the end of the process, however it ends."""

    def __init__(self, database: Path) -> None:
        """The lock lies beside the file it guards, so that two servers with different DATA_DIRs meet at it."""
        self._database = database.resolve()
        self._path = self._database.with_name(f"{self._database.name}.lock")
        self._file: int | None = None

    def take(self) -> None:
        """Raises AlreadyServed."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            pid = os.read(file, 20).decode("ascii", "replace").strip() or "unknown"
            os.close(file)
            raise AlreadyServed(f"{self._database} is served by another process already, pid {pid}") from None
        os.ftruncate(file, 0)
        os.write(file, f"{os.getpid()}\n".encode("ascii"))
        self._file = file

    def release(self) -> None:
        """Lets go."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
