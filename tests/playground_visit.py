"""A developer at the playground, in Chromium."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Browser, ConsoleMessage, Locator, Page, expect
from product import DevServer

# Chromium writes every answer of 400 and above to the console; that the 401 is real is the point of the page.
EXPECTED_IN_CONSOLE = "the server responded with a status of 401"

# The part of wx that the snippet uses, made of what a browser has.
WX = """
const stored = new Map()
const held = {}  // what the answer to a path has to wait for
let logins = 0, open = 0
const quiet = async () => { // when the snippet's own call has its answer as well
  for (let n = 0; open && n < 1000; n += 1) await new Promise((next) => setTimeout(next, 10))
}
const wx = {
  getStorageSync: (key) => stored.get(key) ?? '',
  setStorageSync: (key, value) => stored.set(key, value),
  request: ({ url, method = 'GET', data, header = {}, success, fail }) => {
    open += 1
    fetch(url, {
      method, body: data && JSON.stringify(data), headers: { 'Content-Type': 'application/json', ...header }
    }).then(async (response) => {
      await held[new URL(url, location).pathname]
      success({ statusCode: response.status, data: await response.json() })
    }, fail).finally(() => { open -= 1 })
  },
  login: ({ success, fail }) => {
    logins += 1
    wx.request({ url: '/playground/wx-login', method: 'POST', data: { user: 'snippet' },
                 success: ({ data }) => success({ code: data.code }), fail })
  }
}
"""


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
    assert not at.complaints, at.complaints
    await context.close()
