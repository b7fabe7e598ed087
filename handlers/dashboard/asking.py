"""A deed asks once: a page that says what will happen to how many people, then one button that does it.

GET shows the question and changes nothing. POST with `sure=yes` does the deed, and goes back with a sentence about it.
"""

from collections.abc import Sequence
from typing import ClassVar

import msgspec

from actions.lists import SessionRow
from actions.merging import Member
from actions.signing_in import NeedsPassword
from actions.texts import has_controls
from handlers.dashboard.page import DashboardPage
from handlers.refusals import BadRequest
from stores.operators import Role

REASONS = ("asked", "suspicious", "policy", "lost_phone", "leak", "test", "other")
ABOUT_NOBODY = ("policy", "suspicious", "leak", "test", "other")  # reasons of deeds that no person can have asked for
MOST_REMARK = 150


class Question(msgspec.Struct, frozen=True):
    """What the page says and sends. `action` and `back` are paths of ours; `hidden` goes along with the answer."""

    title: str
    consequence: str
    afterwards: str
    button: str
    action: str
    back: str
    hidden: Sequence[tuple[str, str]] = ()
    sample: Sequence[SessionRow] = ()
    members: Sequence[Member] = ()
    reasons: Sequence[str] = REASONS
    until: Sequence[str] = ()
    password: bool = False


class AskingPage(DashboardPage):
    """The page of one deed. A subclass says what it asks and what it does; both get the parts of the URL."""

    role: ClassVar[Role] = "operator"

    async def question(self, *parts: str) -> Question:
        """What will happen. Raises what says that there is nothing to do it to."""
        raise NotImplementedError

    async def do(self, *parts: str) -> str | None:
        """Does it and tells so; gives the path to go back to, or None when it has answered itself."""
        raise NotImplementedError

    async def get(self, *parts: str) -> None:
        """Asks."""
        self._ask(await self.question(*parts))

    async def post(self, *parts: str) -> None:
        """Does it; asks again when the password is missing or wrong."""
        async with self.in_scope():
            await self._answer(*parts)

    async def _answer(self, *parts: str) -> None:
        if self.field("sure", default="") != "yes":
            self._ask(await self.question(*parts))
            return
        try:
            path = await self.do(*parts)
        except NeedsPassword as missing:
            self.set_status(403)
            self._ask(await self.question(*parts), self.password_sentence(missing))
            return
        if path:
            self.go(path)

    def _ask(self, question: Question, wrong: str | None = None) -> None:
        self.show(
            "admin/confirm.html",
            ask=question,
            wrong=wrong,
            chosen=self.field("reason", default=""),
            remark=self.field("remark", most=MOST_REMARK, default=""),
        )

    def reason(self) -> str:
        """What was chosen and written, as the audit keeps it. Raises BadRequest."""
        word = self.field("reason")
        if word not in REASONS:
            raise BadRequest("reason")
        remark = self.field("remark", most=MOST_REMARK, default="").strip()
        if has_controls(remark):
            raise BadRequest("remark")
        return f"{word}: {remark}" if remark else word

    async def password_given_now(self) -> None:
        """Passes only when the password is given with this very form. Raises NeedsPassword."""
        if not self.password():
            raise NeedsPassword
        await self.confirmed(self.password())
