"""The calls with an access_token: what is sent, what a refused token leads to, and what is passed on for partners."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qsl, urlsplit

import pytest
from odd_servers import Answer, OddServer, chain, http, in_seconds, on_a_loop, raw, silence, wechat, wechat_that_says

from wechat.calls import CannotRelay, Relayed
from wechat.client import WeChat
from wechat.errors import PhoneCodeRefused, WeChatMisconfigured, WeChatSilent, WeChatTrouble, WeChatUnusable

pytestmark = pytest.mark.quick

FIRST, SECOND = "71_canary-of-the-first-access-token", "72_canary-of-the-second-access-token"
KEY = bytes(range(16))
stale_token = wechat(errcode=40001, errmsg="invalid credential rid: 61783524-6e9fd6bc-59d4a1b8")
fine = wechat(errcode=0, errmsg="ok")


class Tokens:
    """One token, and a second after WeChat has refused it."""

    def __init__(self) -> None:
        self.refused: list[str] = []

    async def token(self, _appid: str, _deadline: float) -> str:
        return FIRST

    async def newer(self, _appid: str, refused: str, _deadline: float) -> str:
        self.refused.append(refused)
        return SECOND


@asynccontextmanager
async def calling(*answers: Answer) -> AsyncIterator[tuple[OddServer, WeChat, Tokens]]:
    async with wechat_that_says(*answers) as (server, client):
        tokens = Tokens()
        client.take_tokens_from(tokens)
        yield server, client, tokens


async def relay(client: WeChat, path: str = "wxa/business/thing", method: str = "GET", **more: object) -> Relayed:
    query, body = more.get("query", ()), more.get("body")
    assert isinstance(query, tuple)
    assert body is None or isinstance(body, bytes)
    return await client.calls.relay("wx1", method, path, query, body, "application/json", in_seconds(2))


def asked(server: OddServer) -> list[tuple[str, list[tuple[str, str]]]]:
    """The paths and queries that came."""
    targets = [urlsplit(request.split(" ")[1]) for request in server.requests]
    return [(target.path, parse_qsl(target.query)) for target in targets]


@on_a_loop
async def test_a_relayed_call_gets_the_token_and_its_answer_comes_back_as_it_was() -> None:
    picture = http(b"\x89PNG\r\n", "200 OK")
    async with calling(picture) as (server, client, _tokens):
        answer = await relay(client, "/wxa/getwxacode", query=(("a", "1"), ("a", "2"), ("Access_Token", "theirs")))
        assert answer == (200, "text/plain", b"\x89PNG\r\n")
        assert asked(server) == [("/wxa/getwxacode", [("access_token", FIRST), ("a", "1"), ("a", "2")])]


@pytest.mark.parametrize("errcode", [40001, 40014, 42001])
@on_a_loop
async def test_a_refused_token_is_replaced_once_and_the_call_repeated_once(errcode: int) -> None:
    async with calling(wechat(errcode=errcode, errmsg="no"), fine) as (server, client, tokens):
        answer = await relay(client, method="POST", body=b'{"x":1}')
        assert json.loads(answer.body) == {"errcode": 0, "errmsg": "ok"}
        assert [dict(query)["access_token"] for _, query in asked(server)] == [FIRST, SECOND]
        assert tokens.refused == [FIRST]


@on_a_loop
async def test_a_partner_sees_a_second_refusal_and_nothing_is_asked_a_third_time() -> None:
    async with calling(stale_token) as (server, client, _tokens):
        answer = await relay(client)
        assert json.loads(answer.body)["errcode"] == 40001
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    "answer", [http(b"<html>", "502 Bad Gateway"), wechat(errcode=45009, errmsg="quota"), http(b"")]
)
@on_a_loop
async def test_what_wechat_says_to_a_partner_is_not_judged(answer: Answer) -> None:
    async with calling(answer) as (server, client, _tokens):
        assert (await relay(client)).status in (200, 502)
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "path",
    [
        *("cgi-bin/token", "/cgi-bin/stable_token", "CGI-BIN/Token", "sns/jscode2session", "wxa/resetusersessionkey"),
        *("", "/", "//x", "a/../b", "../x", "a//b", "a/", "http://x.example/", "x?y=1", "x#y", "x%2fy", "wxa/ü"),
        "a/" * 9 + "b",
    ],
)
@on_a_loop
async def test_paths_that_give_out_secrets_or_are_none_are_not_relayed(path: str) -> None:
    async with calling(fine) as (server, client, _tokens):
        with pytest.raises(CannotRelay):
            await relay(client, path)
        with pytest.raises(CannotRelay):
            await relay(client, "wxa/x", "DELETE")
        assert server.requests == []


@pytest.mark.parametrize(
    ("answer", "trouble"),
    [
        (http(f'{{"echo":"{FIRST}"}}'.encode()), WeChatUnusable),
        (http(b" " * (4 * 1024 * 1024 + 1)), WeChatUnusable),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{", close=True), WeChatUnusable),
        (silence, WeChatSilent),
    ],
)
@on_a_loop
async def test_an_answer_that_is_cut_too_large_late_or_repeats_the_token_is_kept_from_the_partner(
    answer: Answer, trouble: type[WeChatTrouble], caplog: pytest.LogCaptureFixture
) -> None:
    async with calling(answer) as (_server, client, _tokens):
        with pytest.raises(trouble) as told:
            await relay(client)
        assert FIRST not in repr(told.value) + str(told.value) + caplog.text
        assert chain(told.value) == [told.value]


@on_a_loop
async def test_the_phone_s_question_carries_code_and_openid_and_its_number_needs_our_mark() -> None:
    def number(appid: str) -> Answer:
        info = {"phoneNumber": "13580006666", "countryCode": 86, "watermark": {"appid": appid, "timestamp": 1}}
        return wechat(errcode=0, errmsg="ok", phone_info=info)

    async with calling(number("wx1"), number("wx2"), fine) as (server, client, _tokens):
        found = await client.calls.phone_number("wx1", "c0de", "o-mei", in_seconds(2))
        assert found.number == "13580006666"
        assert "13580006666" not in repr(found)
        assert server.requests[0].startswith("POST /wxa/business/getuserphonenumber?access_token=")
        for _ in range(2):
            with pytest.raises(WeChatUnusable):
                await client.calls.phone_number("wx1", "c0de", "o-mei", in_seconds(2))


@pytest.mark.parametrize("errcode", [40029, 40003, 40163])
@on_a_loop
async def test_a_refused_phone_code_has_a_word_of_its_own(errcode: int) -> None:
    async with calling(wechat(errcode=errcode, errmsg="no")) as (server, client, _tokens):
        with pytest.raises(PhoneCodeRefused):
            await client.calls.phone_number("wx1", "c0de", "o-mei", in_seconds(2))
        assert len(server.requests) == 1


@on_a_loop
async def test_the_question_about_a_key_shows_a_signature_and_never_the_key() -> None:
    async with calling(fine, wechat(errcode=87009, errmsg="invalid signature"), wechat(errcode=87007)) as (
        server,
        client,
        _tokens,
    ):
        assert await client.calls.key_holds("wx1", "o-mei", KEY, in_seconds(2))
        assert not await client.calls.key_holds("wx1", "o-mei", KEY, in_seconds(2))
        assert not await client.calls.reset_key("wx1", "o-mei", KEY, in_seconds(2))
        (path, query), *_, (reset, _) = asked(server)
        assert (path, reset) == ("/wxa/checksession", "/wxa/resetusersessionkey")
        assert dict(query) == {
            "access_token": FIRST,
            "openid": "o-mei",
            "sig_method": "hmac_sha256",
            "signature": dict(query)["signature"],
        }
        assert len(dict(query)["signature"]) == 64


@on_a_loop
async def test_refused_calls_are_remembered_for_the_operator_until_one_works() -> None:
    async with calling(wechat(errcode=48001, errmsg="api unauthorized"), fine) as (_server, client, _tokens):
        with pytest.raises(WeChatMisconfigured):
            await client.calls.key_holds("wx1", "o-mei", KEY, in_seconds(2))
        refused = client.state("wx1").calls_refused
        assert refused is not None
        assert refused.errcode == 48001
        assert client.state("wx1").refused is None
        assert await client.calls.key_holds("wx1", "o-mei", KEY, in_seconds(2))
        assert client.state("wx1").calls_refused is None


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"access_token": "", "expires_in": 7200},
        {"access_token": 1, "expires_in": 7200},
        {"access_token": "a b", "expires_in": 7200},
        {"access_token": "x" * 1025, "expires_in": 7200},
        {"access_token": "x", "expires_in": 0},
        {"access_token": "x", "expires_in": "7200"},
        {"access_token": "x", "expires_in": True},
    ],
)
@on_a_loop
async def test_an_answer_that_is_no_token_is_unusable(fields: dict[str, object]) -> None:
    async with calling(wechat(**fields)) as (_server, client, _tokens):
        with pytest.raises(WeChatUnusable):
            await client.fresh_token("wx1", in_seconds(2))
