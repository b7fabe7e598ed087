"""Guessed tokens: each address has a budget a minute, shared by all processes."""

import asyncio

import pytest
from engines import House, now, second
from redis import Redis

from actions.unknown_tokens import TooManyUnknownTokens, UnknownTokens
from stores.errors import SessionsAway

pytest_plugins = ["store_fixtures"]

MEI, LAN = "192.0.2.1", "2001:db8::1"


def refused(tokens: UnknownTokens, address: str, at: int) -> bool:
    """Whether one more guess is one too many."""
    try:
        tokens.count(address, at)
    except TooManyUnknownTokens:
        return True
    return False


@pytest.mark.quick
class TestOneProcess:
    @pytest.mark.gen_test
    async def test_the_budget_is_whole_and_no_more(self, sqlite_house: House) -> None:
        tokens = UnknownTokens(sqlite_house.sessions, 5)
        assert [refused(tokens, MEI, 600) for _ in range(7)] == [False] * 5 + [True] * 2

    @pytest.mark.gen_test
    async def test_each_address_has_its_own(self, sqlite_house: House) -> None:
        tokens = UnknownTokens(sqlite_house.sessions, 1)
        assert [refused(tokens, each, 600) for each in (MEI, LAN, MEI, LAN)] == [False, False, True, True]

    @pytest.mark.gen_test
    async def test_one_customer_of_ipv6_has_one_for_all_his_addresses(self, sqlite_house: House) -> None:
        tokens = UnknownTokens(sqlite_house.sessions, 1)
        assert [refused(tokens, each, 600) for each in (LAN, "2001:db8::2", "2001:db8:0:1::1")] == [False, True, False]

    @pytest.mark.gen_test
    async def test_the_next_minute_begins_anew_and_the_refusal_says_when(self, sqlite_house: House) -> None:
        tokens = UnknownTokens(sqlite_house.sessions, 1)
        tokens.count(MEI, 600)
        with pytest.raises(TooManyUnknownTokens) as told:
            tokens.count(MEI, 645)
        assert told.value.retry_after_seconds == 15
        assert not refused(tokens, MEI, 660)

    @pytest.mark.gen_test
    async def test_a_limit_of_nothing_is_no_limit(self, sqlite_house: House) -> None:
        tokens = UnknownTokens(sqlite_house.sessions, 0)
        assert not any(refused(tokens, MEI, 600) for _ in range(5_000))

    @pytest.mark.gen_test
    async def test_a_flood_of_addresses_takes_no_budget_from_those_who_are_known(self, sqlite_house: House) -> None:
        tokens = UnknownTokens(sqlite_house.sessions, 1)
        tokens.count(MEI, 600)
        for n in range(60_000):
            assert not refused(tokens, f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", 600)
        assert refused(tokens, MEI, 600)

    @pytest.mark.gen_test
    async def test_a_store_that_is_away_does_not_open_the_door(self, sqlite_house: House) -> None:
        tokens = UnknownTokens(sqlite_house.sessions, 2)
        tokens.count(MEI, 600)
        await sqlite_house.db.close()
        with pytest.raises(SessionsAway):
            await tokens.flush()
        assert [refused(tokens, MEI, 600) for _ in range(2)] == [False, True]
        await sqlite_house.db.start()


class TestTwoProcesses:
    @pytest.mark.gen_test
    async def test_what_was_tried_at_one_counts_at_the_other(self, house: House) -> None:
        at = now()
        here = UnknownTokens(house.sessions, 10)
        there = UnknownTokens((await second(house)).sessions, 10)
        for _ in range(6):
            here.count(MEI, at)
        there.count(MEI, at)
        await here.flush()
        await there.flush()
        assert [refused(there, MEI, at) for _ in range(4)] == [False] * 3 + [True]
        assert not refused(there, LAN, at)

    @pytest.mark.gen_test
    async def test_a_guess_is_told_once_however_often_it_is_flushed(self, house: House) -> None:
        at = now()
        tokens = UnknownTokens(house.sessions, 3)
        tokens.count(MEI, at)
        for _ in range(5):
            await tokens.flush()
        assert [refused(tokens, MEI, at) for _ in range(3)] == [False, False, True]

    @pytest.mark.gen_test
    async def test_guesses_that_come_during_a_flush_are_not_lost(self, house: House) -> None:
        at = now()
        tokens = UnknownTokens(house.sessions, 50)
        other = UnknownTokens((await second(house)).sessions, 50)
        for _ in range(40):
            tokens.count(MEI, at)
            await asyncio.gather(tokens.flush(), asyncio.sleep(0))
        other.count(MEI, at)
        await other.flush()
        assert sum(not refused(other, MEI, at) for _ in range(20)) == 9

    @pytest.mark.gen_test
    async def test_nobody_reads_an_address_in_redis_after_two_minutes(self, redis_house: House, redis: Redis) -> None:
        tokens = UnknownTokens(redis_house.sessions, 5)
        tokens.count(MEI, now())
        await tokens.flush()
        [key] = redis.keys(b"*unknown*")
        assert 0 < int(str(redis.ttl(key))) <= 120
