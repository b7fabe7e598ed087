"""Refused logins on both databases: written behind, in pages that look through a bounded number of rows."""

import random

import pytest
from engines import APPID, OTHER_APPID
from tornado.ioloop import IOLoop

import stores.refused_logins
from settings import SqliteUrl
from stores.behind import MOST_WAITING
from stores.db import Database, open_database
from stores.refused_logins import RefusedLogin, RefusedLogins

pytest_plugins = ["store_fixtures"]


def some_refusals() -> list[RefusedLogin]:
    dice = random.Random(7)  # noqa: S311  # it makes up rows, and the same ones each time
    return [
        RefusedLogin(
            0,
            1_000 + dice.randrange(15),
            dice.choice([APPID, APPID, APPID, OTHER_APPID]),
            dice.choice([40029, 40029, 40163]),
            "192.0.2.1",
            dice.choice(["ios", "android", None]),
            "12",
            "release",
        )
        for _ in range(60)
    ]


@pytest.fixture
def refused(database: Database, io_loop: IOLoop, monkeypatch: pytest.MonkeyPatch) -> RefusedLogins:
    """The rows in the database, and a bound so small that most pages meet it."""
    monkeypatch.setattr(stores.refused_logins, "LOOKED_THROUGH", 7)
    made = RefusedLogins(database)
    for each in some_refusals():
        made.note(each)
    io_loop.run_sync(made.flush)
    return made


@pytest.mark.gen_test
@pytest.mark.parametrize("most", [2, 50])
@pytest.mark.parametrize("appids", [None, (OTHER_APPID,), ()])
@pytest.mark.parametrize("errcode", [None, 40163, -1])
@pytest.mark.parametrize("platform", [None, "ios"])
async def test_each_that_fits_is_shown_once_and_in_its_place(
    refused: RefusedLogins, most: int, appids: tuple[str, ...] | None, errcode: int | None, platform: str | None
) -> None:
    shown: list[RefusedLogin] = []
    place = None
    for _ in range(1_000):
        page = await refused.page(appids, errcode, platform, 1_002, 1_011, place, most)
        assert len(page.rows) <= most
        shown += page.rows
        place = page.more
        if place is None:
            break
    assert place is None
    fitting = [
        (each.at, each.errcode, each.appid, each.platform)
        for each in some_refusals()
        if (appids is None or each.appid in appids)
        and errcode in (None, each.errcode)
        and platform in (None, each.platform)
        and 1_002 <= each.at <= 1_011
    ]
    assert sorted((each.at, each.errcode, each.appid, each.platform or "") for each in shown) == sorted(
        (at, code, appid, kind or "") for at, code, appid, kind in fitting
    )
    places = [(each.at, each.id) for each in shown]
    assert places == sorted(places, reverse=True)
    assert len(places) == len(set(places))


@pytest.mark.quick
@pytest.mark.gen_test
async def test_notes_wait_for_a_database_that_is_away_up_to_a_bound(sqlite_file: SqliteUrl) -> None:
    db = open_database(sqlite_file)
    refused, one = RefusedLogins(db), some_refusals()[0]
    for _ in range(2 * MOST_WAITING + 1):
        refused.note(one)
    await refused.flush()
    assert refused.lost == MOST_WAITING + 1
    await db.start()
    await refused.flush()
    assert len((await refused.page(most=MOST_WAITING)).rows) <= MOST_WAITING
    assert (await refused.page()).rows != []
    await db.close()
