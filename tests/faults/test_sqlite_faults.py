"""The embedded database: locked, damaged, open to others, served twice, from the future, killed in mid-login."""

import asyncio
import copy
import os
import random
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import aiohttp
import pytest
from phone import Network, Phone, WeChat
from product import Product

from faults.asking import alive, ready, run, said, timed, unavailable
from stores.db.sqlite import Sqlite

Phones = Callable[..., list[Phone]]
MakeServer = Callable[..., Product]

LOCKED_SECONDS = 7.5  # three times the 2.5 s that a write may take: 1 s for the lock, 1.5 s for its turn


def database(product: Product) -> Path:
    return product.data_dir / "menshen.db"


@contextmanager
def write_lock(path: Path) -> Iterator[None]:
    """Hold what another program that writes to the same file would hold."""
    other = sqlite3.connect(path, isolation_level=None, timeout=10)
    try:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")
    finally:
        other.close()


@pytest.mark.gen_test
async def test_while_another_process_holds_the_write_lock_people_stay_in_and_no_code_is_spent(
    embedded: Product, phones: Phones, network: Network, wechat: WeChat
) -> None:
    mei, lan = phones(2)
    assert (await mei.login()).status == 200
    code, asked = await lan.code(), await wechat.asked()
    with write_lock(database(embedded)):
        waiting = asyncio.ensure_future(timed(lan.login(code=code)))
        while not waiting.done():
            assert (await mei.verify()).status == 200
            await asyncio.sleep(0.05)
        answer, seconds = waiting.result()
        assert unavailable(answer, 503001)
        assert seconds <= LOCKED_SECONDS
        assert await wechat.asked() == asked
        assert unavailable(await mei.logout(), 503001)
        assert (await mei.verify()).status == 200
        assert await alive(network, embedded)
        assert await ready(network, embedded) == (200, [])
    assert (await lan.login(code=code)).status == 200
    assert (await mei.logout()).status in (200, 401)  # the logout that was given up may have happened after all
    assert said(await mei.verify()) == (401, 401002, "login")


@pytest.mark.gen_test
async def test_a_login_waits_for_a_lock_that_is_soon_let_go(embedded: Product, phones: Phones) -> None:
    mei = phones(1)[0]
    with write_lock(database(embedded)):
        waiting = asyncio.ensure_future(mei.login())
        await asyncio.sleep(0.3)
        assert not waiting.done()
    assert (await waiting).status == 200


@pytest.mark.gen_test
@pytest.mark.parametrize("text", ["' OR 1=1 --", "\\'; DROP TABLE user; --", ":openid", "?", "🧧", "%_%"])
async def test_sql_in_a_nickname_is_only_text(embedded: Product, phones: Phones, text: str) -> None:
    mei, lan = phones(2)
    assert (await mei.login()).status == 200
    assert (await lan.login()).status == 200
    assert (await mei.request("PUT", "/api/me", json={"nickname": text}, headers=mei.bearer)).status == 200
    assert (await mei.me()).json["nickname"] == text
    assert (await lan.me()).json["nickname"] is None


def new_database(make_server: MakeServer) -> Product:
    """Return a server that is not running, with its database made."""
    product = make_server(start=False)
    product.data_dir.mkdir(mode=0o700)
    asyncio.run(Sqlite(database(product)).upgrade())
    return product


