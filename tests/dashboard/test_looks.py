"""Every page of the dashboard for everybody's eyes, ears and fingers: axe, narrow screens, the keyboard, the weight."""

import base64
import time
from collections.abc import Callable
from importlib.resources import files
from typing import Any, Self

import pytest
from admin_visit import IPHONE, Visit, log_in_as, setup_path, visit
from operator_at import Operator, invite, make_operator
from phone import Network, Phone
from playwright.async_api import Browser, Response, expect
from product import Product

from actions.totp import STEP_SECONDS, code_at
from handlers import ROUTES
from handlers.base import Handler
from handlers.operator_page import OperatorPage

AXE = (files("axe_core_python") / "axe.min.js").read_text("utf-8")
# A phone, a page that is zoomed to 200 % on a laptop, a tablet, a desk.
WIDTHS = (360, 640, 768, 1440)
LONG = "W" * 64
NICKNAMES = [LONG, "孙" * 64, "مرحبا بالعالم", "👩‍👩‍👧‍👦🎉🧧"]
MOST_BYTES = 150_000

# Each rule looks at all that it concerns; what passes is only not written down.
RUN_AXE = """async (rules) => {
  const options = {resultTypes: ["violations"], ...(rules && {runOnly: rules})};
  const found = await axe.run(document, options);
  return found.violations.map((v) => v.id + ": " + v.nodes.map((n) => n.html.slice(0, 120)).join(" | "));
}"""
TOO_WIDE = """() => {
  const wide = [...document.querySelectorAll("main .list, main .card, main .facts, main table")]
    .filter((e) => e.scrollWidth > e.clientWidth + 1 && !e.closest(".scroll"));
  if (document.documentElement.scrollWidth > innerWidth) wide.push(document.documentElement);
  return wide.map((e) => e.tagName + "." + e.className + " " + e.scrollWidth);
}"""

HEAR = """(e) => new MutationObserver(() => { window.saidAgain = true; })
  .observe(e, {subtree: true, childList: true, characterData: true})"""


class Looker:
    """Looks at pages one after the other, and remembers what is wrong with each."""

    def __init__(self, at: Visit) -> None:
        self.at = at
        self.wrong: list[str] = []
        self.seen = 0
        self._widths = WIDTHS

    @classmethod
    async def of(cls, at: Visit) -> Self:
        """Whatever this browser opens from now on has axe."""
        await at.context.add_init_script(AXE)
        return cls(at)

    async def look(self, name: str) -> None:
        """At the page that is open, light and dark, and at each width."""
        page = self.at.page
        self._widths = self._widths[::-1]  # begins where the last look ended
        for width in self._widths:
            await page.set_viewport_size({"width": width, "height": 800})
            self.wrong += [f"{name} at {width}: {each}" for each in await page.evaluate(TOO_WIDE)]
            if width == WIDTHS[-1]:
                await self._axe(f"{name}, light", None)
                await page.emulate_media(color_scheme="dark")
                await self._axe(f"{name}, dark", ["color-contrast"])  # the one rule that colours matter to
                await page.emulate_media(color_scheme="light")
            if width == WIDTHS[0] and "lang=zh" not in name:  # where lists look like cards
                await self._axe(f"{name} at {width}", None)
        self.seen += 1

    async def _axe(self, where: str, rules: list[str] | None) -> None:
        self.wrong += [f"{where}: {each}" for each in await self.at.page.evaluate(RUN_AXE, rules)]

    async def look_at(self, *paths: str, status: int = 200) -> None:
        """In both languages."""
        for path in paths:
            for language in ("en", "zh"):
                address = f"{path}{'&' if '?' in path else '?'}lang={language}"
                assert await self.at.go(address) == status, address
                await self.look(address)


class TestEveryPage:
    @pytest.mark.gen_test(timeout=170)
    async def test_axe_finds_nothing_and_nothing_is_cut_off_in_any_width_light_or_dark_or_language(
        self,
        chromium: Browser,
        make_server: Callable[..., Product],
        network: Network,
        phones: Callable[..., list[Phone]],
    ) -> None:
        server = make_server()
        async with visit(chromium, server) as at:
            looker = await Looker.of(at)
            await looker.look_at("/admin/signin", setup_path(server))
            operator = await make_operator(server, network)
            await looker.look_at(await invite(server, "li"))
            at.expected += ["status of 400", "status of 404", "does not conform to the required format"]  # of a date
            await looker.look_at("/admin/setup?link=gone", status=404)
            await at.context.add_cookies(
                [{"name": n, "value": v, "url": server.base} for n, v in operator.cookies.items()]
            )
            await looker.look_at("/admin/", "/admin/sessions", "/admin/users", "/admin/logins")  # with nobody there
            people = await many_kinds_of_people(server, phones)
            await looker.look_at(*await pages_with(server, network, people, operator))
            await looker.look_at("/admin/nowhere", "/admin/users/999999", status=404)
            await looker.look_at("/admin/sessions?from=never", status=400)
            await the_pages_that_only_a_form_leads_to(looker)
            assert looker.wrong == []
            assert looker.seen > 60


