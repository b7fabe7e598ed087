"""Servers whose requests Tornado's own parser reads, and for what both parsers must do alike, one of each.

The tests of tests/api that are about requests run here a second time, on servers with PARSER=tornado.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from backends import BACKENDS, Backend
from children import Child
from parsers import PARSERS, one_for_each
from product import Product, Simulator

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "api"))


@pytest.fixture(scope="session", params=BACKENDS[:1])
def backend(request: pytest.FixtureRequest) -> Backend:
    """Name the stores: how a request is read does not depend on them."""
    return Backend(request.param)


@pytest.fixture(scope="session")
def of_parser(folder: Path, children: list[Child], simulator: Simulator) -> Callable[[str], Product]:
    """Return the one running Menshen of each parser."""
    return one_for_each(folder / "both", children, simulator)


@pytest.fixture(scope="session")
def shared_server(of_parser: Callable[[str], Product]) -> Callable[[Backend], Product]:
    """Return the one running Menshen with Tornado's own parser."""
    return lambda backend: of_parser("tornado")


@pytest.fixture
def make_server(make_server: Callable[..., Product]) -> Callable[..., Product]:
    """Start Menshens of the test's own, with that parser."""
    return lambda **settings: make_server(PARSER="tornado", **settings)


@pytest.fixture(params=PARSERS)
def either(request: pytest.FixtureRequest, of_parser: Callable[[str], Product]) -> Product:
    """Give the test a running Menshen, once of each parser."""
    return of_parser(request.param)
