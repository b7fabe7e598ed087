"""How long a connection lives, and that answers come in the order of the requests, on both parsers."""

import asyncio

import pytest
from phone import Answer, Network, Phone, WeChat
from product import Product
from rawsocket import Raw, request
from verdicts import refused, succeeded


async def _logged_in(at: Product, wechat: WeChat, network: Network) -> Phone:
    phone = Phone(at, wechat, network, address="127.0.0.1")
    succeeded(await phone.login())
    return phone


@pytest.mark.gen_test
async def test_one_connection_serves_many_requests(either: Product) -> None:
    raw = await Raw.to(either)
    for _ in range(150):
        await raw.say(request("GET", "/healthz"))
        succeeded(await raw.hear())
    await raw.close()


@pytest.mark.gen_test
async def test_pipelined_answers_come_in_order(either: Product, wechat: WeChat, network: Network) -> None:
    phone = await _logged_in(either, wechat, network)
    bearer = f"Authorization: Bearer {phone.token}"
    asked = [("GET", "/api/verify", bearer), ("GET", "/healthz", "A: b"), ("GET", "/api/nothing", bearer)] * 30
    raw = await Raw.to(either)
    await raw.say(*[request(*each, f"X-Request-Id: number-{n:04}") for n, each in enumerate(asked)])
    for n, (_, path, _) in enumerate(asked):
        answer = await raw.hear()
        assert answer.headers["X-Request-Id"] == f"number-{n:04}"
        assert answer.status == (404 if path == "/api/nothing" else 200)
    await raw.close()


@pytest.mark.gen_test
async def test_more_pipelined_requests_than_the_server_holds_are_all_answered(either: Product) -> None:
    raw = await Raw.to(either)
    padding = "X: " + "x" * 8000
    pipelined = [request("GET", "/healthz", padding) for _ in range(100)]
    async with asyncio.TaskGroup() as group:
        group.create_task(raw.say(*pipelined))
        for _ in pipelined:
            succeeded(await raw.hear())
    await raw.close()


@pytest.mark.gen_test
async def test_a_request_may_come_byte_by_byte(either: Product) -> None:
    raw = await Raw.to(either)
    body = b'{"token":"mps_x"}'
    for byte in request("POST", "/api/verify", "Content-Type: application/json", body=body):
        await raw.say(bytes([byte]))
        await asyncio.sleep(0)
    refused(await raw.hear(), 401002)
    await raw.close()


@pytest.mark.gen_test
@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_a_body_may_come_in_chunks_and_a_request_after_it(
    either: Product, wechat: WeChat, network: Network, size: int
) -> None:
    phone = await _logged_in(either, wechat, network)
    body = b'{"token":"%b"}' % str(phone.token).encode()
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    chunks = b"".join(b"%X\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    head = request("POST", "/api/verify", "Content-Type: application/json", "Transfer-Encoding: Chunked")
    raw = await Raw.to(either)
    await raw.say(head, chunks, head, chunks)
    for _ in range(2):
        assert succeeded(await raw.hear())["user_id"]
    await raw.close()


@pytest.mark.gen_test
async def test_empty_lines_before_a_request_are_overlooked(either: Product) -> None:
    raw = await Raw.to(either)
    await raw.say(request("GET", "/healthz"))
    succeeded(await raw.hear())
    await raw.say(b"\r\n", request("GET", "/healthz"))
    succeeded(await raw.hear())
    await raw.close()


@pytest.mark.gen_test
@pytest.mark.parametrize("path", ["/healthz", "/api/verify"])
async def test_connection_close_ends_it_after_the_answer(either: Product, path: str) -> None:
    raw = await Raw.to(either)
    await raw.say(request("GET", path, "Connection: close"), request("GET", "/healthz"))
    heard = await raw.rest()
    await raw.close()
    assert heard.count(b"HTTP/1.1 ") == 1
    assert b"\r\nConnection: close\r\n" in heard


@pytest.mark.gen_test
async def test_http_1_0_is_one_request_unless_it_asks_for_more(either: Product) -> None:
    raw = await Raw.to(either)
    await raw.say(b"GET /healthz HTTP/1.0\r\n\r\n")
    assert (await raw.rest()).count(b'"errcode":0') == 1
    await raw.close()
    raw = await Raw.to(either)
    for _ in range(2):
        await raw.say(b"GET /api/verify HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        answer = await raw.hear()
        refused(answer, 401001)
        assert answer.headers["Connection"] == "Keep-Alive"
    await raw.close()


@pytest.mark.gen_test
async def test_the_head_of_an_answer_is_followed_by_the_next_answer(either: Product) -> None:
    raw = await Raw.to(either)
    await raw.say(request("HEAD", "/api/verify"), request("GET", "/healthz"))
    answer = await raw.hear(body=False)
    assert (answer.status, int(answer.headers["Content-Length"]) > 0) == (401, True)
    succeeded(await raw.hear())
    await raw.close()


@pytest.mark.gen_test
async def test_a_hundred_continue_comes_for_a_body_that_is_wanted(either: Product) -> None:
    body = b'{"token":"mps_x"}'
    whole = request("POST", "/api/verify", "Content-Type: application/json", "Expect: 100-continue", body=body)
    raw = await Raw.to(either)
    await raw.say(whole.removesuffix(body))
    assert (await raw.hear()).status == 100
    await raw.say(body)
    refused(await raw.hear(), 401002)
    await raw.close()


@pytest.mark.gen_test
async def test_the_answers_of_both_roads_have_the_same_headers(either: Product) -> None:
    hot, ordinary = await Raw.to(either), await Raw.to(either)
    await hot.say(request("GET", "/api/verify"))
    await ordinary.say(request("GET", "/api/me"))
    one, other = await hot.hear(), await ordinary.hear()
    assert _fixed(one) == _fixed(other)
    assert {**one.json, "request_id": ""} == {**other.json, "request_id": ""}
    await hot.close()
    await ordinary.close()


def _fixed(answer: Answer) -> dict[str, str]:
    """The headers of an answer; Tornado spells one of them in its own way."""
    changing = {"x-request-id", "date"}
    found = {name.lower(): value for name, value in answer.headers.items()}
    assert changing <= found.keys()
    return {name: value for name, value in found.items() if name not in changing}
