"""What the dashboard and the health page may know about one mini program's talk with WeChat."""

import math
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from wechat.answers import Identity
from wechat.errors import WeChatMisconfigured, WeChatTrouble

LATEST_ANSWERS = 1_000  # how many answers the latencies are taken from


class Misconfiguration(msgspec.Struct, frozen=True):
    """The last time WeChat refused our configuration: number, request id, reason (TLS), epoch seconds.

    `egress` is our address as WeChat sees it, where that is what it refused.
    """

    errcode: int | None
    rid: str
    why: str
    at: int
    egress: str | None = None


class AppState(msgspec.Struct, frozen=True):
    """A snapshot of this process: how often each outcome came, how long WeChat took, what is wrong.

    `outcomes` counts by class name (`Identity`, `CodeRefused`, `WeChatBusy`, …); `seconds` is the sum over all of
    them. A misconfiguration is over once `identified_at` is later than its `at`. The percentiles are those of the
    latest answers, None before the first.
    """

    outcomes: Mapping[str, int]
    seconds: float
    identified_at: int | None
    misconfiguration: Misconfiguration | None
    breaker_open: bool
    p50_ms: int | None = None
    p95_ms: int | None = None
    calls_refused: Misconfiguration | None = None  # the last call with, or for, an access_token; None once one works

    @property
    def refused(self) -> Misconfiguration | None:
        """The refusal of our configuration that is not over yet."""
        wrong = self.misconfiguration
        return None if wrong is None or (self.identified_at or 0) > wrong.at else wrong


@dataclass
class Ledger:
    """The running counts behind `AppState`; `now` gives epoch seconds."""

    now: Callable[[], float]
    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    identified_at: int | None = None
    misconfiguration: Misconfiguration | None = None
    calls_refused: Misconfiguration | None = None
    latest: deque[float] = field(default_factory=lambda: deque(maxlen=LATEST_ANSWERS))

    def note(self, outcome: Identity | WeChatTrouble, seconds: float) -> None:
        """Counts one finished question and the seconds it took."""
        self.outcomes[type(outcome).__name__] += 1
        self.seconds += seconds
        if was_sent(outcome):
            self.latest.append(seconds)
        if isinstance(outcome, Identity):
            self.identified_at = int(self.now())
        elif isinstance(outcome, WeChatMisconfigured):
            self.misconfiguration = self._wrong(outcome)

    def note_call(self, outcome: object) -> None:
        """Notes how a call ended that is no login; logins do not know access_tokens and are not judged by them."""
        if isinstance(outcome, WeChatMisconfigured):
            self.calls_refused = self._wrong(outcome)
        elif not isinstance(outcome, WeChatTrouble):
            self.calls_refused = None

    def _wrong(self, outcome: WeChatMisconfigured) -> Misconfiguration:
        return Misconfiguration(outcome.errcode, outcome.rid, outcome.why, int(self.now()), outcome.egress)

    def state(self, breaker_open: bool) -> AppState:
        """The counts as they are now."""
        return AppState(
            dict(self.outcomes),
            self.seconds,
            self.identified_at,
            self.misconfiguration,
            breaker_open,
            self._milliseconds(0.50),
            self._milliseconds(0.95),
            self.calls_refused,
        )

    def _milliseconds(self, share: float) -> int | None:
        """The latency that this share of the latest answers did not exceed (nearest rank)."""
        if not self.latest:
            return None
        ranked = sorted(self.latest)
        return round(ranked[math.ceil(share * len(ranked)) - 1] * 1000)


def was_sent(outcome: Identity | WeChatTrouble) -> bool:
    """Whether a question left us, so that the time it took says something about WeChat."""
    if not isinstance(outcome, WeChatTrouble):
        return True
    return outcome.errcode is not None or outcome.code_spent
