"""Every URL of the product on one page, grouped by who is calling."""

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from tornado.httputil import ParseBodyConfig, ParseMultipartConfig, set_parse_body_config
from tornado.web import Application, RequestHandler

from actions import Backend
from handlers import (
    avatar,
    compat,
    forward_auth,
    health,
    home,
    me,
    metrics,
    miniprogram,
    openapi,
    partner,
    push,
    signin,
    wechat_data,
)
from handlers.base import CLIENT_HUNG_UP, Handler, NotFound, Traffic, encoded, log_answer
from handlers.callers import Addresses
from handlers.dashboard import (
    apps,
    audit,
    events,
    everybody,
    files,
    keys,
    live,
    logins,
    merging,
    operators,
    overview,
    sessions,
    users,
    wechat_deeds,
)
from handlers.operator_page import NoRoom, OperatorPage
from handlers.pages import NoPage, StaticFiles
from stores.figures import UNTRUSTED_PROXY

if TYPE_CHECKING:
    from wechat.simulator import Simulator

ROUTES: list[tuple[str, type[Handler]]] = [
    # A mini program on a phone
    (r"/api/login", miniprogram.Login),
    (r"/api/verify", miniprogram.Verify),
    (r"/api/logout", miniprogram.Logout),
    (r"/api/me", miniprogram.Me),
    (r"/api/me/avatar", avatar.MyAvatar),
    (r"/api/me/export", miniprogram.Export),
    (r"/api/me/sessions", miniprogram.MySessions),
    (r"/api/me/sessions/revoke-others", miniprogram.RevokeOthers),
    (r"/api/me/sessions/([0-9A-Fa-f]{8,64})/revoke", miniprogram.RevokeMine),
    # Your other back ends, and the proxy in front of them
    (r"/partner/introspect", partner.Introspect),
    (r"/partner/users/([^/]{1,200})", partner.Person),
    (r"/partner/users/([^/]{1,200})/revoke", partner.RevokePerson),
    (r"/partner/users/([^/]{1,200})/block", partner.BlockPerson),
    (r"/partner/wechat/([^/]{1,64})/(.{1,400})", partner.Relay),
    (r"/partner/access-token", partner.AccessToken),
    (r"/partner(?:/.*)?", NotFound),
    (r"/auth", forward_auth.Auth),
    # WeChat, and whoever shows a person's picture
    (r"/wechat/push/([0-9A-Za-z_-]{1,64})", push.Push),
    (r"/avatars/([0-9A-Za-z_-]{32})", avatar.Picture),
    # What a phone got from WeChat
    (r"/api/phone", wechat_data.Phone),
    (r"/api/decrypt", wechat_data.Decrypt),
    (r"/api/signature", wechat_data.Signature),
    (r"/api/session-key/check", wechat_data.SessionKeyCheck),
    # Machines
    (r"/healthz", health.Health),
    (r"/readyz", health.Ready),
    (r"/metrics", metrics.Metrics),
    (r"/openapi\.json", openapi.OpenApi),
    (r"/(?:api|avatars|wechat)(?:/.*)?", NotFound),
    # Operators
    (r"/admin", signin.ToOverview),
    (r"/admin/signin", signin.SignIn),
    (r"/admin/setup", signin.SetUp),
    (r"/admin/signout", me.SignOut),
    (r"/admin/me", me.Me),
    (r"/admin/me/password", me.Password),
    (r"/admin/me/tastes", me.Tastes),
    (r"/admin/me/totp", me.Totp),
    (r"/admin/me/totp/off", me.TotpOff),
    (r"/admin/me/sessions/end", me.EndSession),
    (r"/admin/me/sessions/end-others", me.EndOthers),
    (r"/admin/", overview.OverviewPage),
    (r"/admin/live", live.Live),
    (r"/admin/sessions", sessions.SessionsPage),
    (r"/admin/sessions/revoke", sessions.RevokeSelection),
    (r"/admin/sessions/matching", sessions.RevokeMatching),
    (r"/admin/sessions/export", files.ExportSessions),
    (r"/admin/sessions/([0-9A-Fa-f]{8,64})", sessions.SessionPage),
    (r"/admin/sessions/([0-9A-Fa-f]{8,64})/revoke", sessions.RevokeSession),
    (r"/admin/sessions/([0-9A-Fa-f]{8,64})/reset-key", wechat_deeds.ResetKey),
    (r"/admin/everybody", everybody.RevokeEverybody),
    (r"/admin/undo", everybody.Undo),
    (r"/admin/users", users.UsersPage),
    (r"/admin/users/export", files.ExportUsers),
    (r"/admin/users/([0-9]{1,19})", users.UserPage),
    (r"/admin/users/([0-9]{1,19})/revoke", users.RevokeUser),
    (r"/admin/users/([0-9]{1,19})/block", users.BlockUser),
    (r"/admin/users/([0-9]{1,19})/unblock", users.UnblockUser),
    (r"/admin/users/([0-9]{1,19})/erase", users.EraseUser),
    (r"/admin/users/([0-9]{1,19})/note", users.NoteUser),
    (r"/admin/users/([0-9]{1,19})/merge", merging.MergeUser),
    (r"/admin/users/([0-9]{1,19})/split", merging.SplitUser),
    (r"/admin/logins", logins.LoginsPage),
    (r"/admin/events", events.EventsPage),
    (r"/admin/audit", audit.AuditPage),
    (r"/admin/audit/export", audit.ExportAudit),
    (r"/admin/operators", operators.OperatorsPage),
    (r"/admin/operators/([0-9]{1,18})", operators.OperatorPage),
    (r"/admin/operators/([0-9]{1,18})/disable", operators.DisableOperator),
    (r"/admin/operators/([0-9]{1,18})/enable", operators.EnableOperator),
    (r"/admin/operators/([0-9]{1,18})/reset", operators.ResetOperator),
    (r"/admin/keys", keys.KeysPage),
    (r"/admin/keys/([0-9]{1,18})/revoke", keys.RevokeKey),
    (r"/admin/deliveries", keys.DeliveriesPage),
    (r"/admin/deliveries/([0-9]{1,18})/again", keys.SendAgain),
    (r"/admin/apps", apps.AppsPage),
    (r"/admin/apps/([0-9a-z]{18})/refresh-token", wechat_deeds.RefreshToken),
    (r"/admin/settings", apps.SettingsPage),
    (r"/admin/incident", apps.IncidentPage),
    (r"/admin/.*", NoRoom),
    # People with a browser
    (r"/", home.Home),
    (r"/static/(.*)", StaticFiles),
]


