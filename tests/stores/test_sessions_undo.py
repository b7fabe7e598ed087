"""What was ended by mistake can be brought back for a minute, by whoever ended it, and by nobody past a block."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
from engines import (
    APPID,
    DAY,
    OTHER_APPID,
    House,
    ad_hoc,
    everybody_out,
    fate,
    found,
    holds,
    live_ids,
    mark_of,
    now,
    opened,
    opened_many,
    opening,
    person,
    second,
    some_id,
)
from redis import Redis

from stores.sessions import ERASED, UNDO_SECONDS, Session
from stores.sessions.packed import HANDLE_BYTES, Stash
from stores.sessions.redis_undo import RedisUndo
from stores.users import User

pytest_plugins = ["store_fixtures"]

MEI, LAN = "operator:mei", "operator:lan"
ROUNDS = 50
T = TypeVar("T")


async def end(house: House, *sessions: bytes, by: str | None = MEI) -> list[bytes]:
    """What an operator's revocation ended."""
    return [each.id for each in await house.sessions.end(sessions, "revoked", now(), by)]


async def restore(house: House, *sessions: bytes, by: str = MEI, at: int | None = None) -> list[bytes]:
    """What an operator's undo brought back."""
    return [each.id for each in await house.sessions.restore(sessions, by, at or now())]


async def block(house: House, user: User) -> None:
    """What an operator's block does."""
    blocked = await house.users.block(user.id, reason="spam", until=None)
    await house.sessions.bar(user.id, blocked.generation)
    await put_out(house, user)


async def erase(house: House, user: User) -> None:
    """What an erasure does."""
    await house.users.erase(user.id, mark=mark_of(user.appid, user.openid), now=now())
    await house.sessions.bar(user.id, ERASED)
    await put_out(house, user)


async def put_out(house: House, user: User) -> None:
    """What "revoke all of a user" does."""
    while await house.sessions.end_some(user.id, user.appid, "revoked", now()) is not None:
        pass


async def everybody(house: House, user: User) -> None:
    await everybody_out(house, user.appid)


async def kept_keys(house: House, request: pytest.FixtureRequest) -> int:
    """How many sealed keys of ended sessions somebody who reads the whole store would find."""
    if house.name == "redis":
        redis: Redis = request.getfixturevalue("redis")
        return len(list(redis.scan_iter(b"{menshen}x*")))
    rows = await house.db.read(ad_hoc("SELECT id FROM session WHERE reason IS NOT NULL AND sealed_key IS NOT NULL"))
    return len(rows)


class TestBringingBack:
    @pytest.mark.gen_test
    async def test_a_session_comes_back_as_it_was(self, house: House) -> None:
        mei, elsewhere = await person(house), await second(house)
        new = opening(mei, expires_at=now() + 1_000)
        await house.sessions.open(new, now())
        before = await found(house, new.id)
        assert await end(house, new.id) == [new.id]
        for each in (house, elsewhere):
            assert await fate(each, new.id) == "revoked"
            assert await live_ids(each, mei) == []
            assert await each.sessions.count(APPID, now()) == 0
        [returned] = await elsewhere.sessions.restore([new.id], MEI, now())
        assert (returned.id, returned.expires_at, returned.sealed_key) == (new.id, new.expires_at, new.sealed_key)
        for each in (house, elsewhere):
            assert await found(each, new.id) == before
            [live] = await each.sessions.live(mei.id, APPID, now())
            assert live == returned
            assert await each.sessions.count(APPID, now()) == 1

    @pytest.mark.gen_test
    async def test_it_can_be_used_ended_and_brought_back_again(self, house: House) -> None:
        mei = await person(house)
        new = opening(mei, expires_at=now() + 1_000)
        await house.sessions.open(new, now())
        for n in range(1, 4):
            assert await end(house, new.id) == [new.id]
            assert await restore(house, new.id) == [new.id]
            await house.sessions.touch({await found(house, new.id): now() + 1_000 * n}, now())
            assert await live_ids(house, mei) == [new.id]
        assert await end(house, new.id, by=None) == [new.id]
        assert await restore(house, new.id) == []
        assert await fate(house, new.id) == "revoked"

    @pytest.mark.gen_test
    async def test_what_use_had_added_comes_back_too(self, house: House) -> None:
        mei, at = await person(house), now()
        new = opening(mei, expires_at=at + 1_000)
        await house.sessions.open(new, at)
        await house.sessions.touch({await found(house, new.id): at + 5_000}, at)
        await end(house, new.id)
        await house.sessions.touch({_as_session(new): at + 9_000}, at)  # a use that was noted late
        [returned] = await house.sessions.restore([new.id], MEI, at)
        assert returned.expires_at == at + 5_000
        [live] = await house.sessions.live(mei.id, APPID, at)
        assert live.expires_at == at + 5_000

    @pytest.mark.gen_test
    async def test_a_selection_of_many_people_comes_back_in_one_call(self, house: House) -> None:
        people = [await person(house, appid) for appid in (APPID, OTHER_APPID) for _ in range(3)]
        ids = [each for mei in people for each in await opened_many(house, mei, 40)]
        assert set(await end(house, *ids)) == set(ids)
        assert await house.sessions.count(APPID, now()) == 0
        assert set(await restore(house, *ids, some_id())) == set(ids)
        assert await house.sessions.count(APPID, now()) == await house.sessions.count(OTHER_APPID, now()) == 120
        assert all([await holds(house, each) for each in ids])
        assert await restore(house, *ids) == []

    @pytest.mark.gen_test
    async def test_nothing_is_brought_back_from_nothing(self, house: House) -> None:
        assert await end(house) == await restore(house) == []
        assert await end(house, some_id()) == await restore(house, some_id()) == []

    @pytest.mark.gen_test
    async def test_an_ended_session_that_may_come_back_takes_no_place(self, house: House) -> None:
        mei = await person(house)
        ended, held = await opened(house, mei), await opened(house, mei)
        await end(house, ended)
        new = await opened(house, mei, limit=2, overflow="refuse")
        assert set(await live_ids(house, mei)) == {held, new}
        assert await restore(house, ended) == [ended]
        assert set(await live_ids(house, mei)) == {ended, held, new}, "the limit is not asked on the way back"

    @pytest.mark.gen_test
    async def test_a_temporary_block_that_was_over_before_does_not_matter(self, house: House) -> None:
        mei = await person(house)
        blocked = await house.users.block(mei.id, reason="calm down", until=now() - 10)
        await house.sessions.bar(mei.id, blocked.generation)
        session = await opened(house, blocked)
        await end(house, session)
        assert await restore(house, session) == [session]


