"""An operator of one mini program: the others are not there for him, whatever he asks or sends."""

from typing import NamedTuple

import pytest
from at_work import (
    OTHER_APPID,
    OTHER_SECRET,
    MakeServer,
    Phones,
    Seen,
    arrive,
    rows_of,
    statuses,
    sure,
    two_programs,
    with_password,
)
from backends import Backend
from operator_at import Operator, make_operator
from phone import Network, Phone, WeChat
from product import APPID, Product
from shell import settings_of

import process
from stores.operators import Operator as Kept


class World(NamedTuple):
    """Two mini programs with a person in each."""

    server: Product
    mine: Phone
    my_user: int
    my_session: str
    theirs: Phone
    their_user: int
    their_session: str


async def world(make_server: MakeServer, wechat: WeChat, phones: Phones, **settings: object) -> World:
    server = two_programs(make_server, **settings)
    await wechat.app(appid=OTHER_APPID, secret=OTHER_SECRET)
    mine, theirs = phones(2, at=server)
    theirs.appid = OTHER_APPID
    my_user, my_session = await arrive(mine, appid=APPID)
    their_user, their_session = await arrive(theirs, appid=OTHER_APPID)
    for each, name in ((mine, "Mine is here"), (theirs, "Theirs is here")):
        answer = await each.request("PUT", "/api/me", json={"nickname": name}, headers=each.bearer)
        assert answer.status == 200, answer.body
    return World(server, mine, my_user, my_session, theirs, their_user, their_session)


async def kept(server: Product, name: str) -> Kept:
    async with process.opened(settings_of(server)) as backend:
        return await backend.operators.find_name(name)


def pages_about(w: World, openid: str) -> list[str]:
    """Every page of the limited operator, and those that ask for the other mini program by all that names it."""
    return [
        "/admin/",
        "/admin/sessions?state=any",
        f"/admin/sessions?app={OTHER_APPID}",
        "/admin/sessions?q=127.0.0.1",
        "/admin/sessions?q=Theirs",
        f"/admin/sessions?q={w.their_user}",
        f"/admin/sessions?q={w.their_session}",
        f"/admin/sessions?q={w.their_session[:8]}",
        f"/admin/sessions?q={openid}",
        f"/admin/sessions?q={OTHER_APPID}:{openid}",
        "/admin/users",
        f"/admin/users?app={OTHER_APPID}",
        "/admin/users?q=Theirs",
        f"/admin/users?q={openid}",
        f"/admin/users?q={w.their_user}",
        "/admin/logins",
        f"/admin/logins?app={OTHER_APPID}",
        "/admin/apps",
        "/admin/incident",
        "/admin/audit",
        f"/admin/audit?target=user:{w.their_user}",
        f"/admin/audit?app={OTHER_APPID}",
        "/admin/sessions/matching",
        f"/admin/sessions/matching?app={OTHER_APPID}",
    ]


@pytest.mark.gen_test(timeout=60)
async def test_he_sees_nothing_of_another_mini_program(
    make_server: MakeServer, backend: Backend, network: Network, wechat: WeChat, phones: Phones
) -> None:
    w = await world(make_server, wechat, phones, **backend.fresh())
    boss = await make_operator(w.server, network)
    await boss.post(f"/admin/users/{w.their_user}/note", {"note": "somebody else's business"})
    limited = await make_operator(w.server, network, "operator", appids=[APPID])
    pages = pages_about(w, await w.theirs.openid())
    for path in pages:
        page = await limited.get(path)
        assert page.status == 200, path
        seen = Seen.of(page)
        shown = "\n".join(seen.words)
        assert "somebody else's business" not in shown, path
        assert "Theirs is here" not in shown, path
        assert "The other shop" not in shown, path
        assert f"/admin/users/{w.their_user}" not in seen.links, path
        assert not any(w.their_session in link for link in seen.links if link.startswith("/admin/sessions/")), path
        if OTHER_APPID not in path:
            assert OTHER_APPID not in shown, path
    # What is his he does see, or all of the above would prove nothing.
    assert "Mine is here" in (await limited.get("/admin/sessions?state=any")).text
    assert "Mine is here" in (await limited.get("/admin/users?q=Mine")).text
    assert "Theirs is here" in (await boss.get("/admin/sessions")).text
    assert f"user:{w.their_user}" in (await boss.get("/admin/audit")).text
    assert f"user:{w.their_user}" not in "\n".join(Seen.of(await limited.get("/admin/audit")).words)
    for path in (f"/admin/users/{w.their_user}", f"/admin/sessions/{w.their_session}", "/admin/users/99999"):
        assert (await limited.get(path)).status == 404, path


