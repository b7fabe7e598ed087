"""A long page is written in turns with everything else, and is the same page."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from handlers.pages import PageHandler

PIECES = 30


def laborious() -> Iterator[str]:
    """The pieces of a page of which each takes longer than a turn may."""
    for n in range(PIECES):
        until = time.perf_counter() + 0.001
        while time.perf_counter() < until:
            pass
        yield f"<p>{n}</p>"


@pytest.mark.quick
@pytest.mark.gen_test
async def test_others_have_a_turn_between_the_pieces_of_a_page_and_none_of_it_is_lost() -> None:
    page = PageHandler.__new__(PageHandler)
    page._page = laborious()
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    taking = asyncio.ensure_future(take_turns())
    await page.written_in_turns()
    taking.cancel()
    assert turns >= PIECES
    assert "".join(page._page) == "".join(f"<p>{n}</p>" for n in range(PIECES))
