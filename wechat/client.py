"""Asks WeChat who a login code belongs to: one GET of jscode2session, kept honest about what was sent."""

import asyncio
import errno
import logging
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

import aiohttp
import certifi

from wechat.answers import BUSY, BUSY_SECONDS, QUOTA_SECONDS, Identity, Reply, read
from wechat.breaker import OPEN_SECONDS, Breaker, Passage
from wechat.errors import (
    WeChatBusy,
    WeChatMisconfigured,
    WeChatSilent,
    WeChatTrouble,
    WeChatUnreachable,
    WeChatUnusable,
)
from wechat.state import AppState, Ledger

CONNECT_SECONDS = 2.0
REPEAT_AFTER_SECONDS = 0.3
REPEAT_NEEDS_SECONDS = 0.5  # a repeat that starts with less left would only turn "busy" into "silent"
# WeChat closes idle connections at a moment it does not publish, and SDK users meet the cut ones ("api.weixin.qq.com
# failed to respond", WxJava issues 276 and 2278). A question lost that way may not be repeated, so idle ones go early.
IDLE_SECONDS = 5.0
MOST_BODY_BYTES = 64 * 1024

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


@dataclass(frozen=True, slots=True)
class _Question:
    """One login code to be asked about, with the AppSecret of the moment it was taken up."""

    appid: str
    secret: Secret = field(repr=False)
    code: str = field(repr=False)

    def query(self) -> dict[str, str]:
        return {
            "appid": self.appid,
            "secret": self.secret.reveal(),
            "js_code": self.code,
            "grant_type": "authorization_code",
        }


@dataclass(slots=True)
class _Trip:
    """One attempt; `sent` is set when the first byte is about to be written, so it is never False wrongly."""

    sent: bool = False


@dataclass(frozen=True, slots=True)
class _Ending:
    """How a trip ended, and whether the rules allow to go once more."""

    outcome: Identity | WeChatTrouble
    may_repeat: bool = False


class _Cut(Exception):
    """The connection broke after the request was sent, or more came than we read."""


class WeChat:
    """WeChat's login interface for all mini programs of this server.

    Outgoing calls follow OWASP ASVS 15.3.2 (no redirects) and 12.3.2 (certificates are verified; nothing switches that
    off). At most `open_logins` questions are under way at once; no further one waits in a queue that nobody sees.
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
        self._url = base.rstrip("/") + "/sns/jscode2session"
        self._tls = _verifying_context(cafile) if urlsplit(base).scheme == "https" else None
        self._apps = dict(apps)
        self._open_logins = open_logins
        self._waiting = 0
        self._clock = clock
        self._now = now
        self._breakers: dict[str, Breaker] = {}
        self._ledgers: dict[str, Ledger] = {}
        self._session: aiohttp.ClientSession | None = None

    @property
    def waiting(self) -> int:
        """How many logins are waiting for WeChat in this process."""
        return self._waiting

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
        question = _Question(appid, self._apps[appid].secret, code)
        started = self._clock()
        outcome = await self._outcome(question, address, deadline)
        self._ledger(appid).note(outcome, self._clock() - started)
        if isinstance(outcome, WeChatTrouble):
            _log(appid, outcome)
            # Raised here, outside every except block: aiohttp's errors hold the URL, AppSecret and code included,
            # and must not hang on to ours as __context__ or __cause__.
            raise outcome
        return outcome

    async def close(self) -> None:
        """Closes the kept connections; questions still under way end as WeChatUnusable."""
        if self._session is not None:
            await self._session.close()

    def _breaker(self, appid: str) -> Breaker:
        if appid not in self._breakers:
            self._breakers[appid] = Breaker(self._clock)
        return self._breakers[appid]

    def _ledger(self, appid: str) -> Ledger:
        if appid not in self._ledgers:
            self._ledgers[appid] = Ledger(self._now)
        return self._ledgers[appid]

    async def _outcome(self, question: _Question, address: str, deadline: float) -> Identity | WeChatTrouble:
        """Past the cap and the breaker, or not."""
        if self._waiting >= self._open_logins:
            return WeChatBusy(BUSY_SECONDS, why="too many logins are waiting", code_spent=False)
        breaker = self._breaker(question.appid)
        passage = breaker.admit()
        if passage is None:
            return WeChatBusy(QUOTA_SECONDS, why="a quota was used up a moment ago", code_spent=False)
        return await self._through(breaker, passage, question, address, deadline)

    async def _through(
        self, breaker: Breaker, passage: Passage, question: _Question, address: str, deadline: float
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

    async def _ask_twice_at_most(self, question: _Question, deadline: float) -> Identity | WeChatTrouble:
        first = await self._ask(question, deadline)
        left = deadline - asyncio.get_running_loop().time()
        if not first.may_repeat or left < REPEAT_NEEDS_SECONDS:
            return first.outcome
        await asyncio.sleep(REPEAT_AFTER_SECONDS)
        second = await self._ask(question, deadline)
        return _of_both(first.outcome, second.outcome)

    async def _ask(self, question: _Question, deadline: float) -> _Ending:
        trip = _Trip()
        try:
            async with asyncio.timeout_at(deadline):
                reply = await self._fetch(question, trip)
        except TimeoutError:  # the deadline, or aiohttp's limit for connecting
            return _Ending(WeChatSilent() if trip.sent else WeChatUnreachable("no connection in time"))
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError) as error:
            return _Ending(WeChatMisconfigured(None, why=_tls_reason(error)))
        except (aiohttp.ClientError, OSError, _Cut) as error:
            if trip.sent:
                return _Ending(WeChatUnusable("the answer was cut or not HTTP as we read it"))
            return _Ending(WeChatUnreachable(_network_reason(error)), may_repeat=True)
        outcome = read(reply)
        return _Ending(outcome, may_repeat=isinstance(outcome, WeChatBusy) and outcome.errcode == BUSY)

    async def _fetch(self, question: _Question, trip: _Trip) -> Reply:
        # A redirect is returned, not followed: its target would be told the AppSecret.
        request = self._open_session().get(
            self._url, params=question.query(), allow_redirects=False, trace_request_ctx=trip
        )
        async with request as response:
            coding = response.headers.get("Content-Encoding", "").lower()
            wanted = response.status == 200 and coding in ("", "identity")
            return Reply(response.status, coding, await _body(response) if wanted else b"")

    def _open_session(self) -> aiohttp.ClientSession:
        """The one session, made at the first question because aiohttp wants a running loop for it."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # limit=0: aiohttp's own limit would be a hidden queue; open_logins is the cap.
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_SECONDS, ssl=self._tls or True),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS),
                headers={"Accept-Encoding": "identity", "User-Agent": "Menshen"},
                auto_decompress=False,  # a gzip bomb of 50 kB is 50 MB
                trust_env=False,  # a proxy from the environment would see the AppSecret
                trace_configs=[_noting_what_was_sent()],
                middlewares=[_never_resend],
            )
        return self._session


