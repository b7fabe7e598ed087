"""The fixture `house`; a test module takes it with ``pytest_plugins = ["inhabited_house"]``."""

from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from backends import Backend as Stores
from inhabited import OTHER, House
from product import APPID, APPSECRET
from tornado.ioloop import IOLoop

import process
import settings
from stores.keys import make_keys


@pytest.fixture
def house(backend: Stores, tmp_path: Path, io_loop: IOLoop) -> Iterator[House]:
    """A server process without its ports, on empty stores."""
    given = {
        "WECHAT_BASE": "http://127.0.0.1:9",
        "APPID": APPID,
        "APPSECRET": APPSECRET,
        "DATA_DIR": str(tmp_path),
        **backend.fresh(),
    }
    made = settings.load({}, {f"MENSHEN_{name}": value for name, value in given.items()}).settings
    stack = AsyncExitStack()

    async def move_in() -> House:
        make_keys(tmp_path)
        await process.upgrade(made)
        opened = await stack.enter_async_context(process.opened(made))
        await opened.sessions.set_epochs(await opened.epochs.know([APPID, OTHER]))
        return House(opened)

    yield io_loop.run_sync(move_in)
    io_loop.run_sync(stack.aclose)
