"""The session promise, sentence by sentence, on every engine that gives it."""

import hashlib

import pytest
from engines import (
    APPID,
    OTHER_APPID,
    WEEK,
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
    some_id,
)

from stores.sessions import (
    ERASED,
    Opening,
    PersonChanged,
    Reason,
    Session,
    SessionGone,
    TooManySessions,
    new_token,
    session_id,
)
from stores.sessions.packed import HANDLE_BYTES

pytest_plugins = ["store_fixtures"]


def as_session(new: Opening, epoch: int = 0) -> Session:
    """The session that an opening should have become."""
    return Session(new.id, new.user_id, new.appid, epoch, new.created_at, new.ends_at, new.expires_at, new.sealed_key)


class TestTokens:
    pytestmark = pytest.mark.quick

    def test_a_token_has_256_bits_and_our_prefix(self) -> None:
        tokens = {new_token() for _ in range(1_000)}
        assert len(tokens) == 1_000
        assert all(token.startswith("mps_") and len(token) == 47 for token in tokens)

    def test_a_session_is_kept_under_the_sha_256_of_its_token(self) -> None:
        token = new_token()
        assert session_id(token) == hashlib.sha256(token.encode()).digest()

    @pytest.mark.parametrize(
        "wrong",
        ["", "mps_", "x" * 47, "mps_" + "a" * 42, "mps_" + "a" * 44, "mps_" + "a" * 43 + "\n", "mps_" + "é" * 43],
    )
    def test_what_no_token_of_ours_looks_like_has_no_id(self, wrong: str) -> None:
        assert session_id(wrong) is None

    def test_a_session_does_not_print_its_sealed_key(self) -> None:
        new = Opening(b"i" * 32, 1, APPID, 1, 2, 2, b"sealed-canary", 0, 0, "oldest")
        assert "canary" not in repr(new)
        assert "canary" not in repr(as_session(new))


class TestFinding:
    @pytest.mark.gen_test
    async def test_a_session_is_found_as_it_was_opened(self, house: House) -> None:
        new = opening(await person(house))
        assert (await house.sessions.open(new, now())).replaced == []
        assert await found(house, new.id) == as_session(new)

    @pytest.mark.gen_test
    async def test_another_process_finds_it_too(self, house: House) -> None:
        new = opening(await person(house))
        await house.sessions.open(new, now())
        assert await found(await second(house), new.id) == as_session(new)

    @pytest.mark.gen_test
    async def test_a_token_that_was_never_issued_has_no_reason(self, house: House) -> None:
        assert await fate(house, some_id()) is None

    @pytest.mark.gen_test
    async def test_an_id_that_begins_like_a_sessions_opens_nothing(self, house: House) -> None:
        session = await opened(house, await person(house))
        near = session[:HANDLE_BYTES] + some_id()[HANDLE_BYTES:]
        with pytest.raises(SessionGone):
            await found(house, near)
        assert await house.sessions.end([near], "revoked", now()) == []
        assert await holds(house, session)

    @pytest.mark.gen_test
    async def test_past_its_last_moment_a_session_is_expired(self, house: House) -> None:
        at = now()
        session = await opened(house, await person(house), created_at=at - 100, ends_at=at - 1, expires_at=at - 1)
        assert await fate(house, session) == "expired"

    @pytest.mark.gen_test
    async def test_an_idle_session_is_expired_before_its_last_moment(self, house: House) -> None:
        session = await opened(house, await person(house), expires_at=now() - 1)
        assert await fate(house, session) == "expired"

    @pytest.mark.gen_test
    async def test_a_session_holds_until_the_second_of_its_end_and_not_in_it(self, house: House) -> None:
        new = opening(await person(house))
        await house.sessions.open(new, now())
        assert (await house.sessions.find(new.id, new.ends_at - 1)).id == new.id
        with pytest.raises(SessionGone) as gone:
            await house.sessions.find(new.id, new.ends_at)
        assert gone.value.reason == "expired"


