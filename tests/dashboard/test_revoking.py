"""Ending sessions from the dashboard: the phone's very next request is refused, and nothing is said that is not so."""

import asyncio
import re
from urllib.parse import quote

import pytest
from at_work import (
    NOBODY,
    MakeServer,
    Phones,
    arrive,
    check_headers,
    newest,
    rows,
    rows_of,
    statuses,
    sure,
    with_password,
)
from backends import BACKENDS, Backend
from operator_at import Operator, Page, make_operator
from patience import until_not
from phone import Network, Phone
from product import Product
from servers import MariaDB, RedisServer
from verdicts import refused, succeeded

TRIALS = 25


def undo_ids(page: Page) -> list[str]:
    """What the page offers to take back."""
    if 'action="/admin/undo"' not in page.answer.body.decode():
        return []
    form = page.answer.body.decode().split('action="/admin/undo"')[1].split("</form>")[0]
    return re.findall(r'name="id" value="([0-9a-f]{64})"', form)


async def take_back(operator: Operator, page: Page) -> Page:
    """Click on Undo."""
    return await operator.post("/admin/undo", [("id", each) for each in undo_ids(page)])


@pytest.mark.gen_test(timeout=60)
async def test_the_very_next_request_of_a_revoked_phone_is_refused(
    server: Product, network: Network, phones: Phones
) -> None:
    admin = await make_operator(server, network, "operator")
    form = (await admin.get("/admin/me")).form_token
    for mei in phones(TRIALS):
        _, session = await arrive(mei)
        succeeded(await mei.verify())
        answer = await admin.ask("POST", f"/admin/sessions/{session}/revoke", {**sure(), "form": form})
        assert answer.status == 303
        refused(await mei.verify(), 401002, reason="revoked")


@pytest.mark.gen_test
async def test_a_click_asks_first_and_the_second_one_does_it(server: Product, network: Network, phone: Phone) -> None:
    admin = await make_operator(server, network, "operator")
    _, session = await arrive(phone)
    path = f"/admin/sessions/{session}/revoke"
    asked = await admin.get(path)
    assert "on this one phone" in asked.text
    assert asked.value("sure") == "yes"
    # Without the second click nothing happens, whatever is sent.
    again = await admin.post(path, {"reason": "lost_phone", "remark": "he called"})
    assert again.status == 200
    assert 'value="he called"' in again.text
    assert await statuses([phone]) == [200]
    page = await admin.post(path, sure("lost_phone", remark="he called"))
    assert (page.path, page.status) == ("/admin/sessions", 200)
    assert "Ended 1 session of 1 person." in page.text
    assert await statuses([phone]) == [401]
    [row] = await rows_of(server, admin)
    assert (row.deed, row.result, row.reason) == ("session.revoke", "done", "lost_phone: he called")


@pytest.mark.gen_test
@pytest.mark.parametrize("fields", [{}, {"reason": "no such reason"}, {"reason": "test", "remark": "x" * 151}])
async def test_a_deed_without_a_reason_that_there_is_is_not_done(
    embedded: Product, network: Network, phone: Phone, fields: dict[str, str]
) -> None:
    admin = await make_operator(embedded, network)
    user, session = await arrive(phone)
    for path in (f"/admin/sessions/{session}/revoke", f"/admin/users/{user}/revoke", f"/admin/users/{user}/block"):
        assert (await admin.post(path, {"sure": "yes", **fields})).status == 400, path
    assert await rows_of(embedded, admin) == []
    assert await statuses([phone]) == [200]


@pytest.mark.gen_test
async def test_revoking_what_has_ended_already_is_the_same_page(
    server: Product, network: Network, phone: Phone
) -> None:
    admin = await make_operator(server, network, "operator")
    _, session = await arrive(phone)
    path = f"/admin/sessions/{session}/revoke"
    first, second = await admin.post(path, sure()), await admin.post(path, sure())
    assert (first.path, first.status) == (second.path, second.status) == ("/admin/sessions", 200)
    assert "it had ended already" in second.text
    assert undo_ids(second) == []
    assert [row.result for row in await rows_of(server, admin)] == ["done", "already ended"]
    for path in (f"/admin/sessions/{NOBODY}/revoke", f"/admin/sessions/{NOBODY[:8]}/revoke"):
        assert (await admin.post(path, sure())).status == 404
    assert len(await rows_of(server, admin)) == 2


