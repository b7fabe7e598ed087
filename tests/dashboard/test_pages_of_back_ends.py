"""The pages about other back ends and WeChat's deeds, with something on them: nothing cut off, and the right words."""

from collections.abc import Callable

import pytest
from admin_visit import log_in_as, visit
from operator_at import change, make_operator
from phone import Network, Phone
from playwright.async_api import Browser
from product import APPID, Product
from shell import done
from test_looks import Looker

SECRET = "a-webhook-secret-of-32-characters!"


@pytest.mark.gen_test(timeout=170)
async def test_nothing_is_cut_off_and_what_is_revoked_or_waits_is_called_so(
    chromium: Browser, make_server: Callable[..., Product], network: Network, phones: Callable[..., list[Phone]]
) -> None:
    server = make_server(WEBHOOK_URL="http://127.0.0.1:9/hook", WEBHOOK_SECRET=SECRET)
    server.never_logged.add(SECRET)
    people = [await log_in_as(phone, "W" * 64) for phone in phones(2, at=server)]
    await change(server, "UPDATE user SET unionid = :unionid", unionid="uOne")
    for name in ("shop", "old-shop"):
        server.never_logged.add(await done(server, "key", "add", name, "--scope", "introspect,users", "--apps", APPID))
    await done(server, "key", "revoke", "2")
    operator = await make_operator(server, network)
    session = (await operator.get("/admin/sessions")).text.partition('href="/admin/sessions/')[2].partition('"')[0]
    async with visit(chromium, server, operator) as at:
        looker = await Looker.of(at)
        for path in (
            *("/admin/deliveries?lang=zh", "/admin/keys?lang=zh", "/admin/settings?lang=zh", "/admin/apps?lang=zh"),
            *(f"/admin/users/{people[0]}/merge?lang=zh", f"/admin/apps/{APPID}/refresh-token?lang=zh"),
            f"/admin/sessions/{session.partition('/')[0]}/reset-key?lang=zh",
        ):
            assert await at.go(path) == 200, path
            await looker.look(path)
        assert looker.wrong == []
        for path, words in (("deliveries", "待发送"), ("keys", "已吊销"), ("settings", "默认值"), ("apps", "正常")):
            await at.go(f"/admin/{path}?lang=zh")
            await at.sees(words)
        await at.go(f"/admin/apps/{APPID}/refresh-token?lang=zh")
        assert await at.page.locator("option").count() > 3
        assert await at.page.locator("option", has_text="本人要求").count() == 0
