"""One request and its answer: Tornado's HTTPConnection, which handlers write to."""

import asyncio
from asyncio import Future
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPOutputError,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.iostream import StreamClosedError

from wire.fields import Ready, Received, lines


class Context:
    """Who is at the other end of a connection, under the names that Tornado's requests look for."""

    def __init__(self, remote_ip: str) -> None:
        self.remote_ip = remote_ip
        self.protocol = "http"

    def __str__(self) -> str:
        return self.remote_ip


class Socket(Protocol):
    """What an exchange needs of its connection."""

    context: Context
    closed: bool

    def send(self, data: bytes) -> "Future[None]":
        """Sends; the future is done when more may follow."""

    def answered(self) -> None:
        """The answer is written to its end."""

    def abort(self) -> None:
        """Hangs up at once: what was begun cannot be ended."""


class Exchange(HTTPConnection):
    """One request and its answer."""

    stream = None  # Tornado's connections have one; the door asks it for what we refuse before it is asked
    finished = False
    max_body_bytes = 2**62
    close_callback: Callable[[], None] | None = None
    _chunked = False
    _owed_bytes: int | None = None

    def __init__(
        self, connection: Socket, start_line: RequestStartLine, headers: Received, body_seconds: float
    ) -> None:
        self._connection = connection
        self.context = connection.context
        self._version = start_line.version
        self._method = start_line.method
        self.hangs_up = not _keeps_alive(start_line, headers)
        self._wants_keep_alive = self._version == "HTTP/1.0" and not self.hangs_up
        self.body_seconds = body_seconds

    def set_close_callback(self, callback: Callable[[], None] | None) -> None:
        """Is called when the client hangs up before it has its answer."""
        self.close_callback = callback

    def set_max_body_size(self, max_body_size: int) -> None:
        """The limit of this one request's body; over it the connection ends with an empty 400."""
        self.max_body_bytes = max_body_size

    def set_body_timeout(self, timeout: float) -> None:
        """The seconds in which this one request's body has to be here."""
        self.body_seconds = timeout

    def write_headers(
        self,
        start_line: RequestStartLine | ResponseStartLine,
        headers: HTTPHeaders,
        chunk: bytes | None = None,
    ) -> "Future[None]":
        """See HTTPConnection. An answer that says `Connection: close` is the last one of its connection."""
        code = start_line[1]
        if not isinstance(code, int):
            raise TypeError("a server writes answers")
        if chunk and isinstance(headers, Ready) and self._as_usual(headers, len(chunk)):
            self._owed_bytes = 0
            return self._connection.send(b"%b%b\r\n%b" % (_status_line(code, start_line[2]), headers.lines(), chunk))
        self._settle_connection(headers)
        no_body = self._method == "HEAD" or code in (204, 304) or 100 <= code < 200
        length = headers.get("Content-Length")
        self._chunked = self._version == "HTTP/1.1" and not no_body and length is None
        self._owed_bytes = 0 if self._method == "HEAD" or code == 304 else (None if length is None else int(length))
        if self._chunked:
            headers["Transfer-Encoding"] = "chunked"
        body = self._framed(chunk) if chunk else b""
        fields = lines(headers.get_all())
        return self._connection.send(b"%b%b\r\n%b" % (_status_line(code, start_line[2]), fields, body))

    def _as_usual(self, headers: Ready, chunk_bytes: int) -> bool:
        """Whether a ready answer goes out as it is, and nothing follows: what most answers are, told in few steps."""
        special = self.hangs_up or headers.last or self._wants_keep_alive or self._method == "HEAD"
        return not special and chunk_bytes == headers.body_bytes

    def _settle_connection(self, headers: HTTPHeaders) -> None:
        if headers.get("Connection", "").lower() == "close":
            self.hangs_up = True
        elif self.hangs_up and self._version == "HTTP/1.1":
            headers["Connection"] = "close"
        elif self._wants_keep_alive:
            headers["Connection"] = "Keep-Alive"

    def write(self, chunk: bytes) -> "Future[None]":
        """See HTTPConnection."""
        return self._connection.send(self._framed(chunk))

    def _framed(self, chunk: bytes) -> bytes:
        if self._owed_bytes is not None:
            self._owed_bytes -= len(chunk)
            if self._owed_bytes < 0:
                self._connection.abort()
                raise HTTPOutputError("more was written than Content-Length says")
        return b"%x\r\n%b\r\n" % (len(chunk), chunk) if self._chunked and chunk else chunk

    def finish(self) -> None:
        """See HTTPConnection."""
        if self._owed_bytes and not self._connection.closed:
            self._connection.abort()
            raise HTTPOutputError(f"{self._owed_bytes} bytes less were written than Content-Length says")
        if self._chunked:
            self._connection.send(b"0\r\n\r\n")
        self.finished = True
        self.close_callback = None
        self._connection.answered()


def gone() -> "Future[None]":
    """What a write to a closed connection gives."""
    future: Future[None] = asyncio.get_running_loop().create_future()
    future.set_exception(StreamClosedError())
    future.exception()  # whoever does not look at it has not forgotten anything
    return future


def _keeps_alive(start_line: RequestStartLine, headers: Received) -> bool:
    if headers.plain:
        return start_line.version == "HTTP/1.1"
    asked = str(headers.get("Connection", "")).lower()
    return asked != "close" if start_line.version == "HTTP/1.1" else asked == "keep-alive"


@lru_cache(200)
def _status_line(code: int, reason: str) -> bytes:
    return lines([(f"HTTP/1.1 {code} {reason}", "")]).replace(b": \r\n", b"\r\n")
