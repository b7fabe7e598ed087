"""Sessions in a Redis with a copy, watched by Sentinels: the master dies, and who was out stays out."""

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from phone import Network, Phone
from product import Product
from sentinels import Watched

from faults.asking import ready, said, unavailable, until

Phones = Callable[..., list[Phone]]
MakeServer = Callable[..., Product]

OUT = (401, 401002, "login")
FAILED_OVER_SECONDS = 30.0


@pytest.fixture
def watched(folder: Path) -> Iterator[Watched]:
    """Give the test two Redises and three Sentinels."""
    with Watched(Path(tempfile.mkdtemp(prefix="watched-", dir=folder))).running() as fleet:
        yield fleet


async def serves_again(phone: Phone) -> None:
    async def is_in() -> bool:
        answer = await phone.verify()
        assert answer.status == 200 or unavailable(answer, 503001), answer.body
        return answer.status == 200

    await until(is_in, seconds=FAILED_OVER_SECONDS)


@pytest.mark.gen_test
async def test_a_master_dies_and_its_copy_is_told_whom_it_missed_to_put_out(
    make_server: MakeServer, watched: Watched, phones: Phones, network: Network
) -> None:
    product = make_server(SESSIONS=watched.url())
    mei, lan, hua = phones(3, at=product)
    for each in (mei, lan, hua):
        assert (await each.login()).status == 200
    await asyncio.to_thread(watched.cut_off, watched.master)
    assert (await lan.logout()).status == 200
    assert (await hua.login()).status == 200
    lost = hua.token
    watched.master.kill()
    assert unavailable(await mei.verify(), 503001)
    await serves_again(mei)
    assert said(await lan.verify()) == OUT
    assert (await lan.verify()).json["reason"] == "logged_out"
    assert said(await hua.verify()) == OUT, "the session went with the master; its phone logs in again"
    assert (await hua.login()).status == 200
    assert hua.token != lost
    assert (await hua.verify()).status == 200
    assert await ready(network, product) == (200, [])


@pytest.mark.gen_test
async def test_a_server_starts_while_one_of_the_sentinels_is_dead(
    make_server: MakeServer, watched: Watched, phones: Phones
) -> None:
    watched.sentinels[0].kill()
    [mei] = phones(1, at=make_server(SESSIONS=watched.url()))
    assert (await mei.login()).status == 200
    assert (await mei.verify()).status == 200
