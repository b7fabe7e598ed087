"""Your other programs, as Menshen meets them: a back end with a key, and a small server that is told things."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from phone import Answer, Network
from product import Product
from shell import settings_of

import process
from actions import Actor
from actions.service_keys import add_key
from stores.audit import Entry

WEBHOOK_SECRET = "a-webhook-secret-of-32-characters!"


@dataclass
class BackEnd:
    """A program with a service key."""

    server: Product
    network: Network
    key: str
    number: int = 0

    async def ask(
        self,
        method: str,
        path: str,
        *,
        data: bytes = b"",
        json_body: object = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """One request with the key."""
        sent = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        if json_body is not None:
            data, sent["Content-Type"] = json.dumps(json_body).encode(), "application/json"
        return await self.network.ask(method, self.server.base + path, headers=sent | (headers or {}), body=data)

    async def introspect(self, token: str) -> Answer:
        """The form of RFC 7662."""
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        return await self.ask("POST", "/partner/introspect", data=f"token={token}".encode(), headers=form)


async def back_end(server: Product, network: Network, name: str, *scopes: str, **more: Any) -> BackEnd:
    """A back end with a new key for these scopes."""
    async with process.opened(settings_of(server)) as backend:
        added = await add_key(backend, Actor("shell:test"), name, scopes, **more)
    server.never_logged.add(added.text)
    return BackEnd(server, network, added.text, added.key.id)


async def rows_by(server: Product, actor: str, most: int = 60) -> list[Entry]:
    """What the audit has of somebody, the oldest first."""
    async with process.opened(settings_of(server)) as backend:
        return [row for row in reversed(await backend.audit.newest(most)) if row.actor == actor]


@dataclass
class Heard:
    """One request that came in."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Listener:
    """A small server on this machine; `says` decides what it answers."""

    says: Callable[[Heard], Awaitable[web.StreamResponse]]
    heard: list[Heard] = field(default_factory=list)
    port: int = 0
    _runner: web.AppRunner | None = None

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen on the port of before, or on a free one."""
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close the port."""
        if self._runner:
            await self._runner.cleanup()
            self._runner = None

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        heard = Heard(request.path_qs, dict(request.headers), await request.read())
        self.heard.append(heard)
        return await self.says(heard)

    async def waits_for(self, number: int, *, seconds: float = 15.0) -> list[Heard]:
        """Until so many have come."""
        async with asyncio.timeout(seconds):
            while len(self.heard) < number:  # noqa: ASYNC110  # several may wait for different numbers
                await asyncio.sleep(0.02)
        return self.heard


def saying(status: int, body: object = None) -> Callable[[Heard], Awaitable[web.StreamResponse]]:
    """Always the same answer."""

    async def says(_heard: Heard) -> web.StreamResponse:
        return web.json_response(body, status=status)

    return says


def names(values: Iterable[Heard]) -> list[str]:
    """The events of what was heard."""
    return [each.json["event"] for each in values]


@asynccontextmanager
async def told(
    make_server: Callable[..., Product], status: int = 200, **settings: object
) -> AsyncIterator[tuple[Product, Listener]]:
    """A server and the back end that it tells things."""
    listener = Listener(saying(status))
    await listener.start()
    server = make_server(WEBHOOK_URL=f"{listener.base}/hook", WEBHOOK_SECRET=WEBHOOK_SECRET, **settings)
    server.never_logged |= {WEBHOOK_SECRET}
    try:
        yield server, listener
    finally:
        await listener.stop()