class TestEnding:
    @pytest.mark.gen_test
    @pytest.mark.parametrize("reason", ["logged_out", "replaced", "revoked", "blocked"])
    async def test_an_ended_session_is_gone_everywhere_and_says_why(self, house: House, reason: Reason) -> None:
        mei = await person(house)
        new = opening(mei)
        elsewhere = await second(house)
        await house.sessions.open(new, now())
        assert await holds(elsewhere, new.id)
        assert await house.sessions.end([new.id], reason, now()) == [as_session(new)]
        for each in (house, elsewhere):
            assert await fate(each, new.id) == reason
            assert await live_ids(each, mei) == []
            assert await each.sessions.count(APPID, now()) == 0

    @pytest.mark.gen_test
    async def test_the_first_cause_stays(self, house: House) -> None:
        session = await opened(house, await person(house))
        await house.sessions.end([session], "logged_out", now())
        assert await house.sessions.end([session], "revoked", now()) == []
        assert await fate(house, session) == "logged_out"

    @pytest.mark.gen_test
    async def test_ids_of_nothing_and_the_same_id_twice_are_passed_over(self, house: House) -> None:
        session = await opened(house, await person(house))
        ended = await house.sessions.end([some_id(), session, session, some_id()], "revoked", now())
        assert [each.id for each in ended] == [session]
        assert await house.sessions.end([], "revoked", now()) == []

    @pytest.mark.gen_test
    async def test_a_session_that_had_expired_is_not_counted_as_ended(self, house: House) -> None:
        session = await opened(house, await person(house), expires_at=now() - 1)
        assert await house.sessions.end([session], "revoked", now()) == []
        assert await fate(house, session) == "expired"

    @pytest.mark.gen_test
    async def test_a_session_of_an_older_epoch_is_not_counted_as_ended(self, house: House) -> None:
        session = await opened(house, await person(house))
        await everybody_out(house)
        assert await house.sessions.end([session], "logged_out", now()) == []
        assert not await holds(house, session)

    @pytest.mark.gen_test
    async def test_somebody_elses_session_goes_on(self, house: House) -> None:
        mei, lan = await person(house), await person(house)
        ended, other = await opened(house, mei), await opened(house, lan)
        await house.sessions.end([ended], "revoked", now())
        assert await holds(house, other)
        assert await live_ids(house, lan) == [other]

    @pytest.mark.gen_test
    async def test_a_thousand_sessions_of_one_person_end_in_one_call(self, house: House) -> None:
        mei = await person(house)
        ids = await opened_many(house, mei, 1_000)
        assert await house.sessions.count(APPID, now()) == 1_000
        ended = await house.sessions.end(await live_ids(house, mei), "revoked", now())
        assert {each.id for each in ended} == set(ids)
        assert await live_ids(house, mei) == []
        assert await fate(house, ids[0]) == await fate(house, ids[-1]) == "revoked"

    @pytest.mark.gen_test
    async def test_a_person_of_any_number_of_sessions_is_put_out_some_at_a_time(self, house: House) -> None:
        mei, lan = await person(house), await person(house)
        ids, hers = await opened_many(house, mei, 700), await opened(house, lan)
        await opened(house, mei, expires_at=now() - 1)
        ended = set()
        while (some := await house.sessions.end_some(mei.id, APPID, "blocked", now())) is not None:
            assert len(some) < 700
            ended |= {each.id for each in some}
        assert ended == set(ids)
        assert await fate(house, ids[0]) == await fate(house, ids[-1]) == "blocked"
        assert await holds(house, hers)

    @pytest.mark.gen_test
    async def test_the_session_that_is_logged_in_over_ends_and_does_not_count(self, house: House) -> None:
        mei = await person(house)
        phone, tablet = [await opened(house, mei) for _ in range(2)]
        new = opening(mei, limit=2, overflow="refuse", replaces=phone)
        assert (await house.sessions.open(new, now())).replaced == [phone]
        assert await fate(house, phone) == "replaced"
        assert await holds(house, tablet)
        assert await holds(house, new.id)

    @pytest.mark.gen_test
    async def test_a_session_that_had_ended_is_not_replaced(self, house: House) -> None:
        mei = await person(house)
        old = await opened(house, mei)
        await house.sessions.end([old], "logged_out", now())
        assert (await house.sessions.open(opening(mei, replaces=old), now())).replaced == []
        assert await fate(house, old) == "logged_out"


