"""What was ended by mistake can be brought back for a minute, by whoever ended it, and by nobody past a block."""

from collections.abc import Awaitable, Callable

import pytest
from engines import (
    APPID,
    OTHER_APPID,
    House,
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
from undoing import LAN, MEI, block, end, erase, everybody, kept_keys, put_out, restore

from stores.sessions import UNDO_SECONDS, Session
from stores.sessions.packed import HANDLE_BYTES
from stores.users import User

pytest_plugins = ["store_fixtures"]


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


def _as_session(new: object) -> Session:
    names = ("id", "user_id", "appid", "created_at", "ends_at", "expires_at", "sealed_key")
    return Session(epoch=0, **{name: getattr(new, name) for name in names})