async def _never_resend(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Hides a cut connection from aiohttp, which would send a GET again by itself after it.

    aiohttp (3.9 and later, issue 10790) takes every GET for idempotent. This one redeems a code that works once: the
    repeat would be told "code been used" and hide that the first answer was lost.
    """
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:  # nothing was sent, and aiohttp does not repeat these
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
        raise _Cut from None


def _noting_what_was_sent() -> aiohttp.TraceConfig:
    """A trace that tells the trip that its request is being written."""
    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(_note_sent)
    return trace


async def _note_sent(
    _session: aiohttp.ClientSession, context: object, _request: aiohttp.TraceRequestHeadersSentParams
) -> None:
    trip = getattr(context, "trace_request_ctx", None)
    if isinstance(trip, _Trip):
        trip.sent = True


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """The whole body up to 64 KiB; WeChat's answers have some 200 bytes, so that more is none of WeChat's."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MOST_BODY_BYTES:
            raise _Cut
    return bytes(body)


def _of_both(first: Identity | WeChatTrouble, second: Identity | WeChatTrouble) -> Identity | WeChatTrouble:
    """What a question and its repeat amount to: the later word counts, but a code once shown stays perhaps spent."""
    if isinstance(first, WeChatBusy) and isinstance(second, WeChatUnreachable):
        return first
    if isinstance(first, WeChatTrouble) and isinstance(second, WeChatTrouble):
        second.code_spent = second.code_spent or first.code_spent
    return second


def _verifying_context(cafile: str | None) -> ssl.SSLContext:
    """TLS 1.2 or later, certificates verified against the system's roots and certifi's.

    A bundled OpenSSL looks for roots where its builder kept them, and finds none on many systems; certifi's are along.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(certifi.where())
    if cafile is not None:
        context.load_verify_locations(cafile)
    return context


def _tls_reason(error: aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError) -> str:
    """OpenSSL's word for a failed handshake; the error's own text is left alone."""
    cause = error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"TLS: {cause.verify_message}"
    return f"TLS: {cause.reason}" if isinstance(cause, ssl.SSLError) else "TLS"


def _network_reason(error: Exception) -> str:
    """The name of what kept us from connecting, such as ECONNREFUSED."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the name has no address"
    number = error.errno if isinstance(error, OSError) else None
    return errno.errorcode.get(number or 0, "no connection")


def _log(appid: str, trouble: WeChatTrouble) -> None:
    """One line for what an operator should know; what a phone did wrong is only counted."""
    if isinstance(trouble, WeChatMisconfigured):
        logger.error("app %s: %s", appid, trouble)
    elif isinstance(trouble, WeChatUnusable | WeChatUnreachable | WeChatSilent):
        logger.warning("app %s: %s", appid, trouble)