@pytest.mark.gen_test
async def test_an_undo_brings_a_token_back_to_life_but_only_for_whoever_revoked_it(
    server: Product, network: Network, phone: Phone
) -> None:
    admin, other = await make_operator(server, network, "operator"), await make_operator(server, network)
    _, session = await arrive(phone)
    page = await admin.post(f"/admin/sessions/{session}/revoke", sure())
    assert undo_ids(page) == [session]
    assert "could not be undone" in (await other.post("/admin/undo", {"id": session})).text
    assert await statuses([phone]) == [401]
    assert "1 session of 1 person hold" in (await take_back(admin, page)).text
    assert await statuses([phone]) == [200]
    # The offer is made once; a second click does no harm.
    assert undo_ids(await admin.get("/admin/sessions")) == []
    assert (await admin.post("/admin/undo", {"id": session})).status == 200
    assert await statuses([phone]) == [200]


@pytest.mark.gen_test
@pytest.mark.parametrize("ids", [[], ["0"], ["g" * 64], ["0" * 64, "x"], [f"{n:064x}" for n in range(501)]])
async def test_an_undo_of_nonsense_is_refused(embedded: Product, network: Network, ids: list[str]) -> None:
    admin = await make_operator(embedded, network, "operator")
    page = await admin.post("/admin/undo", [("id", each) for each in ids])
    assert page.status in (400, 404)
    assert await rows_of(embedded, admin) == []


@pytest.mark.gen_test
async def test_a_selection_ends_whole_and_comes_back_whole(server: Product, network: Network, phones: Phones) -> None:
    admin = await make_operator(server, network, "operator")
    people = phones(4)
    chosen = [("id", (await arrive(each))[1]) for each in people]
    asked = await admin.post("/admin/sessions/revoke", chosen[:3])
    assert "3 sessions of 3 people end at once" in asked.text
    assert await statuses(people) == [200] * 4
    page = await admin.post("/admin/sessions/revoke", [*chosen[:3], *sure().items()])
    assert "Ended 3 sessions of 3 people." in page.text
    assert await statuses(people) == [401] * 3 + [200]
    assert set(undo_ids(page)) == {session for _, session in chosen[:3]}
    assert "3 sessions of 3 people hold" in (await take_back(admin, page)).text
    assert await statuses(people) == [200] * 4
    await people[0].logout()
    page = await admin.post("/admin/sessions/revoke", [*chosen[:2], *sure().items()])
    assert "Ended 1 session of 1 person. 1 session had ended already." in page.text
    assert [(row.deed, row.count) for row in await rows_of(server, admin)] == [
        ("selection.revoke", 3),
        ("session.undo", 3),
        ("selection.revoke", 1),
    ]


@pytest.mark.gen_test
async def test_a_selection_of_nothing_or_of_nonsense_ends_nothing(
    embedded: Product, network: Network, phone: Phone
) -> None:
    admin = await make_operator(embedded, network, "operator")
    _, session = await arrive(phone)
    assert "No session was chosen" in (await admin.post("/admin/sessions/revoke", sure())).text
    for wrong in (NOBODY, session[:63], "zz" * 32, "' OR 1=1 --"):
        fields = [("id", session), ("id", wrong), *sure().items()]
        assert (await admin.post("/admin/sessions/revoke", fields)).status in (400, 404)
    assert (await admin.post("/admin/sessions/revoke", [("id", session)] * 201)).status == 400
    assert await statuses([phone]) == [200]
    assert await rows_of(embedded, admin) == []


@pytest.mark.gen_test
async def test_what_the_dry_run_counts_is_what_ends(
    make_server: MakeServer, backend: Backend, network: Network, phones: Phones
) -> None:
    server = make_server(**backend.fresh(), LOGIN_LIMIT=0)
    admin = await make_operator(server, network, "operator")
    old, new = phones(5, at=server), phones(3, at=server)
    for each in old:
        await arrive(each)
    await arrive(old[0])
    for each in new:
        await arrive_with_version(each, "99")
    asked = await admin.get("/admin/sessions/matching?version=12")
    assert "6 sessions of 5 people match now" in asked.text
    assert "Version: 12" in asked.text
    assert await statuses([*old, *new]) == [200] * 8
    page = await admin.post("/admin/sessions/matching?version=12", sure("policy"))
    assert "Ended 6 sessions of 5 people." in page.text
    assert undo_ids(page) == []
    assert await statuses([*old, *new]) == [401] * 5 + [200] * 3
    [row] = await rows_of(server, admin)
    assert (row.deed, row.result, row.count, row.target, row.reason) == (
        "filter.revoke",
        "done",
        6,
        "filter:version=12",
        "policy",
    )
    assert "Nothing was ended" in (await admin.post("/admin/sessions/matching?version=12", sure())).text
    assert await statuses(new) == [200] * 3


