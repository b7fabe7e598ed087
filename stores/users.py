"""People: one row for each openid of each mini program, one id for each row, also under a race."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import Any, Literal, TypedDict

import msgspec
from msgspec.structs import replace

from stores.avatars import avatar_dropped
from stores.db import Database, Query, Row, Script, all_of, load
from stores.errors import UsersAway
from stores.figures import user_erased
from stores.first_logins import FirstLogin, FirstLogins, by_person, known
from stores.scope import Scope, within
from stores.shared_lookup import SharedLookup

SQL = load("users.sql")
LOOKED_THROUGH = 5_000  # entries of an index that one page looks through at the most
PARTS = ("nickname", "avatar", "phone")  # of what is kept about a person and may be cleared by itself
MOST_ALIKE = 50  # users of one unionid: one for each mini program of an owner
_A_FEW = 500
MOST_NAMED = 201  # people whom a name may stand for in a list, and one more to know that there are others


class SignupClosed(Exception):
    """This openid is unknown, and the server takes no new people."""


class NoSuchUser(Exception):
    """There is no such person, or no longer."""


class AmbiguousUser(Exception):
    """The openid is known in more than one mini program: say APPID:OPENID."""


class User(msgspec.Struct, frozen=True):
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
    note: str | None = None  # of the operators, never shown to the person's phone
    person: int | None = None  # the smallest id of those whom an operator has declared to be one person

    def blocked(self, now: int) -> bool:
        """Whether logins are refused at `now`."""
        return self.state == "blocked" and (self.blocked_until is None or self.blocked_until > now)


class Profile(TypedDict, total=False):
    """What a person may change about themselves; a part that is missing stays."""

    nickname: str | None
    avatar_url: str | None


class Seen(msgspec.Struct, frozen=True):
    """Somebody whom WeChat has just identified; `new` says that the row is this login's own."""

    user: User
    new: bool


class People(msgspec.Struct, frozen=True):
    """Some people, the newest first. `more` is the id before which the next page begins, None at the end.

    `looked_back_to` is the moment down to which the list was looked through, when that is why the page is not full.
    """

    users: list[User]
    more: int | None = None
    looked_back_to: int | None = None


Also = Callable[[User], Sequence[Query]]  # what is to be written together with a change of a person


def nothing(_user: User) -> Sequence[Query]:
    """Nothing else is written."""
    return ()


class UserBlocked(Exception):
    """An operator keeps this person out."""


