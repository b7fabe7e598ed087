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
from stores.first_logins import PATIENCE_SECONDS, FirstLogin, FirstLogins
from stores.logins import Login, Logins
from stores.users import Seen, UserBlocked, Users

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
        yield PEOPLE["add_users"](new_people=[(APPID, "oMei", None, now(), now())])

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


def statements(mariadb: MariaDB, kind: str) -> int:
    """How many of a kind the server has done: `insert`, `select`, `commit`."""
    [(_, number)] = mariadb.query(f"SHOW GLOBAL STATUS LIKE 'Com_{kind}'")
    return int(number)


async def come(users: Users, openid: str, unionid: str | None = None) -> Seen:
    return await users.see(APPID, openid, unionid, mark=mark_of(APPID, openid), now=now(), signup=True)


@pytest.mark.gen_test
async def test_people_who_come_at_the_same_moment_share_a_commit_and_then_a_look(
    mariadb: MariaDB, databases: list[Database]
) -> None:
    users, openids = Users(databases[0]), [f"oCrowd{n}" for n in range(40)]
    looks, commits = statements(mariadb, "select"), statements(mariadb, "commit")
    seen = await asyncio.gather(*(come(users, openid) for openid in openids))
    assert statements(mariadb, "commit") - commits < 10
    assert [each.user.openid for each in seen] == openids
    assert all(each.new for each in seen)
    assert len({each.user.id for each in seen}) == 40
    assert (await databases[0].read(ad_hoc("SELECT n FROM figure WHERE name = 'users'")))[0][0] == 40
    looks = statements(mariadb, "select")
    again = await asyncio.gather(*(come(users, openid) for openid in openids))
    assert statements(mariadb, "select") - looks < 10
    assert [(each.user.id, each.new) for each in again] == [(each.user.id, False) for each in seen]


@pytest.mark.gen_test
async def test_somebody_who_was_erased_while_blocked_stays_out_and_the_others_of_that_moment_come_in(
    databases: list[Database],
) -> None:
    users = Users(databases[0])
    mei = await meet(users, "oMei")
    await users.block(mei.id, reason="x", until=None)
    await users.erase(mei.id, mark=mark_of(APPID, "oMei"), now=now())
    found = await asyncio.gather(come(users, "oAn"), come(users, "oMei"), come(users, "oBo"), return_exceptions=True)
    assert isinstance(found[1], UserBlocked)
    assert [each.user.openid for each in found if isinstance(each, Seen)] == ["oAn", "oBo"]
    rows = await databases[0].read(ad_hoc("SELECT openid FROM user ORDER BY openid"))
    assert rows == [("oAn",), ("oBo",)]
    assert (await databases[0].read(ad_hoc("SELECT n FROM figure WHERE name = 'users'")))[0][0] == 2


@pytest.mark.gen_test
async def test_two_servers_that_meet_the_same_crowd_make_each_person_once(databases: list[Database]) -> None:
    here, there = (Users(each) for each in databases)
    openids = [f"oBoth{n}" for n in range(30)]
    one, other = await asyncio.gather(
        asyncio.gather(*(come(here, openid) for openid in openids)),
        asyncio.gather(*(come(there, openid) for openid in reversed(openids))),
    )
    assert [each.user.id for each in one] == [each.user.id for each in reversed(other)]
    assert sum(each.new for each in (*one, *other)) == 30


@pytest.mark.gen_test
async def test_somebody_whom_another_server_has_just_made_is_not_made_again_and_the_others_of_that_moment_are(
    databases: list[Database],
) -> None:
    here, there = databases
    mei = await meet(Users(there), "oMei")
    first_logins = FirstLogins(here)  # as they are after a look that was too early to find her
    openids = ["oAn", "oMei", "oBo"]
    made = await asyncio.gather(
        *(
            first_logins.make(FirstLogin(APPID, openid, None, mark_of(APPID, openid), now(), lambda _row: ()))
            for openid in openids
        )
    )
    assert [each.own for each in made if each] == [True, False, True]
    assert [each.row[2] for each in made if each] == openids
    assert [each.row[0] for each in made if each and not each.own] == [mei.id]
    assert (await here.read(ad_hoc("SELECT n FROM figure WHERE name = 'users'")))[0][0] == 3


@pytest.mark.gen_test
async def test_those_who_come_while_a_commit_waits_share_the_next(
    mariadb: MariaDB, empty_mariadb: MysqlUrl, databases: list[Database]
) -> None:
    users = Users(databases[0])
    await meet(users, "oMei")
    commits = statements(mariadb, "commit")
    began, coming = time.monotonic(), []
    with other_server(empty_mariadb) as other:
        other.execute("SELECT n FROM figure WHERE name = 'users' FOR UPDATE")
        for n in range(40):
            coming.append(asyncio.ensure_future(come(users, f"oTrickle{n}")))
            await asyncio.sleep(0.001)
    assert all(each.new for each in await asyncio.gather(*coming))
    in_a_row = (time.monotonic() - began) / PATIENCE_SECONDS  # so many at the most have left without the one before
    assert statements(mariadb, "commit") - commits < min(in_a_row + 15, 40)
    assert (await databases[0].read(ad_hoc("SELECT n FROM figure WHERE name = 'users'")))[0][0] == 41


@pytest.mark.gen_test
async def test_a_crowd_of_logins_is_written_down_in_few_statements(mariadb: MariaDB, databases: list[Database]) -> None:
    logins, mei = Logins(databases[0]), await meet(Users(databases[0]), "oMei")
    mine = [login(mei.id) for _ in range(300)]
    for each in mine:
        logins.opened(each)
    before = statements(mariadb, "insert") + statements(mariadb, "update")
    await logins.flush()
    assert statements(mariadb, "insert") + statements(mariadb, "update") - before < 10
    assert len(await logins.find([each.id for each in mine])) == 300
