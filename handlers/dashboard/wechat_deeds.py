"""The deeds that reach to WeChat: a new access_token for a mini program, a session_key made worthless."""

from typing import ClassVar

from actions import NoSuchSession, refresh_access_token, reset_key
from actions.lists import session_detail
from handlers.dashboard.asking import ABOUT_NOBODY, AskingPage, Question
from handlers.refusals import NoSuchResource
from stores.operators import Role
from wechat.errors import WeChatTrouble


class RefreshToken(AskingPage):
    """GET and POST /admin/apps/APPID/refresh-token"""

    role: ClassVar[Role] = "admin"
    page = "apps"

    async def question(self, *parts: str) -> Question:
        """Which mini program's; nothing is said of the token."""
        w = self.words.wechat_deeds.token
        return Question(
            title=w.title.format(app=self._app(parts[0])),
            consequence=w.consequence,
            afterwards=w.afterwards,
            button=w.button,
            action=f"/admin/apps/{parts[0]}/refresh-token",
            back="/admin/apps",
            reasons=ABOUT_NOBODY,
            password=self.needs_password,
        )

    async def do(self, *parts: str) -> str:
        """Lets WeChat make a new one; the old one is dead for whoever has it."""
        name = self._app(parts[0])
        await self.password_lately()
        try:
            changed = await refresh_access_token(self.backend, self.by, parts[0], reason=self.reason())
        except WeChatTrouble as trouble:
            await self.tell("wechat_deeds.refused", kind="bad", why=_why(trouble))
            return "/admin/apps"
        key = "wechat_deeds.token_new" if changed else "wechat_deeds.token_same"
        await self.tell(key, kind="good" if changed else "warn", app=name)
        return "/admin/apps"

    def _app(self, appid: str) -> str:
        """What it is called; one that is not served, or not his, is not there."""
        if appid not in (served := self.served_apps):
            raise NoSuchResource
        return served[appid]


class ResetKey(AskingPage):
    """GET and POST /admin/sessions/ID/reset-key"""

    page = "sessions"

    async def question(self, *parts: str) -> Question:
        """Whose key; the sessions of that person end with it."""
        row = (await session_detail(self.backend, self.scope, parts[0].lower())).row
        w = self.words.wechat_deeds.key
        name = self.called(row.user, row.login.user_id)
        return Question(
            title=w.title.format(person=name),
            consequence=w.consequence.format(person=name),
            afterwards=w.afterwards,
            button=w.button,
            action=f"/admin/sessions/{row.public_id}/reset-key",
            back=f"/admin/sessions/{row.public_id}",
            sample=[row],
        )

    async def do(self, *parts: str) -> str:
        """Makes the key worthless at WeChat and ends the person's sessions."""
        row = (await session_detail(self.backend, self.scope, parts[0].lower())).row
        back = f"/admin/sessions/{row.public_id}"
        try:
            reset = await reset_key(self.backend, self.by, row.public_id, reason=self.reason())
        except NoSuchSession:
            await self.tell("wechat_deeds.key_ended", kind="warn")
        except WeChatTrouble as trouble:
            await self.tell("wechat_deeds.refused", kind="bad", why=_why(trouble))
        else:
            key = "wechat_deeds.key_before" if reset.worthless_before else "wechat_deeds.key_reset"
            await self.tell(key, sessions=self.counted(reset.ended.sessions, "session"))
        return back


def _why(trouble: WeChatTrouble) -> str:
    """WeChat's number and request id, which its support asks for; our own word for it where there is none."""
    if trouble.errcode is None:
        return trouble.why or trouble.meaning
    return f"errcode {trouble.errcode}" + (f", rid {trouble.rid}" if trouble.rid else "")
