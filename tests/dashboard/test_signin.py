"""The way in for operators: the form, the cookie, the session behind it, and what a guesser meets."""

import asyncio
import re
import statistics
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from argon2 import PasswordHasher
from operator_at import (
    PASSWORD,
    Operator,
    Page,
    add,
    audit,
    change,
    deeds_of,
    is_in,
    make_operator,
    name_of,
)
from phone import Network
from product import Product
from shell import settings_of

import process
from actions import Actor
from actions.operators import change_role, disable_operator
from actions.passwords import Passwords

ROOT = Actor("shell:test")
WRONG = "seven green lamps at dawn"


def of_another_page(page: Page) -> str:
    """A page's text without what is different each time."""
    return re.sub(r"[0-9a-f]{16,64}|op-[0-9a-f]+|\d+ seconds", "…", page.text)


class TestTheWayIn:
    @pytest.mark.gen_test
    async def test_an_operator_signs_in_and_the_audit_says_so(self, server: Product, network: Network) -> None:
        mei = await make_operator(server, network)
        page = await mei.get("/admin/me")
        assert page.status == 200
        assert mei.name in page.text
        assert "Firefox" in page.text
        assert await deeds_of(server, mei.name) == [("operator.signin", "done")]

    @pytest.mark.gen_test
    async def test_a_name_is_the_same_in_capitals(self, embedded: Product, network: Network) -> None:
        name = name_of()
        await add(embedded, name)
        assert (await Operator(embedded, network).sign_in(f" {name.upper()} ")).path == "/admin/"

    @pytest.mark.gen_test
    @pytest.mark.parametrize(("name", "password"), [("admin", "admin"), ("admin", ""), ("", ""), ("root", "root")])
    async def test_no_published_password_opens_anything(
        self, embedded: Product, network: Network, name: str, password: str
    ) -> None:
        page = await Operator(embedded, network).sign_in(name, password)
        assert page.status == 403
        assert page.path == "/admin/signin"

    @pytest.mark.gen_test
    async def test_an_unknown_name_gets_the_answer_of_a_wrong_password(self, server: Product, network: Network) -> None:
        name = name_of()
        await add(server, name)
        known = await Operator(server, network).sign_in(name, WRONG)
        unknown = await Operator(server, network).sign_in(name_of(), WRONG)
        assert known.status == unknown.status == 403
        assert of_another_page(known) == of_another_page(unknown)
        assert set(known.answer.headers) == set(unknown.answer.headers)

    @pytest.mark.gen_test
    async def test_an_unknown_name_takes_as_long(self, make_server: Callable[..., Product], network: Network) -> None:
        server = make_server()
        seconds: dict[str, list[float]] = {"known": [], "unknown": []}
        for n in range(16):
            for kind, found in seconds.items():
                name = f"{kind}{n}"
                if kind == "known":
                    await add(server, name)
                browser = Operator(server, network, address=f"127.0.0.{2 + n}")
                form = (await browser.get("/admin/signin")).form_token
                started = time.perf_counter()
                answer = await browser.ask("POST", "/admin/signin", {"name": name, "password": WRONG, "form": form})
                found.append(time.perf_counter() - started)
                assert answer.status == 403
        medians = [statistics.median(each) for each in seconds.values()]
        assert 0.67 < medians[0] / medians[1] < 1.5, medians

    @pytest.mark.gen_test
    @pytest.mark.parametrize(
        "name", ["x" * 60_000, "a\r\nSet-Cookie: b=c", "\x1b[31mred\x1b[0m", PASSWORD, "👩‍🚒" * 40]
    )
    async def test_what_is_typed_as_a_name_stands_in_no_log_and_no_audit(
        self, embedded: Product, network: Network, name: str
    ) -> None:
        before = embedded.log_size()
        page = await Operator(embedded, network, address="127.0.0.77").sign_in(name, WRONG)
        assert page.status in (403, 413, 429)
        logged = embedded.log_after(before)
        assert name[:33] not in logged
        assert "\x1b" not in logged
        for row in await audit(embedded, 2):
            assert name[:20] not in f"{row.actor} {row.target} {row.reason}"

    @pytest.mark.gen_test
    async def test_bytes_that_are_no_text_are_refused(self, embedded: Product, network: Network) -> None:
        browser = Operator(embedded, network)
        form = (await browser.get("/admin/signin")).form_token
        body = b"name=%ff%fe&password=x&form=" + form.encode()
        answer = await network.ask(
            "POST",
            f"{embedded.base}/admin/signin",
            headers={
                "Content-Type": "application/x-www-form-urlencoded",
                "Cookie": f"menshen-dev-form={browser.cookies['menshen-dev-form']}",
            },
            body=body,
        )
        assert answer.status == 400

    @pytest.mark.gen_test
    @pytest.mark.parametrize(
        "wanted",
        [
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "/%5Cevil.example",
            "/%09/evil.example",
            "/\t/evil.example",
            "https:evil.example",
            "https://evil.example/admin/me",
            "http:///evil.example",
            "\\\\evil.example",
            "javascript:alert(1)",
            "@evil.example",
            ".evil.example",
            "%0a//evil.example",
            "/admin/me@evil.example",
            "/admin/me//evil.example",
            "/admin/me/../../x",
            "/admin/me?x=<script>",
            "/admin/signout",
            "/admin/me#fragment",
            "/admin/me?" + "x" * 10_000,
            "x" * 10_000,
        ],
    )
    async def test_signing_in_leads_nowhere_else(self, embedded: Product, network: Network, wanted: str) -> None:
        shared = getattr(type(self), "_mei", None) or name_of()
        if not hasattr(type(self), "_mei"):
            await add(embedded, shared)
            type(self)._mei = shared  # type: ignore[attr-defined]  # one operator for all of these
        browser = Operator(embedded, network)
        form = (await browser.get("/admin/signin")).form_token
        fields = {"name": shared, "password": PASSWORD, "form": form}
        answer = await browser.ask("POST", f"/admin/signin?next={quote(wanted, safe='')}", fields)
        assert answer.status == 303
        assert answer.headers["Location"] == "/admin/"

    @pytest.mark.gen_test
    async def test_signing_in_leads_to_the_page_that_was_wanted(self, embedded: Product, network: Network) -> None:
        name = name_of()
        await add(embedded, name)
        browser = Operator(embedded, network)
        wanted = await browser.ask("GET", "/admin/me?lang=en")
        assert wanted.headers["Location"] == "/admin/signin?next=%2Fadmin%2Fme%3Flang%3Den&lang=en"
        page = await browser.sign_in(name, path=wanted.headers["Location"])
        assert page.path.startswith("/admin/me?lang=en")

    @pytest.mark.gen_test
    @pytest.mark.parametrize("path", ["/admin", "/admin//evil.example/..", "/admin/%2f%2fevil.example", "/admin/x"])
    async def test_a_path_of_the_dashboard_never_leads_off(
        self, embedded: Product, network: Network, path: str
    ) -> None:
        answer = await Operator(embedded, network).ask("GET", path)
        if path == "/admin":
            assert answer.headers["Location"] == "/admin/"
        else:
            assert answer.status == 404
            assert "Location" not in answer.headers

    @pytest.mark.gen_test
    async def test_a_host_that_somebody_made_up_stands_in_no_answer(self, embedded: Product, network: Network) -> None:
        browser = Operator(embedded, network)
        made_up = {"Host": "evil.example", "X-Forwarded-Host": "evil.example"}
        for path in ("/admin", "/admin/", "/admin/me", "/admin/signin"):
            answer = await browser.ask("GET", path, headers=made_up)
            assert b"evil.example" not in answer.body
            assert "evil.example" not in str(dict(answer.headers))


