"""Sessions in a Redis Cluster: a master dies or hands over, and who was out stays out."""

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from clusters import SixNodes
from phone import Network, Phone
from product import Product
from sentinels import Node

from faults.asking import ready, said, unavailable, until

Phones = Callable[..., list[Phone]]
MakeServer = Callable[..., Product]

OUT = (401, 401002, "login")
FAILED_OVER_SECONDS = 30.0


@pytest.fixture
def six_nodes(folder: Path) -> Iterator[SixNodes]:
    """Give the test three masters with a copy each."""
    with SixNodes(Path(tempfile.mkdtemp(prefix="six-", dir=folder))).running() as six:
        yield six


async def serve_again(people: list[Phone]) -> None:
    """Wait until all are let in; until then nobody hears anything but 503."""

    async def are_in() -> bool:
        answers = [await each.verify() for each in people]
        for answer in answers:
            assert answer.status == 200 or unavailable(answer, 503001), answer.body
        return all(answer.status == 200 for answer in answers)

    await until(are_in, seconds=FAILED_OVER_SECONDS)


async def log_in(people: list[Phone]) -> None:
    for each in people:
        assert (await each.login()).status == 200


async def busiest(six: SixNodes) -> Node:
    """The master that has the most keys."""

    def keys(node: Node) -> int:
        with node.client() as client:
            return int(client.dbsize())

    return max(await asyncio.to_thread(lambda: six.masters), key=keys)


@pytest.mark.gen_test
async def test_a_master_dies_and_its_copy_is_told_whom_it_missed_to_put_out(
    make_server: MakeServer, six_nodes: SixNodes, phones: Phones, network: Network
) -> None:
    product = make_server(SESSIONS=six_nodes.url(), LOGIN_LIMIT=0, UNKNOWN_TOKEN_LIMIT=0)
    stay, go = phones(20, at=product), phones(20, at=product)
    await log_in([*stay, *go])
    masters = await asyncio.to_thread(lambda: six_nodes.masters)
    for master in masters:
        await asyncio.to_thread(six_nodes.cut_off, master)
    for each in go:
        assert (await each.logout()).status == 200
    master = await busiest(six_nodes)
    master.kill()
    statuses = [(await each.verify()).status for each in stay]
    assert set(statuses) == {200, 503}, "one master is away, the others serve"
    assert (await ready(network, product))[0] == 200
    await serve_again(stay)
    for each in go:
        answer = await each.verify()
        assert said(answer) == OUT
        assert answer.json["reason"] == "logged_out"
    await log_in(go)
    assert [(await each.verify()).status for each in go] == [200] * 20
    assert await ready(network, product) == (200, [])


@pytest.mark.gen_test
async def test_while_a_master_is_away_no_code_is_spent(
    make_server: MakeServer, six_nodes: SixNodes, phones: Phones
) -> None:
    product = make_server(SESSIONS=six_nodes.url(), LOGIN_LIMIT=0)
    people = phones(20, at=product)
    await log_in(people)
    master = await busiest(six_nodes)
    master.kill()
    assert 503 in [(await each.verify()).status for each in people]
    [newcomer] = phones(1, at=product)
    code = await newcomer.code()
    assert unavailable(await newcomer.login(code=code), 503001)
    await serve_again(people)
    assert (await newcomer.login(code=code)).status == 200


@pytest.mark.gen_test
async def test_a_master_hands_over_to_its_copy_and_nobody_is_lost(
    make_server: MakeServer, six_nodes: SixNodes, phones: Phones
) -> None:
    product = make_server(SESSIONS=six_nodes.url(), LOGIN_LIMIT=0)
    people = phones(20, at=product)
    await log_in(people)
    copy = await asyncio.to_thread(six_nodes.copy_of, await busiest(six_nodes))
    with copy.client() as client:
        client.execute_command("CLUSTER", "FAILOVER")

    async def took_over() -> bool:
        return (await asyncio.to_thread(copy.about, "replication")).get("role") == "master"

    await until(took_over, seconds=FAILED_OVER_SECONDS)
    await serve_again(people)


@pytest.mark.gen_test
async def test_slots_go_to_another_master_and_their_people_with_them(
    make_server: MakeServer, six_nodes: SixNodes, phones: Phones
) -> None:
    product = make_server(SESSIONS=six_nodes.url(), LOGIN_LIMIT=0)
    people = phones(20, at=product)
    await log_in(people)
    await asyncio.to_thread(six_nodes.reshard, 1_500)
    await serve_again(people)
    for each in people:
        assert (await each.logout()).status == 200
        assert said(await each.verify()) == OUT


@pytest.mark.gen_test
async def test_a_server_that_knows_one_node_finds_the_others_and_starts_beside_a_dead_one(
    make_server: MakeServer, six_nodes: SixNodes, phones: Phones
) -> None:
    named = [six_nodes.nodes[0], six_nodes.nodes[1]]
    product = make_server(SESSIONS=six_nodes.url(named), LOGIN_LIMIT=0)
    people = phones(10, at=product)
    await log_in(people)
    named[0].kill()
    await serve_again(people)
    product.restart()
    await serve_again(people)
    await log_in(phones(10, at=product))
