"""The dialects of COMPAT: clients that were written for other servers keep working, with our sessions behind them."""

from collections.abc import Collection, Iterator

from handlers.base import Handler
from handlers.carriers import TUTORIALS, WAFER_1, WAFER_2
from handlers.compat import tutorials, wafer

# Each dialect's paths; without the dialect they do not exist.
ROUTES: dict[str, list[tuple[str, type[Handler]]]] = {
    TUTORIALS: [
        (r"/login\.php", tutorials.LoginPhp),
        (r"/api/login", tutorials.SessionLogin),
        (r"/api/function", tutorials.SessionFunction),
        (r"/wx/onlogin", tutorials.NodeLogin),
        (r"/wx/products/list", tutorials.NodeProducts),
        (r"/user/wechat-login", tutorials.YiiLogin),
        (r"/user/info", tutorials.YiiInfo),
        (r"/api/user/login", tutorials.ThinkLogin),
        (r"/api/user/info", tutorials.ThinkInfo),
    ],
    WAFER_1: [
        (r"/login", wafer.WaferLogin),
        (r"/user", wafer.WaferUser),
        (r"/mina_auth/?", wafer.MinaAuth),
    ],
    WAFER_2: [
        (r"/weapp/login", wafer.WaferLogin),
        (r"/weapp/user", wafer.WaferUser),
    ],
}

_CARRIERS = {
    TUTORIALS: "the headers Authorization without Bearer, token, sessionid and 3rd_session, and token in the URL",
    WAFER_1: "the headers X-WX-Id and X-WX-Skey",
    WAFER_2: "the header X-WX-Skey",
}


def routes(compat: Collection[str]) -> list[tuple[str, type[Handler]]]:
    """The paths that the setting COMPAT adds; they go before our own, one of which a tutorial shares."""
    return [route for dialect, its_routes in ROUTES.items() if dialect in compat for route in its_routes]


def exposures(compat: Collection[str]) -> Iterator[str]:
    """What each dialect gives away, one sentence each, for the log of the start."""
    for dialect, its_routes in ROUTES.items():
        if dialect in compat:
            paths = ", ".join(path.replace("\\", "").removesuffix("?") for path, _ in its_routes)
            yield (
                f"COMPAT={dialect} serves {paths}; it gives the openid to the phone, "
                f"and takes tokens from {_CARRIERS[dialect]}"
            )
