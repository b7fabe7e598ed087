"""Text from outside in a real browser: whatever a phone or an operator writes is shown, and never does anything."""

from collections.abc import Callable
from urllib.parse import quote

import pytest
from admin_visit import Visit, log_in_as, visit
from operator_at import Operator, make_operator
from phone import USER_AGENT, Network, Phone
from playwright.async_api import Browser, expect
from product import APPID, Product

# Each would set `hurt`, open a dialog or send for something if the page took it for anything but text.
PAYLOADS = [
    "<script>hurt=1</script>",
    "</script><script>hurt=1</script>",
    "<img src=x onerror=hurt=1>",
    "<svg onload=hurt=1>",
    "<svg><script>hurt=1</script></svg>",
    "<body onload=hurt=1>",
    "<iframe srcdoc='<script>parent.hurt=1</script>'>",
    "<iframe src=javascript:parent.hurt=1>",
    "<details open ontoggle=hurt=1>",
    "<input autofocus onfocus=hurt=1>",
    "<video><source onerror=hurt=1>",
    "<marquee onstart=hurt=1>",
    "<style>@import'//x.example'</style>",
    "<link rel=stylesheet href=//x.example>",
    "<base href=//x.example/>",
    "<meta http-equiv=refresh content=0;url=//x.example>",
    "<form action=//x.example><button>Sign in",
    "<object data=javascript:hurt=1>",
    "<embed src=javascript:hurt=1>",
    "<math><mi xlink:href=javascript:hurt=1>",
    "<template><script>hurt=1</script></template>",
    '" onmouseover="hurt=1" autofocus x="',
    "' onfocus='hurt=1' autofocus x='",
    '"><script>hurt=1</script>',
    "'><img src=x onerror=hurt=1>",
    "</title><script>hurt=1</script>",
    "</textarea><script>hurt=1</script>",
    "--><script>hurt=1</script>",
    "{{hurt=1}}{{7*7}}${7*7}<%=7*7%>",
    "javascript:alert(1)//<a href=javascript:alert(1)>x",
]
# What the templates themselves never make: an element or attribute that only a payload could have brought.
STRANGE = """() => [...document.querySelectorAll(
    "script:not([src]), style, iframe, object, embed, base, video, marquee, math, template, meta[http-equiv], " +
    "link:not([href^='/static/']), img:not([src^='/static/']), svg script, form[action*='x.example'], [x]:not(rect)")]
  .concat([...document.querySelectorAll("*")].filter((e) => [...e.attributes].some((a) =>
    a.name.startsWith("on") || a.name === "autofocus" || a.name !== "value" && /^\\s*javascript:/.test(a.value))))
  .map((e) => e.outerHTML.slice(0, 200))"""


class TestNothingRuns:
    @pytest.mark.gen_test(timeout=120)
    async def test_thirty_payloads_in_every_field_stay_text_on_every_page(
        self,
        chromium: Browser,
        make_server: Callable[..., Product],
        network: Network,
        phones: Callable[..., list[Phone]],
    ) -> None:
        server = make_server(LOGIN_LIMIT=0)
        operator = await make_operator(server, network)
        numbers = [await hostile_person(*each) for each in zip(phones(len(PAYLOADS), at=server), PAYLOADS, strict=True)]
        async with visit(chromium, server, operator, reduced_motion="no-preference") as at:
            for path in ("/admin/sessions", "/admin/users", "/admin/logins", "/admin/sessions/matching"):
                await calm(at, path)
            await at.go("/admin/users")
            for payload in PAYLOADS:
                await expect(at.page.get_by_role("link", name=payload, exact=True)).to_have_count(1)
            for number, payload in zip(numbers, PAYLOADS, strict=True):
                await hostile_operator(operator, number, payload)
                await calm(at, f"/admin/users/{number}")
                await expect(at.page.get_by_role("heading", level=1).locator("bdi")).to_have_text(payload)
                await expect(at.page.get_by_label("Note")).to_have_value(payload)
            for path in ("/admin/audit", "/admin/", "/admin/sessions?state=any", f"/admin/users/{numbers[0]}/erase"):
                await calm(at, path)

    @pytest.mark.gen_test(timeout=120)
    async def test_thirty_payloads_in_every_address_stay_text(
        self, chromium: Browser, embedded: Product, network: Network
    ) -> None:
        async with visit(chromium, embedded, await make_operator(embedded, network)) as at:
            at.expected += ["status of 400", "status of 404", "does not conform to the required format"]  # of a date
            for payload in PAYLOADS:
                query = quote(payload, safe="")
                await calm(at, f"/admin/users?q={query}")
                await expect(at.page.get_by_label("Search")).to_have_value(payload)
                fields = ("q", "app", "platform", "version", "environment", "state", "seen", "from", "order", "after")
                for path in (
                    "/admin/sessions?" + "&".join(f"{name}={query}" for name in fields),
                    f"/admin/audit?actor={query}&target={query}",
                    f"/admin/{query}",
                ):
                    await calm(at, path)


async def hostile_person(phone: Phone, payload: str) -> int:
    """Somebody whose name, phone and mini program's version are hostile, as far as they are taken."""
    agent = USER_AGENT.replace("Pixel 7", payload.replace(";", ",").replace(")", ""))
    number = await log_in_as(phone, payload, agent)
    referer = f"https://servicewechat.com/{APPID}/{payload}/page-frame.html"
    again = await phone.request(
        "POST",
        "/api/login",
        json={"code": await phone.code()},
        headers={"User-Agent": agent, "Referer": referer, "X-Request-Id": payload},
    )
    phone.server.never_logged.add(again.json["token"])
    return number


async def hostile_operator(operator: Operator, number: int, payload: str) -> None:
    """Somebody with the right to write notes and remarks, who writes the same."""
    page = f"/admin/users/{number}"
    assert (await operator.post(f"{page}/note", {"note": payload})).status == 200
    done = await operator.post(f"{page}/block", {"sure": "yes", "reason": "other", "remark": payload})
    assert payload in done.text


async def calm(at: Visit, path: str) -> None:
    await at.go(path)
    await unharmed(at)


async def unharmed(at: Visit) -> None:
    """Nothing ran and nothing stands here that a payload brought; the visit hears of dialogs and of the CSP."""
    assert await at.page.evaluate(STRANGE) == []
    assert await at.page.evaluate("typeof hurt") == "undefined"
    assert at.page.url.startswith(at.server.base)
