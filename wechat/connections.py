"""Kept connections to WeChat: HTTP/1.1 as llhttp reads it, one question at a time on each.

A login is above all this one question, and a client for everything takes several times as long for it. It would also
send a GET again by itself when a kept connection breaks, taking it for harmless: ours redeems a code that works once,
and the repeat would be told "code been used" and hide that the first answer was lost.
"""

import asyncio
import errno
import socket
import ssl
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from aiohappyeyeballs import start_connection
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from wechat.answers import Reply
from wechat.errors import WeChatMisconfigured, WeChatSilent, WeChatUnreachable, WeChatUnusable
from wechat.wire import Ending, Question, verifying_context

CONNECT_SECONDS = 2.0
# WeChat closes idle connections at a moment it does not publish, and SDK users meet the cut ones ("api.weixin.qq.com
# failed to respond", WxJava issues 276 and 2278). A question lost that way may not be repeated, so idle ones go early.
IDLE_SECONDS = 5.0
_MOST_BESIDE_BODY_BYTES = 64 * 1024
_MOST_FIELDS, _LONGEST_FIELD_BYTES = 100, 8 * 1024
_NAME_SECONDS = 10.0  # how long an address is believed
_NEXT_ADDRESS_SECONDS = 0.25  # after which the next address is tried beside one that does not answer (RFC 8305)


class _Cut(Exception):
    """The connection broke after the request was sent, or what came is not HTTP as we read it, or too much of it."""


class _Connection(asyncio.Protocol):
    """One connection; llhttp calls the methods `on_…`."""

    def __init__(self, others: "set[_Connection]") -> None:
        self._others = others
        self._parser = HttpResponseParser(self)
        self._question: Question | None = None  # while nobody asks nothing may come
        self._answer: asyncio.Future[Reply]
        self._keeps = False  # the connection may be used for the next question
        self._until_end = False  # the body ends where the connection does
        self._headed = False  # the head is whole
        self._fields: dict[bytes, str] = {}
        self._body = bytearray()
        self._received = self._field_count = 0
        self.idle_since = 0.0

    @property
    def open(self) -> bool:
        """Whether a question may be sent, as far as anybody can know."""
        return not self._transport.is_closing()

    async def ask(self, request: bytes, question: Question, deadline: float) -> Reply:
        """The answer; afterwards the connection is free for the next question, or closed. Raises _Cut, TimeoutError."""
        loop = asyncio.get_running_loop()
        self._question, self._answer = question, loop.create_future()
        self._keeps = self._until_end = False
        self._body, self._received, self._field_count = bytearray(), 0, 0
        late = loop.call_at(deadline, self._fail, TimeoutError)
        self._transport.write(request)
        try:
            return await self._answer
        except BaseException:
            self._keeps = False  # also when nobody waits any more: the rest of the answer would be the next one's
            raise
        finally:
            late.cancel()
            self._question = None
            if not self._keeps:
                self.abort()

    def abort(self) -> None:
        """Hangs up at once."""
        self._keeps = False
        self._transport.abort()

    # Called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport: Any = transport  # asyncio's and uvloop's have no type in common that has all we use
        self._others.add(self)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._received += len(data)
        if self._question is None:
            self.abort()  # it would be taken for the next person's answer
        elif self._received > self._question.most_bytes + _MOST_BESIDE_BODY_BYTES:
            self._fail(_Cut)
        else:
            try:
                self._parser.feed_data(data)
            except (HttpParserError, HttpParserUpgrade):
                self._fail(_Cut)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._others.discard(self)
        if self._question is not None:
            if self._until_end and exc is None:
                self._done()
            self._fail(_Cut)

    # Called by llhttp

    def on_message_begin(self) -> None:
        """Another answer than the one that was asked for is nobody's."""
        self._headed = False
        self._fields.clear()
        if self._answer.done():
            self._keeps = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """One field, of the head or behind the body."""
        self._field_count += 1
        if self._field_count > _MOST_FIELDS or len(value) > _LONGEST_FIELD_BYTES:
            raise _Cut
        if not self._headed:
            self._fields[name.lower()] = value.decode("latin-1").strip()

    def on_headers_complete(self) -> None:
        """The head is whole; where nobody wants the body it is not read."""
        self._headed = True
        status, question, fields = self._parser.get_status_code(), self._question, self._fields
        if status < 200 or question is None or self._answer.done():
            return
        self._keeps = self._parser.should_keep_alive()
        self._until_end = not self._keeps and fields.keys().isdisjoint((b"content-length", b"transfer-encoding"))
        if not (question.whole or status == 200) or self._coding not in ("", "identity"):
            self._keeps = False
            self._done()

    def on_body(self, piece: bytes) -> None:
        """Some of the body."""
        self._body += piece
        if self._question is None or len(self._body) > self._question.most_bytes:
            raise _Cut

    def on_message_complete(self) -> None:
        """The answer is whole, unless it was an interim one."""
        if self._parser.get_status_code() >= 200:
            self._done()

    @property
    def _coding(self) -> str:
        return self._fields.get(b"content-encoding", "").lower()

    def _done(self) -> None:
        if not self._answer.done():
            kind, date = self._fields.get(b"content-type", ""), self._fields.get(b"date", "")
            status = self._parser.get_status_code()
            self._answer.set_result(Reply(status, self._coding, bytes(self._body), kind, date))

    def _fail(self, kind: type[Exception]) -> None:
        self._keeps = False
        if not self._answer.done():
            self._answer.set_exception(kind())


