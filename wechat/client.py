"""Asks WeChat who a login code belongs to: one GET of jscode2session, repeated only when that cannot do harm."""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from values import Confidential
from wechat.answers import BUSY, BUSY_SECONDS, QUOTA_SECONDS, FreshToken, Identity, Reply, read, read_token
from wechat.breaker import OPEN_SECONDS, Breaker, Passage
from wechat.calls import Calls, Tokens
from wechat.errors import WeChatBusy, WeChatTrouble, WeChatUnreachable
from wechat.state import AppState, Ledger
from wechat.wire import Question, Wire, log_trouble

LOGIN_PATH = "/sns/jscode2session"
TOKEN_PATH = "/cgi-bin/stable_token"  # noqa: S105  # a path
REPEAT_AFTER_SECONDS = 0.3
REPEAT_NEEDS_SECONDS = 0.5  # a repeat that starts with less left would only turn "busy" into "silent"

logger = logging.getLogger("menshen.wechat")


class Secret(Protocol):
    """A value that is only shown on purpose."""

    def reveal(self) -> str:
        """The value itself."""
        ...


class App(Protocol):
    """What must be known of a mini program: its AppSecret."""

    @property
    def secret(self) -> Secret:
        """The AppSecret."""
        ...


class _Code(Confidential, frozen=True):
    """One login code to be asked about, with the AppSecret of the moment it was taken up."""

    appid: str
    secret: Secret
    code: str

    def question(self) -> Question:
        query = [
            ("appid", self.appid),
            ("secret", self.secret.reveal()),
            ("js_code", self.code),
            ("grant_type", "authorization_code"),
        ]
        return Question("GET", LOGIN_PATH, query)


class Probe(msgspec.Struct, frozen=True):
    """What WeChat says to a code that is none: `outcome` is a CodeRefused where credentials and address are right.

    `seconds` is how long it took, `date` what WeChat's clock says, as HTTP writes it, empty where it says nothing.
    """

    outcome: Identity | WeChatTrouble
    seconds: float
    date: str


class _Ending(msgspec.Struct, frozen=True):
    """How a trip ended, and whether the rules allow to go once more."""

    outcome: Identity | WeChatTrouble
    may_repeat: bool = False


