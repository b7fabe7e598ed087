"""How many sessions hold in a mini program, counted when somebody wants to know and at most three times a minute.

With sessions in SQL a count walks along an index, which at a million sessions takes long enough to be shared.
"""

import asyncio
import time
from collections import defaultdict

import msgspec

from stores.errors import StoreTrouble
from stores.sessions import Sessions

COUNTED_SECONDS = 20.0  # a count younger than this is given again
KNOWN_SECONDS = 60.0  # while the store is away the last count is still shown for a minute


class _Count(msgspec.Struct, frozen=True):
    n: int
    counted: float  # by the monotonic clock


class ActiveSessions:
    """The counts of this process."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._counts: dict[str, _Count] = {}
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def count(self, appids: list[str], now: int) -> int | None:
        """How many hold in all of these; None when that is not known, because the store is away."""
        counts = [await self._count(appid, now) for appid in appids]
        known = [n for n in counts if n is not None]
        return sum(known) if len(known) == len(appids) else None

    async def _count(self, appid: str, now: int) -> int | None:
        async with self._turns[appid]:  # whoever waits here finds the count of the one before
            if (n := self._younger_than(COUNTED_SECONDS, appid)) is not None:
                return n
            try:
                n = await self._sessions.count(appid, now)
            except StoreTrouble:
                return self._younger_than(KNOWN_SECONDS, appid)
            self._counts[appid] = _Count(n, time.monotonic())
            return n

    def _younger_than(self, seconds: float, appid: str) -> int | None:
        last = self._counts.get(appid)
        return last.n if last and time.monotonic() - last.counted < seconds else None
