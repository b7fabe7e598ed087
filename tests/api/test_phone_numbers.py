"""A phone number: bound by WeChat's word alone, once for each tap, and never at the cost of a login or a session."""

from collections.abc import Callable

import pytest
from phone import Answer, Phone, WeChat
from product import Product
from verdicts import refused, succeeded

PATH = "/wxa/business/getuserphonenumber"
TOKEN_PATH = "/cgi-bin/stable_token"  # a path

pytestmark = pytest.mark.gen_test(timeout=30)


async def tapped(phone: Phone, number: str = "13800138000", user: str | None = None) -> str:
    """The code of a getPhoneNumber button."""
    told = await phone.wechat.tell("phone_tap", user=user or phone.name, number=number)
    phone.server.never_logged.add(told["code"])
    return str(told["code"])


async def bind(phone: Phone, code: object) -> Answer:
    return await phone.request("POST", "/api/phone", json={"code": code}, headers=phone.bearer)


async def asked_since_a_token_is_known(phone: Phone) -> int:
    """How often WeChat has been asked for numbers once the server holds a token that this WeChat knows."""
    succeeded(await bind(phone, await tapped(phone)))
    return await phone.wechat.asked(PATH)


async def number_of(phone: Phone) -> str | None:
    found: str | None = succeeded(await phone.me())["phone"]
    return found


async def test_a_tap_becomes_the_person_s_number_and_is_shown_masked(server: Product, phone: Phone) -> None:
    await phone.login()
    assert await number_of(phone) is None
    assert succeeded(await bind(phone, await tapped(phone)))["phone"] == "138****8000"
    assert await number_of(phone) == "138****8000"
    export = await phone.request("GET", "/api/me/export", headers=phone.bearer)
    assert succeeded(export)["user"]["phone"] == "13800138000"
    assert succeeded(await bind(phone, await tapped(phone, "+85251234567")))["phone"] == "+85****4567"


async def test_a_phone_code_in_a_login_binds_the_number_too(server: Product, phone: Phone) -> None:
    await phone.login()
    before = await asked_since_a_token_is_known(phone)
    body = succeeded(await phone.login(phone_code=await tapped(phone, "13900139000")))
    assert body["user"]["phone"] == "139****9000"
    assert "phone_error" not in body
    assert await phone.wechat.asked("/sns/jscode2session") == 2
    assert await phone.wechat.asked(PATH) == before + 1


async def test_a_login_without_a_phone_code_never_asks_for_an_access_token(embedded: Product, phone: Phone) -> None:
    await phone.login()
    assert set((await phone.wechat.log())["counts"]) == {"/sns/jscode2session"}


@pytest.mark.parametrize("code", ["unknown", "has blanks in it", "x" * 129, ""])
async def test_a_bad_phone_code_costs_no_login(embedded: Product, phone: Phone, code: str) -> None:
    body = succeeded(await phone.login(phone_code=code))
    assert body["phone_error"]["errcode"] == (40029 if code == "unknown" else 400003)
    assert set(body["phone_error"]) == {"errcode", "errmsg"}
    assert body["user"]["phone"] is None
    assert (await phone.verify()).status == 200


@pytest.mark.parametrize("kind", ["40029", "busy", "http_502", "lost", "stall_headers", "40164", "html"])
async def test_no_fault_of_wechat_s_with_the_phone_code_costs_a_login(
    embedded: Product, phone: Phone, kind: str
) -> None:
    await phone.wechat.fault(kind, path=PATH, n=2)
    body = succeeded(await phone.login(phone_code=await tapped(phone)))
    assert body["phone_error"]["errcode"] in (40029, 502001, 502002, 503003, 504001)
    assert (await phone.verify()).status == 200


async def test_a_code_is_good_once_for_its_own_person_and_five_minutes(
    embedded: Product, phones: Callable[..., list[Phone]]
) -> None:
    mei, lei = phones(2)
    await mei.login()
    await lei.login()
    code = await tapped(mei)
    succeeded(await bind(mei, code))
    refused(await bind(mei, code), 40029, retry="fix")
    refused(await bind(mei, await tapped(mei, user=lei.name)), 40029, retry="fix")
    refused(await bind(mei, await mei.code()), 40029, retry="fix")
    late = await tapped(mei)
    await mei.wechat.clock(301)
    refused(await bind(mei, late), 40029, retry="fix")
    assert await number_of(mei) == "138****8000"
    assert await number_of(lei) is None


