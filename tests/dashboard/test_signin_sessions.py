"""The session behind an operator: its cookie, how it ends, and forms that nobody else can send."""

import re
from collections.abc import Callable

import pytest
from operator_at import PASSWORD, Operator, add, change, deeds_of, is_in, make_operator, name_of
from phone import Network
from product import Product
from shell import settings_of

import process
from actions import Actor
from actions.operators import change_role, disable_operator

ROOT = Actor("shell:test")


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
