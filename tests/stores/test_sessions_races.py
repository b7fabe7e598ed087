"""What holds when many do it at once, in two processes, on every session engine."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from engines import (
    APPID,
    OTHER_APPID,
    WEEK,
    House,
    everybody_out,
    found,
    holds,
    live_ids,
    now,
    opened,
    opening,
    person,
    second,
    some_id,
)

from stores.sessions import Opened, PersonChanged, SessionGone, TooManySessions
from stores.sessions.promise import Overflow

pytest_plugins = ["store_fixtures"]

ROUNDS = 40
AT_ONCE = 50


async def _all(*what: Awaitable[object]) -> list[object]:
    """What became of each; only the refusals that a login may meet are results."""
    outcomes = await asyncio.gather(*what, return_exceptions=True)
    for each in outcomes:
        if isinstance(each, BaseException) and not isinstance(each, TooManySessions | PersonChanged):
            raise each
    return list(outcomes)


class TestOpening:
    @pytest.mark.gen_test
    @pytest.mark.parametrize("overflow", ["oldest", "refuse"])
    @pytest.mark.parametrize("limit", [1, 3])
    async def test_fifty_logins_at_once_leave_exactly_as_many_as_are_allowed(
        self, house: House, overflow: Overflow, limit: int
    ) -> None:
        mei = await person(house)
        doors = [house, await second(house)]
        openings = [opening(mei, limit=limit, overflow=overflow) for _ in range(AT_ONCE)]
        outcomes = await _all(*(doors[n % 2].sessions.open(new, now()) for n, new in enumerate(openings)))
        live = await live_ids(house, mei)
        assert len(live) == limit
        assert await house.sessions.count(APPID, now()) == limit
        opened_ids = {new.id for new, outcome in zip(openings, outcomes, strict=True) if isinstance(outcome, Opened)}
        replaced = [each for outcome in outcomes if isinstance(outcome, Opened) for each in outcome.replaced]
        assert len(replaced) == len(set(replaced)), "a session was told to have been replaced twice"
        assert opened_ids - set(replaced) == set(live)
        assert len(opened_ids) == (AT_ONCE if overflow == "oldest" else limit)

    @pytest.mark.gen_test
    async def test_one_of_fifty_gets_the_code(self, house: House) -> None:
        doors, code = [house, await second(house)], some_id()
        admissions = await asyncio.gather(*(doors[n % 2].sessions.admit(code, "t") for n in range(AT_ONCE)))
        assert sum(each.claimed for each in admissions) == 1
        assert sorted(each.tally for each in admissions) == list(range(1, AT_ONCE + 1))


class TestEnding:
    @pytest.mark.gen_test
    async def test_of_all_who_end_a_session_at_once_one_is_told_that_it_held(self, house: House) -> None:
        mei = await person(house)
        ids = [await opened(house, mei) for _ in range(5)]
        doors = [house, await second(house)]
        answers = await asyncio.gather(*(doors[n % 2].sessions.end(ids, "revoked", now()) for n in range(20)))
        assert sorted(each.id for answer in answers for each in answer) == sorted(ids)

    @pytest.mark.gen_test
    async def test_a_touch_at_the_same_time_never_revives_a_session(self, house: House) -> None:
        mei, elsewhere = await person(house), await second(house)
        for _ in range(10):
            some = [opening(mei, expires_at=now() + 1_000) for _ in range(ROUNDS)]
            await asyncio.gather(*(house.sessions.open(new, now()) for new in some))
            sessions = await house.sessions.live(mei.id, APPID, now())
            assert len(sessions) == ROUNDS
            await asyncio.gather(
                *(house.sessions.touch({each: now() + WEEK}, now()) for each in sessions),
                *(elsewhere.sessions.end([each.id], "revoked", now()) for each in sessions),
                *(house.sessions.touch({each: now() + 2 * WEEK}, now()) for each in sessions),
            )
            assert await live_ids(house, mei) == []
            assert await house.sessions.count(APPID, now()) == 0
            assert not any([await holds(house, each.id) for each in sessions])

    @pytest.mark.gen_test
    async def test_after_the_end_no_look_up_anywhere_finds_it(self, house: House) -> None:
        mei, elsewhere = await person(house), await second(house)
        for _ in range(ROUNDS):
            session = await opened(house, mei)
            ended = asyncio.Event()
            watching = asyncio.ensure_future(_look(elsewhere, session, ended))
            await asyncio.sleep(0)
            await house.sessions.end([session], "revoked", now())
            ended.set()
            await watching


class TestBlocks:
    @pytest.mark.gen_test
    @pytest.mark.parametrize("how", ["block", "erase"])
    async def test_no_session_is_born_after_a_block_or_an_erasure(self, house: House, how: str) -> None:
        elsewhere = await second(house)
        for _ in range(ROUNDS):
            before = await person(house)

            async def bar_and_end(user_id: int = before.id) -> None:
                if how == "block":
                    generation = (await elsewhere.users.block(user_id, reason="spam", until=None)).generation
                else:
                    await elsewhere.users.erase(user_id, mark=some_id(), now=now())
                    generation = 2**53 - 1
                await elsewhere.sessions.bar(user_id, generation)
                live = await elsewhere.sessions.live(user_id, APPID, now())
                await elsewhere.sessions.end([each.id for each in live], "blocked", now())

            openings = [opening(before) for _ in range(4)]
            first, *others = [house.sessions.open(new, now()) for new in openings]
            await _all(first, bar_and_end(), *others)
            assert await live_ids(house, before) == []
            assert not any([await holds(house, new.id) for new in openings])
        assert await house.sessions.count(APPID, now()) == 0


class TestEpochs:
    @pytest.mark.gen_test
    async def test_when_everybody_is_put_out_nothing_born_before_holds(self, house: House) -> None:
        elsewhere = await second(house)
        mei = await person(house)
        for counter in range(1, ROUNDS + 1):
            early, late = opening(mei), opening(mei)
            await house.sessions.open(early, now())
            await asyncio.gather(everybody_out(elsewhere), house.sessions.open(late, now()))
            for look in (house, elsewhere):
                assert not await holds(look, early.id)
                assert await _epoch_of(look, late.id) in (None, counter)
            assert set(await live_ids(house, mei)) <= {late.id}

    @pytest.mark.gen_test
    async def test_two_operators_at_once_lose_no_count(self, house: House) -> None:
        elsewhere = await second(house)
        raises: list[Callable[[], Awaitable[None]]] = [
            lambda: everybody_out(house, APPID),
            lambda: everybody_out(elsewhere, OTHER_APPID),
        ]
        await asyncio.gather(*(each() for _ in range(3) for each in raises))
        assert await house.epochs.all() == {APPID: 3, OTHER_APPID: 3}
        for appid in (APPID, OTHER_APPID):
            session = await opened(elsewhere, await person(house, appid))
            assert (await found(house, session)).epoch == 3


async def _look(house: House, session: bytes, ended: asyncio.Event) -> None:
    """Looks again and again until the session is gone; after its end was told, no look may find it."""
    for _ in range(1_000):
        was_over = ended.is_set()
        if await holds(house, session):
            assert not was_over
        else:
            return
    raise AssertionError("the session never ended")


async def _epoch_of(house: House, session: bytes) -> int | None:
    try:
        return (await found(house, session)).epoch
    except SessionGone:
        return None
