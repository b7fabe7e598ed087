"""Look-ups that share a trip: one question a turn, answers to the right callers, and nobody left waiting."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from stores.errors import SessionsAway, StoreFull
from stores.shared_lookup import MOST_IN_ONE_TRIP, MOST_WAITING, SharedLookup

pytestmark = pytest.mark.quick

Ask = Callable[[list[bytes]], Awaitable[list[bytes]]]


@asynccontextmanager
async def lookup_that(ask: Ask) -> AsyncIterator[SharedLookup[bytes, bytes]]:
    lookup = SharedLookup(ask)
    try:
        yield lookup
    finally:
        await lookup.close()


class Store:
    """A store that answers each key with itself when the test lets it."""

    def __init__(self) -> None:
        self.trips: list[list[bytes]] = []
        self.news = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()

    async def ask(self, keys: list[bytes]) -> list[bytes]:
        self.trips.append(keys)
        self.news.set()
        await self.open.wait()
        return [b"value of " + key for key in keys]

    async def asked_about(self, keys: int) -> None:
        """Waits until it was asked about that many keys in all."""
        while sum(map(len, self.trips)) < keys:
            self.news.clear()
            await self.news.wait()


async def trouble(keys: list[bytes]) -> list[bytes]:
    await asyncio.sleep(0)
    raise StoreFull(f"{len(keys)} keys")


def key(number: int) -> bytes:
    return b"%06d" % number


@pytest.mark.gen_test
async def test_look_ups_of_one_turn_are_one_question_and_each_gets_its_own_answer() -> None:
    store = Store()
    async with lookup_that(store.ask) as lookup:
        answers = await asyncio.gather(*(lookup.get(key(n % 60)) for n in range(100)))
    assert answers == [b"value of " + key(n % 60) for n in range(100)]
    assert len(store.trips) == 1


@pytest.mark.gen_test
async def test_nothing_is_kept_for_the_next_turn() -> None:
    store = Store()
    async with lookup_that(store.ask) as lookup:
        for _ in range(3):
            await lookup.get(b"k")
    assert store.trips == [[b"k"]] * 3


@pytest.mark.gen_test
async def test_a_look_up_is_never_answered_by_a_question_that_was_asked_before_it() -> None:
    store = Store()
    store.open.clear()
    async with lookup_that(store.ask) as lookup:
        early = asyncio.ensure_future(lookup.get(b"k"))
        await store.asked_about(1)
        late = asyncio.ensure_future(lookup.get(b"k"))
        await store.asked_about(2)
        store.open.set()
        assert await early == await late == b"value of k"
    assert store.trips == [[b"k"], [b"k"]]


@pytest.mark.gen_test
async def test_a_trip_takes_a_bounded_number_along_and_order_is_kept() -> None:
    store, number = Store(), 2 * MOST_IN_ONE_TRIP + 10
    async with lookup_that(store.ask) as lookup:
        answers = await asyncio.gather(*(lookup.get(key(n)) for n in range(number)))
    assert answers == [b"value of " + key(n) for n in range(number)]
    assert [len(trip) for trip in store.trips] == [MOST_IN_ONE_TRIP, MOST_IN_ONE_TRIP, 10]


@pytest.mark.gen_test
async def test_too_many_that_wait_are_turned_away_and_the_others_served() -> None:
    store = Store()
    store.open.clear()
    async with lookup_that(store.ask) as lookup:
        waiting = [asyncio.ensure_future(lookup.get(key(n))) for n in range(MOST_WAITING)]
        await store.asked_about(MOST_WAITING)
        with pytest.raises(SessionsAway):
            await lookup.get(b"one too many")
        store.open.set()
        assert len(await asyncio.gather(*waiting)) == MOST_WAITING
        assert await lookup.get(b"k") == b"value of k"


@pytest.mark.gen_test
async def test_a_failure_reaches_everybody_who_waits_for_that_trip_and_nobody_after() -> None:
    async with lookup_that(trouble) as lookup:
        answers = await asyncio.gather(*(lookup.get(key(n)) for n in range(10)), return_exceptions=True)
        assert [str(each) for each in answers] == ["10 keys"] * 10
        with pytest.raises(StoreFull, match="1 keys"):
            await lookup.get(b"k")


@pytest.mark.gen_test
async def test_a_deadline_of_the_store_releases_all_who_wait() -> None:
    async def frozen(keys: list[bytes]) -> list[bytes]:
        try:
            async with asyncio.timeout(0.05):
                await asyncio.Event().wait()
        except TimeoutError:
            raise SessionsAway from None
        return keys

    async with lookup_that(frozen) as lookup:
        answers = await asyncio.gather(*(lookup.get(key(n)) for n in range(3)), return_exceptions=True)
    assert all(isinstance(each, SessionsAway) for each in answers)


@pytest.mark.gen_test
async def test_a_store_that_gives_too_few_values_answers_nobody() -> None:
    async def forgetful(keys: list[bytes]) -> list[bytes]:
        return keys[1:]

    async with lookup_that(forgetful) as lookup:
        answers = await asyncio.gather(*(lookup.get(key(n)) for n in range(3)), return_exceptions=True)
    assert all(isinstance(each, SessionsAway) for each in answers)


@pytest.mark.gen_test
async def test_a_caller_who_hangs_up_disturbs_nobody() -> None:
    store = Store()
    store.open.clear()
    async with lookup_that(store.ask) as lookup:
        gone, early, stays = (asyncio.ensure_future(lookup.get(key(n))) for n in range(3))
        await asyncio.sleep(0)
        early.cancel()
        await store.asked_about(1)
        gone.cancel()
        store.open.set()
        assert await stays == b"value of " + key(2)
        for each in (gone, early):
            with pytest.raises(asyncio.CancelledError):
                await each


@pytest.mark.gen_test
async def test_places_of_those_who_hung_up_are_free_again() -> None:
    store = Store()
    store.open.clear()
    async with lookup_that(store.ask) as lookup:
        for _ in range(3):
            waiting = [asyncio.ensure_future(lookup.get(key(n))) for n in range(MOST_WAITING)]
            await asyncio.sleep(0)
            for each in waiting:
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        store.open.set()
        assert await lookup.get(b"k") == b"value of k"


@pytest.mark.gen_test
async def test_closing_releases_everybody_with_away_and_not_with_gone() -> None:
    store = Store()
    store.open.clear()
    lookup = SharedLookup(store.ask)
    waiting = [asyncio.ensure_future(lookup.get(key(n))) for n in range(5)]
    await store.asked_about(1)
    await lookup.close()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(each, SessionsAway) for each in answers)


@pytest.mark.gen_test
@pytest.mark.parametrize("turns", [1, 2, 3])
async def test_closing_releases_also_those_whose_trip_has_not_begun(turns: int) -> None:
    lookup = SharedLookup(Store().ask)
    waiting = asyncio.ensure_future(lookup.get(b"k"))
    for _ in range(turns):
        await asyncio.sleep(0)
    await lookup.close()
    [answer] = await asyncio.wait_for(asyncio.gather(waiting, return_exceptions=True), 5.0)
    assert isinstance(answer, SessionsAway) or answer == b"value of k"


@pytest.mark.gen_test
async def test_a_trip_is_not_lost_to_the_garbage_collector() -> None:
    store = Store()
    store.open.clear()
    async with lookup_that(store.ask) as lookup:
        waiting = asyncio.ensure_future(lookup.get(b"k"))
        await store.asked_about(1)
        gc.collect()
        await asyncio.sleep(0)
        store.open.set()
        assert await waiting == b"value of k"


async def one_under_way(store: Store, *, patience: float) -> tuple[SharedLookup[bytes, bytes], "asyncio.Future[bytes]"]:
    """A look-up with a trip about `key(0)` that the store keeps waiting, and what that trip will give."""
    lookup = SharedLookup(store.ask, patience=patience)
    store.open.clear()
    first = asyncio.ensure_future(lookup.get(key(0)))
    await store.asked_about(1)
    return lookup, first


@pytest.mark.gen_test
async def test_with_patience_those_who_come_while_a_trip_is_under_way_share_the_next() -> None:
    store = Store()
    lookup, first = await one_under_way(store, patience=30.0)
    others = []
    for number in range(1, 5):
        others.append(asyncio.ensure_future(lookup.get(key(number))))
        await asyncio.sleep(0)
    assert store.trips == [[key(0)]]
    store.open.set()
    assert await asyncio.gather(first, *others) == [b"value of " + key(number) for number in range(5)]
    assert store.trips == [[key(0)], [key(number) for number in range(1, 5)]]
    assert await lookup.get(key(5)) == b"value of " + key(5)


@pytest.mark.gen_test
async def test_patience_has_an_end() -> None:
    store = Store()
    lookup, first = await one_under_way(store, patience=0.05)
    second = asyncio.ensure_future(lookup.get(key(1)))
    await store.asked_about(2)
    assert not first.done()
    store.open.set()
    assert [*await asyncio.gather(first, second)] == [b"value of " + key(0), b"value of " + key(1)]


@pytest.mark.gen_test
async def test_who_waits_for_the_next_trip_is_told_when_the_look_up_is_closed() -> None:
    store = Store()
    lookup, first = await one_under_way(store, patience=30.0)
    second = asyncio.ensure_future(lookup.get(key(1)))
    await asyncio.sleep(0)
    await lookup.close()
    assert {type(each) for each in await asyncio.gather(first, second, return_exceptions=True)} == {SessionsAway}


@pytest.mark.gen_test
async def test_a_trip_that_fails_lets_the_next_leave() -> None:
    go = asyncio.Event()

    async def ask(keys: list[bytes]) -> list[bytes]:
        await go.wait()
        if keys == [key(0)]:
            raise StoreFull
        return keys

    lookup = SharedLookup(ask, patience=30.0)
    first = asyncio.ensure_future(lookup.get(key(0)))
    for _ in range(3):
        await asyncio.sleep(0)  # it is under way
    second = asyncio.ensure_future(lookup.get(key(1)))
    await asyncio.sleep(0)
    go.set()
    with pytest.raises(StoreFull):
        await first
    assert await second == key(1)
