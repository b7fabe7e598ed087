"""A Redis that lost what it had acknowledged: whoever had been put out stays out, from the first answer on."""

import asyncio
from collections.abc import Callable

import pytest
from phone import Phone
from product import Product
from shell import settings_of

import process
from actions import Actor, block, find_user
from faults.asking import run, said, unavailable, until
from faults.conftest import FaultyRedis

Phones = Callable[..., list[Phone]]
MakeServer = Callable[..., Product]

AGAIN_SECONDS = 9.0
OUT = (401, 401002, "login")


async def logged_in(phones: Phones, product: Product, number: int) -> list[Phone]:
    people = phones(number, at=product)
    for each in people:
        assert (await each.login()).status == 200
    return people


async def stays_out(phone: Phone) -> None:
    """Ask until the store answers again: an outage may be told meanwhile, being let in may not."""

    async def is_out() -> bool:
        answer = await phone.verify()
        assert unavailable(answer, 503001) or said(answer) == OUT, answer.body
        return answer.status == 401

    await until(is_out, seconds=AGAIN_SECONDS)


async def stays_in(phone: Phone) -> None:
    async def is_in() -> bool:
        answer = await phone.verify()
        assert answer.status in (200, 503), answer.body
        return answer.status == 200

    await until(is_in, seconds=AGAIN_SECONDS)


async def command(product: Product, *words: str) -> None:
    done = await asyncio.to_thread(run, product, *words)
    assert done.returncode == 0, done.stderr


async def user_id(phone: Phone) -> str:
    return str((await phone.verify()).json["user_id"])


@pytest.mark.gen_test
async def test_what_redis_forgot_of_revocations_logouts_and_blocks_it_is_told_again(
    on_redis: Product, redis_that_fails: FaultyRedis, phones: Phones
) -> None:
    mei, lan, hua, yun = await logged_in(phones, on_redis, 4)
    lan_id, hua_id = await user_id(lan), await user_id(hua)
    redis_that_fails.remember()
    assert (await mei.logout()).status == 200
    await command(on_redis, "sessions", "revoke-user", lan_id)
    async with process.opened(settings_of(on_redis)) as backend:
        await block(backend, Actor("shell:test"), await find_user(backend, hua_id), reason="asked for it")
    redis_that_fails.go_back()
    await asyncio.gather(*(stays_out(each) for each in (mei, lan, hua)), stays_in(yun))
    assert [(await each.verify()).json["reason"] for each in (mei, lan, hua)] == ["logged_out", "revoked", "blocked"]
    assert (await hua.login()).status == 403
    assert (await lan.login()).status == 200


@pytest.mark.gen_test
async def test_everybody_who_was_put_out_stays_out_of_a_redis_that_forgot_it(
    make_server: MakeServer, redis_that_fails: FaultyRedis, phones: Phones
) -> None:
    product = make_server(SESSIONS=redis_that_fails.url())
    people = await logged_in(phones, product, 2)
    redis_that_fails.remember()
    await command(product, "sessions", "revoke-all", "--yes")
    redis_that_fails.go_back()
    await asyncio.gather(*map(stays_out, people))
    assert (await people[0].login()).status == 200


@pytest.mark.gen_test
async def test_a_server_that_starts_after_redis_went_back_lets_nobody_in_again(
    make_server: MakeServer, redis_that_fails: FaultyRedis, phones: Phones
) -> None:
    product = make_server(SESSIONS=redis_that_fails.url())
    mei, lan = await logged_in(phones, product, 2)
    redis_that_fails.remember()
    assert (await mei.logout()).status == 200
    product.stop()
    redis_that_fails.go_back()
    product.start()
    await asyncio.gather(stays_out(mei), stays_in(lan))


@pytest.mark.gen_test
async def test_a_full_redis_that_restarts_verifies_and_keeps_out_whom_it_forgot_to(
    make_server: MakeServer, redis_that_fails: FaultyRedis, phones: Phones
) -> None:
    product = make_server(SESSIONS=redis_that_fails.url())
    mei, lan = await logged_in(phones, product, 2)
    redis_that_fails.remember()
    assert (await mei.logout()).status == 200
    redis_that_fails.options = ["--maxmemory", "1"]
    redis_that_fails.go_back()
    await asyncio.gather(stays_out(mei), stays_in(lan))
