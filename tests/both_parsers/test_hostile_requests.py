"""Requests that proxies and servers have read in different ways, byte by byte, to both parsers (CWE-444)."""

import pytest
from product import Product
from rawsocket import Raw, request
from verdicts import succeeded

HOST = b"Host: 127.0.0.1\r\n"
FOLLOWING = request("GET", "/healthz", "X-Request-Id: smuggled-in-here")


def _post(*lines: bytes, body: bytes = b"") -> bytes:
    return b"POST /api/verify HTTP/1.1\r\n" + HOST + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


def _get(*lines: bytes) -> bytes:
    return b"GET /healthz HTTP/1.1\r\n" + HOST + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


CHUNKED = b"Transfer-Encoding: chunked"

UNCLEAR = {
    "a length beside chunks": _post(b"Content-Length: 3", CHUNKED, body=b"0\r\n\r\n"),
    "chunks beside a length": _post(CHUNKED, b"Content-Length: 3", body=b"0\r\n\r\n"),
    "two lengths": _post(b"Content-Length: 3", b"Content-Length: 4", body=b"abcd"),
    "two lengths in one line": _post(b"Content-Length: 3, 4", body=b"abcd"),
    "a length with a sign": _post(b"Content-Length: +3", body=b"abc"),
    "a negative length": _post(b"Content-Length: -3", body=b"abc"),
    "a length in hexadecimal": _post(b"Content-Length: 0x3", body=b"abc"),
    "a length with a blank": _post(b"Content-Length: 1 2", body=b"abc"),
    "an empty length": _post(b"Content-Length:", body=b"abc"),
    "a length in digits of another script": _post("Content-Length: ٣".encode(), body=b"abc"),
    "xchunked": _post(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"),
    "identity": _post(b"Transfer-Encoding: identity", body=b"0\r\n\r\n"),
    "gzip, chunked": _post(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"),
    "chunked twice": _post(CHUNKED, CHUNKED, body=b"0\r\n\r\n"),
    "chunked with a tab before it": _post(b"Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n"),
    "a blank before the colon": _post(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n"),
    "a blank in a name": _get(b"X Y: 1"),
    "no colon": _get(b"Xyz"),
    "no name": _get(b": 1"),
    "a folded line": _get(b"X: 1", b" 2"),
    "a folded line after nothing": _get(b"X:", b"\t2"),
    "a folded first line": b"GET /healthz HTTP/1.1\r\n X: 1\r\n" + HOST + b"\r\n",
    "a NUL in a value": _get(b"X: a\x00b"),
    "a NUL in a name": _get(b"X\x00: ab"),
    "a control character in a value": _get(b"X: a\x01b"),
    "a DEL in a value": _get(b"X: a\x7fb"),
    "a carriage return in a value": _get(b"X: a\rb"),
    "a carriage return before the end": b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: 1\r\r\n\r\n",
    "a bare line feed after the first line": b"GET /healthz HTTP/1.1\n" + HOST + b"\r\n",
    "a bare line feed after a field": b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\nX: 1\r\n\r\n",
    "a bare line feed at the end": b"GET /healthz HTTP/1.1\r\n" + HOST + b"\n",
    "bare line feeds alone": b"GET /healthz HTTP/1.1\nHost: 127.0.0.1\n\n",
    "two blanks before the target": b"GET  /healthz HTTP/1.1\r\n" + HOST + b"\r\n",
    "two blanks after the target": b"GET /healthz  HTTP/1.1\r\n" + HOST + b"\r\n",
    "a tab in the first line": b"GET\t/healthz HTTP/1.1\r\n" + HOST + b"\r\n",
    "a blank after the version": b"GET /healthz HTTP/1.1 \r\n" + HOST + b"\r\n",
    "a control character in the target": b"GET /health\x01z HTTP/1.1\r\n" + HOST + b"\r\n",
    "no version": b"GET /healthz\r\n" + HOST + b"\r\n",
    "HTTP/2.0": b"GET /healthz HTTP/2.0\r\n" + HOST + b"\r\n",
    "HTTP/0.9": b"GET /healthz HTTP/0.9\r\n" + HOST + b"\r\n",
    "http/1.1": b"GET /healthz http/1.1\r\n" + HOST + b"\r\n",
    "another protocol": b"GET /healthz RTSP/1.0\r\n" + HOST + b"\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40) + b"\r\n\r\n",
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /healthz HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
    "a host with a blank": b"GET /healthz HTTP/1.1\r\nHost: a b\r\n\r\n",
    "no host on the hot road": b"GET /api/verify HTTP/1.1\r\n\r\n",
    "two hosts on the hot road": b"GET /api/verify HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
    "a host with a blank on the hot road": b"GET /api/verify HTTP/1.1\r\nHost: a b\r\n\r\n",
}

CHUNK_TRICKS = {
    "a prefix": b"0x3\r\nabc\r\n0\r\n\r\n",
    "a sign": b"+3\r\nabc\r\n0\r\n\r\n",
    "a minus": b"-3\r\nabc\r\n0\r\n\r\n",
    "an underscore": b"0_3\r\nabc\r\n0\r\n\r\n",
    "no number": b"g\r\nabc\r\n0\r\n\r\n",
    "nothing": b"\r\nabc\r\n0\r\n\r\n",
    "a blank before": b" 3\r\nabc\r\n0\r\n\r\n",
    "a blank after": b"3 \r\nabc\r\n0\r\n\r\n",
    "an extension": b"3;a=b\r\nabc\r\n0\r\n\r\n",
    "a bare line feed in an extension": b"3;\nabc\r\n0\r\n\r\n",
    "a bare line feed after the size": b"3\nabc\r\n0\r\n\r\n",
    "a bare line feed after the data": b"3\r\nabc\n0\r\n\r\n",
    "more data than it says": b"3\r\nabcd\r\n0\r\n\r\n",
    "a trailer": b"0\r\nX-Late: 1\r\n\r\n",
    "a bare line feed at the end": b"0\r\n\n",
}


async def _what_follows(at: Product, sent: bytes) -> bytes:
    raw = await Raw.to(at)
    try:
        await raw.say(sent, FOLLOWING)
        return await raw.rest()
    finally:
        await raw.close()


@pytest.mark.gen_test
@pytest.mark.parametrize("sent", UNCLEAR.values(), ids=UNCLEAR.keys())
async def test_an_unclear_request_is_refused_and_nothing_after_it_is_read(either: Product, sent: bytes) -> None:
    heard = await _what_follows(either, sent)
    assert heard.startswith(b"HTTP/1.1 400 ")
    assert heard.count(b"HTTP/1.1 ") == 1
    assert b"smuggled" not in heard


@pytest.mark.gen_test
@pytest.mark.parametrize("chunks", CHUNK_TRICKS.values(), ids=CHUNK_TRICKS.keys())
async def test_unclear_chunks_are_refused_and_nothing_after_them_is_read(either: Product, chunks: bytes) -> None:
    heard = await _what_follows(either, _post(b"Content-Type: application/json", CHUNKED, body=chunks))
    assert heard.startswith(b"HTTP/1.1 400 ")
    assert heard.count(b"HTTP/1.1 ") == 1
    assert b"smuggled" not in heard


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "sent", [b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: " + b"x" * 17_000 + b"\r\n\r\n", b"G" * 17_000]
)
async def test_a_head_over_the_limit_ends_the_connection(either: Product, sent: bytes) -> None:
    heard = await _what_follows(either, sent)
    assert heard == b"" or heard.startswith(b"HTTP/1.1 431 ")


@pytest.mark.gen_test
async def test_a_body_that_was_not_wanted_is_not_read_as_a_request(either: Product) -> None:
    inner = FOLLOWING
    sent = b"GET /healthz HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(inner) + inner
    raw = await Raw.to(either)
    await raw.say(sent, request("GET", "/healthz", "X-Request-Id: the-next-one"))
    first = await raw.hear()
    assert first.headers["X-Request-Id"] != "smuggled-in-here"
    answer = await raw.hear()
    assert succeeded(answer) == {}
    assert answer.headers["X-Request-Id"] == "the-next-one"
    await raw.close()


@pytest.mark.gen_test
@pytest.mark.parametrize("protocol", ["websocket", "h2c"])
async def test_an_offer_of_another_protocol_is_not_taken_up(either: Product, protocol: str) -> None:
    raw = await Raw.to(either)
    for _ in range(2):
        await raw.say(request("GET", "/healthz", "Connection: Upgrade, HTTP2-Settings", f"Upgrade: {protocol}"))
        succeeded(await raw.hear())
    await raw.close()


@pytest.mark.gen_test
@pytest.mark.parametrize("method", ["FOO", "get", "CONNECT", "SOURCE", "M-SEARCH", "TRACE"])
async def test_a_method_that_nobody_has_gets_our_own_answer(either: Product, method: str) -> None:
    raw = await Raw.to(either)
    for _ in range(2):
        await raw.say(request(method, "/api/verify"))
        assert (await raw.hear()).json["errcode"] == 405001
    await raw.close()
