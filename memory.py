"""The memory of this process: what is free goes back to the system, what stays is left alone by the collector."""

import asyncio
import contextlib
import ctypes
import gc
import os
from pathlib import Path

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h
_LARGE_BYTES = 256 * 1024
_LOOK_SECONDS = 10.0
_WORTH_BYTES = 2 * 1024 * 1024


def give_back_what_is_large() -> None:
    """What is large goes back to the system once it is free.

    Left to itself glibc takes the largest piece that was ever freed, here the 19 MiB of a password's hash, for what is
    usual and keeps as much for the next one; and it keeps a store for each thread, of which only one ever runs
    (mallopt(3)). Other C libraries have nothing to set.
    """
    with contextlib.suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _LARGE_BYTES)
        mallopt(_M_ARENA_MAX, 1)


def leave_to_the_collector_what_comes() -> None:
    """What was made up to now stays to the end: the collector does not walk through it again.

    It holds everybody up meanwhile, and most of what it would find each time are our own modules.
    """
    gc.collect()
    gc.freeze()


async def give_back_what_is_small() -> None:
    """Whenever the process has grown, the free pages between others go back too (malloc_trim(3)). Does not end.

    It took 3 to 8 ms for 30 MiB, so a thread does it, and never without need.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    kept = 0
    while trim:
        if of_this_process() > kept + _WORTH_BYTES:
            await asyncio.to_thread(trim, 0)
            kept = of_this_process()
        await asyncio.sleep(_LOOK_SECONDS)


def of_this_process() -> int:
    """Bytes that are in RAM; 0 where the system does not say."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0
