"""The playground: what a developer clicks and reads in a real browser, and what its routes refuse."""

import asyncio
import json
import re
import shlex
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from phone import Answer, Network
from playwright.async_api import Browser, ConsoleMessage, Locator, Page, expect
from product import ROOT, DevServer, Product

from handlers.pages import LANGUAGES, PAGE_HEADERS, TEMPLATES, wished_language

TOKEN = re.compile(r"mps_[\w-]{43}")
# Chromium writes every answer of 400 and above to the console; that the 401 is real is the point of the page.
EXPECTED_IN_CONSOLE = "the server responded with a status of 401"


class Visit:
    """A developer's visit to the page."""

    def __init__(self, page: Page, server: DevServer) -> None:
        self.page = page
        self.server = server
        self.expected = [EXPECTED_IN_CONSOLE]
        self.complaints: list[str] = []
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(f"a dialog: {dialog.message}"))

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(each in message.text for each in self.expected):
            self.complaints.append(message.text)

    @property
    def said(self) -> Locator:
        return self.page.get_by_role("status")

    def step(self, name: str) -> Locator:
        return self.page.locator(f"[data-step={name}]")

    async def choose(self, name: str) -> None:
        await self.page.get_by_role("radio", name=name).check()

    async def add(self, name: str) -> None:
        await self.page.locator("#someone").fill(name)
        await self.page.locator("#someone").press("Enter")

    async def press(self, *steps: str) -> None:
        """Press the steps one after the other, each when the answer to the one before is there."""
        for step in steps:
            before = await self.page.locator(".exchange").count()
            await self.step(step).click()
            await expect(self.page.locator(".exchange")).to_have_count(before + 1)

    async def in_mini_program(self, script: str) -> Any:
        """Run the page's snippet, then the script, where there is a `wx` made of what a browser has."""
        snippet = await self.page.locator("#snippet").inner_text()
        return await self.page.evaluate(f"(async () => {{ {WX}\n{snippet}\n{script} }})()")

    async def newest(self) -> str:
        return await self.page.locator(".exchange").first.inner_text()


@asynccontextmanager
async def visit(chromium: Browser, server: DevServer, **options: Any) -> AsyncIterator[Visit]:
    """Open the page, and at the end see that the browser had nothing to complain of."""
    context = await chromium.new_context(**{"locale": "en-US", "reduced_motion": "reduce", **options})
    at = Visit(await context.new_page(), server)
    await at.page.goto(server.base)
    yield at
    assert not at.complaints
    await context.close()


async def wx_login(server: DevServer, network: Network, body: object, **headers: str) -> Answer:
    """Ask for a code as a page would."""
    sent = {"Content-Type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await network.ask(
        "POST", f"{server.base}/playground/wx-login", headers=sent, body=json.dumps(body).encode()
    )
    if answer.status == 200:
        server.never_logged.add(answer.json["code"])
    return answer


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
    @pytest.mark.parametrize(("locale", "other"), [("zh-CN", "en"), ("en-US", "zh_CN")])
    async def test_each_language_is_spoken_to_the_end(
        self, chromium: Browser, dev: DevServer, locale: str, other: str
    ) -> None:
        async with visit(chromium, dev, locale=locale) as at:
            await expect(at.page.locator("html")).to_have_attribute(
                "lang", locale[:2] + ("-CN" if other == "en" else "")
            )
            await at.press("wx_login", "log_in", "verify", "sessions", "log_out", "verify")
            await at.page.context.set_offline(offline=True)
            await at.press("wx_login")
            await at.page.context.set_offline(offline=False)
            at.complaints.clear()  # Chromium says that it is offline
            text = await at.page.locator("body").inner_text()
        own = words("zh_CN" if other == "en" else "en")
        foreign = {
            word for name, word in words(other).items() if word != own[name] and len(word) > 8 and "{" not in word
        }
        assert not [word for word in foreign if word in text]
        assert not re.search(r"undefined|\{\w+\}|\bsaid_|\bwhy_", text)
        assert other == "en" or not re.search(r"[\u4e00-\u9fff]", text.replace("中文", ""))

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
            ended = "await ask({ url: '/api/logout', method: 'POST' }); const ended = stored.get('token')"
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


# The part of wx that the snippet uses, made of what a browser has.
WX = """
const stored = new Map()
const held = {}  // what the answer to a path has to wait for
let logins = 0
const wx = {
  getStorageSync: (key) => stored.get(key) ?? '',
  setStorageSync: (key, value) => stored.set(key, value),
  request: ({ url, method = 'GET', data, header = {}, success, fail }) =>
    fetch(url, {
      method, body: data && JSON.stringify(data), headers: { 'Content-Type': 'application/json', ...header }
    }).then(async (response) => {
      await held[new URL(url, location).pathname]
      success({ statusCode: response.status, data: await response.json() })
    }, fail),
  login: ({ success, fail }) => {
    logins += 1
    wx.request({ url: '/playground/wx-login', method: 'POST', data: { user: 'snippet' },
                 success: ({ data }) => success({ code: data.code }), fail })
  }
}
"""


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


