"""When WeChat says that a quota is used up, its mini program asks no more for ten seconds; no one person does that."""

import asyncio

import pytest
from odd_servers import Answer, Clock, daily, good, log_in, minute, on_a_loop, refused, silence, wechat_that_says

from wechat.answers import Identity
from wechat.errors import CodeRefused, WeChatBusy

pytestmark = pytest.mark.quick


@on_a_loop
async def test_the_daily_quota_stops_an_app_for_ten_seconds_and_then_one_probe_goes() -> None:
    clock = Clock()
    async with wechat_that_says(daily, good, clock=clock) as (server, client):
        assert isinstance(await log_in(client), WeChatBusy)
        assert client.state("wx1").breaker_open
        for passed in (0.0, 9.9):
            clock.seconds = 1000.0 + passed
            trouble = await log_in(client)
            assert isinstance(trouble, WeChatBusy)
            assert (trouble.retry_after_seconds, trouble.code_spent) == (60, False)
        assert len(server.requests) == 1
        clock.seconds = 1010.0
        outcomes = await asyncio.gather(*(log_in(client) for _ in range(5)))
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Identity"] + ["WeChatBusy"] * 4
        assert len(server.requests) == 2
        assert isinstance(await log_in(client), Identity)
        assert not client.state("wx1").breaker_open


PROBES = {"the daily quota": daily, "the minute quota": minute}


@pytest.mark.parametrize("answer", PROBES.values(), ids=PROBES)
@on_a_loop
async def test_a_probe_that_meets_a_quota_shuts_the_door_for_ten_seconds_more(answer: Answer) -> None:
    clock = Clock()
    async with wechat_that_says(daily, answer, good, clock=clock) as (server, client):
        await log_in(client)
        clock.seconds += 10
        await log_in(client)
        clock.seconds += 9.9
        assert isinstance(await log_in(client), WeChatBusy)
        assert len(server.requests) == 2
        clock.seconds += 0.1
        assert isinstance(await log_in(client), Identity)


@on_a_loop
async def test_a_probe_with_a_bad_code_shows_as_well_that_wechat_answers_again() -> None:
    clock = Clock()
    async with wechat_that_says(daily, refused, good, clock=clock) as (_server, client):
        await log_in(client)
        clock.seconds += 10
        assert isinstance(await log_in(client), CodeRefused)
        assert isinstance(await log_in(client), Identity)


@pytest.mark.parametrize("gone", [False, True], ids=["the probe hears nothing", "the probe's caller goes away"])
@on_a_loop
async def test_a_probe_that_learns_nothing_lets_the_next_one_try(gone: bool) -> None:
    clock = Clock()
    async with wechat_that_says(daily, silence, good, clock=clock) as (server, client):
        await log_in(client)
        clock.seconds += 10
        probe = asyncio.create_task(log_in(client, seconds=30 if gone else 0.3))
        await server.until_asked(2)
        assert isinstance(await log_in(client), WeChatBusy)
        if gone:
            probe.cancel()
        await asyncio.wait([probe])
        assert isinstance(await log_in(client), Identity)


@on_a_loop
async def test_one_persons_minute_quota_stops_nobody_else() -> None:
    async with wechat_that_says(*[minute] * 10, good) as (server, client):
        for _ in range(10):
            assert isinstance(await log_in(client, address="192.0.2.1"), WeChatBusy)
        assert isinstance(await log_in(client, address="192.0.2.2"), Identity)
        assert len(server.requests) == 11


@on_a_loop
async def test_the_third_minute_quota_in_a_row_from_three_addresses_stops_the_app() -> None:
    async with wechat_that_says(minute) as (server, client):
        for address in ("192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.3"):
            await log_in(client, address=address)
        assert client.state("wx1").breaker_open
        await log_in(client, address="192.0.2.4")
        assert len(server.requests) == 4


@on_a_loop
async def test_a_success_in_between_starts_the_count_anew() -> None:
    async with wechat_that_says(minute, minute, good, minute, minute, good) as (server, client):
        for last in range(6):
            await log_in(client, address=f"192.0.2.{last}")
        assert len(server.requests) == 6
        assert not client.state("wx1").breaker_open


@on_a_loop
async def test_the_breaker_of_one_mini_program_leaves_the_others_alone() -> None:
    async with wechat_that_says(daily, good) as (_server, client):
        assert isinstance(await log_in(client), WeChatBusy)
        assert isinstance(await log_in(client, appid="wx0000000000000001"), Identity)
