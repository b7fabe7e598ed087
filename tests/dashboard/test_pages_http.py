"""What the pages give out: headers on every answer, no Host and no markup of anybody's, and no secret anywhere."""

import base64
import re
from collections.abc import Callable
from urllib.parse import quote, urlencode

import pytest
from at_work import MakeServer, Phones, Seen, arrive, check_headers, dashboard_routes, sure, with_password
from operator_at import BROWSER, PASSWORD, Operator, Page, make_operator
from phone import Network, Phone
from product import APPSECRET, Product
from shell import settings_of
from verdicts import id_of, succeeded

import process
from handlers.browsers import called

PAYLOADS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg onload=alert(1)>",
    "{{1337*1337}}",
    "${1337*1337}",
    "{%print(1337*1337)%}",
    "#{1337*1337}",
    "<%= 1337*1337 %>",
    "{0.__class__.__mro__}",
    "{n}{person}{sessions}",
    "%s%n%(name)s",
    "javascript:alert(1)",
    "data:text/html,<b>x",
    "</title><b>bold</b>",
    "</textarea><script>x</script>",
    "</script><script>x</script>",
    "<!--",
    "--><b>x</b>",
    "<![CDATA[<b>x</b>]]>",
    "\u2028alert(1)\u2029",
    "\\u003cb\\u003e",
    "&lt;b&gt;&amp;#60;",
    "&#x3c;b&#x3e;",
    "\uff1cscript\uff1e",
    "' onmouseover='alert(1)",
    '" autofocus onfocus="alert(1)',
    "`onclick=alert(1)`",
    "\u202egnp.exe\u202c",
    "' OR 1=1; DROP TABLE user; --",
    "../../../../etc/passwd",
    "\ufeff=HYPERLINK(1)",
]
SAFE_TAGS = re.compile(
    "html|head|meta|title|link|script|body|a|header|div|nav|form|input|button|main|p|h[123]|code|pre|ul|li|ol|dl|dt|dd|"
    "table|thead|tbody|tr|th|td|span|small|strong|bdi|time|meter|details|summary|label|select|option|textarea|section|"
    "footer|img|figure|figcaption|svg|line|rect|fieldset|legend|datalist"
)


def check_harmless(page: Page) -> Seen:
    """Raise AssertionError when the page has an element, an attribute or an address that none of ours has."""
    seen = Seen.of(page)
    assert "1787569" not in page.text
    for tag, attributes in seen.elements:
        assert SAFE_TAGS.fullmatch(tag), tag
        assert not [name for name in attributes if name.startswith("on") or name == "style"], (tag, attributes)
        for name in ("href", "src", "action", "data-stream"):
            address = attributes.get(name, "/")
            assert re.match(r"/(?!/)|#|\?|data:image/svg\+xml", address), (tag, address)
        if tag == "script":
            assert attributes["src"].startswith("/static/")
    assert not re.search(r"<script[^>]*>[^<]", page.answer.body.decode())
    return seen