async def many_kinds_of_people(server: Product, phones: Callable[..., list[Phone]]) -> list[int]:
    """Some with long, foreign and no names, some refused, some of them on an iPhone."""
    *named, plain, refused = phones(len(NICKNAMES) + 2, at=server)
    numbers = [
        await log_in_as(phone, nickname, IPHONE if n % 2 else None)
        for n, (phone, nickname) in enumerate(zip(named, NICKNAMES, strict=True))
    ]
    await plain.login()
    refusals = [(await refused.login(code="0" * 32)).json["errcode"] for _ in range(2)]
    assert refusals == [40029, 40163]
    return numbers


async def pages_with(server: Product, network: Network, people: list[int], operator: Operator) -> list[str]:
    """Every page that a link leads to, with something on it."""
    answer = await network.ask("GET", f"{server.base}/admin/sessions", headers={"Cookie": cookie_of(operator)})
    session = answer.body.decode().partition('href="/admin/sessions/')[2].partition('"')[0].partition("/")[0]
    person = f"/admin/users/{people[0]}"
    await operator.post(f"/admin/users/{people[1]}/block", {"sure": "yes", "reason": "asked", "remark": LONG})
    return [
        *(path for path, handler in ROUTES if is_a_page(path, handler)),
        *(person, f"{person}/revoke", f"{person}/block", f"{person}/erase"),
        *(f"/admin/users/{people[1]}", f"/admin/users/{people[1]}/unblock"),
        *(f"/admin/sessions/{session}", f"/admin/sessions/{session}/revoke"),
        *("/admin/sessions/matching", "/admin/sessions?platform=ios&state=any", "/admin/users?q=nobodyatall"),
        *("/admin/operators/1", "/admin/operators/1/disable", "/admin/operators/1/reset"),
    ]


def is_a_page(path: str, handler: type[Handler]) -> bool:
    """Whether this is the whole address of a page of the dashboard; the others are named one by one."""
    gets = issubclass(handler, OperatorPage) and "GET" in handler.allowed()
    return gets and "(" not in path and path not in ("/admin/live", "/admin/sessions/revoke")


def cookie_of(operator: Operator) -> str:
    return "; ".join(f"{name}={value}" for name, value in operator.cookies.items())


async def the_pages_that_only_a_form_leads_to(looker: Looker) -> None:
    at = looker.at
    await at.go("/admin/sessions")
    await at.page.get_by_role("checkbox").first.check()
    await at.press("Revoke chosen…")
    await looker.look("a selection")
    await at.press("Revoke 1 session")
    await expect(at.said.get_by_role("button", name="Undo")).to_be_visible()
    await looker.look("an undo")
    await at.room("Operators")
    await at.page.get_by_label("Name").fill("wu")
    await at.press("Add operator")
    await at.sees("One-time link for wu")
    at.server.never_logged.add((await at.page.locator("#one-time ~ p code").inner_text()).partition("link=")[2])
    await looker.look("a one-time link")
    await at.go("/admin/me/totp")
    secret = await at.page.locator("main code").inner_text()
    at.server.never_logged.add(secret.replace(" ", ""))
    await at.page.get_by_label("Code from the app").fill("000")
    await at.press("Turn it on")
    await at.sees("This is not the code")
    await looker.look("a wrong code")
    await at.page.get_by_label("Code from the app").fill(code_of(secret))
    await at.press("Turn it on")
    await at.sees("Your recovery codes")
    at.server.never_logged |= set(await at.page.locator(".recovery code").all_inner_texts())
    await looker.look("recovery codes")