class TestTheCookie:
    @pytest.mark.gen_test
    async def test_on_this_machine_it_has_a_name_of_its_own_and_the_page_warns(
        self, embedded: Product, network: Network
    ) -> None:
        mei = await make_operator(embedded, network)
        assert set(mei.cookies) == {"menshen-dev", "menshen-dev-browser", "menshen-dev-form"}
        assert "plain http" in (await mei.get("/admin/me")).text

    @pytest.mark.gen_test
    async def test_over_https_no_other_site_can_plant_or_read_it(
        self, make_server: Callable[..., Product], network: Network
    ) -> None:
        server = make_server(TRUSTED_PROXIES="127.0.0.1/32")
        name = name_of()
        await add(server, name)
        browser = Operator(server, network, address="203.0.113.9", https=True)
        form = (await browser.get("/admin/signin")).form_token
        answer = await browser.ask("POST", "/admin/signin", {"name": name, "password": PASSWORD, "form": form})
        assert answer.status == 303
        given = answer.headers.getall("Set-Cookie")
        assert {line.split("=")[0] for line in given} == {"__Host-menshen", "__Host-menshen-browser"}
        for line in given:
            parts = [part.strip() for part in line.split(";")]
            assert {"HttpOnly", "Secure", "Path=/", "SameSite=Lax"} <= set(parts)
            assert "domain" not in line.lower()
            assert re.fullmatch(r"[\w-]+=[A-Za-z0-9_-]{43}", parts[0])
        page = await browser.get("/admin/me")
        assert page.status == 200
        assert page.answer.headers["Strict-Transport-Security"] == "max-age=31536000"
        assert "plain http" not in page.text
        # The name that holds on plain http opens nothing here.
        planted = Operator(server, network, address="203.0.113.9", https=True)
        planted.cookies["menshen-dev"] = browser.token
        assert not await is_in(planted)

    @pytest.mark.gen_test
    async def test_over_plain_http_from_elsewhere_nobody_signs_in_unless_told(
        self, make_server: Callable[..., Product], network: Network
    ) -> None:
        name = name_of()
        for settings, status in (({}, 403), ({"INSECURE_SIGNIN": "true"}, 200)):
            server = make_server(TRUSTED_PROXIES="127.0.0.1/32", **settings)
            await add(server, name)
            browser = Operator(server, network)
            via = {"X-Forwarded-For": "203.0.113.9"}
            answer = await browser.ask("GET", "/admin/signin", headers=via)
            assert answer.status == status
            assert "Strict-Transport-Security" not in answer.headers
            if status == 403:
                assert "https" in answer.body.decode()
        # A proxy that nobody trusts speaks for other machines: its loopback address proves nothing.
        server = make_server()
        assert (await Operator(server, network).ask("GET", "/admin/signin", headers=via)).status == 403
        mei = await make_operator(server, network)
        assert (await mei.ask("GET", "/admin/me", headers=via)).status == 303

    @pytest.mark.gen_test
    async def test_a_spoilt_one_is_none(self, server: Product, network: Network) -> None:
        mei = await make_operator(server, network)
        good = mei.token
        other = ("B" if good[5] == "A" else "A") + good[6:]
        for cookie in (
            f"menshen-dev={good[:5]}{other}",
            f"menshen-dev={good[:-1]}",
            f"menshen-dev={good}x",
            f"menshen-dev={'x' * 4_097}",
            f"menshen-dev={good}; menshen-dev={good}",
            f"menshen-dev={good}; menshen-dev=x",
            'menshen-dev="' + good + '"',
            f"menshen-dev=\u00e4{good[1:]}",
            "menshen-dev=",
            "menshen-dev",
            f"__Host-menshen={good}",
        ):
            answer = await mei.ask("GET", "/admin/me", headers={"Cookie": cookie})
            assert answer.status == 303, cookie[:80]
        assert await is_in(mei)


