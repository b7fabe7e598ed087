"""COMPAT=wafer1: what Wafer 1 sends in headers may stand in the URL, as wafer-node-session takes it; and decryption."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from phone import Answer, Network, Phone, WeChat
from product import APPID, APPSECRET, Product

from compat.node_server import NodeServer

Phones = Callable[..., list[Phone]]
MAGIC = "F2C224D4-2BCE-4C64-AF9F-A6D872000D1A"
IN_ANY_CASE = pytest.mark.parametrize("written", [str, str.lower, str.upper], ids=["as named", "small", "capitals"])
Spelling = Callable[[str], str]


@pytest.fixture
def theirs(wafer_sdks: Path, wechat: WeChat, tmp_path: Path) -> Iterator[NodeServer]:
    """A server on wafer-node-session itself."""
    given = {"WECHAT": wechat.base, "APPID": APPID, "APPSECRET": APPSECRET}
    server = NodeServer(tmp_path, wafer_sdks, "session_server.js", **given)
    server.start()
    yield server
    server.kill()


NAMES = {"code": "X-WX-Code", "sealed": "X-WX-Encrypted-Data", "iv": "X-WX-IV", "id": "X-WX-Id", "skey": "X-WX-Skey"}


async def ask(network: Network, base: str, path: str, written: Spelling, **named: str) -> Answer:
    """GET with these as parameters of the URL."""
    query = urlencode({written(NAMES[name]): value for name, value in named.items()})
    return await network.ask("GET", f"{base}{path}?{query}")


async def sealed(phone: Phone, **fields: Any) -> dict[str, str]:
    """What wx.getUserInfo hands over."""
    data = await phone.wechat.tell("encrypt", appid=APPID, user=phone.name, kind="userinfo", **fields)
    return {"sealed": data["encryptedData"], "iv": data["iv"]}


@IN_ANY_CASE
@pytest.mark.gen_test
async def test_a_phone_of_wafer_node_session_finds_the_same_here(
    dialects: Product, theirs: NodeServer, network: Network, phones: Phones, written: Spelling
) -> None:
    [phone] = phones(1, at=dialects)
    for base in (theirs.base, dialects.base):
        code = await phone.code()
        logged_in = (await ask(network, base, "/login", written, code=code, **await sealed(phone))).json
        assert logged_in[MAGIC] == 1, logged_in
        session = logged_in["session"]
        dialects.never_logged |= {session["skey"], code}
        known = (await ask(network, base, "/user", written, **session)).json
        assert (known["code"], known["data"]["userInfo"]["openId"]) == (0, await phone.openid())
        assert MAGIC not in known
        wrong = (await ask(network, base, "/user", written, id=session["id"], skey="x" * 40)).json
        assert (wrong[MAGIC], wrong["error"]) == (1, "ERR_INVALID_SESSION")


@pytest.mark.gen_test
async def test_a_session_in_the_url_and_in_a_header_is_one_too_many(dialects: Product, phones: Phones) -> None:
    [phone] = phones(1, at=dialects)
    await phone.login()
    twice = await phone.request("GET", f"/user?x-wx-skey={phone.token}", headers={"X-WX-Skey": phone.token})
    assert (twice.status, twice.json["errcode"]) == (400, 400002)
    code = await phone.code()
    both = await phone.request("GET", f"/login?X-WX-Code={code}", headers={"X-WX-Code": code})
    assert both.json["error"] == "ERR_LOGIN_FAILED"


@pytest.mark.gen_test
async def test_without_wafer_1_the_url_is_no_place_for_a_session(
    make_server: Callable[..., Product], phones: Phones
) -> None:
    server = make_server(COMPAT="wafer2,tutorials")
    [phone] = phones(1, at=server)
    await phone.login()
    assert (await phone.request("GET", f"/weapp/user?X-WX-Skey={phone.token}")).json["error"] == "ERR_INVALID_SESSION"
    known = await phone.request("GET", "/weapp/user", headers={"X-WX-Skey": phone.token})
    assert known.json["code"] == 0


async def decrypt(phone: Phone, **para: object) -> dict[str, Any]:
    """Ask /mina_auth/ for a decryption."""
    call = {"interface": {"interfaceName": "qcloud.cam.decrypt", "para": para}}
    answer = await phone.request("POST", "/mina_auth/", json=call)
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json
    return found


@pytest.mark.gen_test
async def test_a_business_server_has_encrypted_data_opened_for_its_phone(dialects: Product, phones: Phones) -> None:
    phone, other = phones(2, at=dialects)
    for each in (phone, other):
        await each.login()
    mine, theirs = await sealed(phone), await sealed(other)
    known = {"id": "", "skey": phone.token}
    opened = await decrypt(phone, **known, encrypt_data=mine["sealed"], iv=mine["iv"])
    assert (opened["returnCode"], opened["returnMessage"]) == (0, "DECRYPT_SUCCESS")
    data = json.loads(opened["returnData"])
    assert (data["openId"], data["watermark"]["appid"]) == (await phone.openid(), APPID)
    assert "unionId" not in data
    for wrong in (theirs, mine | {"iv": theirs["iv"]}, mine | {"iv": ""}, mine | {"sealed": "x"}):
        failed = await decrypt(phone, **known, encrypt_data=wrong["sealed"], iv=wrong["iv"])
        assert (failed["returnCode"], failed["returnMessage"], failed["returnData"]) == (60021, "DECRYPT_FAIL", "")
    without = await decrypt(phone, **known, encrypt_data=mine["sealed"])
    assert without["returnCode"] == 60021
    assert (await decrypt(phone, **known))["returnCode"] == 1003
    await phone.logout()
    assert (await decrypt(phone, **known, encrypt_data=mine["sealed"], iv=mine["iv"]))["returnCode"] == 60012
