"""An operator's day in a real browser, with and without JavaScript."""

from collections.abc import Callable

import pytest
from admin_visit import IPHONE, Visit, log_in_as, setup_path, visit
from backends import Backend
from operator_at import PASSWORD, make_operator
from phone import Network, Phone
from playwright.async_api import Browser, expect
from product import Product
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders, HTTPServerRequest, ResponseStartLine
from tornado.netutil import bind_sockets

SIGN_IN, OVERVIEW = "/admin/signin", "/admin/"


def path_of(at: Visit) -> str:
    return at.page.url.removeprefix(at.server.base)


class TestADay:
    @pytest.mark.gen_test(timeout=60)
    @pytest.mark.parametrize("script", [True, False], ids=["with JavaScript", "without JavaScript"])
    async def test_the_first_operator_sets_up_finds_revokes_undoes_blocks_and_signs_out(
        self,
        script: bool,
        chromium: Browser,
        backend: Backend,
        make_server: Callable[..., Product],
        phones: Callable[..., list[Phone]],
    ) -> None:
        server = make_server(**backend.fresh())
        server.never_logged.add(PASSWORD)
        mei, li, wu = phones(3, at=server)
        async with visit(chromium, server, java_script_enabled=script) as at:
            await set_up_and_sign_in_anew(at)
            await at.sees("Active sessions")
            number = await log_in_as(mei, "梅花")
            await log_in_as(li, "Li")
            await log_in_as(wu, "Wu", IPHONE)
            await find_three_ways(at, "梅花", number, await mei.openid())
            await revoke_and_undo(at, mei)
            await revoke_what_is_on_android(at)
            assert [(await each.verify()).status for each in (mei, li, wu)] == [401, 401, 200]
            await block(at, number)
            assert (await mei.login()).json["errcode"] == 403003
            await at.room("Audit")
            row = at.rows.filter(has_text=f"user:{number}").filter(has=at.page.get_by_text("block", exact=True))
            await expect(row).to_contain_text("operator:first")
            await expect(row).to_contain_text("suspicious use · seen twice")
            await expect(row).to_contain_text("done")
            await at.sign_out()
            assert path_of(at) == SIGN_IN
            await at.go("/admin/users")
            assert path_of(at).startswith(SIGN_IN)
            await expect(at.page.locator("main")).not_to_contain_text("梅花")


async def set_up_and_sign_in_anew(at: Visit) -> None:
    await at.go(setup_path(at.server))
    await at.page.get_by_label("Name").fill("first")
    await at.page.get_by_label("Password", exact=True).fill(PASSWORD)
    await at.page.get_by_label("The same password again").fill(PASSWORD)
    await at.press("Set it and sign in")
    assert path_of(at) == OVERVIEW
    await at.note_cookies()
    await at.sign_out()
    assert path_of(at) == SIGN_IN
    await at.sign_in("first")
    assert path_of(at) == OVERVIEW


async def find_three_ways(at: Visit, nickname: str, number: int, openid: str) -> None:
    for sought in (nickname[:1], str(number), openid):
        await at.room("Users")
        await at.page.get_by_label("Search").fill(sought)
        await at.press("Find")
        await expect(at.rows).to_have_count(1)
        await expect(at.rows).to_contain_text(nickname)
        await expect(at.rows).not_to_contain_text(openid)  # which is for operators to open, not to read over a shoulder


async def revoke_and_undo(at: Visit, phone: Phone) -> None:
    await at.room("Sessions")
    await at.page.get_by_label("Search").fill("梅花")
    await at.press("Find")
    assert (await phone.verify()).status == 200
    await at.rows.get_by_role("link", name="Revoke").click()
    await at.sees("梅花", "is logged out on this one phone at once")
    assert (await phone.verify()).status == 200  # it was only asked
    await at.press("Revoke 1 session")
    await expect(at.said).to_contain_text("Ended 1 session of 1 person.")
    assert (await phone.verify()).status == 401
    await at.press("Undo")
    await expect(at.said).to_contain_text("Undone: 1 session of 1 person hold again.")
    assert (await phone.verify()).status == 200


async def revoke_what_is_on_android(at: Visit) -> None:
    await at.room("Sessions")
    await at.page.get_by_text("Filters and order").click()
    await at.page.get_by_label("Platform").select_option("Android")
    await at.press("Apply")
    await expect(at.rows).to_have_count(2)
    await at.press("Revoke all that match…")
    await at.sees("2 sessions of 2 people match now", "Platform: Android")
    await at.press("Revoke 2 sessions")
    await expect(at.said).to_contain_text("Ended 2 sessions of 2 people.")
    await expect(at.said.get_by_role("button")).to_have_count(0)


async def block(at: Visit, number: int) -> None:
    await at.room("Users")
    await at.page.get_by_label("Search").fill(str(number))
    await at.press("Find")
    await at.rows.get_by_role("link").click()
    await at.press("Block…")
    await at.page.get_by_label("Reason").select_option("suspicious use")
    await at.page.get_by_label("Remark").fill("seen twice")
    await at.page.get_by_label("How long").select_option("for a day")
    await at.press("Block 1 person")
    await expect(at.said).to_contain_text("Blocked 1 person")
    await at.sees("Blocked until", "suspicious use · seen twice")


