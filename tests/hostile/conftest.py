"""Servers for hostile peers, one for each HTTP parser that the product has."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from children import Child
from parsers import PARSERS, UNLIMITED, one_for_each
from product import Product, Simulator


@pytest.fixture(scope="session")
def target_of(folder: Path, children: list[Child], simulator: Simulator) -> Callable[[str], Product]:
    """Return the one running server of each parser."""
    return one_for_each(folder / "hostile", children, simulator, LOG_LEVEL="info")


@pytest.fixture(params=PARSERS)
def target(request: pytest.FixtureRequest, target_of: Callable[[str], Product]) -> Iterator[Product]:
    """Give the test a running server that other hostile tests use too."""
    product = target_of(request.param)
    yield product
    product.check_log()


@pytest.fixture(params=PARSERS)
def new_target(request: pytest.FixtureRequest, make_server: Callable[..., Product]) -> Product:
    """Start a server of the test's own, whose memory and log no other attack has filled yet."""
    return make_server(**UNLIMITED, LOG_LEVEL="info", PARSER=request.param)
