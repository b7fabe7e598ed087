"""Servers for hostile peers, one for each HTTP parser that the product has."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from children import Child
from product import APPID, APPSECRET, Product, Simulator

# The settings that choose the parser; each meets everything in this folder.
PARSERS: dict[str, dict[str, object]] = {"tornado": {"PARSER": "tornado"}, "llhttp": {"PARSER": "llhttp"}}
# Without limits per address: all attackers here share one.
UNLIMITED: dict[str, object] = {"LOGIN_LIMIT": 0, "UNKNOWN_TOKEN_LIMIT": 0, "LOG_LEVEL": "info"}


@pytest.fixture(scope="session")
def target_of(folder: Path, children: list[Child], simulator: Simulator) -> Callable[[str], Product]:
    """Return the one running server of each parser."""
    running: dict[str, Product] = {}

    def running_with(parser: str) -> Product:
        if parser not in running:
            wechat: dict[str, object] = {"WECHAT_BASE": simulator.base, "APPID": APPID, "APPSECRET": APPSECRET}
            product = Product(folder / f"target-{parser}", wechat | UNLIMITED | PARSERS[parser])
            children.append(product)
            product.start()
            running[parser] = product
        return running[parser]

    return running_with


@pytest.fixture(params=PARSERS)
def target(request: pytest.FixtureRequest, target_of: Callable[[str], Product]) -> Iterator[Product]:
    """Give the test a running server that other hostile tests use too."""
    product = target_of(request.param)
    yield product
    product.check_log()


@pytest.fixture(params=PARSERS)
def new_target(request: pytest.FixtureRequest, make_server: Callable[..., Product]) -> Product:
    """Start a server of the test's own, whose memory and log no other attack has filled yet."""
    return make_server(**UNLIMITED, **PARSERS[request.param])