class TestLists:
    @pytest.mark.gen_test
    async def test_a_persons_sessions_are_listed_the_one_that_ends_last_at_the_top(self, house: House) -> None:
        mei, at = await person(house), now()
        await opened(house, await person(house))
        late, soon, later = [await opened(house, mei, expires_at=at + n) for n in (3_000, 1_000, 4_000)]
        await opened(house, mei, expires_at=at - 1)
        live = await house.sessions.live(mei.id, APPID, at)
        assert [each.id for each in live] == [later, late, soon]
        assert [each.expires_at - at for each in live] == [4_000, 3_000, 1_000]
        assert [each.id for each in await house.sessions.live(mei.id, APPID, at, 2)] == [later, late]

    @pytest.mark.gen_test
    async def test_each_mini_program_is_counted_by_itself(self, house: House) -> None:
        for appid, number in ((APPID, 3), (OTHER_APPID, 2)):
            for _ in range(number):
                await opened(house, await person(house, appid))
        await opened(house, await person(house), expires_at=now() - 10)
        assert await house.sessions.count(APPID, now()) == 3
        assert await house.sessions.count(OTHER_APPID, now()) == 2

    @pytest.mark.gen_test
    async def test_nobody_has_no_sessions(self, house: House) -> None:
        assert await house.sessions.live(4_711, APPID, now()) == []
        assert await house.sessions.count(APPID, now()) == 0


class TestEverybodyOut:
    @pytest.mark.gen_test
    async def test_one_number_ends_every_session_of_a_mini_program_and_of_no_other(self, house: House) -> None:
        mei, lan = await person(house), await person(house, OTHER_APPID)
        mine, hers = await opened(house, mei), await opened(house, lan)
        elsewhere = await second(house)
        await everybody_out(house)
        for each in (house, elsewhere):
            assert await fate(each, mine) == "revoked"
            assert await live_ids(each, mei) == []
            assert await each.sessions.count(APPID, now()) == 0
            assert await holds(each, hers)
            assert await each.sessions.count(OTHER_APPID, now()) == 1

    @pytest.mark.gen_test
    async def test_who_logs_in_afterwards_is_in(self, house: House) -> None:
        mei = await person(house)
        elsewhere = await second(house)
        await everybody_out(house)
        for each in (house, elsewhere):
            session = await opened(each, mei)
            assert (await found(house, session)).epoch == 1
        assert len(await live_ids(house, mei)) == 2

    @pytest.mark.gen_test
    async def test_the_dead_do_not_count_against_the_limit(self, house: House) -> None:
        mei = await person(house)
        await opened(house, mei, limit=1)
        await everybody_out(house)
        session = await opened(house, mei, limit=1, overflow="refuse")
        assert await live_ids(house, mei) == [session]

    @pytest.mark.gen_test
    async def test_an_epoch_never_goes_back(self, house: House) -> None:
        session = await opened(house, await person(house))
        await everybody_out(house)
        await everybody_out(house)
        await house.sessions.set_epochs({APPID: 0})
        assert await fate(house, session) == "revoked"
        assert (await found(house, await opened(house, await person(house)))).epoch == 2


