"""Lists that are asked for nonsense say so, and a list that is walked page by page shows each row once."""

import asyncio
from urllib.parse import urlencode

import pytest
from at_work import MakeServer, Phones, Seen, arrive, check_headers
from backends import Backend
from operator_at import make_operator
from phone import Network, Phone
from product import Product

LISTS = ("sessions", "users", "logins", "audit")
HOSTILE = [
    "x",
    "-1",
    "0",
    "1e9",
    "1-",
    "-",
    "1-zz",
    "9" * 30 + "-" + "0" * 64,
    "1-" + "0" * 63,
    "1-" + "0" * 65,
    "1-" + "0" * 1_000,
    "' OR 1=1 --",
    "1;2",
    "../../x",
    "\u0661",
    "1\n2",
    "<b>",
    "\x00",
    "%00",
]


@pytest.mark.gen_test(timeout=60)
@pytest.mark.parametrize("name", LISTS)
async def test_a_place_that_no_page_gave_is_a_400_and_never_a_500(
    server: Product, network: Network, phone: Phone, name: str
) -> None:
    admin = await make_operator(server, network)
    await arrive(phone)
    for place in HOSTILE:
        answer = await admin.ask("GET", f"/admin/{name}?{urlencode({'after': place})}")
        begins_anywhere = place == "1-" and name in ("users", "audit")  # there a number alone is a place
        assert answer.status == (200 if begins_anywhere else 400), place
        check_headers(answer)
    for raw in ("after=%ff", "after=%ff%fe", "after=1&after=x", "after[]=1&after=x"):
        assert (await admin.ask("GET", f"/admin/{name}?{raw}")).status == 400, raw


@pytest.mark.gen_test(timeout=60)
@pytest.mark.parametrize("name", LISTS)
async def test_a_filter_that_cannot_be_is_a_400_with_the_filters_to_mend(
    embedded: Product, network: Network, name: str
) -> None:
    admin = await make_operator(embedded, network)
    fields = {
        "sessions": ["app", "platform", "version", "environment", "state", "seen", "from", "to", "order"],
        "users": ["app", "state", "from", "to"],
        "logins": ["app", "platform", "result", "errcode", "from", "to"],
        "audit": ["deed", "result", "app", "from", "to"],
    }[name]
    for field in fields:
        for value in ("<b>", "%27--", "x" * 1_000, "%00", "%ff", "-", "2026-02-30", "0000-01-01", "9999-12-32", "1d1d"):
            answer = await admin.ask("GET", f"/admin/{name}?{field}={value}")
            assert answer.status == 400 or (field in ("version", "app") and value == "1d1d"), (field, value)
            assert b'role="alert"' in answer.body or answer.status == 200
            check_headers(answer)
    for raw in ("q=" + "x" * 129, "actor=" + "x" * 129):
        takes = {"q": name in ("sessions", "users"), "actor": name == "audit"}[raw.partition("=")[0]]
        assert (await admin.ask("GET", f"/admin/{name}?{raw}")).status == (400 if takes else 200), raw


@pytest.mark.gen_test
@pytest.mark.parametrize("name", LISTS)
async def test_what_is_at_the_edge_of_time_is_answered(embedded: Product, network: Network, name: str) -> None:
    admin = await make_operator(embedded, network)
    for query in (
        "from=9999-12-31",
        "to=9999-12-31",
        "from=9999-12-31&to=1971-01-01",
        "to=1970-01-01",
        "from=0001-01-01",
    ):
        assert (await admin.ask("GET", f"/admin/{name}?{query}")).status in (200, 400), query


@pytest.mark.gen_test(timeout=90)
async def test_a_list_walked_to_its_end_shows_each_row_once_whatever_limit_is_asked(
    make_server: MakeServer, backend: Backend, network: Network, phones: Phones
) -> None:
    server = make_server(**backend.fresh(), LOGIN_LIMIT=0)
    admin = await make_operator(server, network)
    people = phones(110, at=server)
    for start in range(0, 110, 22):
        await asyncio.gather(*(arrive(each) for each in people[start : start + 22]))
    await admin.get("/admin/sessions/matching")  # what waits to be written is written before it
    for name, most in (("sessions", 50), ("users", 50), ("logins", 50)):
        for limit in ("-1", "1000000000", "0"):
            shown = Seen.of(await admin.get(f"/admin/{name}?limit={limit}&page_size={limit}&most={limit}"))
            assert len(persons(shown)) == most
        path, found = f"/admin/{name}", list[str]()
        for _ in range(5):
            page = await admin.get(path)
            assert page.status == 200
            found += persons(Seen.of(page))
            following = [given["href"] for tag, given in Seen.of(page).elements if given.get("rel") == "next"]
            if not following:
                break
            path = following[0]
        assert len(found) == len(set(found)) == 110, (name, len(found), len(set(found)))


def persons(seen: Seen) -> list[str]:
    """The links to people in a list, row by row."""
    return [given["href"] for tag, given in seen.elements if given.get("class") == "person-link"]
