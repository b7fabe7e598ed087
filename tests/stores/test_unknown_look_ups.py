"""Strangers who try tokens cost Redis no more than people who have one: what is asked about them is shared too."""

import asyncio
from typing import Any

import pytest
from engines import House, fate, holds, opened, person, some_id
from redis import Redis

from stores.sessions.packed import HANDLE_BYTES

pytest_plugins = ["store_fixtures"]

PREFIX = b"{menshen}"


def calls(redis: Redis) -> dict[str, int]:
    """How often each command was asked so far, of the whole server."""
    found: dict[str, Any] = redis.info("commandstats")
    return {name.removeprefix("cmdstat_"): int(stats["calls"]) for name, stats in found.items()}


@pytest.mark.gen_test
async def test_many_strangers_at_once_share_their_round_trips(redis_house: House, redis: Redis) -> None:
    before = calls(redis)
    fates = await asyncio.gather(*[fate(redis_house, some_id()) for _ in range(100)])
    after = calls(redis)
    assert set(fates) == {None}
    for command in ("mget", "zscore", "zmscore"):
        assert after.get(command, 0) - before.get(command, 0) < 20, command


@pytest.mark.gen_test
async def test_of_many_at_once_each_is_told_its_own_reason(redis_house: House, redis: Redis) -> None:
    mei = await person(redis_house)
    ended, holding = [await opened(redis_house, mei) for _ in range(2)]
    redis.delete(PREFIX + b"s" + ended[:HANDLE_BYTES])  # its time is over, and Redis has let it go by itself
    asked = [some_id(), ended, some_id(), some_id()]
    told = await asyncio.gather(*[fate(redis_house, each) for each in asked], holds(redis_house, holding))
    assert told == [None, "expired", None, None, True]
