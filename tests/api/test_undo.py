"""What operators do is written down first and says what happened; what ended by mistake comes back for a minute."""

import asyncio
import dataclasses
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import msgspec
import pytest
from backends import BACKENDS, Backend
from children import free_port
from patience import until, until_not
from phone import Phone
from product import APPID, Product
from servers import MariaDB, RedisServer
from shell import settings_of
from verdicts import id_of, refused, succeeded

import actions
import process
from actions import Actor, BadSelection, Ended, Restored
from actions import Backend as Stores
from settings import MysqlUrl, Secret
from stores.audit import FILE_NAME, Audit, Entry
from stores.db import open_database
from stores.errors import SessionsAway
from stores.users import NoSuchUser

MEI = Actor("operator:mei", "192.0.2.1", "5f1c5f1c5f1c5f1c")
LAN = Actor("operator:lan", "192.0.2.2", "a1b2a1b2a1b2a1b2")

Phones = Callable[..., list[Phone]]


async def logged_in(people: Sequence[Phone]) -> list[str]:
    """Log everybody in, and return the public ids of their sessions."""
    for each in people:
        succeeded(await each.login())
    return [id_of(each.token) for each in people]


async def rows(stores: Stores, most: int) -> list[Entry]:
    """Return the newest rows of the audit, the oldest of them first."""
    found = await stores.audit.newest(most)
    return found[::-1]


async def batches(*some: Sequence[str]) -> AsyncIterator[list[bytes]]:
    """Give ids as a filter does."""
    for batch in some:
        yield [bytes.fromhex(each) for each in batch]


def own_ids(answer: object) -> list[str]:
    """Return the public ids in a person's own list."""
    assert isinstance(answer, dict)
    return [own["id"] for own in answer["sessions"]]


