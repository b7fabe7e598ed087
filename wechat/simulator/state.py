"""The simulated world: mini programs, the people who use them, the codes they carry, and a clock that can be moved."""

import base64
import hashlib
import random
import string
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

import msgspec

from values import Confidential
from wechat.simulator.quotas import Quotas

DEFAULT_APPID: Final = "wx0000000000000001"
DEFAULT_SECRET: Final = "simulator-secret"  # noqa: S105  # published on purpose; the real WeChat would not know it
CODE_SECONDS: Final = 300
MINUTE_QUOTA: Final = 100
CODES_KEPT: Final = 100_000
TOKEN_SECONDS: Final = 7_200

_ALPHANUMERIC: Final = string.digits + string.ascii_letters

CodeState = Literal["fresh", "used", "refused"]
Kept = TypeVar("Kept")


@dataclass(slots=True)
class App:
    """One mini program as WeChat's console knows it."""

    appid: str
    secret: str = field(repr=False)
    bound_open_platform: bool = False
    minute_quota: int = MINUTE_QUOTA
    min_refresh_seconds: int = 0
    min_reset_seconds: int = 0
    ip_whitelist: str | None = None  # addresses between commas; None lets every address in
    frozen: bool = False
    punished: bool = False
    push_url: str | None = None
    push_token: str = field(default="", repr=False)
    push_key: str = field(default="", repr=False)
    push_mode: str = "secure"
    push_format: str = "json"


@dataclass(slots=True)
class Person:
    """One person inside one mini program."""

    appid: str
    user: str
    openid: str
    unionid: str
    blocked: bool = False
    session_key: bytes = field(default=b"", repr=False)
    session_key_at: int = 0
    session_key_over: bool = False
    previous_key: bytes = field(default=b"", repr=False)
    reset_at: int = 0
    seen_at: int = 0
    quota_minute: int = 0
    quota_used: int = 0


@dataclass(slots=True)
class LoginCode:
    """What stands behind one code of wx.login: it is bound to the session key of its own moment."""

    person: Person
    session_key: bytes = field(repr=False)
    created_at: int
    state: CodeState = "fresh"

    def session_key_text(self) -> str:
        """Give the session key as WeChat sends it: 24 characters of base64."""
        return key_text(self.session_key)


@dataclass(slots=True)
class PhoneCode:
    """What stands behind one tap on a getPhoneNumber button."""

    person: Person
    number: str
    created_at: int
    used: bool = False


class SealedPhone(msgspec.Struct, frozen=True):
    """A phone number that a phone was given encrypted, for which its hash is asked (WeChat: checkEncryptedData)."""

    appid: str
    created_at: int


class MediaCheck(msgspec.Struct, frozen=True):
    """A picture or a sound that waits for WeChat's verdict."""

    trace_id: str
    appid: str
    media_url: str


class Answered(Confidential, frozen=True):
    """A question that WeChat refused, as its request id brings it to light again."""

    appid: str
    path: str
    at: int
    query: str
    body: str
    answer: str
    address: str


@dataclass(slots=True)
class Issued:
    """One access_token; `replaced` says that it ended because a newer one was made."""

    appid: str
    ends_at: int
    replaced: bool = False


@dataclass(slots=True)
class TokenLine:
    """The access_tokens of one kind of one mini program: the current one, and how often a new one was forced."""

    current: str = field(default="", repr=False)
    day: int = 0
    forced_today: int = 0
    forced_at: int = 0


