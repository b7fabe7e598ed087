"""Waits and weights of a connection, with limits short enough to be met in a test and a delegate of the test's own."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from patience import until
from tornado.httputil import (
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.iostream import StreamClosedError

from wire.connection import Limits
from wire.server import WireServer

OK = ResponseStartLine("HTTP/1.1", 200, "OK")
SHORT = Limits(idle_seconds=2, head_seconds=1, body_seconds=1, stuck_seconds=1, head_bytes=16 * 1024)
LONG = Limits(idle_seconds=60, head_seconds=60, body_seconds=60, stuck_seconds=60, head_bytes=16 * 1024)
PIECE = b"x" * 50_000


class Scripted(HTTPMessageDelegate):
    """Does what the target says, and tells its house what happened."""

    def __init__(self, house: "House", connection: Any) -> None:
        self.house = house
        self.connection = connection
        self.target = ""
        self.body = b""
        self.gone = False

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        assert isinstance(start_line, RequestStartLine)
        self.target = start_line.path
        if self.target == "/fail-early":
            raise RuntimeError("no headers, please")
        return asyncio.sleep(0.05) if self.target == "/late" else None

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        self.house.most_at_once = max(self.house.most_at_once, len(chunk))
        self.body += chunk
        return self._slowly() if self.target == "/late" else None

    async def _slowly(self) -> None:
        self.house.under_way += 1
        assert self.house.under_way == 1, "a piece came before the one before it was taken"
        await asyncio.sleep(0.01)
        self.house.under_way -= 1

    def finish(self) -> None:
        self.connection.set_close_callback(self._hung_up)
        if self.target == "/fail":
            raise RuntimeError("no request, please")
        self.task = asyncio.get_running_loop().create_task(self._answer())

    def on_connection_close(self) -> None:
        self.house.told.append("lost")

    def _hung_up(self) -> None:
        self.gone = True
        self.house.told.append("hung up")

    async def _answer(self) -> None:
        if self.target == "/stream":
            await self._stream()
            return
        if self.target == "/never":
            self.house.told.append("waiting")
            return
        body = f"{self.target} {len(self.body)}".encode()
        self.connection.write_headers(OK, HTTPHeaders({"Content-Length": str(len(body))}), body)
        self.connection.finish()

    async def _stream(self) -> None:
        try:
            await self.connection.write_headers(OK, HTTPHeaders({"Content-Type": "text/plain"}))
            for _ in range(400):
                await self.connection.write(PIECE)
                self.house.pieces += 1
            self.connection.finish()
        except StreamClosedError:
            self.house.told.append("closed")


class House(HTTPServerConnectionDelegate):
    """What the delegates of a server have in common."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.pieces = 0
        self.under_way = 0
        self.most_at_once = 0

    def start_request(self, server_conn: object, request_conn: Any) -> HTTPMessageDelegate:
        return Scripted(self, request_conn)


@asynccontextmanager
async def serving(limits: Limits) -> AsyncIterator[tuple[House, WireServer, int]]:
    """A server with these limits: its house, itself, its port."""
    house = House()
    server = WireServer(house, limits)
    listening = socket.create_server(("127.0.0.1", 0))
    server.add_sockets([listening])
    try:
        yield house, server, listening.getsockname()[1]
    finally:
        server.stop()
        await server.close_all_connections()


@asynccontextmanager
async def talking(port: int, limit: int = 2**16) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=limit)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


def get(target: str, *lines: str) -> bytes:
    return "\r\n".join([f"GET {target} HTTP/1.1", "Host: a", *lines, "", ""]).encode()


