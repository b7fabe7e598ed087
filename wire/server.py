"""Listens on sockets and keeps the connections, with the methods of Tornado's HTTPServer that a process uses."""

import asyncio
import contextlib
import socket
from collections.abc import Iterable

from tornado.httputil import HTTPServerConnectionDelegate

from wire.connection import Connection, Limits, Server
from wire.entrance import Entrance

_LOOK_SECONDS = 1.0
_LAST_SECONDS = 1.0  # for what was written and is not taken yet, when the server ends


class WireServer(Server):
    """Serves one delegate, which is our door."""

    def __init__(self, delegate: HTTPServerConnectionDelegate, limits: Limits) -> None:
        self.delegate = delegate
        self.limits = limits
        self.now = 0.0
        self.connections: set[Connection] = set()
        self._entrance = Entrance(self._let_in)
        self._welcomes: set[asyncio.Task[object]] = set()  # the loop itself keeps only weak references to tasks
        self._watch: asyncio.Task[None] | None = None

    def add_sockets(self, sockets: Iterable[socket.socket]) -> None:
        """Serves whoever comes through these listening sockets, from now on."""
        loop = asyncio.get_running_loop()
        self.now = loop.time()
        self._watch = self._watch or loop.create_task(self._look())
        self._entrance.open(sockets)

    def _let_in(self, connection: socket.socket, _address: object) -> None:
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        welcome = loop.create_task(self._welcome(connection))
        self._welcomes.add(welcome)
        welcome.add_done_callback(self._welcomes.discard)

    async def _welcome(self, connection: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: Connection(self), connection)
        except OSError:  # gone already
            connection.close()

    def stop(self) -> None:
        """Takes no more connections; who is in stays."""
        self._entrance.close()

    async def close_all_connections(self) -> None:
        """Hangs up on everybody; what was written before is given a moment to get out."""
        loop = asyncio.get_running_loop()
        await asyncio.gather(*self._welcomes)
        for connection in list(self.connections):
            connection.close()
        last = loop.time() + _LAST_SECONDS
        while self.connections and loop.time() < last:  # noqa: ASYNC110  # a connection is done when its loop says so
            await asyncio.sleep(0.01)
        for connection in list(self.connections):
            connection.abort()
        if self._watch:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch

    async def _look(self) -> None:
        """One clock for all: a timer for each connection would cost every request more than its parsing."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self.now = asyncio.get_running_loop().time()
            for connection in list(self.connections):
                connection.look()
