"""What operators see of sessions, on both pairs of stores: the truth, within what each may see, page by page."""

import asyncio

import pytest
from inhabited import OTHER, WEEK, House, deed, facts_of
from msgspec.structs import replace
from product import APPID

from actions import AmbiguousSession, NoSuchSession
from actions.lists import audit_page, logins_page, session_detail, sessions_page, user_detail, users_page
from actions.questions import AuditQuestion, LoginsQuestion, Question, UsersQuestion
from stores.logins import BadPlace
from stores.sessions import Session
from stores.users import NoSuchUser, User

pytest_plugins = ["inhabited_house"]


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
