"""What each role may do, tried by hand on every form there is: what is not allowed is refused, noted and not done."""

from collections.abc import Callable

import pytest
from at_work import Seen, arrive, guarded_posts, rows, rows_of, statuses, sure, with_password
from msgspec.structs import replace
from operator_at import PASSWORD, Operator, make_operator
from phone import Network, Phone
from product import APPID, Product
from shell import settings_of

import process
from stores.operators import Operator as Kept
from stores.operators import Role

Phones = Callable[..., list[Phone]]
RANK: dict[Role, int] = {"viewer": 0, "operator": 1, "admin": 2}
READABLE: dict[Role, list[str]] = {
    "viewer": ["/admin/", "/admin/sessions", "/admin/users", "/admin/logins", "/admin/apps", "/admin/incident"],
    "operator": ["/admin/audit"],
    "admin": ["/admin/operators", "/admin/settings"],
}
# Where the page of incidents leads whoever may go there.
REMEDIES = {"/admin/everybody", f"/admin/apps/{APPID}/refresh-token", "/admin/keys", "/admin/operators"}


async def kept(server: Product, name: str) -> Kept:
    async with process.opened(settings_of(server)) as backend:
        return await backend.operators.find_name(name)


async def try_everything(server: Product, somebody: Operator, role: Role, user: int, session: str) -> list[str]:
    """Send, as somebody of this role, every form that takes a greater one; each must be refused."""
    himself = await kept(server, somebody.name)
    forbidden = [path for path, least in guarded_posts(user, session, himself.id) if RANK[least] > RANK[role]]
    fields = with_password(id=session, role="admin", all_apps="yes", name="grown-by-hand", until="", note="changed")
    for path in forbidden:
        page = await somebody.post(path, fields)
        assert page.status == 403, path
        assert "Your role does not allow this" in page.text, path
        assert PASSWORD not in page.text
    return forbidden


@pytest.mark.gen_test(timeout=60)
@pytest.mark.parametrize("role", ["viewer", "operator"])
async def test_whoever_sends_a_form_above_his_role_is_refused_and_noted_each_time(
    server: Product, network: Network, phone: Phone, role: Role
) -> None:
    somebody = await make_operator(server, network, role)
    before = await kept(server, somebody.name)
    user, session = await arrive(phone)
    forbidden = await try_everything(server, somebody, role, user, session)
    assert len(forbidden) >= {"viewer": 16, "operator": 7}[role], "the list of routes was read wrongly"
    denied = await rows_of(server, somebody)
    assert [(row.deed, row.result, row.target) for row in denied] == [
        ("dashboard.role", "denied", path) for path in forbidden
    ]
    assert all(row.address == somebody.address and row.request_id and row.role == role for row in denied)
    # Nothing of it happened.
    assert await statuses([phone]) == [200]
    assert replace(await kept(server, somebody.name), seen_at=before.seen_at) == before
    async with process.opened(settings_of(server)) as backend:
        assert "grown-by-hand" not in [each.name for each in await backend.operators.all()]
        found = await backend.users.find(user)
        assert (found.state, found.note) == ("active", None)


@pytest.mark.gen_test
@pytest.mark.parametrize("role", ["viewer", "operator"])
async def test_the_question_before_a_deed_is_not_even_shown_to_whoever_may_not_do_it(
    embedded: Product, network: Network, phone: Phone, role: Role
) -> None:
    somebody = await make_operator(embedded, network, role)
    user, session = await arrive(phone)
    himself = await kept(embedded, somebody.name)
    asked = 0
    for path, least in guarded_posts(user, session, himself.id):
        if RANK[least] > RANK[role]:
            answer = await somebody.ask("GET", path)
            assert answer.status in (403, 405), path  # 405: a form without a page of its own
            asked += answer.status == 403
    assert asked >= 5
    assert {row.result for row in await rows_of(embedded, somebody)} == {"denied"}


@pytest.mark.gen_test
@pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
async def test_a_page_above_the_role_is_refused_and_not_in_the_menu(
    embedded: Product, network: Network, role: Role
) -> None:
    somebody = await make_operator(embedded, network, role)
    overview = Seen.of(await somebody.get("/admin/?lang=en"))
    for least, paths in READABLE.items():
        for path in paths:
            allowed = RANK[role] >= RANK[least]
            assert (await somebody.get(path)).status == (200 if allowed else 403), path
            assert (f"{path}?lang=en" in overview.links) == allowed, path


