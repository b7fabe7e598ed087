"""What every proof stands on: real servers on this machine, people with phones, a load, and how a result is told."""

import asyncio
import gc
import json
import math
import multiprocessing
import random
import shutil
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
from children import Child
from faults.delaying import DelayingProxy
from phone import Answer, Network, Phone, WeChat
from product import APPID, APPSECRET, Product, Simulator
from servers import MariaDB, RedisServer

SEED = 20_261_121
MIB = 2**20
# Other processes are forked from a clean process that has imported this: a running loop and its threads stay out of it.
CLEAN = multiprocessing.get_context("forkserver")
CLEAN.set_forkserver_preload(["benchmarks.prove.records"])
T = TypeVar("T")


@dataclass(frozen=True)
class Result:
    """What one proof saw. `held` is None when this machine or this version cannot show the goal; then `why` says it."""

    measured: str
    held: bool | None
    why: str = ""


Proof = Callable[["Ground"], Awaitable[Result]]


@dataclass(frozen=True)
class Goal:
    """One numeric goal: its number, what it promises, and the function that shows it."""

    number: int
    promise: str
    proof: Proof

    @property
    def name(self) -> str:
        """As docs/security.md calls it."""
        return f"D{self.number}"


GOALS: dict[int, Goal] = {}


def goal(number: int, promise: str) -> Callable[[T], T]:
    """Enter a proof in the list; its counts are keyword arguments, so that a test can run it with small ones."""

    def enter(proof: T) -> T:
        GOALS[number] = Goal(number, promise, proof)  # type: ignore[arg-type]  # a proof may have counts besides
        return proof

    return enter


