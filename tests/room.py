"""Where the tests keep their files: in memory where there is room for them.

A disk that others use too is now and then silent for longer than the product waits for a store, and then a test meets
503 that was to see something else.
"""

import os
import re
import tempfile
from pathlib import Path

_MEMORY = Path("/dev/shm")  # noqa: S108  # mkdtemp makes folders in it that nobody else reads
_NEEDED = 6 << 30  # bytes; a whole run leaves about 1.3 GiB at the most, and its servers and browsers take some too


def settle() -> None:
    """Let temporary files of this process and of those it starts lie in memory, unless TMPDIR says where."""
    if "TMPDIR" not in os.environ and _roomy():
        os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)


def _roomy() -> bool:
    if not os.access(_MEMORY, os.W_OK | os.X_OK):
        return False
    there = os.statvfs(_MEMORY)
    if there.f_flag & os.ST_NOEXEC:  # some tests build a library there and load it
        return False
    found = re.search(r"^MemAvailable: +(\d+) kB$", Path("/proc/meminfo").read_text("ascii"), re.MULTILINE)
    return found is not None and min(there.f_bavail * there.f_frsize, int(found[1]) << 10) >= _NEEDED
