"""The playground: what a developer clicks and reads in a real browser."""

import json
import re
import shlex

import pytest
from phone import Answer, Network
from playground_visit import visit
from playwright.async_api import Browser, expect
from product import DevServer

TOKEN = re.compile(r"mps_[\w-]{43}")


class TestPeople:
    @pytest.mark.gen_test
    async def test_a_logout_ends_one_session_and_no_other(self, chromium: Browser, dev: DevServer) -> None:
        async with visit(chromium, dev) as at:
            await at.press("wx_login", "log_in", "verify")
            await expect(at.said).to_contain_text("The token holds")
            await at.choose("Li")
            await at.press("wx_login", "log_in")
            await expect(at.said).to_contain_text("good for 7 days")
            await at.choose("Mei")
            await at.press("log_out")
            await expect(at.said).to_contain_text("Mei's session has ended")
            await at.press("verify")
            await expect(at.said).to_contain_text("Mei: refused")
            assert "401 Unauthorized · refused" in await at.newest()
            assert '"reason": "logged_out"' in await at.newest()
            await at.choose("Li")
            await at.press("verify")
            assert "200 OK · accepted" in await at.newest()

    @pytest.mark.gen_test
    async def test_a_login_on_the_same_phone_ends_the_session_before(self, chromium: Browser, dev: DevServer) -> None:
        async with visit(chromium, dev) as at:
            await at.add("Wu")
            await at.press("wx_login", "log_in", "wx_login", "log_in")
            await expect(at.said).to_contain_text("The session of the token before it has ended.")
            await at.press("sessions")
            await expect(at.said).to_have_text("Wu is logged in on this phone only.")

    @pytest.mark.gen_test
    async def test_a_person_with_two_phones_has_two_sessions(self, chromium: Browser, dev: DevServer) -> None:
        async with visit(chromium, dev) as at:
            await at.add("Zhao")
            await at.press("wx_login", "log_in")
            await at.add("Zhao")
            await at.press("wx_login", "log_in", "sessions")
            await expect(at.said).to_contain_text("Zhao 2 has 2 sessions")
            await at.press("log_out")
            await at.page.get_by_role("radio", name="Zhao", exact=False).first.check()
            await at.press("verify")
            await expect(at.said).to_contain_text("The token holds")

    @pytest.mark.gen_test
    async def test_a_hostile_name_is_shown_as_text(self, chromium: Browser, dev: DevServer) -> None:
        name = "<img src=x onerror=alert(1)>\"'{{7*7}}"
        async with visit(chromium, dev) as at:
            await at.add(name)
            await at.press("wx_login", "log_in", "sessions")
            await expect(at.page.get_by_role("heading", level=2, name=name)).to_be_visible()
            assert name in await at.said.inner_text()
            assert await at.page.locator("img").count() == 1  # the door in the corner

    @pytest.mark.gen_test
    async def test_the_box_takes_no_name_that_the_server_would_refuse(self, chromium: Browser, dev: DevServer) -> None:
        async with visit(chromium, dev) as at:
            await at.page.locator("#someone").click()
            await at.page.keyboard.insert_text("x" * 10_000)
            await at.page.keyboard.press("Enter")
            await at.press("wx_login")
            assert "200 OK" in await at.newest()
            assert await at.page.locator("#owner").inner_text() == "x" * 64


