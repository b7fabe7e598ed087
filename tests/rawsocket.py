"""Requests byte by byte, for what an HTTP client would tidy up before it is sent."""

import asyncio
from urllib.parse import urlsplit

from multidict import CIMultiDict, CIMultiDictProxy
from phone import Answer, Door

ANSWER_SECONDS = 20.0


class Raw:
    """One connection to a server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, door: Door) -> "Raw":
        """Connect."""
        parts = urlsplit(door.base)
        assert parts.port is not None
        return cls(*await asyncio.open_connection("127.0.0.1", parts.port))

    async def say(self, *pieces: bytes) -> None:
        """Send some bytes; a server that has hung up already is no error, its answer is read later."""
        self.writer.write(b"".join(pieces))
        await self.writer.drain()

    async def hear(self, *, body: bool = True) -> Answer:
        """Return the next answer; ``body=False`` for one to HEAD. Raises AssertionError when none comes in time."""
        async with asyncio.timeout(ANSWER_SECONDS):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.strip().split("\r\n")
            headers: CIMultiDict[str] = CIMultiDict()
            for line in lines:
                name, _, value = line.partition(":")
                headers.add(name, value.strip())
            length = int(headers.get("Content-Length", "0")) if body else 0
            content = await self.reader.readexactly(length)
        return Answer(int(first.split()[1]), CIMultiDictProxy(headers), content)

    async def rest(self) -> bytes:
        """Return what comes until the server hangs up."""
        async with asyncio.timeout(ANSWER_SECONDS):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""

    async def close(self) -> None:
        """Hang up."""
        self.writer.transport.abort()
        await asyncio.sleep(0)


async def exchange(door: Door, *pieces: bytes, body: bool = True) -> Answer:
    """Send some bytes on a connection of their own and return the answer."""
    raw = await Raw.to(door)
    try:
        await raw.say(*pieces)
        return await raw.hear(body=body)
    finally:
        await raw.close()


def request(method: str, target: str, *headers: str, body: bytes = b"", host: str = "127.0.0.1") -> bytes:
    """Return a request as bytes; the headers are sent exactly as given, Host and the right Content-Length are added."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("utf-8") + body
