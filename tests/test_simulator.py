"""The simulated WeChat keeps the real one's contract, and its port stays on this machine."""

import asyncio
import base64
import json
import re
import socket

import aiohttp
import pytest
from simulated import OTHER_APP, OTHER_SECRET, PATH, Simulated, other_app, simulated

from wechat.simulator import DEFAULT_APPID, Simulator

pytestmark = [pytest.mark.quick, pytest.mark.gen_test(timeout=60)]


async def to_the_top_of_a_minute(wechat: Simulated) -> None:
    now = (await wechat.control("clock", advance=0))["now"]
    await wechat.control("clock", advance=60 - now % 60)


# A code is redeemed


async def test_a_fresh_code_gives_openid_and_session_key_and_no_errcode() -> None:
    async with simulated() as wechat:
        answer, body = await wechat.ask(await wechat.code("mei"))
        person = json.loads(body)
        assert set(person) == {"openid", "session_key"}
        assert re.fullmatch("o[A-Za-z0-9_-]{27}", person["openid"])
        assert len(base64.b64decode(person["session_key"], validate=True)) == 16
        assert (await wechat.control("user", user="mei"))["openid"] == person["openid"]
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/plain"
        assert not {"Server", "Etag"} & set(answer.headers)


async def test_a_code_is_32_characters_and_begins_with_a_digit() -> None:
    async with simulated() as wechat:
        codes = [await wechat.code() for _ in range(20)]
        assert all(re.fullmatch("[0-9][0-9A-Za-z]{31}", code) for code in codes)
        assert len(set(codes)) == 20


async def test_one_person_has_one_openid_per_app_and_one_unionid_in_all_bound_apps() -> None:
    async with simulated() as wechat:
        await other_app(wechat, bound_open_platform=True)
        unbound = await wechat.redeem(await wechat.code("mei"))
        await wechat.control("app", appid=DEFAULT_APPID, bound_open_platform=True)
        here = await wechat.redeem(await wechat.code("mei"))
        there = await wechat.redeem(await wechat.code("mei", appid=OTHER_APP), appid=OTHER_APP, secret=OTHER_SECRET)
        lei = await wechat.redeem(await wechat.code("lei"))
        assert "unionid" not in unbound
        assert here["openid"] == unbound["openid"] != there["openid"]
        assert here["unionid"] == there["unionid"] != lei["unionid"]


@pytest.mark.parametrize(
    ("changes", "errcode", "text"),
    [
        ({"appid": None, "secret": None, "js_code": None}, 41002, "appid missing"),
        ({"appid": ""}, 41002, "appid missing"),
        ({"secret": None, "js_code": None}, 41004, "appsecret missing"),
        ({"js_code": None, "appid": "wx9"}, 41008, "missing code"),
        ({"appid": OTHER_APP, "secret": "wrong"}, 40013, "invalid appid"),
        ({"secret": "wrong", "grant_type": "x"}, 40125, "invalid appsecret"),
        ({"secret": "schlüssel"}, 40125, "invalid appsecret"),
        ({"grant_type": None, "js_code": "unknown"}, 40002, "invalid grant_type"),
        ({"js_code": "unknown"}, 40029, "invalid code"),
    ],
)
async def test_the_first_mistake_in_wechats_order_is_the_one_named(
    changes: dict[str, str | None], errcode: int, text: str
) -> None:
    async with simulated() as wechat:
        code = await wechat.code()
        answer, body = await wechat.ask(code, **changes)
        refusal = json.loads(body)
        assert (answer.status, refusal["errcode"]) == (200, errcode)
        assert re.fullmatch(re.escape(text) + ", rid: [0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}", refusal["errmsg"])
        assert answer.headers["Content-Type"] == "text/plain"
        assert "openid" in await wechat.redeem(code), "a refusal for another reason leaves the code fresh"


async def test_the_request_id_begins_with_the_simulated_time_in_hexadecimal() -> None:
    async with simulated() as wechat:
        before = (await wechat.control("clock", advance=86_400 * 400))["now"]
        errmsg = (await wechat.redeem("unknown"))["errmsg"]
        after = (await wechat.control("clock", advance=0))["now"]
        assert before <= int(errmsg.split("rid: ")[1][:8], 16) <= after


async def test_parameters_in_a_posted_body_are_missing_ones() -> None:
    async with simulated() as wechat:
        query = wechat.query(await wechat.code())
        async with wechat.http.post(wechat.base + PATH, data=query) as answer:
            assert (await answer.json(content_type=None))["errcode"] == 41002


async def test_a_used_code_is_refused_with_40163() -> None:
    async with simulated() as wechat:
        code = await wechat.code()
        assert "openid" in await wechat.redeem(code)
        assert (await wechat.redeem(code))["errcode"] == 40163
        await wechat.control("clock", advance=3600)
        assert (await wechat.redeem(code))["errcode"] == 40163


async def test_of_fifty_parallel_calls_with_one_code_exactly_one_succeeds() -> None:
    async with simulated() as wechat:
        code = await wechat.code()
        answers = await asyncio.gather(*(wechat.redeem(code) for _ in range(50)))
        assert sum("openid" in answer for answer in answers) == 1
        assert sum(answer.get("errcode") == 40163 for answer in answers) == 49


