"""The people: who they are, where they are logged in, and the deeds that concern one person."""

from typing import ClassVar

from msgspec.structs import replace

from actions import InvalidNote, block, erase, note, revoke_user, unblock
from actions.lists import UserDetail, user_detail, users_page
from actions.merging import same_person
from actions.questions import UsersQuestion
from handlers.dashboard.asking import AskingPage, Question
from handlers.dashboard.listing import ListPage
from handlers.dashboard.page import DashboardPage
from handlers.dashboard.sessions import tell_ended
from handlers.refusals import BadRequest
from stores.operators import Role
from stores.users import NoSuchUser

_UNTIL = ("", "3600", "86400", "604800", "2592000")  # seconds from now on; nothing for good


class UsersPage(ListPage[UsersQuestion]):
    """GET /admin/users"""

    page = "users"
    question = UsersQuestion
    template = "admin/users.html"

    async def show_page(self, question: UsersQuestion, after: str | None) -> None:
        """A page of people, the newest first."""
        found = await users_page(self.backend, self.scope, question, after)
        self.show_found(question, found, only_some=found.only_some)


class _Person(DashboardPage):
    """What the pages about one person share."""

    page = "users"

    async def detail(self, number: str) -> UserDetail:
        """The person of the URL. Raises NoSuchUser, also for one of another mini program."""
        if len(number) > 18:
            raise NoSuchUser
        return await user_detail(self.backend, self.scope, int(number))

    async def show_person(self, number: str, wrong: str | None = None) -> None:
        """The page, with what was wrong with a form on it."""
        found = await self.detail(number)
        await self.show_in_turns(
            "admin/user.html",
            user=found.user,
            live=found.live,
            history=found.history,
            events=found.deeds,
            others=await same_person(self.backend, self.scope, found.user),
            wrong=wrong,
        )


class UserPage(_Person):
    """GET /admin/users/ID"""

    async def get(self, number: str) -> None:
        """Everything that an operator may know of one person."""
        await self.show_person(number)


class NoteUser(_Person):
    """POST /admin/users/ID/note"""

    role: ClassVar[Role] = "operator"

    async def post(self, number: str) -> None:
        """Keeps the note; an empty one removes it."""
        async with self.in_scope():
            found = await self.detail(number)
        try:
            await note(self.backend, self.by, found.user, self.field("note", most=4_000))
        except InvalidNote:
            self.set_status(400)
            await self.show_person(number, self.words.wrong.note)
            return
        await self.tell("told.noted")
        self.go(f"/admin/users/{found.user.id}")


class _PersonDeed(_Person, AskingPage):
    """A deed on one person that asks first."""

    role: ClassVar[Role] = "operator"
    deed: str
    until: tuple[str, ...] = ()

    async def question(self, *parts: str) -> Question:
        """Who, and how many sessions end."""
        found = await self.detail(parts[0])
        w = vars(self.words.confirm)[self.deed]
        sessions = self.counted(len(found.live), "session")
        return Question(
            title=w.title.format(person=self.called(found.user, found.user.id)),
            consequence=w.consequence.format(sessions=sessions),
            afterwards=w.afterwards,
            button=w.button.format(sessions=sessions),
            action=f"/admin/users/{found.user.id}/{self.deed}",
            back=f"/admin/users/{found.user.id}",
            sample=found.live[:10],
            until=self.until,
            password=self.role == "admin" and self.needs_password,
        )


class RevokeUser(_PersonDeed):
    """GET and POST /admin/users/ID/revoke"""

    deed = "user"

    async def question(self, *parts: str) -> Question:
        """See _PersonDeed."""
        asked = await super().question(*parts)
        return replace(asked, action=f"{asked.back}/revoke")

    async def do(self, *parts: str) -> str:
        """Logs the person out everywhere."""
        user = (await self.detail(parts[0])).user
        ended = await revoke_user(self.backend, self.by, user, reason=self.reason())
        await tell_ended(self, ended.sessions, ended.users, undo=[])
        return f"/admin/users/{user.id}"


class BlockUser(_PersonDeed):
    """GET and POST /admin/users/ID/block"""

    deed = "block"
    until = _UNTIL

    async def do(self, *parts: str) -> str:
        """Keeps the person out."""
        chosen = self.field("until", default="")
        if chosen not in _UNTIL:
            raise BadRequest("until")
        until = self.backend.now() + int(chosen) if chosen else None
        user = (await self.detail(parts[0])).user
        ended = await block(self.backend, self.by, user, reason=self.reason(), until=until)
        await self.tell("told.blocked", sessions=self.counted(ended.sessions, "session"))
        return f"/admin/users/{user.id}"


class UnblockUser(_PersonDeed):
    """GET and POST /admin/users/ID/unblock"""

    deed = "unblock"

    async def do(self, *parts: str) -> str:
        """Lets the person log in again."""
        user = (await self.detail(parts[0])).user
        await unblock(self.backend, self.by, user)
        await self.tell("told.unblocked")
        return f"/admin/users/{user.id}"


class EraseUser(_PersonDeed):
    """GET and POST /admin/users/ID/erase"""

    role: ClassVar[Role] = "admin"
    deed = "erase"

    async def do(self, *parts: str) -> str:
        """Forgets the person; the sentence afterwards is the receipt."""
        await self.password_lately()
        user = (await self.detail(parts[0])).user
        erased = await erase(self.backend, self.by, user.id, user.appid)
        await self.tell(
            "told.erased",
            user=user.id,
            sessions=self.counted(erased.sessions, "session"),
            n=erased.audit_n,
            at=self.clock.absolute(erased.at),
        )
        return "/admin/users"
