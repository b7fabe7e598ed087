"""`doctor` on stores that lose, leak or refuse: each fault planted in a real one, found, named, and with its remedy."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from children import free_port
from findings import examined, named, well
from operator_at import add
from phone import WeChat
from product import Product
from servers import MariaDB, RedisServer

Make = Callable[..., Product]
# Leads to this machine, and neither looks like its address nor is its name.
FAR = "0x7f.1"


@pytest.mark.gen_test
async def test_operators_without_a_second_factor_are_named(make_server: Make, wechat: WeChat) -> None:
    server = make_server()
    found = await examined(server, status=0)
    named(found, "operators", level="warn", said="no operator yet", remedy="open the link")
    await add(server, "mei")
    found = await examined(server, status=0)
    named(found, "operators", level="warn", said="no second factor: mei", remedy="set REQUIRE_TOTP")


@pytest.mark.gen_test
async def test_an_audit_that_was_changed_fails(make_server: Make, wechat: WeChat) -> None:
    server = make_server()
    with sqlite3.connect(server.data_dir / "menshen.db") as database:
        database.execute("DROP TRIGGER audit_is_not_changed")
        database.execute("UPDATE audit SET actor = 'nobody' WHERE n = 1")
    named(await examined(server, status=1), "audit", level="fail", said="broken at", remedy="compare with audit.log")


@pytest.mark.gen_test
async def test_a_database_of_another_version_is_told(make_server: Make, mariadb: MariaDB, wechat: WeChat) -> None:
    server = make_server()
    server.stop()
    found = await examined(server, status=1, DATABASE=mariadb.database())
    named(found, "stores", level="fail", said="of version 0", remedy="run 'upgrade'")
    with sqlite3.connect(server.data_dir / "menshen.db") as database:
        database.execute("INSERT INTO schema_version VALUES (999, 0)")
    found = await examined(server, status=1)
    named(found, "stores", level="fail", said="of version 999", remedy="start the newer program")


@pytest.mark.gen_test
async def test_stores_that_are_away_or_refuse_the_password_fail_and_the_rest_is_looked_at(
    make_server: Make, mariadb: MariaDB, redis_server: RedisServer, wechat: WeChat
) -> None:
    server = make_server()
    nowhere = f"redis://127.0.0.1:{free_port()}/0"
    found = await examined(server, status=1, SESSIONS=nowhere)
    named(found, "sessions", level="fail", said="does not answer", remedy="see that it runs")
    well(found, "database", said="answers")
    found = await examined(server, status=1, DATABASE=f"mysql://menshen:word@127.0.0.1:{free_port()}/menshen")
    named(found, "database", level="fail", said="", remedy="see that it runs")
    well(found, "files")
    url = mariadb.database()
    found = await examined(server, status=1, DATABASE=url.replace(mariadb.password, "wrong-password"))
    named(found, "stores", level="fail", said="refuses the user name or password", remedy="are right")
    assert "wrong-password" not in str(found)
    found = await examined(server, status=1, SESSIONS=redis_server.url().replace(redis_server.password, "wrong-word"))
    named(found, "stores", level="fail", said="refuses the user name or password", remedy="are right")
    assert "wrong-word" not in str(found)


# Redis


@pytest.mark.gen_test
async def test_a_redis_that_forgets_is_told(make_server: Make, redis_server: RedisServer, wechat: WeChat) -> None:
    server = make_server(SESSIONS=redis_server.url())
    client = redis_server.client()
    try:
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("appendonly", "no")
        found = await examined(server, status=1)
    finally:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("appendonly", "yes")
        client.close()
    named(found, "sessions", level="fail", said="allkeys-lru", remedy="Set noeviction")
    named(found, "sessions", level="warn", said="appendonly off", remedy="Set appendonly yes")


class OpenRedis(RedisServer):
    """A Redis that lets everybody in without a name."""

    def command(self) -> Sequence[str]:
        kept = [line for line in self._config.read_text().splitlines() if not line.startswith("aclfile")]
        self._config.write_text("\n".join(kept) + "\n")
        return super().command()

    def ready(self) -> bool:
        return "Ready to accept connections" in self.log_since_start()


@pytest.fixture
def open_redis(tmp_path: Path) -> Iterator[OpenRedis]:
    server = OpenRedis(tmp_path / "redis")
    server.start()
    yield server
    server.kill()


@pytest.mark.gen_test
async def test_a_redis_that_anybody_may_ask_is_told(make_server: Make, open_redis: OpenRedis, wechat: WeChat) -> None:
    found = await examined(make_server(), status=0, SESSIONS=f"redis://{FAR}:{open_redis.port}/0")
    named(found, "sessions", level="warn", said="without a password", remedy="set requirepass")


@asynccontextmanager
async def claiming(port: int, version: str, other: str) -> AsyncIterator[int]:
    """Pass everything on to a store and its answers back, in which it calls itself of another version; give the port.

    Both versions have the same length, so that nothing else in an answer changes.
    """
    assert len(version) == len(other)

    async def passed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data.replace(version.encode(), other.encode()))
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(passed(reader, far_writer), passed(far_reader, writer))

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.gen_test
async def test_stores_that_are_too_old_are_told(
    make_server: Make, mariadb: MariaDB, redis_server: RedisServer, wechat: WeChat
) -> None:
    server = make_server(DATABASE=mariadb.database(), SESSIONS=redis_server.url(), AUTO_UPGRADE=True)
    [[version]] = mariadb.query("SELECT VERSION()")
    mariadb_s = version[: version.index(".", version.index(".") + 1)]
    with redis_server.client() as client:
        redis_s = ".".join(client.info()["redis_version"].split(".")[:2])
    async with (
        claiming(mariadb.port, mariadb_s, "10.05" if len(mariadb_s) == 5 else "10.5") as old_mariadb,
        claiming(redis_server.port, f"redis_version:{redis_s}", "redis_version:6.2") as old_redis,
    ):
        stores = {name: server.settings[name] for name in ("DATABASE", "SESSIONS")}
        found = await examined(
            server,
            status=1,
            DATABASE=stores["DATABASE"].replace(f":{mariadb.port}/", f":{old_mariadb}/"),
            SESSIONS=stores["SESSIONS"].replace(f":{redis_server.port}/", f":{old_redis}/"),
        )
    named(found, "database", level="fail", said="is too old", remedy="upgrade")
    named(found, "sessions", level="fail", said="Redis 6.2", remedy="upgrade Redis")


# MySQL


class CarelessMariaDB(MariaDB):
    """A MariaDB set up so that it loses, mixes up and garbles what it was told."""

    def command(self) -> Sequence[str]:
        return [
            *super().command(),
            "--log-bin",
            "--sync-binlog=0",
            "--innodb-flush-log-at-trx-commit=2",
            "--transaction-isolation=READ-UNCOMMITTED",
        ]


@pytest.fixture
def careless(tmp_path: Path) -> Iterator[CarelessMariaDB]:
    server = CarelessMariaDB(tmp_path / "mariadb")
    server.start()
    yield server
    server.kill()


MYSQL_FAULTS = [
    ("fail", "revoked sessions back", "SET GLOBAL innodb_flush_log_at_trx_commit = 1"),
    ("warn", "a replica can know less", "SET GLOBAL sync_binlog = 1"),
    ("warn", "latin1", "CHARACTER SET utf8mb4"),
    ("fail", "read-uncommitted", "use REPEATABLE-READ"),
    ("fail", "read-only", "name the primary"),
    ("warn", "without TLS", "private network"),
]


@pytest.mark.gen_test
async def test_a_mysql_that_can_lose_a_revocation_is_told(
    make_server: Make, careless: CarelessMariaDB, wechat: WeChat
) -> None:
    url = careless.database()
    careless.query(f"ALTER DATABASE {url.rpartition('/')[2]} CHARACTER SET latin1")
    server = make_server(DATABASE=url, AUTO_UPGRADE=True)
    careless.query("SET GLOBAL read_only = ON")
    found = await examined(server, status=1, DATABASE=url.replace("127.0.0.1", FAR))
    for level, said, remedy in MYSQL_FAULTS:
        named(found, "database", level=level, said=said, remedy=remedy)
