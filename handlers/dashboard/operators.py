"""Who may enter the dashboard, and what for: an admin adds operators, changes, resets, disables and enables them."""

from types import SimpleNamespace
from typing import ClassVar

from actions.operators import (
    OperatorNameRefused,
    change_role,
    disable_operator,
    enable_operator,
    invite_operator,
    reset_operator,
)
from actions.signing_in import NeedsPassword
from handlers.dashboard.asking import AskingPage, Question
from handlers.dashboard.page import DashboardPage
from handlers.refusals import BadRequest
from stores.operators import LastAdmin, NameTaken, NoSuchOperator, Operator, Role
from stores.scope import Scope

_ROLES: tuple[Role, ...] = ("viewer", "operator", "admin")


class _OperatorForm(DashboardPage):
    """What the forms about operators share: role, mini programs, and the password of whoever changes them."""

    role: ClassVar[Role] = "admin"
    page = "operators"

    def role_given(self) -> Role:
        """The role that was chosen. Raises BadRequest."""
        chosen = self.field("role")
        found = next((role for role in _ROLES if role == chosen), None)
        if found is None:
            raise BadRequest("role")
        return found

    def appids_given(self) -> list[str] | None:
        """The mini programs that were chosen, None for all, also those to come. Raises BadRequest."""
        if self.field("all_apps", default="") == "yes":
            if self.scope is not None:
                raise BadRequest("all_apps")
            return None
        chosen = self.fields("appid", most=64)
        if any(appid not in self.appids for appid in chosen):
            raise BadRequest("appid")
        return chosen

    def sentence_of(self, wrong: Exception) -> str:
        """What to tell about a form that cannot be carried out."""
        if isinstance(wrong, NeedsPassword):
            return self.password_sentence(wrong)
        words = self.words.wrong
        return str(words.last_admin if isinstance(wrong, LastAdmin) else words.name)


class OperatorsPage(_OperatorForm):
    """GET and POST /admin/operators"""

    async def get(self) -> None:
        """Everybody, and a form to add somebody."""
        await self._show()

    async def post(self) -> None:
        """Adds somebody; the link by which he comes is shown here, once."""
        name = self.field("name", most=64)
        given = SimpleNamespace(name=name, role=self.role_given(), appids=self.appids_given())
        if given.appids == []:
            await self._show(given, self.words.wrong.apps)
            return
        try:
            await self.password_lately()
            invited = await invite_operator(self.backend, self.by, name, given.role, given.appids)
        except (NeedsPassword, OperatorNameRefused, NameTaken) as wrong:
            await self._show(given, self.sentence_of(wrong))
            return
        await self._show(one_time=one_time(self, invited.operator, invited.link))

    async def _show(
        self, given: SimpleNamespace | None = None, wrong: str | None = None, one_time: SimpleNamespace | None = None
    ) -> None:
        if wrong:
            self.set_status(400)
        self.show(
            "admin/operators.html",
            rows=await his_operators(self),
            given=given or SimpleNamespace(name="", role="viewer", appids=None),
            wrong=wrong,
            one_time=one_time,
            confirmed=not self.needs_password,
        )


def one_time(page: DashboardPage, operator: Operator, link: str) -> SimpleNamespace:
    """A one-time link as it is handed over: on PUBLIC_URL, else as a path (a Host header could be anybody's)."""
    base = page.backend.settings.public_url or ""
    return SimpleNamespace(name=operator.name, url=f"{base}/admin/setup?link={link}")


class OperatorPage(_OperatorForm):
    """GET and POST /admin/operators/ID"""

    async def get(self, number: str) -> None:
        """Role and mini programs, to change."""
        self._show(await found(self, number))

    async def post(self, number: str) -> None:
        """What he may do from his next click on."""
        async with self.in_scope():
            operator = await found(self, number)
        role, appids = self.role_given(), self.appids_given()
        given = SimpleNamespace(role=role, appids=appids)
        if appids == []:
            self._show(operator, given, self.words.wrong.apps)
            return
        try:
            await self.password_lately()
            await change_role(self.backend, self.by, operator.name, role, appids)
        except (NeedsPassword, LastAdmin) as wrong:
            self._show(operator, given, self.sentence_of(wrong))
            return
        await self.tell("told.operator_changed", name=operator.name)
        self.go("/admin/operators")

    def _show(self, operator: Operator, given: object = None, wrong: str | None = None) -> None:
        if wrong:
            self.set_status(400)
        self.show(
            "admin/operator.html",
            person=operator,
            given=given or operator,
            wrong=wrong,
            confirmed=not self.needs_password,
        )


async def his_operators(page: DashboardPage) -> list[Operator]:
    """Those whom this admin may change: nobody who may see more than he does, or he could let himself in by theirs."""
    return [each for each in await page.backend.operators.all() if _within(each, page.scope)]


async def found(page: DashboardPage, number: str) -> Operator:
    """The operator of a URL. Raises NoSuchOperator, also for one who may see more than whoever asks."""
    operator = await page.backend.operators.find(int(number))
    if not _within(operator, page.scope):
        raise NoSuchOperator
    return operator


def _within(operator: Operator, scope: Scope) -> bool:
    return scope is None or (operator.appids is not None and set(operator.appids) <= set(scope))


class _OperatorDeed(AskingPage):
    """A deed on one operator that asks first."""

    role: ClassVar[Role] = "admin"
    page = "operators"
    deed: str

    async def question(self, *parts: str) -> Question:
        """See AskingPage."""
        operator = await found(self, parts[0])
        w = vars(self.words.confirm)[self.deed]
        return Question(
            title=w.title.format(name=operator.name),
            consequence=w.consequence,
            afterwards=w.afterwards,
            button=w.button,
            action=f"/admin/operators/{operator.id}/{self.deed}",
            back="/admin/operators",
            reasons=(),
            password=self.needs_password,
        )

    async def post(self, *parts: str) -> None:
        """See AskingPage; the last admin stays."""
        try:
            await super().post(*parts)
        except LastAdmin:
            self.set_status(400)
            self._ask(await self.question(*parts), self.words.wrong.last_admin)


class DisableOperator(_OperatorDeed):
    """GET and POST /admin/operators/ID/disable"""

    deed = "disable"

    async def do(self, *parts: str) -> str:
        """Out at once, everywhere."""
        await self.password_lately()
        operator = await disable_operator(self.backend, self.by, (await found(self, parts[0])).name)
        await self.tell("told.operator_disabled", name=operator.name)
        return "/admin/operators"


class EnableOperator(_OperatorDeed):
    """GET and POST /admin/operators/ID/enable"""

    deed = "enable"

    async def do(self, *parts: str) -> str:
        """He may sign in again."""
        await self.password_lately()
        operator = await enable_operator(self.backend, self.by, (await found(self, parts[0])).name)
        await self.tell("told.operator_changed", name=operator.name)
        return "/admin/operators"


class ResetOperator(_OperatorDeed):
    """GET and POST /admin/operators/ID/reset"""

    deed = "reset"

    async def do(self, *parts: str) -> None:
        """A link in the place of everything by which he came; shown here, once."""
        await self.password_lately()
        invited = await reset_operator(self.backend, self.by, (await found(self, parts[0])).name)
        self.show(
            "admin/operators.html",
            rows=await his_operators(self),
            given=SimpleNamespace(name="", role="viewer", appids=None),
            one_time=one_time(self, invited.operator, invited.link),
            confirmed=True,
        )