@pytest.mark.gen_test(timeout=90)
async def test_what_people_call_themselves_is_text_on_every_page(
    make_server: MakeServer, network: Network, phones: Phones
) -> None:
    server = make_server(LOGIN_LIMIT=0)
    admin = await make_operator(server, network)
    people = phones(len(PAYLOADS), at=server)
    ids = []
    for mei, payload in zip(people, PAYLOADS, strict=True):
        agent = f"Mozilla/5.0 (Linux; Android 14; {payload.encode('ascii', 'replace').decode()}) MicroMessenger/8.0.50"
        answer = await mei.request(
            "POST",
            "/api/login",
            json={"code": await mei.code()},
            headers={"User-Agent": agent, "Referer": f"https://servicewechat.com/{payload[:3]}/12/page-frame.html"}
            if payload.isascii()
            else {"User-Agent": agent},
        )
        mei.token = succeeded(answer)["token"]
        server.never_logged.add(mei.token)
        ids.append((int(answer.json["user"]["id"]), id_of(mei.token)))
        succeeded(await mei.request("PUT", "/api/me", json={"nickname": payload}, headers=mei.bearer))
    check_harmless(await admin.get("/admin/sessions/matching"))  # what waits to be written is written before it
    for path in ("/admin/sessions", "/admin/users", "/admin/logins", "/admin/"):
        seen = check_harmless(await admin.get(path))
        if path != "/admin/":
            assert not [payload for payload in PAYLOADS if payload not in seen.words], path
    for (user, session), payload in zip(ids, PAYLOADS, strict=True):
        for path in (
            f"/admin/users/{user}",
            f"/admin/users/{user}/block",
            f"/admin/sessions/{session}",
            f"/admin/sessions/{session}/revoke",
        ):
            page = await admin.get(path)
            assert page.status == 200
            assert payload in check_harmless(page).text, path
    page = await admin.post(f"/admin/users/{ids[0][0]}/erase", with_password())
    check_harmless(page)


@pytest.mark.gen_test(timeout=90)
async def test_what_operators_type_in_is_text_wherever_it_is_shown(
    embedded: Product, network: Network, phone: Phone
) -> None:
    admin, viewer = await make_operator(embedded, network), await make_operator(embedded, network, "viewer")
    user, session = await arrive(phone)
    for payload in PAYLOADS:
        for path, name in [
            ("/admin/sessions", "q"),
            ("/admin/users", "q"),
            ("/admin/audit", "actor"),
            ("/admin/audit", "target"),
        ]:
            page = await admin.get(f"{path}?{urlencode({name: payload})}")
            assert page.status == 200, (path, payload)
            assert payload.strip() in check_harmless(page).text, (path, name, payload)
        for name in ("platform", "version", "state", "seen", "from", "to", "order", "app", "environment", "after"):
            page = await admin.get(f"/admin/sessions?{urlencode({name: payload})}")
            assert page.status == 400, (name, payload)
            check_harmless(page)
        page = await admin.post(f"/admin/sessions/{session}/revoke", {"remark": payload})
        assert payload in check_harmless(page).text
        assert (await admin.post(f"/admin/users/{user}/note", {"note": payload})).path == f"/admin/users/{user}"
        for who in (admin, viewer):
            assert payload.strip() in check_harmless(await who.get(f"/admin/users/{user}")).text
    for payload in PAYLOADS:
        page = await admin.post(f"/admin/users/{user}/revoke", sure("other", remark=payload))
        assert payload.strip() in check_harmless(page).text, payload
    for path in (f"/admin/users/{user}", f"/admin/audit?actor=operator:{admin.name}"):
        seen = check_harmless(await admin.get(path))
        assert all(payload.strip() in seen.text for payload in PAYLOADS), path


@pytest.mark.gen_test(timeout=60)
async def test_names_browsers_languages_and_paths_are_text_too(embedded: Product, network: Network) -> None:
    admin = await make_operator(embedded, network)
    stranger = Operator(embedded, network)
    for payload in PAYLOADS:
        fields = with_password(name=payload, role="viewer", all_apps="yes")
        page = await admin.post("/admin/operators", fields)
        assert page.status == 400, payload
        assert payload in check_harmless(page).text
        form = (await admin.get("/admin/me")).form_token
        answer = await admin.ask("POST", "/admin/me/tastes", {"timezone": payload, "form": form})
        assert answer.status == 400
        check_harmless(Page(answer, "/admin/me/tastes"))
        for path in (
            f"/admin/signin?next={quote(payload)}",
            f"/admin/signin?lang={quote(payload)}",
            f"/admin/{quote(payload, safe='')}",
            f"/admin/users/{quote(payload, safe='')}",
            f"/admin/sessions?{quote(payload)}={quote(payload)}",
        ):
            for who in (admin, stranger):
                answer = await who.ask("GET", path)
                assert answer.status in (200, 303, 404), path
                check_harmless(Page(answer, path))
    for payload in (payload for payload in PAYLOADS if payload.isascii()):
        odd = Operator(embedded, network)
        form = (await odd.get("/admin/signin")).form_token
        fields = {"name": admin.name, "password": "", "code": "", "form": form}
        answer = await odd.ask("POST", "/admin/signin", fields, headers={"User-Agent": payload})
        assert answer.status in (403, 429)
        check_harmless(Page(answer, "/admin/signin"))