async def arrive_with_version(phone: Phone, version: str) -> None:
    headers = {"Referer": f"https://servicewechat.com/{phone.appid}/{version}/page-frame.html"}
    answer = await phone.request("POST", "/api/login", json={"code": await phone.code()}, headers=headers)
    phone.token = succeeded(answer)["token"]
    phone.server.never_logged.add(phone.token)


@pytest.mark.gen_test
@pytest.mark.parametrize("query", ["state=x", "platform=%3Cb%3E", "from=tomorrow", "app=%27", "seen=-1h", "q=%ff"])
async def test_a_filter_that_cannot_be_understood_ends_nobody(
    embedded: Product, network: Network, phone: Phone, query: str
) -> None:
    admin = await make_operator(embedded, network)
    await arrive(phone)
    for page in (
        await admin.get(f"/admin/sessions/matching?{query}"),
        await admin.post(f"/admin/sessions/matching?{query}", with_password()),
    ):
        assert page.status == 400
    assert await statuses([phone]) == [200]
    assert [row for row in await rows_of(embedded, admin) if row.deed == "filter.revoke"] == []


@pytest.mark.gen_test
async def test_everybody_goes_out_only_with_the_password_in_that_very_form(
    make_server: MakeServer, backend: Backend, network: Network, phones: Phones
) -> None:
    server = make_server(**backend.fresh(), LOGIN_LIMIT=0)
    admin = await make_operator(server, network)
    people = phones(6, at=server)
    for each in people:
        await arrive(each)
    assert "6 sessions of all people end" in (await admin.get("/admin/everybody")).text
    for fields, told in [(sure(), "Please type your password"), (sure(password="wrong one"), "password is wrong")]:
        page = await admin.post("/admin/everybody", fields)
        assert (page.status, told in page.text) == (403, True)
    assert await statuses(people) == [200] * 6
    page = await admin.post("/admin/everybody", with_password("leak"))
    assert "Everybody is out: ended 6 sessions." in page.text
    assert undo_ids(page) == []
    for each in people:
        refused(await each.verify(), 401002, reason="revoked")
    # That the password was given a moment ago does not help.
    await arrive(people[0])
    assert (await admin.post("/admin/everybody", sure())).status == 403
    assert await statuses(people[:1]) == [200]
    deeds = [(row.deed, row.result, row.count, row.reason) for row in await rows_of(server, admin)]
    assert deeds == [("operator.signin_failed", "denied", None, None), ("everybody.revoke", "done", 6, "leak")]


@pytest.mark.gen_test
async def test_a_person_is_logged_out_everywhere_without_an_undo(
    server: Product, network: Network, phone: Phone, phones: Phones
) -> None:
    admin = await make_operator(server, network, "operator")
    [other] = phones(1)
    tokens = []
    for _ in range(3):
        user, _ = await arrive(phone)
        tokens.append(phone.token)
    await arrive(other)
    assert "3 sessions of this one person" in (await admin.get(f"/admin/users/{user}/revoke")).text
    page = await admin.post(f"/admin/users/{user}/revoke", sure("asked"))
    assert (page.path, undo_ids(page)) == (f"/admin/users/{user}", [])
    assert "Ended 3 sessions of 1 person." in page.text
    for token in tokens:
        phone.token = token
        refused(await phone.verify(), 401002, reason="revoked")
    assert await statuses([other]) == [200]


@pytest.mark.gen_test
async def test_who_is_blocked_is_out_and_stays_out_and_unblocking_revives_nothing(
    server: Product, network: Network, phone: Phone
) -> None:
    admin = await make_operator(server, network, "operator")
    user, _ = await arrive(phone)
    for until in ("1", "-1", "never", "3601"):
        assert (await admin.post(f"/admin/users/{user}/block", sure(until=until))).status == 400
    assert await statuses([phone]) == [200]
    page = await admin.post(f"/admin/users/{user}/block", sure("suspicious", remark="sells codes", until="86400"))
    assert page.path == f"/admin/users/{user}"
    assert "Blocked 1 person and ended 1 session." in page.text
    assert "sells codes" in page.text
    refused(await phone.verify(), 401002, reason="blocked")
    refused(await phone.login(), 403003)
    page = await admin.post(f"/admin/users/{user}/unblock", sure())
    assert "may log in again" in page.text
    assert (await phone.verify()).status == 401
    await arrive(phone)
    assert await statuses([phone]) == [200]
    assert [(row.deed, row.result, row.target, row.reason) for row in await rows_of(server, admin)] == [
        ("user.block", "done", f"user:{user}", "suspicious: sells codes"),
        ("user.unblock", "done", f"user:{user}", None),
    ]


