"""`move --again`: a move that was killed at any moment begins anew, and never over what somebody may be served from."""

import asyncio
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pymysql
import pytest
from children import START_SECONDS
from clusters import SixNodes
from faults.asking import run, unavailable
from phone import Phone
from product import Product
from servers import MariaDB, RedisServer
from verdicts import succeeded

from stores.sessions.on_cluster import BUCKETS

Phones = Callable[..., list[Phone]]
Make = Callable[..., Product]
PEOPLE = 250


async def with_people(make_server: Make, phones: Phones) -> tuple[Product, list[Phone]]:
    """A server on SQLite that has stopped, and those who are in."""
    server = make_server(LOGIN_LIMIT=0)
    people = phones(PEOPLE, at=server)
    for start in range(0, PEOPLE, 25):
        for answer in await asyncio.gather(*(each.login() for each in people[start : start + 25])):
            succeeded(answer)
    server.stop()
    return server, people


def killed_when(server: Product, words: list[str], reached: Callable[[], bool]) -> None:
    """Begin a move and end it by SIGKILL at that point; AssertionError when it comes to its end before."""
    python, program, *_ = server.command()
    moving = subprocess.Popen(
        [python, program, "move", "--yes", *words],
        env=dict(server.environment()),
        cwd=server.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + START_SECONDS
    try:
        while not reached():
            assert moving.poll() is None, "the move was over before it was killed"
            assert time.monotonic() < deadline, "the move did not come so far"
    finally:
        moving.kill()
        moving.wait()


def gives_rows(mariadb: MariaDB, name: str, select: str) -> bool:
    """Whether a statement gives anything; not before its table is there."""
    try:
        return mariadb.query(select, database=name) != []
    except pymysql.ProgrammingError:
        return False


@pytest.mark.gen_test
async def test_killed_at_several_points_it_begins_anew_and_loses_nobody(
    make_server: Make, mariadb: MariaDB, redis_server: RedisServer, phones: Phones
) -> None:
    server, people = await with_people(make_server, phones)
    database, sessions = mariadb.database(), redis_server.url()
    name = database.rpartition("/")[2]
    owned = sessions.replace("redis://menshen:", "redis://admin:")
    words = ["--to-database", database, "--to-sessions", owned]
    with redis_server.client(int(sessions.rpartition("/")[2])) as client:
        points: list[Callable[[], bool]] = [
            lambda: bool(client.exists("{menshen}e")),
            lambda: gives_rows(mariadb, name, "SELECT 1 FROM user LIMIT 1"),
            lambda: gives_rows(mariadb, name, "SELECT 1 FROM login LIMIT 1"),
            lambda: client.dbsize() > PEOPLE,
        ]
        for n, reached in enumerate(points):
            await asyncio.to_thread(killed_when, server, [*words, *["--again"] * (n > 0)], reached)
    half = Product(server.folder, {**server.settings, "DATABASE": database, "SESSIONS": sessions})
    assert (await asyncio.to_thread(run, half, "serve")).returncode == 2, "no server takes half a database"
    without = await asyncio.to_thread(run, server, "move", *words)
    assert without.returncode == 1
    assert "--again" in without.stderr
    finished = await asyncio.to_thread(run, server, "move", "--again", *words)
    assert finished.returncode == 0, finished.stderr
    assert f"user\t{PEOPLE}\n" in finished.stdout
    assert finished.stdout.endswith(f"live sessions\t{PEOPLE}\n")
    server.settings.update({"DATABASE": database, "SESSIONS": sessions})
    server.start()
    for start in range(0, PEOPLE, 50):
        for answer in await asyncio.gather(*(each.verify() for each in people[start : start + 50])):
            succeeded(answer)


@pytest.mark.gen_test
async def test_a_redis_that_was_filled_by_half_lets_in_nobody_until_the_move_is_done_again(
    make_server: Make, redis_server: RedisServer, phones: Phones
) -> None:
    server, people = await with_people(make_server, phones)
    sessions = redis_server.url()
    words = ["--to-sessions", sessions.replace("redis://menshen:", "redis://admin:")]
    with redis_server.client(int(sessions.rpartition("/")[2])) as client:
        await asyncio.to_thread(killed_when, server, words, lambda: client.dbsize() > 100)
    server.settings["SESSIONS"] = sessions
    await asyncio.to_thread(server.start)
    assert unavailable(await people[0].verify(), 503001)
    server.stop()
    assert "move --again" in server.log()
    server.settings["SESSIONS"] = "database"
    finished = await asyncio.to_thread(run, server, "move", "--again", *words)
    assert finished.returncode == 0, finished.stderr
    server.settings["SESSIONS"] = sessions
    server.start()
    for each in people[:20]:
        succeeded(await each.verify())


@pytest.mark.gen_test
async def test_into_a_cluster_and_back_nobody_is_lost_though_it_was_killed(
    make_server: Make, folder: Path, phones: Phones
) -> None:
    server, people = await with_people(make_server, phones)
    six = SixNodes(Path(tempfile.mkdtemp(prefix="six-", dir=folder)))
    with six.running():
        words = ["--to-sessions", six.url(user="admin")]
        await asyncio.to_thread(killed_when, server, words, lambda: six.size() > BUCKETS + 100)
        without = await asyncio.to_thread(run, server, "move", *words)
        assert (without.returncode, "--again" in without.stderr) == (1, True)
        finished = await asyncio.to_thread(run, server, "move", "--again", *words)
        assert finished.stdout == f"live sessions\t{PEOPLE}\n", finished.stderr
        server.settings["SESSIONS"] = six.url()
        server.start()
        for each in people[:20]:
            succeeded(await each.verify())
        succeeded(await people[0].logout())
        server.stop()
        back = await asyncio.to_thread(run, server, "move", "--to-sessions", "database")
        assert back.stdout == f"live sessions\t{PEOPLE - 1}\n", back.stderr
        server.settings["SESSIONS"] = "database"
        server.start()
        assert [(await each.verify()).status for each in people[:5]] == [401, 200, 200, 200, 200]


@pytest.mark.gen_test
async def test_it_never_empties_what_somebody_may_be_served_from(
    make_server: Make, mariadb: MariaDB, redis_server: RedisServer, phones: Phones
) -> None:
    database, sessions = mariadb.database(), redis_server.url()
    taken = make_server(DATABASE=database, SESSIONS=sessions, AUTO_UPGRADE=True)
    [mei] = phones(1, at=taken)
    succeeded(await mei.login())
    taken.stop()
    server = make_server()
    server.stop()
    owned = sessions.replace("redis://menshen:", "redis://admin:")
    for words in (["--to-database", database], ["--to-sessions", owned]):
        refused = await asyncio.to_thread(run, server, "move", "--again", *words)
        assert refused.returncode == 1
        assert "not empty" in refused.stderr
    taken.start()
    succeeded(await mei.verify())
