"""How often something may happen in a minute, counted by who does it, shared between processes a few times a second.

So a count costs no store a read, and a limit may be passed for the moment until the processes have told each other.
"""

from collections import Counter
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

from stores.sessions import Sessions

WINDOW_SECONDS = 60
_MOST_NAMES = 50_000


@lru_cache(10_000)
def limited_as(address: str) -> str:
    """What limits count for an address: it, or the /64 that one IPv6 customer has to himself.

    All that are none count together.
    """
    try:
        found = ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(found, IPv6Address):
        return str(ip_network((int(found), 64), strict=False).network_address)
    return str(found)


class TooMany(Exception):
    """Somebody did it too often in this minute; `retry_after_seconds` until the next."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__()
        self.retry_after_seconds = retry_after_seconds


class PerMinute:
    """The counts of the minute at hand."""

    def __init__(self, sessions: Sessions, kind: str, limit: int, too_many: type[TooMany]) -> None:
        """`kind` tells these counts from others, `limit` is for each name and minute, 0 for none."""
        self._sessions = sessions
        self._kind = kind
        self._limit = limit
        self._too_many = too_many
        self._window = 0
        self._known: Counter[str] = Counter()
        self._untold: Counter[str] = Counter()

    def count(self, name: str, now: int) -> None:
        """One more by this name. Raises the kind of TooMany that was given."""
        if not self._limit:
            return
        self._turn(now)
        if len(self._known) < _MOST_NAMES or name in self._known:
            self._known[name] += 1
            self._untold[name] += 1
        if self._known[name] > self._limit:
            raise self._too_many(WINDOW_SECONDS - now % WINDOW_SECONDS)

    async def flush(self) -> None:
        """Adds this process's counts to those of the others. Raises SessionsAway, StoreFull."""
        untold, self._untold = self._untold, Counter()
        if untold:
            window = self._window
            totals = await self._sessions.add_tallies(
                {f"{self._kind}:{each}:{window}": n for each, n in untold.items()}
            )
            if window == self._window:
                for each, total in zip(untold, totals.values(), strict=True):
                    self._known[each] = max(self._known[each], total)

    def _turn(self, now: int) -> None:
        window = now // WINDOW_SECONDS
        if window != self._window:
            self._window, self._known, self._untold = window, Counter(), Counter()
