"""Servers for hostile peers, one for each HTTP parser that the product has."""

from collections.abc import Callable

import pytest
from product import Product

# The settings that choose the parser; each meets everything in this folder.
PARSERS: dict[str, dict[str, object]] = {"tornado": {}, "llhttp": {"PARSER": "llhttp"}}


@pytest.fixture(params=PARSERS)
def target(request: pytest.FixtureRequest, make_server: Callable[..., Product]) -> Product:
    """Start a server of the test's own, without limits per address: all attackers here share one."""
    return make_server(LOGIN_LIMIT=0, UNKNOWN_TOKEN_LIMIT=0, LOG_LEVEL="info", **PARSERS[request.param])
