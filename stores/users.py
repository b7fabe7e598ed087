"""People: one row for each openid of each mini program, one id for each row, also under a race."""

from dataclasses import dataclass, replace
from typing import TypedDict

from stores.db import Database, Script, load

SQL = load("users.sql")


class SignupClosed(Exception):
    """This openid is unknown, and the server takes no new people."""


class NoSuchUser(Exception):
    """There is no such person, or no longer."""


class AmbiguousUser(Exception):
    """The openid is known in more than one mini program: say APPID:OPENID."""


@dataclass(frozen=True)
class User:
    """One person in one mini program. Times are epoch seconds; `blocked_until` is None for a block without an end."""

    id: int
    appid: str
    openid: str
    unionid: str | None
    nickname: str | None
    avatar_url: str | None
    phone: str | None
    created_at: int
    last_login_at: int
    state: str
    blocked_until: int | None
    block_reason: str | None
    generation: int

    def blocked(self, now: int) -> bool:
        """Whether logins are refused at `now`."""
        return self.state == "blocked" and (self.blocked_until is None or self.blocked_until > now)


class Profile(TypedDict, total=False):
    """What a person may change about themselves; a part that is missing stays."""

    nickname: str | None
    avatar_url: str | None


@dataclass(frozen=True)
class Seen:
    """Somebody whom WeChat has just identified; `new` says that the row is this login's own."""

    user: User
    new: bool


class UserBlocked(Exception):
    """An operator keeps this person out."""


class Users:
    """The people of every mini program. All calls raise UsersAway or StoreFull when the database does."""

    def __init__(self, db: Database) -> None:
        self._db = db

    @property
    def answers(self) -> bool:
        """Whether the database answered when it was last asked."""
        return self._db.answers

    async def see(self, appid: str, openid: str, unionid: str | None, *, mark: bytes, now: int, signup: bool) -> Seen:
        """The person of this openid, made now at a first login.

        A known person costs one SELECT. `mark` is the HMAC under which an erased person's block is kept.
        Raises SignupClosed, UserBlocked.
        """
        rows = await self._db.read(SQL["user_by_openid"](appid=appid, openid=openid))
        if rows:
            user, new = User(*rows[0]), False
        elif signup:
            user, new = await self._db.write(lambda: _add(appid, openid, unionid, mark, now))
        else:
            raise SignupClosed
        if user.blocked(now):
            raise UserBlocked
        if unionid is not None and user.unionid != unionid:
            await self._db.write(lambda: _set_unionid(user.id, unionid))
        return Seen(user, new)

    async def find(self, user_id: int) -> User:
        """Raises NoSuchUser."""
        rows = await self._db.read(SQL["user_by_id"](id=user_id))
        if not rows:
            raise NoSuchUser
        return User(*rows[0])

    async def find_openid(self, openid: str, appids: list[str]) -> User:
        """The one person of this openid in these mini programs. Raises NoSuchUser, AmbiguousUser."""
        rows = await self._db.read(SQL["users_by_openid"](openid=openid, appids=appids))
        if not rows:
            raise NoSuchUser
        if len(rows) > 1:
            raise AmbiguousUser
        return User(*rows[0])

    async def rename(self, user_id: int, changes: Profile) -> User:
        """Sets what the person typed in, and leaves what is not named; gives the person now. Raises NoSuchUser."""

        def script() -> Script[User]:
            yield SQL["lock_user"](id=user_id)
            user = replace((yield from _user(user_id)), **changes)
            yield SQL["set_profile"](id=user_id, nickname=user.nickname, avatar_url=user.avatar_url)
            return user

        return await self._db.write(script)

    async def block(self, user_id: int, *, reason: str, until: int | None) -> User:
        """Refuses logins from now on; `until` is epoch seconds, None for good. Raises NoSuchUser.

        The caller then ends the sessions, with the raised generation of the User that this gives.
        """

        def script() -> Script[User]:
            yield SQL["block_user"](id=user_id, until=until, reason=reason)
            return (yield from _user(user_id))

        return await self._db.write(script)

    async def unblock(self, user_id: int) -> User:
        """Lets the person log in again. Raises NoSuchUser."""

        def script() -> Script[User]:
            yield SQL["unblock_user"](id=user_id)
            return (yield from _user(user_id))

        return await self._db.write(script)

    async def erase(self, user_id: int, *, mark: bytes, now: int) -> User:
        """Deletes the row; gives the person who was there. A block stays under `mark`. Raises NoSuchUser."""

        def script() -> Script[User]:
            yield SQL["lock_user"](id=user_id)  # first, or MySQL would show the row as it was before a block
            user = yield from _user(user_id)
            if user.blocked(now):
                yield SQL["keep_block"](
                    person=mark, appid=user.appid, until=user.blocked_until, reason=user.block_reason
                )
            yield SQL["erase_user"](id=user_id)
            return user

        return await self._db.write(script)


def _user(user_id: int) -> Script[User]:
    found = yield SQL["user_by_id"](id=user_id)
    if not found.rows:
        raise NoSuchUser
    return User(*found.rows[0])


def _add(appid: str, openid: str, unionid: str | None, mark: bytes, now: int) -> Script[tuple[User, bool]]:
    """Inserts first, then reads by openid: the id that a driver reports after an upsert is another row's in a race,
    and a MySQL transaction that has read once no longer sees the row that beat it."""
    added = yield SQL["add_user"](appid=appid, openid=openid, unionid=unionid, now=now)
    barred = yield SQL["blocked_person"](person=mark)
    if barred.rows and (barred.rows[0][0] is None or barred.rows[0][0] > now):
        raise UserBlocked
    found = yield SQL["user_by_openid"](appid=appid, openid=openid)
    return User(*found.rows[0]), added.changed == 1


def _set_unionid(user_id: int, unionid: str) -> Script[None]:
    yield SQL["set_unionid"](id=user_id, unionid=unionid)
