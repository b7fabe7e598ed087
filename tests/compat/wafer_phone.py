"""A phone with one of Tencent's Wafer SDKs on it: a node process that does what the SDK does, call by call."""

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from servers import program

HERE = Path(__file__).resolve().parent
SECONDS = 20


@dataclass(frozen=True)
class Called:
    """What the SDK called back: one of the two, and how many requests that took."""

    ok: Any
    failed: Any
    asked: int


class WaferPhone:
    """One phone: its storage, its SDK, its person."""

    def __init__(self, sdk: str, sdks: Path, environment: Mapping[str, str]) -> None:
        self._command = [str(program("node")), str(HERE / "phone.js"), sdk]
        self._environment = {"PATH": os.environ["PATH"], "NODE_PATH": str(sdks), **environment}
        self._process: asyncio.subprocess.Process | None = None
        self._waiting: dict[int, asyncio.Future[Called]] = {}
        self._reader: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Switch it on."""
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=pipe, stdout=pipe, env=self._environment
        )
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process
        assert self._process.stdout
        while line := await self._process.stdout.readline():
            told = json.loads(line)
            called = Called(told.get("ok"), told.get("failed"), told["asked"])
            self._waiting.pop(told["n"]).set_result(called)
        for each in self._waiting.values():
            each.set_exception(AssertionError("the phone broke down; its last words are above"))

    async def call(self, name: str, **options: object) -> Called:
        """Call one function of the SDK and wait until it calls back."""
        assert self._process
        assert self._process.stdin
        n = max(self._waiting, default=0) + 1
        self._waiting[n] = asyncio.get_running_loop().create_future()
        self._process.stdin.write(json.dumps({"n": n, "call": name, "options": options}).encode() + b"\n")
        return await asyncio.wait_for(self._waiting[n], SECONDS)

    async def login(self, **options: object) -> Called:
        """Log in, as the app's own button does."""
        return await self.call("login", **options)

    async def request(self, path: str, **options: object) -> Called:
        """Ask a path of the server through the SDK, which logs in again by itself when it has to."""
        return await self.call("request", path=path, **options)

    async def stored(self) -> Any:
        """Return what the SDK keeps of its session."""
        return (await self.call("stored")).ok

    async def close(self) -> None:
        """Switch it off."""
        assert self._process
        assert self._process.stdin
        assert self._reader
        self._process.stdin.close()
        await self._process.wait()
        await self._reader