@pytest.mark.parametrize(
    ("kind", "times", "errcode", "retry"),
    [
        ("busy", 2, 503003, "fix"),
        ("45011", 1, 503003, "backoff"),
        ("lost", 1, 502002, "fix"),
        ("http_500", 1, 502002, "fix"),
        ("array", 1, 502002, "fix"),
        ("huge", 1, 502002, "fix"),
        ("redirect", 1, 502002, "fix"),
        ("stall_body", 1, 504001, "fix"),
        ("48001", 1, 502001, "backoff"),
        ("40013", 1, 502001, "backoff"),
    ],
)
async def test_what_goes_wrong_at_wechat_never_sends_the_person_to_a_new_login(
    embedded: Product, phone: Phone, kind: str, times: int, errcode: int, retry: str
) -> None:
    await phone.login()
    await asked_since_a_token_is_known(phone)
    await phone.wechat.fault(kind, path=PATH, n=times)
    refused(await bind(phone, await tapped(phone, "13900139000")), errcode, retry=retry)
    assert (await phone.verify()).status == 200
    assert await number_of(phone) == "138****8000"


async def test_busy_once_is_asked_again_and_unheard_by_the_person(embedded: Product, phone: Phone) -> None:
    await phone.login()
    before = await asked_since_a_token_is_known(phone)
    await phone.wechat.fault("busy", path=PATH)
    assert succeeded(await bind(phone, await tapped(phone, "13900139000")))["phone"] == "139****9000"
    assert await phone.wechat.asked(PATH) == before + 2


@pytest.mark.parametrize("errcode", ["40001", "40014", "42001"])
async def test_a_refused_access_token_is_renewed_once(
    make_server: Callable[..., Product], phones: Callable[..., list[Phone]], errcode: str
) -> None:
    [phone] = phones(1, at=make_server())
    await phone.login()
    before = await asked_since_a_token_is_known(phone)
    tokens = await phone.wechat.asked(TOKEN_PATH)
    await phone.wechat.fault(errcode, path=PATH)
    assert succeeded(await bind(phone, await tapped(phone, "13900139000")))["phone"] == "139****9000"
    assert await phone.wechat.asked(PATH) == before + 2
    assert await phone.wechat.asked(TOKEN_PATH) == tokens + 1


async def test_an_access_token_that_wechat_goes_on_refusing_is_told_to_the_operator_and_not_asked_for_in_a_loop(
    make_server: Callable[..., Product], phones: Callable[..., list[Phone]]
) -> None:
    [phone] = phones(1, at=make_server())
    await phone.login()
    before = await asked_since_a_token_is_known(phone)
    await phone.wechat.fault("40001", path=PATH, n=20)
    for _ in range(5):
        refused(await bind(phone, await tapped(phone)), 502001)
    assert await phone.wechat.asked(PATH) == before + 10
    assert await phone.wechat.asked(TOKEN_PATH) <= 1 + 3  # again after five seconds, on a slow machine
    assert (await phone.verify()).status == 200


@pytest.mark.parametrize("body", [b"{}", b'{"code":1}', b'{"code":null}', b"[]", b""])
async def test_a_body_without_a_code_is_refused_before_wechat_is_asked(
    embedded: Product, phone: Phone, body: bytes
) -> None:
    await phone.login()
    answer = await phone.request("POST", "/api/phone", data=body, headers=phone.bearer)
    if body.startswith(b"{"):
        refused(answer, 400001, field="code")
    else:
        refused(answer, 400001)
    refused(await bind(phone, "not a code"), 400003)
    assert await phone.wechat.asked(PATH) == 0


async def test_without_a_token_nobody_is_asked(embedded: Product, phone: Phone) -> None:
    for path in ("/api/phone", "/api/decrypt", "/api/signature", "/api/session-key/check"):
        refused(await phone.request("POST", path, json={"code": "x"}), 401001, retry="login")
    assert await phone.wechat.asked(PATH) == 0


async def test_one_person_has_thirty_calls_a_minute_and_others_do_not_feel_it(
    server: Product, phones: Callable[..., list[Phone]], wechat: WeChat
) -> None:
    greedy, modest = phones(2)
    await greedy.login()
    await modest.login()
    answers = [await bind(greedy, "unknown") for _ in range(62)]  # a minute may turn meanwhile
    assert {answer.status for answer in answers} == {400, 429}
    limited = [answer for answer in answers if answer.status == 429]
    refused(limited[0], 429001, retry="backoff")
    assert 0 < int(limited[0].headers["Retry-After"]) <= 60
    assert succeeded(await bind(modest, await tapped(modest)))["phone"] == "138****8000"
