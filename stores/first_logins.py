"""First logins: a row for each new person, those who come while others are written in one transaction.

A commit waits for the disk, and every first login of a mini program for the one row that counts its people: alone each
would wait behind all the others.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from stores.db import Database, Query, Row, Script, load
from stores.errors import UsersAway
from stores.figures import user_added
from stores.shared_lookup import SharedLookup

SQL = load("users.sql")

_MOST_AT_ONCE = 50  # in one transaction
PATIENCE_SECONDS = 0.05  # for the transaction before; what holds that one up for longer need not hold up the next


class _Raced(Exception):
    """Another process has made some of these people at the same moment, and the database does not say which."""


class FirstLogin(msgspec.Struct, frozen=True, eq=False):
    """Somebody whom we do not know yet.

    `mark` is the HMAC under which an erased person's block is kept; `also` is asked what is to be written together with
    the row, if it is this login's own.
    """

    appid: str
    openid: str
    unionid: str | None
    mark: bytes
    now: int
    also: Callable[[Row], Sequence[Query]]

    @property
    def person(self) -> tuple[str, str]:
        """Whose it is, as WeChat names people."""
        return self.appid, self.openid


class Made(msgspec.Struct, frozen=True):
    """The person's row, and whether it is this login's own."""

    row: Row
    own: bool


class FirstLogins:
    """Those of this process. Raises UsersAway and StoreFull when the database does."""

    def __init__(self, db: Database) -> None:
        self._db = db
        patience = PATIENCE_SECONDS if db.dialect == "mysql" else 0.0  # the writer of SQLite shares its commits itself
        self._together: SharedLookup[FirstLogin, Made | None] = SharedLookup(
            self._add, UsersAway, _MOST_AT_ONCE, patience
        )
        self._being_made: dict[tuple[str, str], asyncio.Task[Made | None]] = {}

    async def make(self, login: FirstLogin) -> Made | None:
        """The row, None for somebody who was erased while blocked. Of those who meet a person at once one makes it.

        Each of them would otherwise wait in MySQL for a lock on that row behind all the others, and until their time
        is over when many do.
        """
        making = self._being_made.get(login.person)
        if making is not None:
            made = await asyncio.shield(making)
            return made and Made(made.row, own=False)
        making = asyncio.ensure_future(self._together.get(login))
        self._being_made[login.person] = making
        making.add_done_callback(lambda done: self._made(login.person, done))
        return await asyncio.shield(making)  # whoever hangs up takes it from nobody else

    def _made(self, person: tuple[str, str], done: "asyncio.Task[Made | None]") -> None:
        del self._being_made[person]
        if not done.cancelled():
            done.exception()  # looked at, or asyncio complains when nobody is left to see it

    async def _add(self, logins: list[FirstLogin]) -> list[Made | None]:
        try:
            return await self._db.write(lambda: _added(logins, _inserted_at_once))
        except _Raced:
            return await self._db.write(lambda: _added(logins, _inserted_one_by_one))


_Inserted = Callable[[list[FirstLogin]], Script[set[FirstLogin]]]  # gives those whose rows are their own


def _inserted_at_once(logins: list[FirstLogin]) -> Script[set[FirstLogin]]:
    rows = [(each.appid, each.openid, each.unionid, each.now, each.now) for each in logins]
    added = yield SQL["add_users"](new_people=rows)
    if added.changed not in (0, len(rows)):
        raise _Raced
    return set(logins) if added.changed else set()


def _inserted_one_by_one(logins: list[FirstLogin]) -> Script[set[FirstLogin]]:
    own = set[FirstLogin]()
    for each in logins:
        own |= yield from _inserted_at_once([each])
    return own


def _added(logins: list[FirstLogin], insert: _Inserted) -> Script[list[Made | None]]:
    """Inserts first, then reads by openid: the id that a driver reports after an upsert is another row's in a race,
    and a MySQL transaction that has read once no longer sees the row that beat it."""
    own = yield from insert(sorted(logins, key=lambda each: each.person))  # in one order, or two lock each other up
    blocks: Mapping[bytes, int | None] = dict((yield SQL["blocked_people"](people=[each.mark for each in logins])).rows)
    barred = {each for each in logins if each.mark in blocks and _lasts(blocks[each.mark], each.now)}
    rows: dict[tuple[str, str], Row] = {}
    for query in known([each.person for each in logins]):
        rows |= by_person((yield query).rows)
    for each in barred & own:
        yield SQL["erase_user"](id=rows[each.person][0])
    for each in own - barred:
        for query in each.also(rows[each.person]):
            _ = yield query
    # Last, because everybody waits for these rows.
    for appid, n in sorted(Counter(each.appid for each in own - barred).items()):
        yield from user_added(appid, n)
    return [None if each in barred else Made(rows[each.person], each in own) for each in logins]


def _lasts(blocked_until: int | None, now: int) -> bool:
    return blocked_until is None or blocked_until > now


def known(people: Sequence[tuple[str, str]]) -> Iterator[Query]:
    """What gives the rows of those of these people whom we know: one query for each mini program."""
    for appid in sorted({appid for appid, _ in people}):
        yield SQL["users_of_openids"](appid=appid, openids=[openid for its, openid in people if its == appid])


def by_person(rows: Sequence[Row]) -> dict[tuple[str, str], Row]:
    """The rows under mini program and openid."""
    return {(row[1], row[2]): row for row in rows}