class TestTheLimit:
    @pytest.mark.gen_test
    async def test_the_oldest_makes_room(self, house: House) -> None:
        mei, at = await person(house), now()
        first, middle = [await opened(house, mei, expires_at=at + WEEK - n) for n in (20, 10)]
        new = opening(mei, limit=2)
        assert (await house.sessions.open(new, at)).replaced == [first]
        assert await fate(house, first) == "replaced"
        assert await live_ids(house, mei) == [middle, new.id]

    @pytest.mark.gen_test
    async def test_sessions_of_one_second_are_replaced_in_the_order_they_came(self, house: House) -> None:
        mei, at = await person(house), now()
        times = {"created_at": at, "ends_at": at + WEEK, "expires_at": at + WEEK}
        for _ in range(6):
            last = await opened(house, mei, limit=1, **times)
            assert await live_ids(house, mei) == [last]

    @pytest.mark.gen_test
    async def test_a_lowered_limit_ends_as_many_as_are_too_many(self, house: House) -> None:
        mei, at = await person(house), now()
        old = [await opened(house, mei, expires_at=at + 1_000 + n) for n in range(5)]
        new = opening(mei, limit=2)
        assert set((await house.sessions.open(new, at)).replaced) == set(old[:4])
        assert await live_ids(house, mei) == [old[4], new.id]

    @pytest.mark.gen_test
    async def test_a_login_never_replaces_itself_when_sessions_became_shorter(self, house: House) -> None:
        mei, at = await person(house), now()
        long = await opened(house, mei, limit=1)
        short = opening(mei, limit=1, ends_at=at + 3_600, expires_at=at + 3_600)
        assert (await house.sessions.open(short, at)).replaced == [long]
        assert await holds(house, short.id)
        assert await fate(house, long) == "replaced"

    @pytest.mark.gen_test
    async def test_where_overflow_is_refused_the_old_ones_stay(self, house: House) -> None:
        mei = await person(house)
        old = {await opened(house, mei, limit=2, overflow="refuse") for _ in range(2)}
        new = opening(mei, limit=2, overflow="refuse")
        with pytest.raises(TooManySessions):
            await house.sessions.open(new, now())
        assert set(await live_ids(house, mei)) == old
        assert await fate(house, new.id) is None
        assert await house.sessions.count(APPID, now()) == 2


class TestChangedPeople:
    @pytest.mark.gen_test
    async def test_a_login_that_began_before_a_block_opens_nothing(self, house: House) -> None:
        before = await person(house)
        blocked = await house.users.block(before.id, reason="spam", until=None)
        await house.sessions.bar(blocked.id, blocked.generation)
        new = opening(before)
        with pytest.raises(PersonChanged):
            await house.sessions.open(new, now())
        assert await live_ids(house, before) == []
        assert await house.sessions.count(APPID, now()) == 0
        assert await fate(house, new.id) is None

    @pytest.mark.gen_test
    async def test_who_was_let_in_again_can_open_one(self, house: House) -> None:
        mei = await person(house)
        blocked = await house.users.block(mei.id, reason="spam", until=None)
        await house.sessions.bar(blocked.id, blocked.generation)
        again = await house.users.unblock(mei.id)
        assert await holds(house, await opened(house, again))

    @pytest.mark.gen_test
    async def test_a_login_that_began_before_an_erasure_opens_nothing(self, house: House) -> None:
        mei = await person(house)
        await house.users.erase(mei.id, mark=b"m" * 32, now=now())
        await house.sessions.bar(mei.id, ERASED)
        with pytest.raises(PersonChanged):
            await opened(house, mei)

    @pytest.mark.gen_test
    async def test_an_older_bar_does_not_lower_a_newer_one(self, house: House) -> None:
        mei = await person(house)
        await house.users.erase(mei.id, mark=b"m" * 32, now=now())
        await house.sessions.bar(mei.id, ERASED)
        await house.sessions.bar(mei.id, 1)
        with pytest.raises(PersonChanged):
            await opened(house, mei, generation=1)


class TestUse:
    @pytest.mark.gen_test
    async def test_use_pushes_the_end_back_and_never_forward(self, house: House) -> None:
        mei, at = await person(house), now()
        new = opening(mei, expires_at=at + 1_000)
        await house.sessions.open(new, at)
        for until, expected in ((at + 5_000, 5_000), (at + 2_000, 5_000)):
            await house.sessions.touch({as_session(new): until}, at)
            [live] = await house.sessions.live(mei.id, APPID, at)
            assert live.expires_at - at == expected
        assert (await found(house, new.id)).sealed_key == new.sealed_key

    @pytest.mark.gen_test
    async def test_a_session_in_use_is_not_the_one_that_makes_room(self, house: House) -> None:
        mei, at = await person(house), now()
        used, idle = [opening(mei, expires_at=at + 1_000 + n) for n in range(2)]
        for each in (used, idle):
            await house.sessions.open(each, at)
        await house.sessions.touch({as_session(used): at + 3_000}, at)
        assert (await house.sessions.open(opening(mei, limit=2), at)).replaced == [idle.id]

    @pytest.mark.gen_test
    async def test_a_touch_does_not_revive_an_ended_session(self, house: House) -> None:
        mei = await person(house)
        new = opening(mei)
        await house.sessions.open(new, now())
        await house.sessions.end([new.id], "revoked", now())
        await house.sessions.touch({as_session(new): now() + 2 * WEEK}, now())
        assert await fate(house, new.id) == "revoked"
        assert await live_ids(house, mei) == []
        assert await house.sessions.count(APPID, now()) == 0

    @pytest.mark.gen_test
    async def test_a_touch_does_not_revive_an_expired_session(self, house: House) -> None:
        mei = await person(house)
        new = opening(mei, expires_at=now() - 1)
        await house.sessions.open(new, now())
        await house.sessions.touch({as_session(new): now() + WEEK}, now())
        assert not await holds(house, new.id)
        assert await live_ids(house, mei) == []


