"""The breaker of one mini program: after WeChat's quota is used up it lets nobody ask for ten seconds, then one.

45009 speaks of the whole mini program and opens it at once. 45011 is counted by WeChat per person, so that one busy
person must not lock everybody out: it opens the breaker only at the third in a row from different addresses.
"""

from collections.abc import Callable
from enum import Enum

from wechat.answers import DAILY_QUOTA, MINUTE_QUOTA, Identity
from wechat.errors import CodeRefused, CodeUsed, UserHighRisk, WeChatBusy, WeChatMisconfigured, WeChatTrouble

OPEN_SECONDS = 10.0
THROTTLED_ADDRESSES = 3


class Passage(Enum):
    """How a caller got through: in the normal way, or as the one probe that tries whether WeChat answers again."""

    NORMAL = "normal"
    PROBE = "probe"


class Breaker:
    """Closed, open for ten seconds, or half open with one probe under way; lives in one process, asks nobody."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` gives seconds that never run backwards."""
        self._clock = clock
        self._opened_until: float | None = None
        self._probing = False
        self._throttled: set[str] = set()

    @property
    def is_open(self) -> bool:
        """Whether logins are being turned away, except for a probe."""
        return self._opened_until is not None

    def admit(self) -> Passage | None:
        """A passage for this caller, or None while the breaker is open. Every passage must be settled."""
        if self._opened_until is None:
            return Passage.NORMAL
        if self._probing or self._clock() < self._opened_until:
            return None
        self._probing = True
        return Passage.PROBE

    def settle(self, passage: Passage, outcome: Identity | WeChatTrouble | None, address: str) -> bool:
        """Learns from what a passage brought (None: the caller went away); True when that opened the breaker."""
        probe = passage is Passage.PROBE
        if probe:
            self._probing = False
        if isinstance(outcome, WeChatBusy) and self._says_stop(outcome.errcode, address, probe):
            was_open, self._opened_until = self.is_open, self._clock() + OPEN_SECONDS
            self._throttled.clear()
            return not was_open or probe
        if isinstance(outcome, Identity):
            self._throttled.clear()
        # A good answer to a question older than the opening proves nothing; only the probe's does.
        if probe and isinstance(outcome, Identity | CodeRefused | CodeUsed | UserHighRisk | WeChatMisconfigured):
            self._opened_until = None
        return False

    def _says_stop(self, errcode: int | None, address: str, probe: bool) -> bool:
        if errcode == DAILY_QUOTA:
            return True
        if errcode != MINUTE_QUOTA:
            return False
        self._throttled.add(address)
        return probe or len(self._throttled) >= THROTTLED_ADDRESSES
