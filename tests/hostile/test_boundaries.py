"""Where one request ends and the next begins (request smuggling): whatever could be read in two ways is not answered.

The probe: the ambiguous request is followed by a whole one on the same connection. Either the first is refused and the
connection ends, or both are answered in order; the second must never be taken for a part of the first, or the reverse.
"""

import asyncio
import json
import re

import pytest
from phone import Network, Phone, WeChat
from product import Product
from rawsocket import Raw, exchange, request
from verdicts import refused, succeeded

POST = b"POST /api/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
INNER = b"GET /api/inner HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
AMBIGUOUS = {
    "a length and chunks": POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and a length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    "chunks twice": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and another coding": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "an unknown coding": POST + b"Transfer-Encoding: xchunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "a coding after a control": POST + b"Transfer-Encoding: \x0bchunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "a coding before a space": POST + b"Transfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 5\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
    "a list of two lengths": POST + b"Content-Length: 5, 0\r\n\r\n0\r\n\r\n",
    "a length with a sign": POST + b"Content-Length: +5\r\n\r\n0\r\n\r\n",
    "a negative length": POST + b"Content-Length: -5\r\n\r\n0\r\n\r\n",
    "a length in hexadecimal": POST + b"Content-Length: 0x5\r\n\r\n0\r\n\r\n",
    "a length with a low line": POST + b"Content-Length: 0_5\r\n\r\n0\r\n\r\n",
    "an empty length": POST + b"Content-Length: \r\n\r\n0\r\n\r\n",
    "a length in other digits": POST + "Content-Length: ٥\r\n\r\n0\r\n\r\n".encode(),
    "a chunk with a sign": CHUNKED + b"+5\r\nabcde\r\n0\r\n\r\n",
    "a chunk with 0x": CHUNKED + b"0x5\r\nabcde\r\n0\r\n\r\n",
    "a chunk with a low line": CHUNKED + b"0_5\r\nabcde\r\n0\r\n\r\n",
    "a negative chunk": CHUNKED + b"-5\r\nabcde\r\n0\r\n\r\n",
    "a huge chunk": CHUNKED + b"ffffffffffffffffff\r\nabcde\r\n0\r\n\r\n",
    "a chunk without its end": CHUNKED + b"5\r\nabcdeX\r\n0\r\n\r\n",
    "a chunk that ends in a bare line feed": CHUNKED + b"5\nabcde\n0\n\n",
    "a name with a space": POST + b"Bad Name: x\r\nContent-Length: 0\r\n\r\n",
    "a zero byte": POST + b"X: a\x00b\r\nContent-Length: 0\r\n\r\n",
    "two hosts": b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "bare line feeds": b"GET /healthz HTTP/1.1\nHost: 127.0.0.1\n\n",
    "one bare line feed": b"GET /healthz HTTP/1.1\r\nX: a\nHost: 127.0.0.1\r\n\r\n",
    "a bare line feed before a length": POST + b"X: y\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "an end of two line feeds": b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\n\n",
    "a lone carriage return": b"GET /healthz HTTP/1.1\r\nX: a\rHost: b\r\nHost: 127.0.0.1\r\n\r\n",
}  # fmt: skip
STATUS = re.compile(rb"HTTP/1\.1 (\d{3})")


async def all_that_comes(target: Product, sent: bytes) -> bytes:
    raw = await Raw.to(target)
    heard = b""
    try:
        await raw.say(sent)
        async with asyncio.timeout(1):
            while piece := await raw.reader.read(65_536):
                heard += piece
        return heard + b"(closed)"
    except TimeoutError:
        return heard
    except ConnectionError:
        return heard + b"(closed)"
    finally:
        await raw.close()


@pytest.mark.gen_test
async def test_what_could_be_read_in_two_ways_is_refused_and_ends_the_connection(target: Product) -> None:
    for what, sent in AMBIGUOUS.items():
        heard = await all_that_comes(target, sent + INNER)
        statuses = [int(status) for status in STATUS.findall(heard)]
        assert b"(closed)" in heard, what
        assert b" 404 " not in heard, f"{what}: what came after it was read as a request"
        assert all(400 <= status < 500 for status in statuses), (what, statuses)
        assert len(statuses) <= 1, (what, heard)
    target.check_log()


@pytest.mark.gen_test
async def test_a_folded_header_is_never_two_headers(target: Product) -> None:
    heard = await all_that_comes(
        target, b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX: a\r\n Host: b\r\n\r\n" + INNER
    )
    assert [int(status) for status in STATUS.findall(heard)] in ([400], [200, 404])


@pytest.mark.gen_test
async def test_a_bare_line_feed_gets_400_and_the_end(target: Product) -> None:
    raw = await Raw.to(target)
    await raw.say(b"GET /api/verify HTTP/1.1\nHost: 127.0.0.1\n\n")
    answer = await raw.hear()
    assert await raw.rest() == b""
    await raw.close()
    assert answer.status == 400
    if answer.body:  # a parser that refuses it by itself has no body to give
        refused(answer, 400001)
        assert answer.headers["Connection"] == "close"


@pytest.mark.gen_test
async def test_a_length_on_a_get_is_skipped_and_the_next_request_is_its_own(target: Product) -> None:
    first = request("GET", "/healthz", body=b"0123456789")
    raw = await Raw.to(target)
    await raw.say(first, INNER)
    assert (await raw.hear()).status in (200, 415)
    refused(await raw.hear(), 404001)
    await raw.close()


@pytest.mark.gen_test
async def test_a_hundred_requests_in_one_piece_are_answered_in_order(
    target: Product, wechat: WeChat, network: Network
) -> None:
    mei, lin = Phone(target, wechat, network), Phone(target, wechat, network)
    owners = [succeeded(await each.login())["user"]["id"] for each in (mei, lin)]
    raw = await Raw.to(target)
    tokens = [mei.token, lin.token] * 50
    await raw.say(*(request("GET", "/api/verify", f"Authorization: Bearer {token}") for token in tokens))
    heard = [json.loads((await raw.hear()).body)["user_id"] for _ in tokens]
    assert heard == owners * 50
    await raw.close()


@pytest.mark.gen_test
@pytest.mark.parametrize("target_path", ["/", "/api/verify", "/admin/signin", "/admin/live"])
async def test_a_wish_for_another_protocol_is_passed_over(target: Product, target_path: str) -> None:
    for wish in ("websocket", "h2c"):
        answer = await exchange(target, request("GET", target_path, f"Upgrade: {wish}", "Connection: Upgrade"))
        assert answer.status in (200, 302, 303, 400, 401, 404, 426)
        assert "Upgrade" not in answer.headers


@pytest.mark.gen_test
async def test_a_preface_of_http_2_is_refused(target: Product) -> None:
    heard = await all_that_comes(target, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert heard.startswith(b"HTTP/1.1 400 ")
    assert heard.endswith(b"(closed)")
