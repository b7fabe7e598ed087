"""Sealed keys of sessions that may still be brought back: where they wait, and how they go."""

import pytest
from engines import DAY, House, ad_hoc, everybody_out, fate, holds, live_ids, now, opened, opened_many, opening, person
from redis import Redis
from undoing import end, restore

from stores.sessions import UNDO_SECONDS
from stores.sessions.packed import HANDLE_BYTES, Stash

pytest_plugins = ["store_fixtures"]


class TestSealedKeys:
    @pytest.mark.gen_test
    async def test_in_sql_they_wait_a_minute_and_not_longer(self, sql_house: House) -> None:
        house = sql_house
        at = now()
        ended = await opened_many(house, await person(house), 250)
        kept = await opened(house, await person(house))
        await end(house, *ended)
        assert await _sealed(house) == 251
        await house.sessions.sweep(at + UNDO_SECONDS - 10)
        assert await _sealed(house) == 251
        while await house.sessions.sweep(now() + UNDO_SECONDS + 1):
            pass
        assert await _sealed(house) == 1
        assert await restore(house, *ended) == []
        assert await fate(house, ended[0]) == "revoked"
        assert await holds(house, kept)

    @pytest.mark.gen_test
    async def test_in_sql_they_go_when_everybody_is_put_out(self, sql_house: House) -> None:
        session = await opened(sql_house, await person(sql_house))
        await end(sql_house, session)
        await everybody_out(sql_house)
        steps = 0
        while await sql_house.sessions.sweep(now()):
            steps += 1
        assert steps < 3, "the sweep comes upon the same row again and again"
        assert await _sealed(sql_house) == 0
        assert await fate(sql_house, session) == "revoked"

    @pytest.mark.gen_test
    async def test_in_redis_they_wait_a_minute_and_go_by_themselves(self, redis_house: House, redis: Redis) -> None:
        new = opening(await person(redis_house))
        await redis_house.sessions.open(new, now())
        await end(redis_house, new.id)
        stashed, ended = (b"{menshen}" + kind + new.id[:HANDLE_BYTES] for kind in (b"x", b"s"))
        assert new.sealed_key in (redis.get(stashed) or b"")
        assert 0 < int(str(redis.ttl(stashed))) <= UNDO_SECONDS
        assert redis.strlen(ended) == 1
        assert DAY - 60 < int(str(redis.ttl(ended))) <= DAY
        redis.delete(stashed)  # as the minute does
        assert await restore(redis_house, new.id) == []
        assert await fate(redis_house, new.id) == "revoked"

    @pytest.mark.gen_test
    async def test_in_redis_what_came_back_left_nothing_lying_about(self, redis_house: House, redis: Redis) -> None:
        mei = await person(redis_house)
        new = opening(mei)
        await redis_house.sessions.open(new, now())
        before = {key: redis.dump(key) for key in redis.scan_iter()}
        await end(redis_house, new.id)
        await restore(redis_house, new.id)
        assert {key: redis.dump(key) for key in redis.scan_iter()} == before

    @pytest.mark.gen_test
    async def test_a_full_redis_ends_a_session_and_cannot_bring_it_back(self, redis_house: House, redis: Redis) -> None:
        mei = await person(redis_house)
        first, other = await opened(redis_house, mei), await opened(redis_house, mei)
        await end(redis_house, other)
        redis.config_set("maxmemory", "1")
        try:
            assert await end(redis_house, first) == [first]
            assert await end(redis_house, other, by=None) == []
            assert not redis.exists(b"{menshen}x" + other[:HANDLE_BYTES])
        finally:
            redis.config_set("maxmemory", "0")
        assert await restore(redis_house, first, other) == []
        assert not await holds(redis_house, first)
        assert await live_ids(redis_house, mei) == []

    @pytest.mark.parametrize("garbage", [b"", b"\x00", b"\xff" * 40, b"\x00" * 17 + b"\x05abc"])
    @pytest.mark.gen_test
    async def test_in_redis_garbage_brings_nothing_back(self, redis_house: House, redis: Redis, garbage: bytes) -> None:
        session = await opened(redis_house, await person(redis_house))
        await end(redis_house, session)
        redis.set(b"{menshen}x" + session[:HANDLE_BYTES], garbage)
        assert await restore(redis_house, session) == []

    @pytest.mark.gen_test
    async def test_in_redis_another_sessions_value_brings_nothing_back(self, redis_house: House, redis: Redis) -> None:
        mei = await person(redis_house)
        first, other = await opened(redis_house, mei), await opened(redis_house, mei)
        await end(redis_house, first, other)
        raw = redis.get(b"{menshen}x" + first[:HANDLE_BYTES])
        assert isinstance(raw, bytes)
        stash = Stash.unpacked(raw)
        assert stash is not None
        redis.set(b"{menshen}x" + other[:HANDLE_BYTES], stash.packed())
        assert await restore(redis_house, first, other) == [first]
        assert not await holds(redis_house, other)


async def _sealed(house: House) -> int:
    return len(await house.db.read(ad_hoc("SELECT id FROM session WHERE sealed_key IS NOT NULL")))
