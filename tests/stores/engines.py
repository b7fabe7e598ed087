"""The stores as their tests meet them, without a server, and what is said about people and sessions again and again."""

import asyncio
import hashlib
import itertools
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from clusters import SixNodes
from msgspec.structs import replace
from servers import RedisServer

from addresses import SESSIONS
from settings import MysqlUrl, RedisUrl, SqliteUrl
from stores.db import Database, Query, Script, Statement, open_database
from stores.epochs import Epochs
from stores.logins import Logins
from stores.records import Records
from stores.sessions import Opening, Session, SessionGone, Sessions, new_token, session_id
from stores.sessions.on_cluster import ClusterSessions
from stores.sessions.on_redis import RedisSessions
from stores.sessions.on_sql import SqlSessions
from stores.sessions.packed import Packer
from stores.sessions.redis_keys import Keys
from stores.sessions.redis_link import RedisLink
from stores.users import User, Users
from values import Secret

APPID, OTHER_APPID = "wx00000000000000a1", "wx00000000000000b2"
WEEK = 7 * 86_400
DAY = 86_400
EMPTY = (
    "DELETE FROM user",
    "DELETE FROM blocked_person",
    "DELETE FROM epoch",
    "DELETE FROM session",
    "DELETE FROM code_claim",
    "DELETE FROM tally",
    "DELETE FROM login",
    "DELETE FROM figure",
    "DELETE FROM refused_login",
    "DELETE FROM operator",
    "DELETE FROM operator_session",
    "DELETE FROM operator_link",
    "DELETE FROM operator_device",
    "DELETE FROM recovery_code",
    "DELETE FROM signin_attempt",
    "DELETE FROM service_key",
    "DELETE FROM delivery",
    "DELETE FROM access_token",
    "DELETE FROM audit",
    "DELETE FROM push_event",
    "DELETE FROM avatar",
    "DELETE FROM held_avatar",
    "UPDATE audit_head SET n = 0, link = REPEAT(CHAR(0), 32)",
)

_numbers = itertools.count(1)


@dataclass
class House:
    """One session engine with the people and the epochs that a server has beside it."""

    name: str
    db: Database
    sessions: Sessions
    users: Users
    epochs: Epochs
    another: Callable[[], "House"] = field(repr=False)
    neighbours: list["House"] = field(default_factory=list, repr=False)

    async def close(self) -> None:
        """Lets go of this house and of every other that was opened beside it."""
        for each in self.neighbours:
            await each.close()
        await self.sessions.close()
        await self.db.close()


async def second(house: House) -> House:
    """The same stores as another process would hold them, closed together with the first."""
    neighbour = house.another()
    house.neighbours.append(neighbour)
    await neighbour.db.start()
    await neighbour.epochs.know([APPID, OTHER_APPID])
    await neighbour.sessions.start()
    return neighbour


def now() -> int:
    """Epoch seconds."""
    return int(time.time())


def some_id() -> bytes:
    """The id of a token that was never handed out."""
    found = session_id(new_token())
    assert found is not None
    return found


async def person(house: House, appid: str = APPID) -> User:
    """Somebody whom nobody has seen before."""
    return await meet(house.users, f"oPerson{next(_numbers)}", appid=appid)


async def meet(users: Users, openid: str, *, appid: str = APPID, unionid: str | None = None) -> User:
    """The person of this openid, after a look of WeChat at them."""
    seen = await users.see(appid, openid, unionid, mark=mark_of(appid, openid), now=now(), signup=True)
    return seen.user


def mark_of(appid: str, openid: str) -> bytes:
    """32 bytes that stand for this person, as the HMAC of the real server would."""
    return hashlib.sha256(f"{appid}:{openid}".encode("ascii")).digest()


def opening(user: User, **changed: object) -> Opening:
    """A session of seven days for this person, without a limit, unless told otherwise."""
    at = now()
    usual = Opening(
        id=some_id(),
        user_id=user.id,
        appid=user.appid,
        created_at=at,
        ends_at=at + WEEK,
        expires_at=at + WEEK,
        sealed_key=secrets.token_bytes(45),
        generation=user.generation,
        limit=0,
        overflow="oldest",
    )
    return replace(usual, **changed)


async def opened(house: House, user: User, **changed: object) -> bytes:
    """The id of a session that was just begun."""
    new = opening(user, **changed)
    await house.sessions.open(new, now())
    return new.id