class TestUndo:
    @pytest.mark.gen_test
    async def test_the_token_of_a_session_that_was_revoked_by_mistake_works_again(
        self, server: Product, phone: Phone
    ) -> None:
        [session] = await logged_in([phone])
        async with process.opened(settings_of(server)) as stores:
            assert await actions.revoke(stores, MEI, session, reason="wrong row", undoable=True) == Ended(1, 1)
            refused(await phone.verify(), 401002, reason="revoked")
            assert await actions.undo(stores, MEI, [session]) == Restored(1, 1)
            succeeded(await phone.verify())
            assert own_ids(succeeded(await phone.request("GET", "/api/me/sessions", headers=phone.bearer))) == [session]
            await stores.logins.flush()
            login = await actions.find_session(stores, session)
            assert (login.ended_at, login.reason) == (None, None)
            revoked, undone = await rows(stores, 2)
        target = f"session:{session}"
        assert (revoked.deed, revoked.result, revoked.target, revoked.appid, revoked.reason) == (
            "session.revoke",
            "done",
            target,
            APPID,
            "wrong row",
        )
        assert (undone.deed, undone.result, undone.target, undone.count) == ("session.undo", "done", target, 1)
        for row in (revoked, undone):
            assert (row.actor, row.address, row.request_id, row.role) == msgspec.structs.astuple(MEI)

    @pytest.mark.gen_test
    async def test_a_selection_ends_and_comes_back_with_one_row_each(self, server: Product, phones: Phones) -> None:
        people = phones(3)
        ids = await logged_in(people)
        async with process.opened(settings_of(server)) as stores:
            assert await actions.revoke_selection(stores, MEI, ids, reason="shared phones") == Ended(3, 3)
            for each in people:
                refused(await each.verify(), 401002, reason="revoked")
            assert await actions.undo(stores, MEI, ids) == Restored(3, 3)
            for each in people:
                succeeded(await each.verify())
            revoked, undone = await rows(stores, 2)
        target = f"sessions:{','.join(each[:8] for each in ids)}"
        assert (revoked.deed, revoked.count, revoked.target) == ("selection.revoke", 3, target)
        assert revoked.appid == APPID
        assert (undone.deed, undone.count, undone.target) == ("session.undo", 3, target)

    @pytest.mark.gen_test
    async def test_what_came_back_is_ended_by_everything_that_ends_sessions(
        self, server: Product, phone: Phone
    ) -> None:
        async with process.opened(settings_of(server)) as stores:
            for reason in ("revoked", "logged_out", "blocked"):
                [session] = await logged_in([phone])
                await actions.revoke(stores, MEI, session, undoable=True)
                await actions.undo(stores, MEI, [session])
                user = await actions.find_user(stores, f"{APPID}:{await phone.openid()}")
                if reason == "revoked":
                    assert await actions.revoke_user(stores, LAN, user) == Ended(1, 1)
                elif reason == "logged_out":
                    succeeded(await phone.logout())
                else:
                    assert await actions.block(stores, LAN, user, reason="spam") == Ended(1, 1)
                refused(await phone.verify(), 401002, reason=reason)
                assert await actions.undo(stores, MEI, [session]) == Restored(0, 0)

    @pytest.mark.gen_test
    async def test_an_undo_that_brings_nothing_back_is_said_to_have_failed(self, server: Product, phone: Phone) -> None:
        [session] = await logged_in([phone])
        async with process.opened(settings_of(server)) as stores:
            await actions.revoke(stores, MEI, session, undoable=True)
            assert await actions.undo(stores, LAN, [session]) == Restored(0, 0)
            tried, failed = await rows(stores, 2)
        refused(await phone.verify(), 401002, reason="revoked")
        assert (tried.deed, tried.result, tried.actor) == ("session.undo", "done", LAN.name)
        assert (failed.deed, failed.result, failed.count, failed.concerns) == ("session.undo", "failed", 0, tried.n)

    @pytest.mark.gen_test
    async def test_nothing_else_can_be_undone(self, make_server: Callable[..., Product], phones: Phones) -> None:
        server = make_server()
        [mei] = phones(1, at=server)
        async with process.opened(settings_of(server)) as stores:
            for way in range(5):
                [session] = await logged_in([mei])
                user = await actions.find_user(stores, f"{APPID}:{await mei.openid()}")
                if way == 0:
                    await actions.revoke(stores, MEI, session)
                elif way == 1:
                    await actions.revoke_user(stores, MEI, user)
                elif way == 2:
                    await actions.revoke_matching(stores, MEI, "platform=ios", batches([session]), 1)
                elif way == 3:
                    await actions.revoke_everybody(stores, MEI)
                else:
                    await actions.erase(stores, MEI, user.id, user.appid)
                assert await actions.undo(stores, MEI, [session]) == Restored(0, 0)
                refused(await mei.verify(), 401002, reason="revoked")

    @pytest.mark.gen_test
    async def test_a_block_wins_over_an_undo_at_the_same_time(self, server: Product, phone: Phone) -> None:
        async with process.opened(settings_of(server)) as stores:
            for _ in range(8):
                [session] = await logged_in([phone])
                user = await actions.find_user(stores, f"{APPID}:{await phone.openid()}")
                await actions.revoke_selection(stores, MEI, [session])
                await asyncio.gather(
                    actions.block(stores, LAN, user, reason="spam"), actions.undo(stores, MEI, [session])
                )
                assert (await phone.verify()).status == 401
                await actions.unblock(stores, LAN, user)
                assert await actions.undo(stores, MEI, [session]) == Restored(0, 0)
                assert (await phone.verify()).status == 401

    @pytest.mark.gen_test
    @pytest.mark.parametrize(
        "ids", [[], ["a" * 63], ["A" * 64], ["g" * 64], ["a" * 64, ""], [f"{n:064x}" for n in range(501)]]
    )
    async def test_what_is_no_selection_is_refused_and_not_written_down(
        self, embedded: Product, ids: list[str]
    ) -> None:
        async with process.opened(settings_of(embedded)) as stores:
            before = await rows(stores, 1)
            for deed in (actions.revoke_selection, actions.undo):
                with pytest.raises((BadSelection, actions.NoSuchSession)):
                    await deed(stores, MEI, ids)
            assert await rows(stores, 1) == before

    @pytest.mark.gen_test
    async def test_five_hundred_at_once_are_named_as_far_as_there_is_room(self, server: Product, phone: Phone) -> None:
        [session] = await logged_in([phone])
        ids = [session, *(f"{n:064x}" for n in range(499))]
        async with process.opened(settings_of(server)) as stores:
            assert await actions.revoke_selection(stores, MEI, ids) == Ended(1, 1)
            [revoked] = await rows(stores, 1)
        assert revoked.count == 1
        assert revoked.target is not None
        assert revoked.target.startswith(f"sessions:{session[:8]},00000000,")
        assert revoked.target.endswith(" and 481 more")
        assert len(revoked.target) <= 200