@pytest.mark.gen_test
async def test_an_erasure_gives_a_receipt_and_leaves_nothing_to_look_at(
    server: Product, network: Network, phone: Phone
) -> None:
    admin = await make_operator(server, network)
    user, _ = await arrive(phone)
    openid = await phone.openid()
    page = await admin.post(f"/admin/users/{user}/erase", sure("asked"))
    row = await newest(server)
    assert (row.deed, row.result, row.target) == ("user.erase", "done", f"user:{user}")
    assert f"Erased user {user}: ended 1 session. Receipt: audit row {row.n}," in page.text
    assert (await phone.verify()).status == 401
    assert (await admin.get(f"/admin/users/{user}")).status == 404
    assert "No user matches." in (await admin.get(f"/admin/users?q={quote(openid)}")).text
    again, _ = await arrive(phone)
    assert again != user


@pytest.mark.gen_test(timeout=60)
async def test_while_the_session_store_is_down_a_deed_says_that_it_failed(
    make_server: MakeServer,
    mariadb: MariaDB,
    redis_server: RedisServer,
    network: Network,
    phones: Phones,
) -> None:
    server = make_server(**Backend(BACKENDS[1], mariadb, redis_server).fresh(), LOGIN_LIMIT=0)
    admin = await make_operator(server, network)
    [mei] = phones(1, at=server)
    user, session = await arrive(mei)
    assert (await admin.get("/admin/sessions")).status == 200
    form = (await admin.get("/admin/me")).form_token
    redis_server.stop()
    for path in (f"/admin/users/{user}/revoke", f"/admin/sessions/{session}/revoke", "/admin/everybody"):
        page = await admin.post(path, with_password(), form=form)
        assert page.status == 503, path
        check_headers(page.answer)
        assert "does not answer, so nothing was done" in page.text
        assert "Ended" not in page.text
    for path in ("/admin/sessions", f"/admin/sessions/{session}", f"/admin/users/{user}"):
        page = await admin.get(path)
        assert page.status == 503, path
        check_headers(page.answer)
        assert "revoked" not in page.text
    assert (await admin.get("/admin/")).status == 200, "the overview says what is unknown"
    redis_server.start()
    assert (await until_not(503, mei.verify)).status == 200, "the token was never dead"
    found = await rows_of(server, admin)
    assert not [row for row in found if row.result == "done" and not [f for f in found if f.concerns == row.n]]


@pytest.mark.gen_test(timeout=60)
async def test_when_the_session_store_goes_down_during_a_deed_the_audit_says_failed(
    make_server: MakeServer, mariadb: MariaDB, redis_server: RedisServer, network: Network, phones: Phones
) -> None:
    server = make_server(**Backend(BACKENDS[1], mariadb, redis_server).fresh(), LOGIN_LIMIT=0)
    admin = await make_operator(server, network)
    [mei] = phones(1, at=server)
    _, session = await arrive(mei)
    page = await admin.post(f"/admin/sessions/{session}/revoke", sure())
    offered = undo_ids(page)
    form = (await admin.get("/admin/me")).form_token
    redis_server.stop()
    page = await admin.post("/admin/undo", [("id", each) for each in offered], form=form)
    assert page.status == 503
    assert "hold again" not in page.text
    _, intended, failed = await rows_of(server, admin)
    assert (intended.deed, intended.result) == ("session.undo", "done")
    assert (failed.deed, failed.result, failed.concerns) == ("session.undo", "failed", intended.n)
    redis_server.start()
    assert (await until_not(503, mei.verify)).status == 401


@pytest.mark.gen_test
async def test_many_operators_at_one_session_end_it_once(server: Product, network: Network, phone: Phone) -> None:
    operators = [await make_operator(server, network, "operator") for _ in range(4)]
    _, session = await arrive(phone)
    forms = [(await each.get("/admin/me")).form_token for each in operators]
    path = f"/admin/sessions/{session}/revoke"
    pages = await asyncio.gather(
        *(each.post(path, sure(), form=form) for each, form in zip(operators, forms, strict=True))
    )
    assert {page.status for page in pages} == {200}
    assert sum("Ended 1 session" in page.text for page in pages) == 1
    assert (await phone.verify()).status == 401
    last = [row.deed for row in await rows(server, 4)]
    assert last == ["session.revoke"] * 4
