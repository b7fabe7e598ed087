"""Lists as files: safe to open in a spreadsheet, shortened where a person could be known, and written down."""

import csv
import io
import re

import pytest
from at_work import MakeServer, Phones, arrive, check_headers, rows_of, sure, with_password
from backends import Backend
from operator_at import Page, make_operator
from phone import Network, Phone
from product import Product

FORMULAS = [
    "=1+1",
    "+1",
    "-1+cmd|' /C calc'!A0",
    "@SUM(A1)",
    "\uff1d1+1",
    "\uff0b1",
    "\uff0d1",
    "\uff20SUM(A1)",
    "  =1+1",
    "\u3000=1+1",
]
HARMLESS = ["Mei, the first", 'said "hello"', "a=b", "1+1", "😀 小明", "; drop"]


def table(page: Page) -> list[dict[str, str]]:
    """The rows of a file."""
    assert page.status == 200, page.text
    text = page.answer.body.decode("utf-8")
    assert text.startswith("\ufeff")
    assert "\n" not in text.replace("\r\n", "")
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline="")))


async def name(phone: Phone, nickname: str) -> None:
    answer = await phone.request("PUT", "/api/me", json={"nickname": nickname}, headers=phone.bearer)
    assert answer.status == 200, answer.body


@pytest.mark.gen_test(timeout=60)
async def test_no_cell_is_a_formula_and_no_person_is_named_whole(
    make_server: MakeServer, backend: Backend, network: Network, phones: Phones
) -> None:
    server = make_server(**backend.fresh(), LOGIN_LIMIT=0)
    admin = await make_operator(server, network, "operator")
    people = phones(len(FORMULAS) + len(HARMLESS), at=server)
    openids = []
    for each, nickname in zip(people, [*FORMULAS, *HARMLESS], strict=True):
        await arrive(each)
        await name(each, nickname)
        openids.append(await each.openid())
    for kind in ("sessions", "users"):
        page = await admin.post(f"/admin/{kind}/export", {})
        check_headers(page.answer)
        assert page.answer.headers["Content-Type"] == "text/csv; charset=utf-8"
        disposition = page.answer.headers["Content-Disposition"]
        assert re.fullmatch(rf'attachment; filename="menshen-{kind}-[0-9-]+\.csv"', disposition), disposition
        found = table(page)
        assert len(found) == len(people)
        assert {row["nickname"] for row in found} == {*(f"'{each}" for each in FORMULAS), *HARMLESS}
        for row in found:
            assert not [cell for cell in row.values() if cell.strip().startswith(tuple("=+-@\uff1d\uff0b\uff0d\uff20"))]
            assert re.fullmatch(r".{4}….{4}", row["openid"])
        assert not [openid for openid in openids if openid in page.text]
        assert not [each.token for each in people if each.token in page.text or each.token[4:] in page.text]
    assert [(row.deed, row.result, row.target) for row in await rows_of(server, admin)] == [
        ("sessions.export", "done", "filter:all"),
        ("users.export", "done", "filter:all"),
    ]


@pytest.mark.gen_test
async def test_a_file_holds_what_the_list_shows(make_server: MakeServer, network: Network, phones: Phones) -> None:
    server = make_server(LOGIN_LIMIT=0)
    admin = await make_operator(server, network, "operator")
    people = phones(4, at=server)
    for n, each in enumerate(people):
        await arrive(each)
        await name(each, f"{'Odd' if n % 2 else 'Even'} {n}")
    await people[3].logout()
    assert {row["nickname"] for row in table(await admin.post("/admin/users/export", {"q": "Odd"}))} == {
        "Odd 1",
        "Odd 3",
    }
    live = table(await admin.post("/admin/sessions/export", {"q": "Odd"}))
    assert [(row["nickname"], row["state"]) for row in live] == [("Odd 1", "live")]
    ended = table(await admin.post("/admin/sessions/export", {"state": "ended"}))
    assert [(row["nickname"], row["state"]) for row in ended] == [("Odd 3", "logged_out")]
    assert [row.target for row in await rows_of(server, admin)] == [
        "filter:q=Odd",
        "filter:q=Odd",
        "filter:state=ended",
    ]


@pytest.mark.gen_test
@pytest.mark.parametrize("kind", ["sessions", "users"])
async def test_a_filter_that_there_is_not_gives_no_file_and_no_row(
    embedded: Product, network: Network, kind: str
) -> None:
    admin = await make_operator(embedded, network, "operator")
    for fields in ({"state": "<b>"}, {"from": "tomorrow"}, {"app": "'; --"}, {"q": "x" * 129}, {"q": "\x00"}):
        page = await admin.post(f"/admin/{kind}/export", fields)
        assert page.status == 400, fields
        assert "Content-Disposition" not in page.answer.headers
        assert page.answer.headers["Content-Type"].startswith("text/html")
    assert (await admin.post(f"/admin/{kind}/export", [("q", "a"), ("q", "b")])).status == 400
    assert await rows_of(embedded, admin) == []


@pytest.mark.gen_test
async def test_the_audit_goes_out_only_with_a_reason_and_its_own_row_is_in_it(
    server: Product, network: Network, phone: Phone
) -> None:
    admin = await make_operator(server, network)
    user, _ = await arrive(phone)
    await admin.post(f"/admin/users/{user}/revoke", sure("other", remark="=HYPERLINK(1)"))
    await admin.post(f"/admin/users/{user}/note", {"note": "=not in the audit"})
    page = await admin.post("/admin/audit/export", {})
    assert page.answer.headers["Content-Type"].startswith("text/html"), "it asks first"
    assert (await admin.post("/admin/audit/export", {"sure": "yes"})).status == 400
    page = await admin.post("/admin/audit/export", with_password("policy", remark="@yearly"))
    found = [row for row in table(page) if row["actor"] == f"operator:{admin.name}"]
    assert [(row["deed"], row["reason"]) for row in found[:3]] == [
        ("audit.export", "policy: @yearly"),
        ("user.note", ""),
        ("user.revoke", "other: =HYPERLINK(1)"),
    ]
    assert "not in the audit" not in page.text


@pytest.mark.gen_test
async def test_files_are_asked_for_with_a_form_not_with_a_link(embedded: Product, network: Network) -> None:
    admin = await make_operator(embedded, network)
    for path in ("/admin/sessions/export", "/admin/users/export"):
        assert (await admin.ask("GET", path)).status == 405
    page = await admin.get("/admin/audit/export")
    assert "Content-Disposition" not in page.answer.headers