@pytest.mark.gen_test(timeout=60)
async def test_the_figures_are_those_of_his_mini_program_alone(
    make_server: MakeServer, network: Network, wechat: WeChat, phones: Phones
) -> None:
    w = await world(make_server, wechat, phones)
    for _ in range(4):
        await arrive(w.theirs, appid=OTHER_APPID)
    boss = await make_operator(w.server, network)
    limited = await make_operator(w.server, network, "admin", appids=[APPID])
    assert "6 sessions of all people end" in (await boss.get("/admin/everybody")).text
    asked = (await limited.get("/admin/everybody")).text
    assert "1 session of all people end" in asked
    assert "The other shop" not in asked
    assert "5 sessions of 1 person match" in (await boss.get(f"/admin/sessions/matching?app={OTHER_APPID}")).text
    assert "0 sessions of 0 people match" in (await limited.get(f"/admin/sessions/matching?app={OTHER_APPID}")).text
    assert "1 session of 1 person match" in (await limited.get("/admin/sessions/matching")).text


@pytest.mark.gen_test(timeout=60)
async def test_no_deed_of_his_reaches_another_mini_program(
    make_server: MakeServer, backend: Backend, network: Network, wechat: WeChat, phones: Phones
) -> None:
    w = await world(make_server, wechat, phones, **backend.fresh())
    limited = await make_operator(w.server, network, "admin", appids=[APPID])
    paths = [
        f"/admin/sessions/{w.their_session}/revoke",
        f"/admin/sessions/{w.their_session[:8]}/revoke",
        f"/admin/users/{w.their_user}/revoke",
        f"/admin/users/{w.their_user}/block",
        f"/admin/users/{w.their_user}/unblock",
        f"/admin/users/{w.their_user}/erase",
        f"/admin/users/{w.their_user}/note",
    ]
    for path in paths:
        page = await limited.post(path, with_password(note="mine now", until=""))
        assert page.status == 404, path
        assert "There is nothing at this address" in page.text
    both = [("id", w.my_session), ("id", w.their_session), *sure().items()]
    assert (await limited.post("/admin/sessions/revoke", both)).status == 404
    denied = await rows_of(w.server, limited)
    assert [(row.deed, row.result, row.target) for row in denied] == [
        ("dashboard.scope", "denied", path) for path in [*paths, "/admin/sessions/revoke"]
    ]
    await limited.post("/admin/undo", {"id": w.their_session})
    page = await limited.post(f"/admin/sessions/matching?app={OTHER_APPID}", with_password())
    assert "Nothing was ended" in page.text
    assert await statuses([w.mine, w.theirs]) == [200, 200]
    page = await limited.post("/admin/sessions/matching?state=any", with_password())
    assert "Ended 1 session of 1 person." in page.text
    assert await statuses([w.mine, w.theirs]) == [401, 200]
    async with process.opened(settings_of(w.server)) as stores:
        assert (await stores.users.find(w.their_user)).note is None


@pytest.mark.gen_test(timeout=60)
async def test_everybody_is_everybody_of_his_mini_program(
    make_server: MakeServer, backend: Backend, network: Network, wechat: WeChat, phones: Phones
) -> None:
    w = await world(make_server, wechat, phones, **backend.fresh())
    limited = await make_operator(w.server, network, "admin", appids=[APPID])
    page = await limited.post("/admin/everybody", with_password("leak"))
    assert "Everybody is out: ended 1 session." in page.text
    assert await statuses([w.mine, w.theirs]) == [401, 200]
    [row] = await rows_of(w.server, limited)
    assert (row.deed, row.target, row.appid, row.count) == ("everybody.revoke", f"apps:{APPID}", APPID, 1)


