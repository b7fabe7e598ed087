"""Small servers that answer a WeChat client with any bytes, at any pace, with any certificate, and count what came."""

import asyncio
import functools
import json
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import ParamSpec

from wechat.answers import Identity
from wechat.client import WeChat
from wechat.errors import WeChatTrouble

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]
P = ParamSpec("P")

SECRET = "canary-of-the-appsecret-00000001"
GOOD: dict[str, object] = {"session_key": "EYHiOw5v7tP4HSvxegKjmw==", "openid": "o57y35dO3e95DXwQtZ9JuZWIjVRA"}


def on_a_loop(test: Callable[P, Coroutine[None, None, None]]) -> Callable[P, None]:
    """Runs an async test to its end on a loop of its own, 60 seconds at most."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 60))

    return run


def in_seconds(seconds: float) -> float:
    """A deadline that far ahead on the running loop's clock."""
    return asyncio.get_running_loop().time() + seconds


@dataclass(frozen=True)
class Hidden:
    """A secret as the settings hold it."""

    value: str = field(repr=False)

    def reveal(self) -> str:
        """The secret itself."""
        return self.value


@dataclass(frozen=True)
class App:
    """A mini program as the settings hold it."""

    secret: Hidden


@asynccontextmanager
async def asking(
    base: str,
    *,
    secret: str = SECRET,
    open_logins: int = 500,
    cafile: str | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[WeChat]:
    """A client of the mini programs wx1 and wx0000000000000001 (the simulator's), closed at the end."""
    app = App(Hidden(secret))
    apps = {"wx1": app, "wx0000000000000001": app}
    client = WeChat(base, apps, open_logins, cafile=cafile, clock=clock)
    try:
        yield client
    finally:
        await client.close()


@dataclass
class OddServer:
    """What the server saw: connections made, request heads in order, and how many connections are open."""

    base: str
    connections: int = 0
    requests: list[str] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    shut: Callable[[], None] = lambda: None

    async def until_asked(self, times: int) -> None:
        """Waits for that many requests in all."""
        while len(self.requests) < times:
            self.news.clear()
            await self.news.wait()


def http(body: bytes, status: str = "200 OK", *headers: str) -> Answer:
    """An answer with a length, after which the connection stays open."""
    head = "\r\n".join([f"HTTP/1.1 {status}", "Content-Type: text/plain", f"Content-Length: {len(body)}", *headers])
    return raw(head.encode() + b"\r\n\r\n" + body)


def wechat(**fields: object) -> Answer:
    """WeChat's usual answer, as JSON."""
    return http(json.dumps(fields).encode())


def raw(sent: bytes, *, close: bool = False) -> Answer:
    """Exactly these bytes."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        await writer.drain()
        if close:
            writer.close()

    return answer


async def silence(_writer: asyncio.StreamWriter) -> None:
    """Nothing, on an open connection."""


async def cut(writer: asyncio.StreamWriter) -> None:
    """The connection, closed without a byte."""
    writer.close()


async def reset(writer: asyncio.StreamWriter) -> None:
    """The connection, torn down."""
    writer.transport.abort()


async def drip(writer: asyncio.StreamWriter) -> None:
    """A byte every 50 ms for half a minute: no single read ever waits long."""
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 600\r\n\r\n" + b" " * 600:
        writer.write(bytes([byte]))
        await asyncio.sleep(0.05)


async def endless(writer: asyncio.StreamWriter) -> None:
    """300 MB, as fast as the reader takes them."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 300000000\r\n\r\n")
    for _ in range(300):
        writer.write(b" " * 1_000_000)
        await writer.drain()


@asynccontextmanager
async def odd_server(*answers: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[OddServer]:
    """A server on a free port that gives the answers in turn, the last one for ever."""
    saw = OddServer("")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        saw.connections += 1
        saw.writers.append(writer)
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                saw.requests.append(head.decode())
                saw.news.set()
                await answers[min(len(saw.requests), len(answers)) - 1](writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    # Of 500 who connect at once, those beyond asyncio's hundred would be tried again by the kernel, a second later.
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls, backlog=1_000)
    saw.shut = server.close
    port = server.sockets[0].getsockname()[1]
    saw.base = f"https://localhost:{port}" if tls else f"http://127.0.0.1:{port}"
    try:
        yield saw
    finally:
        server.close()
        for writer in saw.writers:
            writer.transport.abort()
        await asyncio.sleep(0.01)  # lets the torn connections' tasks end before the loop does


good, busy = wechat(**GOOD), wechat(errcode=-1, errmsg="system error")
daily, minute = wechat(errcode=45009, errmsg="daily"), wechat(errcode=45011, errmsg="minute")
refused, used = wechat(errcode=40029, errmsg="invalid code"), wechat(errcode=40163, errmsg="code been used")


async def log_in(
    client: WeChat, *, code: str = "0code", address: str = "192.0.2.1", seconds: float = 3.0, appid: str = "wx1"
) -> Identity | WeChatTrouble:
    """What one login comes to; a trouble is returned, so that a list of them can be looked at."""
    try:
        return await client.identify(appid, code, address=address, deadline=in_seconds(seconds))
    except WeChatTrouble as trouble:
        return trouble


class Clock:
    """Seconds that pass only when the test says so."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@asynccontextmanager
async def wechat_that_says(
    *answers: Answer, clock: Clock | None = None, open_logins: int = 500
) -> AsyncIterator[tuple[OddServer, WeChat]]:
    """A WeChat with these answers, and a client of it."""
    async with (
        odd_server(*answers) as server,
        asking(server.base, open_logins=open_logins, clock=clock or time.monotonic) as client,
    ):
        yield server, client


def chain(error: BaseException | None) -> list[BaseException]:
    """The error, and everything that hangs on to it."""
    return [] if error is None else [error, *chain(error.__cause__), *chain(error.__context__)]
