"""How many unknown tokens an address may try: guessing is slowed down, neighbours behind the same address are not.

Only tokens that open nothing and never did are counted, after the look-up; so whoever holds a good token is served even
while somebody at the same address is throttled. Counts are shared between processes a few times a second, so that a
guess costs no store a read.
"""

from collections import Counter

from stores.sessions import Sessions

WINDOW_SECONDS = 60
_MOST_ADDRESSES = 50_000


class TooManyUnknownTokens(Exception):
    """This address has tried too many tokens that were never issued; `retry_after_seconds` until its next minute."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__()
        self.retry_after_seconds = retry_after_seconds


class UnknownTokens:
    """The budget of each address in the minute at hand."""

    def __init__(self, sessions: Sessions, limit: int) -> None:
        """`limit` per address and minute, 0 for none."""
        self._sessions = sessions
        self._limit = limit
        self._window = 0
        self._known: Counter[str] = Counter()
        self._untold: Counter[str] = Counter()

    def count(self, address: str, now: int) -> None:
        """One more from this address. Raises TooManyUnknownTokens."""
        if not self._limit:
            return
        self._turn(now)
        if len(self._known) < _MOST_ADDRESSES or address in self._known:
            self._known[address] += 1
            self._untold[address] += 1
        if self._known[address] > self._limit:
            raise TooManyUnknownTokens(WINDOW_SECONDS - now % WINDOW_SECONDS)

    async def flush(self) -> None:
        """Adds this process's counts to those of the others. Raises SessionsAway, StoreFull."""
        untold, self._untold = self._untold, Counter()
        if untold:
            window = self._window
            totals = await self._sessions.add_tallies({f"unknown:{each}:{window}": n for each, n in untold.items()})
            if window == self._window:
                for each, total in zip(untold, totals.values(), strict=True):
                    self._known[each] = max(self._known[each], total)

    def _turn(self, now: int) -> None:
        window = now // WINDOW_SECONDS
        if window != self._window:
            self._window, self._known, self._untold = window, Counter(), Counter()