class WeChat:
    """WeChat's server API for all mini programs of this server: the login here, what needs a token in `calls`.

    At most `open_logins` questions are under way at once; no further one waits in a queue that nobody sees.
    """

    def __init__(
        self,
        base: str,
        apps: Mapping[str, App],
        open_logins: int,
        *,
        cafile: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`base` is scheme and host (the settings have checked that plain http stays on loopback); `apps` by appid.

        `cafile` adds a private certificate authority to the known ones, for tests against a TLS server of their own.
        `clock` gives monotonic seconds (breaker, latency), `now` epoch seconds.
        """
        self._wire = Wire(base, cafile)
        self._apps = dict(apps)
        self._open_logins = open_logins
        self._waiting = 0
        self._clock = clock
        self._now = now
        self._breakers: dict[str, Breaker] = {}
        self._ledgers: dict[str, Ledger] = {}
        self.calls = Calls(self._wire, self._ledger)
        self.took: Callable[[float], None] = lambda _seconds: None  # told how long each question about a code took

    @property
    def waiting(self) -> int:
        """How many logins are waiting for WeChat in this process."""
        return self._waiting

    async def open(self) -> None:
        """Loads what the first question needs, so that it need not wait for it; what fails, that question will say."""
        with contextlib.suppress(OSError):
            await self._wire.open()

    def use(self, apps: Mapping[str, App]) -> None:
        """Takes up new AppSecrets or mini programs at once; questions under way finish with what they started with."""
        self._apps = dict(apps)

    def state(self, appid: str) -> AppState:
        """What this process has seen of WeChat for one mini program."""
        return self._ledger(appid).state(self._breaker(appid).is_open)

    async def identify(self, appid: str, code: str, *, address: str, deadline: float) -> Identity:
        """The person behind a login code: one question, two at most.

        `code` has the form the caller allows, `address` is the client's as our limiter counts it (an IPv6 network, not
        each of its addresses), `deadline` is a time of the running loop's clock that is never exceeded.
        Raises a WeChatTrouble (see wechat/errors.py), KeyError for an unknown appid.
        The question is repeated once, and only for errcode -1 or when no byte of it left us: WeChat's codes are for
        single use, so that after a timeout or a cut only a new code is safe.
        """
        question = _Code(appid, self._apps[appid].secret, code)
        started = self._clock()
        outcome = await self._outcome(question, address, deadline)
        taken = self._clock() - started
        self.took(taken)
        self._ledger(appid).note(outcome, taken)
        if isinstance(outcome, WeChatTrouble):
            log_trouble(appid, outcome)
            raise outcome
        return outcome

    async def probe(self, appid: str, deadline: float) -> Probe:
        """Asks about a code that WeChat never gave, to see how it takes our questions. Raises KeyError."""
        started = self._clock()
        ending = await self._wire.ask(_Code(appid, self._apps[appid].secret, "0" * 32).question(), deadline)
        taken = self._clock() - started
        if isinstance(ending.outcome, Reply):
            return Probe(read(ending.outcome), taken, ending.outcome.date)
        return Probe(ending.outcome, taken, "")

    def take_tokens_from(self, tokens: Tokens) -> None:
        """From now on the calls that need an access_token get it there; a login never does."""
        self.calls.tokens = tokens

    async def fresh_token(self, appid: str, deadline: float, *, force: bool = False) -> FreshToken:
        """The access_token of a mini program (WeChat: getStableAccessToken): asked once, or again if nothing was sent.

        Without `force` it is the same as long as it is good. With it the old one dies; WeChat allows that 20 times a
        day and 30 seconds apart, and otherwise gives the old one. Raises a WeChatTrouble, KeyError.
        """
        asked = {"grant_type": "client_credential", "appid": appid, "secret": self._apps[appid].secret.reveal()}
        body = json.dumps(asked | {"force_refresh": force}).encode()
        question = Question("POST", TOKEN_PATH, (), body)
        ending = await self._wire.ask(question, deadline)
        if ending.unsent:
            ending = await self._wire.ask(question, deadline)
        outcome = read_token(ending.outcome) if isinstance(ending.outcome, Reply) else ending.outcome
        self._ledger(appid).note_call(outcome)
        if isinstance(outcome, WeChatTrouble):
            log_trouble(appid, outcome)
            raise outcome
        return outcome

    async def close(self) -> None:
        """Closes the kept connections; questions still under way end as WeChatUnusable."""
        await self._wire.close()

    def _breaker(self, appid: str) -> Breaker:
        if appid not in self._breakers:
            self._breakers[appid] = Breaker(self._clock)
        return self._breakers[appid]

    def _ledger(self, appid: str) -> Ledger:
        if appid not in self._ledgers:
            self._ledgers[appid] = Ledger(self._now)
        return self._ledgers[appid]

    async def _outcome(self, question: _Code, address: str, deadline: float) -> Identity | WeChatTrouble:
        """Past the cap and the breaker, or not."""
        if self._waiting >= self._open_logins:
            return WeChatBusy(BUSY_SECONDS, why="too many logins are waiting", code_spent=False)
        breaker = self._breaker(question.appid)
        passage = breaker.admit()
        if passage is None:
            return WeChatBusy(QUOTA_SECONDS, why="a quota was used up a moment ago", code_spent=False)
        return await self._through(breaker, passage, question, address, deadline)

    async def _through(
        self, breaker: Breaker, passage: Passage, question: _Code, address: str, deadline: float
    ) -> Identity | WeChatTrouble:
        outcome: Identity | WeChatTrouble | None = None
        self._waiting += 1
        try:
            outcome = await self._ask_twice_at_most(question, deadline)
        finally:
            self._waiting -= 1
            if breaker.settle(passage, outcome, address):
                logger.warning("app %s: no logins are sent to WeChat for %d s", question.appid, OPEN_SECONDS)
        return outcome

    async def _ask_twice_at_most(self, question: _Code, deadline: float) -> Identity | WeChatTrouble:
        first = await self._ask(question, deadline)
        left = deadline - asyncio.get_running_loop().time()
        if not first.may_repeat or left < REPEAT_NEEDS_SECONDS:
            return first.outcome
        await asyncio.sleep(REPEAT_AFTER_SECONDS)
        second = await self._ask(question, deadline)
        return _of_both(first.outcome, second.outcome)

    async def _ask(self, question: _Code, deadline: float) -> _Ending:
        ending = await self._wire.ask(question.question(), deadline)
        if not isinstance(ending.outcome, Reply):
            return _Ending(ending.outcome, may_repeat=ending.unsent)
        outcome = read(ending.outcome)
        return _Ending(outcome, may_repeat=isinstance(outcome, WeChatBusy) and outcome.errcode == BUSY)


def _of_both(first: Identity | WeChatTrouble, second: Identity | WeChatTrouble) -> Identity | WeChatTrouble:
    """What a question and its repeat amount to: the later word counts, but a code once shown stays perhaps spent."""
    if isinstance(first, WeChatBusy) and isinstance(second, WeChatUnreachable):
        return first
    if isinstance(first, WeChatTrouble) and isinstance(second, WeChatTrouble):
        second.code_spent = second.code_spent or first.code_spent
    return second
