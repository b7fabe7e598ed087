"""What every page of the dashboard shares: its mini programs, and the words for what the stores keep in codes."""

import contextlib
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

from actions import NoSuchSession
from actions.questions import ENVIRONMENTS
from actions.signing_in import NeedsPassword, WrongPassword
from handlers.miniprogram import masked
from handlers.operator_page import OperatorPage
from handlers.times import counted
from stores.operators import NoSuchOperator
from stores.scope import Scope
from stores.users import NoSuchUser, User

PLATFORMS = ("android", "ios", "harmony", "windows", "mac", "devtools")
_NO_TLS = 502001
_MOST_PASSWORD = 1024


class DashboardPage(OperatorPage):
    """A page for an operator who is signed in."""

    @property
    def app_names(self) -> dict[str, str]:
        """What the settings call the mini programs that he may see; one no longer served keeps its appid."""
        named = {app.appid: app.name for app in self.backend.settings.apps}
        return {appid: named.get(appid, appid) for appid in self.appids}

    @property
    def served_apps(self) -> dict[str, str]:
        """Those of them that this server serves, which WeChat can be asked about."""
        served = {app.appid for app in self.backend.settings.apps}
        return {appid: name for appid, name in self.app_names.items() if appid in served}

    @property
    def scope(self) -> Scope:
        """The mini programs to which this operator is limited; None for all, also those no longer served."""
        return None if self.operator.appids is None else tuple(self.appids)

    @contextlib.asynccontextmanager
    async def in_scope(self) -> AsyncIterator[None]:
        """Writes down that somebody limited to some mini programs wanted a deed on what he cannot see."""
        try:
            yield
        except (NoSuchSession, NoSuchUser, NoSuchOperator):
            if self.scope is not None:
                await self._denied("scope")
            raise

    async def password_lately(self) -> None:
        """Passes when the password was given within five minutes, or is given now. Raises NeedsPassword."""
        await self.confirmed(self.password())

    def password(self) -> str:
        """What the form gives as the operator's password, empty when it gives none."""
        return self.field("password", most=_MOST_PASSWORD, default="")

    def password_sentence(self, missing: NeedsPassword) -> str:
        """What to tell when it was missing or wrong."""
        wrong = self.words.wrong
        return str(wrong.password if isinstance(missing, WrongPassword) else wrong.needs_password)

    def called(self, user: User | None, user_id: int) -> str:
        """A person as sentences call them; `user` is None for one who was erased."""
        return (user and user.nickname) or self.words.admin.user_n.format(n=user_id)

    def counted(self, n: int, noun: str) -> str:
        """`3 sessions`, `1 person`, in the operator's language."""
        return counted(n, vars(self.words.n)[noun])

    def at(self, path: str, **parameters: str | None) -> str:
        """A link with parameters that keeps the chosen language."""
        given = {name: value for name, value in parameters.items() if value}
        return self.link(f"{path}?{urlencode(given)}" if given else path)

    def reason_text(self, reason: str | None) -> str:
        """A reason as the audit keeps it, `word` or `word: remark`, in the operator's words."""
        word, _, remark = (reason or "").partition(": ")
        told = vars(self.words.reasons).get(word)
        return " · ".join(part for part in (told, remark) if part) if told else reason or ""

    def deed_word(self, deed: str) -> str:
        """What the audit's name of a deed is called on a page."""
        return str(vars(self.words.deeds).get(deed, deed))

    def explained(self, errcode: int | None) -> Any:
        """Title, meaning and advice for an errcode; None is a WeChat that could not prove that it is WeChat."""
        told = vars(self.words.errcodes)
        return told.get(str(_NO_TLS if errcode is None else errcode), told["unknown"])

    def show(self, template: str, **values: object) -> None:
        """See OperatorPage; adds what the templates of the dashboard use."""
        if not hasattr(self, "appids"):  # an error before anybody was recognised
            super().show(template, **values)
            return
        names = self.app_names
        common: dict[str, object] = {
            "counted": counted,
            "app_names": names,
            "apps": [SimpleNamespace(appid=appid, name=name) for appid, name in names.items()],
            "platforms": PLATFORMS,
            "environments": ENVIRONMENTS,
            "may_revoke": self.may("operator"),
            "may_erase": self.may("admin"),
            "reason_text": self.reason_text,
            "deed_word": self.deed_word,
            "explained": self.explained,
            "masked_phone": lambda phone: masked(phone) or "–",
            "wrong": None,
        }
        super().show(template, **(common | values))
