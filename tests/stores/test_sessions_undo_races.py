"""An undo, and what may happen in the same moment: whatever ends a session wins."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
from engines import (
    House,
    everybody_out,
    fate,
    found,
    holds,
    live_ids,
    now,
    opened,
    opened_many,
    opening,
    person,
    second,
)
from undoing import LAN, MEI, block, end, erase, everybody, put_out, restore

from stores.sessions import Session
from stores.sessions.redis_undo import RedisUndo
from stores.users import User

pytest_plugins = ["store_fixtures"]

ROUNDS = 50
T = TypeVar("T")


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

        async def use_once(look: int, sessions: list[Session]) -> None:
            if look == 1:
                await elsewhere.sessions.touch(dict.fromkeys(sessions, at + 5000), at)

        looks = before_each_look(monkeypatch, use_once)
        assert await end(redis_house, new.id) == [new.id]
        assert len(looks) == 2, "it did not look again"
        [returned] = await redis_house.sessions.restore([new.id], MEI, at)
        assert returned.expires_at == at + 5_000

    @pytest.mark.gen_test
    async def test_in_redis_one_that_is_used_without_a_pause_is_ended_all_the_same(
        self, redis_house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mei, elsewhere, at = await person(redis_house), await second(redis_house), now()
        new = opening(mei, expires_at=at + 1_000)
        await redis_house.sessions.open(new, at)

        async def use(look: int, sessions: list[Session]) -> None:
            await elsewhere.sessions.touch(dict.fromkeys(sessions, at + 1000 + look), at)

        looks = before_each_look(monkeypatch, use)
        assert await end(redis_house, new.id) == [new.id]
        assert len(looks) > 2
        assert await restore(redis_house, new.id) == []
        assert await fate(redis_house, new.id) == "revoked"


def before_each_look(
    monkeypatch: pytest.MonkeyPatch, deed: Callable[[int, list[Session]], Awaitable[None]]
) -> list[list[Session]]:
    """Lets something happen each time before people's generations are looked at; it is told which time, and at whom."""
    look, looks = RedisUndo._generations, []

    async def meet(undo: RedisUndo, pipe: object, sessions: list[Session]) -> dict[int, int]:
        looks.append(sessions)
        await deed(len(looks), sessions)
        return await look(undo, pipe, sessions)

    monkeypatch.setattr(RedisUndo, "_generations", meet)
    return looks


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


async def _after(turns: int, deed: Awaitable[T]) -> T:
    """Lets some turns of the loop go by first, so that each round meets at another step."""
    for _ in range(turns):
        await asyncio.sleep(0)
    return await deed
