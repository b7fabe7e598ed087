"""Every fault of the simulated WeChat does on the wire what its word says."""

import asyncio
import gzip
import json
import time
from typing import Any

import aiohttp
import pytest
from simulated import PATH, Simulated, simulated

pytestmark = [pytest.mark.quick, pytest.mark.gen_test(timeout=60)]


async def raw(wechat: Simulated, code: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send one request on a connection of its own."""
    reader, writer = await asyncio.open_connection(wechat.host, wechat.port)
    query = "&".join(f"{name}={value}" for name, value in wechat.query(code).items())
    writer.write(f"GET {PATH}?{query} HTTP/1.1\r\nHost: {wechat.host}\r\n\r\n".encode())
    return reader, writer


# Which request a fault meets


async def test_faults_are_met_in_the_order_given_and_count_down() -> None:
    async with simulated() as wechat:
        code = await wechat.code()
        await wechat.fault("busy", n=2)
        await wechat.fault(40226)
        errcodes = [(await wechat.redeem(code)).get("errcode") for _ in range(4)]
        assert errcodes == [-1, -1, 40226, None]
        assert [row["fault"] for row in await wechat.requests()] == ["busy", "busy", "40226", None]


async def test_a_fault_by_chance_stands_until_the_reset() -> None:
    async with simulated(seed=3) as wechat:
        await wechat.fault("busy", probability=0.5)
        errcodes = [(await wechat.redeem("unknown"))["errcode"] for _ in range(60)]
        assert set(errcodes) == {-1, 40029}
        await wechat.control("reset")
        assert (await wechat.redeem("unknown"))["errcode"] == 40029


async def test_counted_faults_come_before_standing_ones() -> None:
    async with simulated() as wechat:
        await wechat.fault("busy", probability=1)
        await wechat.fault(45009)
        assert [(await wechat.redeem("unknown"))["errcode"] for _ in range(2)] == [45009, -1]


@pytest.mark.parametrize("kind", [-1, "busy", "45011", 40125, 40013, 40164, 99999])
async def test_a_number_of_wechats_is_answered_in_wechats_form_and_leaves_the_code_fresh(kind: str | int) -> None:
    async with simulated() as wechat:
        code = await wechat.code()
        await wechat.fault(kind)
        answer, body = await wechat.ask(code)
        refusal = json.loads(body)
        assert answer.status == 200
        assert refusal["errcode"] == (-1 if kind == "busy" else int(kind))
        assert ", rid: " in refusal["errmsg"]
        assert "openid" in await wechat.redeem(code)


async def test_a_busy_answer_can_be_told_to_spend_the_code() -> None:
    async with simulated() as wechat:
        code = await wechat.code()
        await wechat.fault("busy", spend=True)
        assert [(await wechat.redeem(code))["errcode"] for _ in range(2)] == [-1, 40163]


# Answers with the wrong thing inside


@pytest.mark.parametrize("status", [500, 502, 503, 504, 404, 403])
async def test_a_gateways_status_comes_with_a_page(status: int) -> None:
    async with simulated() as wechat:
        code = await wechat.code()
        await wechat.fault(f"http_{status}")
        answer, body = await wechat.ask(code)
        assert answer.status == status
        assert body.startswith(b"<html>")
        assert "openid" in await wechat.redeem(code)


async def test_no_content_has_no_content() -> None:
    async with simulated() as wechat:
        await wechat.fault("http_204")
        answer, body = await wechat.ask("any")
        assert (answer.status, body) == (204, b"")


@pytest.mark.parametrize(("kind", "expected"), [("empty", b""), ("html", b"<html>"), ("no_openid", b"{}")])
async def test_an_unusable_answer_is_http_200_and_leaves_the_code_fresh(kind: str, expected: bytes) -> None:
    async with simulated() as wechat:
        code = await wechat.code()
        await wechat.fault(kind)
        answer, body = await wechat.ask(code)
        assert answer.status == 200
        assert body[: max(1, len(expected))] == expected
        assert "openid" in await wechat.redeem(code)


@pytest.mark.parametrize(("kind", "lenient"), [("truncated", None), ("array", list), ("bad_utf8", None)])
async def test_a_spoilt_answer_spends_the_code(kind: str, lenient: type | None) -> None:
    async with simulated() as wechat:
        code = await wechat.code()
        await wechat.fault(kind)
        answer, body = await wechat.ask(code)
        assert answer.status == 200
        assert b"session_key" in body
        if lenient is None:
            with pytest.raises(ValueError, match=r"."):
                json.loads(body.decode())
        else:
            assert isinstance(json.loads(body), lenient)
        assert (await wechat.redeem(code))["errcode"] == 40163


async def test_a_wrong_content_type_stands_before_the_right_answer() -> None:
    async with simulated() as wechat:
        await wechat.fault("content_type", content_type="image/png")
        answer, body = await wechat.ask(await wechat.code())
        assert answer.headers["Content-Type"] == "image/png"
        assert "openid" in json.loads(body)


async def test_an_errcode_can_come_in_quotes() -> None:
    async with simulated() as wechat:
        await wechat.fault("string_errcode")
        await wechat.fault("string_errcode", errcode=40163)
        assert [(await wechat.redeem("any"))["errcode"] for _ in range(2)] == ["40029", "40163"]


@pytest.mark.parametrize(
    "body", ["", '{"openid":5}', '{"a":1}{"b":2}', '{"openid":NaN}', "\u0000<script>😀", "x" * 10**6]
)
async def test_any_body_can_be_put_into_wechats_mouth(body: str) -> None:
    async with simulated() as wechat:
        await wechat.fault("answer", body=body, status=201, content_type="application/json")
        answer, received = await wechat.ask("any")
        assert received.decode() == body
        assert (answer.status, answer.headers["Content-Type"]) == (201, "application/json")


async def test_the_one_who_follows_a_redirect_is_counted() -> None:
    async with simulated() as wechat:
        await wechat.fault("redirect")
        await wechat.fault("redirect", status=307)
        answer, _ = await wechat.ask("any")
        assert (answer.status, (await wechat.control("log"))["redirected"]) == (302, 0)
        async with wechat.http.get(wechat.base + PATH) as followed:
            assert "openid" in await followed.json(content_type=None)
        log = await wechat.control("log")
        assert (log["redirected"], log["counts"]) == (1, {PATH: 2})


async def test_a_gzip_bomb_is_small_on_the_wire_and_fifty_megabytes_inside() -> None:
    async with simulated() as wechat:
        await wechat.fault("gzip_bomb")
        answer, body = await wechat.ask(await wechat.code())
        assert answer.headers["Content-Encoding"] == "gzip"
        assert len(body) < 1_000_000
        unpacked = gzip.decompress(body)
        assert len(unpacked) > 50_000_000
        assert "openid" in json.loads(unpacked), "whoever unpacks it without a limit logs the person in"


# Faults of the connection


async def test_a_latency_delays_the_right_answer() -> None:
    async with simulated() as wechat:
        code = await wechat.code()
        await wechat.fault("latency", seconds=0.3, jitter_seconds=0.1)
        begun = time.monotonic()
        assert "openid" in await wechat.redeem(code)
        assert time.monotonic() - begun >= 0.3


@pytest.mark.parametrize(("kind", "errcode"), [("close", None), ("lost", 40163)])
async def test_a_cut_connection_gives_no_byte_and_only_lost_spends_the_code(kind: str, errcode: int | None) -> None:
    async with simulated() as wechat:
        code = await wechat.code()
        await wechat.fault(kind)
        reader, writer = await raw(wechat, code)
        assert await reader.read() == b""
        writer.close()
        assert (await wechat.redeem(code)).get("errcode") == errcode
        assert (await wechat.requests())[0]["errcode"] is None


async def test_a_stall_before_the_headers_is_silent_and_ends_in_a_cut() -> None:
    async with simulated() as wechat:
        code = await wechat.code()
        await wechat.fault("stall_headers", seconds=0.3)
        begun = time.monotonic()
        reader, writer = await raw(wechat, code)
        assert await reader.read() == b""
        assert time.monotonic() - begun >= 0.3
        writer.close()
        assert "openid" in await wechat.redeem(code)


async def test_a_stall_in_the_body_breaks_off_in_the_middle() -> None:
    async with simulated() as wechat:
        code = await wechat.code()
        await wechat.fault("stall_body", seconds=0.1)
        reader, writer = await raw(wechat, code)
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        announced = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        assert head.startswith(b"HTTP/1.1 200 OK")
        assert 0 < len(body) < announced
        assert (await wechat.redeem(code))["errcode"] == 40163


async def test_a_drip_comes_byte_by_byte_and_is_whole_in_the_end() -> None:
    async with simulated() as wechat:
        await wechat.fault("drip", seconds=0.005)
        begun = time.monotonic()
        person = await wechat.redeem(await wechat.code())
        assert "openid" in person
        assert time.monotonic() - begun >= 0.005 * len(json.dumps(person, separators=(",", ":"))) / 2


@pytest.mark.parametrize("size", [{}, {"bytes": 30_000_001}])
async def test_a_huge_answer_has_its_size_and_is_a_good_login_all_the_same(size: dict[str, int]) -> None:
    async with simulated() as wechat:
        await wechat.fault("huge", **size)
        _, body = await wechat.ask(await wechat.code())
        assert len(body) == size.get("bytes", 10_000_000)
        assert "openid" in json.loads(body)


async def test_a_flood_stops_when_its_reader_leaves() -> None:
    async with simulated() as wechat:
        await wechat.fault("huge", bytes=1_000_000_000)
        reader, writer = await raw(wechat, await wechat.code())
        assert await reader.readexactly(100_000)
        writer.close()
        assert "openid" in await wechat.redeem(await wechat.code())


@pytest.mark.parametrize("kind", ["stall_headers", "stall_body", "latency", "drip"])
async def test_a_stall_ends_when_its_caller_leaves(kind: str) -> None:
    async with simulated() as wechat:
        await wechat.fault(kind, seconds=60)
        _, writer = await raw(wechat, await wechat.code())
        await wechat.until_waiting(1)
        writer.close()
        await wechat.until_waiting(0)


async def test_a_reset_lets_everybody_go_who_is_kept_waiting() -> None:
    async with simulated() as wechat:
        await wechat.fault("stall_headers", n=3, seconds=60)
        callers = [await raw(wechat, "any") for _ in range(3)]
        await wechat.until_waiting(3)
        await wechat.control("reset")
        for reader, writer in callers:
            assert await reader.read() == b""
            writer.close()


async def test_five_hundred_stalls_do_not_stop_the_control_calls() -> None:
    async with simulated() as wechat:
        await wechat.fault("stall_headers", n=500, seconds=60)
        callers = [await raw(wechat, "any") for _ in range(500)]
        await wechat.until_waiting(500)
        assert "openid" in await wechat.redeem(await wechat.code())
        for _, writer in callers:
            writer.close()
        await wechat.until_waiting(0)


async def test_a_refusing_port_refuses_everybody_and_opens_again_on_the_same_number() -> None:
    async with simulated() as wechat:
        code = await wechat.code()
        idle, idle_writer = await raw(wechat, "any")
        assert await idle.readline() == b"HTTP/1.1 200 OK\r\n"
        begun = time.monotonic()
        await wechat.fault("refuse", seconds=0.5)
        await idle.read()
        idle_writer.close()
        outcomes: list[Any] = []
        while not outcomes or isinstance(outcomes[-1], OSError):
            try:
                _, writer = await asyncio.open_connection(wechat.host, wechat.port)
                writer.close()
                outcomes.append(time.monotonic() - begun)
            except ConnectionRefusedError as refused:
                outcomes.append(refused)
                await asyncio.sleep(0.02)
        assert len(outcomes) > 1, "at least one caller was refused"
        assert outcomes[-1] >= 0.5
        assert "openid" in await wechat.redeem(code)


async def test_a_simulator_can_be_closed_while_its_port_refuses() -> None:
    async with simulated() as wechat:
        await wechat.fault("refuse", seconds=60)
        await wechat.simulator.close()
        with pytest.raises(aiohttp.ClientConnectorError):
            await wechat.ask("any")
