"""Operators in the store: sessions that end, links that are used once, an admin who stays, guessers who wait."""

import asyncio
import secrets
from pathlib import Path

import pytest
from engines import now
from msgspec.structs import replace

from stores.attempts import Attempts, Counter, MustWait
from stores.audit import Audit, Entry
from stores.db import Database
from stores.operators import (
    DEVICE_SECONDS,
    IDLE_SECONDS,
    LONGEST_SECONDS,
    Arrival,
    LastAdmin,
    LinkGone,
    NameTaken,
    NoSuchOperator,
    Operator,
    Operators,
    SignedOut,
)

pytest_plugins = ["store_fixtures"]

HASH = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$aGFzaA"
AT = now()


@pytest.fixture
def audit(database: Database, tmp_path: Path) -> Audit:
    return Audit(database, tmp_path)


@pytest.fixture
def operators(database: Database, audit: Audit) -> Operators:
    return Operators(database, audit)


@pytest.fixture
def attempts(database: Database) -> Attempts:
    return Attempts(database)


def entry(deed: str = "operator.add", at: int = AT) -> Entry:
    return Entry(0, at, "shell:root", None, None, deed, "done")


def some_id() -> bytes:
    return secrets.token_bytes(32)


async def admin(operators: Operators, name: str, **changed: object) -> Operator:
    return await operators.add(name, "admin", None, entry(), password=HASH)


async def arrive(operators: Operators, operator: Operator, at: int = AT, browser: bytes | None = None) -> bytes:
    session = some_id()
    await operators.open(operator, Arrival(session, "192.0.2.1", "Firefox", browser), entry("operator.signin", at))
    return session


async def is_in(operators: Operators, session: bytes, at: int = AT) -> bool:
    try:
        await operators.session(session, at)
    except SignedOut:
        return False
    return True


class TestOperators:
    @pytest.mark.gen_test
    async def test_one_is_kept_as_he_was_added(self, operators: Operators) -> None:
        mei = await operators.add("mei", "operator", ["wx2", "wx1"], entry(), password=HASH)
        assert mei == await operators.find_name("mei") == await operators.find(mei.id)
        assert (mei.role, mei.appids, mei.state) == ("operator", frozenset({"wx1", "wx2"}), "active")
        assert (mei.has_password, mei.has_totp) == (True, False)
        nobody_s = await operators.add("li", "viewer", [], entry())
        assert nobody_s.appids == frozenset()
        assert not nobody_s.has_password
        assert [each.name for each in await operators.all()] == ["li", "mei"]

    @pytest.mark.gen_test
    async def test_of_many_who_add_one_name_at_once_one_succeeds(self, operators: Operators) -> None:
        done = await asyncio.gather(*(admin(operators, "mei") for _ in range(8)), return_exceptions=True)
        assert sum(isinstance(each, Operator) for each in done) == 1
        assert sum(isinstance(each, NameTaken) for each in done) == 7

    @pytest.mark.gen_test
    async def test_a_deed_that_was_not_done_leaves_no_row_and_one_that_was_leaves_one(
        self, operators: Operators, audit: Audit, tmp_path: Path
    ) -> None:
        await admin(operators, "mei")
        with pytest.raises(NameTaken):
            await admin(operators, "mei")
        with pytest.raises(NoSuchOperator):
            await operators.disable("nobody", entry("operator.disable"))
        assert [row.deed for row in await audit.newest(10)] == ["operator.add"]
        assert await audit.verify() == 1
        assert (tmp_path / "audit.log").read_text().count("\n") == 1

    @pytest.mark.gen_test
    async def test_the_last_admin_who_can_sign_in_stays_one(self, operators: Operators) -> None:
        await admin(operators, "mei")
        await operators.add("guest", "admin", None, entry())  # without a password yet
        await operators.add("shop", "admin", ["wx1"], entry(), password=HASH)  # not of everything
        for attempt in (
            operators.disable("mei", entry()),
            operators.change_role("mei", "operator", None, entry()),
            operators.change_role("mei", "admin", ["wx1"], entry()),
        ):
            with pytest.raises(LastAdmin):
                await attempt
        await admin(operators, "li")
        assert (await operators.disable("mei", entry())).state == "disabled"
        with pytest.raises(LastAdmin):
            await operators.disable("li", entry())

    @pytest.mark.gen_test
    async def test_of_two_last_admins_who_remove_each_other_at_once_one_stays(self, operators: Operators) -> None:
        await admin(operators, "boss")
        boss = "boss"
        for n in range(15):
            rival = f"rival{n}"
            await admin(operators, rival)
            done = await asyncio.gather(
                operators.disable(boss, entry()),
                operators.change_role(rival, "viewer", None, entry()),
                return_exceptions=True,
            )
            assert sum(isinstance(each, LastAdmin) for each in done) == 1, done
            assert sum(isinstance(each, Operator) for each in done) == 1, done
            boss = boss if isinstance(done[0], LastAdmin) else rival


