"""The control calls of the simulated WeChat do what they say, and give nothing away."""

import json
import logging

import aiohttp
import pytest
from simulated import OTHER_SECRET, PATH, other_app, simulated

from wechat.simulator import DEFAULT_APPID, DEFAULT_SECRET

pytestmark = [pytest.mark.quick, pytest.mark.gen_test(timeout=60)]


async def test_the_same_seed_gives_the_same_codes_and_a_reset_begins_again() -> None:
    async with simulated(seed=7) as one, simulated(seed=7) as two, simulated(seed=8) as three:
        codes = [await one.code(), await one.code()]
        assert [await two.code(), await two.code()] == codes
        assert await three.code() not in codes
        await one.control("reset")
        assert await one.code() == codes[0]


async def test_the_log_says_what_was_asked_and_how_it_ended() -> None:
    async with simulated() as wechat:
        code = await wechat.code()
        before = (await wechat.control("clock", advance=0))["now"]
        await wechat.redeem(code)
        await wechat.redeem(code)
        await wechat.ask(code, appid=None, nonsense="1")
        log = await wechat.control("log")
        assert log["counts"] == {PATH: 3}
        assert [(row["method"], row["path"], row["errcode"]) for row in log["requests"]] == [
            ("GET", PATH, 0),
            ("GET", PATH, 40163),
            ("GET", PATH, 41002),
        ]
        assert [row["appid"] for row in log["requests"]] == [DEFAULT_APPID, DEFAULT_APPID, None]
        assert log["requests"][0]["parameters"] == {"appid": 1, "secret": 1, "js_code": 1, "grant_type": 1}
        assert log["requests"][2]["parameters"] == {"secret": 1, "js_code": 1, "grant_type": 1, "other": 1}
        assert before <= log["requests"][0]["at"] <= (await wechat.control("clock", advance=0))["now"]


async def test_the_log_counts_connections_so_that_keep_alive_can_be_proved() -> None:
    async with simulated() as wechat:
        for _ in range(5):
            await wechat.redeem("kept")
        assert (await wechat.control("log"))["connections"] == 1
        for _ in range(3):
            async with aiohttp.ClientSession() as fresh, fresh.get(wechat.base + PATH) as answer:
                assert answer.status == 200
        assert (await wechat.control("log"))["connections"] == 4


async def test_no_control_answer_holds_a_secret_or_a_session_key() -> None:
    async with simulated() as wechat:
        await other_app(wechat)
        code = await wechat.code()
        key = (await wechat.redeem(code))["session_key"]
        await wechat.ask(code, secret="a-wrong-secret")
        await wechat.fault("answer", body="hidden")
        answers = [await wechat.control(word) for word in ("log", "state", "app")]
        answers.append(await wechat.control("user", user="mei"))
        text = json.dumps(answers).replace("\\/", "/")
        assert DEFAULT_APPID in text
        for hidden in (DEFAULT_SECRET, OTHER_SECRET, "a-wrong-secret", key, code):
            assert hidden not in text


async def test_no_log_line_holds_a_secret_a_code_or_a_session_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with simulated() as wechat:
        code = await wechat.code()
        key = (await wechat.redeem(code))["session_key"]
        for kind in ("http_500", "redirect", "latency"):
            await wechat.fault(kind, seconds=0)
            await wechat.ask(code)
        async with wechat.http.put(wechat.base + PATH, params=wechat.query(code)) as answer:
            assert answer.status == 405
    assert PATH in caplog.text
    for hidden in (DEFAULT_SECRET, code, key):
        assert hidden not in caplog.text


async def test_the_state_tells_the_numbers() -> None:
    async with simulated() as wechat:
        await wechat.redeem(await wechat.code("mei"))
        await wechat.code("lei")
        await wechat.fault("busy", n=2)
        async with wechat.http.get(wechat.base + "/_sim/state") as answer:
            state = await answer.json()
        assert state["people"] == 2
        assert state["codes"] == {"used": 1, "fresh": 1}
        assert [(fault["kind"], fault["n"]) for fault in state["faults"]] == [("busy", 2)]
        assert [app["appid"] for app in state["apps"]] == [DEFAULT_APPID]


