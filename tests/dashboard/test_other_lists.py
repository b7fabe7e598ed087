"""Operators' lists of people, of logins and of deeds, on both pairs of stores."""

import pytest
from inhabited import OTHER, House, deed
from msgspec.structs import replace
from product import APPID

import stores.audit
import stores.users
from actions.lists import audit_page, logins_page, users_page
from actions.questions import AuditQuestion, LoginsQuestion, UsersQuestion
from stores.refused_logins import RefusedLogin

pytest_plugins = ["inhabited_house"]


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
