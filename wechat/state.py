"""What the dashboard and the health page may know about one mini program's talk with WeChat."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from wechat.answers import Identity
from wechat.errors import WeChatMisconfigured, WeChatTrouble


@dataclass(frozen=True, slots=True)
class Misconfiguration:
    """The last time WeChat refused our configuration: number, request id, reason (TLS), epoch seconds."""

    errcode: int | None
    rid: str
    why: str
    at: int


@dataclass(frozen=True, slots=True)
class AppState:
    """A snapshot of this process: how often each outcome came, how long WeChat took, what is wrong.

    `outcomes` counts by class name (`Identity`, `CodeRefused`, `WeChatBusy`, …); `seconds` is the sum over all of
    them. A misconfiguration is over once `identified_at` is later than its `at`.
    """

    outcomes: Mapping[str, int]
    seconds: float
    identified_at: int | None
    misconfiguration: Misconfiguration | None
    breaker_open: bool


@dataclass
class Ledger:
    """The running counts behind `AppState`; `now` gives epoch seconds."""

    now: Callable[[], float]
    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    identified_at: int | None = None
    misconfiguration: Misconfiguration | None = None

    def note(self, outcome: Identity | WeChatTrouble, seconds: float) -> None:
        """Counts one finished question and the seconds it took."""
        self.outcomes[type(outcome).__name__] += 1
        self.seconds += seconds
        if isinstance(outcome, Identity):
            self.identified_at = int(self.now())
        elif isinstance(outcome, WeChatMisconfigured):
            self.misconfiguration = Misconfiguration(outcome.errcode, outcome.rid, outcome.why, int(self.now()))

    def state(self, breaker_open: bool) -> AppState:
        """The counts as they are now."""
        return AppState(dict(self.outcomes), self.seconds, self.identified_at, self.misconfiguration, breaker_open)
