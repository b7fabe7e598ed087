"""The simulated paths beyond the login: tokens, session keys, phone numbers, pushes, in WeChat's order of checks."""

import asyncio
import json
from typing import Any

import pytest
from simulated import OTHER_APP, Simulated, other_app, simulated
from tornado.httputil import HTTPServerRequest
from tornado.web import Application, RequestHandler

from wechat.data import open_push
from wechat.push import key_bytes, signature
from wechat.simulator import DEFAULT_APPID, DEFAULT_SECRET

pytestmark = [pytest.mark.quick, pytest.mark.gen_test(timeout=60)]

STABLE, PHONE = "/cgi-bin/stable_token", "/wxa/business/getuserphonenumber"
PUSH_KEY = "A" * 43
GOOD = {"grant_type": "client_credential", "appid": DEFAULT_APPID, "secret": DEFAULT_SECRET}


async def post(wechat: Simulated, path: str, body: object, **query: str) -> dict[str, Any]:
    async with wechat.http.post(wechat.base + path, params=query, json=body) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/json; encoding=utf-8"
        found: dict[str, Any] = json.loads(await answer.read())
        return found


async def get(wechat: Simulated, path: str, **query: str) -> dict[str, Any]:
    async with wechat.http.get(wechat.base + path, params=query) as answer:
        found: dict[str, Any] = json.loads(await answer.read())
        return found


async def token_of(wechat: Simulated, **fields: object) -> str:
    return str((await post(wechat, STABLE, GOOD | fields))["access_token"])


async def said_of(wechat: Simulated, token: str) -> int:
    """What the path for phone numbers says about a token: 44002 (no body) is reached by good ones alone."""
    async with wechat.http.post(wechat.base + PHONE, params={"access_token": token} if token else {}) as answer:
        return int(json.loads(await answer.read())["errcode"])


async def test_the_stable_token_stays_the_same_until_five_minutes_before_its_end() -> None:
    async with simulated() as wechat:
        first = await post(wechat, STABLE, GOOD)
        assert first["expires_in"] == 7200
        assert "errcode" not in first
        await wechat.control("clock", advance=6_890)
        second = await post(wechat, STABLE, GOOD)
        assert second["access_token"] == first["access_token"]
        assert 300 <= second["expires_in"] <= 310
        await wechat.control("clock", advance=20)
        third = await token_of(wechat)
        assert third != first["access_token"]
        assert await said_of(wechat, first["access_token"]) == 44002
        await wechat.control("clock", advance=300)
        assert await said_of(wechat, first["access_token"]) in (40001, 42001)
        assert await said_of(wechat, third) == 44002


async def test_a_forced_refresh_kills_the_old_one_every_thirty_seconds_and_twenty_times_a_day() -> None:
    async with simulated() as wechat:
        now = (await wechat.control("clock", advance=0))["now"]
        await wechat.control("clock", advance=86_400 - now % 86_400)
        old = await token_of(wechat)
        new = await token_of(wechat, force_refresh=True)
        assert (await said_of(wechat, old), await said_of(wechat, new)) == (40001, 44002)
        assert await token_of(wechat, force_refresh=True) == new
        for _ in range(19):
            await wechat.control("clock", advance=30)
            await token_of(wechat, force_refresh=True)
        await wechat.control("clock", advance=30)
        assert (await post(wechat, STABLE, GOOD | {"force_refresh": True}))["errcode"] == 45009


async def test_the_classic_token_is_new_each_time_and_knows_nothing_of_the_stable_one() -> None:
    async with simulated() as wechat:
        stable = await token_of(wechat)
        first = (await get(wechat, "/cgi-bin/token", **GOOD))["access_token"]
        second = (await get(wechat, "/cgi-bin/token", **GOOD))["access_token"]
        await wechat.control("clock", advance=299)
        assert [await said_of(wechat, each) for each in (stable, first, second)] == [44002] * 3
        await wechat.control("clock", advance=2)
        assert [await said_of(wechat, each) for each in (stable, first, second)] == [44002, 40001, 44002]


@pytest.mark.parametrize(
    ("changes", "app", "errcode"),
    [
        ({"appid": ""}, {}, 41002),
        ({"appid": "wx9", "secret": ""}, {}, 40013),
        ({"secret": ""}, {}, 41004),
        ({"secret": "x", "grant_type": "x"}, {"ip_whitelist": "192.0.2.1"}, 40125),
        ({"grant_type": "x"}, {"ip_whitelist": "192.0.2.1", "frozen": True}, 40164),
        ({"grant_type": "x"}, {"frozen": True, "punished": True}, 40243),
        ({"grant_type": "x"}, {"punished": True}, 50004),
        ({"grant_type": "x"}, {}, 40002),
        ({}, {"ip_whitelist": "127.0.0.1"}, None),
    ],
)
async def test_both_ways_to_a_token_check_in_the_same_order(
    changes: dict[str, str], app: dict[str, Any], errcode: int | None
) -> None:
    async with simulated() as wechat:
        await wechat.control("app", **app)
        stable = await post(wechat, STABLE, GOOD | changes)
        classic = await get(wechat, "/cgi-bin/token", **(GOOD | changes))
        assert (stable.get("errcode"), classic.get("errcode")) == (errcode, errcode)
        if errcode == 40164:
            assert stable["errmsg"].startswith("invalid ip 127.0.0.1 ipv6 ::ffff:127.0.0.1, not in whitelist rid: ")


