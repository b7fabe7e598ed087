"""The deeds that reach to WeChat: a new access_token, a session_key made worthless, also behind a revocation."""

import asyncio
from collections.abc import Callable

import pytest
from at_work import arrive, newest, rows_of, statuses, sure, with_password
from operator_at import make_operator
from phone import Network, Phone
from product import APPID, Product
from shell import settings_of
from verdicts import succeeded

import process

TOKEN, RESET = "/cgi-bin/stable_token", "/wxa/resetusersessionkey"
REFRESH = f"/admin/apps/{APPID}/refresh-token"
Phones = Callable[..., list[Phone]]
MakeServer = Callable[..., Product]

pytestmark = pytest.mark.gen_test(timeout=60)


async def key_is_good(phone: Phone) -> bool:
    """What WeChat says; a shared server whose access_token an earlier test made fail pauses five seconds first."""
    for _ in range(20):
        answer = await phone.request("POST", "/api/session-key/check", headers=phone.bearer)
        if answer.status == 200:
            break
        await asyncio.sleep(0.5)
    return bool(succeeded(answer)["valid"])


async def until_asked(phone: Phone, path: str, times: int) -> None:
    """Wait until WeChat has been asked so often; the test's own timeout bounds it."""
    while await phone.wechat.asked(path) < times:  # noqa: ASYNC110  # what is polled is another server
        await asyncio.sleep(0.05)


async def test_an_admin_replaces_a_leaked_access_token_and_calls_go_on(
    make_server: MakeServer, network: Network, phones: Phones
) -> None:
    server = make_server()
    [phone] = phones(1, at=server)
    mei = await make_operator(server, network, "admin")
    await phone.login()
    assert await key_is_good(phone)
    page = await mei.get(REFRESH)
    assert "Get a new access_token" in page.text
    assert await phone.wechat.asked(TOKEN) == 1
    assert "has a new access_token" in (await mei.post(REFRESH, with_password("leak"))).text
    assert await phone.wechat.asked(TOKEN) == 2
    row = await newest(server)
    assert (row.deed, row.result, row.appid, row.reason) == ("access_token.refresh", "done", APPID, "leak")
    assert await key_is_good(phone)
    assert await phone.wechat.asked(TOKEN) == 2
    assert "still gives the same" in (await mei.post(REFRESH, with_password("leak"))).text
    assert (await newest(server)).result == "failed"


async def test_what_wechat_says_against_it_is_shown_with_its_number(
    make_server: MakeServer, network: Network, phones: Phones
) -> None:
    server = make_server()
    [phone] = phones(1, at=server)
    mei = await make_operator(server, network, "admin")
    await phone.wechat.app(ip_whitelist="192.0.2.1")
    page = await mei.post(REFRESH, with_password("leak"))
    assert "errcode 40164, rid " in page.text
    apps = (await mei.get("/admin/apps")).text
    assert "40164" in apps
    assert "127.0.0.1" in apps  # our address as WeChat sees it, which is what has to be put on its list


@pytest.mark.parametrize("path", ["/admin/apps/wx9999999999999999/refresh-token", "/admin/sessions/00000000/reset-key"])
async def test_of_what_is_not_there_nothing_is_asked(embedded: Product, network: Network, path: str) -> None:
    mei = await make_operator(embedded, network, "admin")
    assert (await mei.get(path)).status == 404
    assert (await mei.post(path, with_password("test"))).status == 404


async def test_a_reset_makes_the_key_worthless_and_ends_the_person_s_sessions(
    server: Product, network: Network, phone: Phone, phones: Phones
) -> None:
    [other] = phones(1, at=server)
    mei = await make_operator(server, network, "operator")
    await other.login()
    _, session = await arrive(phone)
    assert await key_is_good(phone)
    stale = await phone.wechat.tell("encrypt", user=phone.name, kind="phone")
    page = await mei.get(f"/admin/sessions/{session}/reset-key")
    assert "Reset the session_key of" in page.text
    before = await phone.wechat.asked(RESET)
    page = await mei.post(f"/admin/sessions/{session}/reset-key", sure("leak"))
    assert "The session_key is worthless; ended 1 session" in page.text
    assert await statuses([phone, other]) == [401, 200]
    assert await phone.wechat.asked(RESET) > before
    fresh = await phone.wechat.tell("encrypt", user=phone.name, kind="phone", stale=True)
    assert fresh["encryptedData"] != stale["encryptedData"]
    row = (await rows_of(server, mei))[-1]
    assert (row.deed, row.result, row.target) == ("session.reset_key", "done", f"session:{session}")
    await phone.login()
    assert await key_is_good(phone)
    page = await mei.post(f"/admin/sessions/{session}/reset-key", sure("leak"))
    assert "the session had ended already" in page.text


@pytest.mark.parametrize(("kind", "ends"), [("48001", False), ("45011", False), ("lost", True), ("87009", True)])
async def test_sessions_end_only_when_the_key_may_be_worthless(
    embedded: Product, network: Network, phone: Phone, kind: str, ends: bool
) -> None:
    mei = await make_operator(embedded, network, "operator")
    _, session = await arrive(phone)
    await key_is_good(phone)
    await phone.wechat.fault(kind, path=RESET)
    page = await mei.post(f"/admin/sessions/{session}/reset-key", sure("leak"))
    assert ("WeChat did not do it" in page.text) == (not ends)
    assert await statuses([phone]) == [401 if ends else 200]


async def test_a_revocation_resets_the_key_behind_it_where_the_setting_says_so(
    make_server: MakeServer, network: Network, phones: Phones, backend: object
) -> None:
    server = make_server(RESET_KEY_ON_REVOKE="true", **backend.fresh())  # type: ignore[attr-defined]  # a Backend
    first, second = phones(2, at=server)
    mei = await make_operator(server, network, "operator")
    _, session = await arrive(first)
    number, _ = await arrive(second)
    await first.wechat.fault("latency", path=RESET, seconds=2)
    page = await mei.post(f"/admin/sessions/{session}/revoke", sure())
    assert "Ended 1 session of 1 person" in page.text
    assert "Undo" not in page.text
    assert await statuses([first]) == [401]
    await until_asked(first, RESET, 1)
    await mei.post(f"/admin/users/{number}/block", sure(until="3600"))
    await until_asked(first, RESET, 2)
    # It cannot be taken back: the key is gone at WeChat.
    await mei.post("/admin/undo", {"id": session})
    assert await statuses([first, second]) == [401, 401]


async def test_without_the_setting_wechat_hears_nothing_of_a_revocation(
    embedded: Product, network: Network, phone: Phone
) -> None:
    mei = await make_operator(embedded, network, "operator")
    _, session = await arrive(phone)
    await mei.post(f"/admin/sessions/{session}/revoke", sure())
    assert await statuses([phone]) == [401]
    assert await phone.wechat.asked(RESET) == 0


async def test_the_token_lies_sealed_and_stands_on_no_page(
    make_server: MakeServer, network: Network, phones: Phones
) -> None:
    server = make_server()
    [phone] = phones(1, at=server)
    mei = await make_operator(server, network, "admin")
    await phone.login()
    assert await key_is_good(phone)
    async with process.opened(settings_of(server)) as backend:
        shared = await backend.access_tokens.shared(APPID, asyncio.get_running_loop().time() + 5)
    server.never_logged.add(shared.token)
    for path in ("/admin/apps", "/admin/settings", "/admin/audit", "/admin/"):
        assert shared.token not in (await mei.get(path)).text
    assert shared.token.encode() not in (server.data_dir / "menshen.db").read_bytes()
    assert await phone.wechat.asked(TOKEN) == 1