async def rest(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(10):
        return await reader.read()


@pytest.mark.gen_test(timeout=20)
async def test_waits_that_are_too_long_end() -> None:
    async with serving(SHORT) as (house, server, port):
        async with talking(port) as idle, talking(port) as head, talking(port) as body, talking(port) as answered:
            head[1].write(b"GET / HTTP/1.1\r\nHo")
            body[1].write(get("/", "Content-Length: 5") + b"ab")
            answered[1].write(get("/"))
            assert (await answered[0].readuntil(b"/ 0")).startswith(b"HTTP/1.1 200 OK\r\n")
            for reader, _ in (head, body, answered, idle):
                assert await rest(reader) == b""
        assert house.told == ["lost"]
        assert server.connections == set()


@pytest.mark.gen_test(timeout=20)
async def test_a_drip_does_not_make_the_time_for_a_head_longer() -> None:
    async with serving(SHORT) as (_, _, port), talking(port) as (reader, writer):
        async with asyncio.timeout(6):
            while not reader.at_eof():
                writer.write(b"X")
                await asyncio.sleep(0.05)


@pytest.mark.gen_test(timeout=20)
async def test_an_answer_may_take_longer_than_any_limit() -> None:
    async with serving(SHORT) as (house, _, port), talking(port) as (reader, writer):
        writer.write(get("/never"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(4):
                await reader.read(1)
        assert house.told == ["waiting"]


@pytest.mark.gen_test(timeout=20)
async def test_who_does_not_read_makes_the_writer_wait_and_is_cut_off() -> None:
    async with serving(SHORT) as (house, _, port), talking(port, limit=1000) as (reader, writer):
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # asyncio's transports can
        writer.write(get("/stream"))
        await until(lambda: "closed" in house.told)
        assert 0 < house.pieces < 300
        assert reader.at_eof() is False


@pytest.mark.gen_test(timeout=20)
async def test_a_slow_reader_gets_everything_in_chunks_and_then_the_next_answer() -> None:
    async with serving(LONG) as (_, _, port), talking(port, limit=2**20) as (reader, writer):
        writer.write(get("/stream") + get("/next"))
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"Transfer-Encoding: chunked\r\n" in head
        count = 0
        while size := int(await reader.readuntil(b"\r\n"), 16):
            assert await reader.readexactly(size + 2) == PIECE + b"\r\n"
            count += 1
        assert count == 400
        assert await reader.readexactly(2) == b"\r\n"
        assert b"/next 0" in await reader.readuntil(b"/next 0")


@pytest.mark.gen_test(timeout=20)
async def test_a_delegate_that_needs_time_gets_the_next_piece_when_it_is_ready() -> None:
    async with serving(LONG) as (house, _, port), talking(port) as (reader, writer):
        writer.write(get("/late", "Content-Length: 1000000") + b"y" * 1_000_000 + get("/late"))
        assert b"/late 1000000" in await reader.readuntil(b"/late 1000000")
        assert b"/late 0" in await reader.readuntil(b"/late 0")
        assert house.most_at_once <= 64 * 1024


@pytest.mark.gen_test(timeout=20)
async def test_a_client_that_hangs_up_is_noticed() -> None:
    async with serving(LONG) as (house, server, port):
        async with talking(port) as (_, writer):
            writer.write(get("/never"))
            await until(lambda: house.told == ["waiting"])
        await until(lambda: house.told == ["waiting", "hung up"])
        async with talking(port) as (_, writer):
            writer.write(get("/", "Content-Length: 5") + b"ab")
            await until(lambda: len(server.connections) == 1)
            await asyncio.sleep(0.05)
        await until(lambda: house.told == ["waiting", "hung up", "lost"])
        await until(lambda: server.connections == set())


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize("target", ["/fail", "/fail-early"])
async def test_a_delegate_that_fails_ends_its_connection_alone(target: str, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(LONG) as (_, _, port), talking(port) as (reader, writer), talking(port) as other:
        writer.write(get(target))
        assert await rest(reader) == b""
        other[1].write(get("/"))
        assert b"/ 0" in await other[0].readuntil(b"/ 0")
    assert "its request failed" in caplog.text


@pytest.mark.gen_test(timeout=20)
async def test_closing_lets_what_was_written_out_and_ends_everybody() -> None:
    async with serving(LONG) as (house, server, port), talking(port) as idle, talking(port) as (reader, writer):
        writer.write(get("/never"))
        await until(lambda: house.told == ["waiting"])
        server.stop()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        await server.close_all_connections()
        assert await rest(reader) == await rest(idle[0]) == b""
        assert server.connections == set()
        assert house.told == ["waiting", "hung up"]
