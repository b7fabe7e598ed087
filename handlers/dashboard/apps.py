"""The mini programs as WeChat treats them, the settings as they are, and what to do when something leaked."""

import contextlib
from types import SimpleNamespace
from typing import ClassVar

from handlers.dashboard.page import DashboardPage
from handlers.refusals import RoleTooLow
from settings import describe
from stores.errors import StoreTrouble
from stores.operators import Role


class AppsPage(DashboardPage):
    """GET /admin/apps"""

    page = "apps"

    async def get(self) -> None:
        """Each mini program: what WeChat said last, how many people and sessions; never its AppSecret."""
        apps = [await self._app(appid, name) for appid, name in self.app_names.items()]
        self.show("admin/apps.html", apps=apps)

    async def _app(self, appid: str, name: str) -> SimpleNamespace:
        backend = self.backend
        users: int | None = None
        raised_at: int | None = None
        with contextlib.suppress(StoreTrouble):
            users = sum(figure.n for figure in await backend.figures.named([appid], ["users"], 0))
            raised_at = await backend.epochs.raised_at(appid)
        return SimpleNamespace(
            appid=appid,
            name=name,
            health=backend.wechat.state(appid),
            sessions=await backend.active_sessions.count([appid], backend.now()),
            users=users,
            raised_at=raised_at,
        )


class SettingsPage(DashboardPage):
    """GET /admin/settings"""

    role: ClassVar[Role] = "admin"
    page = "settings"

    def get(self) -> None:
        """The running truth, secrets masked. It names every mini program: whoever may not see all is refused."""
        if not self.may_enter("settings", self.role):
            raise RoleTooLow
        self.show("admin/settings.html", rows=describe(self.backend.settings, self.language))


class IncidentPage(DashboardPage):
    """GET /admin/incident"""

    page = "incident"

    def get(self) -> None:
        """What to do, with the buttons that do it."""
        self.show("admin/incident.html", doors=self._doors)

    def _doors(self, step: SimpleNamespace) -> list[tuple[str, str]]:
        """Where a step leads, and what its button says; for each mini program if it is about one."""
        room = step.go.removeprefix("/admin/").partition("/")[0]
        if not self.may_enter(room, step.role):
            return []
        if "{appid}" not in step.go:
            return [(step.go, step.button)]
        apps = self.served_apps.items()
        return [(step.go.format(appid=appid), step.button.format(app=name)) for appid, name in apps]