class TestTheWayOut:
    @pytest.mark.gen_test(timeout=30)
    async def test_after_signing_out_neither_back_nor_another_tab_shows_anything(
        self, chromium: Browser, embedded: Product, network: Network, phone: Phone
    ) -> None:
        number = await log_in_as(phone, "Nobody else's business")
        async with visit(chromium, embedded, await make_operator(embedded, network)) as at:
            other = await at.context.new_page()
            await other.goto(f"{embedded.base}/admin/users/{number}")
            await at.go(f"/admin/users/{number}")
            await at.sees("Nobody else's business")
            await at.go("/admin/apps")
            await at.sign_out()
            for _ in range(2):
                await at.page.go_back()
                await expect(at.page.get_by_role("heading", level=1)).to_have_text("Sign in")
                assert "Nobody else" not in await at.page.content()
            await other.reload()
            await expect(other.get_by_role("heading", level=1)).to_have_text("Sign in")

    @pytest.mark.gen_test(timeout=30)
    async def test_scripts_cannot_read_the_cookie_and_plain_http_is_pointed_out(
        self, chromium: Browser, embedded: Product, network: Network
    ) -> None:
        async with visit(chromium, embedded, await make_operator(embedded, network)) as own:
            operator = (await own.context.cookies())[0]["value"]
        async with visit(chromium, embedded) as at:
            await at.go(SIGN_IN)
            name = (await make_operator(embedded, network)).name
            await at.sign_in(name)
            [cookie] = [each for each in await at.context.cookies() if each["name"] == "menshen-dev"]
            assert cookie["value"] != operator
            assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Lax", "/")
            assert await at.page.evaluate("document.cookie") == ""
            await at.sees("This page came over plain http.")

    @pytest.mark.gen_test(timeout=30)
    async def test_a_page_of_another_site_cannot_frame_the_dashboard(
        self, chromium: Browser, embedded: Product, network: Network
    ) -> None:
        def attack(request: HTTPServerRequest) -> None:
            body = f"<iframe src='{embedded.base}/admin/'></iframe>".encode()
            connection = request.connection
            assert connection is not None
            headers = HTTPHeaders({"Content-Type": "text/html", "Content-Length": str(len(body))})
            connection.write_headers(ResponseStartLine("HTTP/1.1", 200, "OK"), headers, body)
            connection.finish()

        attacker = HTTPServer(attack)
        [socket] = bind_sockets(0, "127.0.0.1")
        attacker.add_sockets([socket])
        async with visit(chromium, embedded, await make_operator(embedded, network)) as at:
            async with at.page.expect_event("requestfailed") as failed:
                await at.page.goto(f"http://127.0.0.1:{socket.getsockname()[1]}/")
            # It came, with the operator's cookie, as the port is no part of a site; its headers kept it from the frame.
            assert (await failed.value).failure == "net::ERR_BLOCKED_BY_RESPONSE"
            assert "Menshen" not in await at.page.frames[1].content()
            at.complaints.clear()  # of being refused
        attacker.stop()


class TestLive:
    @pytest.mark.gen_test(timeout=40)
    async def test_a_login_changes_the_number_without_a_reload_until_another_tab_signs_out(
        self, chromium: Browser, server: Product, network: Network, phone: Phone
    ) -> None:
        async with visit(chromium, server, await make_operator(server, network)) as at:
            await at.go(OVERVIEW)
            await expect(at.page.locator("#live")).to_contain_text("Live")
            await at.page.evaluate("window.sameDocument = true")
            users = at.page.locator("[data-figure=users]")
            before = int((await users.inner_text()).replace(",", ""))
            await log_in_as(phone, "New here")
            await expect(users).to_have_text(f"{before + 1:,}", timeout=10_000)
            assert await at.page.evaluate("window.sameDocument")
            other = await at.context.new_page()
            await other.goto(f"{server.base}/admin/me")
            await other.locator(".top").get_by_role("button", name="Sign out").click()
            await expect(at.page.locator("#live")).to_contain_text("The live connection is lost", timeout=10_000)

    @pytest.mark.gen_test(timeout=30)
    async def test_an_open_list_offers_new_logins_and_moves_nothing(
        self, chromium: Browser, embedded: Product, network: Network, phones: Callable[..., list[Phone]]
    ) -> None:
        first, second = phones(2)
        await log_in_as(first, "Was here before")
        async with visit(chromium, embedded, await make_operator(embedded, network)) as at:
            await at.go("/admin/sessions")
            await expect(at.page.locator("#live")).to_contain_text("Live")
            newest = await at.rows.first.inner_text()
            await log_in_as(second, "Came later")
            await expect(at.page.get_by_role("link", name="1 new login: show")).to_be_visible(timeout=10_000)
            assert await at.rows.first.inner_text() == newest
            await at.press("1 new login: show")
            await at.sees("Came later")

    @pytest.mark.gen_test(timeout=30)
    async def test_without_javascript_a_link_brings_the_figures_of_now(
        self, chromium: Browser, embedded: Product, network: Network, phone: Phone
    ) -> None:
        async with visit(chromium, embedded, await make_operator(embedded, network), java_script_enabled=False) as at:
            await at.go(OVERVIEW)
            users = at.page.locator("[data-figure=users]")
            before = int((await users.inner_text()).replace(",", ""))
            await log_in_as(phone, "New here")
            await expect(users).to_have_text(f"{before:,}")
            await at.press("Refresh")
            await expect(users).to_have_text(f"{before + 1:,}")
