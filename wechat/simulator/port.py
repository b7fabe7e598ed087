"""The one loopback port of the simulator, which can be closed for a while and opened again."""

import asyncio
import ipaddress
import socket
import weakref
from collections.abc import Awaitable
from typing import Any, Final

from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from tornado.web import Application

_BACKLOG: Final = 1024
_BODY_BYTES: Final = 16 * 1024 * 1024


class _Listener(HTTPServer):
    """Tornado's server, which also remembers the connections that a fault has taken out of its hands."""

    streams: weakref.WeakSet[IOStream]

    def initialize(self, *args: Any, **kwargs: Any) -> None:
        """Start with no connections."""
        self.streams = weakref.WeakSet()
        super().initialize(*args, **kwargs)

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        """Serve one new connection."""
        self.streams.add(stream)
        super().handle_stream(stream, address)

    def cut(self, keep: IOStream | None = None) -> None:
        """Close every connection at once, except `keep`."""
        for stream in list(self.streams):
            if stream is not keep:
                stream.close()


class Port:
    """Where the simulator listens; all calls belong to one running event loop."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._listener: _Listener | None = None
        self._application: Application | None = None
        self._reopening: asyncio.TimerHandle | None = None

    @property
    def refusing(self) -> bool:
        """True while a fault keeps the port closed."""
        return self._socket is not None and self._listener is None

    def open(self, application: Application, address: str, number: int) -> str:
        """Serve `application` on `address` (loopback only) and port `number` (0 picks one); give the base URL.

        Raises ValueError for any other address, RuntimeError when it listens already, OSError when the port is taken.
        """
        host = loopback(address)
        if self._socket is not None:
            raise RuntimeError("the simulator listens already")
        self._socket = _bound(host, number)
        self._application = application
        self._listen()
        number = self._socket.getsockname()[1]
        return f"http://[{host}]:{number}" if ":" in host else f"http://{host}:{number}"

    def refuse(self, seconds: float, keep: IOStream) -> None:
        """Close the port and all connections but `keep` now, and open the same port again after `seconds`."""
        if self._listener is None or self._socket is None:
            return
        host, number = self._socket.getsockname()[:2]
        self._listener.stop()
        self._listener.cut(keep)
        # A bound socket that does not listen refuses every caller, and keeps the number from being given away.
        self._socket, self._listener = _bound(host, number), None
        self._reopening = asyncio.get_running_loop().call_later(seconds, self._listen)

    def close(self) -> Awaitable[None]:
        """Stop listening and cut every connection; what it gives can be awaited to see the last one gone."""
        if self._reopening is not None:
            self._reopening.cancel()
        listener, self._listener, self._reopening = self._listener, None, None
        if listener is not None:
            listener.stop()
            listener.cut()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        return asyncio.ensure_future(_gone(listener))

    def _listen(self) -> None:
        if self._socket is not None and self._application is not None:
            self._socket.listen(_BACKLOG)
            self._listener = _Listener(self._application, max_body_size=_BODY_BYTES)
            self._listener.add_socket(self._socket)


def loopback(address: str) -> str:
    """Give `address` as an IP address of this machine itself; raises ValueError for every other one."""
    host = "127.0.0.1" if address == "localhost" else address
    try:
        own = ipaddress.ip_address(host).is_loopback
    except ValueError:
        own = False
    if not own:
        raise ValueError(
            f"the WeChat simulator listens on loopback addresses only, not on {address!r}: "
            "whoever reaches it can log in as anybody"
        )
    return host


def _bound(host: str, number: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, number))
    except OSError:
        bound.close()
        raise
    bound.setblocking(False)
    return bound


async def _gone(listener: _Listener | None) -> None:
    if listener is not None:
        await listener.close_all_connections()