@pytest.mark.gen_test
async def test_his_files_hold_his_mini_program_alone(
    make_server: MakeServer, network: Network, wechat: WeChat, phones: Phones
) -> None:
    w = await world(make_server, wechat, phones)
    boss = await make_operator(w.server, network)
    limited = await make_operator(w.server, network, "admin", appids=[APPID])
    for path, fields in [
        ("/admin/sessions/export", {}),
        ("/admin/sessions/export", {"app": OTHER_APPID}),
        ("/admin/users/export", {}),
        ("/admin/users/export", {"q": "Theirs"}),
        ("/admin/audit/export", sure()),
    ]:
        page = await limited.post(path, fields)
        assert (page.status, page.answer.headers["Content-Type"]) == (200, "text/csv; charset=utf-8"), path
        lines = page.answer.body.decode("utf-8-sig").splitlines()
        assert not [line for line in lines[1:] if "Theirs" in line or w.their_session in line], path
        if "audit" not in path:
            assert OTHER_APPID not in page.answer.body.decode()
    whole = (await boss.post("/admin/users/export", {})).answer.body.decode()
    assert "Theirs is here" in whole
    assert "Mine is here" in whole


async def check_he_gained_nothing(server: Product, somebody: Operator, boss: Operator) -> None:
    assert (await kept(server, somebody.name)).appids == frozenset([APPID])
    assert ((await kept(server, boss.name)).appids, (await kept(server, boss.name)).state) == (None, "active")
    assert (await boss.ask("GET", "/admin/")).status == 200


@pytest.mark.gen_test(timeout=60)
async def test_an_admin_of_one_mini_program_cannot_give_what_he_has_not(
    make_server: MakeServer, network: Network
) -> None:
    server = two_programs(make_server)
    boss = await make_operator(server, network, name="boss")
    limited = await make_operator(server, network, "admin", appids=[APPID], name="limited")
    colleague = await make_operator(server, network, "viewer", appids=[APPID], name="colleague")
    number = {each.name: (await kept(server, each.name)).id for each in (boss, limited, colleague)}
    him, above = f"/admin/operators/{number['limited']}", f"/admin/operators/{number['boss']}"
    for path, fields in [
        (him, {"role": "admin", "all_apps": "yes"}),
        (him, {"role": "admin", "appid": OTHER_APPID}),
        ("/admin/operators", {"name": "puppet", "role": "admin", "all_apps": "yes"}),
        ("/admin/operators", {"name": "puppet", "role": "viewer", "appid": OTHER_APPID}),
    ]:
        assert (await limited.post(path, with_password(**fields))).status == 400, (path, fields)
    for path in (above, f"{above}/disable", f"{above}/enable", f"{above}/reset"):
        page = await limited.post(path, with_password(role="viewer", appid=APPID))
        assert page.status == 404, path
        assert "link=" not in page.text
        assert (await limited.ask("GET", path)).status == 404
    await check_he_gained_nothing(server, limited, boss)
    listed = await limited.get("/admin/operators")
    assert "boss" not in "\n".join(Seen.of(listed).words)
    assert 'name="all_apps"' not in listed.text
    assert 'name="all_apps"' in (await boss.get("/admin/operators")).text
    # Within his own mini program he is an admin.
    fields = with_password(role="operator", appid=APPID)
    assert (await limited.post(f"/admin/operators/{number['colleague']}", fields)).path == "/admin/operators"
    assert (await kept(server, "colleague")).role == "operator"
    page = await limited.post("/admin/operators", with_password(name="newcomer", role="viewer", appid=APPID))
    assert page.status == 200
    assert (await kept(server, "newcomer")).appids == frozenset([APPID])


@pytest.mark.gen_test
async def test_an_admin_of_one_mini_program_does_not_see_the_settings(
    make_server: MakeServer, wechat: WeChat, phones: Phones, network: Network
) -> None:
    w = await world(make_server, wechat, phones)
    limited = await make_operator(w.server, network, "admin", appids=[APPID])
    everywhere = await make_operator(w.server, network, "admin")
    assert (await limited.get("/admin/settings")).status == 403
    assert "/admin/settings" not in (await limited.get("/admin/")).text
    assert OTHER_APPID in (await everywhere.get("/admin/settings")).text