@pytest.mark.gen_test
async def test_a_browser_that_calls_itself_markup_is_text_in_the_list_of_browsers(
    embedded: Product, network: Network
) -> None:
    admin = await make_operator(embedded, network)
    for payload in (PAYLOADS[0], PAYLOADS[1], PAYLOADS[3]):
        other = Operator(embedded, network)
        form = (await other.get("/admin/signin")).form_token
        fields = {"name": admin.name, "password": PASSWORD, "code": "", "form": form}
        answer = await other.ask("POST", "/admin/signin", fields, headers={"User-Agent": payload})
        assert answer.status == 303
    seen = check_harmless(await admin.get("/admin/me"))
    for payload in (PAYLOADS[0], PAYLOADS[1], PAYLOADS[3]):
        assert called(payload) in seen.text
    assert called(BROWSER) in seen.text


@pytest.mark.gen_test(timeout=60)
async def test_every_answer_below_admin_has_its_headers(embedded: Product, network: Network, phone: Phone) -> None:
    admin, viewer = await make_operator(embedded, network), await make_operator(embedded, network, "viewer")
    stranger = Operator(embedded, network)
    user, session = await arrive(phone)
    statuses = set()
    for route, _ in dashboard_routes("GET") + dashboard_routes("POST"):
        if route == "/admin/live":
            continue  # an endless answer; see the next test
        path = re.sub(r"\(\[.*?\]\{.*?\}\)", str(user) if "users" in route else session, route).replace(".*", "nowhere")
        for who in (admin, viewer, stranger):
            for method in ("GET", "HEAD", "POST", "DELETE"):
                answer = await who.ask(method, path)
                check_headers(answer)
                statuses.add(answer.status)
    assert statuses >= {200, 303, 403, 404, 405}, statuses
    assert 500 not in statuses


@pytest.mark.gen_test
async def test_a_host_that_somebody_made_up_stands_nowhere(embedded: Product, network: Network, phone: Phone) -> None:
    admin, stranger = await make_operator(embedded, network), Operator(embedded, network)
    user, _ = await arrive(phone)
    forged: list[dict[str, str | None]] = [
        {"Host": "evil.example"},
        {"Host": "evil.example:8080"},
        {"X-Forwarded-Host": "evil.example", "X-Host": "evil.example"},
        {"Forwarded": "host=evil.example;proto=https", "X-Forwarded-Proto": "https"},
        {"X-Original-URL": "//evil.example", "X-Rewrite-URL": "//evil.example"},
    ]
    for headers in forged:
        for path in (
            "/admin",
            "/admin/",
            "/admin/sessions",
            f"/admin/users/{user}",
            "/admin/operators",
            "/admin/nowhere",
        ):
            for who in (admin, stranger):
                answer = await who.ask("GET", path, headers=headers)
                assert b"evil.example" not in answer.body
                assert not [value for value in answer.headers.values() if "evil.example" in value]
                assert answer.headers.get("Location", "/admin/").startswith("/admin/"), answer.headers["Location"]
        if "Forwarded" in headers:
            continue  # what a stranger's proxy forwards over http is not let in at all
        form = (await admin.get("/admin/operators")).form_token
        fields = [*with_password(role="viewer", all_apps="yes", name="x!").items(), ("form", form)]
        answer = await admin.ask("POST", "/admin/operators", fields, headers=headers)
        assert answer.status == (403 if "Host" in headers else 400)
        assert b"evil.example" not in answer.body


