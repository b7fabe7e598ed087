"""One server at a time on one embedded database: a lock that the operating system lets go when the process ends."""

import fcntl
import os
from pathlib import Path

FILE_NAME = "serve.lock"


class AlreadyServed(Exception):
    """Another process serves this data; its text names it by pid."""


class DataLock:
    """Held from `take` until `release` or the end of the process, however it ends."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
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
            raise AlreadyServed(f"{self._path.parent} is served by another process already, pid {pid}") from None
        os.ftruncate(file, 0)
        os.write(file, f"{os.getpid()}\n".encode("ascii"))
        self._file = file

    def release(self) -> None:
        """Lets go."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
