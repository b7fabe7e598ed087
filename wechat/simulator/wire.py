"""The faults that happen on the connection itself: silence, cuts, drips and floods, written byte by byte."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Final

from tornado.iostream import IOStream, StreamClosedError

from wechat.simulator.answers import Reply
from wechat.simulator.faults import LONGEST_WAIT_SECONDS, Fault

_CHUNK: Final = b" " * 65_536


class Waits:
    """All requests that a fault keeps waiting: each ends when its caller leaves, its time is up, or at a reset."""

    def __init__(self) -> None:
        self._gone: set[asyncio.Event] = set()

    async def wait(self, gone: asyncio.Event, seconds: float) -> None:
        """Wait until `gone` is set, but at most `seconds` and never more than a minute."""
        self._gone.add(gone)
        try:
            async with asyncio.timeout(min(seconds, LONGEST_WAIT_SECONDS)):
                await gone.wait()
        except TimeoutError:
            pass
        finally:
            self._gone.discard(gone)

    def __len__(self) -> int:
        return len(self._gone)

    def end(self) -> None:
        """Let every one of them go now."""
        for gone in self._gone:
            gone.set()


class Wire:
    """One connection that the web server has handed over, with nothing written on it yet."""

    def __init__(self, stream: IOStream, gone: asyncio.Event, waits: Waits) -> None:
        self._stream = stream
        self._gone = gone
        self._waits = waits
        stream.set_close_callback(gone.set)

    async def send(self, data: bytes) -> None:
        """Write `data`; raises StreamClosedError when the caller has left."""
        await self._stream.write(data)

    async def wait(self, seconds: float) -> None:
        """Wait, but no longer than the caller stays."""
        await self._waits.wait(self._gone, seconds)

    async def play(self, fault: Fault, reply: Reply | None) -> None:
        """Do what `fault` says, with the right answer in hand if it asks for one, then close the connection."""
        with suppress(StreamClosedError):
            await WIRES[fault.kind](self, fault, reply or Reply(b""))
        self._stream.close()


async def _close(_wire: Wire, _fault: Fault, _reply: Reply) -> None:
    """Leave at once."""


async def _stall_headers(wire: Wire, fault: Fault, _reply: Reply) -> None:
    await wire.wait(fault.seconds)


async def _stall_body(wire: Wire, fault: Fault, reply: Reply) -> None:
    await wire.send(_head(reply, len(reply.body)) + reply.body[: len(reply.body) // 2])
    await wire.wait(fault.seconds)


async def _drip(wire: Wire, fault: Fault, reply: Reply) -> None:
    await wire.send(_head(reply, len(reply.body)))
    deadline = asyncio.get_running_loop().time() + LONGEST_WAIT_SECONDS
    for at in range(len(reply.body)):
        if asyncio.get_running_loop().time() > deadline:
            return
        await wire.send(reply.body[at : at + 1])
        await wire.wait(fault.seconds)


async def _huge(wire: Wire, fault: Fault, reply: Reply) -> None:
    # Blanks behind the right answer are valid JSON: whoever reads it all logs the person in and fails the test.
    blanks = max(0, fault.size_bytes - len(reply.body))
    await wire.send(_head(reply, len(reply.body) + blanks) + reply.body)
    for left in range(blanks, 0, -len(_CHUNK)):
        await wire.send(_CHUNK[:left])


WIRES: Final[Mapping[str, Callable[[Wire, Fault, Reply], Awaitable[None]]]] = {
    "close": _close,
    "lost": _close,
    "stall_headers": _stall_headers,
    "stall_body": _stall_body,
    "drip": _drip,
    "huge": _huge,
}


def _head(reply: Reply, length: int) -> bytes:
    return (
        f"HTTP/1.1 200 OK\r\nContent-Type: {reply.content_type}\r\nContent-Length: {length}\r\n"
        "Connection: keep-alive\r\n\r\n"
    ).encode("latin-1")
