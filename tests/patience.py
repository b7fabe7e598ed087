"""Waiting for what happens by itself, for twenty seconds at the most."""

import asyncio
from collections.abc import Awaitable, Callable

from phone import Answer

_PAUSE_SECONDS = 0.02
_MOST_LOOKS = 1000


async def until(condition: Callable[[], bool]) -> None:
    """Return when the condition holds; raises AssertionError when it does not come about."""
    for _ in range(_MOST_LOOKS):
        if condition():
            return
        await asyncio.sleep(_PAUSE_SECONDS)
    raise AssertionError("it did not come about")


async def until_not(status: int, ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """Ask again and again, and return the first answer of another status."""
    for _ in range(_MOST_LOOKS // 5):
        answer = await ask()
        if answer.status != status:
            return answer
        await asyncio.sleep(5 * _PAUSE_SECONDS)
    raise AssertionError(f"still {status}")