class Connections:
    """The kept connections of one process to one WeChat.

    Outgoing calls follow OWASP ASVS 15.3.2 (a redirect is an answer like any other: its target would be told the
    AppSecret) and 12.3.2 (certificates are verified; nothing switches that off). No proxy of the environment is asked.
    """

    def __init__(self, base: str, cafile: str | None = None) -> None:
        """As Wire takes them."""
        parts = urlsplit(base)
        self._tls = verifying_context(cafile) if parts.scheme == "https" else None
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if self._tls else 80)
        self._fields = f"Host: {parts.netloc}\r\nAccept: */*\r\nAccept-Encoding: identity\r\nUser-Agent: Menshen\r\n"
        self._all: set[_Connection] = set()
        self._idle: list[_Connection] = []  # the one that was used last at the end
        self._sweeper: asyncio.TimerHandle | None = None
        self._looking: asyncio.Future[Any] | None = None
        self._believed_until = 0.0

    async def ask(self, question: Question, deadline: float) -> Ending:
        """As Wire does it."""
        request = self._written(question)
        try:
            connection = self._kept(deadline) or await self._connected(deadline)
        except TimeoutError:
            return Ending(WeChatUnreachable("no connection in time"))
        except ssl.SSLError as error:
            return Ending(WeChatMisconfigured(None, why=_tls_reason(error)))
        except OSError as error:
            return Ending(WeChatUnreachable(_network_reason(error)), unsent=True)
        try:
            reply = await connection.ask(request, question, deadline)
        except TimeoutError:
            return Ending(WeChatSilent())
        except _Cut:
            return Ending(WeChatUnusable("the answer was cut or not HTTP as we read it"))
        self._keep(connection)
        return Ending(reply)

    async def close(self) -> None:
        """Closes the connections; questions still under way end as WeChatUnusable."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in list(self._all):
            connection.abort()
        await asyncio.sleep(0)  # the loop tells them in its next turn

    def _written(self, question: Question) -> bytes:
        target = quote(question.path)
        if question.query:
            target = f"{target}?{urlencode(question.query, quote_via=quote)}"
        head = f"{question.method} {target} HTTP/1.1\r\n{self._fields}"
        if question.body is not None:
            head = f"{head}Content-Type: {question.content_type}\r\nContent-Length: {len(question.body)}\r\n"
        if head.count("\n") != (5 if question.body is None else 7):
            raise ValueError("a field holds a line end")
        return head.encode("latin-1") + b"\r\n" + (question.body or b"")

    def _kept(self, deadline: float) -> _Connection | None:
        """An open connection that was used a moment ago. Raises TimeoutError."""
        now = asyncio.get_running_loop().time()
        if now >= deadline:
            raise TimeoutError
        while self._idle:
            connection = self._idle.pop()
            if connection.open and now - connection.idle_since < IDLE_SECONDS:
                return connection
            connection.abort()
        return None

    def _keep(self, connection: _Connection) -> None:
        if connection.open:
            loop = asyncio.get_running_loop()
            connection.idle_since = loop.time()
            self._idle.append(connection)
            self._sweeper = self._sweeper or loop.call_later(IDLE_SECONDS, self._sweep)

    def _sweep(self) -> None:
        """Lets go of what nobody has used for a while."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in self._idle:
            if now - connection.idle_since >= IDLE_SECONDS:
                connection.abort()
        self._idle = [each for each in self._idle if each.open]
        self._sweeper = loop.call_later(IDLE_SECONDS / 2, self._sweep) if self._idle else None

    async def _connected(self, deadline: float) -> _Connection:
        """A new connection, TLS included. Raises TimeoutError, ssl.SSLError, OSError."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout_at(min(deadline, loop.time() + CONNECT_SECONDS)):
            addresses = await self._addresses()
            opened = await start_connection(addresses, happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS, interleave=1)
            try:
                _, connection = await loop.create_connection(
                    lambda: _Connection(self._all),
                    sock=opened,
                    ssl=self._tls,
                    server_hostname=self._host if self._tls else None,
                )
            except BaseException:
                opened.close()
                raise
            return connection

    async def _addresses(self) -> Any:
        """Where WeChat is; who connects at the same time asks once. Raises OSError."""
        loop, looking = asyncio.get_running_loop(), self._looking
        if looking is None or loop.time() > self._believed_until or (looking.done() and looking.exception()):
            looking = asyncio.ensure_future(loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM))
            looking.add_done_callback(lambda done: done.cancelled() or done.exception())  # somebody has looked at it
            self._looking, self._believed_until = looking, loop.time() + _NAME_SECONDS
        return await asyncio.shield(looking)


def _tls_reason(error: ssl.SSLError) -> str:
    """OpenSSL's word for a failed handshake; the error's own text is left alone."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: {error.verify_message}"
    return f"TLS: {error.reason}" if error.reason else "TLS"


def _network_reason(error: OSError) -> str:
    """The name of what kept us from connecting, such as ECONNREFUSED."""
    if isinstance(error, socket.gaierror):
        return "the name has no address"
    return errno.errorcode.get(error.errno or 0, "no connection")
