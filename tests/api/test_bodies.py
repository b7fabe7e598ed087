"""Bodies that are too large or wrapped up, and paths where nothing lives."""

import gzip
import json

import pytest
from phone import Phone, WeChat
from product import Product
from rawsocket import Raw, exchange, request
from verdicts import refused, succeeded

pytestmark = pytest.mark.quick
LIMIT = 16 * 1024


@pytest.mark.gen_test
async def test_a_body_up_to_the_limit_is_read_and_one_byte_more_is_refused_with_413001(
    embedded: Product, phone: Phone
) -> None:
    code = await phone.code()
    body = json.dumps({"code": code, "pad": ""}).encode()
    full = json.dumps({"code": code, "pad": "x" * (LIMIT - len(body))}).encode()
    assert len(full) == LIMIT
    refused(await phone.request("POST", "/api/login", data=full + b" "), 413001)
    embedded.never_logged.add(succeeded(await phone.request("POST", "/api/login", data=full))["token"])


@pytest.mark.gen_test
@pytest.mark.parametrize("size", [LIMIT + 1, 200_000_000, 10**18, 10**30])
async def test_no_hundred_continue_comes_for_a_body_over_the_limit(embedded: Product, size: int) -> None:
    head = request(
        "POST", "/api/login", "Content-Type: application/json", f"Content-Length: {size}", "Expect: 100-continue"
    )
    refused(await exchange(embedded, head), 413001)


@pytest.mark.gen_test
async def test_a_hundred_continue_comes_for_a_body_within_the_limit(embedded: Product) -> None:
    raw = await Raw.to(embedded)
    head = request("POST", "/api/login", "Content-Type: application/json", "Content-Length: 12", "Expect: 100-continue")
    await raw.say(head)
    assert (await raw.hear()).status == 100
    await raw.say(b'{"code":"?"}')
    refused(await raw.hear(), 400003)
    await raw.close()


@pytest.mark.gen_test
async def test_a_large_body_is_refused_before_it_is_sent(embedded: Product) -> None:
    head = request("POST", "/api/login", "Content-Type: application/json", f"Content-Length: {50_000_000}")
    refused(await exchange(embedded, head), 413001)


@pytest.mark.gen_test
async def test_a_chunked_body_over_the_limit_is_refused_with_413001(embedded: Product) -> None:
    head = request("POST", "/api/login", "Content-Type: application/json", "Transfer-Encoding: chunked")
    chunk = b"1000\r\n" + b" " * 4096 + b"\r\n"
    refused(await exchange(embedded, head, chunk * 5, b"0\r\n\r\n"), 413001)


@pytest.mark.gen_test
async def test_a_chunked_body_within_the_limit_is_read(embedded: Product) -> None:
    head = request("POST", "/api/login", "Content-Type: application/json", "Transfer-Encoding: chunked")
    refused(await exchange(embedded, head, b'5\r\n{"cod\r\n', b'7\r\ne":"?"}\r\n', b"0\r\n\r\n"), 400003)


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("target", "content_type", "errcode"),
    [
        ("/api/login", "application/json", 413001),
        ("/api/login", "text/plain", 415001),
        ("/api/%00", "text/plain", 404001),
    ],
)
@pytest.mark.parametrize("size", [1_000_000, 1_500_000])
async def test_a_chunked_body_of_any_size_gets_its_answer(
    embedded: Product, target: str, content_type: str, errcode: int, size: int
) -> None:
    raw = await Raw.to(embedded)
    await raw.say(request("POST", target, f"Content-Type: {content_type}", "Transfer-Encoding: chunked"))
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    sent = 0
    while sent < size:
        await raw.say(chunk)
        sent += 65536
    if size < 1_100_000:
        await raw.say(b"0\r\n\r\n")
    answer = await raw.hear()
    refused(answer, errcode)
    assert (answer.headers.get("Connection") == "close") == (size > 1_100_000)
    await raw.close()


@pytest.mark.gen_test
async def test_a_chunk_that_announces_more_than_it_may_is_answered_when_it_comes(embedded: Product) -> None:
    raw = await Raw.to(embedded)
    head = request("POST", "/api/login", "Content-Type: application/json", "Transfer-Encoding: chunked")
    await raw.say(head, b"4000000\r\n", b" " * 1_100_000)
    refused(await raw.hear(), 413001)
    await raw.close()


@pytest.mark.gen_test
async def test_an_endless_chunked_body_is_cut_off(embedded: Product) -> None:
    raw = await Raw.to(embedded)
    await raw.say(request("POST", "/api/login", "Content-Type: application/json", "Transfer-Encoding: chunked"))
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    sent = 0
    try:
        while sent < 200_000_000:
            await raw.say(chunk)
            sent += 65536
    except ConnectionError:
        pass  # hung up on, as it should be
    await raw.close()
    assert sent < 100_000_000


@pytest.mark.gen_test
@pytest.mark.parametrize("coding", ["gzip", "GZIP", "deflate", "br", "identity, gzip"])
async def test_a_compressed_body_is_refused_with_415001_and_never_inflated(
    embedded: Product, phone: Phone, wechat: WeChat, coding: str
) -> None:
    whole = json.dumps({"code": await phone.code()}).encode()
    for body in (gzip.compress(whole), gzip.compress(b" " * 10_000_000), b"\x1f\x8bgarbage", whole):
        answer = await phone.request("POST", "/api/login", data=body, headers={"Content-Encoding": coding})
        refused(answer, 415001)
    assert await wechat.asked() == 0


@pytest.mark.gen_test
async def test_several_content_codings_in_several_headers_are_refused(embedded: Product, phone: Phone) -> None:
    headers = [("Content-Encoding", "identity"), ("Content-Encoding", "gzip")]
    refused(await phone.request("POST", "/api/login", json={"code": "a"}, headers=headers), 415001)


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "path",
    [
        "/api/",
        "/api",
        "/api/nothing",
        "/api/login/",
        "/api/login;x",
        "/api//login",
        "/api/login%00",
        "/api/%6cogin/x",
        "/api/../api/login",
    ],
)
async def test_where_nothing_lives_in_the_api_is_404001(embedded: Product, path: str) -> None:
    for method in ("GET", "POST", "DELETE", "OPTIONS"):
        answer = await exchange(embedded, request(method, path))
        refused(answer, 404001)
        assert path.encode() not in answer.body


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "path",
    [
        "/API/LOGIN",
        "//evil.example/..",
        "/./api/login",
        "/nothing",
        "/.git/config",
        "/settings.py",
        "/static/../settings.py",
        "/static/..%2fsettings.py",
        "/static/%00",
        "/static/",
        "/admin/../server.py",
        "/\\evil.example",
        "/_sim/log",
        "*",
    ],
)
async def test_where_nothing_lives_elsewhere_is_404_and_never_a_redirect(embedded: Product, path: str) -> None:
    for method in ("GET", "POST", "DELETE", "OPTIONS"):
        answer = await exchange(embedded, request(method, path))
        # A file that is only read answers other methods with 405, whether it exists or not.
        assert answer.status == 404 or (path.startswith("/static/") and answer.status in {403, 405})
        assert "Location" not in answer.headers
        assert "Server" not in answer.headers
        assert b"evil" not in answer.body
        assert b"ornado" not in answer.body
        assert b"Traceback" not in answer.body
