"""What a list is asked for: read strictly from the parameters of an address, and written back into them."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Literal, TypeVar, get_args

import msgspec

from actions.search import MOST_SEARCH, Search
from actions.texts import has_controls
from stores.logins import Order, State

Q = TypeVar("Q", bound="_Asked")
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MINUTE = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?", re.ASCII)
_SPAN = re.compile(r"([1-9]\d{0,4})([mhd])", re.ASCII)
_UNITS = {"m": 60, "h": 3_600, "d": 86_400}
FAR = 2**53  # epoch seconds, after all others
ENVIRONMENTS = ("release", "trial", "develop", "devtools")


class BadQuestion(Exception):
    """A parameter of a list is nothing that it takes; `field` is its name."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


class _Asked(msgspec.Struct, frozen=True):
    """What all questions have in common: a mini program, a time, and that they remember how they were written."""

    written: tuple[tuple[str, str], ...] = ()
    app: str | None = None
    created_from: int | None = None
    created_to: int | None = None

    @property
    def created(self) -> tuple[int, int]:
        """The first and the last second asked for; all of them where nothing is."""
        return self.created_from or 0, FAR if self.created_to is None else self.created_to

    def parameters(self) -> dict[str, str]:
        """The parameters of an address that asks the same; what is not asked for is left out."""
        return dict(self.written)

    def __str__(self) -> str:
        """The same on one line, as the audit keeps it."""
        return "&".join(f"{name}={value}" for name, value in self.written) or "all"


class Question(_Asked, frozen=True):
    """What the list of sessions is asked for. Times are epoch seconds."""

    q: str = ""
    platform: str | None = None
    version: str | None = None
    environment: str | None = None
    state: State = "live"
    seen_within: int | None = None  # seconds
    order: Order = "created"

    @property
    def search(self) -> Search:
        """What the search field looks for."""
        return Search.of(self.q)

    @property
    def ordered(self) -> Order:
        """The order that the list has: by use only where an index can give it, which leaves out what has ended."""
        if self.state == "live" or not self.order.startswith("seen"):
            return self.order
        return "created_up" if self.order == "seen_up" else "created"

    @classmethod
    def of(cls, given: Mapping[str, str], zone: tzinfo = UTC) -> "Question":
        """The question that these parameters ask; `zone` is where the operator's clock is. Raises BadQuestion."""
        kinds: Kinds = {
            "q": _search,
            "app": _word(r"[A-Za-z0-9]{1,32}"),
            "platform": _word(r"[a-z]{1,32}"),
            "version": _word(r"[A-Za-z0-9.]{1,32}"),
            "environment": _one_of(ENVIRONMENTS),
            "state": _one_of(get_args(State)),
            "seen": _span,
            **_times(zone),
            "order": _one_of(get_args(Order)),
        }
        return _read(cls, given, kinds, {"seen": "seen_within"})


class UsersQuestion(_Asked, frozen=True):
    """What the list of people is asked for."""

    q: str = ""
    state: Literal["any", "active", "blocked"] = "any"

    @property
    def search(self) -> Search:
        """What the search field looks for."""
        return Search.of(self.q)

    @classmethod
    def of(cls, given: Mapping[str, str], zone: tzinfo = UTC) -> "UsersQuestion":
        """The question that these parameters ask. Raises BadQuestion."""
        kinds: Kinds = {
            "q": _search,
            "app": _word(r"[A-Za-z0-9]{1,32}"),
            "state": _one_of(("any", "active", "blocked")),
            **_times(zone),
        }
        return _read(cls, given, kinds)


class LoginsQuestion(_Asked, frozen=True):
    """What the list of logins is asked for, of those that succeeded and of those that were refused."""

    platform: str | None = None
    result: Literal["any", "succeeded", "refused"] = "any"
    errcode: int | None = None  # of the refused

    @classmethod
    def of(cls, given: Mapping[str, str], zone: tzinfo = UTC) -> "LoginsQuestion":
        """The question that these parameters ask. Raises BadQuestion."""
        kinds: Kinds = {
            "app": _word(r"[A-Za-z0-9]{1,32}"),
            "platform": _word(r"[a-z]{1,32}"),
            "result": _one_of(("any", "succeeded", "refused")),
            "errcode": _errcode,
            **_times(zone),
        }
        return _read(cls, given, kinds)


class AuditQuestion(_Asked, frozen=True):
    """What the list of deeds is asked for."""

    actor: str | None = None
    deed: str | None = None
    result: Literal["done", "failed", "denied", "already ended"] | None = None
    target: str | None = None

    @classmethod
    def of(cls, given: Mapping[str, str], zone: tzinfo = UTC) -> "AuditQuestion":
        """The question that these parameters ask. Raises BadQuestion."""
        kinds: Kinds = {
            "actor": _search,
            "deed": _word(r"[a-z_.]{1,40}"),
            "result": _one_of(("done", "failed", "denied", "already ended")),
            "target": _search,
            "app": _word(r"[A-Za-z0-9]{1,32}"),
            **_times(zone),
        }
        return _read(cls, given, kinds)


Kinds = dict[str, Callable[[str], Any]]
_FIELDS = {"from": "created_from", "to": "created_to"}


def _read(cls: type[Q], given: Mapping[str, str], kinds: Kinds, fields: Mapping[str, str] | None = None) -> Q:
    """Parameters of other names are somebody else's; empty ones ask for nothing, as forms send them."""
    names = {**_FIELDS, **(fields or {})}
    written = {name: text.strip() for name, text in given.items() if name in kinds and text.strip()}
    read: dict[str, Any] = {}
    for name, text in written.items():
        try:
            read[names.get(name, name)] = kinds[name](text)
        except (ValueError, OverflowError):
            raise BadQuestion(name) from None
    return cls(written=tuple((name, written[name]) for name in kinds if name in written), **read)


def _search(text: str) -> str:
    if len(text) > MOST_SEARCH or has_controls(text):
        raise ValueError
    return text


def _word(pattern: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not re.fullmatch(pattern, text, re.ASCII):
            raise ValueError
        return text

    return read


def _one_of(words: tuple[str, ...]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError
        return text

    return read


def _span(text: str) -> int:
    found = _SPAN.fullmatch(text)
    if found is None:
        raise ValueError
    return int(found[1]) * _UNITS[found[2]]


def _errcode(text: str) -> int:
    if not re.fullmatch(r"-?\d{1,7}", text, re.ASCII):
        raise ValueError
    return int(text)


def _times(zone: tzinfo) -> Kinds:
    return {"from": lambda text: _moment(text, zone, last=False), "to": lambda text: _moment(text, zone, last=True)}


def _moment(text: str, zone: tzinfo, *, last: bool) -> int:
    """The second at which a day, a minute or a second begins by the operator's clock, or the last one of it."""
    if _DATE.fullmatch(text):
        length = timedelta(days=1)
    elif found := _MINUTE.fullmatch(text):
        length = timedelta(seconds=1) if found[1] else timedelta(minutes=1)
    else:
        raise ValueError
    begins = datetime.fromisoformat(text)
    at = int((begins + length if last else begins).replace(tzinfo=zone).timestamp()) - (1 if last else 0)
    if at < 0:
        raise ValueError
    return at