class TestSessions:
    @pytest.mark.gen_test
    async def test_one_ends_after_half_an_hour_without_use_and_after_twelve_hours_with_it(
        self, operators: Operators
    ) -> None:
        mei = await admin(operators, "mei")
        session = await arrive(operators, mei)
        assert await is_in(operators, session, AT + IDLE_SECONDS - 1)
        assert not await is_in(operators, session, AT + IDLE_SECONDS)
        at = AT
        while at + 1_700 < AT + LONGEST_SECONDS:
            at += 1_700
            found, _ = await operators.session(session, at)
            await operators.touch(found, at)
        assert not await is_in(operators, session, AT + LONGEST_SECONDS)

    @pytest.mark.gen_test
    async def test_use_is_noted_at_most_once_a_minute(self, operators: Operators) -> None:
        mei = await admin(operators, "mei")
        session = await arrive(operators, mei)
        found, _ = await operators.session(session, AT)
        await operators.touch(found, AT + 59)
        assert (await operators.session(session, AT))[0].seen_at == AT
        await operators.touch(found, AT + 60)
        found, mei = await operators.session(session, AT + 60)
        assert found.seen_at == mei.seen_at == AT + 60

    @pytest.mark.gen_test
    async def test_who_is_disabled_or_reset_is_out_everywhere(self, operators: Operators) -> None:
        await admin(operators, "boss")
        mei, li = await admin(operators, "mei"), await admin(operators, "li")
        sessions = [await arrive(operators, each) for each in (mei, mei, li)]
        await operators.disable("mei", entry())
        assert [await is_in(operators, each) for each in sessions] == [False, False, True]
        with pytest.raises(SignedOut):
            await arrive(operators, mei)
        browser = some_id()
        await arrive(operators, li, browser=browser)
        assert await operators.knows(li.id, browser, AT)
        await operators.reset("li", (some_id(), AT + 60), entry())
        assert not await is_in(operators, sessions[2])
        assert not await operators.knows(li.id, browser, AT)
        assert not (await operators.find(li.id)).has_password

    @pytest.mark.gen_test
    async def test_a_role_is_what_it_is_at_the_next_look(self, operators: Operators) -> None:
        await admin(operators, "boss")
        mei = await admin(operators, "mei")
        session = await arrive(operators, mei)
        await operators.change_role("mei", "viewer", ["wx1"], entry())
        _, now_mei = await operators.session(session, AT)
        assert (now_mei.role, now_mei.appids) == ("viewer", frozenset({"wx1"}))
        assert now_mei.may("viewer")
        assert not now_mei.may("operator")

    @pytest.mark.gen_test
    async def test_a_new_sign_in_ends_the_session_it_takes_the_place_of(self, operators: Operators) -> None:
        mei, li = await admin(operators, "mei"), await admin(operators, "li")
        old = await arrive(operators, mei)
        found, _ = await operators.session(old, AT)
        await operators.open(li, Arrival(some_id(), None, None, ends=found), entry())
        assert not await is_in(operators, old)

    @pytest.mark.gen_test
    async def test_nobody_ends_another_one_s_session(self, operators: Operators) -> None:
        mei, li = await admin(operators, "mei"), await admin(operators, "li")
        session = await arrive(operators, mei)
        assert not await operators.end(session, li.id, entry("operator.signout"))
        assert await is_in(operators, session)
        assert await operators.end(session, mei.id, entry("operator.signout"))
        assert not await operators.end(session, mei.id, entry("operator.signout"))

    @pytest.mark.gen_test
    async def test_a_new_password_ends_all_but_one(self, operators: Operators) -> None:
        mei = await admin(operators, "mei")
        keep, other = await arrive(operators, mei), await arrive(operators, mei)
        await operators.set_password(mei, HASH + "x", keep, entry("operator.password"))
        assert await is_in(operators, keep)
        assert not await is_in(operators, other)
        await operators.rehash(mei, HASH, HASH + "old")  # of somebody who was slower
        assert (await operators.proofs(mei.id)).password == HASH + "x"

    @pytest.mark.gen_test
    async def test_a_browser_is_known_for_ninety_days_and_to_its_operator_alone(self, operators: Operators) -> None:
        mei, li = await admin(operators, "mei"), await admin(operators, "li")
        browser = some_id()
        await arrive(operators, mei, browser=browser)
        assert await operators.knows(mei.id, browser, AT + DEVICE_SECONDS - 1)
        assert not await operators.knows(mei.id, browser, AT + DEVICE_SECONDS)
        assert not await operators.knows(li.id, browser, AT)

    @pytest.mark.gen_test
    async def test_what_the_next_page_says_is_said_once(self, operators: Operators) -> None:
        mei = await admin(operators, "mei")
        session = await arrive(operators, mei)
        await operators.set_flash(session, "one")
        await operators.clear_flash(session, "older")
        assert (await operators.session(session, AT))[0].flash == "one"
        await operators.clear_flash(session, "one")
        assert (await operators.session(session, AT))[0].flash is None

    @pytest.mark.gen_test
    async def test_the_sweep_takes_what_is_over_and_nothing_else(
        self, operators: Operators, attempts: Attempts
    ) -> None:
        mei = await admin(operators, "mei")
        old, live, browser = (
            await arrive(operators, mei),
            await arrive(operators, mei, AT + 1_000, b"b" * 32),
            b"b" * 32,
        )
        await operators.offer_first(some_id(), AT)
        await operators.sweep(AT + IDLE_SECONDS + 1)
        assert [each.id for each in await operators.sessions(mei.id, AT)] == [live]
        assert old != live
        assert await operators.knows(mei.id, browser, AT)
        await operators.sweep(AT + 1_000 + DEVICE_SECONDS + 1)
        assert not await operators.knows(mei.id, browser, AT + 1_000)


