"""GET /auth: a proxy asks whether a request may pass, and who sent it (nginx's auth_request, Traefik, Caddy).

It takes the client's own token and no service key, so it is switched on by FORWARD_AUTH and meant for the proxy alone.
"""

from actions.introspection import introspect
from handlers.base import ApiHandler, Intake
from handlers.carriers import token_of
from handlers.refusals import NoSuchResource
from stores.sessions import SessionGone


class Auth(ApiHandler):
    """GET /auth"""

    intake = Intake(types=())

    async def get(self) -> None:
        """204 with who it is, or 401 or 503 and never 429: a proxy would make that the client's 500.

        The unionid's header is there even when it is empty, so that a proxy always has something to put in the place of
        what a client sent under its name.
        """
        if not self.backend.settings.forward_auth:
            raise NoSuchResource
        active = await introspect(self.backend, token_of(self.request, compat=self.backend.settings.compat))
        if active is None:
            raise SessionGone
        user = active.user
        self.set_header("X-WX-OPENID", user.openid)
        self.set_header("X-WX-APPID", user.appid)
        self.set_header("X-WX-UNIONID", user.unionid or "")
        self.set_header("X-Menshen-User", str(user.id))
        self.set_status(204)
        self.clear_header("Content-Type")

    head = get