class TestAtTheKeyboard:
    @pytest.mark.gen_test
    async def test_everything_can_be_done_without_a_mouse(self, chromium: Browser, dev: DevServer) -> None:
        async with visit(chromium, dev) as at:
            keyboard = at.page.keyboard
            await keyboard.press("Tab")
            await expect(at.page.get_by_role("link", name="Skip to the content")).to_be_focused()
            await keyboard.press("Enter")
            await keyboard.press("Tab")
            await expect(at.page.get_by_role("radio", name="Mei")).to_be_focused()
            await keyboard.press("ArrowRight")
            await expect(at.page.get_by_role("heading", name="Li")).to_be_visible()
            for number, name in enumerate(["wx.login", "Log in", "Verify", "My sessions", "Log out"], 1):
                await keyboard.press("Tab")
                await expect(at.page.get_by_role("button", name=name, exact=True)).to_be_focused()
                await keyboard.press("Enter")
                await expect(at.page.locator(".exchange")).to_have_count(number)
            await expect(at.said).to_contain_text("Li's session has ended")

    @pytest.mark.gen_test
    async def test_a_button_that_makes_no_sense_yet_says_why(self, chromium: Browser, dev: DevServer) -> None:
        async with visit(chromium, dev) as at:
            button = at.page.get_by_role("button", name="Log in", exact=True)
            await expect(button).to_have_accessible_description("First wx.login: there is no code yet")
            await expect(button).to_have_attribute("aria-disabled", "true")
            await button.focus()
            await at.page.keyboard.press("Enter")
            await expect(at.said).to_have_text("First wx.login: there is no code yet")
            assert await at.page.locator(".exchange").count() == 0

    @pytest.mark.gen_test
    async def test_what_has_the_focus_is_seen_to_have_it(self, chromium: Browser, dev: DevServer) -> None:
        async with visit(chromium, dev) as at:
            await at.page.keyboard.press("Tab")
            for _ in range(12):
                await at.page.keyboard.press("Tab")
                style = "e => { const s = getComputedStyle(e.closest('.pill') || e); return s.outlineStyle }"
                assert await at.page.locator(":focus").evaluate(style) == "solid"


