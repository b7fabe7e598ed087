"""The simulated paths about content and about a mini program's own calls: texts, pictures, hashes, quotas, rids."""

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from simulated import OTHER_APP, OTHER_SECRET, Simulated, other_app, simulated
from tornado.web import Application, RequestHandler

from wechat.push import read_message
from wechat.simulator import DEFAULT_APPID, DEFAULT_SECRET
from wechat.simulator.content import RISKY_TEXT

pytestmark = [pytest.mark.quick, pytest.mark.gen_test(timeout=60)]

STABLE, TEXT, MEDIA = "/cgi-bin/stable_token", "/wxa/msg_sec_check", "/wxa/media_check_async"
HASH, CLEAR, RID = "/wxa/business/checkencryptedmsg", "/cgi-bin/clear_quota", "/cgi-bin/openapi/rid/get"
GOOD = {"grant_type": "client_credential", "appid": DEFAULT_APPID, "secret": DEFAULT_SECRET}
PICTURE = "https://login.example.com/avatars/x"
DAY = 86_400


class Caller:
    """A server of the default mini program, or of the one named, that asks with its access_token."""

    def __init__(self, wechat: Simulated, token: str) -> None:
        self.wechat = wechat
        self.token = token

    async def ask(self, path: str, body: object = None, *, method: str = "POST") -> dict[str, Any]:
        query = {"access_token": self.token} if self.token else {}
        given = {"data": body} if isinstance(body, bytes | dict) and path == HASH else {"json": body}
        url = self.wechat.base + path
        async with self.wechat.http.request(method, url, params=query, **({} if body is None else given)) as answer:
            assert answer.status == 200
            assert answer.headers["Content-Type"] == "application/json; encoding=utf-8"
            found: dict[str, Any] = json.loads(await answer.read())
            return found

    async def errcode(self, path: str, body: object = None, **more: Any) -> int:
        return int((await self.ask(path, body, **more))["errcode"])


async def caller(wechat: Simulated, **credentials: str) -> Caller:
    async with wechat.http.post(wechat.base + STABLE, json=GOOD | credentials) as answer:
        return Caller(wechat, json.loads(await answer.read())["access_token"])


async def visitor(wechat: Simulated, user: str = "mei", **fields: Any) -> str:
    """The openid of somebody who is in the mini program now."""
    await wechat.code(user, **fields)
    return str((await wechat.control("user", user=user, **fields))["openid"])


def text(openid: str, content: object = "小明👋", **changes: object) -> dict[str, object]:
    return {"version": 2, "scene": 1, "openid": openid, "content": content, **changes}


def media(openid: str, **changes: object) -> dict[str, object]:
    return {"version": 2, "scene": 1, "openid": openid, "media_url": PICTURE, "media_type": 2, **changes}


async def test_a_text_passes_or_is_risky() -> None:
    async with simulated() as wechat:
        server, mei = await caller(wechat), await visitor(wechat)
        good = await server.ask(TEXT, text(mei))
        assert (good["errcode"], good["result"]) == (0, {"suggest": "pass", "label": 100})
        assert good["detail"][0]["strategy"] == "content_model"
        assert good["trace_id"]
        bad = await server.ask(TEXT, text(mei, f"小{RISKY_TEXT}明"))
        assert bad["result"] == {"suggest": "risky", "label": 20002}
        assert await server.errcode(TEXT, {"content": "小明"}) == 0
        assert await server.errcode(TEXT, {"content": RISKY_TEXT}) == 87014


async def test_the_checks_refuse_in_wechats_order() -> None:
    async with simulated() as wechat:
        await other_app(wechat)
        server, mei, elsewhere = await caller(wechat), await visitor(wechat), await visitor(wechat, appid=OTHER_APP)
        for path, good, wrong in ((TEXT, text, {"content": ""}), (MEDIA, media, {"media_url": ""})):
            assert await server.errcode(path, good(mei), method="GET") == 43002
            assert await Caller(wechat, "").errcode(path, good(mei)) == 41001
            assert await server.errcode(path) == 44002
            assert await server.errcode(path, [1]) == 47001
            assert await server.errcode(path, good(mei, **wrong)) == 47001
            assert await server.errcode(path, good(mei, scene=5)) == 40129
            assert await server.errcode(path, good("oNobody")) == 40003
            assert await server.errcode(path, good(elsewhere)) == 43104
        assert await server.errcode(MEDIA, media(mei, media_type=3)) == 40004
        assert await server.errcode(TEXT, text(mei, "x" * 2_501)) == 47001
        assert await server.errcode(TEXT, text(mei, "x" * 2_500)) == 0