def damages() -> dict[str, Callable[[bytes], bytes]]:
    return {
        "empty": lambda _whole: b"",
        "garbage": lambda whole: b"no database " * (len(whole) // 12),
        "head_only": lambda whole: whole[:100],
        "half": lambda whole: whole[: len(whole) // 2 // 4096 * 4096],
        "first_page_wiped": lambda whole: whole[:100] + b"\xff" * 3996 + whole[4096:],
    }


@pytest.mark.parametrize("damage", damages())
def test_a_damaged_database_refuses_the_start_names_the_file_and_stays_as_it_is(
    make_server: MakeServer, damage: str
) -> None:
    product = new_database(make_server)
    path = database(product)
    spoilt = damages()[damage](path.read_bytes())
    path.write_bytes(spoilt)
    before = {each.name for each in product.data_dir.iterdir()}
    done = run(product, "serve", "--port", "0")
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert str(path) in line
    assert "backup" in line
    assert path.read_bytes() == spoilt
    added = {each.name for each in product.data_dir.iterdir()} - before
    # Beside the lock, opening a file leaves these two.
    assert added <= {"menshen.db.lock", "menshen.db-wal", "menshen.db-shm"}


def test_a_database_of_a_newer_version_refuses_the_start_and_stays_as_it_is(make_server: MakeServer) -> None:
    product = new_database(make_server)
    path = database(product)
    other = sqlite3.connect(path)
    with other:
        other.execute("UPDATE schema_version SET version = version + 1000")
    other.close()
    before = path.read_bytes()
    done = run(product, "serve", "--port", "0")
    assert done.returncode == 2
    assert "newer" in done.stderr
    assert path.read_bytes() == before


@pytest.mark.gen_test
async def test_everything_in_the_data_directory_is_its_owners_alone(make_server: MakeServer, phones: Phones) -> None:
    before = os.umask(0o022)
    try:
        product = make_server()
    finally:
        os.umask(before)
    assert (await phones(1, at=product)[0].login()).status == 200
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in product.data_dir.iterdir()}
    assert stat.S_IMODE(product.data_dir.stat().st_mode) == 0o700
    assert {"menshen.db", "menshen.db-wal", "menshen.db-shm", "keys.json", "menshen.db.lock"} <= modes.keys()
    assert set(modes.values()) == {0o600}, modes


@pytest.mark.parametrize("name", ["menshen.db", "keys.json"])
def test_a_secret_file_that_others_can_read_refuses_the_start(make_server: MakeServer, name: str) -> None:
    product = new_database(make_server)
    path = product.data_dir / name
    path.touch()
    path.chmod(0o644)
    done = run(product, "serve", "--port", "0")
    assert done.returncode == 2
    assert f"chmod 600 {path}" in done.stderr


@pytest.mark.gen_test
async def test_a_second_server_on_the_same_data_refuses_and_names_the_first(embedded: Product, phone: Phone) -> None:
    done = run(embedded, "serve", "--port", "0")
    assert done.returncode == 1
    assert f"pid {embedded.pid}" in done.stderr
    assert (await phone.login()).status == 200


@pytest.mark.gen_test
async def test_a_second_server_on_the_same_file_is_refused_whatever_its_data_directory_is(
    embedded: Product, make_server: MakeServer
) -> None:
    second = make_server(start=False, DATABASE=f"sqlite://{database(embedded)}")
    for words in (["serve", "--port", "0"], ["upgrade"]):
        done = run(second, *words)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"pid {embedded.pid}" in done.stderr
    assert not second.data_dir.exists()


def test_a_database_that_is_only_locked_is_not_called_damaged(make_server: MakeServer) -> None:
    product = new_database(make_server)
    other = sqlite3.connect(database(product), isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    done = run(product, "serve", "--port", "0")
    other.close()
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [f"{database(product)} cannot be used now: database is locked"]
    product.start()


@pytest.mark.gen_test
async def test_a_server_killed_in_mid_login_loses_no_login_that_was_answered(
    make_server: MakeServer, phones: Phones, network: Network
) -> None:
    product = make_server(LOGIN_LIMIT=0)
    dice = random.Random(108)  # noqa: S311  # the same moments in every run
    people = phones(6, at=product)
    for _ in range(10):
        tokens: dict[str, Phone] = {}
        logins = [asyncio.ensure_future(log_in_until_killed(each, tokens)) for each in people]
        await asyncio.sleep(dice.uniform(0.03, 0.2))
        product.kill()
        await asyncio.gather(*logins)
        product.start()
        for token, phone in tokens.items():
            phone.token = token
            assert (await phone.verify()).status == 200
        assert await ready(network, product) == (200, [])
    openids = [await each.openid() for each in people]
    rows = sqlite3.connect(f"file:{database(product)}?mode=ro", uri=True)
    assert rows.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    known = [openid for (openid,) in rows.execute("SELECT openid FROM user")]
    rows.close()
    assert sorted(known) == sorted(set(known))
    assert set(known) <= set(openids)


async def log_in_until_killed(phone: Phone, tokens: dict[str, Phone]) -> None:
    """Log in again and again; a token counts as given when its answer has arrived."""
    with suppress(aiohttp.ClientError):
        while True:
            fresh = copy.copy(phone)
            if (await fresh.login()).status == 200:
                tokens[fresh.token] = fresh