class TestStayingGone:
    @pytest.mark.gen_test
    async def test_nobody_else_brings_it_back(self, house: House) -> None:
        session = await opened(house, await person(house))
        await end(house, session)
        assert await restore(house, session, by=LAN) == []
        assert await restore(house, session, by="") == []
        assert await restore(house, session) == [session]

    @pytest.mark.gen_test
    async def test_what_was_ended_without_undo_stays_gone(self, house: House) -> None:
        session = await opened(house, await person(house))
        await end(house, session, by=None)
        assert await restore(house, session, by="") == await restore(house, session) == []
        assert await fate(house, session) == "revoked"

    @pytest.mark.gen_test
    async def test_after_a_minute_it_stays_gone(self, house: House) -> None:
        session = await opened(house, await person(house))
        await end(house, session)
        assert await restore(house, session, at=now() + UNDO_SECONDS + 1) == []
        assert await fate(house, session) == "revoked"

    @pytest.mark.gen_test
    async def test_one_that_would_have_expired_meanwhile_stays_gone(self, house: House) -> None:
        session = await opened(house, await person(house), expires_at=now() + 20)
        await end(house, session)
        assert await restore(house, session, at=now() + 30) == []
        assert not await holds(house, session)

    @pytest.mark.gen_test
    @pytest.mark.parametrize("deed", [block, erase, everybody, put_out])
    async def test_after_any_of_these_it_stays_gone(
        self, house: House, deed: Callable[[House, User], Awaitable[None]], request: pytest.FixtureRequest
    ) -> None:
        mei = await person(house)
        session = await opened(house, mei)
        await end(house, session)
        await deed(await second(house), mei)
        if deed is not everybody:
            assert await kept_keys(house, request) == 0
        assert await restore(house, session) == []
        assert not await holds(house, session)
        assert await live_ids(house, mei) == []

    @pytest.mark.gen_test
    async def test_a_block_that_was_lifted_again_does_not_let_it_back_in(self, house: House) -> None:
        mei = await person(house)
        session = await opened(house, mei)
        await end(house, session)
        await block(house, mei)
        await house.users.unblock(mei.id)
        assert await restore(house, session) == []
        assert await fate(house, session) == "revoked"

    @pytest.mark.gen_test
    async def test_a_block_that_failed_before_it_ended_anything_keeps_it_out(self, house: House) -> None:
        mei = await person(house)
        session = await opened(house, mei)
        await end(house, session)
        await house.sessions.bar(mei.id, mei.generation + 1)
        assert await restore(house, session) == []

    @pytest.mark.gen_test
    @pytest.mark.parametrize("how", ["block", "erase"])
    async def test_in_sql_what_failed_even_before_that_keeps_it_out_too(self, sql_house: House, how: str) -> None:
        mei, lan = await person(sql_house), await person(sql_house)
        session, hers = await opened(sql_house, mei), await opened(sql_house, lan)
        await end(sql_house, session, hers)
        if how == "block":
            await sql_house.users.block(mei.id, reason="spam", until=None)
        else:
            await sql_house.users.erase(mei.id, mark=mark_of(mei.appid, mei.openid), now=now())
        assert await restore(sql_house, session, hers) == [hers]

    @pytest.mark.gen_test
    @pytest.mark.parametrize("again", [LAN, None])
    async def test_whoever_ends_it_again_ends_it_for_good(
        self, house: House, again: str | None, request: pytest.FixtureRequest
    ) -> None:
        session = await opened(house, await person(house))
        await end(house, session)
        assert await end(house, session, by=again) == []
        assert await kept_keys(house, request) == 0
        assert await restore(house, session) == await restore(house, session, by=LAN) == []

    @pytest.mark.gen_test
    async def test_the_same_operator_who_clicks_twice_can_still_take_it_back(self, house: House) -> None:
        session = await opened(house, await person(house))
        assert await end(house, session) == [session]
        assert await end(house, session) == []
        assert await restore(house, session) == [session]

    @pytest.mark.gen_test
    async def test_an_id_that_begins_like_a_sessions_brings_nothing_back(self, house: House) -> None:
        session = await opened(house, await person(house))
        near = session[:HANDLE_BYTES] + some_id()[HANDLE_BYTES:]
        assert await end(house, near) == []
        await end(house, session)
        assert await restore(house, near) == []
        assert await restore(house, session) == [session]


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


