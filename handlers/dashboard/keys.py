"""Your other back ends: an admin makes and revokes their keys, and sees what they were told."""

from types import SimpleNamespace
from typing import ClassVar

from actions.service_keys import SCOPES, AddedKey, KeyRefused, add_key, revoke_key
from actions.signing_in import NeedsPassword
from actions.webhooks import send_again
from handlers.dashboard.asking import AskingPage, Question
from handlers.dashboard.page import DashboardPage
from handlers.refusals import BadRequest, NoSuchResource, RoleTooLow
from stores.deliveries import NoSuchDelivery
from stores.operators import Role
from stores.service_keys import KeyNameTaken, NoSuchKey, ServiceKey

_DAYS = ("", "30", "90", "365")
_MOST_PATHS = 4_000
_A_PAGE = 50


class WholeHousePage(DashboardPage):
    """A page for an admin of every mini program: a key and an event may be about any of them."""

    role: ClassVar[Role] = "admin"
    page = "keys"

    async def prepare(self) -> None:
        """See OperatorPage. Raises RoleTooLow for an admin of some mini programs."""
        await super().prepare()
        if not self._finished and self.operator.appids is not None:
            await self._denied("role")
            raise RoleTooLow


class KeysPage(WholeHousePage):
    """GET and POST /admin/keys"""

    async def get(self) -> None:
        """Every key, and a form to make one."""
        await self._show(_nothing_given())

    async def post(self) -> None:
        """Makes a key; its text is shown here, once."""
        given = self._given()
        try:
            await self.password_lately()
            added = await add_key(
                self.backend,
                self.by,
                given.name,
                given.scopes,
                note=given.note,
                appids=given.appids,
                paths=given.paths.split(),
                expires_at=self.backend.now() + int(given.days) * 86_400 if given.days else None,
            )
        except (NeedsPassword, KeyRefused, KeyNameTaken) as wrong:
            await self._show(given, wrong=self._sentence(wrong))
            return
        await self._show(_nothing_given(), added=added)

    def _given(self) -> SimpleNamespace:
        days = self.field("days", default="")
        appids = None if self.field("all_apps", default="") == "yes" else self.fields("appid", most=64)
        if days not in _DAYS or any(appid not in self.appids for appid in appids or ()):
            raise BadRequest("days" if days not in _DAYS else "appid")
        return SimpleNamespace(
            name=self.field("name", most=64),
            scopes=self.fields("scope", most=32),
            appids=appids,
            paths=self.field("paths", most=_MOST_PATHS, default=""),
            note=self.field("note", most=1_000, default=""),
            days=days,
        )

    def _sentence(self, wrong: Exception) -> str:
        if isinstance(wrong, NeedsPassword):
            return self.password_sentence(wrong)
        field = wrong.field if isinstance(wrong, KeyRefused) else "taken"
        return str(vars(self.words.keys_wrong)[field])

    async def _show(self, given: SimpleNamespace, wrong: str | None = None, added: AddedKey | None = None) -> None:
        if wrong:
            self.set_status(400)
        now = self.backend.now()
        self.show(
            "admin/keys.html",
            rows=await self.backend.service_keys.all(),
            state_of=lambda key: _state(key, now),
            scopes=SCOPES,
            days=_DAYS,
            given=given,
            wrong=wrong,
            added=added,
            confirmed=not self.needs_password,
        )


def _nothing_given() -> SimpleNamespace:
    return SimpleNamespace(name="", scopes=["introspect"], appids=None, paths="", note="", days="")


def _state(key: ServiceKey, now: int) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "active" if key.holds(now) else "expired"


class RevokeKey(AskingPage, WholeHousePage):
    """GET and POST /admin/keys/ID/revoke"""

    role: ClassVar[Role] = "admin"

    async def question(self, *parts: str) -> Question:
        """See AskingPage."""
        key = await self._found(parts[0])
        w = self.words.keys
        return Question(
            title=w.revoke_title.format(name=key.name),
            consequence=w.revoke_consequence,
            afterwards=w.revoke_afterwards,
            button=w.revoke_button,
            action=f"/admin/keys/{key.id}/revoke",
            back="/admin/keys",
            reasons=(),
            password=self.needs_password,
        )

    async def do(self, *parts: str) -> str:
        """Dead from the next request on."""
        await self.password_lately()
        key = await self._found(parts[0])
        await revoke_key(self.backend, self.by, key.id)
        await self.tell("keys.told_revoked", name=key.name)
        return "/admin/keys"

    async def _found(self, number: str) -> ServiceKey:
        """A key that can be revoked. Raises NoSuchResource."""
        try:
            key = await self.backend.service_keys.get(int(number))
        except NoSuchKey:
            raise NoSuchResource from None
        if key.revoked_at is not None:
            raise NoSuchResource
        return key


class DeliveriesPage(WholeHousePage):
    """GET /admin/deliveries"""

    async def get(self) -> None:
        """What your back end was told, the newest first."""
        before = self.get_query_argument("before", "")
        if before and not (before.isascii() and before.isdigit() and len(before) <= 18):
            raise BadRequest("before")
        found = await self.backend.deliveries.newest(_A_PAGE + 1, *([int(before)] if before else []))
        rows = found[:_A_PAGE]
        self.show(
            "admin/deliveries.html",
            rows=rows,
            next_page=self.at("/admin/deliveries", before=str(rows[-1].id)) if found[_A_PAGE:] else None,
            is_on=self.backend.settings.webhook_url is not None,
        )


class SendAgain(WholeHousePage):
    """POST /admin/deliveries/ID/again"""

    async def post(self, number: str) -> None:
        """Sends it once more, under the same number; whoever has it already can tell."""
        try:
            await send_again(self.backend, self.by, int(number))
        except NoSuchDelivery:
            raise NoSuchResource from None
        await self.tell("deliveries.told_again", n=int(number))
        self.go("/admin/deliveries")
