"""One person in several mini programs: the deeds that say so and take it back, each after a page that asks."""

from collections.abc import Sequence
from typing import ClassVar

from actions.lists import user_detail
from actions.merging import Member, NothingToMerge, members, merge, split
from handlers.dashboard.asking import AskingPage, Question
from handlers.times import counted
from stores.operators import Role
from stores.users import NoSuchUser, User


class _Merging(AskingPage):
    """What the two share."""

    page = "users"
    role: ClassVar[Role] = "operator"
    deed: ClassVar[str]

    async def user(self, number: str) -> User:
        """The person of the URL. Raises NoSuchUser, also for one of another mini program."""
        if len(number) > 18:
            raise NoSuchUser
        return (await user_detail(self.backend, self.scope, int(number))).user

    def users(self, group: Sequence[User | Member]) -> str:
        """`2 users`, in the operator's language."""
        return counted(len(group), self.words.merging.n)

    async def question(self, *parts: str) -> Question:
        """Who become one, or several again."""
        user = await self.user(parts[0])
        group = await members(self.backend, self.scope, user)
        person = min(each.user.person or each.user.id for each in group)
        words = vars(self.words.merging)
        filled = {"users": self.users(group), "person": person}
        texts = {name: words[f"{self.deed}_{name}"] for name in ("title", "consequence", "afterwards", "button")}
        return Question(
            **{name: text.format(**filled) for name, text in texts.items()},
            action=f"/admin/users/{user.id}/{self.deed}",
            back=f"/admin/users/{user.id}",
            members=group,
            reasons=(),
        )


class MergeUser(_Merging):
    """GET and POST /admin/users/ID/merge"""

    deed = "merge"

    async def do(self, *parts: str) -> str:
        """Gives all users of the unionid, as far as the operator may see them, one number."""
        user = await self.user(parts[0])
        try:
            merged = await merge(self.backend, self.by, self.scope, user)
        except NothingToMerge:
            await self.tell("merging.nothing", kind="warn")
        else:
            await self.tell("merging.merged", users=self.users(merged), person=merged[0].person)
        return f"/admin/users/{user.id}"


class SplitUser(_Merging):
    """GET and POST /admin/users/ID/split"""

    deed = "split"

    async def do(self, *parts: str) -> str:
        """Takes the number away from all of them."""
        user = await self.user(parts[0])
        try:
            parted = await split(self.backend, self.by, self.scope, user)
        except NothingToMerge:
            await self.tell("merging.nothing", kind="warn")
        else:
            await self.tell("merging.parted", users=self.users(parted))
        return f"/admin/users/{user.id}"
