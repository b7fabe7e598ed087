"""The ten scenarios that decide whether a login server can live with WeChat."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable

import pytest
from backends import Backend
from operator_at import make_operator
from phone import Network, Phone
from product import APPID, Product
from verdicts import refused, succeeded

LOGIN, TOKEN, PHONE = "/sns/jscode2session", "/cgi-bin/stable_token", "/wxa/business/getuserphonenumber"
PUSH_KEY = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
Phones = Callable[..., list[Phone]]
MakeServer = Callable[..., Product]

pytestmark = pytest.mark.gen_test(timeout=60)


async def tap(phone: Phone) -> str:
    code = str((await phone.wechat.tell("phone_tap", user=phone.name))["code"])
    phone.server.never_logged.add(code)
    return code


async def bind(phone: Phone) -> int:
    answer = await phone.request("POST", "/api/phone", json={"code": await tap(phone)}, headers=phone.bearer)
    return answer.status


async def test_a_fifty_submissions_of_one_code_are_one_login(server: Product, phone: Phone) -> None:
    code = await phone.code()
    answers = await asyncio.gather(*(phone.login(code=code) for _ in range(50)))
    tokens = {answer.json["token"] for answer in answers if answer.status == 200}
    assert len(tokens) == 1
    assert {answer.json["errcode"] for answer in answers if answer.status != 200} <= {40163}
    assert await phone.wechat.asked(LOGIN) == 1


async def test_b_a_lost_answer_sends_the_phone_to_a_new_login_in_time(server: Product, phone: Phone) -> None:
    await phone.wechat.fault("lost")
    started = time.monotonic()
    refused(await phone.login(), 502002)
    assert time.monotonic() - started < 3 * 4
    assert await phone.wechat.asked(LOGIN) == 1
    assert (await phone.login()).status == 200


async def test_c_a_busy_wechat_is_asked_twice_and_no_more(server: Product, phone: Phone) -> None:
    await phone.wechat.fault("busy", n=5)
    refused(await phone.login(), 503003)
    assert await phone.wechat.asked(LOGIN) == 2


async def test_d_a_rotated_secret_is_shown_to_the_operator(
    make_server: MakeServer, network: Network, phones: Phones
) -> None:
    server = make_server()
    [phone] = phones(1, at=server)
    await phone.wechat.tell("rotate_secret")
    refused(await phone.login(), 502001)
    mei = await make_operator(server, network, "viewer")
    shown = (await mei.get("/admin/apps")).text
    assert "40125" in shown
    found = re.search(r"rid ([0-9a-f]{8}(?:-[0-9a-f]{8}){2})", server.log())
    assert found
    assert found[1] in shown


async def test_e_after_a_new_login_old_data_is_refused_and_new_data_taken(server: Product, phone: Phone) -> None:
    for _ in range(3):
        await phone.login()
        data = await phone.wechat.tell("encrypt", user=phone.name, kind="phone")
        taken = await phone.request("POST", "/api/decrypt", json=data, headers=phone.bearer)
        assert succeeded(taken)["data"]["phoneNumber"] == "13800138000"
        await phone.login()
        refused(await phone.request("POST", "/api/decrypt", json=data, headers=phone.bearer), 400006)


async def test_f_a_stolen_token_costs_one_refusal_and_eight_workers_one_question(
    make_server: MakeServer, phones: Phones, backend: object
) -> None:
    server = make_server(WORKERS=8, LOGIN_LIMIT=0, **backend.fresh())  # type: ignore[attr-defined]  # a Backend
    people = phones(24, at=server)
    await asyncio.gather(*(each.login() for each in people))
    assert set(await asyncio.gather(*(bind(each) for each in people))) == {200}
    assert await people[0].wechat.asked(TOKEN) == 1
    await people[0].wechat.tell("steal_token", kind="stable")
    assert set(await asyncio.gather(*(bind(each) for each in people))) == {200}
    assert await people[0].wechat.asked(TOKEN) == 2
    errcodes = Counter(row["errcode"] for row in (await people[0].wechat.log())["requests"] if row["path"] == PHONE)
    assert errcodes[0] == 48
    assert set(errcodes) == {0, 40001}


async def test_g_a_revoked_consent_clears_and_puts_out_once_and_a_forged_one_does_nothing(
    make_server: MakeServer, phones: Phones, backend: Backend
) -> None:
    [phone] = phones(1, at=make_server(PUSH_TOKEN="AAAAA", PUSH_KEY=PUSH_KEY, **backend.fresh()))
    push = {"push_token": "AAAAA", "push_key": PUSH_KEY, "push_mode": "secure"}
    await phone.wechat.app(push_url=f"{phone.server.base}/wechat/push/{APPID}", **push)

    async def revoked(**how: bool) -> list[int]:
        told = await phone.wechat.tell("revoke", user=phone.name, revoke_info="8", **how)
        return [answer["status"] for answer in told["answers"]]

    await phone.login(phone_code=await tap(phone))
    assert await revoked(wrongly_signed=True) == [403, 403, 403]
    assert succeeded(await phone.me())["phone"] == "138****8000"
    assert await revoked() == [200]
    refused(await phone.verify(), 401002, reason="revoked")
    assert succeeded(await phone.login())["user"]["phone"] is None
    assert succeeded(await phone.login(phone_code=await tap(phone)))["user"]["phone"] == "138****8000"
    assert await revoked(again=True) == [200]
    assert succeeded(await phone.me())["phone"] == "138****8000"


async def test_h_while_wechat_is_down_sessions_hold_and_only_logins_fail(
    make_server: MakeServer, phones: Phones
) -> None:
    inside, outside = phones(2, at=make_server())
    await inside.login()
    await outside.wechat.fault("close", probability=1)
    for _ in range(5):
        assert (await inside.verify()).status == 200
        assert (await inside.me()).status == 200
        assert (await outside.login()).status in (502, 503)
    await outside.wechat.reset()
    assert (await outside.login()).status == 200


async def test_i_a_code_of_five_minutes_ago_is_refused(server: Product, phone: Phone) -> None:
    code = await phone.code()
    await phone.wechat.clock(301)
    refused(await phone.login(code=code), 40029)


async def test_j_nothing_that_is_secret_stands_in_the_log(make_server: MakeServer, phones: Phones) -> None:
    server = make_server(LOG_LEVEL="debug", EXPOSE_OPENID="true")
    [phone] = phones(1, at=server)
    await phone.login(phone_code=await tap(phone))
    for kind in ("40001", "lost", "busy", "html"):
        await phone.wechat.fault(kind, path=PHONE)
        await bind(phone)
    for kind in ("lost", "40125", "html"):
        await phone.wechat.fault(kind)
        await phone.login()
    data = await phone.wechat.tell("encrypt", user=phone.name, kind="userinfo", legacy=True)
    await phone.request("POST", "/api/decrypt", json=data, headers=phone.bearer)
    await phone.request("POST", "/api/signature", json=data, headers=phone.bearer)
    log = server.log()
    for secret in (*server.never_logged, data["encryptedData"], data["signature"], "access_token=", "session_key="):
        assert secret not in log
    server.check_log()
