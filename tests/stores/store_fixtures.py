"""The fixtures of the stores: each database and each session engine, real, empty, and without a server.

A test module takes these fixtures with ``pytest_plugins = ["store_fixtures"]``.

| fixture    | gives                                                                                                 |
|------------|-------------------------------------------------------------------------------------------------------|
| `database` | a `Database` with an empty schema: once SQLite, once MariaDB                                           |
| `owner`    | the same one with all rights: on MariaDB a server has those of deploy/mysql/grants.sql alone          |
| `house`    | the session promise with the people and epochs around it: on SQLite, on MariaDB, on Redis              |
| `cluster_house` | the same on a Redis Cluster, which tests/stores/test_promise_on_cluster.py takes for `house`     |
| `redis`    | a client that looks at the keys of `redis_house`; `sqlite_house`, `mariadb_house` are the engines alone |

On Redis and a cluster the people live in SQLite.
"""

import asyncio
from collections.abc import Coroutine, Iterator
from pathlib import Path

import pytest
import redis as redis_py
from clusters import SixNodes
from engines import (
    APPID,
    EMPTY,
    OTHER_APPID,
    House,
    cluster_url,
    mysql_url,
    on_cluster,
    on_redis,
    on_sql,
    redis_url,
    sqlite_at,
)
from msgspec.structs import replace
from servers import MariaDB, RedisServer
from tornado.ioloop import IOLoop

from settings import MysqlUrl, SqliteUrl
from stores.db import Database, open_database

QUICK = pytest.param("sqlite", marks=pytest.mark.quick)


def _lived_in(house: House, io_loop: IOLoop) -> Iterator[House]:
    async def move_in() -> None:
        await house.db.start()
        await house.epochs.know([APPID, OTHER_APPID])
        await house.sessions.start()

    io_loop.run_sync(move_in)
    yield house
    io_loop.run_sync(house.close)


def _at_once(work: Coroutine[object, object, object]) -> None:
    """Runs it on a loop of its own; asyncio.run would take the loop away from the test that waits for its fixtures."""
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(work)
    finally:
        loop.close()


@pytest.fixture(scope="session")
def mariadb_database(mariadb: MariaDB) -> MysqlUrl:
    """One MariaDB database with our schema, which each test finds empty, for the user of deploy/mysql/grants.sql."""
    return mysql_url(mariadb.served())


@pytest.fixture(scope="session")
def redis_database(redis_server: RedisServer) -> int:
    """The number of one Redis database, which each test finds empty."""
    return int(redis_server.url().rpartition("/")[2])


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of an empty embedded database."""
    path = tmp_path_factory.mktemp("template") / "empty.db"
    _at_once(open_database(SqliteUrl(path)).upgrade())
    return path.read_bytes()


@pytest.fixture
def sqlite_file(sqlite_template: bytes, tmp_path: Path) -> SqliteUrl:
    """An empty embedded database of the test's own."""
    return sqlite_at(tmp_path / "menshen.db", sqlite_template)


@pytest.fixture
def empty_mariadb(mariadb: MariaDB, mariadb_database: MysqlUrl) -> MysqlUrl:
    """The MariaDB database without a row."""
    for statement in EMPTY:
        mariadb.query(statement, database=mariadb_database.name)
    return mariadb_database


@pytest.fixture(params=[QUICK, "mariadb"])
def database(request: pytest.FixtureRequest, io_loop: IOLoop) -> Iterator[Database]:
    """An empty database, open."""
    fixture = "sqlite_file" if request.param == "sqlite" else "empty_mariadb"
    yield from _open(open_database(request.getfixturevalue(fixture)), io_loop)


@pytest.fixture
def owner(database: Database, request: pytest.FixtureRequest, io_loop: IOLoop) -> Iterator[Database]:
    """The same database for whoever owns it."""
    if database.dialect == "sqlite":
        yield database
        return
    where: MysqlUrl = request.getfixturevalue("mariadb_database")
    mariadb: MariaDB = request.getfixturevalue("mariadb")
    yield from _open(open_database(replace(where, user=mariadb.user)), io_loop)


def _open(db: Database, io_loop: IOLoop) -> Iterator[Database]:
    io_loop.run_sync(db.start)
    yield db
    io_loop.run_sync(db.close)


@pytest.fixture
def redis_house(
    redis_server: RedisServer, redis_database: int, sqlite_file: SqliteUrl, io_loop: IOLoop
) -> Iterator[House]:
    """The promise on Redis, empty but for the epochs."""
    with redis_server.client(redis_database) as client:
        client.flushdb()
    yield from _lived_in(on_redis(redis_url(redis_server, redis_database), sqlite_file), io_loop)


@pytest.fixture
def redis(redis_house: House, redis_server: RedisServer, redis_database: int) -> Iterator[redis_py.Redis]:
    """A client that sees the keys of `redis_house`."""
    with redis_server.client(redis_database) as client:
        yield client


@pytest.fixture(scope="session")
def six_nodes(folder: Path) -> Iterator[SixNodes]:
    """A Redis Cluster that the tests of one process share."""
    with SixNodes(folder / "six-nodes").running() as six:
        yield six


@pytest.fixture
def cluster_house(six_nodes: SixNodes, sqlite_file: SqliteUrl, io_loop: IOLoop) -> Iterator[House]:
    """The promise on a Redis Cluster, empty but for the epochs."""
    six_nodes.flush()
    yield from _lived_in(on_cluster(cluster_url(six_nodes), sqlite_file), io_loop)


@pytest.fixture
def sqlite_house(sqlite_file: SqliteUrl, io_loop: IOLoop) -> Iterator[House]:
    """The promise on SQLite."""
    yield from _lived_in(on_sql("sqlite", sqlite_file), io_loop)


@pytest.fixture
def mariadb_house(empty_mariadb: MysqlUrl, io_loop: IOLoop) -> Iterator[House]:
    """The promise on MariaDB."""
    yield from _lived_in(on_sql("mariadb", empty_mariadb), io_loop)


@pytest.fixture(params=[QUICK, "mariadb", "redis"])
def house(request: pytest.FixtureRequest) -> House:
    """The promise on each engine in turn."""
    made: House = request.getfixturevalue(f"{request.param}_house")
    return made


@pytest.fixture(params=[QUICK, "mariadb"])
def sql_house(request: pytest.FixtureRequest) -> House:
    """The promise on each SQL engine in turn."""
    made: House = request.getfixturevalue(f"{request.param}_house")
    return made
