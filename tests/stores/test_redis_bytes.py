"""What a session costs in Redis: its value, its places in the indexes and all that Redis keeps around them."""

import asyncio
import secrets

import pytest
from engines import APPID, WEEK, House, now, some_id
from redis import Redis

from stores.sessions import Opening

pytest_plugins = ["store_fixtures"]

SESSIONS, PEOPLE = 10_000, 4_000
MOST_BYTES = 450


@pytest.mark.gen_test(timeout=240)
async def test_a_session_costs_at_most_450_bytes(
    redis_house: House, redis: Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    redis.config_set("appendfsync", "no")
    try:
        await _open(redis_house, range(500), user_id=10**6)  # opens the connections, whose buffers count too
        before = _used(redis)
        for start in range(0, SESSIONS, 500):
            await _open(redis_house, range(start, start + 500))
        each = (_used(redis) - before) / SESSIONS
    finally:
        redis.config_set("appendfsync", "always")
    assert await redis_house.sessions.count(APPID, now()) == SESSIONS + 500
    with capsys.disabled():
        print(f"\nbytes in Redis for a session, of {SESSIONS} sessions of {PEOPLE} people: {each:.0f}")  # noqa: T201  # the figure is the point of this test
    assert each <= MOST_BYTES


async def _open(house: House, numbers: range, *, user_id: int = 0) -> None:
    at = now()
    await asyncio.gather(
        *(
            house.sessions.open(
                Opening(
                    id=some_id(),
                    user_id=user_id or 1 + n % PEOPLE,
                    appid=APPID,
                    created_at=at,
                    ends_at=at + WEEK,
                    expires_at=at + WEEK,
                    sealed_key=secrets.token_bytes(45),
                    generation=0,
                    limit=0,
                    overflow="oldest",
                ),
                at,
            )
            for n in numbers
        )
    )


def _used(redis: Redis) -> int:
    return int(redis.info("memory")["used_memory"])