async def test_two_hours_after_the_last_login_nothing_of_a_person_is_checked() -> None:
    async with simulated() as wechat:
        mei = await visitor(wechat)
        await wechat.control("clock", advance=7_190)
        server = await caller(wechat)
        assert [await server.errcode(TEXT, text(mei)), await server.errcode(MEDIA, media(mei))] == [0, 0]
        await wechat.control("clock", advance=20)
        assert [await server.errcode(TEXT, text(mei)), await server.errcode(MEDIA, media(mei))] == [61010, 61010]
        await wechat.code("mei")
        assert await server.errcode(TEXT, text(mei)) == 0


class Receiver(RequestHandler):
    """Takes what is pushed, and has one picture."""

    got: list[bytes]

    def initialize(self, got: list[bytes]) -> None:
        self.got = got

    def get(self) -> None:
        self.set_status(200 if self.request.path == "/picture" else 404)

    def post(self) -> None:
        self.got.append(self.request.body)
        self.write("success")


@asynccontextmanager
async def receiving(got: list[bytes]) -> AsyncIterator[str]:
    server = Application([(".*", Receiver, {"got": got})]).listen(0, "127.0.0.1")
    port = next(iter(server._sockets.values())).getsockname()[1]  # Tornado has no public word for its port
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop()
        await server.close_all_connections()


@pytest.mark.parametrize("form", ["json", "xml"])
async def test_the_verdict_on_a_picture_is_pushed_when_it_is_told_to_be(form: str) -> None:
    got: list[bytes] = []
    async with receiving(got) as base, simulated() as wechat:
        push = {"push_token": "AAAAA", "push_mode": "plain", "push_format": form}
        await wechat.control("app", push_url=f"{base}/push", **push)
        server, mei = await caller(wechat), await visitor(wechat)
        first = (await server.ask(MEDIA, media(mei)))["trace_id"]
        second = (await server.ask(MEDIA, media(mei, media_url=f"{base}/picture")))["trace_id"]
        third = (await server.ask(MEDIA, media(mei, media_url=f"{base}/gone")))["trace_id"]
        waiting = (await wechat.control("state"))["media_checks"]
        assert [each["trace_id"] for each in waiting] == [first, second, third]
        told = await wechat.control("media_result", trace_id=first, suggest="risky")
        assert (told["accepted"], told["trace_id"], told["errcode"]) == (True, first, 0)
        assert (await wechat.control("media_result", trace_id=second))["errcode"] == 0
        assert (await wechat.control("media_result"))["errcode"] == -1008
        await wechat.control("media_result", errcode=-1)
        events = [read_message(body) for body in got]
        assert {(event["Event"], event["appid"]) for event in events} == {("wxa_media_check", DEFAULT_APPID)}
        assert [event["trace_id"] for event in events] == [first, second, third, third]
        assert [event["errcode"] for event in events] == ["0", "0", "-1008", "-1"]
        assert [event.get("result.suggest") for event in events] == ["risky", "pass", None, None]
        assert b"content_model" in got[0]


async def test_a_verdict_needs_an_address_to_go_to() -> None:
    async with simulated() as wechat:
        await (await caller(wechat)).ask(MEDIA, media(await visitor(wechat)))
        async with wechat.http.post(f"{wechat.base}/_sim/media_result", json={}) as answer:
            assert answer.status == 400


async def test_the_hash_of_an_encrypted_phone_number_is_known_for_three_days_to_its_app_alone() -> None:
    async with simulated() as wechat:
        await other_app(wechat)
        await wechat.code("mei")
        data = (await wechat.control("encrypt", user="mei", kind="phone"))["encryptedData"]
        other = (await wechat.control("encrypt", user="mei", kind="profile"))["encryptedData"]
        asked = {"encrypted_msg_hash": hashlib.sha256(data.encode()).hexdigest()}
        unknown = {"encrypted_msg_hash": hashlib.sha256(other.encode()).hexdigest()}
        server = await caller(wechat)
        good = await server.ask(HASH, asked)
        assert (good["errcode"], good["vaild"]) == (0, True)
        assert abs(good["create_time"] - (await wechat.control("state"))["now"]) < 60
        as_json = {name: digest.upper() for name, digest in asked.items()}
        assert await server.errcode(HASH, json.dumps(as_json).encode()) == 0
        assert await server.errcode(HASH, unknown) == 1
        assert await server.errcode(HASH, {"encrypted_msg_hash": "x"}) == 40097
        assert await server.errcode(HASH, b"") == 44002
        assert await (await caller(wechat, appid=OTHER_APP, secret=OTHER_SECRET)).errcode(HASH, asked) == 1
        await wechat.control("clock", advance=3 * DAY + 10)
        assert await (await caller(wechat)).errcode(HASH, asked) == 1


