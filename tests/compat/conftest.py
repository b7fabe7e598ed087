"""The fixtures of the dialects.

| fixture      | gives                                                                                          |
|--------------|------------------------------------------------------------------------------------------------|
| `dialects`   | a shared running Menshen with every dialect on, once on each backend                            |
| `wafer_sdks` | the folder with Tencent's SDKs as they were published, installed from the committed lock        |
| `wafer_phone` | phones with one of these SDKs on them: `await wafer_phone("wafer-client-sdk", server, "mei")`  |
"""

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from backends import Backend
from children import Child
from npm import installed
from phone import WeChat
from product import APPID, APPSECRET, Product, Simulator
from tornado.ioloop import IOLoop

from compat.wafer_phone import WaferPhone

HERE = Path(__file__).resolve().parent
ALL = "tutorials,wafer1,wafer2"


@pytest.fixture(scope="session")
def running_dialects() -> dict[str, Product]:
    """The servers that run already, by backend."""
    return {}


@pytest.fixture
def dialects(
    backend: Backend,
    folder: Path,
    children: list[Child],
    simulator: Simulator,
    running_dialects: dict[str, Product],
) -> Iterator[Product]:
    """A running Menshen that speaks every dialect; other tests of the dialects use it too."""
    if backend.name not in running_dialects:
        settings = {"WECHAT_BASE": simulator.base, "APPID": APPID, "APPSECRET": APPSECRET, "COMPAT": ALL}
        limits = {"LOGIN_LIMIT": 0, "UNKNOWN_TOKEN_LIMIT": 0}
        product = Product(folder / f"dialects-{len(running_dialects)}", {**settings, **limits, **backend.fresh()})
        children.append(product)
        product.start()
        running_dialects[backend.name] = product
    product = running_dialects[backend.name]
    yield product
    product.check_log()


@pytest.fixture(scope="session")
def wafer_sdks() -> Path:
    """The folder whose node_modules hold the SDKs; they are fetched once for each state of the lock."""
    return installed(HERE)


@pytest.fixture
def wafer_phone(wafer_sdks: Path, wechat: WeChat, io_loop: IOLoop) -> Iterator[Callable[..., Awaitable[WaferPhone]]]:
    """Phones with an SDK; `garbled` ones send encryptedData that no key opens."""
    started: list[WaferPhone] = []

    async def start(sdk: str, base: str, person: str, *, login: str, garbled: bool = False) -> WaferPhone:
        environment = {"SERVER": base, "WECHAT": wechat.base, "APPID": APPID, "PERSON": person, "LOGIN_PATH": login}
        phone = WaferPhone(sdk, wafer_sdks, environment | ({"GARBLED": "yes"} if garbled else {}))
        await phone.start()
        started.append(phone)
        return phone

    yield start
    for phone in started:
        io_loop.run_sync(phone.close)
