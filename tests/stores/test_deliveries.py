"""The outbox on both databases: what is due goes to one process, and nobody waits for the other's turn."""

import asyncio
from itertools import chain

import pymysql
import pytest
from engines import House, ad_hoc, script, second
from msgspec.structs import replace
from servers import MariaDB

from stores.db import Database
from stores.deliveries import LEASE_SECONDS, SQL, Deliveries, Delivery, Settled, queued

pytest_plugins = ["store_fixtures"]
pytestmark = pytest.mark.gen_test(timeout=60)
AT = 1_000_000


async def with_events(db: Database, number: int) -> Deliveries:
    """An outbox with so many events that are due, the oldest first."""
    await db.write(script(*(queued("webhook", "login.first", f"{n}", AT + n) for n in range(number))))
    return Deliveries(db)


def numbers(deliveries: list[Delivery]) -> list[int]:
    return [int(each.body) for each in deliveries]


async def test_those_who_take_at_once_take_different_ones_and_none_is_left(sql_house: House) -> None:
    here = await with_events(sql_house.db, 120)
    there = Deliveries((await second(sql_house)).db)
    taken = list[Delivery]()
    for _ in range(20):
        both = await asyncio.gather(here.take(AT + 500, 20), there.take(AT + 500, 20))
        assert all(len(some) <= 20 for some in both)
        taken += chain(*both)
    assert sorted(numbers(taken)) == list(range(120))


async def test_what_was_taken_is_due_again_when_the_lease_is_over_or_as_it_was_settled(sql_house: House) -> None:
    outbox = await with_events(sql_house.db, 3)
    now = AT + 10
    assert numbers(await outbox.take(now, 2)) == [0, 1]
    assert numbers(await outbox.take(now, 2)) == [2]
    assert await outbox.take(now + LEASE_SECONDS - 1, 9) == []
    first, second_, third = await outbox.take(now + LEASE_SECONDS, 9)
    assert [first.attempts, second_.attempts, third.attempts] == [1, 1, 1]
    later = now + LEASE_SECONDS
    await outbox.settle(first, Settled("done", 200, later, later))
    await outbox.settle(second_, Settled("waiting", 500, later + 5))
    await outbox.settle(replace(third, attempts=0), Settled("done", 200, later, later))  # by whom it was taken before
    assert numbers(await outbox.take(later + 5, 9)) == [1]
    assert (await outbox.find(first.id)).state == "done"
    assert (await outbox.find(third.id)).state == "waiting"


async def test_who_has_something_to_tell_never_waits_for_who_takes(mariadb_house: House, mariadb: MariaDB) -> None:
    outbox = await with_events(mariadb_house.db, 5)
    [first, *_] = await outbox.newest(1)
    [name] = [row[0] for row in await mariadb_house.db.read(ad_hoc("SELECT DATABASE()"))]
    text, values = SQL["still_due"](delivery_ids=[first.id - n for n in range(5)], now=AT + 5).bound("mysql")
    access = {"user": mariadb.user, "password": mariadb.password, "database": name}
    taking = pymysql.connect(host="127.0.0.1", port=mariadb.port, autocommit=False, **access)
    with taking, taking.cursor() as cursor:
        assert cursor.execute(text, values) == 5  # and they stay locked
        for at in (AT - 1, AT + 2, AT + 5, AT + 99):
            await mariadb_house.db.write(script(queued("webhook", "login.first", "more", at)))
    assert len(await outbox.newest(20)) == 9