class TestRevocation:
    @pytest.mark.gen_test
    async def test_a_session_that_had_ended_is_no_error_and_the_audit_says_so(
        self, server: Product, phone: Phone
    ) -> None:
        [session] = await logged_in([phone])
        async with process.opened(settings_of(server)) as stores:
            assert await actions.revoke(stores, MEI, session, undoable=True) == Ended(1, 1)
            assert await actions.revoke(stores, MEI, session, undoable=True) == Ended(0, 0)
            assert await actions.revoke_selection(stores, MEI, [session]) == Ended(0, 0)
            assert await actions.revoke(stores, MEI, "f" * 64) == Ended(0, 0)
            assert [row.result for row in await rows(stores, 4)] == ["done", *["already ended"] * 3]
            assert await actions.undo(stores, MEI, [session]) == Restored(1, 1), "a second click takes nothing away"

    @pytest.mark.gen_test
    async def test_what_a_filter_fits_ends_batch_by_batch_after_its_row_was_written(
        self, server: Product, phones: Phones
    ) -> None:
        people = phones(5)
        ids = await logged_in(people)
        async with process.opened(settings_of(server)) as stores:

            async def found() -> AsyncIterator[list[bytes]]:
                [row] = await rows(stores, 1)
                assert (row.deed, row.target, row.count) == ("filter.revoke", "filter:version=1.0.2", 5)
                async for batch in batches(ids[:2], [], ids[2:]):
                    yield batch

            ended = await actions.revoke_matching(stores, MEI, "version=1.0.2", found(), 5, reason="old version")
            assert ended == Ended(5, 5)
            [row] = await rows(stores, 1)
        assert (row.result, row.reason) == ("done", "old version")
        for each in people:
            refused(await each.verify(), 401002, reason="revoked")

    @pytest.mark.gen_test
    async def test_a_filter_that_breaks_off_says_how_many_had_ended(
        self, make_server: Callable[..., Product], mariadb: MariaDB, redis_server: RedisServer, phones: Phones
    ) -> None:
        server = make_server(**Backend(BACKENDS[1], mariadb, redis_server).fresh())
        people = phones(3, at=server)
        ids = await logged_in(people)
        async with process.opened(settings_of(server)) as stores:

            async def found() -> AsyncIterator[list[bytes]]:
                async for batch in batches(ids[:2], ids[2:]):
                    yield batch
                    redis_server.stop()

            with pytest.raises(SessionsAway):
                await actions.revoke_matching(stores, MEI, "everything", found(), 3)
            redis_server.start()
            intended, failed = await rows(stores, 2)
        assert (intended.result, intended.count) == ("done", 3)
        assert (failed.deed, failed.result, failed.count, failed.concerns) == ("filter.revoke", "failed", 2, intended.n)
        assert [(await until_not(503, each.verify)).status for each in people] == [401, 401, 200]

    @pytest.mark.gen_test
    async def test_while_the_session_store_is_away_nothing_is_called_dead(
        self, make_server: Callable[..., Product], mariadb: MariaDB, redis_server: RedisServer, phones: Phones
    ) -> None:
        server = make_server(**Backend(BACKENDS[1], mariadb, redis_server).fresh())
        [mei] = phones(1, at=server)
        [session] = await logged_in([mei])
        async with process.opened(settings_of(server)) as stores:
            redis_server.stop()
            deeds = (
                lambda: actions.revoke(stores, MEI, session, undoable=True),
                lambda: actions.revoke_selection(stores, MEI, [session]),
                lambda: actions.undo(stores, MEI, [session]),
            )
            for deed in deeds:
                with pytest.raises(SessionsAway):
                    await deed()
                intended, failed = await rows(stores, 2)
                assert (intended.result, failed.result, failed.concerns) == ("done", "failed", intended.n)
            redis_server.start()
        assert (await until_not(503, mei.verify)).status == 200

    @pytest.mark.gen_test
    async def test_everybody_of_one_mini_program_is_put_out_and_nobody_else(
        self, make_server: Callable[..., Product], backend: Backend, phones: Phones
    ) -> None:
        server = make_server(**backend.fresh())
        [mei] = phones(1, at=server)
        await logged_in([mei])
        async with process.opened(settings_of(server)) as stores:
            await stores.epochs.know(["wxother"])
            assert await actions.revoke_everybody(stores, MEI, appids=["wxother"]) == Ended(0, 0)
            succeeded(await mei.verify())
            assert await actions.revoke_everybody(stores, MEI, appids=[]) == Ended(0, 0)
            succeeded(await mei.verify())
            assert await actions.revoke_everybody(stores, MEI, appids=[APPID, "wxunknown"]) == Ended(1, 0)
            refused(await mei.verify(), 401002, reason="revoked")
            other, none, ours = await rows(stores, 3)
            assert await stores.epochs.all() == {APPID: 1, "wxother": 1}
        assert [(row.target, row.appid, row.count) for row in (other, none, ours)] == [
            ("apps:wxother", "wxother", 0),
            ("apps:", None, 0),
            (f"apps:{APPID}", APPID, 1),
        ]


