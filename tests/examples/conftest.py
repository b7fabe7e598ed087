"""The fixtures of the examples.

| fixture         | gives                                                                                            |
|-----------------|--------------------------------------------------------------------------------------------------|
| `mini_program`  | phones with the example's mini program: `await mini_program(server)`                              |
| `own_redis`     | a Redis that a test may stop                                                                      |
| `back_end_interpreters` | nothing; a test that names it needs PHP, Node and Go                                   |
| `node_packages` | the folder with WeChat's own typings and the TypeScript compiler, installed from a committed lock |
"""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from children import Child
from npm import installed
from phone import WeChat
from product import APPID
from servers import RedisServer
from tornado.ioloop import IOLoop

from examples.mini_program import MakeMiniProgram, MiniProgram, Somewhere


@pytest.fixture(scope="session")
def own_redis(folder: Path, children: list[Child]) -> RedisServer:
    """The Redis of these tests alone; what a test stops is started again after it."""
    server = RedisServer(folder / "examples-redis")
    children.append(server)
    server.start()
    return server


@pytest.fixture
def back_end_interpreters() -> None:
    """Let the run end before its first test when one is not installed (see servers.PACKAGES)."""


@pytest.fixture(scope="session")
def node_packages() -> Path:
    """The node_modules of tests/examples."""
    return installed(Path(__file__).resolve().parent)


@pytest.fixture
def mini_program(wechat: WeChat, io_loop: IOLoop) -> Iterator[MakeMiniProgram]:
    """Phones; `PC` and `TITLE_CASE` make them behave as some do (see phone.js)."""
    started: list[MiniProgram] = []

    async def start(server: Somewhere, person: str = "", **quirks: str) -> MiniProgram:
        environment = {"SERVER": server.base, "SIMULATOR": wechat.base, "APPID": APPID}
        phone = MiniProgram(environment | {"PERSON": person or f"person-{secrets.token_hex(6)}"} | quirks)
        await phone.start()
        started.append(phone)
        return phone

    yield start
    for phone in started:
        io_loop.run_sync(phone.close)
