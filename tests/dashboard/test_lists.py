"""What operators' lists show, on both pairs of stores: the truth, within what each may see, page by page."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from backends import Backend as Stores
from product import APPID, APPSECRET
from tornado.ioloop import IOLoop

import process
import settings
import stores.audit
import stores.users
from actions import AmbiguousSession, NoSuchSession
from actions.backend import Backend
from actions.lists import (
    AuditQuestion,
    BadPlace,
    LoginsQuestion,
    Question,
    SessionRow,
    UsersQuestion,
    audit_page,
    logins_page,
    session_detail,
    sessions_page,
    user_detail,
    users_page,
)
from actions.matching import ids_matching, preview
from stores.audit import Entry
from stores.keys import make_keys
from stores.logins import Login, sortable
from stores.refused_logins import RefusedLogin
from stores.sessions import Opening, Session, new_token, session_id
from stores.users import NoSuchUser, User

OTHER = "wx0000000000000002"
WEEK = 7 * 86_400


@dataclass
class House:
    """The backend of one server process, and what its people did."""

    backend: Backend
    sessions: dict[str, bytes] = field(default_factory=dict)

    async def person(self, who: str, appid: str = APPID) -> User:
        """Somebody of that nickname, with an openid of 28 characters as WeChat gives them."""
        mark = secrets.token_bytes(32)
        openid = "o" + secrets.token_urlsafe(20)[:27]
        seen = await self.backend.users.see(appid, openid, None, mark=mark, now=self.backend.now(), signup=True)
        return await self.backend.users.rename(seen.user.id, {"nickname": who})

    async def comes(self, user: User, name: str, *, ago: int = 0, ip: str = "192.0.2.7", **facts: str) -> bytes:
        """The person logs in `ago` seconds before now, by a session that the test calls `name`."""
        at, wanted = self.backend.now() - ago, session_id(new_token())
        assert wanted is not None
        opening = Opening(
            id=wanted,
            user_id=user.id,
            appid=user.appid,
            created_at=at,
            ends_at=at + WEEK,
            expires_at=at + WEEK,
            sealed_key=secrets.token_bytes(45),
            generation=user.generation,
            limit=0,
            overflow="oldest",
        )
        opened = (await self.backend.sessions.open(opening, at)).session
        self.backend.logins.opened(facts_of(opened, ip, facts))
        await self.backend.logins.flush()
        self.sessions[name] = wanted
        return wanted

    async def end(self, name: str, reason: str, *, noted: bool = True) -> None:
        """A session ends; its row may not know it yet."""
        now = self.backend.now()
        await self.backend.sessions.end([self.sessions[name]], reason, now)  # type: ignore[arg-type]  # a reason
        if noted:
            self.backend.logins.ended([self.sessions[name]], reason, now)
            await self.backend.logins.flush()

    def names(self, rows: list[SessionRow]) -> list[str]:
        """What the test calls these sessions."""
        called = {each: name for name, each in self.sessions.items()}
        return [called[row.login.id] for row in rows]

    async def listed(self, scope: tuple[str, ...] | None = None, **given: str) -> list[str]:
        """The sessions of the first page of this question."""
        return self.names((await sessions_page(self.backend, scope, Question.of(given))).rows)


def facts_of(session: Session, ip: str, facts: dict[str, str]) -> Login:
    return Login(
        session.id,
        session.user_id,
        session.appid,
        ip,
        facts.get("platform", "android"),
        facts.get("version", "12"),
        facts.get("environment", "release"),
        session.created_at,
        session.created_at,
        epoch=session.epoch,
        address=sortable(ip),
    )


@pytest.fixture
def house(backend: Stores, tmp_path: Path, io_loop: IOLoop) -> Iterator[House]:
    """A server process without its ports, on empty stores."""
    given = {
        "WECHAT_BASE": "http://127.0.0.1:9",
        "APPID": APPID,
        "APPSECRET": APPSECRET,
        "DATA_DIR": str(tmp_path),
        **backend.fresh(),
    }
    made = settings.load({}, {f"MENSHEN_{name}": value for name, value in given.items()}).settings
    stack = AsyncExitStack()

    async def move_in() -> House:
        make_keys(tmp_path)
        await process.upgrade(made)
        opened = await stack.enter_async_context(process.opened(made))
        await opened.sessions.set_epochs(await opened.epochs.know([APPID, OTHER]))
        return House(opened)

    yield io_loop.run_sync(move_in)
    io_loop.run_sync(stack.aclose)


class TestSessions:
    @pytest.mark.gen_test
    async def test_the_newest_session_stands_first_with_its_person(self, house: House) -> None:
        mei, han = await house.person("Mei"), await house.person("Han")
        await house.comes(mei, "old", ago=100)
        await house.comes(han, "new", ago=10)
        page = await sessions_page(house.backend, None, Question())
        assert house.names(page.rows) == ["new", "old"]
        assert [row.user for row in page.rows] == [han, mei]
        assert [row.state for row in page.rows] == ["live", "live"]
        assert page.rows[0].session is not None
        assert 0 < (page.rows[0].expires_in or 0) <= WEEK - 10
        assert (page.more, page.looked_back_to, page.only_some) == (None, None, False)

    @pytest.mark.gen_test
    async def test_a_row_says_what_the_session_store_says_whatever_stands_in_it(self, house: House) -> None:
        mei = await house.person("Mei")
        for name in ("kept", "revoked", "blocked", "brought back"):
            await house.comes(mei, name)
        await house.end("revoked", "revoked", noted=False)
        await house.end("blocked", "blocked", noted=False)
        house.backend.logins.ended([house.sessions["brought back"]], "revoked", house.backend.now())
        await house.backend.logins.flush()
        rows = (await sessions_page(house.backend, None, Question(state="any"))).rows
        states = dict(zip(house.names(rows), [row.state for row in rows], strict=True))
        assert states == {"kept": "live", "revoked": "revoked", "blocked": "blocked", "brought back": "live"}
        for row in rows:
            assert (row.session is not None) == (row.expires_in is not None) == (row.state == "live")

    @pytest.mark.gen_test
    async def test_everybody_out_leaves_nobody_live_and_says_revoked(self, house: House) -> None:
        mei = await house.person("Mei")
        await house.comes(mei, "before")
        await house.backend.epochs.raise_for(APPID, house.backend.now())
        await house.backend.sessions.set_epochs(await house.backend.epochs.all())
        await house.comes(mei, "after")
        assert await house.listed() == ["after"]
        assert await house.listed(state="revoked") == ["before"]
        [row] = (await sessions_page(house.backend, None, Question(state="ended"))).rows
        assert row.state == "revoked"

    @pytest.mark.gen_test
    async def test_what_outlived_its_time_has_expired(self, house: House) -> None:
        mei = await house.person("Mei")
        await house.comes(mei, "old", ago=WEEK - 1)
        await house.comes(mei, "new")
        await asyncio.sleep(1.1)
        assert await house.listed() == ["new"]
        [row] = (await sessions_page(house.backend, None, Question(state="expired"))).rows
        assert (row.state, row.session) == ("expired", None)

    @pytest.mark.gen_test
    async def test_filters_and_orders(self, house: House) -> None:
        mei = await house.person("Mei")
        await house.comes(mei, "a", ago=500, platform="ios", version="11", environment="develop", ip="2001:db8::1")
        await house.comes(mei, "b", ago=400, platform="ios", ip="192.0.2.9")
        await house.comes(mei, "c", ago=300)
        await house.end("c", "logged_out")
        house.backend.logins.seen([house.sessions["a"]], house.backend.now())
        assert await house.listed() == ["b", "a"]
        assert await house.listed(order="created_up") == ["a", "b"]
        assert await house.listed(order="seen") == ["a", "b"]
        assert await house.listed(state="any", order="seen") == ["c", "b", "a"]
        assert await house.listed(state="ended") == ["c"]
        assert await house.listed(state="logged_out") == ["c"]
        assert await house.listed(state="revoked") == []
        assert await house.listed(platform="ios", version="11") == ["a"]
        assert await house.listed(environment="develop") == ["a"]
        assert await house.listed(environment="release", state="any") == ["c", "b"]
        assert await house.listed(seen="1m") == ["a"]
        assert await house.listed(app=APPID) == ["b", "a"]
        assert await house.listed(app=OTHER) == []

    @pytest.mark.gen_test
    async def test_a_search_is_recognised_by_itself(self, house: House) -> None:
        mei, han = await house.person("Mei"), await house.person("Han")
        await house.comes(mei, "m", ip="192.0.2.9")
        await house.comes(han, "h", ip="2001:db8::9")
        found = {
            "Me": ["m"],
            "ei": [],
            mei.openid: ["m"],
            f"{APPID}:{han.openid}": ["h"],
            f"{OTHER}:{han.openid}": [],
            str(mei.id): ["m"],
            "99999999": [],
            "192.0.2.9": ["m"],
            "192.0.2.0/24": ["m"],
            "192.0.3.0/24": [],
            "2001:db8::/32": ["h"],
            "::/0": ["h", "m"],
            house.sessions["h"].hex(): ["h"],
            house.sessions["h"].hex().upper(): ["h"],
            "f" * 64: [],
        }
        for text, names in found.items():
            assert sorted(await house.listed(q=text)) == sorted(names), text

    @pytest.mark.gen_test
    async def test_a_public_id_finds_its_session_in_whatever_state(self, house: House) -> None:
        mei = await house.person("Mei")
        await house.comes(mei, "m")
        await house.end("m", "logged_out")
        assert await house.listed(q=house.sessions["m"].hex()) == ["m"]
        assert await house.listed((OTHER,), q=house.sessions["m"].hex()) == []

    @pytest.mark.gen_test
    async def test_an_operator_of_one_mini_program_sees_nothing_of_another(self, house: House) -> None:
        mei, han = await house.person("Mei"), await house.person("Han", OTHER)
        await house.comes(mei, "m")
        await house.comes(han, "h", ip="198.51.100.1")
        assert await house.listed((OTHER,)) == ["h"]
        assert await house.listed((OTHER,), app=APPID) == []
        assert await house.listed(()) == []
        for text in ("Mei", mei.openid, f"{APPID}:{mei.openid}", str(mei.id), "192.0.2.7", "0.0.0.0/0", "::/0"):
            assert "m" not in await house.listed((OTHER,), q=text), text
        with pytest.raises(NoSuchSession):
            await session_detail(house.backend, (OTHER,), house.sessions["m"].hex())
        with pytest.raises(NoSuchUser):
            await user_detail(house.backend, (OTHER,), mei.id)
        people = await users_page(house.backend, (OTHER,), UsersQuestion())
        assert [user.id for user in people.rows] == [han.id]
        for text in ("Mei", mei.openid, str(mei.id)):
            assert (await users_page(house.backend, (OTHER,), UsersQuestion(q=text))).rows == []

    @pytest.mark.gen_test
    async def test_pages_show_each_session_once(self, house: House) -> None:
        mei = await house.person("Mei")
        for n in range(7):
            await house.comes(mei, f"s{n}", ago=n // 3)
        shown: list[str] = []
        place = None
        while True:
            page = await sessions_page(house.backend, None, Question(), place, 2)
            shown += house.names(page.rows)
            if page.more is None:
                break
            place = page.more
        assert sorted(shown) == sorted(house.sessions)

    @pytest.mark.gen_test
    @pytest.mark.parametrize("place", ["1", "x" * 10_000, "1-00", "' OR 1=1", "-1-" + "00" * 32, "\0"])
    async def test_a_place_that_no_page_gave_is_refused(self, house: House, place: str) -> None:
        with pytest.raises(BadPlace):
            await sessions_page(house.backend, None, Question(), place)
        with pytest.raises(BadPlace):
            await users_page(house.backend, None, UsersQuestion(), place)
        with pytest.raises(BadPlace):
            await logins_page(house.backend, None, LoginsQuestion(), place)
        with pytest.raises(BadPlace):
            await audit_page(house.backend, None, AuditQuestion(), place)

    @pytest.mark.gen_test
    @pytest.mark.parametrize("most", [-1, 0, 10**9])
    async def test_the_size_of_a_page_is_bounded(self, house: House, most: int) -> None:
        mei = await house.person("Mei")
        for n in range(3):
            await house.comes(mei, f"s{n}")
        assert 1 <= len((await sessions_page(house.backend, None, Question(), None, most)).rows) <= 3


class TestOneOfThem:
    @pytest.mark.gen_test
    async def test_a_session_and_what_was_done_to_it(self, house: House) -> None:
        mei = await house.person("Mei")
        public_id = (await house.comes(mei, "m")).hex()
        await house.backend.audit.add(deed("session.revoke", f"session:{public_id}"))
        await house.backend.audit.add(deed("session.revoke", "session:ff"))
        found = await session_detail(house.backend, (APPID,), public_id[:12])
        assert (found.row.public_id, found.row.user, found.row.state) == (public_id, mei, "live")
        assert [entry.target for entry in found.deeds] == [f"session:{public_id}"]
        with pytest.raises(NoSuchSession):
            await session_detail(house.backend, None, "0" * 64)

    @pytest.mark.gen_test
    async def test_an_ambiguous_beginning_is_said_to_be_one(self, house: House) -> None:
        mei = await house.person("Mei")
        login = facts_of(await self._session(house, mei), "192.0.2.1", {})
        for last in (b"\x01", b"\x02"):
            house.backend.logins.opened(replace(login, id=b"\xaa" * 31 + last))
        with pytest.raises(AmbiguousSession):
            await session_detail(house.backend, None, "aa" * 8)
        with pytest.raises(NoSuchSession):
            await session_detail(house.backend, (OTHER,), "aa" * 8)

    async def _session(self, house: House, user: User) -> Session:
        wanted = await house.comes(user, "known")
        return (await house.backend.sessions.holding([wanted], house.backend.now()))[wanted]

    @pytest.mark.gen_test
    async def test_a_person_with_sessions_history_and_deeds(self, house: House) -> None:
        mei = await house.person("Mei")
        for name, ago in (("a", 30), ("b", 20), ("c", 10)):
            await house.comes(mei, name, ago=ago)
        await house.end("b", "logged_out")
        await house.backend.audit.add(deed("user.block", f"user:{mei.id}"))
        found = await user_detail(house.backend, None, mei.id)
        assert found.user == mei
        assert house.names(found.live) == ["c", "a"]
        assert house.names(found.history) == ["c", "b", "a"]
        assert [row.state for row in found.history] == ["live", "logged_out", "live"]
        assert [entry.deed for entry in found.deeds] == ["user.block"]


def deed(name: str, target: str | None, *, actor: str = "operator:mei", result: str = "done", at: int = 1_000) -> Entry:
    return Entry(0, at, actor, "192.0.2.1", "5f1c", name, result, target, APPID)


class TestUsers:
    @pytest.mark.gen_test
    async def test_people_by_state_and_name(self, house: House) -> None:
        mei, han, old = [await house.person(name) for name in ("Mei", "Han", "Old")]
        blocked = await house.backend.users.block(mei.id, reason="spam", until=None)
        await house.backend.users.block(old.id, reason="spam", until=house.backend.now() - 10)
        for asked, expected in (
            ({}, [old.id, han.id, mei.id]),
            ({"state": "blocked"}, [mei.id]),
            ({"state": "active"}, [old.id, han.id]),
            ({"q": "Ha"}, [han.id]),
            ({"q": "Me", "state": "active"}, []),
            ({"q": "Me", "state": "blocked"}, [mei.id]),
            ({"q": mei.openid}, [mei.id]),
            ({"q": str(han.id)}, [han.id]),
            ({"q": "192.0.2.1"}, []),
            ({"app": OTHER}, []),
            ({"from": "2001-01-01", "to": "2001-01-02"}, []),
        ):
            page = await users_page(house.backend, None, UsersQuestion.of(asked))
            assert [user.id for user in page.rows] == expected, asked
        assert (await users_page(house.backend, None, UsersQuestion(state="blocked"))).rows == [blocked]

    @pytest.mark.gen_test
    @pytest.mark.parametrize("looked_through", [1, 2, 3_000])
    async def test_pages_show_everybody_once(
        self, house: House, looked_through: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(stores.users, "LOOKED_THROUGH", looked_through)
        people = [(await house.person(f"Mei{n}", (APPID, OTHER)[n % 2])).id for n in range(6)]
        for n in (1, 2, 5):
            await house.backend.users.block(people[n], reason="spam", until=None)
        for scope, given, places in (
            (None, {}, (5, 4, 3, 2, 1, 0)),
            (None, {"q": "Mei"}, (5, 4, 3, 2, 1, 0)),
            (None, {"state": "blocked"}, (5, 2, 1)),
            (None, {"state": "active"}, (4, 3, 0)),
            ((OTHER,), {}, (5, 3, 1)),
            ((OTHER,), {"state": "blocked"}, (5, 1)),
        ):
            shown: list[int] = []
            place = None
            while True:
                page = await users_page(house.backend, scope, UsersQuestion.of(given), place, 2)
                shown += [user.id for user in page.rows]
                if page.more is None:
                    break
                place = page.more
            assert shown == [people[n] for n in places], (scope, given)

    @pytest.mark.gen_test
    async def test_a_beginning_takes_the_letters_as_they_are(self, house: House) -> None:
        people = {name: (await house.person(name)).id for name in ("100%", "100_", "1005", "小明", "小芳", "大明")}
        for text, names in {"100%": ["100%"], "100_": ["100_"], "小": ["小芳", "小明"], "明": []}.items():
            page = await users_page(house.backend, None, UsersQuestion(q=text))
            assert [user.id for user in page.rows] == [people[name] for name in names], text


class TestLogins:
    @pytest.mark.gen_test
    @pytest.mark.parametrize("most", [1, 2, 3, 50])
    async def test_both_kinds_stand_in_one_list_by_time(self, house: House, most: int) -> None:
        mei, now = await house.person("Mei"), house.backend.now()
        for n, ago in enumerate((50, 40, 40, 10)):
            await house.comes(mei, f"s{n}", ago=ago)
        for n, ago in enumerate((60, 40, 40, 40, 20, 5)):
            house.backend.refused_logins.note(refusal(40029 + n, now - ago))
        shown: list[str] = []
        place = None
        while True:
            page = await logins_page(house.backend, None, LoginsQuestion(), place, most)
            for each in page.rows:
                shown += [str(each.refused.errcode)] if each.refused else house.names([each.row] if each.row else [])
            if page.more is None:
                break
            place = page.more
        at_forty = sorted(("s1", "s2"), key=lambda name: house.sessions[name], reverse=True)
        assert shown == ["40034", "s3", "40033", *at_forty, "40032", "40031", "40030", "s0", "40029"]

    @pytest.mark.gen_test
    async def test_filters(self, house: House) -> None:
        mei, now = await house.person("Mei"), house.backend.now()
        await house.comes(mei, "s", ago=5)
        for errcode, appid in ((40029, APPID), (40163, APPID), (40163, OTHER)):
            house.backend.refused_logins.note(replace(refusal(errcode, now), appid=appid))

        async def shown(scope: tuple[str, ...] | None = None, **given: str) -> list[int]:
            rows = (await logins_page(house.backend, scope, LoginsQuestion.of(given))).rows
            return sorted(each.refused.errcode if each.refused else 0 for each in rows)

        assert await shown() == [0, 40029, 40163, 40163]
        assert await shown(result="succeeded") == [0]
        assert await shown(result="refused") == [40029, 40163, 40163]
        assert await shown(errcode="40163") == [40163, 40163]
        assert await shown(errcode="40163", app=APPID) == [40163]
        assert await shown((OTHER,)) == [40163]
        assert await shown((OTHER,), app=APPID) == []
        assert await shown(platform="ios") == [40029, 40163, 40163]
        assert await shown(None, **{"from": "2001-01-01", "to": "2001-01-02"}) == []


def refusal(errcode: int, at: int) -> RefusedLogin:
    return RefusedLogin(0, at, APPID, errcode, "192.0.2.1", "ios", "12", "release")


class TestAudit:
    @pytest.mark.gen_test
    @pytest.mark.parametrize("looked_through", [1, 2, 5_000])
    async def test_deeds_by_everything_that_one_may_ask_for(
        self, house: House, looked_through: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(stores.audit, "LOOKED_THROUGH", looked_through)
        for n in range(6):
            actor = "operator:mei" if n % 2 else "shell:root"
            target, name = f"user:{n % 3}", "user.block" if n < 3 else "user.note"
            result = "done" if n else "denied"
            await house.backend.audit.add(deed(name, target, actor=actor, result=result, at=100_000 + 1_000 * n))
        await house.backend.audit.add(replace(deed("everybody.revoke", None, at=200_000), appid=None))

        async def numbers(scope: tuple[str, ...] | None = None, **given: str) -> list[int]:
            shown: list[int] = []
            place = None
            while True:
                page = await audit_page(house.backend, scope, AuditQuestion.of(given), place, 2)
                shown += [entry.n for entry in page.rows]
                if page.more is None:
                    return shown
                place = page.more

        assert await numbers() == [7, 6, 5, 4, 3, 2, 1]
        assert await numbers((APPID,)) == [6, 5, 4, 3, 2, 1]
        assert await numbers((OTHER,)) == []
        assert await numbers(actor="shell:root") == [5, 3, 1]
        assert await numbers(target="user:1") == [5, 2]
        assert await numbers(target="user:1", actor="shell:root") == [5]
        assert await numbers(deed="user.note") == [6, 5, 4]
        assert await numbers(result="denied") == [1]
        assert await numbers(app=APPID, deed="everybody.revoke") == []
        assert await numbers(None, **{"from": "1970-01-02T04:00", "to": "1970-01-02T04:36:40"}) == [4, 3, 2]
        assert await numbers(to="1970-01-01") == []


async def collected(batches: AsyncIterator[list[bytes]]) -> list[bytes]:
    return [each async for batch in batches for each in batch]


class TestMatching:
    @pytest.mark.gen_test
    async def test_it_is_what_holds_and_fits_and_nothing_else(self, house: House) -> None:
        mei, han, zoe = await house.person("Mei"), await house.person("Han"), await house.person("Zoe", OTHER)
        await house.comes(mei, "kept", platform="ios")
        await house.comes(mei, "other platform")
        await house.comes(han, "kept too", platform="ios", ago=60)
        await house.comes(han, "ended", platform="ios")
        await house.comes(han, "ended unnoted", platform="ios")
        await house.comes(zoe, "of another", platform="ios")
        await house.end("ended", "revoked")
        await house.end("ended unnoted", "revoked", noted=False)
        question = Question.of({"platform": "ios"})
        expected = {house.sessions[name] for name in ("kept", "kept too")}
        assert set(await collected(ids_matching(house.backend, (APPID,), question))) == expected
        found = await preview(house.backend, (APPID,), question)
        assert (found.sessions, found.users, found.whole) == (2, 2, True)
        assert house.names(found.sample) == ["kept", "kept too"]
        everywhere = {*expected, house.sessions["of another"]}
        assert set(await collected(ids_matching(house.backend, None, question))) == everywhere

    @pytest.mark.gen_test
    async def test_a_shorter_lifetime_in_the_settings_hides_nobody_who_is_still_in(self, house: House) -> None:
        mei = await house.person("Mei")
        await house.comes(mei, "long", ago=3_600)
        house.backend.lifetime = replace(house.backend.lifetime, seconds=60)
        assert await collected(ids_matching(house.backend, None, Question())) == [house.sessions["long"]]

    @pytest.mark.gen_test
    async def test_ended_ones_are_not_ended_again(self, house: House) -> None:
        mei = await house.person("Mei")
        await house.comes(mei, "m")
        assert await collected(ids_matching(house.backend, None, Question(state="ended"))) == []
        assert (await preview(house.backend, None, Question(state="expired"))).sessions == 0

    @pytest.mark.gen_test
    async def test_a_search_narrows_it_as_it_narrows_the_list(self, house: House) -> None:
        mei, han = await house.person("Mei"), await house.person("Han")
        await house.comes(mei, "m")
        await house.comes(han, "h")
        for text in ("Mei", str(mei.id), mei.openid, house.sessions["m"].hex()):
            found = await collected(ids_matching(house.backend, None, Question.of({"q": text})))
            assert found == [house.sessions["m"]], text
            assert await collected(ids_matching(house.backend, (OTHER,), Question.of({"q": text}))) == [], text
        assert await collected(ids_matching(house.backend, None, Question.of({"q": "Nobody"}))) == []

    @pytest.mark.gen_test
    async def test_what_is_too_much_to_count_is_said_to_be_more(self, house: House) -> None:
        mei = await house.person("Mei")
        for n in range(5):
            await house.comes(mei, f"s{n}")
        found = await preview(house.backend, None, Question(), most=3)
        assert (found.sessions, found.whole) == (3, False)
        assert len(found.sample) == 5
