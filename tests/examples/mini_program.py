"""A phone with the example's mini program on it: a node process that does what its person does, deed by deed."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from servers import program

HERE = Path(__file__).resolve().parent
SECONDS = 30


class Refused(Exception):
    """The client refused; `told` is what a page would see."""

    def __init__(self, told: dict[str, Any]) -> None:
        super().__init__(told)
        self.told = told


class MiniProgram:
    """One phone: its storage, its clock, its person."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = {"PATH": os.environ["PATH"], **environment}
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._count = 0

    async def start(self) -> None:
        """Switch it on."""
        pipe = asyncio.subprocess.PIPE
        command = [str(program("node")), str(HERE / "phone.js")]
        self._process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, env=self._environment)
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process
        assert self._process.stdout
        while line := await self._process.stdout.readline():
            told = json.loads(line)
            self._waiting.pop(told["n"]).set_result(told)

    async def do(self, deed: str, **given: object) -> Any:
        """Do one deed of phone.js and return what came of it; raises Refused."""
        assert self._process
        assert self._process.stdin
        self._count += 1
        waiting = self._waiting[self._count] = asyncio.get_running_loop().create_future()
        self._process.stdin.write(json.dumps({"n": self._count, "deed": deed, **given}).encode() + b"\n")
        told = await asyncio.wait_for(waiting, SECONDS)
        assert "broken" not in told, told["broken"]
        if "refused" in told:
            raise Refused(told["refused"])
        return told["ok"]

    async def request(self, url: str, **options: object) -> Any:
        """Ask through menshen.js, which logs in when it has to."""
        return await self.do("request", options={"url": url, **options})

    async def refused(self, url: str, **options: object) -> dict[str, Any]:
        """Ask what must be refused, and return what the page is told."""
        try:
            answer = await self.request(url, **options)
        except Refused as refused:
            return refused.told
        raise AssertionError(f"{url} was answered: {answer}")

    async def token(self) -> str:
        """Return what stands in the phone's storage."""
        return str(await self.do("stored"))

    async def seen(self, name: str) -> Any:
        """Return how many logins or requests there were, which waits, or which reasons of an end."""
        return (await self.do("seen"))[name]

    async def close(self) -> None:
        """Switch it off."""
        assert self._process
        assert self._process.stdin
        assert self._reader
        self._process.stdin.close()
        await self._process.wait()
        await self._reader


class Somewhere(Protocol):
    """A server, whoever it is."""

    @property
    def base(self) -> str:
        """The base URL, without a slash at the end."""


MakeMiniProgram = Callable[..., Awaitable[MiniProgram]]
