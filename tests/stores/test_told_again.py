"""A Redis that came back with less than it had is told from SQL what had ended, and nothing else ends."""

import json

import pytest
from engines import APPID, House, holds, now, opened, opening, person, second, some_id
from redis import Redis

from stores.errors import SessionsAway
from stores.logins import Login, Logins
from stores.users import User

pytest_plugins = ["store_fixtures"]

PREFIX = b"{menshen}"
EPOCHS, MARK = PREFIX + b"e", PREFIX + b"w"


def take_over(redis: Redis) -> None:
    """Let Redis look as one does that started since it was told: under another name."""
    told = json.loads(redis.get(EPOCHS) or b"")
    redis.set(EPOCHS, json.dumps({**told, "told": "0" * 40}))


async def told_again(house: House) -> None:
    await house.sessions.set_epochs(await house.epochs.all())


async def note_end(house: House, session: bytes, of: User, *, at: int, reason: str = "revoked") -> None:
    """What the facts say of a session that ended."""
    logins = Logins(house.db)
    logins.opened(Login(session, of.id, APPID, None, None, None, None, at, at))
    logins.ended([session], reason, at)
    await logins.flush()


@pytest.mark.gen_test
async def test_under_another_name_it_is_believed_only_when_it_was_told(redis_house: House, redis: Redis) -> None:
    mei = await person(redis_house)
    ended, held = await opened(redis_house, mei), await opened(redis_house, mei)
    await note_end(redis_house, ended, mei, at=now())
    assert await holds(redis_house, ended), "the test's own set-up: this Redis has lost the end"
    take_over(redis)
    with pytest.raises(SessionsAway):
        await holds(redis_house, held)
    await told_again(redis_house)
    assert not await holds(redis_house, ended)
    assert await holds(redis_house, held)


@pytest.mark.gen_test
async def test_it_is_told_as_far_back_as_it_is_behind_and_no_further(redis_house: House, redis: Redis) -> None:
    mei = await person(redis_house)
    long_ago, older, newer = [await opened(redis_house, mei) for _ in range(3)]
    for session, age in ((long_ago, 90_000), (older, 7_000), (newer, 3_000)):
        await note_end(redis_house, session, mei, at=now() - age)
    redis.set(MARK, now() - 5_000)
    take_over(redis)
    await told_again(redis_house)
    assert [await holds(redis_house, each) for each in (long_ago, older, newer)] == [True, True, False]
    redis.delete(MARK)
    take_over(redis)
    await told_again(redis_house)
    assert [await holds(redis_house, each) for each in (long_ago, older)] == [True, False]


@pytest.mark.gen_test
async def test_thousands_that_ended_in_one_second_end_again(redis_house: House, redis: Redis) -> None:
    mei, at = await person(redis_house), now()
    logins, ids = Logins(redis_house.db), [some_id() for _ in range(1_700)]
    for n, each in enumerate(ids):
        logins.opened(Login(each, mei.id, APPID, None, None, None, None, at - n % 3, at))
    logins.ended(ids, "logged_out", at)
    last = await opened(redis_house, mei)
    await note_end(redis_house, last, mei, at=at + 1)
    await logins.flush()
    revived = opening(mei, id=max(ids))
    await redis_house.sessions.open(revived, now())
    take_over(redis)
    await told_again(redis_house)
    assert not await holds(redis_house, last)
    assert not await holds(redis_house, revived.id)


@pytest.mark.gen_test
async def test_an_end_that_came_late_into_sql_is_told_too(redis_house: House, redis: Redis) -> None:
    mei = await person(redis_house)
    session = await opened(redis_house, mei)
    take_over(redis)
    await told_again(redis_house)
    assert await holds(redis_house, session)
    await note_end(redis_house, session, mei, at=now())
    await told_again(redis_house)
    assert await holds(redis_house, session), "a Redis under the name that it was told has lost nothing"
    redis.replicaof("127.0.0.1", 1)
    redis.replicaof("NO", "ONE")
    await told_again(redis_house)
    assert not await holds(redis_house, session)
    late = await opened(redis_house, mei)
    await note_end(redis_house, late, mei, at=now())
    await told_again(redis_house)
    assert not await holds(redis_house, late)


@pytest.mark.gen_test
async def test_what_may_still_be_undone_stays_so(redis_house: House, redis: Redis) -> None:
    mei = await person(redis_house)
    session = await opened(redis_house, mei)
    await redis_house.sessions.end([session], "revoked", now(), undo_by="operator:mei")
    await note_end(redis_house, session, mei, at=now())
    take_over(redis)
    await told_again(redis_house)
    assert [each.id for each in await redis_house.sessions.restore([session], "operator:mei", now())] == [session]


@pytest.mark.gen_test
async def test_who_is_blocked_is_barred_again(redis_house: House, redis: Redis) -> None:
    mei = await person(redis_house)
    blocked = await redis_house.users.block(mei.id, reason="asked for it", until=None)
    take_over(redis)
    await told_again(redis_house)
    assert redis.zscore(PREFIX + b"g", mei.id) == blocked.generation


@pytest.mark.gen_test
async def test_one_process_tells_it_for_all(redis_house: House, redis: Redis) -> None:
    mei = await person(redis_house)
    session, other = await opened(redis_house, mei), await second(redis_house)
    take_over(redis)
    await told_again(redis_house)
    assert await holds(other, session)