async def opened_many(house: House, user: User, number: int, **changed: object) -> list[bytes]:
    """The ids of that many sessions of one person, begun fifty at a time."""
    ids: list[bytes] = []
    while len(ids) < number:
        few = min(50, number - len(ids))
        ids += await asyncio.gather(*(opened(house, user, **changed) for _ in range(few)))
    return ids


async def holds(house: House, session: bytes) -> bool:
    """Whether the session is found."""
    try:
        await house.sessions.find(session, now())
    except SessionGone:
        return False
    return True


async def fate(house: House, session: bytes) -> str | None:
    """Why a session that must be gone is gone."""
    with pytest.raises(SessionGone) as gone:
        await house.sessions.find(session, now())
    return gone.value.reason


async def everybody_out(house: House, appid: str = APPID) -> None:
    """What an operator's "revoke everybody" does: the number in SQL, then in the session store."""
    await house.epochs.raise_for(appid, now())
    await house.sessions.set_epochs(await house.epochs.all())


async def live_ids(house: House, user: User) -> list[bytes]:
    """All the sessions of a person that hold, the one that ends first at the top."""
    return [each.id for each in reversed(await house.sessions.live(user.id, user.appid, now(), 100_000))]


async def found(house: House, session: bytes) -> Session:
    """The session, as a look-up gives it."""
    return await house.sessions.find(session, now())


async def until(true: Callable[[], object], *, seconds: float = 15.0) -> None:
    """Waits until it is true; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0.02)


def sqlite_at(path: Path, content: bytes) -> SqliteUrl:
    """A database file with this content, which only its owner can read."""
    path.touch(mode=0o600)
    path.write_bytes(content)
    return SqliteUrl(path)


def mysql_url(url: str) -> MysqlUrl:
    """The setting DATABASE as the engine takes it."""
    parts = urlsplit(url)
    assert parts.username
    assert parts.password
    assert parts.port
    return MysqlUrl(parts.username, Secret(parts.password), "127.0.0.1", parts.port, parts.path[1:])


def on_sql(name: str, where: SqliteUrl | MysqlUrl) -> House:
    """A house on one database; nothing is connected yet."""
    db = open_database(where)
    return House(name, db, SqlSessions(db), Users(db), Epochs(db), lambda: on_sql(name, where))


def redis_sessions(
    where: RedisUrl, db: Database, *, prefix: str = "menshen", key: bytes = b"k" * 32
) -> tuple[RedisLink, RedisSessions]:
    """The engine and its link."""
    link = RedisLink(where)
    return link, RedisSessions(link, Keys(prefix), Packer(key), Records(Epochs(db), Logins(db), Users(db)))


def on_redis(where: RedisUrl, people: SqliteUrl) -> House:
    """A house whose sessions are in Redis; nothing is connected yet."""
    db = open_database(people)
    _, sessions = redis_sessions(where, db)
    return House("redis", db, sessions, Users(db), Epochs(db), lambda: on_redis(where, people))


def on_cluster(where: RedisUrl, people: SqliteUrl) -> House:
    """A house whose sessions are in a Redis Cluster; nothing is connected yet."""
    db = open_database(people)
    sessions = ClusterSessions(where, "menshen", Packer(b"k" * 32), Records(Epochs(db), Logins(db), Users(db)))
    return House("cluster", db, sessions, Users(db), Epochs(db), lambda: on_cluster(where, people))


def cluster_url(six: SixNodes) -> RedisUrl:
    """The setting SESSIONS as the engine takes it."""
    where = SESSIONS.read(six.url())
    assert isinstance(where, RedisUrl)
    return where


def redis_url(server: RedisServer, database: int, user: str = "menshen") -> RedisUrl:
    """The setting SESSIONS as the engine takes it."""
    return RedisUrl("127.0.0.1", server.port, user, Secret(server.password), database, tls=False)


def script(*queries: Query) -> Callable[[], Script[None]]:
    """A script that runs these queries, one after the other."""

    def run() -> Script[None]:
        for query in queries:
            _ = yield query

    return run


def ad_hoc(sql: str, **parameters: object) -> Query:
    """A query that only a test asks, the same on both databases; `:name` stands for a parameter."""
    on_mysql = re.sub(r":([a-z_]+)", r"%(\1)s", sql)
    return Query(Statement("ad_hoc", "", {"sqlite": sql, "mysql": sql}, {"sqlite": sql, "mysql": on_mysql}), parameters)
