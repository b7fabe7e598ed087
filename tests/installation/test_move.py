"""`move`: to other stores and back, with every number, row and live session, and never half."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from faults.asking import run
from phone import Phone
from product import Product
from servers import MariaDB, RedisServer
from shell import done, settings_of
from verdicts import id_of, refused, succeeded

import process
from actions import Actor
from actions.operators import add_operator
from stores.sessions import Session

Phones = Callable[..., list[Phone]]
Make = Callable[..., Product]


def as_owner(url: str) -> str:
    """Only the owner of a Redis may look through all its keys, as `move` does before it fills it."""
    return url.replace("redis://menshen:", "redis://admin:")


async def moved(server: Product, **to: str) -> str:
    """Stops it, moves what it keeps, and starts it on the new stores; gives what `move` printed."""
    server.stop()
    words = [word for name, url in to.items() for word in (f"--to-{name.lower()}", as_owner(url))]
    finished = await asyncio.to_thread(run, server, "move", *words)
    assert finished.returncode == 0, finished.stderr
    server.settings.update(to)
    server.start()
    return finished.stdout


async def sessions_of(server: Product, people: list[Phone]) -> list[Session]:
    async with process.opened(settings_of(server)) as stores:
        found = []
        for each in people:
            session = await stores.sessions.find(bytes.fromhex(id_of(each.token)), stores.now())
            [alive] = await stores.sessions.live(session.user_id, session.appid, stores.now())
            found.append(alive)
        return found


def where(name: str, mariadb: MariaDB, redis_server: RedisServer) -> dict[str, str]:
    return {
        "sqlite": {"DATABASE": "sqlite", "SESSIONS": "database"},
        "sqlite+redis": {"DATABASE": "sqlite", "SESSIONS": redis_server.url()},
        "mariadb": {"DATABASE": mariadb.database(), "SESSIONS": "database"},
        "mariadb+redis": {"DATABASE": mariadb.database(), "SESSIONS": redis_server.url()},
    }[name]


ROADS = [
    ("sqlite", "mariadb+redis"),
    ("mariadb+redis", "sqlite"),
    ("sqlite", "mariadb"),
    ("mariadb", "sqlite+redis"),
    ("sqlite", "sqlite+redis"),
    ("sqlite+redis", "sqlite"),
    ("mariadb+redis", "mariadb+redis"),
]


@pytest.mark.gen_test
@pytest.mark.parametrize(("start", "end"), ROADS, ids=lambda name: name)
async def test_everybody_goes_on_with_the_token_they_have(
    make_server: Make, mariadb: MariaDB, redis_server: RedisServer, phones: Phones, start: str, end: str
) -> None:
    server = make_server(AUTO_UPGRADE=True, SESSION_SLIDING=True, **where(start, mariadb, redis_server))
    mei, lan, kai, gone = phones(4, at=server)
    ids = [succeeded(await each.login())["user"]["id"] for each in (mei, lan, kai, gone)]
    await done(server, "sessions", "revoke-all", "--yes")
    for each in (mei, lan, gone):
        succeeded(await each.login())
    await done(server, "sessions", "revoke-user", str(ids[3]))
    async with process.opened(settings_of(server)) as stores:
        await add_operator(stores, Actor("shell:test"), "mei", "admin", "nine quiet boats at dawn")
    before = await sessions_of(server, [mei, lan])
    to = where(end, mariadb, redis_server)
    if start.startswith("sqlite") and end.startswith("sqlite"):
        del to["DATABASE"]
    printed = await moved(server, **to)
    assert await sessions_of(server, [mei, lan]) == before
    for each, number in ((mei, ids[0]), (lan, ids[1])):
        assert succeeded(await each.verify())["user_id"] == number
    for each in (kai, gone):
        assert (await each.verify()).status == 401
    assert "live sessions\t" in printed
    assert succeeded(await kai.login())["user"]["id"] == ids[2]
    [newcomer] = phones(1, at=server)
    assert succeeded(await newcomer.login())["user"]["id"] > max(ids)
    assert (await done(server, "audit", "verify")).startswith("the chain holds")
    assert "mei\tadmin" in await done(server, "operator", "list")
    await done(server, "sessions", "revoke-user", str(ids[0]))
    refused(await mei.verify(), 401002, reason="revoked")
    await done(server, "sessions", "revoke-all", "--yes")
    refused(await lan.verify(), 401002, reason="revoked")


@pytest.mark.gen_test
async def test_there_and_back_nothing_revoked_meanwhile_revives(
    make_server: Make, redis_server: RedisServer, phones: Phones
) -> None:
    server = make_server()
    mei, lan = phones(2, at=server)
    number = succeeded(await mei.login())["user"]["id"]
    succeeded(await lan.login())
    await moved(server, SESSIONS=redis_server.url())
    await done(server, "sessions", "revoke-user", str(number))
    await moved(server, SESSIONS="database")
    assert (await mei.verify()).status == 401
    succeeded(await lan.verify())


@pytest.mark.gen_test
async def test_a_redis_that_holds_anything_is_not_moved_into(
    make_server: Make, redis_server: RedisServer, phones: Phones
) -> None:
    server, redis = make_server(), redis_server.url()
    [mei] = phones(1, at=server)
    succeeded(await mei.login())
    await moved(server, SESSIONS=redis)
    await moved(server, SESSIONS="database")
    server.stop()
    finished = await asyncio.to_thread(run, server, "move", "--to-sessions", as_owner(redis))
    assert finished.returncode == 1
    assert "keys under KEY_PREFIX" in finished.stderr
    server.start()
    succeeded(await mei.verify())


@pytest.mark.gen_test
async def test_a_database_that_holds_anything_is_not_moved_into(make_server: Make, mariadb: MariaDB) -> None:
    taken = mariadb.database()
    make_server(DATABASE=taken, AUTO_UPGRADE=True).stop()
    server = make_server()
    server.stop()
    finished = await asyncio.to_thread(run, server, "move", "--to-database", taken)
    assert finished.returncode == 1
    assert "not empty" in finished.stderr
    assert taken not in finished.stderr


@pytest.mark.gen_test
async def test_it_refuses_beside_a_server(make_server: Make, mariadb: MariaDB) -> None:
    server = make_server()
    finished = await asyncio.to_thread(run, server, "move", "--to-database", mariadb.database())
    assert finished.returncode == 1
    assert f"pid {server.pid}" in finished.stderr


@pytest.mark.gen_test
async def test_without_another_store_there_is_nothing_to_do(make_server: Make) -> None:
    server = make_server()
    server.stop()
    for words in ([], ["--to-database", "sqlite", "--to-sessions", "database"]):
        finished = await asyncio.to_thread(run, server, "move", *words)
        assert (finished.returncode, finished.stdout) == (1, "")
        assert "nothing to move" in finished.stderr
    finished = await asyncio.to_thread(run, server, "move", "--to-database", "mysql://me:hidden@/")
    assert finished.returncode == 1
    assert "hidden" not in finished.stderr


@pytest.mark.gen_test
async def test_a_move_that_is_killed_leaves_the_old_stores_and_a_target_that_no_server_takes(
    make_server: Make, mariadb: MariaDB, phones: Phones
) -> None:
    server, target = make_server(), mariadb.database()
    name = target.rpartition("/")[2]
    people = phones(3, at=server)
    for each in people:
        succeeded(await each.login())
    server.stop()
    await asyncio.to_thread(run, Product(server.folder, {**server.settings, "DATABASE": target}), "upgrade")
    # From here on the target takes no login rows: the move fails in the middle.
    mariadb.query("ALTER TABLE login ADD CONSTRAINT full CHECK (user_id < 0)", database=name)
    finished = await asyncio.to_thread(run, server, "move", "--to-database", target)
    assert finished.returncode == 1
    assert finished.stdout == ""
    assert mariadb.query("SELECT COUNT(*) FROM user", database=name) == [(3,)]
    half = Product(server.folder, {**server.settings, "DATABASE": target, "AUTO_UPGRADE": "true"})
    serving = await asyncio.to_thread(run, half, "serve")
    assert serving.returncode == 2
    again = await asyncio.to_thread(run, server, "move", "--to-database", target)
    assert again.returncode == 1
    assert "not empty" in again.stderr
    server.start()
    for each in people:
        succeeded(await each.verify())


@pytest.mark.gen_test
async def test_hundreds_of_sessions_and_people_arrive_whole(
    make_server: Make, mariadb: MariaDB, redis_server: RedisServer, phones: Phones, tmp_path: Path
) -> None:
    server = make_server(LOGIN_LIMIT=0)
    people = phones(450, at=server)
    for start in range(0, len(people), 25):
        for answer in await asyncio.gather(*(each.login() for each in people[start : start + 25])):
            succeeded(answer)
    began = time.monotonic()
    printed = await moved(server, DATABASE=mariadb.database(), SESSIONS=redis_server.url())
    assert time.monotonic() - began < 60
    assert "user\t450\n" in printed
    assert "login\t450\n" in printed
    assert printed.endswith("live sessions\t450\n")
    for start in range(0, len(people), 50):
        for answer in await asyncio.gather(*(each.verify() for each in people[start : start + 50])):
            succeeded(answer)
