"""What only Redis can do to sessions: come back empty, poorer or full, freeze, or hold what somebody else wrote."""

import asyncio
import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from engines import (
    APPID,
    DAY,
    OTHER_APPID,
    House,
    everybody_out,
    fate,
    found,
    holds,
    live_ids,
    now,
    opened,
    opening,
    person,
    redis_sessions,
    redis_url,
    second,
    some_id,
)
from redis import Redis
from servers import RedisServer

from settings import RedisUrl
from stores.errors import SessionsAway, StoreFull, StoreTrouble, WrongCredentials
from stores.sessions import CLAIM_SECONDS
from stores.sessions.packed import HANDLE_BYTES
from values import Secret

pytest_plugins = ["store_fixtures"]

PREFIX = b"{menshen}"
EPOCHS = PREFIX + b"e"


def key_of(session: bytes) -> bytes:
    return PREFIX + b"s" + session[:HANDLE_BYTES]


def expires_at(redis: Redis, key: bytes) -> object:
    """When a key goes by itself."""
    answer: object = redis.execute_command("EXPIRETIME", key)  # type: ignore[no-untyped-call]  # redis-py's own gap
    return answer


async def back(house: House, session: bytes, *, seconds: float = 15.0) -> bool:
    """Whether a session holds, once the store has come back by itself."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            return await holds(house, session)
        except SessionsAway:
            await asyncio.sleep(0.02)
    raise AssertionError("the store did not come back by itself")


class TestWithoutEpochs:
    @pytest.mark.gen_test
    async def test_nothing_is_believed_until_they_are_pushed(self, redis_house: House, redis: Redis) -> None:
        mei, sessions = await person(redis_house), redis_house.sessions
        session = await opened(redis_house, mei)
        for ask in (
            lambda: sessions.find(session, now()),
            lambda: sessions.find(some_id(), now()),
            lambda: sessions.live(mei.id, APPID, now()),
            lambda: sessions.count(APPID, now()),
            lambda: sessions.end([session], "revoked", now()),
            lambda: sessions.open(opening(mei), now()),
            lambda: sessions.admit(some_id(), "t"),
            lambda: sessions.sweep(now()),
            sessions.ping,
        ):
            await back(redis_house, session)
            await asyncio.sleep(0.1)  # lets the push that was under way come to its end
            redis.delete(EPOCHS)
            with pytest.raises(SessionsAway):
                await ask()
        assert await back(redis_house, session)
        assert await live_ids(redis_house, mei) == [session]

    @pytest.mark.gen_test
    async def test_a_redis_that_came_back_empty_is_told_them_by_itself(self, redis_house: House, redis: Redis) -> None:
        session = await opened(redis_house, await person(redis_house))
        await everybody_out(redis_house)
        redis.flushdb()
        with pytest.raises(SessionsAway):
            await found(redis_house, session)
        assert not await back(redis_house, session)
        assert json.loads(redis.get(EPOCHS) or b"")["epochs"] == {APPID: 1, OTHER_APPID: 0}

    @pytest.mark.gen_test
    async def test_a_redis_that_came_back_poorer_ends_everybody_again(self, redis_house: House, redis: Redis) -> None:
        session = await opened(redis_house, await person(redis_house))
        earlier = redis.dump(EPOCHS)
        await everybody_out(redis_house)
        redis.restore(EPOCHS, 0, earlier or b"", replace=True)
        assert await holds(redis_house, session), "the test's own set-up: this Redis has forgotten"
        await redis_house.sessions.set_epochs(await redis_house.epochs.all())
        assert await fate(redis_house, session) == "revoked"

    @pytest.mark.gen_test
    async def test_while_sql_is_away_too_they_are_pushed_as_soon_as_it_answers(
        self, redis_house: House, redis: Redis
    ) -> None:
        session = await opened(redis_house, await person(redis_house))
        await redis_house.db.close()
        redis.delete(EPOCHS)
        for _ in range(3):
            with pytest.raises(SessionsAway):
                await found(redis_house, session)
        await redis_house.db.start()
        assert await back(redis_house, session)


class TestLifetimesInRedis:
    @pytest.mark.gen_test
    async def test_the_value_goes_at_the_second_of_its_end_and_the_index_a_day_later(
        self, redis_house: House, redis: Redis
    ) -> None:
        mei = await person(redis_house)
        new = opening(mei, expires_at=now() + 1_000)
        await redis_house.sessions.open(new, now())
        assert expires_at(redis, key_of(new.id)) == new.expires_at
        assert expires_at(redis, PREFIX + b"u%d:0" % mei.id) == new.ends_at + DAY

    @pytest.mark.gen_test
    async def test_a_session_that_ran_out_by_itself_is_told_so(self, redis_house: House) -> None:
        at = now() + 1
        session = await opened(redis_house, await person(redis_house), ends_at=at, expires_at=at)
        while await holds(redis_house, session):
            assert time.time() < at + 15
            await asyncio.sleep(0.02)
        assert await fate(redis_house, session) == "expired"

    @pytest.mark.gen_test
    async def test_a_tombstone_of_one_byte_stays_for_a_day(self, redis_house: House, redis: Redis) -> None:
        session = await opened(redis_house, await person(redis_house))
        await redis_house.sessions.end([session], "blocked", now())
        assert redis.strlen(key_of(session)) == 1
        assert DAY - 60 < int(str(redis.ttl(key_of(session)))) <= DAY

    @pytest.mark.gen_test
    async def test_a_claim_is_remembered_for_ten_minutes(self, redis_house: House, redis: Redis) -> None:
        code = some_id()
        await redis_house.sessions.admit(code, "login:192.0.2.1:1")
        assert CLAIM_SECONDS - 60 < int(str(redis.ttl(PREFIX + b"c" + code))) <= CLAIM_SECONDS
        assert 0 < int(str(redis.ttl(PREFIX + b"tlogin:192.0.2.1:1"))) <= 120

    @pytest.mark.gen_test
    async def test_every_key_has_the_one_hash_tag_and_nearly_all_go_by_themselves(
        self, redis_house: House, redis: Redis
    ) -> None:
        await redis_house.sessions.admit(some_id(), "t")
        session = await opened(redis_house, await person(redis_house))
        await redis_house.sessions.end([session], "revoked", now())
        await opened(redis_house, await person(redis_house))
        keys = set(redis.scan_iter())
        assert all(key.startswith(PREFIX) for key in keys)
        assert {key for key in keys if redis.ttl(key) == -1} == {
            EPOCHS,
            PREFIX + b"w",
            PREFIX + b"a" + APPID.encode() + b":0",
        }


class TestForeignValues:
    @pytest.mark.gen_test
    @pytest.mark.parametrize("garbage", [b"", b"\xff", b"\xf5", b"x" * 130, b"\x01" * 130, b"{}", b"\x01"])
    async def test_garbage_is_not_believed_and_told_in_the_log(
        self, redis_house: House, redis: Redis, garbage: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        mei = await person(redis_house)
        session = await opened(redis_house, mei)
        redis.set(key_of(session), garbage)
        with caplog.at_level(logging.ERROR, "menshen.store"):
            assert await fate(redis_house, session) is None
        assert "not a session of ours" in caplog.text
        assert await live_ids(redis_house, mei) == []

    @pytest.mark.gen_test
    async def test_a_value_moved_under_another_key_opens_nothing(self, redis_house: House, redis: Redis) -> None:
        session, guess = await opened(redis_house, await person(redis_house)), some_id()
        redis.set(key_of(guess), redis.get(key_of(session)) or b"")
        assert not await holds(redis_house, guess)
        assert not await holds(redis_house, session[:HANDLE_BYTES] + guess[HANDLE_BYTES:])
        assert await holds(redis_house, session)

    @pytest.mark.gen_test
    async def test_a_value_written_with_another_installations_key_opens_nothing(
        self, redis_house: House, redis_server: RedisServer, redis_database: int
    ) -> None:
        _, stranger = redis_sessions(
            redis_url(redis_server, redis_database), redis_house.db, key=b"another key".ljust(32)
        )
        new = opening(await person(redis_house))
        await stranger.open(new, now())
        assert (await stranger.find(new.id, now())).id == new.id
        assert not await holds(redis_house, new.id)
        await stranger.close()

    @pytest.mark.gen_test
    async def test_two_prefixes_in_one_redis_do_not_meet(
        self, redis_house: House, redis_server: RedisServer, redis_database: int
    ) -> None:
        _, other = redis_sessions(redis_url(redis_server, redis_database, "admin"), redis_house.db, prefix="other")
        await other.start()
        new = opening(await person(redis_house))
        await other.open(new, now())
        assert not await holds(redis_house, new.id)
        assert await redis_house.sessions.count(APPID, now()) == 0
        assert await other.count(APPID, now()) == 1
        await other.close()


@contextmanager
def full(redis: Redis) -> Iterator[None]:
    """A Redis that has reached its maxmemory."""
    redis.config_set("maxmemory", "1")
    try:
        yield
    finally:
        redis.config_set("maxmemory", "0")


class TestAFullRedis:
    @pytest.mark.gen_test
    async def test_nobody_new_gets_in_and_who_is_in_stays_in(self, redis_house: House, redis: Redis) -> None:
        mei = await person(redis_house)
        session = await opened(redis_house, mei)
        with full(redis):
            with pytest.raises(StoreFull):
                await opened(redis_house, mei)
            with pytest.raises(StoreFull):
                await redis_house.sessions.admit(some_id(), "t")
            assert await holds(redis_house, session)
            assert await live_ids(redis_house, mei) == [session]
        assert await holds(redis_house, await opened(redis_house, mei))

    @pytest.mark.gen_test
    async def test_a_session_still_ends_and_only_its_reason_is_forgotten(
        self, redis_house: House, redis: Redis
    ) -> None:
        mei = await person(redis_house)
        ended, other = await opened(redis_house, mei), await opened(redis_house, mei)
        with full(redis):
            told = await redis_house.sessions.end([ended], "revoked", now())
            assert [each.id for each in told] == [ended]
            assert await redis_house.sessions.end([ended], "revoked", now()) == []
            assert await fate(redis_house, ended) is None
            assert await fate(await second(redis_house), ended) is None
        assert await live_ids(redis_house, mei) == [other]
        assert await redis_house.sessions.count(APPID, now()) == 1

    @pytest.mark.gen_test
    async def test_everybody_is_not_told_to_be_out_when_the_number_could_not_be_written(
        self, redis_house: House, redis: Redis
    ) -> None:
        session = await opened(redis_house, await person(redis_house))
        with full(redis), pytest.raises(StoreFull):
            await everybody_out(redis_house)
        await redis_house.sessions.set_epochs(await redis_house.epochs.all())
        assert await fate(redis_house, session) == "revoked"


class TestATroubledRedis:
    @pytest.mark.gen_test
    async def test_a_frozen_redis_is_away_within_moments_and_back_by_itself(
        self, redis_house: House, redis_server: RedisServer
    ) -> None:
        mei = await person(redis_house)
        sessions = [await opened(redis_house, mei) for _ in range(50)]
        redis_server.freeze()
        began = time.monotonic()
        answers = await asyncio.gather(*(found(redis_house, each) for each in sessions), return_exceptions=True)
        assert all(isinstance(each, SessionsAway) for each in answers)
        with pytest.raises(SessionsAway):
            await redis_house.sessions.end(sessions[:1], "revoked", now())
        assert time.monotonic() - began < 3 * (0.4 + 0.4)
        redis_server.thaw()
        assert await back(redis_house, sessions[1])
        answers = await asyncio.gather(*(found(redis_house, each) for each in sessions[1:]))
        assert [each.id for each in answers if not isinstance(each, BaseException)] == sessions[1:], (
            "an answer of before reached somebody else"
        )

    @pytest.mark.gen_test
    async def test_a_dead_redis_is_away_and_its_sessions_are_there_again_afterwards(
        self, redis_house: House, redis_server: RedisServer
    ) -> None:
        session = await opened(redis_house, await person(redis_house))
        redis_server.kill()
        with pytest.raises(SessionsAway):
            await found(redis_house, session)
        with pytest.raises(SessionsAway):
            await redis_house.sessions.ping()
        await asyncio.to_thread(redis_server.start)
        assert await back(redis_house, session)

    @pytest.mark.gen_test
    async def test_a_wrong_password_is_told_at_the_start_and_never_repeated(
        self, redis_house: House, redis_server: RedisServer
    ) -> None:
        where = RedisUrl("127.0.0.1", redis_server.port, "", Secret("a-wrong-password"), 0, tls=False)
        _, sessions = redis_sessions(where, redis_house.db)
        with pytest.raises(WrongCredentials) as told:
            await sessions.start()
        assert "a-wrong-password" not in str(told.value)
        with pytest.raises(StoreTrouble) as told_again:
            await sessions.ping()
        assert "a-wrong-password" not in str(told_again.value)
        await sessions.close()

    @pytest.mark.gen_test
    async def test_settings_of_redis_that_put_sessions_at_risk_are_told_in_a_sentence(
        self, redis_house: House, redis: Redis
    ) -> None:
        assert await redis_house.sessions.advice() == []
        try:
            redis.config_set("maxmemory-policy", "allkeys-lru")
            redis.config_set("appendonly", "no")
            advice = await redis_house.sessions.advice()
        finally:
            redis.config_set("maxmemory-policy", "noeviction")
            redis.config_set("appendonly", "yes")
        assert any("allkeys-lru" in sentence and "noeviction" in sentence for sentence in advice)
        assert any("appendonly" in sentence for sentence in advice)
        assert len(advice) == 2


@pytest.mark.gen_test
async def test_use_on_a_full_redis_moves_all_of_a_session_or_nothing(redis_house: House, redis: Redis) -> None:
    mei, at = await person(redis_house), now()
    session = await found(redis_house, await opened(redis_house, mei, ends_at=at + 9_000, expires_at=at + 1_000))
    redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreFull):
            await redis_house.sessions.touch({session: at + 5_000}, at)
        assert expires_at(redis, key_of(session.id)) == at + 1_000
        assert await redis_house.sessions.end_some(mei.id, APPID, "blocked", at)
        assert not await holds(redis_house, session.id)
    finally:
        redis.config_set("maxmemory", 0)


@pytest.mark.gen_test
async def test_a_session_that_its_index_takes_for_expired_is_put_out_too(redis_house: House, redis: Redis) -> None:
    mei, at = await person(redis_house), now()
    session = await opened(redis_house, mei)
    index = PREFIX + b"u%d:0" % mei.id
    redis.zadd(index, {session[:HANDLE_BYTES]: at - 100})
    await redis_house.sessions.end_some(mei.id, APPID, "blocked", at)
    assert await fate(redis_house, session) == "blocked"