async def test_the_daily_quota_and_a_get_of_the_stable_path_have_their_numbers() -> None:
    async with simulated() as wechat:
        await wechat.control("quota", path="/cgi-bin/token", day=1)
        await get(wechat, "/cgi-bin/token", **GOOD)
        assert (await get(wechat, "/cgi-bin/token", **GOOD))["errcode"] == 45009
        assert (await get(wechat, STABLE, **GOOD))["errcode"] == 43002


async def test_a_phone_code_is_good_once_for_its_app_and_its_person() -> None:
    async with simulated() as wechat:
        await other_app(wechat)
        token = await token_of(wechat)
        assert await said_of(wechat, "") == 41001
        assert await said_of(wechat, "x") == 40014
        assert (await post(wechat, PHONE, {}, access_token=token))["errcode"] == 47001
        mei, lei = (
            (await wechat.control("user", user="mei"))["openid"],
            (await wechat.control("user", user="lei"))["openid"],
        )
        code = (await wechat.control("phone_tap", user="mei", number="13900139000"))["code"]
        assert (await post(wechat, PHONE, {"code": code, "openid": lei}, access_token=token))["errcode"] == 40003
        good = await post(wechat, PHONE, {"code": code, "openid": mei}, access_token=token)
        assert (good["errcode"], good["phone_info"]["phoneNumber"]) == (0, "13900139000")
        again = await post(wechat, PHONE, {"code": code}, access_token=token)
        assert again["errcode"] == 40029
        assert " hint: [" in again["errmsg"]
        elsewhere = (await wechat.control("phone_tap", user="mei", appid=OTHER_APP))["code"]
        assert (await post(wechat, PHONE, {"code": elsewhere}, access_token=token))["errcode"] == 40013
        login = await wechat.code()
        assert (await post(wechat, PHONE, {"code": login}, access_token=token))["errcode"] == 40029


class Receiver(RequestHandler):
    """Keeps what is pushed, and answers `success` from the third request on."""

    got: list[HTTPServerRequest]

    def initialize(self, got: list[HTTPServerRequest]) -> None:
        self.got = got

    def get(self) -> None:
        self.write(self.get_query_argument("echostr"))

    def post(self) -> None:
        self.got.append(self.request)
        self.write("success" if len(self.got) >= 3 else "later")


@pytest.mark.parametrize("mode", ["plain", "compatible", "secure"])
@pytest.mark.parametrize("form", ["json", "xml"])
async def test_a_push_is_signed_sealed_by_its_mode_and_sent_three_times_at_most(mode: str, form: str) -> None:
    got: list[HTTPServerRequest] = []
    server = Application([("/push", Receiver, {"got": got})]).listen(0, "127.0.0.1")
    port = next(iter(server._sockets.values())).getsockname()[1]  # Tornado has no public word for its port
    try:
        async with simulated() as wechat:
            push = {"push_token": "AAAAA", "push_key": PUSH_KEY, "push_mode": mode, "push_format": form}
            await wechat.control("app", push_url=f"http://127.0.0.1:{port}/push", **push)
            assert await wechat.control("push_check") == {"status": 200, "proved": True}
            told = await wechat.control("revoke", user="mei", revoke_info="8")
            openid = (await wechat.control("user", user="mei"))["openid"]
        assert told["accepted"]
        assert [answer["body"] for answer in told["answers"]] == ["later", "later", "success"]
        one = {name: values[0].decode() for name, values in got[0].query_arguments.items()}
        assert one["signature"] == signature("AAAAA", one["timestamp"], one["nonce"])
        text = got[0].body.decode()
        assert (openid in text) == (mode != "secure")
        assert ("encrypt_type" in one) == (mode != "plain")
        if mode != "plain":
            start, end = ('"Encrypt": "', '"') if form == "json" else ("<Encrypt><![CDATA[", "]]>")
            sealed = text.partition(start)[2].partition(end)[0]
            assert one["msg_signature"] == signature("AAAAA", one["timestamp"], one["nonce"], sealed)
            text = open_push(key_bytes(PUSH_KEY), sealed, DEFAULT_APPID).decode()
        assert openid in text
        assert "user_authorization_revoke" in text
        assert text.startswith("{" if form == "json" else "<xml>")
    finally:
        server.stop()
        await server.close_all_connections()


@pytest.mark.parametrize(
    ("word", "fields"),
    [
        ("revoke", {"user": "mei"}),
        ("push_check", {}),
        ("app", {"push_url": "http://192.0.2.1/"}),
        ("encrypt", {"user": "nobody", "kind": "phone"}),
        ("encrypt", {"user": "nobody", "kind": "fax"}),
        ("phone_tap", {"user": "mei", "number": "abc"}),
        ("steal_token", {"kind": "other"}),
        ("quota", {"path": "/sns/jscode2session"}),
        ("quota", {"path": STABLE, "day": -1}),
        ("media_result", {}),
        ("media_result", {"suggest": "perhaps"}),
    ],
)
async def test_a_control_call_that_makes_no_sense_is_told_so(word: str, fields: dict[str, Any]) -> None:
    async with simulated() as wechat, wechat.http.post(f"{wechat.base}/_sim/{word}", json=fields) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"]


async def test_no_secret_of_the_new_kinds_stands_in_state_or_log() -> None:
    async with simulated() as wechat:
        await wechat.control("app", push_token="canaryOfThePushToken", push_key="B" * 43)
        new = (await wechat.control("rotate_secret"))["secret"]
        token = await token_of(wechat, secret=new)
        await said_of(wechat, token)
        assert (await post(wechat, STABLE, GOOD))["errcode"] == 40125
        shown = json.dumps([await wechat.control("state"), await wechat.control("log")])
        assert not [each for each in (new, token, "canaryOfThePushToken", "B" * 43) if each in shown]
        await asyncio.sleep(0)
