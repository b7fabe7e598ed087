"""A script says once, for both databases, what happens inside one transaction."""

import asyncio
import time
from contextlib import closing
from typing import Any

import pytest
from aiomysql import connection
from engines import ad_hoc, meet, mysql_url, script
from faults.delaying import DelayingProxy
from msgspec.structs import replace
from servers import MariaDB

from settings import MysqlUrl
from stores.db import Database, Script, load, open_database
from stores.db.promise import READ_SECONDS
from stores.db.statements import history
from stores.errors import UsersAway, WrongCredentials, WrongSchema
from stores.users import Users
from values import Secret

pytest_plugins = ["store_fixtures"]

SQL, PEOPLE = load("sessions.sql"), load("users.sql")


async def tallies(db: Database) -> dict[str, int]:
    return dict(await db.read(ad_hoc("SELECT name, n FROM tally")))


@pytest.mark.gen_test
async def test_what_a_script_returns_is_the_answer(database: Database) -> None:
    def count_twice() -> Script[tuple[int, int]]:
        totals = []
        for _ in range(2):
            yield SQL["add_tally"](name="t", n=2, until=10)
            total = yield SQL["tally_of"](name="t")
            totals.append(int(total.rows[0][0]))
        return totals[0], totals[1]

    assert await database.write(count_twice) == (2, 4)
    assert await tallies(database) == {"t": 4}


@pytest.mark.gen_test
async def test_the_number_of_changed_rows_means_the_same_on_both(database: Database) -> None:
    def claim_twice() -> Script[list[int]]:
        changed = []
        for _ in range(2):
            done = yield SQL["claim_code"](code_hash=b"c" * 32, until=10)
            changed.append(done.changed)
        for code_hash in (b"c" * 32, b"d" * 32):
            done = yield SQL["give_back_code"](code_hash=code_hash)
            changed.append(done.changed)
        return changed

    assert await database.write(claim_twice) == [1, 0, 1, 0]


@pytest.mark.gen_test
async def test_an_exception_undoes_everything_and_reaches_the_caller(database: Database) -> None:
    class Refused(Exception):
        pass

    def refused() -> Script[None]:
        yield SQL["add_tally"](name="t", n=1, until=10)
        raise Refused

    with pytest.raises(Refused):
        await database.write(refused)
    assert await tallies(database) == {}
    await database.write(script(SQL["add_tally"](name="after", n=1, until=10)))
    assert await tallies(database) == {"after": 1}


@pytest.mark.gen_test
async def test_a_statement_that_the_database_refuses_is_away_and_undoes_everything(database: Database) -> None:
    with pytest.raises(UsersAway) as told:
        await database.write(script(SQL["add_tally"](name="t", n=1, until=10), ad_hoc("SELECT secret FROM nowhere")))
    assert "secret" not in str(told.value)
    assert await tallies(database) == {}
    await database.ping()


@pytest.mark.gen_test
async def test_writes_at_once_do_not_lose_a_count(database: Database) -> None:
    await asyncio.gather(
        *(database.write(script(SQL["add_tally"](name="t", n=1, until=10)), durable=n % 2 == 0) for n in range(100))
    )
    assert await tallies(database) == {"t": 100}


@pytest.mark.gen_test
async def test_scripts_that_wait_for_each_other_are_both_done_in_the_end(database: Database) -> None:
    users = Users(database)
    ids = [(await meet(users, f"oPerson{n}")).id for n in range(2)]
    begun = 0

    def block_both(order: list[int]) -> Script[None]:
        nonlocal begun
        begun += 1
        for user_id in order:
            yield PEOPLE["block_user"](id=user_id, until=None, reason="x")

    done = 0
    for _ in range(40):
        both = (lambda: block_both(ids)), (lambda: block_both(ids[::-1]))
        await asyncio.gather(*(database.write(each) for each in both))
        done += 2
    assert [(await users.find(each)).generation for each in ids] == [done, done]
    if database.dialect == "mysql":
        assert begun > done, "no deadlock came about, so this test has shown nothing"
    else:
        assert begun == done


