"""People and sessions of other programs: how they come into our tables, and how Wafer's are read out of its own."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from settings import MysqlUrl
from stores.db import Database, Row, Script, load, open_database
from stores.figures import user_added
from values import Confidential

SQL = load("imports.sql")
PEOPLE = load("users.sql")
WAFER = load("wafer.sql")

Outcome = Literal["added", "there already", "other id", "id taken", "erased", "blocked"]


class Newcomer(msgspec.Struct, frozen=True):
    """A person of another program. `mark` is the HMAC under which an erased person's block would be kept."""

    id: int
    appid: str
    openid: str
    unionid: str | None
    nickname: str | None
    phone: str | None
    created_at: int
    mark: bytes


class Imports:
    """What an import asks of our own database. All calls raise UsersAway or StoreFull when it does."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(self, people: Sequence[Newcomer], now: int, *, dry: bool) -> list[Outcome]:
        """Adds those whom nothing speaks against, all in one transaction; gives what became of each.

        With `dry` it only looks.
        """

        def script() -> Script[list[Outcome]]:
            outcomes: list[Outcome] = []
            for person in people:
                outcome = yield from _add(person, now, dry=dry)
                outcomes.append(outcome)
            return outcomes

        return await self._db.write(script)


def _add(person: Newcomer, now: int, *, dry: bool) -> Script[Outcome]:
    here = yield SQL["people_by_id"](ids=[person.id])
    same = yield PEOPLE["user_by_openid"](appid=person.appid, openid=person.openid)
    if same.rows:
        return "there already" if same.rows[0][0] == person.id else "other id"
    if here.rows:
        return "id taken"
    if (yield SQL["erased_person"](target=f"user:{person.id}")).rows:
        return "erased"
    barred = yield PEOPLE["blocked_people"](people=[person.mark])
    if barred.rows and (barred.rows[0][1] is None or barred.rows[0][1] > now):
        return "blocked"
    if dry:
        return "added"
    added = yield SQL["import_user"](
        id=person.id,
        appid=person.appid,
        openid=person.openid,
        unionid=person.unionid,
        nickname=person.nickname,
        phone=person.phone,
        at=person.created_at,
    )
    if not added.changed:
        return "id taken"  # by a login at this very moment
    yield from user_added(person.appid)
    return "added"


class WaferApp(msgspec.Struct, frozen=True):
    """A mini program of Wafer 1, and when its sessions end: days after the login, seconds after the last use."""

    appid: str
    login_days: int
    idle_seconds: int


class WaferSession(Confidential, frozen=True):
    """A row of Wafer's sessions as it stands there. Nothing in it has been judged."""

    openid: str
    uuid: str
    skey: str
    session_key: str
    user_info: str
    created_at: int | None
    visited_at: int | None


class WaferTables:
    """Wafer's own database, which is only read. All calls raise UsersAway, and WrongCredentials at the first."""

    def __init__(self, where: MysqlUrl) -> None:
        self._db = open_database(where)

    async def apps(self) -> list[WaferApp] | None:
        """The mini programs of Wafer 1; None when the database is one of Wafer 2, which does not name its own."""
        if not (await self._db.browse(WAFER["wafer_generation"]()))[0][0]:
            return None
        return [WaferApp(*row) for row in await self._db.browse(WAFER["wafer_apps"]())]

    async def some(self, after: tuple[str, str], most: int) -> list[WaferSession]:
        """The next sessions after an openid and uuid."""
        openid, uuid = after
        rows = await self._db.browse(WAFER["wafer_sessions"](openid=openid, uuid=uuid, most=most))
        return [_wafer_session(row) for row in rows]

    async def close(self) -> None:
        """Lets go."""
        await self._db.close()


def _wafer_session(row: Row) -> WaferSession:
    *texts, created_at, visited_at = row
    openid, uuid, skey, session_key, user_info = (each or "" for each in texts)
    return WaferSession(openid, uuid, skey, session_key, user_info, _seconds(created_at), _seconds(visited_at))


def _seconds(value: object) -> int | None:
    """MySQL gives a whole number, a Decimal where the column keeps fractions, and nothing for no time or an odd one."""
    return int(str(value).partition(".")[0]) if value else None