async def one_time_link(server: Product, network: Network, name: str) -> str:
    admin = await make_operator(server, network)
    form = (await admin.get("/admin/me")).form_token
    fields = {**with_password(role="viewer", all_apps="yes", name=name), "form": form}
    headers: dict[str, str | None] = {"Origin": None, "Sec-Fetch-Site": None, "Host": "evil.example"}
    answer = await admin.ask("POST", "/admin/operators", fields, headers=headers)
    assert answer.status == 200
    found = re.search(r"<code>([^<]*/admin/setup\?link=[^<]+)</code>", answer.body.decode())
    assert found
    server.never_logged.add(found[1].partition("link=")[2])
    return found[1]


@pytest.mark.gen_test
async def test_a_one_time_link_leads_to_the_public_address_never_to_the_host_of_the_request(
    make_server: Callable[..., Product], embedded: Product, network: Network
) -> None:
    assert (await one_time_link(embedded, network, "guest-of-host")).startswith("/admin/setup?")
    public = make_server(PUBLIC_URL="https://login.example.com")
    assert (await one_time_link(public, network, "guest")).startswith("https://login.example.com/admin/setup?")


async def crawl(admin: Operator, most: int = 150) -> list[Page]:
    """Every page that the links lead to, from the overview on."""
    todo, seen, pages = ["/admin/"], {"/admin/"}, list[Page]()
    while todo and len(pages) < most:
        page = await admin.get(todo.pop(0))
        assert page.status in (200, 403, 404), (page.path, page.status)
        pages.append(page)
        for link in Seen.of(page).links:
            path = link.partition("#")[0]
            if path.startswith("/admin/") and "lang=" not in path and path not in seen:
                seen.add(path)
                todo.append(path)
    return pages


@pytest.mark.gen_test(timeout=90)
async def test_no_secret_stands_on_any_page_in_any_file_or_in_the_log(
    make_server: MakeServer, network: Network, phones: Phones
) -> None:
    server = make_server(LOGIN_LIMIT=0)
    admin = await make_operator(server, network)
    people = phones(3, at=server)
    secrets = {APPSECRET, admin.token}
    for mei in people:
        await arrive(mei)
        secrets |= {mei.token, mei.token.removeprefix("mps_")}
    await admin.post("/admin/users/export", {})
    async with process.opened(settings_of(server)) as stores:
        for mei in people:
            wanted = bytes.fromhex(id_of(mei.token))
            key = stores.seal.open((await stores.sessions.find(wanted, stores.now())).sealed_key, wanted)
            secrets |= {key.hex(), base64.b64encode(key).decode(), base64.urlsafe_b64encode(key).decode().rstrip("=")}
        operator = await stores.operators.find_name(admin.name)
        hashed = (await stores.operators.proofs(operator.id)).password
        assert hashed
        secrets.add(hashed)
    pages = await crawl(admin)
    assert len(pages) > 25, [page.path for page in pages]
    for path in ("/admin/sessions/export", "/admin/users/export"):
        pages.append(await admin.post(path, {}))
    pages.append(await admin.post("/admin/audit/export", with_password()))
    assert pages[-1].answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    for page in pages:
        assert not [secret for secret in secrets if secret in page.text], page.path
    server.never_logged |= secrets  # the log is searched for them when the test is over


@pytest.mark.gen_test
@pytest.mark.parametrize("number", ["9" * 18, "9" * 19, str(2**63), "9" * 40])
async def test_a_number_that_no_row_can_have_is_nobodys(server: Product, network: Network, number: str) -> None:
    operator = await make_operator(server, network)
    for path in ("", "/revoke", "/block", "/erase", "/merge"):
        assert (await operator.get(f"/admin/users/{number}{path}")).status == 404
