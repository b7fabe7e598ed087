"""The stores as their tests meet them: each database and each session engine, real, empty, and without a server.

A test module takes these fixtures with ``pytest_plugins = ["engines"]``.

| fixture    | gives                                                                                                 |
|------------|-------------------------------------------------------------------------------------------------------|
| `database` | a `Database` with an empty schema: once SQLite, once MariaDB                                           |
| `house`    | the session promise with the people and epochs around it: on SQLite, on MariaDB, on Redis              |
| `redis`    | a client that looks at the keys of `redis_house`; `sqlite_house`, `mariadb_house` are the engines alone |

On Redis the people live in SQLite. `second(house)` is another process at the same stores.
"""

import asyncio
import dataclasses
import hashlib
import itertools
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis as redis_py
from servers import MariaDB, RedisServer
from tornado.ioloop import IOLoop

from settings import MysqlUrl, RedisUrl, SqliteUrl
from stores.db import Database, Query, Script, open_database
from stores.epochs import Epochs
from stores.sessions import Opening, Session, SessionGone, Sessions, new_token, session_id
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
TABLES = ("user", "blocked_person", "epoch", "session", "code_claim", "tally", "login")
QUICK = pytest.param("sqlite", marks=pytest.mark.quick)

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
    return dataclasses.replace(usual, **changed)  # type: ignore[arg-type]  # each test names fields of Opening


async def opened(house: House, user: User, **changed: object) -> bytes:
    """The id of a session that was just begun."""
    new = opening(user, **changed)
    await house.sessions.open(new, now())
    return new.id


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
    await house.epochs.raise_for(appid)
    await house.sessions.set_epochs(await house.epochs.all())


async def live_ids(house: House, user: User) -> list[bytes]:
    """The ids of a person's sessions that hold."""
    return [each.id for each in await house.sessions.live(user.id, user.appid, now())]


async def found(house: House, session: bytes) -> Session:
    """The session, as a look-up gives it."""
    return await house.sessions.find(session, now())


async def until(true: Callable[[], object], *, seconds: float = 15.0) -> None:
    """Waits until it is true; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0.02)


def mysql_url(url: str) -> MysqlUrl:
    """The setting DATABASE as the engine takes it."""
    parts = urlsplit(url)
    assert parts.username
    assert parts.password
    assert parts.port
    return MysqlUrl(parts.username, Secret(parts.password), "127.0.0.1", parts.port, parts.path[1:])


@pytest.fixture(scope="session")
def mariadb_database(mariadb: MariaDB) -> MysqlUrl:
    """One MariaDB database with our schema, which each test finds empty."""
    where = mysql_url(mariadb.database())

    async def upgrade() -> None:
        db = open_database(where)
        assert await db.upgrade()
        await db.close()

    asyncio.run(upgrade())
    return where


@pytest.fixture(scope="session")
def redis_database(redis_server: RedisServer) -> int:
    """The number of one Redis database, which each test finds empty."""
    return int(redis_server.url().rpartition("/")[2])


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of an empty embedded database."""
    path = tmp_path_factory.mktemp("template") / "empty.db"
    asyncio.run(open_database(SqliteUrl(path)).upgrade())
    return path.read_bytes()


@pytest.fixture
def sqlite_file(sqlite_template: bytes, tmp_path: Path) -> SqliteUrl:
    """An empty embedded database of the test's own."""
    path = tmp_path / "menshen.db"
    path.write_bytes(sqlite_template)
    return SqliteUrl(path)


@pytest.fixture
def empty_mariadb(mariadb: MariaDB, mariadb_database: MysqlUrl) -> MysqlUrl:
    """The MariaDB database without a row."""
    for table in TABLES:
        mariadb.query(f"DELETE FROM {table}", database=mariadb_database.name)
    return mariadb_database


@pytest.fixture(params=[QUICK, "mariadb"])
def database(request: pytest.FixtureRequest, io_loop: IOLoop) -> Iterator[Database]:
    """An empty database, open."""
    fixture = "sqlite_file" if request.param == "sqlite" else "empty_mariadb"
    db = open_database(request.getfixturevalue(fixture))
    io_loop.run_sync(db.start)
    yield db
    io_loop.run_sync(db.close)


def _on_sql(name: str, where: SqliteUrl | MysqlUrl) -> House:
    db = open_database(where)
    return House(name, db, SqlSessions(db), Users(db), Epochs(db), lambda: _on_sql(name, where))


def redis_sessions(
    where: RedisUrl, epochs: Epochs, *, prefix: str = "test", key: bytes = b"k" * 32
) -> tuple[RedisLink, RedisSessions]:
    """The engine and its link."""
    link = RedisLink(where)
    return link, RedisSessions(link, Keys(prefix), Packer(key), [APPID, OTHER_APPID], epochs.all)


def _on_redis(where: RedisUrl, people: SqliteUrl) -> House:
    db = open_database(people)
    epochs = Epochs(db)
    _, sessions = redis_sessions(where, epochs)
    return House("redis", db, sessions, Users(db), epochs, lambda: _on_redis(where, people))


def redis_url(server: RedisServer, database: int) -> RedisUrl:
    """The setting SESSIONS as the engine takes it."""
    return RedisUrl("127.0.0.1", server.port, "", Secret(server.password), database, tls=False)


@pytest.fixture
def redis_house(
    redis_server: RedisServer, redis_database: int, sqlite_file: SqliteUrl, io_loop: IOLoop
) -> Iterator[House]:
    """The promise on Redis, empty but for the epochs."""
    with redis_server.client(redis_database) as client:
        client.flushdb()
    yield from _lived_in(_on_redis(redis_url(redis_server, redis_database), sqlite_file), io_loop)


@pytest.fixture
def redis(redis_house: House, redis_server: RedisServer, redis_database: int) -> Iterator[redis_py.Redis]:
    """A client that sees the keys of `redis_house`."""
    with redis_server.client(redis_database) as client:
        yield client


@pytest.fixture
def sqlite_house(sqlite_file: SqliteUrl, io_loop: IOLoop) -> Iterator[House]:
    """The promise on SQLite."""
    yield from _lived_in(_on_sql("sqlite", sqlite_file), io_loop)


@pytest.fixture
def mariadb_house(empty_mariadb: MysqlUrl, io_loop: IOLoop) -> Iterator[House]:
    """The promise on MariaDB."""
    yield from _lived_in(_on_sql("mariadb", empty_mariadb), io_loop)


@pytest.fixture(params=[QUICK, "mariadb", "redis"])
def house(request: pytest.FixtureRequest) -> House:
    """The promise on each engine in turn."""
    made: House = request.getfixturevalue(f"{request.param}_house")
    return made


def _lived_in(house: House, io_loop: IOLoop) -> Iterator[House]:
    async def move_in() -> None:
        await house.db.start()
        await house.sessions.start()

    io_loop.run_sync(move_in)
    yield house
    io_loop.run_sync(house.close)


def script(*queries: Query) -> Callable[[], Script[None]]:
    """A script that runs these queries, one after the other."""

    def run() -> Script[None]:
        for query in queries:
            _ = yield query

    return run
