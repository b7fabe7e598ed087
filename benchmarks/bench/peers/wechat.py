"""WeChat for a load: answers jscode2session at once, so that what is measured is the login and not the simulator.

The simulator keeps every code and person and costs more for an answer than a login does. Here a code is the openid
and something behind it that makes it new; nothing is kept. The wire is the simulator's.
"""

import asyncio
import json
import sys
from typing import Any

import httptools

from wire.loop import run

OPENID_LENGTH = 28
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%b"
_KEY = "HyVFkGl5F5OQWJZZaNzBBg=="  # the example of WeChat's own documentation


class Answering(asyncio.Protocol):
    """One connection of a server that asks."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport: Any = transport  # asyncio's and uvloop's have no type in common that can write
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """Called by llhttp."""
        query = dict(pair.split("=", 1) for pair in url.decode("ascii").partition("?")[2].split("&"))
        self._openid = query["js_code"][:OPENID_LENGTH]

    def on_message_complete(self) -> None:
        """Called by llhttp."""
        body = json.dumps({"session_key": _KEY, "openid": self._openid}).encode("ascii")
        self._transport.write(_HEAD % (len(body), body))


async def main(port: int) -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", port)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    run(main(int(sys.argv[1])), "llhttp")
