"""What is older than RETENTION_DAYS goes: a few rows at a time, behind everything else, and never a live session's row.

The audit is kept: its chain would not hold without its beginning.
"""

import logging
import time
from collections.abc import Awaitable, Callable

from actions.lifetime import Lifetime
from settings import Retention as Days
from stores.figures import HOUR_SECONDS, hour_of
from stores.leftovers import Leftovers, Place
from stores.sessions import Sessions

log = logging.getLogger("menshen.upkeep")

DAY_SECONDS = 86_400
BATCHES_AT_ONCE = 5
PAUSE_SECONDS = 3_600.0  # after everything old is gone
GRACE_SECONDS = 300.0  # nothing is deleted so soon after a start or a jump of the clock: it may be wrong
_A_JUMP_SECONDS = 60


class Retention:
    """The clocks of one process. Several processes may run them at once; what is gone is gone."""

    def __init__(
        self,
        days: Days,
        leftovers: Leftovers,
        sessions: Sessions,
        lifetime: Lifetime,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` gives seconds that never run backwards."""
        self._days = days
        self._leftovers = leftovers
        self._sessions = sessions
        self._lifetime = lifetime
        self._clock = clock
        self._offset: float | None = None
        self._waits_until = clock() + GRACE_SECONDS
        self._place = Place()
        self.jumped_seconds = 0  # how far the clock was moved so far, in either direction

    async def step(self, now: int) -> int:
        """Lets some of what is too old go; gives how many rows it looked at. `now` is epoch seconds.

        Raises UsersAway, SessionsAway, StoreFull.
        """
        if self._jumped(now) or self._clock() < self._waits_until:
            return 0
        parts = (self._forget_logins, self._mask_logins, self._forget_refused, self._mask_refused)
        seen = sum([await self._some(part, now) for part in (*parts, self._forget_events, self._forget_figures)])
        if not seen:
            self._place = Place()
            self._waits_until = self._clock() + PAUSE_SECONDS
        return seen

    def _jumped(self, now: int) -> bool:
        """Whether the wall clock moved against the one that cannot be set; then nothing is done for a while."""
        offset, self._offset = self._offset, now - self._clock()
        if offset is None or abs(self._offset - offset) < _A_JUMP_SECONDS:
            return False
        moved = round(self._offset - offset)
        log.error("the clock was moved by %+d s: nothing is deleted by age for a while", moved)
        self.jumped_seconds += abs(moved)
        self._waits_until = self._clock() + GRACE_SECONDS
        return True

    async def _some(self, part: Callable[[int], Awaitable[int]], now: int) -> int:
        seen = 0
        for _ in range(BATCHES_AT_ONCE):
            batch = await part(now)
            seen += batch
            if not batch:
                break
        return seen

    async def _forget_logins(self, now: int) -> int:
        """Rows beyond any life that a session can have; should one live on, under an older setting, its row stays."""
        oldest = max(self._days.logins * DAY_SECONDS, self._lifetime.longest_seconds)
        some = await self._leftovers.logins(now - oldest, self._place)
        if some:
            live = await self._sessions.holding([each.id for each in some], now)
            await self._leftovers.forget_logins([each.id for each in some if each.id not in live])
            self._place = some[-1]
        return len(some)

    async def _mask_logins(self, now: int) -> int:
        return await self._leftovers.mask_logins(now - self._days.addresses * DAY_SECONDS)

    async def _forget_refused(self, now: int) -> int:
        return await self._leftovers.forget_refused(now - self._days.refused * DAY_SECONDS)

    async def _mask_refused(self, now: int) -> int:
        return await self._leftovers.mask_refused(now - self._days.addresses * DAY_SECONDS)

    async def _forget_events(self, now: int) -> int:
        return await self._leftovers.forget_push_events(now - self._days.events * DAY_SECONDS)

    async def _forget_figures(self, now: int) -> int:
        return await self._leftovers.forget_figures(hour_of(now) - self._days.figures * DAY_SECONDS // HOUR_SECONDS)