class TestThePage:
    @pytest.mark.gen_test
    async def test_a_token_is_shortened_on_screen_and_copied_whole(
        self, chromium: Browser, dev: DevServer, network: Network
    ) -> None:
        async with visit(chromium, dev, permissions=["clipboard-read", "clipboard-write"]) as at:
            await at.press("wx_login", "log_in")
            assert TOKEN.search(await at.page.locator("body").inner_text()) is None
            await at.page.get_by_role("button", name="Copy token").click()
            await expect(at.said).to_have_text("Copied")
            token = str(await at.page.evaluate("navigator.clipboard.readText()"))
            dev.never_logged.add(token)
            headers = {"Authorization": f"Bearer {token}"}
            assert (await network.ask("GET", f"{dev.base}/api/verify", headers=headers)).status == 200

    @pytest.mark.gen_test
    @pytest.mark.parametrize("locale", ["zh-CN", "en-US"])
    async def test_a_narrow_screen_never_scrolls_sideways(self, chromium: Browser, dev: DevServer, locale: str) -> None:
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        async with visit(chromium, dev, viewport={"width": 320, "height": 640}, locale=locale) as at:
            assert await at.page.evaluate(wide) == 0
            await at.add("W" * 64)
            await at.press("wx_login", "log_in", "sessions", "log_out", "verify")
            for summary in (await at.page.locator(".exchange summary").all())[1:]:
                await summary.click()
            await expect(at.page.locator(".exchange details[open]")).to_have_count(5)
            assert await at.page.evaluate(wide) == 0

    @pytest.mark.gen_test
    async def test_on_a_narrow_screen_the_sentence_comes_with_the_first_press(
        self, chromium: Browser, dev: DevServer
    ) -> None:
        async with visit(chromium, dev, viewport={"width": 360, "height": 640}) as at:
            await expect(at.step("wx_login")).to_be_in_viewport()
            await expect(at.said).not_to_be_in_viewport()
            await at.press("wx_login")
            await expect(at.step("wx_login")).to_be_in_viewport()
            await expect(at.said).to_be_in_viewport()

    @pytest.mark.gen_test
    async def test_an_option_is_not_broken_after_its_hyphens(self, chromium: Browser, dev: DevServer) -> None:
        async with visit(chromium, dev, viewport={"width": 320, "height": 640}) as at:
            options = await at.page.locator("code", has_text=re.compile("^--dev$")).all()
            assert len(options) == 2
            for option in options:
                assert await option.evaluate("(e) => e.getClientRects().length") == 1

    @pytest.mark.gen_test
    async def test_the_switch_changes_the_language(self, chromium: Browser, dev: DevServer) -> None:
        async with visit(chromium, dev) as at:
            await at.page.get_by_role("link", name="中文").click()
            await expect(at.page.get_by_role("heading", level=1)).to_have_text("试用页")
            await at.page.get_by_role("link", name="Menshen").click()
            await expect(at.page.get_by_role("heading", level=1)).to_have_text("试用页")

    @pytest.mark.gen_test
    async def test_the_snippet_logs_a_mini_program_in(self, chromium: Browser, dev: DevServer) -> None:
        async with visit(chromium, dev) as at:
            profile, stored = await at.in_mini_program("return [await ask({ url: '/api/me' }), stored.size]")
            assert profile["errcode"] == 0
            assert profile["id"] > 0
            assert stored == 1

    @pytest.mark.gen_test
    async def test_requests_that_start_together_share_one_login(self, chromium: Browser, dev: DevServer) -> None:
        async with visit(chromium, dev) as at:
            asked = "Promise.all(['/api/me', '/api/me', '/api/verify'].map((url) => ask({ url })))"
            answers, logins = await at.in_mini_program(f"return [await {asked}, logins]")
            assert [answer["errcode"] for answer in answers] == [0, 0, 0]
            assert logins == 1

    @pytest.mark.gen_test
    async def test_a_refusal_that_comes_late_makes_no_second_login(self, chromium: Browser, dev: DevServer) -> None:
        async with visit(chromium, dev) as at:
            last = "held['/api/verify'] = ask({ url: '/api/me' }); const late = await ask({ url: '/api/verify' })"
            late, logins = await at.in_mini_program(f"{last}; return [late, logins]")
            assert late["errcode"] == 0
            assert logins == 1

    @pytest.mark.gen_test
    async def test_an_ended_token_is_replaced_and_the_request_s_own_headers_stay(
        self, chromium: Browser, dev: DevServer
    ) -> None:
        async with visit(chromium, dev) as at:
            begun = "await ask({ url: '/api/me' }); await quiet()"
            ended = f"{begun}; await ask({{ url: '/api/logout', method: 'POST' }}); const ended = stored.get('token')"
            again = "await ask({ url: '/api/me', header: { 'X-Request-Id': 'my-own-request' } })"
            answer, replaced, logins = await at.in_mini_program(
                f"{ended}; const answer = {again}; return [answer, stored.get('token') !== ended, logins]"
            )
            assert answer["request_id"] == "my-own-request"
            assert replaced
            assert logins == 2

    @pytest.mark.gen_test
    @pytest.mark.parametrize("status", [429, 503])
    async def test_a_token_outlives_an_outage(self, chromium: Browser, dev: DevServer, status: int) -> None:
        async with visit(chromium, dev) as at:
            away = json.dumps({"errcode": status * 1000 + 1, "retry": "backoff"})
            at.expected.append(f"the server responded with a status of {status}")
            await at.page.route("**/api/verify", lambda route: route.fulfill(status=status, body=away))
            asked = "await ask({ url: '/api/me' }); const told = await ask({ url: '/api/verify' }).catch((it) => it)"
            told, stored, logins = await at.in_mini_program(f"{asked}; return [told, stored.size, logins]")
            assert told["retry"] == "backoff"
            assert (stored, logins) == (1, 1)

    @pytest.mark.gen_test
    async def test_without_javascript_the_page_shows_commands(self, chromium: Browser, dev: DevServer) -> None:
        async with visit(chromium, dev, java_script_enabled=False) as at:
            await expect(at.page.get_by_role("heading", name="The same steps as commands")).to_be_visible()
            await expect(at.page.locator("#playground")).to_be_hidden()
            await expect(at.page.get_by_role("button")).to_have_count(0)

    @pytest.mark.gen_test
    async def test_the_commands_do_what_they_say(self, dev: DevServer, network: Network) -> None:
        page = (await network.ask("GET", dev.base)).body.decode()
        commands = [found.replace("&#34;", '"') for found in re.findall(r"<pre>(curl .*)</pre>", page)]
        get_code, log_in, verify, log_out = commands
        code = (await run(network, get_code)).json["code"]
        token = (await run(network, log_in.replace("CODE", code))).json["token"]
        dev.never_logged |= {code, token}
        assert (await run(network, verify.replace("TOKEN", token))).status == 200
        assert (await run(network, log_out.replace("TOKEN", token))).status == 200
        assert (await run(network, verify.replace("TOKEN", token))).status == 401


async def run(network: Network, command: str) -> Answer:
    """Do what curl would do with this command line."""
    _, *left = shlex.split(command)
    method, headers, body = None, {}, b""
    while len(left) > 1:
        option = left.pop(0)
        if option == "-H":
            name, _, value = left.pop(0).partition(": ")
            headers[name] = value
        elif option == "-d":
            body = left.pop(0).encode()
        elif option == "-X":
            method = left.pop(0)
        else:
            assert option == "-s", option
    return await network.ask(method or ("POST" if body else "GET"), left[0], headers=headers, body=body)
