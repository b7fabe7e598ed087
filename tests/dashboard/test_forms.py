"""A form counts only when the operator himself sent it from a page of ours: anything else changes nothing."""

import pytest
from at_work import arrive, dashboard_routes, guarded_posts, rows, rows_of, statuses, sure, with_password
from operator_at import PASSWORD, Operator, make_operator
from phone import Network, Phone
from product import Product

from handlers.operator_page import OperatorPage

EVIL = "https://evil.example"
FOREIGN: list[dict[str, str | None]] = [
    {"Origin": EVIL},
    {"Origin": EVIL, "Sec-Fetch-Site": None},
    {"Origin": "null", "Sec-Fetch-Site": None},
    {"Origin": "null", "Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": None, "Sec-Fetch-Site": "cross-site"},
    {"Origin": "http://["},
    {"Origin": "http://a:99999999"},
    {"Origin": "http://" + "x" * 8_000},
    {"Origin": "http://\u00e4\u00f6"},
    {"Origin": ""},
]


async def posts_of(network: Network, server: Product, phone: Phone) -> tuple[Operator, list[str]]:
    """An admin, and every form that he may send, on a session that holds."""
    admin = await make_operator(server, network)
    user, session = await arrive(phone)
    return admin, [path for path, _ in guarded_posts(user, session, 1)]


def everything(form: str | None, session: str = "0" * 64) -> list[tuple[str, str]]:
    """Fields that would satisfy any form."""
    fields = with_password(id=session, name="grown-by-hand", role="admin", all_apps="yes", note="x", old=PASSWORD)
    fields |= {"new": "another fine password", "again": "another fine password"}
    return [*fields.items(), *([("form", form)] if form is not None else [])]


@pytest.mark.gen_test(timeout=60)
async def test_without_its_token_or_with_somebody_elses_no_form_counts(
    server: Product, network: Network, phone: Phone
) -> None:
    admin, paths = await posts_of(network, server, phone)
    other = await make_operator(server, network)
    foreign = (await other.get("/admin/me")).form_token
    former = Operator(server, network)
    await former.sign_in(admin.name)
    old = (await former.get("/admin/me")).form_token
    await former.post("/admin/signout", form=old)
    visitors = (await Operator(server, network).get("/admin/signin")).form_token
    mine = (await admin.get("/admin/me")).form_token
    wrong: list[list[tuple[str, str]]] = [
        everything(None),
        everything(""),
        everything(foreign),
        everything(old),
        everything(visitors),
        everything(mine[:-1]),
        everything(mine.upper() if mine.upper() != mine else mine + "0"),
        [*everything(mine), ("form", mine)],
    ]
    for path in paths:
        for fields in wrong:
            answer = await admin.ask("POST", path, fields)
            assert answer.status == 403, path
    denied = [row for row in await rows_of(server, admin, 400) if row.deed == "dashboard.form"]
    assert [row.target for row in denied] == [path for path in paths for _ in wrong]
    assert {row.result for row in denied} == {"denied"}
    assert await statuses([phone]) == [200]
    assert (await admin.ask("GET", "/admin/me")).status == 200, "he is still signed in"


@pytest.mark.gen_test(timeout=60)
async def test_a_form_sent_by_another_sites_page_counts_nowhere(
    embedded: Product, network: Network, phone: Phone
) -> None:
    admin, paths = await posts_of(network, embedded, phone)
    form = (await admin.get("/admin/me")).form_token
    before = await rows_of(embedded, admin)
    for path in [*paths, "/admin/signin", "/admin/setup"]:
        for headers in FOREIGN:
            answer = await admin.ask("POST", path, everything(form), headers=headers)
            assert answer.status == 403, (path, headers)
            assert "Access-Control-Allow-Origin" not in answer.headers
            assert b"evil.example" not in answer.body
    done = [row for row in await rows_of(embedded, admin, 100) if row.result != "denied"]
    assert done == before
    assert await statuses([phone]) == [200]
    assert (await admin.ask("GET", "/admin/me")).status == 200


@pytest.mark.gen_test
async def test_a_browser_that_says_neither_where_it_is_is_judged_by_the_token_alone(
    embedded: Product, network: Network, phone: Phone
) -> None:
    admin = await make_operator(embedded, network)
    _, session = await arrive(phone)
    silent: dict[str, str | None] = {"Origin": None, "Sec-Fetch-Site": None}
    path = f"/admin/sessions/{session}/revoke"
    for form in ("", "0" * 64):
        assert (await admin.ask("POST", path, {**sure(), "form": form}, headers=silent)).status == 403
    assert await statuses([phone]) == [200]
    form = (await admin.get(path)).form_token
    # Our own Referrer-Policy makes a browser say `null` for a form of ours.
    own: dict[str, str | None] = {"Origin": "null", "Sec-Fetch-Site": "same-origin"}
    for headers in (silent, own):
        answer = await admin.ask("POST", path, {**sure(), "form": form}, headers=headers)
        assert (answer.status, answer.headers["Location"]) == (303, "/admin/sessions")
    assert await statuses([phone]) == [401]


@pytest.mark.gen_test
async def test_looking_never_does_anything(embedded: Product, network: Network, phone: Phone) -> None:
    admin, paths = await posts_of(network, embedded, phone)
    before = await rows(embedded, 1)
    fields = "&".join(f"{name}={value}" for name, value in everything((await admin.get("/admin/me")).form_token))
    for path in paths:
        answer = await admin.ask("GET", f"{path}?{fields.replace(' ', '+')}")
        assert answer.status in (200, 303, 400, 404, 405), path
        assert (answer.status == 405) == ("Allow" in answer.headers)
    assert await rows(embedded, 1) == before
    assert await statuses([phone]) == [200]
    assert (await admin.ask("GET", "/admin/me")).status == 200


@pytest.mark.gen_test
async def test_nobody_who_is_signed_out_sends_a_form(embedded: Product, network: Network, phone: Phone) -> None:
    admin, paths = await posts_of(network, embedded, phone)
    form = (await admin.get("/admin/me")).form_token
    newest = await rows(embedded, 1)
    stranger = Operator(embedded, network)
    for path in paths:
        answer = await stranger.ask("POST", path, everything(form))
        assert (answer.status, answer.headers["Location"].partition("?")[0]) == (303, "/admin/signin")
    assert await rows(embedded, 1) == newest
    assert await statuses([phone]) == [200]


@pytest.mark.gen_test
async def test_other_methods_and_other_bodies_are_refused(embedded: Product, network: Network, phone: Phone) -> None:
    admin, paths = await posts_of(network, embedded, phone)
    newest = await rows(embedded, 1)
    for path in paths:
        for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
            answer = await admin.ask(method, path, headers={"Origin": EVIL, "Access-Control-Request-Method": "POST"})
            assert answer.status in (403, 405), (method, path)
            assert not any(name.lower().startswith("access-control") for name in answer.headers)
        for kind in ("application/json", "text/plain", "multipart/form-data; boundary=x"):
            answer = await admin.ask("POST", path, everything("x"), headers={"Content-Type": kind})
            assert answer.status in (403, 415), (kind, path)
    assert [row for row in await rows_of(embedded, admin, 200) if row.result == "done"] == []
    assert {row.result for row in await rows(embedded, 1)} <= {"denied", newest[0].result}
    assert await statuses([phone]) == [200]


def test_every_form_below_admin_is_one_of_these() -> None:
    """A page that takes forms and is neither guarded by a session nor the way in would slip through all of this."""
    others = {path for path, handler in dashboard_routes("POST") if not issubclass(handler, OperatorPage)}
    assert others == {"/admin/signin", "/admin/setup"}
