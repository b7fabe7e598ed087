"""The session promise on a Redis Cluster: the sentences of every engine, and what only buckets can do to them."""

import asyncio
import hashlib

import pytest
from clusters import SixNodes
from engines import APPID, DAY, House, everybody_out, fate, found, holds, live_ids, now, opened, opening, person, second
from test_sessions_promise import (
    TestBeforeALogin,
    TestChangedPeople,
    TestEnding,
    TestEverybodyOut,
    TestFinding,
    TestHolding,
    TestLists,
    TestTheLimit,
    TestUse,
)

from stores.sessions import session_id
from stores.users import User

pytest_plugins = ["store_fixtures"]
__all__ = [
    "TestBeforeALogin",
    "TestChangedPeople",
    "TestEnding",
    "TestEverybodyOut",
    "TestFinding",
    "TestHolding",
    "TestLists",
    "TestTheLimit",
    "TestUse",
]


@pytest.fixture
def house(cluster_house: House) -> House:
    """Stands before the fixture of all engines."""
    return cluster_house


def id_for(house: House, user: User) -> bytes:
    """The id of a token made for this person."""
    made = session_id(house.sessions.new_token(user.id))
    assert made is not None
    return made


def keys(six_nodes: SixNodes) -> list[bytes]:
    """Every key of every master."""
    found: list[bytes] = []
    for each in six_nodes.masters:
        with each.client() as client:
            found += client.scan_iter(count=1_000)
    return found


def values(six_nodes: SixNodes) -> list[bytes]:
    """What stands under the keys of sessions."""
    found: list[bytes] = []
    for each in six_nodes.masters:
        with each.client() as client:
            found += [client.get(key) or b"" for key in client.scan_iter(match="{menshen:??}s*", count=1_000)]
    return found


class TestBuckets:
    @pytest.mark.gen_test
    async def test_a_token_is_made_for_its_person_and_needs_no_signpost(
        self, house: House, six_nodes: SixNodes
    ) -> None:
        people = [await person(house) for _ in range(20)]
        ids = [id_for(house, each) for each in people]
        for who, session in zip(people, ids, strict=True):
            await house.sessions.open(opening(who, id=session), now())
        assert all([(await found(house, each)).id == each for each in ids])
        assert len(values(six_nodes)) == 20
        assert len({session[0] for session in ids}) > 5, "people lie apart"

    @pytest.mark.gen_test
    async def test_tokens_of_one_person_share_a_byte_of_their_hash_and_nothing_else(self, house: House) -> None:
        mei = await person(house)
        tokens = [house.sessions.new_token(mei.id) for _ in range(200)]
        hashes = [hashlib.sha256(each.encode()).digest() for each in tokens]
        assert len({each[0] for each in hashes}) == 1
        assert len({each[1] for each in hashes}) > 80
        assert len({each[:20] for each in tokens}) == 200

    @pytest.mark.gen_test
    async def test_a_session_of_another_bucket_is_found_by_its_signpost_and_ends_there(
        self, house: House, six_nodes: SixNodes
    ) -> None:
        mei = await person(house)
        sessions = [await opened(house, mei) for _ in range(10)]
        assert {len(each) for each in values(six_nodes)} >= {2}, "the test's own set-up: there are signposts"
        assert all([await holds(house, each) for each in sessions])
        assert set(await live_ids(house, mei)) == set(sessions)
        await house.sessions.end(sessions[:5], "revoked", now(), undo_by="operator:mei")
        assert [await fate(house, each) for each in sessions[:5]] == ["revoked"] * 5
        returned = await house.sessions.restore(sessions[:5], "operator:mei", now())
        assert {each.id for each in returned} == set(sessions[:5])
        assert all([await holds(house, each) for each in sessions])

    @pytest.mark.gen_test
    async def test_sessions_that_were_taken_over_hold_with_the_token_they_have(
        self, house: House, six_nodes: SixNodes
    ) -> None:
        people = [await person(house) for _ in range(30)]
        moved = [opening(each).in_epoch(0) for each in people]
        await house.sessions.adopt(moved, now())
        assert [await found(house, each.id) for each in moved] == moved
        assert await house.sessions.count(APPID, now()) == 30

    @pytest.mark.gen_test
    async def test_everybody_is_out_of_every_bucket_when_the_call_returns(self, house: House) -> None:
        other = await second(house)
        people = [await person(house) for _ in range(60)]
        sessions = [id_for(house, each) for each in people]
        for who, session in zip(people, sessions, strict=True):
            await house.sessions.open(opening(who, id=session), now())
        await everybody_out(house)
        assert [await fate(other, each) for each in sessions] == ["revoked"] * 60
        assert await other.sessions.count(APPID, now()) == 0

    @pytest.mark.gen_test
    async def test_all_keys_of_a_bucket_share_its_tag(self, house: House, six_nodes: SixNodes) -> None:
        mei = await person(house)
        await house.sessions.open(opening(mei, id=id_for(house, mei)), now())
        await house.sessions.admit(b"c" * 32, "t")
        assert all(key.startswith(b"{menshen:") and key[11:12] == b"}" for key in keys(six_nodes))


class TestForgetting:
    @pytest.mark.gen_test
    async def test_what_ended_more_than_a_day_ago_and_what_an_epoch_ended_is_swept_out_of_all_buckets(
        self, house: House, six_nodes: SixNodes
    ) -> None:
        people = [await person(house) for _ in range(20)]
        for who in people:
            await house.sessions.open(opening(who, id=id_for(house, who)), now())
        await everybody_out(house)
        for who in people[:10]:
            await house.sessions.open(opening(who, id=id_for(house, who), expires_at=now() + 1), now())
        await asyncio.sleep(1.1)
        swept = 0
        while n := await house.sessions.sweep(now() + DAY + 60):
            swept += n
        assert swept == 30
        assert not [key for key in keys(six_nodes) if key[12:13] in b"ao"]