def code_of(secret: str) -> str:
    """What an authenticator app shows now."""
    plain = secret.replace(" ", "")
    return code_at(base64.b32decode(plain + "=" * (-len(plain) % 8)), int(time.time()) // STEP_SECONDS)


class TestFingersAndEars:
    @pytest.mark.gen_test(timeout=30)
    async def test_the_first_tab_leads_past_the_menu_and_every_stop_is_seen(
        self, chromium: Browser, embedded: Product, network: Network, phone: Phone
    ) -> None:
        await log_in_as(phone, "Mei")
        async with visit(chromium, embedded, await make_operator(embedded, network)) as at:
            await at.go("/admin/users")
            await at.page.keyboard.press("Tab")
            skip = at.page.get_by_role("link", name="Skip to the content")
            await expect(skip).to_be_focused()
            await expect(skip).to_be_in_viewport()
            await at.page.keyboard.press("Enter")
            await expect(at.page.locator("main")).to_be_focused()
            stops = []
            for _ in range(5):
                await at.page.keyboard.press("Tab")
                stops.append(await at.page.evaluate("document.activeElement.name || document.activeElement.innerText"))
                outline = await at.page.evaluate("getComputedStyle(document.activeElement).outline")
                assert "solid 3px" in outline, (stops[-1], outline)
            assert stops == ["q", "Find", "state", "Apply", "Mei"]

    @pytest.mark.gen_test(timeout=30)
    async def test_a_deed_takes_the_keyboard_alone(
        self, chromium: Browser, embedded: Product, network: Network, phone: Phone
    ) -> None:
        number = await log_in_as(phone, "Mei")
        async with visit(chromium, embedded, await make_operator(embedded, network)) as at:
            await at.go(f"/admin/users/{number}")
            await at.page.get_by_role("link", name="Log out everywhere…").focus()
            await at.page.keyboard.press("Enter")
            await at.page.get_by_label("Reason").focus()
            for _ in range(2):
                await at.page.keyboard.press("Tab")
            await at.page.keyboard.press("Enter")
            await expect(at.said).to_contain_text("Ended 1 session of 1 person.")
            assert (await phone.verify()).status == 401

    @pytest.mark.gen_test(timeout=30)
    @pytest.mark.parametrize("width", [360, 1440])
    async def test_a_list_is_a_table_to_a_screen_reader_also_where_it_looks_like_cards(
        self, width: int, chromium: Browser, embedded: Product, network: Network, phone: Phone
    ) -> None:
        await log_in_as(phone, "Mei")
        size = {"width": width, "height": 800}
        async with visit(chromium, embedded, await make_operator(embedded, network), viewport=size) as at:
            await at.go("/admin/users?q=Mei")
            tree = await (await at.context.new_cdp_session(at.page)).send("Accessibility.getFullAXTree")
            roles = [node["role"]["value"] for node in tree["nodes"] if "role" in node and not node["ignored"]]
            rows = await at.rows.count()
            assert roles.count("table") == 1
            assert roles.count("row") == 1 + rows
            assert roles.count("columnheader") == 8
            assert roles.count("rowheader") == rows
            assert roles.count("cell") == 7 * rows

    @pytest.mark.gen_test(timeout=30)
    @pytest.mark.parametrize("wish", ["reduce", "no-preference"])
    async def test_nothing_moves_for_whoever_asked_for_less_motion(
        self, wish: Any, chromium: Browser, embedded: Product, network: Network, phone: Phone
    ) -> None:
        async with visit(chromium, embedded, await make_operator(embedded, network), reduced_motion=wish) as at:
            await at.go("/admin/")
            await expect(at.page.locator("#live")).to_contain_text("Live")
            await phone.login()
            figure = at.page.locator("[data-figure=users].fresh")
            await expect(figure).to_be_visible(timeout=10_000)
            name = await figure.evaluate("(e) => getComputedStyle(e).animationName")
            assert name == ("none" if wish == "reduce" else "fresh")

    @pytest.mark.gen_test(timeout=30)
    async def test_a_screen_reader_is_told_of_the_stream_once_and_not_of_every_number(
        self, chromium: Browser, embedded: Product, network: Network, phone: Phone
    ) -> None:
        async with visit(chromium, embedded, await make_operator(embedded, network)) as at:
            await at.go("/admin/")
            said = at.page.get_by_role("status")
            await expect(said).to_have_text("Live: this page follows what happens.")
            await said.evaluate(HEAR)
            users = at.page.locator("[data-figure=users]")
            before = await users.inner_text()
            await phone.login()
            await expect(users).not_to_have_text(before, timeout=10_000)
            assert await at.page.evaluate("window.saidAgain") is None
            assert await users.evaluate("(e) => e.closest('[aria-live],[role=status],[role=alert]')") is None


class TestWeight:
    @pytest.mark.gen_test(timeout=60)
    async def test_a_full_list_and_all_that_it_needs_weigh_less_than_150_kb(
        self, chromium: Browser, embedded: Product, network: Network, phones: Callable[..., list[Phone]]
    ) -> None:
        for phone in phones(50):
            await phone.login()
        operator = await make_operator(embedded, network)
        for path in ("/admin/sessions", "/admin/users", "/admin/logins"):
            async with visit(chromium, embedded, operator) as at:
                bytes_of = await weigh(at, path)
                assert await at.rows.count() == 50
                assert len(bytes_of) >= 4
                assert sum(bytes_of.values()) < MOST_BYTES, bytes_of


async def weigh(at: Visit, path: str) -> dict[str, int]:
    """Everything that a browser without a copy has to fetch for a page, uncompressed."""
    came: list[Response] = []
    at.page.on("response", lambda response: came.append(response))
    await at.go(path)
    await at.page.wait_for_load_state("load")
    return {each.url: len(await each.body()) for each in came if not each.url.endswith("/admin/live")}
