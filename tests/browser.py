"""Debian's Chromium, driven by Playwright, for the tests that look at a page."""

from playwright.async_api import Browser, Playwright, async_playwright
from servers import program

# It runs as root in a container (no sandbox), and speaks to nobody but the pages under test.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


async def launch() -> tuple[Playwright, Browser]:
    """Start a browser on the running loop; its Playwright must be stopped after it."""
    playwright = await async_playwright().start()
    browser = await playwright.chromium.launch(executable_path=program("chromium"), args=ARGUMENTS)
    return playwright, browser


async def close(playwright: Playwright, browser: Browser) -> None:
    """Close the browser, and the driver behind it."""
    await browser.close()
    await playwright.stop()