# Where signing in may lead.
OWN_PAGES = tuple(
    re.compile(path) for path, handler in ROUTES if issubclass(handler, OperatorPage) and "GET" in handler.allowed()
)


def make_application(
    backend: Backend, traffic: Traffic, addresses: Addresses, simulator: "Simulator | None"
) -> Application:
    """The application behind the door; with a simulator in this process it has the playground too."""
    # The one path that takes a multipart body reads it by itself; Tornado would parse them for every handler
    # (CVE-2025-67726 and its kin).
    set_parse_body_config(ParseBodyConfig(multipart=ParseMultipartConfig(enabled=False)))
    addresses.on_misled = lambda: backend.figures.count("", UNTRUSTED_PROXY, backend.now())  # `doctor` reads it
    given = {"backend": backend, "traffic": traffic}
    paths = [*compat.routes(backend.settings.compat), *ROUTES]
    routes: list[Any] = [(path, handler, given) for path, handler in paths]
    if simulator:
        from handlers import playground  # here, because other servers start quicker without it

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
        own_pages=OWN_PAGES,
        openapi=cache(lambda: encoded(openapi.document(ROUTES))),  # made when somebody asks
        addresses=addresses,
        autoescape=None,
    )


def log_request(handler: RequestHandler) -> None:
    """Called by Tornado when an answer is out."""
    status = CLIENT_HUNG_UP if getattr(handler, "hung_up", False) else handler.get_status()
    log_answer(handler.request, status, getattr(handler, "request_id", "-"))
