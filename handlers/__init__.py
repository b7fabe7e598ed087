"""Every URL of the product on one page, grouped by who is calling."""

import logging
from typing import Any

from tornado.httputil import ParseBodyConfig, ParseMultipartConfig, set_parse_body_config
from tornado.web import Application, RequestHandler

from actions import Backend
from handlers import health, home, miniprogram, playground
from handlers.base import Handler, NotFound, Traffic
from handlers.pages import NoPage, StaticFiles
from wechat.simulator import Simulator

access = logging.getLogger("menshen.access")

CLIENT_HUNG_UP = 499  # nginx's number for a client that did not wait for its answer; it is only logged, never sent

ROUTES: list[tuple[str, type[Handler]]] = [
    # A mini program on a phone
    (r"/api/login", miniprogram.Login),
    (r"/api/verify", miniprogram.Verify),
    (r"/api/logout", miniprogram.Logout),
    (r"/api/me", miniprogram.Me),
    (r"/api/me/export", miniprogram.Export),
    (r"/api/me/sessions", miniprogram.MySessions),
    (r"/api/me/sessions/revoke-others", miniprogram.RevokeOthers),
    (r"/api/me/sessions/([0-9A-Fa-f]{8,64})/revoke", miniprogram.RevokeMine),
    # Machines
    (r"/healthz", health.Health),
    (r"/readyz", health.Ready),
    (r"/api(?:/.*)?", NotFound),
    # People with a browser
    (r"/", home.Home),
    (r"/static/(.*)", StaticFiles),
]


def make_application(backend: Backend, traffic: Traffic, simulator: Simulator | None) -> Application:
    """The application behind the door; with a simulator in this process it has the playground too."""
    # Nothing here takes multipart bodies; Tornado would parse them for every handler (CVE-2025-67726 and its kin).
    set_parse_body_config(ParseBodyConfig(multipart=ParseMultipartConfig(enabled=False)))
    given = {"backend": backend, "traffic": traffic}
    routes: list[Any] = [(path, handler, given) for path, handler in ROUTES]
    if simulator:
        routes = [
            (r"/", playground.Playground, given),
            (r"/playground/wx-login", playground.WxLogin, given | {"simulator": simulator}),
            *routes,
        ]
    return Application(
        routes,
        default_handler_class=NoPage,
        default_handler_args=given,
        log_function=log_request,
        autoescape=None,
    )


def log_request(handler: RequestHandler) -> None:
    """One line per request: never the query, which may hold what somebody should not have put there."""
    request = handler.request
    request_id = getattr(handler, "request_id", "-")
    status = CLIENT_HUNG_UP if getattr(handler, "hung_up", False) else handler.get_status()
    level = logging.WARNING if status >= 500 else logging.DEBUG
    access.log(
        level,
        "%s %s %d %.1f ms from %s, request %s",
        request.method,
        request.path,
        status,
        1000 * request.request_time(),
        request.remote_ip,
        request_id,
        extra={"request_id": request_id},
    )