@pytest.mark.gen_test
async def test_a_viewers_pages_have_no_button_that_he_may_not_press(
    embedded: Product, network: Network, phone: Phone
) -> None:
    viewer, operator = await make_operator(embedded, network, "viewer"), await make_operator(embedded, network)
    user, session = await arrive(phone)
    for path in ["/admin/", "/admin/sessions", f"/admin/sessions/{session}", "/admin/users", f"/admin/users/{user}"]:
        seen = Seen.of(await viewer.get(path))
        deeds = ("/revoke", "/matching", "/block", "/unblock", "/erase", "/note", "/export", "/everybody")
        assert {action for action in seen.actions if action.endswith(deeds)} == set(), path
        assert {link for link in seen.links if link.partition("?")[0].endswith(deeds)} == set(), path
        assert "button" not in [tag for tag, given in seen.elements if "danger" in given.get("class", "")], path
    seen = Seen.of(await operator.get(f"/admin/users/{user}"))
    assert {f"/admin/users/{user}/{deed}" for deed in ("revoke", "block", "erase")} <= seen.links
    incident = Seen.of(await viewer.get("/admin/incident"))
    assert not incident.links & REMEDIES
    assert Seen.of(await operator.get("/admin/incident")).links >= REMEDIES


@pytest.mark.gen_test
async def test_an_admin_of_some_mini_programs_is_led_only_where_he_may_go(embedded: Product, network: Network) -> None:
    limited = await make_operator(embedded, network, "admin", appids=[APPID])
    links = Seen.of(await limited.get("/admin/incident")).links
    assert links & REMEDIES == {"/admin/everybody", f"/admin/apps/{APPID}/refresh-token", "/admin/operators"}
    for link in links:
        if link.startswith("/admin/"):
            assert (await limited.get(link)).status == 200, link


@pytest.mark.gen_test
async def test_a_viewer_never_gets_a_whole_openid_and_nobody_a_token(
    embedded: Product, network: Network, phone: Phone
) -> None:
    viewer, operator = await make_operator(embedded, network, "viewer"), await make_operator(embedded, network)
    user, session = await arrive(phone)
    openid = await phone.openid()
    lists = [
        "/admin/sessions",
        "/admin/users",
        "/admin/logins",
        f"/admin/sessions/{session}",
    ]
    for path in [*lists, f"/admin/users/{user}"]:
        for who in (viewer, operator):
            page = await who.get(path)
            assert page.status == 200
            assert phone.token not in page.text
            assert phone.token[4:] not in page.text
            if who is viewer or path in lists[:3]:
                shown = Seen.of(page)
                assert all(openid not in word for word in shown.words), path
    # Whoever may act on people may see it, when he asks for it.
    shown = Seen.of(await operator.get(f"/admin/users/{user}"))
    assert openid in shown.words
    assert "details" in [tag for tag, _ in shown.elements]


@pytest.mark.gen_test
async def test_the_last_admin_stays_one(make_server: Callable[..., Product], network: Network) -> None:
    server = make_server()
    mei = await make_operator(server, network, name="mei")
    number = (await kept(server, "mei")).id
    for path, fields in [
        (f"/admin/operators/{number}", with_password(role="viewer", all_apps="yes")),
        (f"/admin/operators/{number}/disable", with_password()),
    ]:
        page = await mei.post(path, fields)
        assert page.status == 400, path
        assert "last admin" in page.text
    assert ((await kept(server, "mei")).role, (await kept(server, "mei")).state) == ("admin", "active")
    lan = await make_operator(server, network, name="lan")
    page = await lan.post(f"/admin/operators/{number}/disable", with_password())
    assert (page.path, page.status) == ("/admin/operators", 200)
    assert (await mei.ask("GET", "/admin/")).status == 303
    deeds = [(row.deed, row.target, row.result) for row in await rows_of(server, lan)]
    assert deeds == [("operator.disable", "operator:mei", "done")]


@pytest.mark.gen_test
async def test_a_role_that_was_taken_away_is_gone_at_the_next_click(
    embedded: Product, network: Network, phone: Phone
) -> None:
    admin, operator = await make_operator(embedded, network), await make_operator(embedded, network, "operator")
    _, session = await arrive(phone)
    form = (await operator.get(f"/admin/sessions/{session}/revoke")).form_token
    number = (await kept(embedded, operator.name)).id
    page = await admin.post(f"/admin/operators/{number}", with_password(role="viewer", all_apps="yes"))
    assert (page.path, page.status) == ("/admin/operators", 200)
    assert (await operator.post(f"/admin/sessions/{session}/revoke", sure(), form=form)).status == 403
    assert await statuses([phone]) == [200]
    assert [(row.deed, row.reason, row.role) for row in await rows(embedded, 2)] == [
        ("operator.role", "viewer", "admin"),
        ("dashboard.role", None, "viewer"),
    ]