class TestTheSession:
    @pytest.mark.gen_test
    async def test_signing_out_ends_it_on_the_server(self, server: Product, network: Network) -> None:
        mei = await make_operator(server, network)
        other_tab = Operator(server, network)
        other_tab.cookies = dict(mei.cookies)
        shown = await mei.get("/admin/me")
        assert shown.answer.headers["Cache-Control"] == "no-store"
        assert (await mei.ask("GET", "/admin/signout")).status == 405
        answer = await mei.ask("POST", "/admin/signout", {"form": shown.form_token})
        assert answer.headers["Location"] == "/admin/signin"
        assert "menshen-dev" not in mei.cookies
        assert not await is_in(other_tab)
        assert await deeds_of(server, mei.name) == [("operator.signin", "done"), ("operator.signout", "done")]

    @pytest.mark.gen_test
    async def test_unused_or_old_it_is_over_and_a_form_does_nothing(self, server: Product, network: Network) -> None:
        for column, seconds in (("seen_at", 1_800), ("created_at", 43_200)):
            mei = await make_operator(server, network)
            form = (await mei.get("/admin/me")).form_token
            sql = (
                f"UPDATE operator_session SET {column} = {column} - :seconds "  # noqa: S608  # two columns, both above
                "WHERE operator_id = (SELECT id FROM operator WHERE name = :name)"
            )
            await change(server, sql, seconds=seconds - 20, name=mei.name)
            assert await is_in(mei)
            await change(server, sql, seconds=seconds, name=mei.name)
            fields = {"language": "en", "timezone": "UTC", "form": form}
            answer = await mei.ask("POST", "/admin/me/tastes", fields)
            assert answer.status == 303
            assert answer.headers["Location"] == "/admin/signin"
            async with process.opened(settings_of(server)) as backend:
                assert (await backend.operators.find_name(mei.name)).timezone is None
            assert not await is_in(mei)

    @pytest.mark.gen_test
    async def test_who_is_disabled_is_out_at_the_next_click(self, server: Product, network: Network) -> None:
        mei = await make_operator(server, network)
        boss = await make_operator(server, network)
        async with process.opened(settings_of(server)) as backend:
            await disable_operator(backend, ROOT, mei.name)
        assert not await is_in(mei)
        assert await is_in(boss)
        assert (await mei.sign_in(mei.name)).status == 403

    @pytest.mark.gen_test
    async def test_a_lost_role_is_lost_at_the_next_click(self, server: Product, network: Network) -> None:
        await make_operator(server, network)
        mei = await make_operator(server, network)
        assert (await mei.get("/admin/operators")).status == 200
        async with process.opened(settings_of(server)) as backend:
            await change_role(backend, ROOT, mei.name, "viewer")
        page = await mei.get("/admin/operators")
        assert page.status == 403
        assert "role" in page.text
        assert await is_in(mei)
        assert (await deeds_of(server, mei.name))[-1] == ("dashboard.role", "denied")

    @pytest.mark.gen_test
    async def test_a_new_sign_in_makes_a_new_one_and_ends_the_old(self, server: Product, network: Network) -> None:
        mei = await make_operator(server, network)
        old = Operator(server, network)
        old.cookies = dict(mei.cookies)
        form = re.search(r'name="form" value="(\w+)"', (await _signin_form(mei)))
        assert form
        before, known = mei.token, mei.cookies["menshen-dev-browser"]
        fields = {"name": mei.name, "password": PASSWORD, "form": form[1]}
        assert (await mei.ask("POST", "/admin/signin", fields)).status == 303
        assert mei.token != before
        assert mei.cookies["menshen-dev-browser"] == known
        assert not await is_in(old)
        assert await is_in(mei)


