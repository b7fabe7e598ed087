"""What the process does not need any more goes back to the system while it runs."""

import asyncio
import subprocess
import sys

import pytest
from patience import until
from product import ROOT

import memory

MIB = 1024 * 1024


def in_holes() -> tuple[int, int]:
    """Take 60 MiB in pieces, let go of every second one; give how many are kept, and how many MiB are back."""
    memory.give_back_what_is_large()
    pieces = [bytes([n % 250 + 1]) * 20_000 for n in range(3_000)]
    del pieces[::2]
    before = memory.of_this_process()

    async def run() -> None:
        giving = asyncio.create_task(memory.give_back_what_is_small())
        await until(lambda: memory.of_this_process() < before - 10 * MIB)
        giving.cancel()

    asyncio.run(run())
    return len(pieces), (before - memory.of_this_process()) // MIB


@pytest.mark.quick
def test_pages_between_others_go_back() -> None:
    run = "import sys; sys.path[:0] = sys.argv[1:]; import test_memory; print(*test_memory.in_holes())"
    command = [sys.executable, "-c", run, str(ROOT), str(ROOT / "tests")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    kept, mib = map(int, done.stdout.split())
    assert (kept, mib >= 10) == (1_500, True)
