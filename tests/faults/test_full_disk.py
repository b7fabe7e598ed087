"""A server whose disk is full: who is in stays in, nobody comes in, and operators still put people out."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from operator_at import PASSWORD, Operator, add, name_of
from phone import Network, Phone
from product import Product
from shell import done
from small_disk import MIB, SmallDisk, small_disk

from faults.asking import alive, ready, unavailable, until

Phones = Callable[..., list[Phone]]
MakeServer = Callable[..., Product]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    (tmp_path / "disk").mkdir()
    with small_disk(tmp_path / "disk", 32 * MIB) as disk:
        yield disk


@pytest.fixture
def server(disk: SmallDisk, make_server: MakeServer) -> Iterator[Product]:
    """A server with its data on that disk."""
    server = make_server(DATA_DIR=disk.folder / "data", LOGIN_LIMIT=0)
    yield server
    server.kill()  # before its disk goes


async def has_its_reserve(server: Product) -> bool:
    return (server.data_dir / "menshen.db.reserve").exists()


async def in_and_full(server: Product, disk: SmallDisk, phones: list[Phone]) -> None:
    """Log everybody in, then fill the disk."""
    for phone in phones:
        assert (await phone.login()).status == 200
    await until(lambda: has_its_reserve(server), seconds=20)
    disk.fill()


async def statuses(phones: list[Phone]) -> list[int]:
    return [(await phone.verify()).status for phone in phones]


async def logs_in(phone: Phone) -> bool:
    return (await phone.login()).status == 200


@pytest.mark.gen_test(timeout=60)
async def test_people_stay_in_and_nobody_comes_in_until_there_is_room(
    server: Product, disk: SmallDisk, phones: Phones, network: Network
) -> None:
    inside, [late] = phones(6, at=server), phones(1, at=server)
    await in_and_full(server, disk, inside)
    for _ in range(10):
        assert unavailable(await late.login(), 503005)
    assert await statuses(inside) == [200] * 6
    assert (await inside[0].logout()).status == 200
    assert await statuses(inside) == [401] + [200] * 5
    assert await ready(network, server) == (200, ["database_full"])
    assert await alive(network, server)
    disk.make_room()
    await until(lambda: logs_in(late), seconds=20)
    assert await ready(network, server) == (200, [])
    assert await statuses([*inside, late]) == [401] + [200] * 6
    assert await has_its_reserve(server)
    assert server.log().count("the disk is full") == 1
    assert server.log().count("the disk has room again") == 1
    server.stop()
    rows = sqlite3.connect(server.data_dir / "menshen.db")
    assert rows.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    rows.close()


@pytest.mark.gen_test(timeout=60)
async def test_an_operator_signs_in_and_puts_out_one_a_person_and_everybody(
    server: Product, disk: SmallDisk, phones: Phones, network: Network
) -> None:
    name, people = name_of(), phones(6, at=server)
    await add(server, name)
    await in_and_full(server, disk, people)
    admin = Operator(server, network)
    assert (await admin.sign_in(name)).path == "/admin/"
    assert "takes nothing new" in (await admin.get("/admin/")).text
    session = (await people[0].request("GET", "/api/me/sessions", headers=people[0].bearer)).json["sessions"][0]["id"]
    user = (await people[1].me()).json["id"]
    assert (
        await admin.post(f"/admin/sessions/{session}/revoke", {"sure": "yes", "reason": "suspicious"})
    ).status == 200
    assert await statuses(people) == [401] + [200] * 5
    fields = {"sure": "yes", "reason": "suspicious", "remark": "sells codes", "until": "86400"}
    assert (await admin.post(f"/admin/users/{user}/block", fields)).status == 200
    assert await statuses(people) == [401] * 2 + [200] * 4
    everybody = {"sure": "yes", "reason": "leak", "password": PASSWORD}
    assert (await admin.post("/admin/everybody", everybody)).status == 200
    assert await statuses(people) == [401] * 6
    assert unavailable(await people[2].login(), 503005)
    assert "the chain holds" in await done(server, "audit", "verify")


@pytest.mark.gen_test(timeout=60)
async def test_the_shell_puts_out_too_and_so_does_a_server_that_starts_on_a_full_disk(
    server: Product, disk: SmallDisk, phones: Phones
) -> None:
    people = phones(4, at=server)
    await in_and_full(server, disk, people)
    user = (await people[0].me()).json["id"]
    assert await done(server, "sessions", "revoke-user", str(user)) == "ended 1 session of 1 user"
    assert await statuses(people) == [401] + [200] * 3
    server.kill()
    disk.fill()
    await asyncio.to_thread(server.start)
    assert await statuses(people) == [401] + [200] * 3
    assert (await people[1].logout()).status == 200
    server.stop()
    disk.fill()
    await asyncio.to_thread(server.start)
    assert await statuses(people) == [401] * 2 + [200] * 2
    assert (await people[2].logout()).status == 200
    assert await statuses(people) == [401] * 3 + [200]