class Ground:
    """The servers of one proof; everything ends with `clear`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.network = Network()
        self.dice = random.Random(SEED)
        self._children: list[Child] = []
        self._proxies: list[DelayingProxy] = []
        self._simulator: Simulator | None = None
        self._mariadb: MariaDB | None = None

    def started(self, child: Child) -> Child:
        """Start a child that ends with the proof."""
        self._children.append(child)
        child.start()
        return child

    def place(self, name: str) -> Path:
        """Return a folder of its own for something."""
        return self.folder / f"{len(self._children)}-{name}"

    @property
    def simulator(self) -> Simulator:
        """The one WeChat of the proof."""
        if self._simulator is None:
            self._simulator = Simulator(self.place("wechat"), {})
            self.started(self._simulator)
        return self._simulator

    async def wechat(self) -> WeChat:
        """WeChat's control, with no limit on how often it may be asked."""
        wechat = WeChat(self.simulator.base, self.network)
        await wechat.app(minute_quota=0)
        return wechat

    @property
    def mariadb(self) -> MariaDB:
        """The one MariaDB of the proof."""
        if self._mariadb is None:
            self._mariadb = MariaDB(self.place("mariadb"))
            self.started(self._mariadb)
        return self._mariadb

    def redis(self) -> RedisServer:
        """A new Redis that answers a write when it is on the disk."""
        redis = RedisServer(self.place("redis"))
        self.started(redis)
        return redis

    def proxy(self, port: int) -> DelayingProxy:
        """A proxy before a port of this machine."""
        proxy = DelayingProxy(port)
        self._proxies.append(proxy)
        return proxy

    def settings(self, **settings: object) -> dict[str, object]:
        """The settings of a server whose WeChat is the simulator; the limits per address are off: all load has one."""
        own: dict[str, object] = {"WECHAT_BASE": self.simulator.base, "APPID": APPID, "APPSECRET": APPSECRET}
        off = {"LOGIN_LIMIT": 0, "UNKNOWN_TOKEN_LIMIT": 0, "SESSIONS_PER_USER": 0, "LOG_LEVEL": "info"}
        return own | off | settings

    def server(self, kind: type[Product] = Product, *, start: bool = True, **settings: Any) -> Product:
        """A Menshen, on SQLite unless the settings say otherwise."""
        server = kind(self.place("server"), self.settings(**settings))
        self._children.append(server)
        if start:
            server.start()
        return server

    def pair(self, **settings: Any) -> tuple[Product, Product, RedisServer]:
        """Two servers on one MariaDB and one Redis."""
        redis = self.redis()
        stores: dict[str, Any] = {"DATABASE": self.mariadb.served(), "SESSIONS": redis.url(), **settings}
        first = self.server(**stores)
        return first, self.server(DATA_DIR=first.data_dir, **stores), redis

    async def phones(self, at: Product, number: int) -> list[Phone]:
        """New people."""
        wechat = await self.wechat()
        return [Phone(at, wechat, self.network) for _ in range(number)]

    async def people(self, at: Product, number: int) -> dict[str, int]:
        """New people who are in: whose id each token stands for."""
        owners = {}
        for phone in await self.phones(at, number):
            answer = await phone.login()
            if answer.status != 200:
                raise RuntimeError(f"a login was answered with {answer.status}: {answer.body!r}")
            owners[phone.token] = int(answer.json["user"]["id"])
        return owners

    async def clear(self) -> None:
        """End everything, the newest first, and remove what it wrote."""
        await self.network.close()
        for proxy in self._proxies:
            proxy.close()
        for child in reversed(self._children):
            child.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class Line:
    """One kept connection that asks as fast as Python can: the answers are read, and little else."""

    def __init__(self, port: int, address: str = "127.0.0.1") -> None:
        self._port = port
        self._address = address
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def verify(self, token: str) -> tuple[int, dict[str, Any]]:
        """Return the status and the body. Raises OSError and IncompleteReadError when there is no answer."""
        asked = f"GET /api/verify HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n"
        status, body = await self.ask(asked.encode())
        return status, json.loads(body)

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Return the status and the body of any answer that has a length. Raises likewise."""
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(
                "127.0.0.1", self._port, local_addr=(self._address, 0)
            )
        try:
            self._writer.write(request)
            head = await self._reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            body = await self._reader.readexactly(length)
        except BaseException:
            self.hang_up()
            raise
        if b"onnection: close" in head:
            self.hang_up()
        return int(head[9:12]), body

    def hang_up(self) -> None:
        """Close it without a word; the next question opens another."""
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None


NO_ANSWER = (OSError, aiohttp.ClientError, TimeoutError, EOFError)  # IncompleteReadError is an EOFError


def port_of(server: Product) -> int:
    """Return the port of a server."""
    return urlsplit(server.base).port or 0


async def verified(server: Product, owners: Mapping[str, int], lines: int = 16) -> tuple[int, int]:
    """Verify every token; return how many do not hold and how many are told to be somebody else."""
    waiting = iter(list(owners.items()))
    lost = wrong = 0

    async def ask() -> None:
        nonlocal lost, wrong
        line = Line(port_of(server))
        for token, owner in waiting:
            status, body = await line.verify(token)
            lost += status != 200
            wrong += status == 200 and body["user_id"] != owner
        line.hang_up()

    await asyncio.gather(*(ask() for _ in range(lines)))
    return lost, wrong


class Pulse:
    """Verifies one after the other at a steady pace, in a process of its own, so that our own load does not slow it."""

    def __init__(self, server: Product, tokens: Sequence[str], *, per_second: float = 200, lines: int = 4) -> None:
        self.statuses: list[int] = []
        self.took: list[float] = []  # milliseconds of each
        self.silent = 0
        self._ours, theirs = CLEAN.Pipe()
        arguments = (port_of(server), list(tokens), lines / per_second, lines, theirs)
        self._process = CLEAN.Process(target=_beat, args=arguments, daemon=True)
        self._process.start()
        theirs.close()
        self._ask()  # it beats when this is answered
        self.take()

    def _ask(self) -> None:
        self._ours.send("so far")
        if not self._ours.poll(30):
            raise RuntimeError("the pulse does not answer")
        statuses, took, silent = self._ours.recv()
        self.statuses += statuses
        self.took += took
        self.silent += silent

    async def stop(self) -> None:
        """Take what is left, and end it."""
        await asyncio.to_thread(self._ask)
        self._ours.send("end")
        await asyncio.to_thread(self._process.join, 10)
        self._process.kill()
        self._ours.close()

    def take(self) -> tuple[list[int], list[float]]:
        """Return what was seen since the last take."""
        self._ask()
        seen = self.statuses, self.took
        self.statuses, self.took = [], []
        return seen


@dataclass
class _Seen:
    """What a pulse saw since it was last asked."""

    statuses: list[int] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    silent: int = 0

    async def keep_verifying(self, port: int, tokens: Sequence[str], pause: float, n: int) -> None:
        line = Line(port)
        while True:
            n += 1
            started = time.perf_counter()
            try:
                status, _ = await line.verify(tokens[n % len(tokens)])
                self.statuses.append(status)
                self.took.append((time.perf_counter() - started) * 1000)
            except NO_ANSWER:
                self.silent += 1
            await asyncio.sleep(max(0.0, pause - (time.perf_counter() - started)))

    def hand_over(self) -> tuple[list[int], list[float], int]:
        seen = self.statuses, self.took, self.silent
        self.statuses, self.took, self.silent = [], [], 0
        return seen


def _beat(port: int, tokens: Sequence[str], pause: float, lines: int, theirs: Connection) -> None:
    """Verify until told to end; what was seen is handed over when asked for. Runs in a process of its own."""
    seen = _Seen()
    gc.freeze()  # to collect all that is loaded here takes some 30 ms, which would be measured as the server's

    async def run() -> None:
        loop = asyncio.get_running_loop()
        ended = loop.create_future()

        def asked() -> None:
            if _word(theirs) == "so far":
                theirs.send(seen.hand_over())
                return
            loop.remove_reader(theirs.fileno())
            ended.set_result(None)

        loop.add_reader(theirs.fileno(), asked)
        beating = [asyncio.ensure_future(seen.keep_verifying(port, tokens, pause, n)) for n in range(lines)]
        await ended
        for each in beating:
            each.cancel()
        await asyncio.gather(*beating, return_exceptions=True)

    asyncio.run(run())


def _word(theirs: Connection) -> str:
    try:
        return str(theirs.recv())
    except EOFError:  # whoever asked is gone
        return "end"


async def arrivals(per_second: float, stop: asyncio.Event, arrive: Callable[[int], Awaitable[None]]) -> int:
    """Let somebody arrive at a steady pace, whether those before are done or not; return how many came."""
    started, under_way, n = time.monotonic(), set[asyncio.Future[None]](), 0
    while not stop.is_set():
        due = int((time.monotonic() - started) * per_second)
        for _ in range(due - n):
            under_way.add(asyncio.ensure_future(arrive(n)))
            n += 1
        done = {each for each in under_way if each.done()}
        for each in done:
            each.result()
        under_way -= done
        await asyncio.sleep(0.005)
    await asyncio.gather(*under_way)
    return n


async def timed(asked: Awaitable[T]) -> tuple[T, float]:
    """Return what came, and the seconds it took."""
    started = time.monotonic()
    return await asked, time.monotonic() - started


async def until(holds: Callable[[], Awaitable[bool]], *, seconds: float) -> float:
    """Ask until it holds; return after how many seconds it did, infinity when it does not in time."""
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        with suppress(*NO_ANSWER):
            if await holds():
                return time.monotonic() - started
        await asyncio.sleep(0.01)
    return math.inf


async def ok(asked: Awaitable[Answer]) -> bool:
    """Say whether the answer is a 200."""
    return (await asked).status == 200


def part(took: Sequence[float], share: float = 0.99) -> float:
    """Return the value below which so great a share lies."""
    ordered = sorted(took)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else math.nan


def median(took: Sequence[float]) -> float:
    """Return the middle one."""
    return statistics.median(took) if took else math.nan


@dataclass
class InTurns:
    """Milliseconds of verifies, round by round, in calm and meanwhile.

    Rounds take turns, and the middle one counts: what else this machine does meets one or another.
    """

    calm: list[list[float]] = field(default_factory=list)
    meanwhile: list[list[float]] = field(default_factory=list)

    def change(self) -> float:
        """Return by how many milliseconds the 99th in a hundred got slower."""
        return _middle(self.meanwhile) - _middle(self.calm)

    def unnoticed(self) -> bool:
        """Say whether it got no slower than a tenth, or than the 2 ms that a shared core may cost."""
        return self.change() <= max(_middle(self.calm) / 10, 2)

    def told(self) -> str:
        """Return both in words."""
        before, then = median([*chain(*self.calm)]), median([*chain(*self.meanwhile)])
        return (
            f"verify p99 {_middle(self.calm):.1f} ms, then {_middle(self.meanwhile):.1f} ms "
            f"({self.change():+.1f}; the middle of {len(self.calm)} rounds), median {before:.1f} and {then:.1f} ms"
        )


def _middle(rounds: Sequence[Sequence[float]]) -> float:
    return median([part(each) for each in rounds])


def resident(pid: int) -> int:
    """Return how many bytes of memory a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