class TestBeforeALogin:
    @pytest.mark.gen_test
    async def test_a_code_is_claimed_once(self, house: House) -> None:
        code = some_id()
        assert (await house.sessions.admit(code, "login:192.0.2.1:1")).claimed
        assert not (await house.sessions.admit(code, "login:192.0.2.1:1")).claimed
        assert not (await (await second(house)).sessions.admit(code, "login:192.0.2.1:1")).claimed

    @pytest.mark.gen_test
    async def test_a_code_that_was_given_back_can_be_claimed_again(self, house: House) -> None:
        code = some_id()
        await house.sessions.admit(code, "t")
        await house.sessions.give_back(code)
        assert (await house.sessions.admit(code, "t")).claimed

    @pytest.mark.gen_test
    async def test_each_tally_counts_by_itself_and_over_all_processes(self, house: House) -> None:
        elsewhere = await second(house)
        assert (await house.sessions.admit(some_id(), "a")).tally == 1
        assert (await elsewhere.sessions.admit(some_id(), "a")).tally == 2
        assert await elsewhere.sessions.add_tallies({"a": 5, "b": 3}) == {"a": 7, "b": 3}
        assert await house.sessions.add_tallies({"b": 1}) == {"b": 4}
        assert await house.sessions.add_tallies({}) == {}

    @pytest.mark.gen_test
    async def test_a_store_that_is_well_answers_and_advises_in_sentences(self, house: House) -> None:
        await house.sessions.ping()
        assert all(isinstance(sentence, str) and sentence for sentence in await house.sessions.advice())


class TestHolding:
    @pytest.mark.gen_test
    async def test_it_is_what_a_look_up_of_each_would_find(self, house: House) -> None:
        mei, han = await person(house), await person(house, OTHER_APPID)
        kept, ended, others = await opened(house, mei), await opened(house, mei), await opened(house, han)
        over = await opened(house, mei, expires_at=now() + 1, ends_at=now() + 1)
        await house.sessions.end([ended], "revoked", now())
        asked = [kept, ended, others, over, some_id(), kept]
        held = await house.sessions.holding(asked, now() + 2)
        assert held == {each: await found(house, each) for each in (kept, others)}
        assert await house.sessions.holding([], now()) == {}

    @pytest.mark.gen_test
    async def test_everybody_out_leaves_none(self, house: House) -> None:
        mei, han = await person(house), await person(house, OTHER_APPID)
        mine, theirs = await opened(house, mei), await opened(house, han)
        await everybody_out(house)
        assert list(await house.sessions.holding([mine, theirs], now())) == [theirs]

    @pytest.mark.gen_test
    async def test_many_are_asked_for_at_once(self, house: House) -> None:
        ids = await opened_many(house, await person(house), 450)
        assert set(await house.sessions.holding([*ids, *(some_id() for _ in range(150))], now())) == set(ids)

    @pytest.mark.gen_test
    async def test_a_session_is_told_the_epoch_in_which_it_began(self, house: House) -> None:
        mei = await person(house)
        before = (await house.sessions.open(opening(mei), now())).session
        await everybody_out(house)
        after = (await house.sessions.open(opening(mei), now())).session
        assert after.epoch == before.epoch + 1
        assert await found(house, after.id) == after