class World:
    """Everything the simulated WeChat remembers; it lives in memory and nowhere else.

    `seed` makes codes, keys and request ids repeat from run to run; openids are stable without it.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._seed = seed
        self.reset()

    def reset(self) -> None:
        """Go back to the first moment: one app, nobody in it, the clock at the real time."""
        self.dice = random.Random(self._seed)  # noqa: S311  # repeatable on purpose; nothing here guards anything real
        self.clock_offset_seconds = 0
        self.apps = {DEFAULT_APPID: App(DEFAULT_APPID, DEFAULT_SECRET)}
        self.people: dict[tuple[str, str], Person] = {}
        self.codes: dict[str, LoginCode] = {}
        self.phone_codes: dict[str, PhoneCode] = {}
        self.issued: dict[str, Issued] = {}
        self.lines: dict[tuple[str, str], TokenLine] = {}
        self.pushed: dict[str, dict[str, Any]] = {}
        self.quotas = Quotas()
        self.sealed_phones: dict[str, SealedPhone] = {}
        self.media_checks: dict[str, MediaCheck] = {}
        self.answered: dict[str, Answered] = {}

    def now(self) -> int:
        """Give the simulated time in epoch seconds: the real time plus what the clock was moved by."""
        return int(time.time()) + self.clock_offset_seconds

    def person(self, appid: str, user: str) -> Person:
        """Give the person `user` of `appid`, who begins to exist when first asked for."""
        known = self.people.get((appid, user))
        if known is None:
            known = Person(appid, user, _public_id(appid, user), _public_id("", user))
            self.people[appid, user] = known
        return known

    def of_openid(self, openid: str) -> Person | None:
        """Give the person of this openid, whichever mini program it is one of."""
        return next((each for each in self.people.values() if each.openid == openid), None)

    def log_in(self, app: App, user: str) -> str:
        """Do what wx.login does on the phone of `user` and give the new code.

        The session key is replaced here and not when a server redeems the code, unless the last replacement is
        younger than the app's `min_refresh_seconds` (WeChat: user-ability/signature, note 1).
        """
        person = self.person(app.appid, user)
        person.seen_at = now = self.now()
        if not person.session_key or now - person.session_key_at >= app.min_refresh_seconds:
            self.new_session_key(person)
        code = self.dice.choice(string.digits) + "".join(self.dice.choices(_ALPHANUMERIC, k=31))
        remember(self.codes, code, LoginCode(person, person.session_key, now))
        return code

    def new_session_key(self, person: Person) -> None:
        """Replace the session key of a person; the one before is remembered, to play a phone that is late."""
        person.previous_key = person.session_key
        person.session_key, person.session_key_at = self.dice.randbytes(16), self.now()
        person.session_key_over = False

    def tap_phone(self, person: Person, number: str) -> str:
        """Do what a tap on a getPhoneNumber button does, and give the code."""
        code = self.dice.randbytes(32).hex()
        remember(self.phone_codes, code, PhoneCode(person, number, self.now()))
        return code

    def line(self, appid: str, kind: str) -> TokenLine:
        """Give the access_tokens of one kind, `classic` or `stable`, with the count of today's forced refreshes."""
        line = self.lines.setdefault((appid, kind), TokenLine())
        today = self.now() // 86_400
        if line.day != today:
            line.day, line.forced_today = today, 0
        return line

    def issue(self, appid: str, line: TokenLine, old_lives_seconds: int) -> str:
        """Make the next access_token of a line; the one before ends after so many seconds at the latest."""
        now = self.now()
        old = self.issued.get(line.current)
        if old is not None and old.ends_at > now + old_lives_seconds:
            old.ends_at, old.replaced = now + old_lives_seconds, True
        line.current = f"{self.dice.randrange(10, 100)}_{self.word(self.dice.randrange(134, 153))}"
        self.issued[line.current] = Issued(appid, now + TOKEN_SECONDS)
        return line.current

    def word(self, length: int) -> str:
        """Give so many characters of base64url."""
        return "".join(self.dice.choices(_ALPHANUMERIC + "-_", k=length))

    def within_quota(self, person: Person, app: App) -> bool:
        """Count one question about `person`; false when the app's quota per person and minute is used up."""
        minute = self.now() // 60
        if person.quota_minute != minute:
            person.quota_minute, person.quota_used = minute, 0
        person.quota_used += 1
        return app.minute_quota == 0 or person.quota_used <= app.minute_quota

    def request_id(self) -> str:
        """Give a new `rid`; WeChat's own begin with the Unix time in hexadecimal."""
        return f"{self.now():08x}-{self.dice.getrandbits(32):08x}-{self.dice.getrandbits(32):08x}"

    def code_states(self) -> dict[str, int]:
        """Count the remembered codes by state."""
        return dict(Counter(code.state for code in self.codes.values()))


def remember(kept: dict[str, Kept], name: str, value: Kept) -> None:
    """Keep `value` under its name; the oldest goes when there are too many."""
    kept[name] = value
    if len(kept) > CODES_KEPT:
        del kept[next(iter(kept))]


def key_text(session_key: bytes) -> str:
    """Give a session key as WeChat writes it: 24 characters of base64."""
    return base64.b64encode(session_key).decode("ascii")


def _public_id(appid: str, user: str) -> str:
    """Derive an openid (or, with no appid, a unionid): `o` and 27 characters of base64url, the same in every run."""
    digest = hashlib.sha256(f"{len(appid)}:{appid}:{user}".encode()).digest()
    return "o" + base64.urlsafe_b64encode(digest).decode("ascii")[:27]
