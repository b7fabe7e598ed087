"""COMPAT=wafer1, wafer2: Tencent's own SDKs, unmodified, against a real server."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable

import pytest
from phone import Phone
from product import Product

from compat.wafer_phone import WaferPhone

WaferPhones = Callable[..., Awaitable[WaferPhone]]
MAGIC = "F2C224D4-2BCE-4C64-AF9F-A6D872000D1A"
WAFER_1, WAFER_2 = "wafer-client-sdk", "wafer2-client-sdk"
LOGIN = {WAFER_1: "/login", WAFER_2: "/weapp/login"}
USER = {WAFER_1: "/user", WAFER_2: "/weapp/user"}
BOTH = pytest.mark.parametrize("sdk", [WAFER_1, WAFER_2])


def somebody() -> str:
    return f"person-{secrets.token_hex(6)}"


async def one(wafer_phone: WaferPhones, sdk: str, server: Product, person: str, *, garbled: bool = False) -> WaferPhone:
    return await wafer_phone(sdk, server.base, person, login=LOGIN[sdk], garbled=garbled)


async def log_in(phone: WaferPhone, sdk: str, server: Product) -> None:
    options = {"loginUrl": f"{server.base}{LOGIN[sdk]}"} if sdk == WAFER_2 else {}
    called = await phone.login(**options)
    assert called.failed is None, called.failed
    server.never_logged.add((await phone.stored())["skey"])


def same_person(phone: Phone, person: str) -> Phone:
    """That person's phone with a program of ours on it."""
    phone.name = person
    return phone


async def put_out(phone: Phone) -> int:
    """End every other session of the person."""
    await phone.login()
    answer = await phone.request("POST", "/api/me/sessions/revoke-others", headers=phone.bearer)
    return int(answer.json["ended"])


@BOTH
@pytest.mark.gen_test
async def test_an_sdk_logs_in_is_known_is_put_out_and_logs_in_again_by_itself(
    dialects: Product, wafer_phone: WaferPhones, phones: Callable[..., list[Phone]], sdk: str
) -> None:
    [phone] = phones(1, at=dialects)
    wafer = await one(wafer_phone, sdk, dialects, phone.name)
    await log_in(wafer, sdk, dialects)
    kept = await wafer.stored()
    assert kept["skey"].startswith("mps_")

    known = await wafer.request(USER[sdk])
    assert (known.failed, known.asked, known.ok["status"]) == (None, 1, 200)
    info = known.ok["data"]["data"]
    assert info["openId"] == info["userInfo"]["openId"] == await phone.openid()
    assert MAGIC not in known.ok["data"]

    assert await put_out(phone) == 1
    again = await wafer.request(USER[sdk])
    assert (again.failed, again.asked) == (None, 3)  # refused, logged in, asked again
    assert again.ok["data"]["data"]["openId"] == info["openId"]
    fresh = await wafer.stored()
    dialects.never_logged.add(fresh["skey"])
    assert fresh["skey"] != kept["skey"]


@BOTH
@pytest.mark.gen_test
async def test_a_request_without_a_session_logs_in_by_itself(
    dialects: Product, wafer_phone: WaferPhones, sdk: str
) -> None:
    wafer = await one(wafer_phone, sdk, dialects, somebody())
    called = await wafer.request(USER[sdk])
    assert (called.failed, called.asked) == (None, 3)
    assert called.ok["data"]["data"]["openId"]


@BOTH
@pytest.mark.gen_test
async def test_encrypted_data_that_does_not_open_loses_the_profile_and_not_the_login(
    dialects: Product, wafer_phone: WaferPhones, sdk: str
) -> None:
    wafer = await one(wafer_phone, sdk, dialects, somebody(), garbled=True)
    await log_in(wafer, sdk, dialects)
    assert (await wafer.request(USER[sdk])).ok["data"]["data"]["nickName"] == ""


@BOTH
@pytest.mark.gen_test
async def test_five_requests_that_log_in_at_the_same_time_all_get_through(
    dialects: Product, wafer_phone: WaferPhones, sdk: str
) -> None:
    wafer = await one(wafer_phone, sdk, dialects, somebody())
    called = await asyncio.gather(*(wafer.request(USER[sdk], login=True) for _ in range(5)))
    assert [each.failed for each in called] == [None] * 5


@BOTH
@pytest.mark.gen_test
async def test_somebody_who_is_blocked_reads_why_and_is_not_asked_to_log_in_for_ever(
    dialects: Product, wafer_phone: WaferPhones, wechat: object, phones: Callable[..., list[Phone]], sdk: str
) -> None:
    [phone] = phones(1, at=dialects)
    await phone.login()
    await phone.wechat.user(phone.name, blocked=True)
    wafer = await one(wafer_phone, sdk, dialects, phone.name)
    options = {"loginUrl": f"{dialects.base}{LOGIN[sdk]}"} if sdk == WAFER_2 else {}
    called = await wafer.login(**options)
    assert called.asked == 1
    assert "微信不允许此账号登录。" in called.failed["message"]
    assert (await wafer.request(USER[sdk])).asked == 2  # refused, and the login refused


@pytest.mark.gen_test
async def test_an_app_that_was_updated_from_wafer_1_to_wafer_2_keeps_its_session(
    dialects: Product, wafer_phone: WaferPhones
) -> None:
    person = somebody()
    old = await one(wafer_phone, WAFER_1, dialects, person)
    await log_in(old, WAFER_1, dialects)
    new = await one(wafer_phone, WAFER_2, dialects, person)
    await new.call("keep", **(await old.stored()))
    called = await new.request(USER[WAFER_2])
    assert (called.failed, called.asked) == (None, 1)