class TestMariaDB:
    @pytest.mark.gen_test
    async def test_a_frozen_server_is_away_within_moments_and_back_by_itself(
        self, mariadb: MariaDB, empty_mariadb: MysqlUrl
    ) -> None:
        db = open_database(empty_mariadb)
        await db.start()
        loop = asyncio.get_running_loop()
        mariadb.freeze()
        began = loop.time()
        with pytest.raises(UsersAway):
            await db.read(SQL["epochs"]())
        assert loop.time() - began < 3 * 1.5
        assert not db.answers
        mariadb.thaw()
        for _ in range(1_000):
            if db.answers:
                break
            await asyncio.sleep(0.02)
        assert db.answers
        assert await db.read(SQL["epochs"]()) == []
        await db.close()

    @pytest.mark.gen_test
    async def test_a_wrong_password_and_a_missing_database_are_told_in_words(
        self, mariadb: MariaDB, mariadb_database: MysqlUrl
    ) -> None:
        here = replace(mariadb_database, user=mariadb.user)
        wrong = MysqlUrl(here.user, Secret("a-wrong-password"), here.host, here.port, here.name)
        missing = MysqlUrl(here.user, here.password, here.host, here.port, "test_4711")
        for where, trouble in ((wrong, WrongCredentials), (missing, WrongSchema)):
            db = open_database(where)
            with pytest.raises(trouble) as told:
                await db.start()
            assert "a-wrong-password" not in str(told.value)
            await db.close()

    @pytest.mark.gen_test
    async def test_an_empty_database_is_refused_until_it_is_upgraded(self, mariadb: MariaDB) -> None:
        db = open_database(mysql_url(mariadb.database()))
        with pytest.raises(WrongSchema, match="upgrade"):
            await db.start()
        assert await db.upgrade() == list(history("mysql"))
        await db.start()
        await db.close()


@pytest.mark.gen_test(timeout=120)
async def test_a_mariadb_that_hangs_keeps_nobody_of_a_crowd_beyond_the_limit(mariadb: MariaDB) -> None:
    database = open_database(mysql_url(mariadb.database()))
    await database.upgrade()
    await database.close()

    async def ask() -> float:
        began = asyncio.get_running_loop().time()
        with pytest.raises(UsersAway):
            await database.read(ad_hoc("SELECT 1"))
        return asyncio.get_running_loop().time() - began

    mariadb.freeze()
    try:
        waits = await asyncio.gather(*(ask() for _ in range(60)))
    finally:
        mariadb.thaw()
        await database.close()
    assert max(waits) < 3 * READ_SECONDS


@pytest.mark.gen_test(timeout=60)
async def test_a_connection_that_comes_at_the_deadline_does_not_make_the_call_forget_it(
    mariadb: MariaDB, empty_mariadb: MysqlUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit of the driver's own around it would swallow the cancellation (asyncio.wait_for of Python 3.11)."""
    open_connection = connection._open_connection

    async def held_up(*where: Any) -> Any:
        opened = await open_connection(*where)
        time.sleep(READ_SECONDS + 0.2)  # noqa: ASYNC251  # the whole loop, as a burst does, so that both fall together
        return opened

    monkeypatch.setattr(connection, "_open_connection", held_up)
    db = open_database(empty_mariadb)
    mariadb.freeze()  # the kernel still takes connections for it
    try:
        async with asyncio.timeout(20):
            with pytest.raises(UsersAway):
                await db.read(ad_hoc("SELECT 1"))
    finally:
        mariadb.thaw()
        await db.close()


@pytest.mark.gen_test(timeout=60)
async def test_whoever_has_an_answer_does_not_wait_for_others_who_connect(
    mariadb: MariaDB, empty_mariadb: MysqlUrl
) -> None:
    """Giving a connection back wakes whoever waits at the driver's pool, whose lock is held while somebody connects."""
    with closing(DelayingProxy(mariadb.port)) as proxy:
        db = open_database(replace(empty_mariadb, port=proxy.port))
        await db.start()
        proxy.hold_newcomers()
        answered, connecting = await asyncio.gather(
            db.read(ad_hoc("SELECT SLEEP(0.2)")), db.read(ad_hoc("SELECT 1")), return_exceptions=True
        )
        await db.close()
    assert answered == [(0,)]
    assert isinstance(connecting, UsersAway)
