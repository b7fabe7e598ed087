"""Peers that are slow, never listen, or bring far too much: each is let go of in time, and the others are served."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from parsers import PARSERS
from phone import Network, Phone, WeChat
from product import Product
from rawsocket import Raw, exchange, request
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler
from verdicts import succeeded

from handlers import lines
from handlers.lines import HEAD_SECONDS
from hostile.mutations import good_requests, mutations, resident_bytes, throw

CUT_SECONDS = 15  # the promise, for heads and bodies alike
PEERS = 40


async def dripped(target: Product, start: bytes, drop: bytes) -> float:
    """Send a beginning, then a byte each half second; return after how many seconds the server hung up."""
    raw = await Raw.to(target)
    began = time.monotonic()
    await raw.say(start)
    try:
        while True:
            async with asyncio.timeout(0.5):
                if await raw.reader.read(1_000) == b"":
                    return time.monotonic() - began
            raise AssertionError("a request without an end was answered")
    except TimeoutError:
        pass
    try:
        while time.monotonic() - began < 3 * CUT_SECONDS:
            await raw.say(drop)
            try:
                async with asyncio.timeout(0.5):
                    if await raw.reader.read(1_000) == b"":
                        return time.monotonic() - began
            except TimeoutError:
                continue
    except ConnectionError:
        return time.monotonic() - began
    finally:
        await raw.close()
    raise AssertionError(f"{start[:40]!r} was never cut")


async def dripping_while_others_are_served(target: Product, wechat: WeChat, network: Network) -> list[float]:
    """Let many heads and bodies drip, and a person be served; return after how many seconds each drip was cut."""
    mei = Phone(target, wechat, network)
    succeeded(await mei.login())
    head = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: a"
    body = b"POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{"
    slow = [asyncio.create_task(dripped(target, start, b"a")) for start in (head, body) for _ in range(PEERS)]
    await asyncio.sleep(1)
    for _ in range(20):
        succeeded(await mei.verify())
    return await asyncio.gather(*slow)


async def asking_before_and_after_a_pause(target: Product) -> list[int]:
    """Return the statuses of two requests on one connection, with more time between them than a head may take."""
    raw = await Raw.to(target)
    statuses = []
    for pause in (0, HEAD_SECONDS + 2):
        await asyncio.sleep(pause)
        await raw.say(request("GET", "/healthz"))
        statuses.append((await raw.hear()).status)
    await raw.close()
    return statuses


async def all_waits(targets: dict[str, Product]) -> dict[str, list[Any]]:
    """Return what comes of the waits with each parser, or why they failed; all of them wait at once."""
    network = Network()
    wechat = WeChat(next(iter(targets.values())).settings["WECHAT_BASE"], network)
    await wechat.reset()
    each: dict[str, Any] = {
        parser: asyncio.gather(
            dripping_while_others_are_served(target, wechat, network),
            asking_before_and_after_a_pause(target),
            return_exceptions=True,
        )
        for parser, target in targets.items()
    }
    try:
        async with asyncio.timeout(60):
            return dict(zip(each, await asyncio.gather(*each.values()), strict=True))
    finally:
        await network.close()


@pytest.fixture(scope="module")
def waits(target_of: Callable[[str], Product]) -> dict[str, list[Any]]:
    """Wait once for all the limits of time that this file is about."""
    targets = {parser: target_of(parser) for parser in PARSERS}
    waited = asyncio.run(all_waits(targets))
    for target in targets.values():
        target.check_log()
    return waited


def outcome(waited: Any) -> Any:
    """Return what a wait gave; raises what it raised."""
    if isinstance(waited, BaseException):
        raise waited
    return waited


@pytest.mark.parametrize("parser", PARSERS)
def test_a_head_or_a_body_that_drips_is_cut_and_the_others_are_served(waits: dict[str, list[Any]], parser: str) -> None:
    lasted = outcome(waits[parser][0])
    assert len(lasted) == 2 * PEERS
    assert max(lasted) < 3 * CUT_SECONDS
    assert min(lasted) > 5  # not cut in a normal pause of a phone on the road


@pytest.mark.parametrize("parser", PARSERS)
def test_a_connection_that_waits_between_requests_is_kept_longer_than_a_head_may_take(
    waits: dict[str, list[Any]], parser: str
) -> None:
    assert outcome(waits[parser][1]) == [200, 200]


@pytest.mark.gen_test
async def test_heads_that_are_too_large_or_too_many_end_without_an_answer_or_with_a_4xx(
    new_target: Product, wechat: WeChat, network: Network
) -> None:
    mei = Phone(new_target, wechat, network)
    succeeded(await mei.login())
    before = resident_bytes(new_target.pid)
    large = {
        "one header": (f"X: {'a' * 100_000}",),
        "a thousand headers": [f"X-{n}: {n}" for n in range(1_000)],
        "one header a thousand times": ["X-Same: aaaaaaaaaaaaaaaaaa"] * 1_000,
        "a thousand cookies": ["Cookie: " + "; ".join(f"c{n}=v" for n in range(1_000))] * 2,
        "a megabyte of cookie": ("Cookie: " + 'a="\\"' * 200_000,),
    }
    for what, headers in large.items():
        assert await answered(new_target, request("GET", "/api/verify", *headers)) in (None, 400, 401, 431), what
    assert await answered(new_target, request("GET", "/" + "a" * 20_000)) in (None, 400, 414, 431)
    assert await answered(new_target, request("GET", "/?" + "&".join(f"a{n}=1" for n in range(1_001)))) in (
        None,
        400,
        414,
        431,
    )
    succeeded(await mei.verify())
    assert resident_bytes(new_target.pid) - before < 10 * 2**20
    new_target.check_log()


async def answered(target: Product, sent: bytes) -> int | None:
    """Return the status, None when the server hung up without one; no more than a second either way."""
    began = time.monotonic()
    status: int | None = None
    with suppress(ConnectionError, asyncio.IncompleteReadError):
        status = (await exchange(target, sent)).status
    assert time.monotonic() - began < 3
    return status


@pytest.mark.gen_test
async def test_a_cookie_that_fits_is_read_in_no_time(target: Product, network: Network) -> None:
    cookie = "Cookie: " + "a=" + '"\\' * 7_000
    began = time.monotonic()
    assert (await exchange(target, request("GET", "/admin/signin", cookie))).status == 200
    assert time.monotonic() - began < 1


BOMBS = {
    "deep lists": b"[" * 8_000 + b"]" * 8_000,
    "deep objects": b'{"a":' * 2_600 + b"1" + b"}" * 2_600,
    "deep under a key": b'{"code":' + b"[" * 8_000 + b"]" * 8_000 + b"}",
    "many keys": b"{" + b",".join(b'"%d":1' % n for n in range(1_500)) + b"}",
    "a long number": b'{"code":' + b"9" * 16_000 + b"}",
    "a long fraction": b'{"code":0.' + b"9" * 16_000 + b"}",
    "a large exponent": b'{"code":1e' + b"9" * 4_000 + b"}",
    "escapes": b'{"code":"' + b"\\u0061" * 2_600 + b'"}',
    "lone halves of pairs": b'{"code":"' + b"\\ud800" * 2_600 + b'"}',
    "one key again and again": b"{" + b",".join([b'"code":"a"'] * 1_500) + b"}",
}


@pytest.mark.gen_test
@pytest.mark.parametrize("path", ["/api/login", "/api/verify", "/api/decrypt", "/partner/introspect"])
async def test_json_that_is_meant_to_burst_is_a_refusal_at_once(target: Product, path: str) -> None:
    for what, bomb in BOMBS.items():
        began = time.monotonic()
        answer = await exchange(target, request("POST", path, "Content-Type: application/json", body=bomb))
        assert 400 <= answer.status < 500, (what, answer.status)
        assert time.monotonic() - began < 1, what
    target.check_log()


@pytest.mark.gen_test
async def test_whoever_never_reads_his_answers_fills_no_memory(
    new_target: Product, wechat: WeChat, network: Network
) -> None:
    mei = Phone(new_target, wechat, network)
    succeeded(await mei.login())
    before = resident_bytes(new_target.pid)
    raws = [await Raw.to(new_target) for _ in range(10)]
    for raw in raws:
        raw.writer.write(request("GET", "/static/admin.css") * 2_000)  # not drained: the server stops reading us
    await asyncio.sleep(2)
    succeeded(await mei.verify())
    assert resident_bytes(new_target.pid) - before < 30 * 2**20
    for raw in raws:
        await raw.close()
    succeeded(await mei.verify())


@pytest.mark.gen_test
async def test_a_flood_of_bad_requests_writes_little(new_target: Product) -> None:
    good = good_requests("127.0.0.1", "mps_x", {})
    begun = new_target.log_size()
    await throw(new_target, iter([b"GET / HTTP/1.1\r\nHost: x\r\nBad Name: " + b"A" * 500 + b"\r\n\r\n"] * 2_000))
    await throw(new_target, mutations(good, 1_000, seed=7))
    assert new_target.log_size() - begun < 3_000 * 5 * 2**20 // 100_000  # 5 MiB for 100,000


@pytest.mark.gen_test
async def test_whoever_takes_nothing_of_an_answer_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "STUCK_SECONDS", 0.3)

    class Much(RequestHandler):
        def get(self) -> None:
            self.write(b"a" * 30_000_000)

    listener = lines.Listener(Application([("/", Much)]))
    [door] = bind_sockets(0, "127.0.0.1")
    port = door.getsockname()[1]
    listener.add_sockets([door])
    deaf, deaf_writer = await asyncio.open_connection("127.0.0.1", port, limit=1_000)
    slow, slow_writer = await asyncio.open_connection("127.0.0.1", port, limit=500_000)
    for writer in (deaf_writer, slow_writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    heard = 0
    for _ in range(15):  # slower than any phone, and longer than the limit: it is served, because it takes something
        await asyncio.sleep(0.1)
        heard += len(await slow.read(1_000_000))
    while heard < 30_000_000 and (piece := await slow.read(1_000_000)):
        heard += len(piece)
    assert heard >= 30_000_000
    got = 0
    with suppress(ConnectionError):
        while piece := await deaf.read(1_000_000):
            got += len(piece)
    assert got < 30_000_000
    for writer in (deaf_writer, slow_writer):
        writer.close()
    listener.stop()
    await listener.close_all_connections()
