"""A simulator on a real socket of its own, and the two hands that tests use on it: WeChat's client and the control."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from wechat.simulator import DEFAULT_APPID, DEFAULT_SECRET, Simulator

PATH = "/sns/jscode2session"
OTHER_APP = "wx0000000000000002"
OTHER_SECRET = "another-secret"


class Simulated:
    """One running simulator as a test sees it: only through its socket."""

    def __init__(self, http: aiohttp.ClientSession, base: str, simulator: Simulator) -> None:
        self.http = http
        self.base = base
        self.simulator = simulator
        self.host = urlsplit(base).hostname or ""
        self.port = urlsplit(base).port or 0

    async def control(self, word: str, **fields: Any) -> dict[str, Any]:
        async with self.http.post(f"{self.base}/_sim/{word}", json=fields) as answer:
            value: dict[str, Any] = await answer.json()
            assert answer.status == 200, value
            return value

    async def code(self, user: str = "mei", **fields: Any) -> str:
        return str((await self.control("login", user=user, **fields))["code"])

    async def fault(self, kind: str | int, **fields: Any) -> dict[str, Any]:
        return await self.control("fault", kind=kind, **fields)

    def query(self, code: str, **changes: str | None) -> dict[str, str]:
        query: dict[str, str | None] = {
            "appid": DEFAULT_APPID,
            "secret": DEFAULT_SECRET,
            "js_code": code,
            "grant_type": "authorization_code",
        }
        return {name: value for name, value in (query | changes).items() if value is not None}

    async def ask(self, code: str, **changes: str | None) -> tuple[aiohttp.ClientResponse, bytes]:
        """Ask as a careful client does: nothing is unpacked, nothing is followed."""
        query = self.query(code, **changes)
        async with self.http.get(self.base + PATH, params=query, allow_redirects=False) as answer:
            return answer, await answer.read()

    async def redeem(self, code: str, **changes: str | None) -> dict[str, Any]:
        answer, body = await self.ask(code, **changes)
        assert answer.status == 200
        value: dict[str, Any] = await answer.json(content_type=None)
        assert body
        return value

    async def requests(self) -> list[dict[str, Any]]:
        return list((await self.control("log"))["requests"])

    async def until_waiting(self, callers: int) -> None:
        """Return when exactly so many callers are kept waiting by a fault; the test's own timeout bounds it."""
        while (await self.control("state"))["waiting"] != callers:  # noqa: ASYNC110  # what is polled is another server
            await asyncio.sleep(0.01)


@asynccontextmanager
async def simulated(seed: int | None = None) -> AsyncIterator[Simulated]:
    """Start a simulator on a free port, and end it with all its connections."""
    simulator = Simulator(seed)
    base = simulator.listen("127.0.0.1", 0)
    connector = aiohttp.TCPConnector(limit=0)
    try:
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as http:
            yield Simulated(http, base, simulator)
    finally:
        await simulator.close()


async def other_app(wechat: Simulated, **fields: Any) -> None:
    """Make a second mini program."""
    await wechat.control("app", appid=OTHER_APP, secret=OTHER_SECRET, **fields)
