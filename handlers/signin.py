"""The way in: name and password, or the one-time link that sets them first."""

from typing import ClassVar

from actions import operators, signing_in
from actions.operators import OperatorNameRefused
from actions.passwords import SHORTEST, PasswordRefused, TooManyHashes
from actions.signing_in import SignInRefused
from handlers.base import Intake
from handlers.operator_page import OVERVIEW, AdminPage, VisitorPage
from stores.attempts import MustWait
from stores.operators import LinkGone, NameTaken, Operator, SignedOut

_ANY_LENGTH = 64 * 1024  # more than a form may hold: what is too long is refused like any other wrong name


class ToOverview(AdminPage):
    """GET /admin"""

    intake: ClassVar[Intake] = Intake(types=())

    def get(self) -> None:
        """To the overview, by a path that no part of the request has a word in."""
        self.go(OVERVIEW)

    head = get


class SignIn(VisitorPage):
    """GET and POST /admin/signin"""

    async def get(self) -> None:
        """The form, or the page somebody wants who is signed in already."""
        try:
            await signing_in.session_of(self.backend, self.cookie(""))
        except SignedOut:
            self._form("", None)
        else:
            self.go(self.next_page())

    async def post(self) -> None:
        """Signs in and leads on to `?next=`; the answer to a refusal tells nothing but that it is one."""
        name, password = self.field("name", _ANY_LENGTH), self.field("password", _ANY_LENGTH)
        code = self.field("code", _ANY_LENGTH, default="")[:64]
        try:
            signed_in = await signing_in.sign_in(self.backend, name, password, code, self.browser)
        except SignInRefused:
            self.set_status(403)
            self._form(name, self.words.signin.wrong)
        except (MustWait, TooManyHashes) as wait:
            self.set_status(429)
            self.set_header("Retry-After", str(wait.retry_after_seconds))
            self._form(name, self.words.signin.wait.format(n=wait.retry_after_seconds))
        else:
            self.welcome(signed_in)
            self.go(self.next_page())

    def _form(self, name: str, wrong: str | None) -> None:
        wanted = self.next_page()
        self.show("admin/signin.html", name=name[:64], wrong=wrong, next=None if wanted == OVERVIEW else wanted)


class SetUp(VisitorPage):
    """GET and POST /admin/setup"""

    async def get(self) -> None:
        """The form that a link leads to; looking at it does not use the link up."""
        link = self.request.query_arguments.get("link", [b""])[0].decode("utf-8", "replace")
        await self._form(link, "", None)

    async def post(self) -> None:
        """Sets the password, and the first operator's name, and signs in."""
        link, name = self.field("link"), self.field("name", _ANY_LENGTH, default="")
        password, again = self.field("password", _ANY_LENGTH), self.field("again", _ANY_LENGTH)
        words = self.words.setup
        try:
            if password != again:
                await self._form(link, name, words.differ)
                return
            signed_in = await operators.set_up(self.backend, link, name, password, self.browser)
        except LinkGone:
            self._gone()
        except (OperatorNameRefused, NameTaken):
            await self._form(link, name, words.bad_name)
        except PasswordRefused as refused:
            await self._form(link, name, why_refused(self, refused))
        else:
            self.welcome(signed_in)
            self.go(OVERVIEW)

    async def _form(self, link: str, name: str, wrong: str | None) -> None:
        try:
            welcome = await operators.open_link(self.backend, link)
        except LinkGone:
            self._gone()
            return
        if wrong:
            self.set_status(400)
        whom: Operator | None = welcome.operator
        self.show("admin/setup.html", setting_up=whom, name=name[:64], given=link, wrong=wrong, shortest=SHORTEST)

    def _gone(self) -> None:
        self.set_status(404)
        self.show("admin/setup_gone.html")


def why_refused(page: AdminPage, refused: PasswordRefused) -> str:
    """Why a password was not taken, in the reader's words."""
    return str(getattr(page.words.setup, f"password_{refused.why}")).format(n=SHORTEST)
