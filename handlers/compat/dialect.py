"""What the dialects have in common: where a code stands, and that a refusal wears their shape but an outage ours.

A client of a dialect takes its "not logged in" as the word to log in again, at once. So nothing that merely fails for
the moment may look like it: 429 and 5xx are always our own envelope, with their real status.
"""

import re
from typing import Any, ClassVar

import actions
from actions import LoggedIn
from handlers.base import FORM, Intake, error_in, row_for
from handlers.body import JsonObject, read_form
from handlers.callers import caller_of
from handlers.carriers import bearer
from handlers.miniprogram import PersonHandler, profile
from handlers.refusals import BadRequest, Refusal, headers
from stores.users import User

# The Referer of every wx.request is fixed by WeChat and names the mini program: no dialect's client sends its appid.
_REFERER = re.compile(r"https://servicewechat\.com/(wx[0-9a-z]{16})/[A-Za-z0-9.]{1,32}/page-frame\.html", re.ASCII)


class DialectHandler(PersonHandler):
    """A handler that speaks like another server."""

    intake: ClassVar[Intake] = Intake(types=("application/json", FORM), type_may_be_missing=True)

    def refused(self, row: Refusal, error: BaseException | None) -> tuple[int, dict[str, object]]:
        """The status and the body of a refusal in this dialect."""
        raise NotImplementedError

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """See ApiHandler; only refusals of what was asked wear the dialect's shape."""
        error = error_in(kwargs)
        row = row_for(status_code, error)
        if row.status in (405, 429) or row.status >= 500:
            super().write_error(status_code, **kwargs)
            return
        status, body = self.refused(row, error)
        if status == row.status:
            self.put_headers(headers(row))
        self.set_status(status)
        self._send(body)

    def query(self) -> JsonObject:
        """The parameters of the URL. Raises BadRequest when one comes twice."""
        return read_form(self.request.query.encode("utf-8"))

    def body(self) -> JsonObject:
        """The fields of a form or of a JSON object; none when there is no body. Raises BadRequest."""
        if not self.request.body:
            return {}
        if self.is_form:
            return read_form(self.request.body)
        return super().body()

    def fields(self) -> JsonObject:
        """Where this request's code stands: in the URL of a GET, in the body of a POST."""
        return self.body() if self.request.method == "POST" else self.query()

    def presented(self) -> str:
        """The token of a request about a session, also where a POST holds it in its body. Raises as `token_of`."""
        return self.carried(self.body() if self.request.method == "POST" else None)

    async def logged_in(self, code: object) -> LoggedIn:
        """A login with a code of wx.login; the token that the phone still shows ends. Raises as `actions.log_in`."""
        if not isinstance(code, str):
            raise BadRequest("code")
        settings = self.backend.settings
        return await self.unless_hung_up(
            actions.log_in(
                self.backend,
                code=code,
                appid=self._appid() if len(settings.apps) > 1 else None,
                caller=caller_of(self.request),
                replaces=bearer(self.request, settings.compat),
            )
        )

    def _appid(self) -> str | None:
        """The mini program as WeChat names it; a wrong one gets no further than WeChat's answer about the code."""
        found = _REFERER.fullmatch(self.request.headers.get("Referer", ""))
        return found[1] if found else None

    async def whose(self, token: str) -> User:
        """The person of a token. Raises as `actions.verify`, and NoSuchUser."""
        verified = await self.verified(token)
        return await self.backend.users.find(verified.session.user_id)

    def described(self, user: User) -> dict[str, Any]:
        """The person as dialects tell it: our own profile, and always the openid, by which clients know people."""
        return profile(self.backend, user) | {"openid": user.openid}