class TestWords:
    def test_both_languages_say_the_same_things(self) -> None:
        chinese, english = words("zh_CN"), words("en")
        assert list(chinese) == list(english)
        assert all(word.strip() for word in [*chinese.values(), *english.values()])
        for name in chinese:
            assert places(chinese[name]) <= places(english[name]), name

    def test_the_script_asks_for_no_word_that_is_not_there(self) -> None:
        asked = set(re.findall(r"\bwords\.(\w+)", (ROOT / "static/playground.js").read_text("utf-8")))
        there = {name.partition(".")[2] for name in words("en") if name.startswith("script.")}
        assert asked - there == set()
        assert {f"said_{retry}" for retry in ("login", "backoff", "fix", "never")} <= there

    @pytest.mark.parametrize(
        ("header", "language"),
        [
            ("zh-CN,zh;q=0.9,en;q=0.8", "zh_CN"),
            ("en-GB", "en"),
            ("zh-Hant-TW", "zh_CN"),
            ("fr, en;q=0.3, zh;q=0.5", "zh_CN"),
            ("en, zh", "en"),
            ("zh;q=0, en;q=0.001", "en"),
            ("EN", "en"),
            ("", None),
            ("fr-FR, *;q=0.5", None),
            ("zh;q=oops, english", None),
            (";;q=1,,,", None),
        ],
    )
    def test_the_browser_s_wish_is_read(self, header: str, language: str | None) -> None:
        assert wished_language(header) == language

    @pytest.mark.gen_test
    @pytest.mark.parametrize(
        ("query", "accepted", "lang"),
        [
            ("", "en", "en"),
            ("?lang=zh", "en", "zh-CN"),
            ("?lang=en", "zh", "en"),
            ("?lang=xx", "en", "en"),
            ("?lang=%ff", "en", "en"),
            ("", "fr", "zh-CN"),  # the setting LANGUAGE
        ],
    )
    async def test_the_link_wins_over_the_browser_and_that_over_the_setting(
        self, dev: DevServer, network: Network, query: str, accepted: str, lang: str
    ) -> None:
        answer = await network.ask("GET", f"{dev.base}/{query}", headers={"Accept-Language": accepted})
        assert answer.status == 200
        assert answer.headers["Content-Language"] == lang
        assert f'<html lang="{lang}">' in answer.body.decode()


def words(language: str) -> dict[str, str]:
    """Return every word of a language by its full name."""
    assert language in LANGUAGES.values()
    table = json.loads((TEMPLATES / "words" / f"{language}.json").read_text("utf-8"))
    return {f"{page}.{name}": word for page, told in table.items() for name, word in told.items()}


def places(word: str) -> set[str]:
    return set(re.findall(r"\{\w+\}", word))


class TestWxLogin:
    @pytest.mark.gen_test
    async def test_the_same_name_is_the_same_person(self, dev: DevServer, network: Network) -> None:
        ids = []
        for user in ("sun", "sun", "qian"):
            code = (await wx_login(dev, network, {"user": user})).json["code"]
            headers = {"Content-Type": "application/json"}
            body = json.dumps({"code": code}).encode()
            answer = (await network.ask("POST", f"{dev.base}/api/login", headers=headers, body=body)).json
            dev.never_logged.add(answer["token"])
            ids.append(answer["user"]["id"])
        assert ids[0] == ids[1] != ids[2]

    @pytest.mark.gen_test
    @pytest.mark.parametrize(
        "body", [{}, {"user": ""}, {"user": "x" * 65}, {"user": "x" * 10_000}, {"user": 7}, {"user": ["mei"]}]
    )
    async def test_what_is_no_name_is_refused(self, dev: DevServer, network: Network, body: object) -> None:
        answer = await wx_login(dev, network, body)
        assert answer.status == 400
        assert answer.json["errcode"] == 400001
        assert answer.json["field"] == "user"

    @pytest.mark.gen_test
    @pytest.mark.parametrize(
        "headers",
        [
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://["},
            {"Origin": "http://a:99999999"},
            {"Origin": "http://é"},
            {"Origin": "x" * 8000},
            {"Origin": ""},
            {"Sec_Fetch_Site": "cross-site"},
            {"Sec_Fetch_Site": "same-site"},
        ],
        ids=lambda headers: " ".join(headers.values())[:30],
    )
    async def test_a_page_of_another_site_gets_no_code(
        self, dev: DevServer, network: Network, headers: dict[str, str]
    ) -> None:
        answer = await wx_login(dev, network, {"user": "mei"}, **headers)
        assert answer.status == 403
        told = answer.json
        assert (told["errcode"], told["error"], told["retry"]) == (403002, "cross_origin", "never")
        assert "Access-Control-Allow-Origin" not in answer.headers

    @pytest.mark.gen_test
    async def test_our_own_page_gets_one(self, dev: DevServer, network: Network) -> None:
        answer = await wx_login(dev, network, {"user": "mei"}, Origin=dev.base, Sec_Fetch_Site="same-origin")
        assert answer.status == 200


