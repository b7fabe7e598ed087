"""A person's phone, which behaves like wx.request, and WeChat as a test drives it."""

import asyncio
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy
from product import APPID

# What WeChat on Android sends with every wx.request; the Referer names the mini program and its version.
USER_AGENT = (
    "Mozilla/5.0 (Linux; Android 14; Pixel 7) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/126.0 "
    "Mobile Safari/537.36 MicroMessenger/8.0.50.2701(0x28003255) NetType/WIFI Language/zh_CN MiniProgramEnv/android"
)

Headers = Mapping[str, str | None] | Sequence[tuple[str, str | None]]


class Door(Protocol):
    """What a phone needs to know of a server."""

    @property
    def base(self) -> str:
        """The base URL, without a slash at the end."""

    @property
    def never_logged(self) -> set[str]:
        """Where the phone writes down what the server must keep out of its log."""


@dataclass(frozen=True)
class Answer:
    """One HTTP answer, whatever its status."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON; raises AssertionError, showing the body, when it is none."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise AssertionError(f"{self.status} with a body that is not JSON: {self.body[:300]!r}") from error


class Network:
    """The connections of one test: one pool for each local address that something in the test speaks from."""

    def __init__(self) -> None:
        self._pools: dict[str, aiohttp.ClientSession] = {}

    async def ask(
        self, method: str, url: str, *, headers: Headers = (), body: bytes = b"", address: str = "127.0.0.1"
    ) -> Answer:
        """Send one request from a loopback ``address`` and return the answer; redirects are answers too.

        A header whose value is None is not sent at all. Raises aiohttp.ClientError when no answer came.
        """
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        sent = CIMultiDict([(name, value) for name, value in pairs if value is not None])
        unsent = [name for name, value in pairs if value is None]
        pool = self._pool(address)
        # b"" would be a body to aiohttp, also of a GET.
        request = pool.request(
            method, url, data=body or None, headers=sent, allow_redirects=False, skip_auto_headers=unsent
        )
        async with request as response:
            return Answer(response.status, response.headers, await response.read())

    def _pool(self, address: str) -> aiohttp.ClientSession:
        if address not in self._pools:
            self._pools[address] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, local_addr=(address, 0)),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=50),
                skip_auto_headers=["Content-Type"],
            )
        return self._pools[address]

    async def close(self) -> None:
        """Close all connections."""
        for pool in self._pools.values():
            await pool.close()


class WeChat:
    """The simulator's control, in one test; a refused control call is an AssertionError."""

    def __init__(self, base: str, network: Network) -> None:
        self.base = base
        self._network = network

    async def login(self, user: str, appid: str = APPID) -> str:
        """Do what wx.login does on the phone of ``user``, and return the code."""
        return str((await self.tell("login", user=user, appid=appid))["code"])

    async def fault(self, kind: str | int, **details: object) -> None:
        """Let WeChat misbehave: the next ``n`` answers (1 unless told), or with ``probability``."""
        await self.tell("fault", kind=kind, **details)

    async def clock(self, advance: int) -> None:
        """Put WeChat's clock forward by ``advance`` seconds."""
        await self.tell("clock", advance=advance)

    async def app(self, **fields: object) -> Any:
        """Make or change a mini program (the default one unless ``appid`` is given)."""
        return await self.tell("app", **{"appid": APPID, **fields})

    async def user(self, user: str, **fields: object) -> Any:
        """Change and show a WeChat user: openid, unionid, blocked."""
        return await self.tell("user", user=user, **fields)

    async def log(self) -> Any:
        """Return what WeChat was asked since the reset: ``{"counts": {path: n}, "requests": [...]}``."""
        return await self.tell("log")

    async def asked(self, path: str = "/sns/jscode2session") -> int:
        """Return how often a path of WeChat was asked since the reset."""
        return int((await self.log())["counts"].get(path, 0))

    async def reset(self) -> None:
        """Begin anew: no faults, no users, the real time."""
        # The fault `refuse` closes the very port that could be told to open it: it is waited for, a minute at most.
        deadline = time.monotonic() + 60
        while True:
            with suppress(aiohttp.ClientConnectorError):
                await self.tell("reset")
                return
            assert time.monotonic() < deadline, f"nobody listens at {self.base}"
            await asyncio.sleep(0.1)

    async def tell(self, verb: str, **fields: object) -> Any:
        """POST to /_sim/``verb`` and return the answer."""
        body = json.dumps(fields).encode()
        headers = {"Content-Type": "application/json"}
        answer = await self._network.ask("POST", f"{self.base}/_sim/{verb}", headers=headers, body=body)
        assert answer.status == 200, f"the simulator refused {verb}: {answer.status} {answer.body[:300]!r}"
        return answer.json


class Phone:
    """One person's phone: posts JSON, keeps no cookies, and sees every HTTP status as an answer."""

    def __init__(self, server: Door, wechat: WeChat, network: Network, *, address: str = "127.0.0.1") -> None:
        self.server = server
        self.wechat = wechat
        self.address = address
        self.appid = APPID
        self.name = f"person-{secrets.token_hex(6)}"
        self.token = ""
        self._network = network

    async def code(self) -> str:
        """Return a fresh code, as wx.login gives it to this person."""
        code = await self.wechat.login(self.name, self.appid)
        self.server.never_logged.add(code)
        return code

    async def openid(self) -> str:
        """Return the openid by which WeChat knows this person; the phone itself never learns it."""
        return str((await self.wechat.user(self.name, appid=self.appid))["openid"])

    async def request(
        self, method: str, path: str, *, json: object = None, data: bytes = b"", headers: Headers = ()
    ) -> Answer:
        """Send what wx.request sends: JSON unless ``data`` is given, and Content-Type: application/json by default."""
        body = _encoded(json) if json is not None else data
        pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
        given = {name.lower() for name, _ in pairs}
        defaults = {
            "Content-Type": "application/json",
            "User-Agent": USER_AGENT,
            "Referer": f"https://servicewechat.com/{self.appid}/12/page-frame.html",
        }
        pairs += [(name, value) for name, value in defaults.items() if name.lower() not in given]
        url = f"{self.server.base}{path}"
        return await self._network.ask(method, url, headers=pairs, body=body, address=self.address)

    async def login(self, **fields: object) -> Answer:
        """Log in with a fresh code, or the one given, and keep the token."""
        if "code" not in fields:
            fields["code"] = await self.code()
        answer = await self.request("POST", "/api/login", json=fields)
        if answer.status == 200:
            self.token = answer.json["token"]
            self.server.never_logged.add(self.token)
        return answer

    @property
    def bearer(self) -> dict[str, str]:
        """The header that carries the token."""
        return {"Authorization": f"Bearer {self.token}"}

    async def verify(self) -> Answer:
        """Ask whether the token still holds."""
        return await self.request("GET", "/api/verify", headers=self.bearer)

    async def logout(self) -> Answer:
        """End the session; the token stays in the phone, so that a test can try it."""
        return await self.request("POST", "/api/logout", headers=self.bearer)

    async def me(self) -> Answer:
        """Ask for the profile."""
        return await self.request("GET", "/api/me", headers=self.bearer)


def _encoded(value: object) -> bytes:
    """Return JSON as JSON.stringify writes it: UTF-8, Chinese left as it is."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