async def test_a_reset_restores_everything() -> None:
    async with simulated() as wechat:
        fresh = await wechat.control("state")
        await other_app(wechat)
        await wechat.control("app", secret="rotated", minute_quota=1, bound_open_platform=True)
        await wechat.control("user", user="mei", blocked=True)
        await wechat.control("clock", advance=1000)
        await wechat.redeem(await wechat.code())
        await wechat.fault("busy", probability=1)
        await wechat.control("reset")
        assert (await wechat.control("state")) | {"now": 0} == fresh | {"now": 0}
        assert await wechat.control("log") == {"counts": {}, "connections": 0, "redirected": 0, "requests": []}
        assert "openid" in await wechat.redeem(await wechat.code("mei"))


@pytest.mark.parametrize(
    ("word", "body", "sentence"),
    [
        ("login", b"{", "one JSON object"),
        ("login", b"[]", "one JSON object"),
        ("login", b'{"user":"\xff"}', "one JSON object"),
        ("login", b"[" * 100_000, "one JSON object"),
        ("login", b"", "user is missing"),
        ("login", b'{"user":7}', "user takes"),
        ("login", b'{"user":""}', "user takes"),
        ("login", b'{"user":"\\ud800"}', "user takes"),
        ("login", json.dumps({"user": "x" * 65}).encode(), "user takes"),
        ("login", b'{"user":"mei","appid":"wx1"}', "/_sim/app makes one"),
        ("login", b'{"user":"mei","usr":"lei"}', "unknown field: usr"),
        ("user", b'{"user":"mei","blocked":1}', "blocked takes true or false"),
        ("app", b'{"appid":"nonsense"}', "appid must match"),
        ("app", b'{"secret":"two words"}', "secret must match"),
        ("app", b'{"minute_quota":-1}', "minute_quota takes"),
        ("app", b'{"minute_quota":true}', "minute_quota takes"),
        ("clock", b"{}", "advance is missing"),
        ("clock", b'{"advance":"1"}', "advance takes"),
        ("clock", b'{"advance":1e400}', "advance takes"),
        ("clock", b'{"advance":NaN}', "one JSON object"),
        ("fault", b"{}", "kind is missing"),
        ("fault", b'{"kind":"nonsense"}', "kind takes"),
        ("fault", b'{"kind":"http_100"}', "kind takes"),
        ("fault", b'{"kind":true}', "kind takes"),
        ("fault", b'{"kind":"busy","path":"/nowhere"}', "path takes one of: /cgi-bin/clear_quota"),
        ("fault", b'{"kind":"busy","n":0}', "n takes"),
        ("fault", b'{"kind":"busy","n":1,"probability":0.5}', "n or probability"),
        ("fault", b'{"kind":"busy","probability":0}', "probability takes"),
        ("fault", b'{"kind":"latency","seconds":61}', "seconds takes"),
        ("fault", b'{"kind":"latency","second":1}', "unknown field: second"),
        ("log", b'{"newest":1}', "unknown field: newest"),
    ],
)
async def test_a_control_call_that_makes_no_sense_gets_400_and_a_sentence(
    word: str, body: bytes, sentence: str
) -> None:
    async with simulated() as wechat:
        async with wechat.http.post(f"{wechat.base}/_sim/{word}", data=body) as answer:
            value = await answer.json()
        assert answer.status == 400
        assert sentence in value["error"]


async def test_deeds_are_posted_and_unknown_words_are_named() -> None:
    async with simulated() as wechat:
        async with wechat.http.get(wechat.base + "/_sim/reset") as answer:
            assert answer.status == 405
            assert answer.headers["Allow"] == "POST"
        async with wechat.http.post(wechat.base + "/_sim/nonsense") as answer:
            assert answer.status == 404
            assert "login" in (await answer.json())["error"]


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Host": "evil.example"}, {"Origin": "null"}])
async def test_a_strangers_web_page_cannot_drive_the_simulator(headers: dict[str, str]) -> None:
    async with simulated() as wechat:
        body = {"user": "mei"}
        async with wechat.http.post(wechat.base + "/_sim/login", json=body, headers=headers) as answer:
            assert answer.status == 403
        own = {"Origin": "http://localhost:8000"}
        async with wechat.http.post(wechat.base + "/_sim/login", json=body, headers=own) as answer:
            assert answer.status == 200
