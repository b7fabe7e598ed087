"""Room on the disk that is taken while there is some, and let go for what must work on a full one.

SQLite needs room even to delete. So a file beside the database takes a few MiB, and is cut shorter when a write finds
no room: into that goes what ends something, and what operators do. While the file is in use it has another name, which
every process on the same database sees; what can wait is refused until it is whole again.
"""

import contextlib
import os
from pathlib import Path

MOST_BYTES = 8 * 2**20
_SHARE = 16  # of the disk at the most, so that a small one is not taken up by it
_PARTS = 4
_PAGE = 4096


class Reserve:
    """The file `NAME.reserve` beside a database, `NAME.reserve-in-use` while the disk is full."""

    def __init__(self, database: Path) -> None:
        self.path = database.with_name(f"{database.name}.reserve")
        self.in_use_path = database.with_name(f"{database.name}.reserve-in-use")

    @property
    def in_use(self) -> bool:
        """Whether the disk was found full and has not had room since. Never where no file could be made."""
        return self.in_use_path.exists()

    def use(self) -> None:
        """Tells all processes that the disk is full."""
        with contextlib.suppress(OSError):
            self.path.rename(self.in_use_path)

    def give(self) -> bool:
        """Lets a part of the room go; False when nothing is left."""
        self.use()
        try:
            held = self.in_use_path.stat().st_size
            os.truncate(self.in_use_path, max(0, held - _part(self._wanted())))
        except OSError:
            return False
        return held > 0

    def fill(self) -> bool:
        """Takes what is missing, when the disk has room for that and for a part besides; gives whether it is whole."""
        in_use = self.in_use
        path = self.in_use_path if in_use else self.path
        try:
            wanted, held = self._wanted(), path.stat().st_size if path.exists() else 0
            if held >= wanted and not in_use:
                return True
            if self._free() < wanted - held + _part(wanted) or not _take(path, wanted):
                return False
            path.rename(self.path)
        except OSError:
            return False
        return True

    def _wanted(self) -> int:
        """Bytes in whole pages."""
        disk = os.statvfs(self.path.parent)
        return min(MOST_BYTES, disk.f_blocks * disk.f_frsize // _SHARE // _PAGE * _PAGE)

    def _free(self) -> int:
        disk = os.statvfs(self.path.parent)
        return disk.f_bavail * disk.f_frsize


def _part(wanted: int) -> int:
    return max(_PAGE, wanted // _PARTS)


def _take(path: Path, wanted: int) -> bool:
    """Makes or lengthens a file; leaves it as it was when that does not go."""
    held = path.stat().st_size if path.exists() else None
    with os.fdopen(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600), "r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, max(wanted, held or 0))
        except OSError:  # somebody was faster, or a quota is used up
            file.truncate(held or 0)
            if held is None:
                path.unlink(missing_ok=True)
            return False
    return True
