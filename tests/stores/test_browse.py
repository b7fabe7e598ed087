"""Lists are read beside everything else: not in the loop, not on the connections of logins, and not for ever."""

import asyncio
import contextlib
import itertools
import time

import pytest
from engines import ad_hoc, script

import stores.db.mysql
import stores.db.sqlite
from settings import MysqlUrl, SqliteUrl
from stores.db import Database, open_database
from stores.db.promise import MOST_BROWSING
from stores.errors import StoreTrouble, UsersAway

pytest_plugins = ["store_fixtures"]

# Counts to some tens of billions, which takes minutes on either database.
ENDLESS = {
    "sqlite": ad_hoc(
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 100000000000) SELECT COUNT(*) FROM n"
    ),
    "mysql": ad_hoc("SELECT SLEEP(60)"),
}
ONE = ad_hoc("SELECT 1")
DOUBLED = 13  # times, so that to make all rows at once takes several times a turn


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list may take half a second."""
    for engine in (stores.db.mysql, stores.db.sqlite):
        monkeypatch.setattr(engine, "BROWSE_SECONDS", 0.5)


@pytest.mark.gen_test
async def test_it_gives_what_read_gives(database: Database) -> None:
    asked = ad_hoc("SELECT version FROM schema_version ORDER BY version")
    assert await database.browse(asked) == await database.read(asked) != []


@pytest.mark.gen_test
async def test_it_sees_what_was_written_before(database: Database) -> None:
    for n in range(5):
        await database.write(script(ad_hoc("INSERT INTO epoch (appid, counter) VALUES (:appid, 0)", appid=f"wx{n}")))
        assert (await database.browse(ad_hoc("SELECT COUNT(*) FROM epoch")))[0][0] == n + 1


@pytest.mark.gen_test
async def test_a_list_that_takes_too_long_is_given_up_and_the_next_is_not(hurried: None, database: Database) -> None:
    started = time.monotonic()
    with pytest.raises(UsersAway):
        await database.browse(ENDLESS[database.dialect])
    assert time.monotonic() - started < 10
    assert [tuple(row) for row in await database.browse(ONE)] == [(1,)]
    assert database.answers, "a slow list is no sign that the database is away"


@pytest.mark.gen_test
async def test_a_reader_who_leaves_takes_his_list_with_him(database: Database) -> None:
    for pause in (0.0, 0.001, 0.2):
        left = asyncio.ensure_future(database.browse(ENDLESS[database.dialect]))
        await asyncio.sleep(pause)
        left.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await left
        assert left.cancelled()
        assert [tuple(row) for row in await asyncio.wait_for(database.browse(ONE), 2)] == [(1,)]


@pytest.mark.gen_test
async def test_logins_and_the_loop_go_on_beside_slow_lists(hurried: None, database: Database) -> None:
    slow = [asyncio.ensure_future(database.browse(ENDLESS[database.dialect])) for _ in range(12)]
    await asyncio.sleep(0.05)
    started = time.monotonic()
    for _ in range(10):
        assert [tuple(row) for row in await database.read(ONE)] == [(1,)]
        await database.write(script(ad_hoc("DELETE FROM epoch WHERE appid = :appid", appid="wx0")))
    assert time.monotonic() - started < 0.4, "they waited for the lists"
    assert not any(each.done() for each in slow)
    outcomes = await asyncio.gather(*slow, return_exceptions=True)
    assert {type(each) for each in outcomes} == {UsersAway}


@pytest.mark.gen_test
async def test_while_a_long_list_is_read_others_have_their_turn_again_and_again(database: Database) -> None:
    hour = ad_hoc("INSERT INTO figure (appid, name, hour, n) VALUES ('wx1', 'a', 0, 1)")
    doubled = [
        ad_hoc(f"INSERT INTO figure (appid, name, hour, n) SELECT appid, name, hour + {2**n}, n FROM figure")  # noqa: S608  # a number of ours
        for n in range(DOUBLED)
    ]
    await database.write(script(hour, *doubled))
    turns = list[float]()

    async def take_turns() -> None:
        while True:
            turns.append(time.thread_time())  # of this thread's own work: what the neighbours do does not count
            await asyncio.sleep(0)

    taking = asyncio.ensure_future(take_turns())
    await asyncio.sleep(0)
    before = time.thread_time()
    rows = await database.browse(ad_hoc("SELECT appid, name, hour, n FROM figure"))
    whole = time.thread_time() - before
    taking.cancel()
    assert len(rows) == 2**DOUBLED
    longest = max(after - since for since, after in itertools.pairwise(turns))
    a_turn = 0.002  # SQLite's rows are made in another thread, so that there is hardly anything to share out here
    assert longest < max(whole / 5, a_turn), f"{longest:.4f} s of {whole:.4f} s at once"


@pytest.mark.gen_test
async def test_more_readers_than_can_be_served_are_refused_at_once(hurried: None, database: Database) -> None:
    slow = [asyncio.ensure_future(database.browse(ENDLESS[database.dialect])) for _ in range(MOST_BROWSING + 10)]
    await asyncio.sleep(0.05)
    assert sum(each.done() for each in slow) == 10
    outcomes = await asyncio.gather(*slow, return_exceptions=True)
    assert {type(each) for each in outcomes} == {UsersAway}
    assert [tuple(row) for row in await database.browse(ONE)] == [(1,)]


@pytest.mark.quick
class TestSqlite:
    @pytest.mark.gen_test
    async def test_nothing_can_be_written_there(self, sqlite_file: SqliteUrl) -> None:
        db = open_database(sqlite_file)
        await db.start()
        with pytest.raises(StoreTrouble):
            await db.browse(ad_hoc("DELETE FROM schema_version"))
        await db.ping()
        await db.close()

    @pytest.mark.gen_test
    async def test_before_the_start_and_after_the_end_it_is_away(self, sqlite_file: SqliteUrl) -> None:
        db = open_database(sqlite_file)
        with pytest.raises(UsersAway):
            await db.browse(ONE)
        await db.start()
        await db.close()
        with pytest.raises(UsersAway):
            await db.browse(ONE)

    @pytest.mark.gen_test
    async def test_the_end_does_not_wait_for_a_list(self, sqlite_file: SqliteUrl) -> None:
        db = open_database(sqlite_file)
        await db.start()
        slow = [asyncio.ensure_future(db.browse(ENDLESS["sqlite"])) for _ in range(3)]
        await asyncio.sleep(0.05)
        await asyncio.wait_for(db.close(), 2)
        assert {type(each) for each in await asyncio.gather(*slow, return_exceptions=True)} == {UsersAway}


@pytest.mark.gen_test
async def test_a_mariadb_that_went_away_is_away_for_lists_too(empty_mariadb: MysqlUrl) -> None:
    db = open_database(MysqlUrl(empty_mariadb.user, empty_mariadb.password, "127.0.0.1", 1, empty_mariadb.name))
    with pytest.raises(UsersAway):
        await db.browse(ONE)
    assert not db.answers
    await db.close()