class TestPeople:
    @pytest.mark.gen_test
    async def test_a_block_needs_a_reason_and_an_end_to_come(self, embedded: Product, phone: Phone) -> None:
        await logged_in([phone])
        async with process.opened(settings_of(embedded)) as stores:
            user = await actions.find_user(stores, f"{APPID}:{await phone.openid()}")
            for reason in ("", "  ", "x" * 201, "two\nlines", "half \ud83d of a pair"):
                with pytest.raises(actions.InvalidBlock) as refusal:
                    await actions.block(stores, MEI, user, reason=reason)
                assert refusal.value.field == "reason"
            for until_at in (-1, 0, stores.now(), stores.now() + 11 * 366 * 86_400):
                with pytest.raises(actions.InvalidBlock) as refusal:
                    await actions.block(stores, MEI, user, reason="spam", until=until_at)
                assert refusal.value.field == "until"
            succeeded(await phone.verify())
            await actions.block(stores, MEI, user, reason="x" * 200, until=stores.now() + 3600)
        refused(await phone.verify(), 401002, reason="blocked")

    @pytest.mark.gen_test
    async def test_an_erasure_gives_a_receipt_that_names_its_row(self, server: Product, phone: Phone) -> None:
        await logged_in([phone, phone])
        async with process.opened(settings_of(server)) as stores:
            user = await actions.find_user(stores, f"{APPID}:{await phone.openid()}")
            receipt = await actions.erase(stores, MEI, user.id, user.appid)
            [row] = await rows(stores, 1)
            assert (receipt.user_id, receipt.appid, receipt.sessions, receipt.audit_n) == (user.id, APPID, 2, row.n)
            assert (row.deed, row.target, row.at <= receipt.at) == ("user.erase", f"user:{user.id}", True)

    @pytest.mark.gen_test
    async def test_an_erased_persons_session_cannot_be_brought_back(self, server: Product, phone: Phone) -> None:
        [session] = await logged_in([phone])
        async with process.opened(settings_of(server)) as stores:
            user = await actions.find_user(stores, f"{APPID}:{await phone.openid()}")
            await actions.revoke(stores, MEI, session, undoable=True)
            assert (await actions.erase(stores, LAN, user.id, user.appid)).sessions == 0
            assert await actions.undo(stores, MEI, [session]) == Restored(0, 0)
        refused(await phone.verify(), 401002, reason="revoked")

    @pytest.mark.gen_test
    async def test_a_note_is_kept_and_taken_away_and_never_stands_in_the_audit(
        self, server: Product, phone: Phone
    ) -> None:
        await logged_in([phone])
        async with process.opened(settings_of(server)) as stores:
            user = await actions.find_user(stores, f"{APPID}:{await phone.openid()}")
            text = "打过电话 😀" + "x" * 490
            assert (await actions.note(stores, MEI, user, f" {text} ")).note == text
            assert (await actions.note(stores, MEI, user, "  ")).note is None
            for wrong in ("x" * 501, "two\nlines", "\x00", "\ud83d"):
                with pytest.raises(actions.InvalidNote):
                    await actions.note(stores, MEI, user, wrong)
            kept, taken = await rows(stores, 2)
            for row in (kept, taken):
                assert (row.deed, row.target, row.appid, row.reason) == ("user.note", f"user:{user.id}", APPID, None)
            with pytest.raises(NoSuchUser):
                await actions.note(stores, MEI, msgspec.structs.replace(user, id=2**62), "nobody")


