"""What `doctor` finds under a server's settings, and how a test picks one finding out of it."""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import Any

from faults.asking import run
from product import APPSECRET, Product

Found = dict[str, Any]


async def examined(server: Product, *, status: int, **settings: str) -> list[Found]:
    """Return what `doctor` says under a server's settings and these; it must end with this exit status."""
    at = Product(server.folder, {**server.settings, **settings}) if settings else server
    finished = await asyncio.to_thread(run, at, "doctor", "--json")
    assert (finished.returncode, finished.stderr) == (status, ""), finished
    assert APPSECRET not in finished.stdout
    found: list[Found] = [json.loads(line) for line in finished.stdout.splitlines()]
    assert all(bool(each["remedy"]) == (each["level"] != "ok") for each in found), found
    return found


def named(found: list[Found], check: str, *, level: str, said: str, remedy: str) -> None:
    """Hold that one finding of a check says so, is as bad as that, and tells this remedy."""
    fitting = [each for each in found if each["check"].startswith(check) and said in each["says"]]
    assert [each["level"] for each in fitting] == [level], found
    assert remedy in fitting[0]["remedy"], fitting


def well(found: list[Found], check: str, *, said: str = "") -> None:
    """Hold that nothing is wrong with a check, and that one finding says so."""
    of_it = [each for each in found if each["check"].startswith(check)]
    assert {each["level"] for each in of_it} == {"ok"}, found
    assert any(said in each["says"] for each in of_it), found


@asynccontextmanager
async def odd_wechat(offset: int, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Run a WeChat that refuses every code, by a clock that is so many seconds off; give its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        date = formatdate(time.time() + offset, usegmt=True)
        body = b'{"errcode":40029,"errmsg":"invalid code"}'
        writer.write(f"HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]
