"""What a phone hands over encrypted or signed: opened for its own session alone, else refused without a hint."""

import asyncio
import base64
import json
import secrets
from collections.abc import Callable
from typing import Any

import pytest
from phone import Answer, Phone
from product import APPID, Product
from verdicts import refused, succeeded, without_request_id

CHECK = "/wxa/checksession"
Phones = Callable[..., list[Phone]]
MakeServer = Callable[..., Product]

pytestmark = pytest.mark.gen_test(timeout=30)


async def given(phone: Phone, kind: str, **fields: object) -> dict[str, str]:
    """What WeChat gives the phone to hand over."""
    told: dict[str, str] = await phone.wechat.tell("encrypt", user=phone.name, appid=phone.appid, kind=kind, **fields)
    return told


async def decrypt(phone: Phone, data: dict[str, str]) -> Answer:
    body = {name: data[name] for name in ("encryptedData", "iv")}
    return await phone.request("POST", "/api/decrypt", json=body, headers=phone.bearer)


async def opened(phone: Phone, kind: str, **fields: object) -> dict[str, Any]:
    found: dict[str, Any] = succeeded(await decrypt(phone, await given(phone, kind, **fields)))["data"]
    return found


async def signed(phone: Phone, raw_data: str, signature: str) -> Answer:
    body = {"rawData": raw_data, "signature": signature}
    return await phone.request("POST", "/api/signature", json=body, headers=phone.bearer)


async def key_is_good(phone: Phone) -> bool:
    answer = await phone.request("POST", "/api/session-key/check", headers=phone.bearer)
    return bool(succeeded(answer)["valid"])


async def test_each_kind_of_data_opens_for_its_own_phone(server: Product, phone: Phone) -> None:
    await phone.login()
    assert (await opened(phone, "phone"))["purePhoneNumber"] == "13800138000"
    assert (await opened(phone, "group"))["opengid"].startswith("tG")
    assert (await opened(phone, "profile"))["nickName"] == "微信用户"
    profile = await opened(phone, "userinfo", legacy=True)
    assert profile["nickName"] == phone.name
    assert profile["watermark"]["appid"] == APPID
    assert "openId" not in profile
    # A number from there could be forged by whoever holds the key, and does not become the person's.
    assert succeeded(await phone.me())["phone"] is None


async def test_the_openid_in_it_is_shown_only_by_expose_openid(make_server: MakeServer, phones: Phones) -> None:
    [phone] = phones(1, at=make_server(EXPOSE_OPENID="true"))
    await phone.login()
    assert (await opened(phone, "userinfo"))["openId"] == await phone.openid()


async def test_everything_that_does_not_hold_is_refused_in_one_and_the_same_way(
    embedded: Product, phones: Phones
) -> None:
    mei, lei = phones(2)
    await lei.login()
    await mei.login()
    await mei.login()
    good, others, older = (
        await given(mei, "userinfo"),
        await given(lei, "userinfo"),
        await given(mei, "userinfo", stale=True),
    )
    succeeded(await decrypt(mei, good))
    data = base64.b64decode(good["encryptedData"])
    forged_iv = bytearray(base64.b64decode(good["iv"]))
    forged_iv[13] ^= 1  # a letter of the openid; padding, UTF-8, JSON and watermark stay right
    wrong = {
        "another person's": others,
        "an older key's": older,
        "a forged openid": {**good, "iv": base64.b64encode(bytes(forged_iv)).decode()},
        "cut short": {**good, "encryptedData": base64.b64encode(data[:-1]).decode()},
        "a block less": {**good, "encryptedData": base64.b64encode(data[:-16]).decode()},
        "nothing": {"encryptedData": "", "iv": ""},
        "no base64": {**good, "encryptedData": "*" * 64},
        "letters of no base64": {**good, "iv": "ü" * 24},
        "a short iv": {**good, "iv": "AAAA"},
        "noise": {"encryptedData": base64.b64encode(secrets.token_bytes(400)).decode(), "iv": good["iv"]},
    }
    answers = {name: await decrypt(mei, each) for name, each in wrong.items()}
    for answer in answers.values():
        refused(answer, 400006)
    assert len({repr(without_request_id(answer)) for answer in answers.values()}) == 1


async def test_a_new_login_takes_the_new_key_and_the_old_data_is_refused(server: Product, phone: Phone) -> None:
    await phone.login()
    before = await given(phone, "phone")
    succeeded(await decrypt(phone, before))
    await phone.login()
    refused(await decrypt(phone, before), 400006)
    succeeded(await decrypt(phone, await given(phone, "phone")))