class TestTheWorstMoment:
    @pytest.mark.gen_test
    @pytest.mark.parametrize("deed", ["bar", "everybody", "end"])
    async def test_in_redis_what_happens_between_the_last_look_and_the_return_forbids_it(
        self, redis_house: House, deed: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mei, elsewhere = await person(redis_house), await second(redis_house)
        session = await opened(redis_house, mei)
        await end(redis_house, session)
        look, met = RedisUndo._generations, 0

        async def look_and_meet(undo: RedisUndo, pipe: object, sessions: list[Session]) -> dict[int, int]:
            nonlocal met
            found = await look(undo, pipe, sessions)
            met += 1
            if met > 1:
                return found
            if deed == "bar":
                await elsewhere.sessions.bar(mei.id, mei.generation + 1)
            elif deed == "everybody":
                await everybody_out(elsewhere)
            else:
                await end(elsewhere, session, by=None)
            return found

        monkeypatch.setattr(RedisUndo, "_generations", look_and_meet)
        assert await restore(redis_house, session) == []
        assert met == 2, "it did not look again"
        assert not await holds(redis_house, session)

    @pytest.mark.gen_test
    async def test_in_redis_a_session_used_between_the_look_and_the_end_comes_back_with_its_new_end(
        self, redis_house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mei, elsewhere, at = await person(redis_house), await second(redis_house), now()
        new = opening(mei, expires_at=at + 1_000)
        await redis_house.sessions.open(new, at)
        look, met = RedisUndo._generations, 0

        async def look_and_use(undo: RedisUndo, pipe: object, sessions: list[Session]) -> dict[int, int]:
            nonlocal met
            met += 1
            if met == 1:
                await elsewhere.sessions.touch(dict.fromkeys(sessions, at + 5000), at)
            return await look(undo, pipe, sessions)

        monkeypatch.setattr(RedisUndo, "_generations", look_and_use)
        assert await end(redis_house, new.id) == [new.id]
        assert met == 2, "it did not look again"
        [returned] = await redis_house.sessions.restore([new.id], MEI, at)
        assert returned.expires_at == at + 5_000

    @pytest.mark.gen_test
    async def test_in_redis_one_that_is_used_without_a_pause_is_ended_all_the_same(
        self, redis_house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mei, elsewhere, at = await person(redis_house), await second(redis_house), now()
        new = opening(mei, expires_at=at + 1_000)
        await redis_house.sessions.open(new, at)
        look, met = RedisUndo._generations, 0

        async def look_and_use(undo: RedisUndo, pipe: object, sessions: list[Session]) -> dict[int, int]:
            nonlocal met
            met += 1
            await elsewhere.sessions.touch(dict.fromkeys(sessions, at + 1000 + met), at)
            return await look(undo, pipe, sessions)

        monkeypatch.setattr(RedisUndo, "_generations", look_and_use)
        assert await end(redis_house, new.id) == [new.id]
        assert met > 2
        assert await restore(redis_house, new.id) == []
        assert await fate(redis_house, new.id) == "revoked"


class TestRaces:
    @pytest.mark.gen_test(timeout=120)
    @pytest.mark.parametrize("deed", [block, erase, everybody, put_out])
    async def test_of_an_undo_and_any_of_these_at_once_the_undo_loses(
        self, house: House, deed: Callable[[House, User], Awaitable[None]]
    ) -> None:
        elsewhere = await second(house)
        for n in range(ROUNDS):
            mei = await person(house)
            sessions = [await opened(house, mei) for _ in range(2)]
            await end(house, *sessions)
            await asyncio.gather(_after(n, restore(house, *sessions)), _after(ROUNDS - n, deed(elsewhere, mei)))
            for look in (house, elsewhere):
                assert not any([await holds(look, each) for each in sessions])
                assert await live_ids(look, mei) == []
            assert await restore(house, *sessions) == []

    @pytest.mark.gen_test(timeout=120)
    async def test_of_an_undo_and_a_second_end_at_once_the_undo_loses(self, house: House) -> None:
        mei, elsewhere = await person(house), await second(house)
        for n in range(ROUNDS):
            session = await opened(house, mei)
            await end(house, session)
            returned, ended_again = await asyncio.gather(
                _after(n, restore(house, session)), _after(ROUNDS - n, end(elsewhere, session, by=LAN))
            )
            assert returned == ended_again, "what came back was ended, and nothing else was"
            assert not await holds(house, session)
            assert await restore(house, session) == []
            if returned:
                assert await restore(elsewhere, session, by=LAN) == [session]
                await end(house, session, by=None)

    @pytest.mark.gen_test(timeout=120)
    async def test_of_an_end_with_undo_and_one_without_at_once_the_undo_is_lost(self, house: House) -> None:
        mei, elsewhere = await person(house), await second(house)
        for n in range(ROUNDS):
            sessions = [await opened(house, mei) for _ in range(3)]
            first, again = await asyncio.gather(
                _after(n, end(house, *sessions)), _after(ROUNDS - n, end(elsewhere, *sessions, by=None))
            )
            assert sorted(first + again) == sorted(sessions), "each was told once that it held"
            assert await restore(house, *sessions) == []
            assert await live_ids(house, mei) == []

    @pytest.mark.gen_test(timeout=120)
    async def test_of_two_operators_who_end_it_at_once_at_most_one_may_take_it_back(self, house: House) -> None:
        mei, elsewhere = await person(house), await second(house)
        for _ in range(ROUNDS):
            session = await opened(house, mei)
            first, other = await asyncio.gather(end(house, session), end(elsewhere, session, by=LAN))
            assert first + other == [session]
            assert await restore(house, session) + await restore(elsewhere, session, by=LAN) == []
            assert not await holds(house, session)

    @pytest.mark.gen_test(timeout=120)
    async def test_of_two_clicks_on_undo_one_brings_it_back(self, house: House) -> None:
        mei, elsewhere = await person(house), await second(house)
        session = await opened(house, mei)
        for _ in range(ROUNDS):
            await end(house, session)
            first, other = await asyncio.gather(restore(house, session), restore(elsewhere, session))
            assert first + other == [session]
            assert await live_ids(house, mei) == [session]

    @pytest.mark.gen_test(timeout=120)
    async def test_use_at_the_same_time_stands_in_nobodys_way(self, house: House) -> None:
        mei, elsewhere = await person(house), await second(house)
        ids = await opened_many(house, mei, 20, expires_at=now() + 1_000)
        sessions = [await found(house, each) for each in ids]
        for n in range(10):
            touches = [elsewhere.sessions.touch({each: now() + 2_000 + n}, now()) for each in sessions]
            ended, _ = await asyncio.gather(end(house, *ids), asyncio.gather(*touches))
            assert set(ended) == set(ids)
            assert not any([await holds(elsewhere, each) for each in ids])
            await restore(house, *ids)  # when the touches kept Redis busy, they were ended for good
            ids = await live_ids(house, mei) or await opened_many(house, mei, 20, expires_at=now() + 1_000)
            sessions = [await found(house, each) for each in ids]


def _as_session(new: object) -> Session:
    names = ("id", "user_id", "appid", "created_at", "ends_at", "expires_at", "sealed_key")
    return Session(epoch=0, **{name: getattr(new, name) for name in names})


async def _sealed(house: House) -> int:
    return len(await house.db.read(ad_hoc("SELECT id FROM session WHERE sealed_key IS NOT NULL")))


async def _after(turns: int, deed: Awaitable[T]) -> T:
    """Lets some turns of the loop go by first, so that each round meets at another step."""
    for _ in range(turns):
        await asyncio.sleep(0)
    return await deed