async def test_a_code_shown_to_another_app_is_invalid_there_and_used_afterwards() -> None:
    async with simulated() as wechat:
        await other_app(wechat)
        code = await wechat.code()
        assert (await wechat.redeem(code, appid=OTHER_APP, secret=OTHER_SECRET))["errcode"] == 40029
        assert (await wechat.redeem(code))["errcode"] == 40163


async def test_a_code_lives_five_minutes_of_the_simulated_clock() -> None:
    async with simulated() as wechat:
        young, old = await wechat.code(), await wechat.code()
        await wechat.control("clock", advance=230)
        assert "openid" in await wechat.redeem(young)
        await wechat.control("clock", advance=71)
        assert (await wechat.redeem(old))["errcode"] == 40029


async def test_all_codes_of_a_person_are_good_each_with_the_session_key_of_its_moment() -> None:
    async with simulated() as wechat:
        first, second = await wechat.code(), await wechat.code()
        newer, older = await wechat.redeem(second), await wechat.redeem(first)
        assert newer["openid"] == older["openid"]
        assert newer["session_key"] != older["session_key"]


async def test_an_app_with_a_minimum_period_keeps_the_session_key_that_long() -> None:
    async with simulated() as wechat:
        await wechat.control("app", min_refresh_seconds=3600)
        keys = []
        for advance in (0, 0, 3601):
            await wechat.control("clock", advance=advance)
            keys.append((await wechat.redeem(await wechat.code()))["session_key"])
        assert keys[0] == keys[1] != keys[2]


async def test_over_the_quota_of_a_minute_a_person_is_throttled_and_the_code_stays_fresh() -> None:
    async with simulated() as wechat:
        assert (await wechat.control("app"))["minute_quota"] == 100
        await wechat.control("app", minute_quota=3)
        await to_the_top_of_a_minute(wechat)
        for _ in range(3):
            await wechat.redeem(await wechat.code("mei"))
        code = await wechat.code("mei")
        assert (await wechat.redeem(code))["errcode"] == 45011
        assert "openid" in await wechat.redeem(await wechat.code("lei")), "the quota is each person's own"
        await wechat.control("clock", advance=60)
        assert "openid" in await wechat.redeem(code)


async def test_a_quota_of_zero_lifts_it() -> None:
    async with simulated() as wechat:
        await wechat.control("app", minute_quota=0)
        answers = [await wechat.redeem(await wechat.code()) for _ in range(110)]
        assert all("openid" in answer for answer in answers)


async def test_a_blocked_person_is_refused_and_the_code_is_used_up() -> None:
    async with simulated() as wechat:
        assert (await wechat.control("user", user="mei", blocked=True))["blocked"] is True
        code = await wechat.code("mei")
        assert (await wechat.redeem(code))["errcode"] == 40226
        await wechat.control("user", user="mei", blocked=False)
        assert (await wechat.redeem(code))["errcode"] == 40163
        assert "openid" in await wechat.redeem(await wechat.code("mei"))


async def test_a_changed_secret_counts_from_the_next_call() -> None:
    async with simulated() as wechat:
        await wechat.control("app", secret="rotated")
        code = await wechat.code()
        assert (await wechat.redeem(code))["errcode"] == 40125
        assert "openid" in await wechat.redeem(code, secret="rotated")


async def test_slashes_arrive_escaped_now_and_then() -> None:
    async with simulated(seed=1) as wechat:
        await wechat.control("app", minute_quota=0)
        bodies = [(await wechat.ask(await wechat.code()))[1] for _ in range(100)]
        keys = [body for body in bodies if b"/" in body]
        escaped = [body for body in keys if rb"\/" in body]
        assert 0 < len(escaped) < len(keys)
        assert all("/" in json.loads(body)["session_key"] for body in escaped)


async def test_other_paths_are_counted_and_answered_with_a_page() -> None:
    async with simulated() as wechat:
        async with wechat.http.get(wechat.base + "/cgi-bin/menu/get") as answer:
            page = await answer.text()
        assert answer.status == 404
        assert page.startswith("<html>")
        assert (await wechat.control("log"))["counts"] == {"/cgi-bin/menu/get": 1}


# The port


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.168.1.10", "8.8.8.8", "", "example.com"])  # noqa: S104  # these are what must be refused
async def test_it_never_listens_where_others_could_reach_it(address: str) -> None:
    with pytest.raises(ValueError, match="loopback addresses only"):
        Simulator().listen(address, 0)


async def test_it_listens_on_the_loopback_of_ipv6_too() -> None:
    simulator = Simulator()
    base = simulator.listen("::1", 0)
    try:
        async with aiohttp.ClientSession() as http, http.get(base + "/_sim/log") as answer:
            assert answer.status == 200
    finally:
        await simulator.close()


async def test_closing_ends_all_connections_and_frees_the_port() -> None:
    async with simulated() as wechat:
        reader, writer = await asyncio.open_connection(wechat.host, wechat.port)
        await wechat.fault("stall_headers", n=2)
        waiting = [asyncio.ensure_future(wechat.ask("stalled")) for _ in range(2)]
        await wechat.until_waiting(2)
        await wechat.simulator.close()
        assert await reader.read() == b""
        ends = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(end, aiohttp.ClientError) for end in ends)
        writer.close()
        with socket.socket() as again:
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            again.bind((wechat.host, wechat.port))
            again.listen()


async def test_a_port_that_is_taken_is_an_error_of_the_system() -> None:
    async with simulated() as wechat:
        with pytest.raises(OSError, match="in use"):
            Simulator().listen(wechat.host, wechat.port)
