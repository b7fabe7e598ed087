"""One connection: request after request, bytes become calls of Tornado's delegates, and answers go out in order.

A request is begun when the one before it is answered, so that pipelined answers cannot overtake one another; what comes
meanwhile waits in a buffer, and when that is full, in the client. Every wait has an end, which `look` watches.
"""

import asyncio
import logging
import re
from asyncio import Future
from collections.abc import Awaitable
from enum import Enum, auto
from typing import Any

import msgspec
from tornado.http1connection import is_transfer_encoding_chunked
from tornado.httputil import (
    HTTPInputError,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
)
from tornado.iostream import StreamClosedError

from wire.chunks import Chunks
from wire.exchange import Context, Exchange, gone
from wire.fields import Received
from wire.head import Head

log = logging.getLogger("menshen.wire")

_MOST_WAITING_BYTES = 64 * 1024  # read before they can be used
_PIECE_BYTES = 64 * 1024  # of a body, handed on at once
_ANY_HEAD_END = re.compile(rb"\r?\n\r?\n")
_EMPTY_LINE = b"\r\n"
_NEVER = float("inf")
_HANGING_UP = b"HTTP/1.1 %b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Limits(msgspec.Struct, frozen=True):
    """How long and how much."""

    idle_seconds: float  # between two requests
    head_seconds: float  # from the first byte of a head to its end
    body_seconds: float
    stuck_seconds: float  # without one byte of an answer being taken
    head_bytes: int


class Server:
    """What a connection needs of the server it belongs to."""

    delegate: HTTPServerConnectionDelegate
    limits: Limits
    now: float  # by the loop's clock, at most a second old
    connections: "set[Connection]"


class Reading(Enum):
    """What the next bytes are."""

    HEAD = auto()
    FIXED = auto()  # a body of known length
    CHUNKS = auto()
    NOTHING = auto()  # an answer has to go out first, or a delegate to be ready


class HeadTooLarge(HTTPInputError):
    """A head is longer than heads may be."""