class TestRoutes:
    @pytest.mark.gen_test
    async def test_another_machine_is_not_shown_what_it_could_not_use(self, tmp_path: Path, network: Network) -> None:
        server = DevServer(tmp_path)
        server.settings["TRUSTED_PROXIES"] = "127.0.0.1/32"
        try:
            server.start()
            for address, status in [("127.0.0.1", 200), ("192.168.1.7", 404), ("::ffff:10.0.0.9", 404)]:
                headers = {"X-Forwarded-For": address}
                assert (await network.ask("GET", server.base, headers=headers)).status == status
                assert (await wx_login(server, network, {"user": "mei"}, X_Forwarded_For=address)).status == status
                assert (await network.ask("GET", f"{server.base}/healthz", headers=headers)).status == 200
        finally:
            server.kill()
        server.check_log()

    @pytest.mark.gen_test
    async def test_without_dev_there_is_no_playground(self, embedded: Product, network: Network) -> None:
        home = await network.ask("GET", f"{embedded.base}/")
        assert home.headers["Content-Type"].startswith("text/plain")
        headers = {"Content-Type": "application/json"}
        for method, path in [("POST", "/playground/wx-login"), ("GET", "/static/")]:
            body = b'{"user":"mei"}' if method == "POST" else b""
            assert (await network.ask(method, embedded.base + path, headers=headers, body=body)).status == 404

    @pytest.mark.gen_test
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    @pytest.mark.parametrize("path", ["/", "/static/page.css", "/static/nothing.css"])
    async def test_every_page_and_file_is_guarded(
        self, dev: DevServer, network: Network, method: str, path: str
    ) -> None:
        answer = await network.ask(method, dev.base + path)
        assert answer.status == (404 if "nothing" in path else 200)
        own = {"Content-Type", "Cache-Control"} if answer.status == 200 and path != "/" else set()
        for name in PAGE_HEADERS.keys() - own:
            assert answer.headers[name] == PAGE_HEADERS[name]
        assert "Server" not in answer.headers

    @pytest.mark.gen_test
    async def test_a_browser_asks_whether_its_copy_of_a_file_is_good(self, dev: DevServer, network: Network) -> None:
        url = f"{dev.base}/static/playground.js?v=1"
        first = await network.ask("GET", url)
        assert first.headers["Cache-Control"] == "no-cache"
        assert "javascript" in first.headers["Content-Type"]
        again = await network.ask("GET", url, headers={"If-None-Match": first.headers["ETag"]})
        assert again.status == 304

    @pytest.mark.gen_test
    async def test_a_wrong_method_is_refused_with_a_page(self, dev: DevServer, network: Network) -> None:
        answer = await network.ask("POST", dev.base, headers={"Accept-Language": "en"}, body=b"x")
        assert answer.status == 405
        assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD"}
        assert "does not take that kind of request" in answer.body.decode()

    @pytest.mark.gen_test
    async def test_an_odd_host_is_not_repeated_in_commands(self, dev: DevServer, network: Network) -> None:
        answer = await network.ask("GET", dev.base, headers={"Host": "$(reboot)"})
        assert answer.status < 500
        assert b"reboot" not in answer.body

    @pytest.mark.gen_test
    @pytest.mark.parametrize(
        "path",
        [
            "/static/",
            "/static",
            "/static/../settings.py",
            "/static/%2e%2e/settings.py",
            "/static/..%2fsettings.py",
            "/static/..\\settings.py",
            "/static/..%5csettings.py",
            "/static//etc/passwd",
            "/static/%2fetc/passwd",
            "/static/page.css%00.png",
            "/static/%00",
            "/static/%ff",
            "/static/" + "x" * 5000,
            "/static/.git/config",
            "/.git/config",
            "/settings.py",
            "/templates/playground.html",
        ],
    )
    async def test_nothing_but_the_folder_s_files_is_served(self, dev: DevServer, path: str) -> None:
        status = await raw_status(dev.port, path)
        assert status in (400, 404)

    @pytest.mark.gen_test
    async def test_a_link_that_leads_out_of_the_folder_is_not_followed(self, tmp_path: Path, network: Network) -> None:
        house = tmp_path / "house"
        shutil.copytree(ROOT, house, ignore=shutil.ignore_patterns(".*", "tests", "data", "__pycache__", "docs"))
        (house / "static" / "out.txt").symlink_to(house / "requirements.in")
        (house / "static" / "in.css").symlink_to(house / "static" / "page.css")
        server = DevServer(tmp_path / "server", house)
        try:
            server.start()
            assert (await network.ask("GET", f"{server.base}/static/in.css")).status == 200
            assert (await network.ask("GET", f"{server.base}/static/out.txt")).status == 404
        finally:
            server.kill()
        server.check_log()

    def test_the_page_is_light(self) -> None:
        css = sum((ROOT / "static" / name).stat().st_size for name in ("page.css", "playground.css"))
        assert css < 12_000
        assert (ROOT / "static/playground.js").stat().st_size < 12_000


async def raw_status(port: int, path: str) -> int:
    """Ask for a path exactly as it stands; every client library would tidy it first."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode("latin-1"))
    answer = await reader.read()
    writer.close()
    return int(answer.split(b" ", 2)[1])