class Users:
    """The people of every mini program. All calls raise UsersAway or StoreFull when the database does."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._known: SharedLookup[tuple[str, str], Row | None] = SharedLookup(self._look_up, UsersAway)
        self._numbered: SharedLookup[int, User | None] = SharedLookup(self._of_numbers, UsersAway)
        self._first_logins = FirstLogins(db)

    @property
    def answers(self) -> bool:
        """Whether the database answered when it was last asked."""
        return self._db.answers

    @property
    def full(self) -> bool:
        """Whether the database was found to take nothing new."""
        return self._db.full

    async def see(
        self,
        appid: str,
        openid: str,
        unionid: str | None,
        *,
        mark: bytes,
        now: int,
        signup: bool,
        also: Also = nothing,
    ) -> Seen:
        """The person of this openid, made now at a first login.

        A known person costs one SELECT, which those who log in at the same moment share. `mark` is the HMAC under which
        an erased person's block is kept. `also` is asked what is to be written in the transaction that makes a new one.
        Raises SignupClosed, UserBlocked.
        """
        row = await self._known.get((appid, openid))
        if row is not None:
            user, new = User(*row), False
        elif signup:
            login = FirstLogin(appid, openid, unionid, mark, now, lambda row: also(User(*row)))
            user, new = await self._made(login)
        else:
            raise SignupClosed
        if user.blocked(now):
            raise UserBlocked
        if unionid is not None and user.unionid != unionid:
            await self._db.write(all_of(SQL["set_unionid"](id=user.id, unionid=unionid)))
        return Seen(user, new)

    async def _made(self, login: FirstLogin) -> tuple[User, bool]:
        made = await self._first_logins.make(login)
        if made is None:
            raise UserBlocked
        return User(*made.row), made.own

    async def _look_up(self, people: list[tuple[str, str]]) -> list[Row | None]:
        found: dict[tuple[str, str], Row] = {}
        for query in known(people):
            found |= by_person(await self._db.read(query))
        return [found.get(person) for person in people]

    async def find(self, user_id: int) -> User:
        """One person, by a SELECT that those who are looked for at the same moment share. Raises NoSuchUser."""
        user = await self._numbered.get(user_id)
        if user is None:
            raise NoSuchUser
        return user

    async def _of_numbers(self, ids: list[int]) -> list[User | None]:
        found = _by_id(await self._db.read(SQL["users_by_id"](ids=list(dict.fromkeys(ids)))))
        return [found.get(each) for each in ids]

    async def find_openid(self, openid: str, appids: list[str]) -> User:
        """The one person of this openid in these mini programs. Raises NoSuchUser, AmbiguousUser."""
        rows = await self._db.read(SQL["users_by_openid"](openid=openid, appids=appids))
        if not rows:
            raise NoSuchUser
        if len(rows) > 1:
            raise AmbiguousUser
        return User(*rows[0])

    async def find_all(self, ids: list[int]) -> dict[int, User]:
        """Those of them who are there."""
        return _by_id(await self._db.browse(SQL["users_by_id"](ids=ids))) if ids else {}

    async def of_openid(self, openid: str, appids: list[str]) -> dict[int, User]:
        """The people of this openid in these mini programs."""
        return _by_id(await self._db.browse(SQL["users_of_openid"](openid=openid, appids=appids, most=MOST_NAMED)))

    async def called(self, beginning: str, appids: Scope, most: int) -> dict[int, User]:
        """People whose nickname begins so, in these mini programs or in any."""
        asked = {"first": beginning, "last": beginning + "\U0010ffff", "most": most}
        return _by_id(await self._db.browse(SQL["users_called"](**asked, **within(appids))))

    async def with_phone(self, tail: str, appids: Scope, most: int) -> dict[int, User]:
        """People whose phone number ends in these four digits, in these mini programs or in any."""
        return _by_id(await self._db.browse(SQL["users_with_phone"](tail=tail, most=most, **within(appids))))

    async def page(
        self,
        appids: Scope,
        state: Literal["any", "active", "blocked"],
        created: tuple[int, int],
        now: int,
        before: int = 2**62,
        most: int = 50,
    ) -> People:
        """The newest people who fit, before an id. Looks through a bounded number of entries, so it may give few."""
        asked: dict[str, Any] = {"before": before, "from": created[0], "to": created[1], "now": now, **within(appids)}
        if state == "blocked":
            window, page = SQL["window_blocked"], SQL["page_blocked"]
        else:
            window, page, asked["state"] = SQL["window_users"], SQL["page_users"], state
        reach = await self._db.browse(window(**asked, stop=0, window=LOOKED_THROUGH))
        stop = int(reach[0][0]) if reach else 0
        found = [User(*row) for row in await self._db.browse(page(**asked, stop=stop, most=most + 1))]
        if found[most:]:
            return People(found[:most], found[most - 1].id)
        return People(found, stop, int(reach[0][1])) if reach else People(found)

    async def note(self, user_id: int, note: str | None) -> User:
        """Keeps what operators tell each other about a person. Raises NoSuchUser."""

        def script() -> Script[User]:
            yield SQL["set_note"](id=user_id, note=note)
            return (yield from _user(user_id))

        return await self._db.write(script)

    async def rename(self, user_id: int, changes: Profile) -> User:
        """Sets what the person typed in, and leaves what is not named; gives the person now. Raises NoSuchUser."""

        def script() -> Script[User]:
            yield SQL["lock_user"](id=user_id)
            user = replace((yield from _user(user_id)), **changes)
            yield SQL["set_profile"](id=user_id, nickname=user.nickname, avatar_url=user.avatar_url)
            return user

        return await self._db.write(script)

    async def clear(self, user_id: int, parts: Collection[str]) -> User:
        """Forgets some of PARTS, the avatar with its picture; gives the person now. Raises NoSuchUser."""

        def script() -> Script[User]:
            yield SQL["lock_user"](id=user_id)
            yield SQL["clear_profile"](id=user_id, **{f"no_{part}": int(part in parts) for part in PARTS})
            if "avatar" in parts:
                yield from avatar_dropped(user_id)
            return (yield from _user(user_id))

        return await self._db.write(script)

    async def same_unionid(self, user: User, appids: Scope) -> list[User]:
        """The person in each of these mini programs, or in any, by the unionid; the oldest row first."""
        if user.unionid is None:
            return [user]
        rows = await self._db.browse(_of_unionid(user.unionid, appids))
        return sorted((User(*row) for row in rows), key=lambda found: found.id)

    async def merge(self, user: User, appids: Scope) -> list[User]:
        """Declares all of them one person; gives them as they are now. The unionid is read anew, within the deed."""
        return await self._set_person(user, appids, merged=True)

    async def split(self, user: User, appids: Scope) -> list[User]:
        """Takes that back; gives them as they are now."""
        return await self._set_person(user, appids, merged=False)

    async def _set_person(self, user: User, appids: Scope, *, merged: bool) -> list[User]:
        def script() -> Script[list[User]]:
            if user.unionid is None:
                return []
            rows = (yield _of_unionid(user.unionid, appids)).rows
            ids = sorted(row[0] for row in rows)
            if not ids:
                return []
            person = min([ids[0], *(found.person for found in map(_of_row, rows) if found.person)])
            yield SQL["set_person"](ids=ids, person=person) if merged else SQL["unset_person"](ids=ids)
            return [replace(_of_row(row), person=person if merged else None) for row in rows]

        return await self._db.write(script)

    async def set_phone(self, user_id: int, phone: str) -> User:
        """Keeps the number that WeChat vouches for; gives the person now. Raises NoSuchUser."""

        def script() -> Script[User]:
            yield SQL["set_phone"](id=user_id, phone=phone)
            return (yield from _user(user_id))

        return await self._db.write(script)

    async def blocked_generations(self) -> AsyncIterator[Mapping[int, int]]:
        """The generation of everybody who is blocked, by user id, some at a time."""
        after = 0
        while rows := await self._db.browse(SQL["blocked_generations"](after=after, most=_A_FEW)):
            yield dict(rows)
            after = rows[-1][0]

    async def block(self, user_id: int, *, reason: str, until: int | None, also: Also = nothing) -> User:
        """Refuses logins from now on; `until` is epoch seconds, None for good. Raises NoSuchUser.

        `also` is asked what is to be written in the same transaction.

        The caller then ends the sessions, with the raised generation of the User that this gives.
        """

        def script() -> Script[User]:
            yield SQL["block_user"](id=user_id, until=until, reason=reason)
            user = yield from _user(user_id)
            yield from _all(also(user))
            return user

        return await self._db.write(script, from_reserve=True)

    async def unblock(self, user_id: int) -> User:
        """Lets the person log in again. Raises NoSuchUser."""

        def script() -> Script[User]:
            yield SQL["unblock_user"](id=user_id)
            return (yield from _user(user_id))

        return await self._db.write(script, from_reserve=True)

    async def erase(self, user_id: int, *, mark: bytes, now: int, also: Also = nothing) -> User:
        """Deletes the row; gives the person who was there. A block stays under `mark`. Raises NoSuchUser.

        `also` is asked what is to be written in the same transaction.
        """

        def script() -> Script[User]:
            yield SQL["lock_user"](id=user_id)  # first, or MySQL would show the row as it was before a block
            user = yield from _user(user_id)
            if user.blocked(now):
                yield SQL["keep_block"](
                    person=mark, appid=user.appid, until=user.blocked_until, reason=user.block_reason
                )
            yield from avatar_dropped(user_id)
            yield from user_erased(user_id, user.appid)
            yield SQL["erase_user"](id=user_id)
            yield from _all(also(user))
            return user

        return await self._db.write(script, from_reserve=True)


def _of_row(row: Row) -> User:
    return User(*row)


def _of_unionid(unionid: str, appids: Scope) -> Query:
    return SQL["users_of_unionid"](unionid=unionid, most=MOST_ALIKE, **within(appids))


def _by_id(rows: list[Row]) -> dict[int, User]:
    return {row[0]: User(*row) for row in rows}


def _user(user_id: int) -> Script[User]:
    found = yield SQL["users_by_id"](ids=[user_id])
    if not found.rows:
        raise NoSuchUser
    return User(*found.rows[0])


def _all(queries: Sequence[Query]) -> Script[None]:
    for query in queries:
        _ = yield query  # not `yield from queries`: a list takes no results
