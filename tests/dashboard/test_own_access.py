"""How an operator comes by a password and a second factor, and what he may change about himself."""

import asyncio
import base64
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from operator_at import (
    PASSWORD,
    Operator,
    add,
    audit,
    change,
    deeds_of,
    first_link,
    invite,
    is_in,
    make_operator,
    name_of,
    set_up,
)
from phone import Network
from product import Product
from shell import settings_of

import process
from actions import totp
from actions.signing_in import session_of
from handlers.pages import words_in

GOOD = "four quiet boats in the harbour"


def code_now(secret: bytes, step: int = 0) -> str:
    return totp.code_at(secret, int(time.time()) // totp.STEP_SECONDS + step)


class TestTheFirst:
    @pytest.mark.gen_test
    async def test_the_start_prints_a_link_that_makes_an_admin_once(
        self, make_server: Callable[..., Product], network: Network, backend: Any
    ) -> None:
        server = make_server(**backend.fresh())
        path = first_link(server)
        assert path
        browser = Operator(server, network)
        for _ in range(2):  # looking at it does not use it up
            assert (await browser.get(path)).status == 200
        page = await set_up(browser, path, name="Mei")
        assert page.path == "/admin/"
        assert page.status == 200
        async with process.opened(settings_of(server)) as stores:
            [mei] = await stores.operators.all()
        assert (mei.name, mei.role, mei.appids) == ("mei", "admin", None)
        assert (await Operator(server, network).get(path)).status == 404
        assert [(row.actor, row.deed) for row in await audit(server) if row.deed.startswith("operator")] == [
            ("operator:mei", "operator.add")
        ]
        assert (await Operator(server, network).sign_in("mei")).path == "/admin/"

    @pytest.mark.gen_test
    async def test_a_new_start_makes_a_new_link_until_there_is_somebody(
        self, make_server: Callable[..., Product], network: Network
    ) -> None:
        server = make_server()
        old = first_link(server)
        server.stop()
        server.start()
        new = first_link(server)
        assert old
        assert new
        assert old != new
        browser = Operator(server, network)
        assert (await browser.get(old)).status == 404
        await set_up(browser, new, name="mei")
        printed = server.log().count("first operator")
        server.stop()
        server.start()
        assert server.log().count("first operator") == printed == 2

    @pytest.mark.gen_test
    async def test_several_workers_print_one_link(self, make_server: Callable[..., Product], network: Network) -> None:
        server = make_server(WORKERS=3)
        path = first_link(server)
        assert path
        assert server.log().count("first operator") == 1
        assert (await set_up(Operator(server, network), path, name="mei")).path == "/admin/"

    @pytest.mark.gen_test
    async def test_an_old_link_opens_nothing(self, make_server: Callable[..., Product], network: Network) -> None:
        server = make_server()
        path = first_link(server)
        assert path
        browser = Operator(server, network)
        form = await browser.get(path)
        await change(server, "UPDATE operator_link SET expires_at = expires_at - :n", n=3_601)
        fields = {"link": form.value("link"), "name": "eve", "password": GOOD, "again": GOOD, "form": form.form_token}
        assert (await browser.ask("POST", "/admin/setup", fields)).status == 404
        for wrong in ("", "x", "x" * 43, "\u00e4" * 43, "%00"):
            assert (await browser.get(f"/admin/setup?link={wrong}")).status == 404
        async with process.opened(settings_of(server)) as stores:
            assert await stores.operators.all() == []


class TestLinks:
    @pytest.mark.gen_test
    async def test_one_sets_a_password_and_signs_in_and_is_then_used_up(
        self, server: Product, network: Network
    ) -> None:
        name = name_of()
        path = await invite(server, name, "operator")
        browser = Operator(server, network)
        page = await set_up(browser, path)
        assert page.path == "/admin/"
        assert await is_in(browser)
        assert (await browser.get(path)).status == 404
        assert (await Operator(server, network).sign_in(name)).path == "/admin/"
        assert (await deeds_of(server, name))[0] == ("operator.password", "done")

    @pytest.mark.gen_test
    @pytest.mark.parametrize(
        ("password", "sentence"),
        [
            ("elevenchars", "too short"),
            ("éééééééééé", "too short"),
            ("password1234", "everybody uses"),
            ("P@ssw0rd2024!", "everybody uses"),
            ("qwertyuiop123456", "everybody uses"),
            ("123456789012", "everybody uses"),
            ("aaaaaaaaaaaaaaaa", "everybody uses"),
            ("menshenmenshen", "everybody uses"),
            ("woaini1314520", "everybody uses"),
            ("x" * 1_025, "too long"),
        ],
    )
    async def test_what_is_guessed_first_is_refused_with_its_reason(
        self, embedded: Product, network: Network, password: str, sentence: str
    ) -> None:
        path = await invite(embedded, name_of())
        browser = Operator(embedded, network)
        page = await set_up(browser, path, password)
        assert page.status == 400
        assert sentence in page.text
        assert password not in page.text
        assert (await browser.get(path)).status == 200

    @pytest.mark.gen_test
    async def test_the_own_name_is_no_password(self, embedded: Product, network: Network) -> None:
        name = f"verylongname{name_of()}"
        page = await set_up(Operator(embedded, network), await invite(embedded, name), name.upper())
        assert page.status == 400
        assert "your name" in page.text

    @pytest.mark.gen_test
    async def test_two_that_differ_are_refused(self, embedded: Product, network: Network) -> None:
        page = await set_up(Operator(embedded, network), await invite(embedded, name_of()), GOOD, GOOD + "x")
        assert page.status == 400
        assert "not the same" in page.text

    @pytest.mark.gen_test
    @pytest.mark.parametrize(
        "password",
        [
            "x7#" * 20 + "spare words",
            " leading and trailing ",
            "火车站旁边有三只很困的猫咪",
            "🚲🦜🥝🎻🚲🦜🥝🎻🗿🪁🧂🪵",
            "x9 " * 341,
        ],
    )
    async def test_long_ones_spaces_chinese_and_emoji_are_taken_exactly(
        self, embedded: Product, network: Network, password: str
    ) -> None:
        name = name_of()
        assert (await set_up(Operator(embedded, network), await invite(embedded, name), password)).path == "/admin/"
        assert (await Operator(embedded, network).sign_in(name, password)).path == "/admin/"
        assert (await Operator(embedded, network).sign_in(name, password[:-1])).status == 403

    @pytest.mark.gen_test
    async def test_two_ways_to_write_an_accent_are_one_password(self, embedded: Product, network: Network) -> None:
        name = name_of()
        composed, apart = "caf\u00e9 am gr\u00fcnen Fluss", "cafe\u0301 am gru\u0308nen Fluss"
        await set_up(Operator(embedded, network), await invite(embedded, name), composed)
        assert (await Operator(embedded, network).sign_in(name, apart)).path == "/admin/"


class TestThePassword:
    @pytest.mark.gen_test
    async def test_a_new_one_ends_every_other_session(self, server: Product, network: Network) -> None:
        mei = await make_operator(server, network)
        elsewhere = Operator(server, network)
        await elsewhere.sign_in(mei.name)
        page = await mei.post("/admin/me/password", {"old": PASSWORD, "new": GOOD, "again": GOOD})
        assert "signed out everywhere else" in page.text
        assert "signed out everywhere else" not in (await mei.get("/admin/me")).text.split("<main")[1].split("role=")[0]
        assert not await is_in(elsewhere)
        assert await is_in(mei)
        assert (await elsewhere.sign_in(mei.name)).status == 403
        assert (await elsewhere.sign_in(mei.name, GOOD)).path == "/admin/"

    @pytest.mark.gen_test
    async def test_without_the_old_one_there_is_no_new_one(self, embedded: Product, network: Network) -> None:
        mei = await make_operator(embedded, network)
        page = await mei.post("/admin/me/password", {"old": GOOD, "new": GOOD, "again": GOOD})
        assert page.status == 403
        assert "not right" in page.text
        page = await mei.post("/admin/me/password", {"old": PASSWORD, "new": "password1234", "again": "password1234"})
        assert page.status == 400
        assert (await Operator(embedded, network).sign_in(mei.name)).path == "/admin/"


class TestSessions:
    @pytest.mark.gen_test
    async def test_he_sees_and_ends_his_own_and_nobody_else_s(self, server: Product, network: Network) -> None:
        mei, li = await make_operator(server, network), await make_operator(server, network)
        other, third = Operator(server, network), Operator(server, network)
        await other.sign_in(mei.name)
        await third.sign_in(mei.name)
        ids = set(re.findall(r'name="id" value="([0-9a-f]{64})"', (await other.get("/admin/me")).text))
        assert len(ids) == 3
        [li_s] = re.findall(r'name="id" value="([0-9a-f]{64})"', (await li.get("/admin/me")).text)
        assert (await mei.post("/admin/me/sessions/end", {"id": li_s})).status == 404
        assert await is_in(li)
        for wrong in ("", "zz", "0" * 64):
            assert (await mei.post("/admin/me/sessions/end", {"id": wrong})).status in (400, 404)
        async with process.opened(settings_of(server)) as stores:
            session, _ = await session_of(stores, other.token)
        assert (await mei.post("/admin/me/sessions/end", {"id": session.id.hex()})).path == "/admin/me"
        assert [await is_in(each) for each in (mei, other, third)] == [True, False, True]
        await mei.post("/admin/me/sessions/end-others")
        assert [await is_in(each) for each in (mei, third, li)] == [True, False, True]

    @pytest.mark.gen_test
    async def test_an_id_on_the_page_opens_nothing(self, embedded: Product, network: Network) -> None:
        mei = await make_operator(embedded, network)
        [shown] = re.findall(r'name="id" value="([0-9a-f]{64})"', (await mei.get("/admin/me")).text)
        mei.cookies["menshen-dev"] = shown
        assert not await is_in(mei)


class TestTastes:
    @pytest.mark.gen_test
    async def test_language_and_time_zone_are_kept(self, server: Product, network: Network) -> None:
        mei = await make_operator(server, network)
        page = await mei.post("/admin/me/tastes", {"language": "zh_CN", "timezone": "Europe/London"})
        assert words_in("zh_CN").me.where in page.text
        assert 'value="Europe/London"' in page.text
        assert "Where you are signed in" in (await mei.get("/admin/me?lang=en")).text

    @pytest.mark.gen_test
    @pytest.mark.parametrize("zone", ["Mars/Olympus", "../../etc/passwd", "/etc/localtime", "x" * 64, "UTC\n", "."])
    async def test_a_zone_that_does_not_exist_is_refused(self, embedded: Product, network: Network, zone: str) -> None:
        mei = await make_operator(embedded, network)
        page = await mei.post("/admin/me/tastes", {"language": "", "timezone": zone})
        assert page.status == (200 if zone == "UTC\n" else 400)
        if page.status == 400:
            assert "no time zone" in page.text


async def turn_on(mei: Operator) -> tuple[bytes, list[str]]:
    """Set up a second factor; give its secret and the recovery codes."""
    page = await mei.get("/admin/me/totp")
    assert 'src="data:image/svg+xml' in page.text
    found = re.search(r"<code>([A-Z2-7 ]{39})</code>", page.text)
    assert found
    secret = base64.b32decode(found[1].replace(" ", ""))
    fields = {"sealed": page.value("sealed"), "code": code_now(secret), "form": page.form_token}
    answer = await mei.ask("POST", "/admin/me/totp", fields)
    assert answer.status == 200, answer.body.decode()
    codes = re.findall(r"<code>([a-z2-7]{4}(?:-[a-z2-7]{4}){3})</code>", answer.body.decode())
    assert len(set(codes)) == 10
    mei.server.never_logged.update([*codes, found[1]])
    return secret, codes


class TestTheSecondFactor:
    @pytest.mark.gen_test
    async def test_once_on_the_password_alone_opens_nothing(self, server: Product, network: Network) -> None:
        mei = await make_operator(server, network)
        secret, codes = await turn_on(mei)
        browser = Operator(server, network)
        wrong = await browser.sign_in(mei.name)
        wrong_password = await Operator(server, network).sign_in(mei.name, GOOD)
        assert wrong.status == wrong_password.status == 403
        assert "not right" in wrong.text
        for code in ("000000", code_now(secret, -3), code_now(secret, 3), "", "x" * 64, "１２３４５６"):
            if code not in (code_now(secret, step) for step in (-1, 0, 1)):
                assert (await Operator(server, network).sign_in(mei.name, code=code)).status in (403, 429)
        await change(server, "DELETE FROM signin_attempt WHERE failures > :n", n=0)
        right = code_now(secret, 1)  # of the next half minute: this one's was used to turn it on
        assert (await browser.sign_in(mei.name, code=right)).path == "/admin/"
        assert (await Operator(server, network).sign_in(mei.name, code=right)).status == 403  # good once
        assert (await Operator(server, network).sign_in(mei.name, code=codes[0].upper())).path == "/admin/"
        assert (await Operator(server, network).sign_in(mei.name, code=codes[0])).status == 403
        assert "Recovery codes left: 9" in (await mei.get("/admin/me")).text
        deeds = await deeds_of(server, mei.name)
        assert ("operator.totp_on", "done") in deeds

    @pytest.mark.gen_test
    async def test_of_one_code_that_is_sent_many_times_at_once_one_is_taken(
        self, server: Product, network: Network
    ) -> None:
        mei = await make_operator(server, network)
        secret, _ = await turn_on(mei)
        browsers = [Operator(server, network, address=f"127.0.4.{n + 1}") for n in range(4)]
        code = code_now(secret, 1)
        pages = await asyncio.gather(*(browser.sign_in(mei.name, code=code) for browser in browsers))
        assert sorted(page.status for page in pages) == [200, 403, 403, 403]

    @pytest.mark.gen_test
    async def test_at_rest_it_is_sealed_and_the_recovery_codes_are_hashed(
        self, make_server: Callable[..., Product], network: Network
    ) -> None:
        server = make_server()
        mei = await make_operator(server, network, name="mei")
        secret, codes = await turn_on(mei)
        stored = b"".join(path.read_bytes() for path in sorted(server.data_dir.iterdir()) if path.is_file())
        assert b"operator.totp_on" in stored
        for plain in (secret, totp.as_text(secret).encode(), *(code.encode() for code in codes), mei.token.encode()):
            assert plain not in stored
        assert codes[0].replace("-", "").encode() not in stored
        assert PASSWORD.encode() not in stored

    @pytest.mark.gen_test
    async def test_turning_it_on_wants_the_right_code_and_a_secret_of_this_session(
        self, embedded: Product, network: Network
    ) -> None:
        mei, li = await make_operator(embedded, network), await make_operator(embedded, network)
        page = await mei.get("/admin/me/totp")
        answer = await mei.ask(
            "POST", "/admin/me/totp", {"sealed": page.value("sealed"), "code": "12345", "form": page.form_token}
        )
        assert answer.status == 400
        assert page.value("sealed") in answer.body.decode()
        another_s = (await li.get("/admin/me/totp")).value("sealed")
        for sealed in (another_s, "00", "", "zz", page.value("sealed")[:-2]):
            answer = await mei.ask(
                "POST", "/admin/me/totp", {"sealed": sealed, "code": "123456", "form": page.form_token}
            )
            assert answer.status == 400
        async with process.opened(settings_of(embedded)) as stores:
            assert not (await stores.operators.find_name(mei.name)).has_totp

    @pytest.mark.gen_test
    async def test_after_five_minutes_the_password_is_asked_again(self, server: Product, network: Network) -> None:
        mei = await make_operator(server, network)
        await turn_on(mei)
        assert (await mei.post("/admin/me/totp/off", {"password": GOOD})).status == 403
        sql = (
            "UPDATE operator_session SET confirmed_at = confirmed_at - :n "
            "WHERE operator_id = (SELECT id FROM operator WHERE name = :name)"
        )
        await change(server, sql, n=301, name=mei.name)
        assert (await mei.post("/admin/me/totp/off")).status == 403
        page = await mei.post("/admin/me/totp/off", {"password": PASSWORD})
        assert page.path == "/admin/me"
        assert "password alone" in page.text
        assert (await Operator(server, network).sign_in(mei.name)).path == "/admin/"

    @pytest.mark.gen_test
    async def test_where_it_is_required_nothing_else_comes_first(
        self, make_server: Callable[..., Product], network: Network
    ) -> None:
        server = make_server(REQUIRE_TOTP="true")
        await add(server, "mei")
        mei = Operator(server, network)
        page = await mei.sign_in("mei")
        assert page.path == "/admin/me/totp"
        for path in ("/admin/", "/admin/me", "/admin/sessions"):
            assert (await mei.get(path)).path == "/admin/me/totp"
        fields = {"language": "", "timezone": "UTC", "form": page.form_token}
        answer = await mei.ask("POST", "/admin/me/tastes", fields)
        assert answer.headers["Location"] == "/admin/me/totp"
        async with process.opened(settings_of(server)) as stores:
            assert (await stores.operators.find_name("mei")).timezone is None
        await turn_on(mei)
        assert (await mei.get("/admin/me")).path == "/admin/me"
