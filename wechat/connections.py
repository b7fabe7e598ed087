"""The kept HTTP connections to WeChat, by aiohttp: what was sent, what came back, and what must not be repeated.

The only importer of aiohttp on the way to WeChat. Nothing here raises what aiohttp raised: its errors hold the URL,
AppSecret, code and access_token included, and must not hang on to ours as __context__ or __cause__.
"""

import asyncio
import errno
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp

from wechat.answers import Reply
from wechat.errors import WeChatMisconfigured, WeChatSilent, WeChatUnreachable, WeChatUnusable
from wechat.wire import Ending, Question, verifying_context

CONNECT_SECONDS = 2.0
# WeChat closes idle connections at a moment it does not publish, and SDK users meet the cut ones ("api.weixin.qq.com
# failed to respond", WxJava issues 276 and 2278). A question lost that way may not be repeated, so idle ones go early.
IDLE_SECONDS = 5.0


@dataclass(slots=True)
class _Trip:
    """One attempt; `sent` is set when the first byte is about to be written, so it is never False wrongly."""

    sent: bool = False


class _Cut(Exception):
    """The connection broke after the request was sent, or more came than we read."""


class Connections:
    """The kept connections of one process to one WeChat.

    Outgoing calls follow OWASP ASVS 15.3.2 (no redirects) and 12.3.2 (certificates are verified; nothing switches that
    off).
    """

    def __init__(self, base: str, cafile: str | None = None) -> None:
        """As Wire takes them."""
        self._base = base.rstrip("/")
        self._tls = verifying_context(cafile) if urlsplit(base).scheme == "https" else None
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, question: Question, deadline: float) -> Ending:
        """As Wire does it."""
        trip = _Trip()
        try:
            async with asyncio.timeout_at(deadline):
                return Ending(await self._fetch(question, trip))
        except TimeoutError:  # the deadline, or aiohttp's limit for connecting
            return Ending(WeChatSilent() if trip.sent else WeChatUnreachable("no connection in time"))
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError) as error:
            return Ending(WeChatMisconfigured(None, why=_tls_reason(error)))
        except (aiohttp.ClientError, OSError, _Cut) as error:
            if trip.sent:
                return Ending(WeChatUnusable("the answer was cut or not HTTP as we read it"))
            return Ending(WeChatUnreachable(_network_reason(error)), unsent=True)

    async def close(self) -> None:
        """Closes the kept connections; questions still under way end as WeChatUnusable."""
        if self._session is not None:
            await self._session.close()

    async def _fetch(self, question: Question, trip: _Trip) -> Reply:
        # A redirect is returned, not followed: its target would be told the AppSecret.
        request = self._open_session().request(
            question.method,
            self._base + question.path,
            params=list(question.query),
            data=question.body,
            headers=None if question.body is None else {"Content-Type": question.content_type},
            allow_redirects=False,
            trace_request_ctx=trip,
        )
        async with request as response:
            coding = response.headers.get("Content-Encoding", "").lower()
            wanted = (question.whole or response.status == 200) and coding in ("", "identity")
            body = await _body(response, question.most_bytes) if wanted else b""
            told = response.headers
            return Reply(response.status, coding, body, told.get("Content-Type", ""), told.get("Date", ""))

    def _open_session(self) -> aiohttp.ClientSession:
        """The one session, made at the first question because aiohttp wants a running loop for it."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # limit=0: aiohttp's own limit would be a hidden queue; callers have caps of their own.
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


async def _body(response: aiohttp.ClientResponse, most_bytes: int) -> bytes:
    """The whole body up to a limit; WeChat's own answers have some 200 bytes, so that more is none of WeChat's."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > most_bytes:
            raise _Cut
    return bytes(body)


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
