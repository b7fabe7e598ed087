"""An operator in front of the dashboard in Chromium; at the end the browser must have had nothing to complain of."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from operator_at import PASSWORD, Operator
from phone import Phone
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, expect
from product import Product

IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 "
    "MicroMessenger/8.0.49(0x18003137) NetType/4G Language/zh_CN MiniProgramEnv/iOS"
)


class Visit:
    """One browser: its page, and what it complained of."""

    def __init__(self, context: BrowserContext, page: Page, server: Product) -> None:
        self.context = context
        self.page = page
        self.server = server
        self.expected: list[str] = []  # Chromium writes every answer of 400 and above to the console, for one
        self.complaints: list[str] = []
        context.on("console", self._hear)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.on("dialog", lambda dialog: self.complaints.append(f"a dialog: {dialog.message}"))

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(each in message.text for each in self.expected):
            self.complaints.append(message.text)

    async def go(self, path: str) -> int:
        """Open a page of the server, and give its status."""
        answer = await self.page.goto(self.server.base + path)
        assert answer is not None
        return answer.status

    async def press(self, name: str) -> None:
        """Press the one button, or follow the one link, of this name in the page itself."""
        main = self.page.locator("main")
        button, link = main.get_by_role("button", name=name), main.get_by_role("link", name=name)
        await button.or_(link).click()

    async def room(self, name: str) -> None:
        """Choose a room from the menu."""
        await self.page.get_by_role("navigation", name="Dashboard").get_by_role("link", name=name, exact=True).click()

    async def sign_in(self, name: str) -> None:
        """Fill in the form of the page that is open."""
        await self.page.get_by_label("Name").fill(name)
        await self.page.get_by_label("Password").fill(PASSWORD)
        await self.press("Sign in")
        await self.note_cookies()

    async def sign_out(self) -> None:
        """Press the button at the top, and wait for the page that follows: until then there is no way back."""
        await self.page.get_by_role("button", name="Sign out", exact=True).first.click()
        await self.page.wait_for_url(self.server.base + "/admin/signin")

    async def note_cookies(self) -> None:
        """Let the server's log be searched for this browser's cookies at the end."""
        self.server.never_logged |= {cookie["value"] for cookie in await self.context.cookies()}

    @property
    def said(self) -> Locator:
        """What has just happened."""
        return self.page.locator("main .note[role=status]")

    @property
    def rows(self) -> Locator:
        """The rows of the first list."""
        return self.page.locator("main .list").first.locator("tbody tr")

    async def sees(self, *texts: str) -> None:
        """Wait until the page shows all of these."""
        for text in texts:
            await expect(self.page.locator("main")).to_contain_text(text)


@asynccontextmanager
async def visit(
    chromium: Browser, server: Product, as_: Operator | None = None, **options: Any
) -> AsyncIterator[Visit]:
    """Open a browser, signed in as an operator if told."""
    context = await chromium.new_context(**{"locale": "en-US", "reduced_motion": "reduce", **options})
    context.set_default_timeout(10_000)
    if as_:
        await context.add_cookies([{"name": n, "value": v, "url": server.base} for n, v in as_.cookies.items()])
    at = Visit(context, await context.new_page(), server)
    yield at
    await context.close()
    assert at.complaints == [], at.complaints


def setup_path(server: Product) -> str:
    """The path of the first operator's link, as the server printed it at its start."""
    found = re.findall(r"/admin/setup\?link=([\w-]+)", server.log_since_start())
    assert found, "no link was printed"
    return f"/admin/setup?link={found[-1]}"


async def log_in_as(phone: Phone, nickname: str, user_agent: str | None = None) -> int:
    """Log the phone in, give the person a nickname, and return the person's number."""
    headers = {"User-Agent": user_agent} if user_agent else {}
    answer = await phone.request("POST", "/api/login", json={"code": await phone.code()}, headers=headers)
    assert answer.status == 200, answer.json
    phone.token = answer.json["token"]
    phone.server.never_logged.add(phone.token)
    named = await phone.request("PUT", "/api/me", json={"nickname": nickname}, headers=phone.bearer)
    assert named.status == 200, named.json
    return int(named.json["id"])
