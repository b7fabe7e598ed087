"""Many first logins of one person at once on MariaDB: no deadlock, no convoy, and no outage where there is none."""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pymysql
import pytest
from engines import APPID, ad_hoc, mark_of, meet, now, some_id
from servers import MariaDB
from tornado.ioloop import IOLoop

from settings import MysqlUrl
from stores.behind import MOST_AT_ONCE, Behind
from stores.db import Database, Script, load, open_database
from stores.db.promise import WRITE_SECONDS
from stores.errors import UsersAway
from stores.logins import Login, Logins
from stores.users import Users

pytest_plugins = ["store_fixtures"]

SESSIONS, PEOPLE = load("sessions.sql"), load("users.sql")


@pytest.fixture
def databases(empty_mariadb: MysqlUrl, io_loop: IOLoop) -> Iterator[list[Database]]:
    """The same database as two servers hold it."""
    both = [open_database(empty_mariadb) for _ in range(2)]
    for each in both:
        io_loop.run_sync(each.start)
    yield both
    for each in both:
        io_loop.run_sync(each.close)


@contextmanager
def other_server(where: MysqlUrl) -> Iterator[Any]:
    """A connection in a transaction that is undone at the end."""
    password = where.password.reveal()
    other = pymysql.connect(
        host=where.host, port=where.port, user=where.user, password=password, database=where.name, autocommit=False
    )
    try:
        with other.cursor() as cursor:
            yield cursor
        other.rollback()
    finally:
        other.close()


def deadlocks(mariadb: MariaDB) -> int:
    [(_, number)] = mariadb.query("SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'")
    return int(number)


def login(user_id: int) -> Login:
    at = now()
    return Login(some_id(), user_id, APPID, "192.0.2.1", "ios", "1.0", "release", at, at)


@pytest.mark.gen_test
async def test_of_those_who_meet_a_new_person_at_once_one_makes_the_row(
    mariadb: MariaDB, empty_mariadb: MysqlUrl, databases: list[Database]
) -> None:
    users = Users(databases[0])
    with other_server(empty_mariadb) as other:
        other.execute(
            "INSERT INTO user (appid, openid, create_time, last_login_time) VALUES (%s, 'oMei', 0, 0)", (APPID,)
        )
        seen = [
            asyncio.ensure_future(users.see(APPID, "oMei", None, mark=mark_of(APPID, "oMei"), now=now(), signup=True))
            for _ in range(50)
        ]
        await asyncio.sleep(0.3)
        seen[0].cancel()
        waiting = mariadb.query(
            "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'INSERT INTO user %%'"
        )
    assert waiting == [(1,)]
    found = await asyncio.gather(*seen, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    people = [each.user.id for each in found if not isinstance(each, BaseException)]
    assert (len(people), len(set(people))) == (49, 1)
    assert (await meet(users, "oMei")).id == people[0]
    assert await users.find(people[0])


@pytest.mark.gen_test(timeout=60)
async def test_notes_about_a_person_and_first_logins_elsewhere_do_not_lock_each_other_up(
    mariadb: MariaDB, databases: list[Database]
) -> None:
    here, there = databases
    logins, user = Logins(here), await meet(Users(here), "oMei")

    def add_again() -> Script[None]:
        yield PEOPLE["add_user"](appid=APPID, openid="oMei", unionid=None, now=now())

    before = deadlocks(mariadb)
    for _ in range(60):
        for _ in range(5):
            logins.opened(login(user.id))
        await asyncio.gather(logins.flush(), *(there.write(add_again) for _ in range(6)))
    assert deadlocks(mariadb) == before


@pytest.mark.gen_test
async def test_who_waits_too_long_for_a_lock_while_others_are_answered_closes_the_door_to_nobody(
    empty_mariadb: MysqlUrl, databases: list[Database], caplog: pytest.LogCaptureFixture
) -> None:
    db, users = databases[0], Users(databases[0])
    user = await meet(users, "oMei")
    with other_server(empty_mariadb) as other, caplog.at_level(logging.WARNING):
        other.execute("SELECT id FROM user WHERE id = %s FOR UPDATE", (user.id,))
        blocking = asyncio.ensure_future(users.block(user.id, reason="x", until=None))
        while not blocking.done():
            assert await users.find(user.id) == user
            assert db.answers
            await asyncio.sleep(0.05)
        with pytest.raises(UsersAway):
            await blocking
    assert "is away" not in caplog.text
    assert (await users.block(user.id, reason="x", until=None)).state == "blocked"


@pytest.mark.gen_test(timeout=60)
async def test_notes_that_a_slow_database_cannot_write_in_one_turn_are_written_in_several(
    databases: list[Database],
) -> None:
    db = databases[0]
    behind = Behind(db, "notes")
    for _ in range(MOST_AT_ONCE):
        behind.note(
            ad_hoc(
                "INSERT INTO tally (name, n, expires_at) SELECT 'slow', 1, 10 + SLEEP(0.006) "
                "ON DUPLICATE KEY UPDATE n = n + 1"
            )
        )
    began, turns = time.monotonic(), 0
    while (await db.read(ad_hoc("SELECT SUM(n) FROM tally")))[0][0] != MOST_AT_ONCE:
        await behind.flush()
        await asyncio.sleep(0.05)
        turns += 1
        assert turns < 20
    assert time.monotonic() - began > 2 * WRITE_SECONDS, "one turn was enough, so this test has shown nothing"
    assert behind.lost == 0
