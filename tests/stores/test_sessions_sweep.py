"""What is over is forgotten: in small steps, no sooner than a day later, and sealed keys first of all."""

import pytest
from engines import (
    APPID,
    DAY,
    OTHER_APPID,
    House,
    ad_hoc,
    everybody_out,
    fate,
    holds,
    live_ids,
    now,
    opened,
    opened_many,
    person,
    some_id,
)
from redis import Redis

from stores.sessions import CLAIM_SECONDS

pytest_plugins = ["store_fixtures"]

MOST_AT_ONCE = 1_000


async def swept(house: House, at: int) -> list[int]:
    """How many each call forgot, until one forgot nothing."""
    counts: list[int] = []
    while len(counts) < 100:
        counts.append(await house.sessions.sweep(at))
        if not counts[-1]:
            return counts[:-1]
    raise AssertionError("the sweep never comes to its end")


def sealed_keys(redis: Redis) -> int:
    """How many sealed keys can be found by somebody who reads all that Redis holds."""
    values = [redis.get(key) for key in redis.scan_iter(b"{menshen}s*")]
    return sum(isinstance(value, bytes) and len(value) > 1 for value in values)


async def sealed_rows(house: House, *, most: int = 10**6) -> int:
    """How many sealed keys stand in the table."""
    return len(
        await house.db.read(ad_hoc("SELECT id FROM session WHERE sealed_key IS NOT NULL LIMIT :most", most=most))
    )


class TestForgetting:
    @pytest.mark.gen_test
    async def test_an_expired_session_is_remembered_for_a_day(self, house: House) -> None:
        mei, at = await person(house), now()
        recent = await opened(house, mei, expires_at=at - DAY + 1_000)
        old = await opened(house, mei, expires_at=at - DAY - 1_000)
        live = await opened(house, mei)
        assert sum(await swept(house, at)) == 1
        assert await fate(house, recent) == "expired"
        assert await fate(house, old) is None
        assert await live_ids(house, mei) == [live]

    @pytest.mark.gen_test
    async def test_many_are_forgotten_in_small_steps(self, house: House) -> None:
        at = now()
        for appid, number in ((APPID, 450), (OTHER_APPID, 50)):
            await opened_many(house, await person(house, appid), number, expires_at=at - DAY - 1_000)
        steps = await swept(house, at)
        assert sum(steps) == 500
        assert len(steps) > 1
        assert max(steps) <= MOST_AT_ONCE

    @pytest.mark.gen_test
    async def test_a_day_after_its_end_nobody_is_told_the_reason(self, sqlite_house: House) -> None:
        session = await opened(sqlite_house, await person(sqlite_house))
        await sqlite_house.sessions.end([session], "revoked", now())
        assert await swept(sqlite_house, now() + DAY - 100) == []
        assert await fate(sqlite_house, session) == "revoked"
        assert await swept(sqlite_house, now() + DAY + 100) == [1]
        assert await fate(sqlite_house, session) is None

    @pytest.mark.gen_test
    async def test_in_sql_claims_and_tallies_go_when_their_time_is_over(self, mariadb_house: House) -> None:
        code, sessions = some_id(), mariadb_house.sessions
        assert (await sessions.admit(code, "t")).tally == 1
        await sessions.sweep(now() + 60)
        assert not (await sessions.admit(code, "t")).claimed
        await sessions.sweep(now() + CLAIM_SECONDS + 60)
        again = await sessions.admit(code, "t")
        assert (again.claimed, again.tally) == (True, 1)


class TestSealedKeys:
    @pytest.mark.gen_test
    async def test_in_redis_they_go_when_everybody_was_put_out(self, redis_house: House, redis: Redis) -> None:
        mei, lan = await person(redis_house), await person(redis_house, OTHER_APPID)
        old = await opened_many(redis_house, mei, 450)
        kept = await opened(redis_house, lan)
        assert sealed_keys(redis) == 451
        await everybody_out(redis_house)
        steps = await swept(redis_house, now())
        assert max(steps) <= MOST_AT_ONCE
        assert sealed_keys(redis) == 1
        assert await fate(redis_house, old[0]) == "revoked"
        assert await holds(redis_house, kept)
        assert not redis.exists(b"{menshen}o", b"{menshen}a" + APPID.encode() + b":0")

    @pytest.mark.gen_test
    async def test_in_sql_they_go_when_everybody_was_put_out(self, sql_house: House) -> None:
        house = sql_house
        mei, lan = await person(house), await person(house, OTHER_APPID)
        old = await opened_many(house, mei, 450)
        kept = await opened(house, lan)
        await everybody_out(house)
        new = await opened(house, mei)
        steps = await swept(house, now())
        assert sum(steps) == 450
        assert max(steps) <= MOST_AT_ONCE
        assert await sealed_rows(house) == 2
        assert await fate(house, old[0]) == "revoked"
        assert await holds(house, kept)
        assert await holds(house, new)

    @pytest.mark.gen_test
    async def test_in_sql_what_was_wiped_is_not_looked_at_again(self, sql_house: House) -> None:
        house = sql_house
        mei = await person(house)
        ids = [await opened(house, mei) for _ in range(5)]
        await everybody_out(house)
        await swept(house, now())
        older = await house.db.read(ad_hoc("SELECT id FROM session WHERE appid = :appid AND epoch < 1", appid=APPID))
        assert older == [], "the sweep would walk over them once a second until they are forgotten"
        assert {await fate(house, each) for each in ids} == {"revoked"}
        assert sum(await swept(house, now() + DAY + 100)) == 5

    @pytest.mark.gen_test
    async def test_an_ended_session_has_no_sealed_key_any_more(
        self, house: House, request: pytest.FixtureRequest
    ) -> None:
        session = await opened(house, await person(house))
        await house.sessions.end([session], "revoked", now())
        if house.name == "redis":
            assert sealed_keys(request.getfixturevalue("redis")) == 0
        else:
            assert await sealed_rows(house) == 0