async def test_no_padding_tells_itself_apart(embedded: Product, phone: Phone) -> None:
    """256 last bytes of the block before the last: the answers to a padding oracle's questions are one."""
    await phone.login()
    good = await given(phone, "phone")
    data = bytearray(base64.b64decode(good["encryptedData"]))
    probes = []
    for value in range(256):
        data[-17] = value
        probes.append({**good, "encryptedData": base64.b64encode(bytes(data)).decode()})
    answers = await asyncio.gather(*(decrypt(phone, each) for each in probes if each != good))
    assert len(answers) == 255
    assert len({repr(without_request_id(answer)) for answer in answers}) == 1
    refused(answers[0], 400006)


@pytest.mark.parametrize(
    "body",
    [b"{}", b"[]", b'{"encryptedData":1,"iv":"x"}', b'{"encryptedData":"x"}', b'{"encryptedData":"x","iv":null}'],
)
async def test_a_body_of_another_shape_is_refused(embedded: Product, phone: Phone, body: bytes) -> None:
    await phone.login()
    answer = await phone.request("POST", "/api/decrypt", data=body, headers=phone.bearer)
    assert (answer.status, answer.json["errcode"]) == (400, 400001)


async def test_data_may_be_larger_than_other_bodies_up_to_256_kib(embedded: Product, phone: Phone) -> None:
    await phone.login()
    iv = base64.b64encode(bytes(16)).decode()
    refused(await decrypt(phone, {"encryptedData": "A" * 250_000, "iv": iv}), 400006)
    answer = await phone.request(
        "POST", "/api/decrypt", json={"encryptedData": "A" * 262_144, "iv": iv}, headers=phone.bearer
    )
    assert (answer.status, answer.json["errcode"]) == (413, 413001)


async def test_a_signature_is_judged_by_the_key_of_this_login(server: Product, phones: Phones) -> None:
    mei, lei = phones(2)
    await mei.login()
    await lei.login()
    data = await given(mei, "userinfo")
    assert succeeded(await signed(mei, data["rawData"], data["signature"])) == {"valid": True}
    assert succeeded(await signed(mei, data["rawData"] + " ", data["signature"])) == {"valid": False}
    assert succeeded(await signed(mei, data["rawData"], "0" * 40)) == {"valid": False}
    assert succeeded(await signed(mei, data["rawData"], "ü")) == {"valid": False}
    assert succeeded(await signed(lei, data["rawData"], data["signature"])) == {"valid": False}
    await mei.login()
    assert succeeded(await signed(mei, data["rawData"], data["signature"])) == {"valid": False}


async def test_wechat_says_whether_the_key_is_still_the_phone_s(server: Product, phone: Phone) -> None:
    await phone.login()
    assert await key_is_good(phone)
    await phone.code()  # wx.login on the phone, which changes the key there
    assert not await key_is_good(phone)
    assert (await phone.verify()).status == 200
    await phone.login()
    assert await key_is_good(phone)
    await phone.wechat.tell("expire_session", user=phone.name)
    assert not await key_is_good(phone)


@pytest.mark.parametrize(
    ("kind", "errcode", "retry"),
    [
        ("busy", 503003, "backoff"),
        ("lost", 502002, "backoff"),
        ("stall_headers", 504001, "backoff"),
        ("40003", 0, ""),
        ("48001", 502001, "backoff"),
    ],
)
async def test_what_goes_wrong_with_the_question_about_the_key_never_ends_a_session(
    embedded: Product, phone: Phone, kind: str, errcode: int, retry: str
) -> None:
    await phone.login()
    await key_is_good(phone)
    await phone.wechat.fault(kind, path=CHECK, n=2)
    answer = await phone.request("POST", "/api/session-key/check", headers=phone.bearer)
    if errcode:
        refused(answer, errcode, retry=retry)
    else:
        assert succeeded(answer) == {"valid": False}
    assert (await phone.verify()).status == 200


async def test_no_answer_and_no_log_holds_a_session_key(embedded: Product, phone: Phone) -> None:
    """The key itself is known to the simulator alone; what it signs is the shortest proof that we hold it too."""
    await phone.login()
    data = await given(phone, "userinfo")
    answers = [
        await decrypt(phone, data),
        await signed(phone, data["rawData"], data["signature"]),
        await phone.me(),
        await phone.request("GET", "/api/me/export", headers=phone.bearer),
    ]
    for answer in answers:
        assert b"session_key" not in answer.body.lower()
        assert json.loads(answer.body)["errcode"] == 0
    assert data["signature"] not in embedded.log()
    assert data["encryptedData"] not in embedded.log()