class Connection(asyncio.Protocol):
    """One client's connection."""

    context: Context

    def __init__(self, server: Server) -> None:
        self._server = server
        self._transport: Any = None  # asyncio's and uvloop's have no type in common that has all we use
        self.closed = False
        self._buffer = bytearray()
        self._head = Head()
        self._reading = Reading.HEAD
        self._after_waiting = Reading.HEAD
        self._left = 0
        self._chunks = Chunks()
        self._body_bytes = 0
        self._whole = True  # nothing of a request is still to come
        self._exchange: Exchange | None = None
        self._delegate: HTTPMessageDelegate | None = None
        self._waiting: Future[Any] | None = None
        self._busy = False
        self._paused_reading = False
        self._flushed: Future[None] | None = None  # while the client does not take what we write
        self._written_bytes = 0
        self._taken_bytes = 0
        self._taken_at = server.now
        self._deadline = server.now + server.limits.idle_seconds
        self._late_for = "request"

    # Called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self.context = Context(peer[0] if isinstance(peer, tuple) else "0.0.0.0")  # noqa: S104  # Tornado's, for a unix socket
        self._done: Future[None] = asyncio.get_running_loop().create_future()
        self._done.set_result(None)
        self._server.connections.add(self)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self.closed:
            return
        self._buffer += data
        if self._reading is not Reading.NOTHING:
            self._go_on()
        elif len(self._buffer) > _MOST_WAITING_BYTES and not self._paused_reading and not self._transport.is_closing():
            self._paused_reading = True
            self._transport.pause_reading()

    def pause_writing(self) -> None:
        """See asyncio.Protocol."""
        self._flushed = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        flushed, self._flushed = self._flushed, None
        if flushed and not flushed.done():
            flushed.set_result(None)
        if self._reading is Reading.HEAD:
            self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self.closed = True
        self._reading = Reading.NOTHING
        self._server.connections.discard(self)
        self._buffer.clear()
        if self._flushed and not self._flushed.done():
            self._flushed.set_exception(StreamClosedError())
            self._flushed.exception()
        exchange, delegate = self._exchange, self._delegate
        self._exchange = self._delegate = None
        if delegate and not self._whole:
            self._guarded(delegate.on_connection_close)
        elif exchange and exchange.close_callback:
            callback, exchange.close_callback = exchange.close_callback, None
            self._guarded(callback)

    # Called by an exchange

    def send(self, data: bytes) -> "Future[None]":
        """Sends; the future is done when more may follow, and fails with StreamClosedError when nobody listens."""
        if self.closed or self._transport.is_closing():
            return gone()
        if data:
            self._written_bytes += len(data)
            self._transport.write(data)
        return self._flushed or self._done

    def answered(self) -> None:
        """The answer is written to its end: the next request may begin, or we hang up."""
        exchange = self._exchange
        if exchange is None:
            return
        if exchange.hangs_up or not self._whole:
            self._hang_up()
            return
        self._exchange = self._delegate = None
        self._reading = Reading.HEAD
        self._wait_until("request", self._server.limits.idle_seconds)
        if self._buffer:  # not at once: others are waiting too
            asyncio.get_running_loop().call_soon(self._go_on)
        self._read_again()

    def abort(self) -> None:
        """Hangs up at once, whatever is still to be sent."""
        self.closed = True
        self._transport.abort()

    def close(self) -> None:
        """Hangs up when what was written is out."""
        self._hang_up()

    # Called by the server

    def look(self) -> None:
        """Called every second: cuts the connection when somebody takes too long."""
        now = self._server.now
        unsent = self._transport.get_write_buffer_size()
        taken = self._written_bytes - unsent
        if not unsent or taken != self._taken_bytes:
            self._taken_bytes, self._taken_at = taken, now
        elif now - self._taken_at > self._server.limits.stuck_seconds:
            self._cut("answer")
            return
        if now > self._deadline:
            self._cut(self._late_for)

    def _cut(self, what: str) -> None:
        if what != "request":  # an idle connection's end is no news
            log.info("a connection was cut: its %s took too long", what)
        self.abort()

    def _wait_until(self, what: str, seconds: float) -> None:
        self._late_for = what
        self._deadline = self._server.now + seconds

    def _hang_up(self) -> None:
        self.closed = True
        self._reading = Reading.NOTHING
        self._deadline = _NEVER
        self._transport.close()

    def _read_again(self) -> None:
        if self._paused_reading and len(self._buffer) <= _MOST_WAITING_BYTES and not self._transport.is_closing():
            self._paused_reading = False
            self._transport.resume_reading()

    # From bytes to a delegate

    def _go_on(self) -> None:
        """Uses up what the buffer holds, as far as that may be used now."""
        if self._busy or self.closed or self._flushed:
            return
        self._busy = True
        try:
            while not self.closed and self._step():
                pass
        except HTTPInputError as error:
            self._refuse(error)
        except Exception:
            log.exception("a connection was cut: its request failed")
            self.abort()
        finally:
            self._busy = False
        self._read_again()

    def _step(self) -> bool:
        if self._reading is Reading.HEAD:
            return self._read_head()
        if self._reading is Reading.FIXED:
            return self._read_fixed()
        return self._reading is Reading.CHUNKS and self._read_chunks()

    def _refuse(self, error: HTTPInputError) -> None:
        log.info("Malformed HTTP message from %s", self.context)
        too_large = isinstance(error, HeadTooLarge)
        self.send(_HANGING_UP % (b"431 Request Header Fields Too Large" if too_large else b"400 Bad Request"))
        self._hang_up()

    def _read_head(self) -> bool:
        buffer, limits = self._buffer, self._server.limits
        while buffer.startswith(_EMPTY_LINE):  # some clients send one after a body (RFC 9112, 2.2)
            del buffer[:2]
        end = buffer.find(b"\r\n\r\n") + 4
        if (end if end > 3 else len(buffer)) > limits.head_bytes:
            raise HeadTooLarge
        if end <= 3:
            if _ANY_HEAD_END.search(buffer):
                raise HTTPInputError("a line ends without a carriage return")
            if buffer and self._late_for != "head":
                self._wait_until("head", limits.head_seconds)
            return False
        head = bytes(buffer[:end])
        del buffer[:end]
        self._begin(head)
        return self._reading is not Reading.NOTHING

    def _begin(self, head: bytes) -> None:
        start_line, headers = self._head.read(head)
        exchange = Exchange(self, start_line, headers, self._server.limits.body_seconds)
        self._whole = False
        self._exchange = exchange
        self._delegate = delegate = self._server.delegate.start_request(self, exchange)
        self._reading, self._after_waiting = Reading.NOTHING, self._framing(headers)
        waiting = delegate.headers_received(start_line, headers)
        if self.closed:
            return
        if waiting is not None or self._after_waiting is not Reading.HEAD:
            self._await_body(headers, exchange)
        self._proceed(waiting)

    def _await_body(self, headers: Received, exchange: Exchange) -> None:
        if headers.get("Expect") == "100-continue" and self._after_waiting is not Reading.HEAD:
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self._left > exchange.max_body_bytes:
            raise HTTPInputError("the body is too long")
        self._wait_until("body", exchange.body_seconds)

    def _framing(self, headers: Received) -> Reading:
        """How the body comes. Raises HTTPInputError; llhttp has refused two lengths, and a length beside chunks."""
        self._left = self._body_bytes = 0
        if headers.plain:
            return Reading.HEAD
        if is_transfer_encoding_chunked(headers):
            self._chunks = Chunks()
            return Reading.CHUNKS
        length = headers.get("Content-Length", "0")
        if not length.isdecimal():
            raise HTTPInputError("Content-Length is no number")
        self._left = int(length)
        return Reading.FIXED if self._left else Reading.HEAD

    def _read_fixed(self) -> bool:
        piece = bytes(self._buffer[: min(self._left, _PIECE_BYTES)])
        if not piece:
            return False
        del self._buffer[: len(piece)]
        self._left -= len(piece)
        return self._hand_on(piece, last=not self._left)

    def _read_chunks(self) -> bool:
        piece = self._chunks.take(self._buffer, _PIECE_BYTES)
        if not piece and not self._chunks.done:
            return False
        return self._hand_on(piece, last=self._chunks.done)

    def _hand_on(self, piece: bytes, *, last: bool) -> bool:
        exchange, delegate = self._exchange, self._delegate
        if exchange is None or delegate is None:
            return False
        self._body_bytes += len(piece)
        if self._body_bytes > exchange.max_body_bytes:
            raise HTTPInputError("the body is too long")
        self._after_waiting = Reading.HEAD if last else self._reading
        self._reading = Reading.NOTHING
        waiting = delegate.data_received(piece) if piece and not exchange.finished else None
        if not self.closed:
            self._proceed(waiting)
        return self._reading is not Reading.NOTHING

    def _proceed(self, waiting: Awaitable[None] | None) -> None:
        """Goes on with the body, or to the answer, when the delegate is ready for it."""
        if waiting is not None:
            self._waiting = asyncio.ensure_future(waiting)
            self._waiting.add_done_callback(self._waited)
        elif self._after_waiting is Reading.HEAD:
            self._ask()
        else:
            self._reading = self._after_waiting

    def _waited(self, waiting: "Future[Any]") -> None:
        self._waiting = None
        if self.closed or waiting.cancelled():
            return
        if error := waiting.exception():
            log.error("a connection was cut: its request failed", exc_info=error)
            self.abort()
            return
        asyncio.get_running_loop().call_soon(self._go_on)
        try:
            self._proceed(None)
        except Exception:
            log.exception("a connection was cut: its request failed")
            self.abort()

    def _ask(self) -> None:
        """The request is whole: its delegate answers, now or later."""
        self._whole = True
        self._deadline = _NEVER
        delegate, exchange = self._delegate, self._exchange
        if delegate and exchange and not exchange.finished:
            delegate.finish()

    def _guarded(self, callback: Any) -> None:
        try:
            callback()
        except Exception:
            log.exception("what had to be told of a lost connection failed")