async def _signin_form(operator: Operator) -> str:
    """The form of the page to sign in, which somebody who is signed in is led away from."""
    session = operator.cookies.pop("menshen-dev")
    text = (await operator.ask("GET", "/admin/signin")).body.decode()
    operator.cookies["menshen-dev"] = session
    return text


class TestForms:
    """OWASP ASVS 3.5.1: nothing is done for a form that was not shown to this session."""

    @pytest.mark.gen_test
    async def test_a_form_that_the_operator_did_not_send_himself_changes_nothing(
        self, server: Product, network: Network
    ) -> None:
        mei, li = await make_operator(server, network), await make_operator(server, network)
        mine, another_s = (await mei.get("/admin/me")).form_token, (await li.get("/admin/me")).form_token
        older = Operator(server, network)
        await older.sign_in(mei.name)
        of_an_older_session = (await older.get("/admin/me")).form_token
        none: dict[str, str | None] = {"Origin": None, "Sec-Fetch-Site": None}
        cases: list[tuple[str, dict[str, str | None]]] = [
            ("", {}),
            ("", none),
            (another_s, {}),
            (another_s, none),
            (of_an_older_session, {}),
            (mine.swapcase(), none),
            (mine, {"Origin": "https://evil.example"}),
            (mine, {"Origin": "null", "Sec-Fetch-Site": None}),
            (mine, {"Origin": "null", "Sec-Fetch-Site": "cross-site"}),
            (mine, {"Sec-Fetch-Site": "cross-site"}),
            (mine, {"Sec-Fetch-Site": "same-site"}),
            (mine, {"Origin": "http://["}),
            (mine, {"Origin": "http://a:99999999"}),
            (mine, {"Origin": "http://" + "x" * 8_000}),
            (mine, {"Origin": "http://\u00e4.example"}),
        ]
        for form, headers in cases:
            fields = {"language": "en", "timezone": "UTC"} | ({"form": form} if form else {})
            answer = await mei.ask("POST", "/admin/me/tastes", fields, headers)
            assert answer.status == 403, (form[:8], headers)
        twice = [("language", "en"), ("timezone", "UTC"), ("form", mine), ("form", mine)]
        assert (await mei.ask("POST", "/admin/me/tastes", twice)).status == 403
        assert (await mei.ask("GET", f"/admin/me/tastes?timezone=UTC&form={mine}")).status == 405
        async with process.opened(settings_of(server)) as backend:
            assert (await backend.operators.find_name(mei.name)).timezone is None
        assert ("dashboard.form", "denied") in await deeds_of(server, mei.name)
        # The same form from the operator's own page is carried out, also by a browser that tells no origin.
        fields = {"language": "", "timezone": "UTC", "form": mine}
        assert (await mei.ask("POST", "/admin/me/tastes", fields, none)).status == 303
        async with process.opened(settings_of(server)) as backend:
            assert (await backend.operators.find_name(mei.name)).timezone == "UTC"

    @pytest.mark.gen_test
    async def test_nobody_is_signed_in_by_another_site_s_form(self, embedded: Product, network: Network) -> None:
        name = name_of()
        await add(embedded, name)
        browser = Operator(embedded, network)
        form = (await browser.get("/admin/signin")).form_token
        fields = {"name": name, "password": PASSWORD, "form": form}
        refused: list[dict[str, str | None]] = [
            {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Origin": "null", "Sec-Fetch-Site": None},
        ]
        for headers in refused:
            assert (await browser.ask("POST", "/admin/signin", fields, headers)).status == 403
        stranger = Operator(embedded, network)  # whose browser was never shown that form
        silent: dict[str, str | None] = {"Origin": None, "Sec-Fetch-Site": None}
        assert (await stranger.ask("POST", "/admin/signin", fields, silent)).status == 403
        await stranger.get("/admin/signin")
        assert (await stranger.ask("POST", "/admin/signin", fields, silent)).status == 403
        assert "menshen-dev" not in stranger.cookies | browser.cookies

    @pytest.mark.gen_test
    async def test_every_answer_has_the_headers_of_a_page(self, embedded: Product, network: Network) -> None:
        mei = await make_operator(embedded, network)
        answers = [
            await mei.ask("GET", "/admin/me"),
            await mei.ask("GET", "/admin"),
            await mei.ask("GET", "/admin/nothing"),
            await mei.ask("GET", "/admin/signout"),
            await mei.ask("POST", "/admin/me/tastes", {"form": "x"}),
            await Operator(embedded, network).ask("GET", "/admin/me"),
            await Operator(embedded, network).ask("GET", "/admin/signin"),
            await Operator(embedded, network).ask("GET", "/admin/setup?link=x"),
        ]
        assert [each.status for each in answers] == [200, 303, 404, 405, 403, 303, 200, 404]
        for answer in answers:
            csp = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:" in csp
            assert "form-action 'self'; base-uri 'none'; frame-ancestors 'none'" in csp
            assert "unsafe" not in csp
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Referrer-Policy"] == "no-referrer"
            assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
            assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
            assert answer.headers["X-Frame-Options"] == "DENY"
            assert answer.headers["Cache-Control"] == "no-store"
            assert "Access-Control-Allow-Origin" not in answer.headers


class TestGuessers:
    @pytest.mark.gen_test
    async def test_of_fifty_guesses_at_once_five_are_judged_and_all_answers_look_alike(
        self, make_server: Callable[..., Product], network: Network, backend: Any
    ) -> None:
        server = make_server(**backend.fresh())
        await add(server, "mei")
        for name in ("mei", "nobody"):
            browsers = [Operator(server, network, address=f"127.0.1.{n + 1}") for n in range(50)]
            forms = [(await browser.get("/admin/signin")).form_token for browser in browsers]
            answers = await asyncio.gather(
                *(
                    browser.ask("POST", "/admin/signin", {"name": name, "password": WRONG, "form": form})
                    for browser, form in zip(browsers, forms, strict=True)
                )
            )
            assert sorted(each.status for each in answers) == [403] * 5 + [429] * 45
            for each in answers:
                if each.status == 429:
                    assert 0 < int(each.headers["Retry-After"]) <= 30
        rows = [(row.actor, row.deed) for row in await audit(server, 100)]
        assert rows.count(("operator:mei", "operator.signin_failed")) == 5
        assert rows.count(("operator:mei", "operator.locked")) == 1
        assert rows.count(("unknown", "operator.signin_failed")) == 5

    @pytest.mark.gen_test
    async def test_a_locked_name_is_locked_everywhere_but_in_the_browser_that_its_holder_uses(
        self, make_server: Callable[..., Product], network: Network, backend: Any
    ) -> None:
        server = make_server(**backend.fresh())
        mei = await make_operator(server, network, name="mei")
        li = await make_operator(server, network, name="li")
        unknown_to_us = Operator(server, network)
        unknown_to_us.cookies = {"menshen-dev": mei.token}  # signed in, but no longer known
        attacker = Operator(server, network, address="127.0.2.1")
        pages = [await attacker.sign_in("mei", WRONG) for _ in range(7)]
        assert [page.status for page in pages] == [403] * 5 + [429] * 2
        assert (await Operator(server, network).sign_in("mei")).status == 429
        fields = {"old": PASSWORD, "new": PASSWORD + "x", "again": PASSWORD + "x"}
        assert (await unknown_to_us.post("/admin/me/password", fields)).status == 429
        await change(server, "UPDATE operator_session SET confirmed_at = confirmed_at - :n", n=600)
        assert (await unknown_to_us.post("/admin/me/totp/off", {"password": PASSWORD})).status == 429
        # The holder's own browser has a counter of its own, and others are not concerned.
        page = await mei.post("/admin/me/password", fields)
        assert page.path == "/admin/me"
        assert "changed" in page.text
        again = Operator(server, network)
        again.cookies = {name: mei.cookies[name] for name in ("menshen-dev-browser", "menshen-dev-form")}
        assert (await again.sign_in("mei", PASSWORD + "x")).path == "/admin/"
        assert (await Operator(server, network).sign_in("li")).path == "/admin/"
        assert await is_in(li)

    @pytest.mark.gen_test
    async def test_guesses_in_a_known_browser_are_limited_too(
        self, make_server: Callable[..., Product], network: Network
    ) -> None:
        server = make_server()
        mei = await make_operator(server, network, name="mei")
        fields = {"old": WRONG, "new": PASSWORD + "x", "again": PASSWORD + "x"}
        statuses = [(await mei.post("/admin/me/password", fields)).status for _ in range(7)]
        assert statuses == [403] * 5 + [429] * 2
        mei.cookies.pop("menshen-dev")
        assert (await mei.sign_in("mei")).status == 429

    @pytest.mark.gen_test
    async def test_many_names_from_one_address_are_one_guesser(
        self, make_server: Callable[..., Product], network: Network
    ) -> None:
        server = make_server()
        await add(server, "mei")
        sprayer = Operator(server, network, address="127.0.3.1")
        pages = [await sprayer.sign_in(f"name{n}", WRONG) for n in range(30)]
        assert [page.status for page in pages] == [403] * 20 + [429] * 10
        assert (await sprayer.sign_in("mei")).status == 429
        assert (await Operator(server, network).sign_in("mei")).path == "/admin/"

    @pytest.mark.gen_test
    async def test_sign_ins_do_not_slow_verify_down(
        self, make_server: Callable[..., Product], network: Network, phones: Callable[..., Any]
    ) -> None:
        server = make_server()
        [phone] = phones(1, at=server)
        assert (await phone.login()).status == 200
        names = [f"op{n}" for n in range(20)]
        for name in names:
            await add(server, name)
        browsers = [Operator(server, network) for _ in names]
        forms = [(await browser.get("/admin/signin")).form_token for browser in browsers]
        signing_in = asyncio.gather(
            *(
                browser.ask("POST", "/admin/signin", {"name": name, "password": PASSWORD, "form": form})
                for browser, name, form in zip(browsers, names, forms, strict=True)
            )
        )
        seconds = []
        while not signing_in.done():
            started = time.perf_counter()
            assert (await phone.verify()).status == 200
            seconds.append(time.perf_counter() - started)
        assert [each.status for each in await signing_in] == [303] * 20
        assert len(seconds) > 5
        assert statistics.median(seconds) < 0.05


class TestHashes:
    @pytest.mark.gen_test
    async def test_in_the_table_stands_argon2id_with_a_salt_each(
        self, make_server: Callable[..., Product], network: Network
    ) -> None:
        server = make_server()
        hashes = []
        for name in ("mei", "li"):
            await add(server, name)
            async with process.opened(settings_of(server)) as backend:
                operator = await backend.operators.find_name(name)
                hashes.append((await backend.operators.proofs(operator.id)).password)
        assert hashes[0] != hashes[1]
        for each in hashes:
            assert each
            assert each.startswith("$argon2id$v=19$m=19456,t=2,p=1$")

    @pytest.mark.gen_test
    async def test_a_weaker_one_is_made_anew_at_the_next_sign_in(
        self, make_server: Callable[..., Product], network: Network
    ) -> None:
        server = make_server()
        await add(server, "mei")
        weak = PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1).hash(PASSWORD)
        await change(server, "UPDATE operator SET password = :weak", weak=weak)
        assert (await Operator(server, network).sign_in("mei", WRONG)).status == 403
        assert (await Operator(server, network).sign_in("mei")).path == "/admin/"
        async with process.opened(settings_of(server)) as backend:
            proofs = await backend.operators.proofs((await backend.operators.find_name("mei")).id)
        assert proofs.password
        assert "m=19456,t=2,p=1" in proofs.password
        assert (await Operator(server, network).sign_in("mei")).path == "/admin/"

    @pytest.mark.gen_test
    async def test_more_than_can_wait_are_refused(self) -> None:
        passwords = Passwords()
        done = await asyncio.gather(*(passwords.hash(PASSWORD) for _ in range(40)), return_exceptions=True)
        passwords.close()
        refused = [each for each in done if not isinstance(each, str)]
        assert len(refused) == 8
