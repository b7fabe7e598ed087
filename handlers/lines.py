"""The connections that requests come on: how long a phone may take over a request's head, and over our answer.

Tornado has one limit for a connection that waits and for a head that comes byte by byte; a proxy needs the first to be
long, a slow attacker (OWASP: slow HTTP) the second to be short. For answers that nobody takes it has none.
"""

import asyncio
import logging
import re
import socket
from asyncio import Future, TimerHandle
from collections.abc import Awaitable, Iterable
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream, StreamClosedError

from wire.entrance import Entrance

log = logging.getLogger("menshen.door")

HEAD_SECONDS = 12.0  # from the first byte of a head to its end
# Without one byte of an answer being taken. A system takes bytes in large steps from us, so a slow phone looks stuck.
STUCK_SECONDS = 60.0
_BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")


class Line(IOStream):
    """One connection. It ends when a head takes too long, or when an answer is not taken."""

    bare_line_feed = False  # the last head had a line end that proxies may read in another way (RFC 9112, 2.2)
    _head: TimerHandle | None = None
    _in_head = False
    _stuck: TimerHandle | None = None
    _taken_bytes = 0

    def read_until_regex(self, regex: bytes, max_bytes: int | None = None) -> Awaitable[bytes]:
        """Called by Tornado for the head of each request, and for nothing else."""
        self._in_head = True
        future: Any = super().read_until_regex(regex, max_bytes)
        if future.done():
            self._head_ended(future)
        else:
            future.add_done_callback(self._head_ended)
        return future  # type: ignore[no-any-return]  # Tornado calls its futures awaitables

    def read_from_fd(self, buf: bytearray | memoryview) -> int | None:
        """Called by Tornado for every piece that arrives."""
        got = super().read_from_fd(buf)
        if got and self._in_head and self._head is None:
            self._head = asyncio.get_running_loop().call_later(HEAD_SECONDS, self._cut, "head")
        return got

    def write_to_fd(self, data: memoryview) -> int:
        """Called by Tornado for every piece that goes out."""
        taken = super().write_to_fd(data)
        self._taken_bytes += taken
        return taken

    def write(self, data: bytes | memoryview) -> "Future[None]":
        """Called by Tornado for each part of an answer."""
        future = super().write(data)
        if self._stuck is None and self.writing():
            self._watch()
        return future

    def _watch(self) -> None:
        self._stuck = asyncio.get_running_loop().call_later(STUCK_SECONDS, self._look, self._taken_bytes)

    def _look(self, taken_before: int) -> None:
        self._stuck = None
        if self.closed() or not self.writing():
            return
        if self._taken_bytes == taken_before:
            self._cut("answer")
        else:
            self._watch()

    def _head_ended(self, future: "Future[bytes]") -> None:
        self._in_head = False
        if self._head is not None:
            self._head.cancel()
            self._head = None
        if not future.cancelled() and future.exception() is None:
            self.bare_line_feed = _BARE_LINE_FEED.search(future.result()) is not None

    def _cut(self, what: str) -> None:
        log.info("a connection was cut: its %s took too long", what)
        self.close(StreamClosedError())


class Listener(HTTPServer):
    """Tornado's server on connections of this kind."""

    _entrance: Entrance | None = None

    def add_sockets(self, sockets: Iterable[socket.socket]) -> None:
        """Serves whoever comes through these listening sockets, from now on."""
        self._entrance = self._entrance or Entrance(self._let_in)
        self._entrance.open(sockets)

    def stop(self) -> None:
        """Lets nobody in any more; who is in stays."""
        if self._entrance:
            self._entrance.close()

    def _let_in(self, connection: socket.socket, address: tuple[Any, ...]) -> None:
        line = Line(connection, max_buffer_size=self.max_buffer_size, read_chunk_size=self.read_chunk_size)
        self.handle_stream(line, address)
