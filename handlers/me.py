"""An operator's own page: where he is signed in, his password, his second factor, his language and time zone."""

from typing import ClassVar

from actions import operators, totp
from actions.operators import WrongCode, WrongTimezone
from actions.passwords import SHORTEST, PasswordRefused
from actions.signing_in import NeedsPassword, WrongPassword, sign_out
from handlers.browsers import called
from handlers.operator_page import SIGN_IN, OperatorPage
from handlers.pages import LANGUAGES
from handlers.refusals import BadRequest, NoSuchResource
from handlers.signin import why_refused
from wechat.crypto import SealBroken

_MOST_PASSWORD = 4096
_ME = "/admin/me"
_ZONES = ("Asia/Shanghai", "Asia/Hong_Kong", "Asia/Taipei", "Asia/Singapore", "Asia/Tokyo", "UTC")


class SignOut(OperatorPage):
    """POST /admin/signout"""

    before_totp: ClassVar[bool] = True

    async def post(self) -> None:
        """Ends the session on the server, and takes the cookie away (OWASP ASVS 7.4.1)."""
        await sign_out(self.backend, self.by, self.session)
        self.farewell()
        self.go(SIGN_IN)


class _MyPage(OperatorPage):
    """What shows the operator's own page, with a sentence where something was wrong."""

    page: ClassVar[str] = "me"

    async def me(self, wrong: dict[str, str] | None = None, status: int = 200) -> None:
        self.set_status(status)
        self.show(
            "admin/me.html",
            sessions=await operators.own_operator_sessions(self.backend, self.operator),
            current=self.session,
            called=called,
            wrong=dict.fromkeys(("password", "totp", "timezone")) | (wrong or {}),
            shortest=SHORTEST,
            zones=_ZONES,
            server_zone=self.backend.settings.timezone,
            codes_left=await self.backend.operators.recovery_codes_left(self.operator.id),
            needs_password=self.needs_password,
        )


class Me(_MyPage):
    """GET /admin/me"""

    async def get(self) -> None:
        """The page."""
        await self.me()


class Password(_MyPage):
    """POST /admin/me/password"""

    async def post(self) -> None:
        """A new password; every other browser is signed out (OWASP ASVS 7.4.3)."""
        old, new = self.field("old", _MOST_PASSWORD), self.field("new", _MOST_PASSWORD)
        if new != self.field("again", _MOST_PASSWORD):
            await self.me({"password": self.words.setup.differ}, 400)
            return
        try:
            await operators.change_password(self.backend, self.by, self.session, self.operator, old, new, self.browser)
        except PasswordRefused as refused:
            await self.me({"password": why_refused(self, refused)}, 400)
        except WrongPassword:
            await self.me({"password": self.words.me.wrong_password}, 403)
        else:
            await self.tell("me.told_password")
            self.go(_ME)


class Tastes(_MyPage):
    """POST /admin/me/tastes"""

    async def post(self) -> None:
        """The language and the time zone of his pages; nothing chosen is what the server would choose."""
        language, timezone = self.field("language", 16, default=""), self.field("timezone", 64, default="").strip()
        if language and language not in LANGUAGES.values():
            raise BadRequest("language")
        try:
            await operators.set_tastes(self.backend, self.operator, language or None, timezone or None)
        except WrongTimezone:
            await self.me({"timezone": self.words.me.wrong_timezone}, 400)
            return
        await self.tell("me.told_tastes")
        self.go(_ME)


class EndSession(OperatorPage):
    """POST /admin/me/sessions/end"""

    async def post(self) -> None:
        """Signs one browser out; the id in the form is a hash, which opens nothing."""
        try:
            session = bytes.fromhex(self.field("id", 64))
        except ValueError:
            raise BadRequest("id") from None
        if session == self.session.id:
            await sign_out(self.backend, self.by, self.session)
            self.farewell()
            self.go(SIGN_IN)
            return
        if not await operators.end_operator_session(self.backend, self.by, self.operator, session):
            raise NoSuchResource
        await self.tell("me.told_ended")
        self.go(_ME)


class EndOthers(OperatorPage):
    """POST /admin/me/sessions/end-others"""

    async def post(self) -> None:
        """Signs every other browser out."""
        await operators.end_other_operator_sessions(self.backend, self.by, self.operator, self.session.id)
        await self.tell("me.told_ended_others")
        self.go(_ME)


class Totp(OperatorPage):
    """GET and POST /admin/me/totp"""

    page: ClassVar[str] = "me"
    before_totp: ClassVar[bool] = True

    async def get(self) -> None:
        """A new secret, as a picture and as text."""
        if self.operator.has_totp:
            self.go(_ME)
            return
        secret, sealed = operators.begin_totp(self.backend, self.session)
        self._form(secret, sealed, None)

    async def post(self) -> None:
        """Turns it on when the app shows the right code, and shows the recovery codes, once."""
        if self.operator.has_totp:
            self.go(_ME)
            return
        sealed = self.field("sealed", 400)
        try:
            secret = operators.resume_totp(self.backend, self.session, sealed)
        except (SealBroken, ValueError):
            raise BadRequest("sealed") from None
        try:
            await self.confirmed(self.field("password", _MOST_PASSWORD, default=""))
            codes = await operators.turn_totp_on(self.backend, self.by, self.operator, secret, self.field("code", 64))
        except NeedsPassword:
            self.set_status(403)
            self._form(secret, sealed, self.words.me.wrong_password)
        except WrongCode:
            self.set_status(400)
            self._form(secret, sealed, self.words.totp.wrong)
        else:
            self.show("admin/totp_codes.html", codes=codes)

    def _form(self, secret: bytes, sealed: str, wrong: str | None) -> None:
        import segno  # for the minute in which an operator sets this up

        picture = segno.make(totp.address(secret, self.operator.name), error="m")
        self.show(
            "admin/totp.html",
            picture=picture.svg_data_uri(scale=5, border=4, light="white"),
            secret=totp.as_text(secret),
            sealed=sealed,
            wrong=wrong,
            required=self.backend.settings.require_totp,
            needs_password=self.needs_password,
        )


class TotpOff(_MyPage):
    """POST /admin/me/totp/off"""

    async def post(self) -> None:
        """Back to the password alone; it has to be given again."""
        try:
            await self.confirmed(self.field("password", _MOST_PASSWORD, default=""))
        except NeedsPassword:
            await self.me({"totp": self.words.me.wrong_password}, 403)
            return
        await operators.turn_totp_off(self.backend, self.by, self.operator)
        await self.tell("me.told_totp_off")
        self.go(_ME)
