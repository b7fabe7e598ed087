"""Everybody out, and the undo of what may be undone."""

import contextlib
from typing import ClassVar

from actions import revoke_everybody, undo
from handlers.dashboard.asking import ABOUT_NOBODY, AskingPage, Question
from handlers.dashboard.page import DashboardPage
from stores.errors import StoreTrouble
from stores.operators import Role


class RevokeEverybody(AskingPage):
    """GET and POST /admin/everybody"""

    role: ClassVar[Role] = "admin"
    page = "sessions"

    async def question(self, *_parts: str) -> Question:
        """How many sessions, in which mini programs."""
        w = self.words.confirm.everybody
        active = await self._active()
        sessions = self.words.admin.unknown if active is None else self.counted(active, "session")
        return Question(
            title=w.title,
            consequence=w.consequence.format(sessions=sessions, apps=", ".join(self.app_names.values())),
            afterwards=w.afterwards,
            button=w.button.format(sessions=sessions),
            action="/admin/everybody",
            reasons=ABOUT_NOBODY,
            back="/admin/sessions",
            password=True,
        )

    async def _active(self) -> int | None:
        """Counted now, as the figure of the overview may be some seconds old; None while the store is away."""
        with contextlib.suppress(StoreTrouble):
            return sum([await self.backend.sessions.count(appid, self.backend.now()) for appid in self.appids])
        return None

    async def do(self, *_parts: str) -> str:
        """Asks for the password, whenever it was given last."""
        await self.password_given_now()
        appids = None if self.operator.appids is None else self.appids
        ended = await revoke_everybody(self.backend, self.by, reason=self.reason(), appids=appids)
        await self.tell("told.everybody", sessions=self.counted(ended.sessions, "session"))
        return "/admin/sessions"


class Undo(DashboardPage):
    """POST /admin/undo"""

    role: ClassVar[Role] = "operator"
    page = "sessions"

    async def post(self) -> None:
        """Brings back what this operator revoked within the last minute, as far as it may come back."""
        restored = await undo(self.backend, self.by, self.fields("id", most=64))
        if restored.sessions:
            sessions, people = self.counted(restored.sessions, "session"), self.counted(restored.users, "person")
            await self.tell("told.undone", sessions=sessions, people=people)
        else:
            await self.tell("told.undone_none", kind="warn")
        self.go("/admin/sessions")