class TestLinks:
    @pytest.mark.gen_test
    async def test_of_many_who_use_one_at_once_one_succeeds(self, operators: Operators) -> None:
        link = some_id()
        mei = await operators.add("mei", "viewer", None, entry(), link=(link, AT + 60))

        async def use() -> None:
            await operators.set_up(link, mei, HASH, Arrival(some_id(), None, None), entry("operator.password"))

        done = await asyncio.gather(*(use() for _ in range(8)), return_exceptions=True)
        assert sum(each is None for each in done) == 1
        assert sum(isinstance(each, LinkGone) for each in done) == 7
        assert (await operators.find_name("mei")).has_password
        assert len(await operators.sessions(mei.id, AT)) == 1

    @pytest.mark.gen_test
    async def test_one_holds_until_its_end_and_looking_does_not_use_it(self, operators: Operators) -> None:
        link = some_id()
        mei = await operators.add("mei", "viewer", None, entry(), link=(link, AT + 60))
        assert await operators.link_of(link, AT + 59) == mei
        with pytest.raises(LinkGone):
            await operators.link_of(link, AT + 60)
        with pytest.raises(LinkGone):
            await operators.set_up(link, mei, HASH, Arrival(some_id(), None, None), entry(at=AT + 60))

    @pytest.mark.gen_test
    async def test_the_first_operator_s_is_one_and_only_while_there_is_nobody(self, operators: Operators) -> None:
        older, newer = some_id(), some_id()
        assert await operators.offer_first(older, AT + 60)
        assert await operators.offer_first(newer, AT + 60)
        with pytest.raises(LinkGone):
            await operators.link_of(older, AT)
        assert await operators.link_of(newer, AT) is None
        await operators.add("mei", "viewer", None, entry())
        with pytest.raises(LinkGone):
            await operators.found(newer, "eve", HASH, Arrival(some_id(), None, None), entry())
        assert not await operators.offer_first(some_id(), AT + 60)
        assert [each.name for each in await operators.all()] == ["mei"]

    @pytest.mark.gen_test
    async def test_of_many_first_operators_one_is_made(self, operators: Operators) -> None:
        link = some_id()
        await operators.offer_first(link, AT + 60)

        async def found(n: int) -> Operator:
            return await operators.found(link, f"first{n}", HASH, Arrival(some_id(), None, None), entry())

        done = await asyncio.gather(*(found(n) for n in range(8)), return_exceptions=True)
        assert sum(isinstance(each, Operator) for each in done) == 1
        [only] = await operators.all()
        assert (only.role, only.appids) == ("admin", None)