class TestWrittenDown:
    @pytest.mark.gen_test
    async def test_a_denied_deed_is_written_down(self, server: Product) -> None:
        async with process.opened(settings_of(server)) as stores:
            await actions.denied(stores, LAN, "session.revoke", target="session:ab12", appid=APPID)
            [row] = await rows(stores, 1)
        assert (row.actor, row.deed, row.result, row.target) == (LAN.name, "session.revoke", "denied", "session:ab12")

    @pytest.mark.gen_test
    async def test_a_denied_deed_stays_denied_when_nothing_can_be_written_down(
        self, embedded: Product, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / FILE_NAME).mkdir()
        nowhere = open_database(MysqlUrl("nobody", Secret("nothing"), "127.0.0.1", free_port(), "nowhere"))
        async with process.opened(settings_of(embedded)) as stores:
            deaf = dataclasses.replace(stores, audit=Audit(nowhere, tmp_path))
            await actions.denied(deaf, LAN, "session.revoke", target="session:ab12")
        await nowhere.close()
        assert "session.revoke (denied) could not be written down" in caplog.text

    @pytest.mark.gen_test
    async def test_what_was_typed_in_stands_in_one_line_of_the_audit(self, server: Product) -> None:
        async with process.opened(settings_of(server)) as stores:
            await actions.revoke(stores, MEI, "e" * 64, reason=" one\r\ntwo\x00 \ud83d" + "x" * 300)
            [row] = await rows(stores, 1)
            assert await stores.audit.verify() >= row.n
        assert row.reason is not None
        assert row.reason.startswith("one  two   xxx")
        assert len(row.reason) == 200

    @pytest.mark.gen_test
    @pytest.mark.parametrize("workers", [1, 2])
    async def test_a_server_says_once_that_it_started_took_up_settings_and_stopped(
        self, make_server: Callable[..., Product], workers: int
    ) -> None:
        server = make_server(WORKERS=workers)
        await until(lambda: server.log().count("INFO menshen: serving") == workers)
        os.kill(server.pid, signal.SIGHUP)
        await until(lambda: server.log().count("were read anew") == workers)
        assert server.stop() == 0
        async with process.opened(settings_of(server)) as stores:
            found = await rows(stores, 10)
            assert await stores.audit.verify() == 3
        assert [(row.actor, row.deed, row.result) for row in found] == [
            ("system", "server.start", "done"),
            ("system", "settings.reread", "done"),
            ("system", "server.stop", "done"),
        ]