@pytest.mark.parametrize(("path", "minute"), [(STABLE, 45011), (TEXT, 44991), (MEDIA, 44991)])
async def test_each_path_has_its_fill_of_a_minute_and_of_a_day(path: str, minute: int) -> None:
    async with simulated() as wechat:
        now = (await wechat.control("clock", advance=0))["now"]
        await wechat.control("clock", advance=DAY - now % DAY + 3_600)
        server, mei = await caller(wechat), await visitor(wechat)
        body = {STABLE: GOOD, TEXT: text(mei), MEDIA: media(mei)}[path]

        async def asked(times: int) -> list[int]:
            return [int((await server.ask(path, body)).get("errcode", 0)) for _ in range(times)]

        await wechat.control("clock", advance=60)
        await wechat.control("quota", path=path, minute=2)
        assert await asked(3) == [0, 0, minute]
        await wechat.control("clock", advance=60)
        assert await asked(1) == [0]
        await wechat.control("reset")
        server, mei = await caller(wechat), await visitor(wechat)
        await wechat.control("quota", path=path, day=3)
        await asked(3)
        assert await asked(1) == [45009]
        await wechat.control("clock", advance=DAY)
        if path == STABLE:
            assert await asked(1) == [0]


async def test_what_was_asked_today_can_be_forgotten_ten_times_a_month() -> None:
    async with simulated() as wechat:
        await other_app(wechat)
        server, mei = await caller(wechat), await visitor(wechat)
        await wechat.control("quota", path=TEXT, day=1)
        assert [await server.errcode(TEXT, text(mei)) for _ in range(2)] == [0, 45009]
        assert await server.errcode(CLEAR, {"appid": OTHER_APP}) == 40013
        assert await server.errcode(CLEAR, {}) == 40013
        for _ in range(10):
            assert await server.errcode(CLEAR, {"appid": DEFAULT_APPID}) == 0
        assert await server.errcode(TEXT, text(mei)) == 0
        assert await server.errcode(CLEAR, {"appid": DEFAULT_APPID}) == 48006
        await wechat.control("clock", advance=30 * DAY)
        assert await (await caller(wechat)).errcode(CLEAR, {"appid": DEFAULT_APPID}) == 0


async def test_a_request_id_tells_its_own_mini_program_what_was_refused_for_seven_days() -> None:
    async with simulated() as wechat:
        await other_app(wechat)
        server = await caller(wechat)
        other = await caller(wechat, appid=OTHER_APP, secret=OTHER_SECRET)
        refused = await server.ask(TEXT, text("oNobody"))
        rid = refused["errmsg"].partition("rid: ")[2]
        found = (await server.ask(RID, {"rid": rid}))["request"]
        assert set(found) == {
            "invoke_time", "cost_in_ms", "request_url", "request_body", "response_body", "client_ip",
        }  # fmt: skip
        assert json.loads(found["request_body"])["openid"] == "oNobody"
        assert json.loads(found["response_body"]) == refused
        assert found["client_ip"] == "127.0.0.1"
        assert server.token not in json.dumps(found)
        assert await other.errcode(RID, {"rid": rid}) == 76003
        assert await server.errcode(RID, {"rid": "00000000-00000000-00000000"}) == 76001
        assert [await server.errcode(RID, wrong) for wrong in ({}, {"rid": 1}, {"rid": "x"})] == [76002] * 3
        login = (await wechat.redeem("0" * 32))["errmsg"].partition("rid: ")[2]
        assert await server.errcode(RID, {"rid": login}) == 76022
        await wechat.control("clock", advance=7 * DAY + 10)
        assert await (await caller(wechat)).errcode(RID, {"rid": rid}) == 76004


async def test_a_request_id_never_brings_a_secret_to_light() -> None:
    async with simulated() as wechat:
        server = await caller(wechat)
        async with wechat.http.post(wechat.base + STABLE, json=GOOD | {"grant_type": "x"}) as answer:
            body = json.loads(await answer.read())
        async with wechat.http.get(f"{wechat.base}/cgi-bin/token", params=GOOD | {"grant_type": "x"}) as answer:
            query = json.loads(await answer.read())
        for refused in (body, query):
            assert refused["errcode"] == 40002
            found = await server.ask(RID, {"rid": refused["errmsg"].partition("rid: ")[2]})
            assert DEFAULT_SECRET not in json.dumps(found)
            assert found["errcode"] in (0, 76003)


@pytest.mark.parametrize("path", [TEXT, MEDIA, HASH, CLEAR, RID])
async def test_faults_meet_these_paths_too(path: str) -> None:
    async with simulated() as wechat:
        server = await caller(wechat)
        await wechat.fault("busy", path=path)
        assert await server.errcode(path) == -1
        await wechat.fault(45009, path=path)
        assert await server.errcode(path) == 45009
        assert await server.errcode(path) in (44002, 47001)