class TestSecondFactor:
    @pytest.mark.gen_test
    async def test_a_step_and_a_recovery_code_are_good_once_also_at_the_same_time(self, operators: Operators) -> None:
        mei, code = await admin(operators, "mei"), some_id()
        await operators.set_totp(mei, b"sealed", entry("operator.totp_on"), step=100, codes=[code, some_id()])
        assert not await operators.use_totp_step(mei.id, 100)
        used = await asyncio.gather(*(operators.use_totp_step(mei.id, 101) for _ in range(8)))
        assert sum(used) == 1
        assert not await operators.use_totp_step(mei.id, 99)
        used = await asyncio.gather(*(operators.use_recovery_code(mei.id, code) for _ in range(8)))
        assert sum(used) == 1
        assert await operators.recovery_codes_left(mei.id) == 1

    @pytest.mark.gen_test
    async def test_turned_off_it_is_gone_with_its_codes(self, operators: Operators) -> None:
        mei, li = await admin(operators, "mei"), await admin(operators, "li")
        await operators.set_totp(mei, b"sealed", entry(), step=1, codes=[some_id()])
        await operators.set_totp(li, b"sealed", entry(), step=1, codes=[some_id()])
        assert (await operators.find_name("mei")).has_totp
        await operators.set_totp(mei, None, entry("operator.totp_off"))
        assert not (await operators.find_name("mei")).has_totp
        assert [await operators.recovery_codes_left(each.id) for each in (mei, li)] == [0, 1]


NAME = Counter(b"n" * 32, free=5, first_seconds=30, longest_seconds=3_600, forgotten_after_seconds=86_400)


class TestAttempts:
    @pytest.mark.gen_test
    async def test_after_five_failures_each_wait_is_twice_the_last_up_to_an_hour(self, attempts: Attempts) -> None:
        at, waits = AT, []
        for _ in range(16):
            await attempts.reserve([NAME], at)
            try:
                await attempts.reserve([NAME], at)
            except MustWait as wait:
                waits.append(wait.retry_after_seconds)
                at += wait.retry_after_seconds
        assert waits[:8] == [30, 60, 120, 240, 480, 960, 1_920, 3_600]
        assert set(waits[8:]) <= {3_600}

    @pytest.mark.gen_test
    async def test_of_fifty_at_once_five_are_judged(self, attempts: Attempts) -> None:
        done = await asyncio.gather(*(attempts.reserve([NAME], AT) for _ in range(50)), return_exceptions=True)
        assert sum(isinstance(each, bool) for each in done) == 5
        assert sum(isinstance(each, MustWait) for each in done) == 45

    @pytest.mark.gen_test
    async def test_a_success_begins_anew_and_gives_back_what_is_shared(self, attempts: Attempts) -> None:
        shared = replace(NAME, id=b"s" * 32, free=3)
        for _ in range(10):
            await attempts.reserve([NAME, shared], AT)
            await attempts.succeeded(NAME, [shared])
        for _ in range(3):
            await attempts.reserve([NAME, shared], AT)
        with pytest.raises(MustWait):
            await attempts.reserve([NAME, shared], AT)

    @pytest.mark.gen_test
    async def test_who_must_wait_for_one_counter_is_counted_on_none(self, attempts: Attempts) -> None:
        full, empty = replace(NAME, id=b"f" * 32, free=1), replace(NAME, id=b"e" * 32, free=2)
        await attempts.reserve([full], AT)
        for _ in range(5):
            with pytest.raises(MustWait):
                await attempts.reserve([empty, full], AT)
        assert not await attempts.reserve([empty], AT)

    @pytest.mark.gen_test
    async def test_failures_are_forgotten_a_day_after_the_last_wait(self, attempts: Attempts) -> None:
        for _ in range(5):
            await attempts.reserve([NAME], AT)
        over = AT + 30 + NAME.forgotten_after_seconds
        for _ in range(4):
            assert not await attempts.reserve([NAME], over)
        assert await attempts.reserve([NAME], over)
        await attempts.sweep(over + 30 + NAME.forgotten_after_seconds + 1)
        assert not await attempts.reserve([NAME], over)
