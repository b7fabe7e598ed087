"""Takes the pictures of docs/operators.md anew (`make pictures`), of people who never were."""

import asyncio
import tempfile
from pathlib import Path

import browser
from admin_visit import IPHONE, Visit, log_in_as, setup_path, visit
from operator_at import PASSWORD
from phone import Network, Phone, WeChat
from playwright.async_api import Browser
from product import ROOT, DevServer

FOLDER = ROOT / "docs" / "pictures"
PEOPLE = ["梅", "李雷", "韩梅梅", "Wang Wei", "小雨", "Ada", "阿明", "Zhao Min", "老周", "Lin", "云朵", "Tom"]
DESK, HAND = {"width": 1440, "height": 900}, {"width": 360, "height": 740}


async def main() -> None:
    """Starts the server, lets people log in, and photographs the pages."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="menshen-") as folder:
        server = DevServer(Path(folder))
        network = Network()
        playwright, chromium = await browser.launch()
        try:
            server.start()
            await log_people_in(server, network)
            await photograph(chromium, server)
        finally:
            await browser.close(playwright, chromium)
            await network.close()
            server.kill()


async def log_people_in(server: DevServer, network: Network) -> None:
    """A dozen people, one of them on two phones, and some logins that WeChat refuses."""
    wechat = WeChat(server.simulator_base, network)
    phones = [Phone(server, wechat, network) for _ in PEOPLE]
    for n, (phone, name) in enumerate(zip(phones, PEOPLE, strict=True)):
        await log_in_as(phone, name, IPHONE if n % 3 == 1 else None)
    await log_in_as(phones[-1], PEOPLE[-1], IPHONE)
    for n in range(4):
        await phones[0].login(code=f"{n:032}")
    await phones[1].login(code=f"{0:032}")


async def photograph(chromium: Browser, server: DevServer) -> None:
    """Each picture shows what its page of the guide speaks of."""
    async with visit(chromium, server, viewport=DESK) as at:
        await at.go(setup_path(server))
        await at.page.get_by_label("Name").fill("mei")
        await at.page.get_by_label("Password", exact=True).fill(PASSWORD)
        await at.page.get_by_label("The same password again").fill(PASSWORD)
        await at.press("Set it and sign in")
        await at.sees("Active sessions")
        await take(at, "overview", "/admin/")
        await take(at, "overview-zh", "/admin/?lang=zh")
        await take(at, "sessions-zh", "/admin/sessions?lang=zh")
        await take(at, "by-filter", "/admin/sessions/matching?platform=ios")
        await revoke_the_first(at)
        await take(at, "undo")
        await at.go("/admin/users/4/block")
        await at.press("Block 1 person")
        await at.sees("Blocked 1 person")
        await take(at, "person", "/admin/users/4")
        await take(at, "logins", "/admin/logins?result=refused")
        await take(at, "audit", "/admin/audit")
    async with visit(chromium, server, viewport=HAND, color_scheme="dark") as at:
        await at.go("/admin/signin")
        await at.sign_in("mei")
        await at.sees("Active sessions")
        await take(at, "phone", "/admin/users?lang=zh")


async def revoke_the_first(at: Visit) -> None:
    """What the message with its undo comes from."""
    await at.go("/admin/sessions")
    await at.rows.first.get_by_role("link", name="Revoke").click()
    await at.press("Revoke 1 session")
    await at.sees("Ended 1 session of 1 person.")  # also when the page has not come yet


async def take(at: Visit, name: str, path: str | None = None) -> None:
    """One picture, as it is seen without scrolling."""
    if path:
        await at.go(path)
    await at.page.wait_for_load_state("load")
    await at.page.screenshot(path=FOLDER / f"{name}.png")


if __name__ == "__main__":
    asyncio.run(main())
