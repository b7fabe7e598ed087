"""Servers that many tests share, one for each parser of requests."""

from collections.abc import Callable
from pathlib import Path

from children import Child
from product import APPID, APPSECRET, Product, Simulator

PARSERS = ("tornado", "llhttp")
# All who ask these servers share one address.
UNLIMITED: dict[str, object] = {"LOGIN_LIMIT": 0, "UNKNOWN_TOKEN_LIMIT": 0}


def one_for_each(
    folder: Path, children: list[Child], simulator: Simulator, **settings: object
) -> Callable[[str], Product]:
    """Return what gives the one running server of a parser, without limits per address."""
    running: dict[str, Product] = {}

    def running_with(parser: str) -> Product:
        if parser not in running:
            wechat = {"WECHAT_BASE": simulator.base, "APPID": APPID, "APPSECRET": APPSECRET}
            product = Product(folder / f"by-{parser}", {**wechat, **UNLIMITED, "PARSER": parser, **settings})
            children.append(product)
            product.start()
            running[parser] = product
        return running[parser]

    return running_with
