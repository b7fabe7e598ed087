"""What the WeChat client keeps to itself, and what it remembers for the operator."""

import asyncio
import gc
import logging
import pickle
from base64 import b64encode
from urllib.parse import quote

import pytest
from odd_servers import (
    GOOD,
    SECRET,
    Answer,
    App,
    Hidden,
    asking,
    busy,
    chain,
    cut,
    daily,
    good,
    http,
    log_in,
    on_a_loop,
    raw,
    refused,
    reset,
    silence,
    used,
    wechat,
    wechat_that_says,
)

from wechat.answers import Identity
from wechat.errors import WeChatMisconfigured, WeChatTrouble, WeChatUnreachable


@on_a_loop
async def test_a_new_appsecret_is_used_at_once_while_old_questions_finish() -> None:
    async def slow(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.2)
        await good(writer)

    async with wechat_that_says(slow, good) as (server, client):
        old = asyncio.create_task(log_in(client))
        await server.until_asked(1)
        client.use({"wx1": App(Hidden("a-new-secret"))})
        assert isinstance(await log_in(client), Identity)
        assert isinstance(await old, Identity)
        assert f"secret={SECRET}" in server.requests[0]
        assert "secret=a-new-secret" in server.requests[1]


@on_a_loop
async def test_the_last_refusal_of_our_configuration_is_remembered_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rid = "61783524-6e9fd6bc-59d4a1b8"
    answer = wechat(errcode=40125, errmsg=f"invalid appsecret, ip 203.0.113.9\n rid: {rid}")
    async with wechat_that_says(good, answer) as (_server, client):
        await log_in(client)
        assert isinstance(await log_in(client), WeChatMisconfigured)
        state = client.state("wx1")
    assert state.misconfiguration is not None
    assert (state.misconfiguration.errcode, state.misconfiguration.rid) == (40125, rid)
    assert state.identified_at is not None
    assert state.misconfiguration.at >= state.identified_at
    assert state.outcomes == {"Identity": 1, "WeChatMisconfigured": 1}
    assert state.seconds > 0
    errors = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) == 1
    assert "40125" in errors[0]
    assert rid in errors[0]
    assert "203.0.113.9" not in errors[0]
    assert "\n" not in errors[0]


@on_a_loop
async def test_a_refused_code_is_no_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with wechat_that_says(refused, used) as (_server, client):
        await log_in(client)
        await log_in(client)
    assert [record for record in caplog.records if record.name.startswith("menshen")] == []


CODE = "0canary-of-the-code-000000000001"
EVERY_WAY = {
    "a person": good,
    "a person of wrong type": wechat(**GOOD | {"openid": 1}),
    "half a JSON": http(b'{"session_key": "' + str(GOOD["session_key"]).encode()),
    "bad UTF-8": http(str(GOOD["session_key"]).encode() + b"\xff"),
    "a wrong secret": wechat(errcode=40125, errmsg="invalid appsecret"),
    "a code used": used,
    "busy": busy,
    "daily": daily,
    "silence": silence,
    "a cut": cut,
    "a reset": reset,
    "a cut body": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{", close=True),
    "not HTTP": raw(b"SSH-2.0\r\n\r\n", close=True),
    "a redirect": http(b"", "302 Found", "Location: http://127.0.0.1:1/"),
    "500": http(b"<html>", "500 Oops"),
    "a header too long": http(b"{}", "200 OK", "X: " + "x" * 9000),
}


def assert_no_canary(words: str) -> None:
    key = str(GOOD["session_key"])
    for canary in (SECRET, CODE, key, "jscode2session"):
        shapes = (canary, quote(canary, safe=""), b64encode(canary.encode()).decode(), canary.encode().hex())
        assert not [shape for shape in shapes if shape in words], words


@pytest.mark.parametrize("answer", EVERY_WAY.values(), ids=EVERY_WAY)
@on_a_loop
async def test_neither_logs_nor_errors_hold_secret_code_key_or_url(
    answer: Answer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    asyncio.get_running_loop().set_debug(True)
    caplog.set_level(logging.DEBUG)
    async with wechat_that_says(answer) as (_server, client):
        outcome = await log_in(client, code=CODE, seconds=0.5)
        assert_no_canary(repr(client) + repr(client.state("wx1")) + repr(outcome) + str(outcome))
        if isinstance(outcome, WeChatTrouble):
            assert chain(outcome) == [outcome]
            logging.getLogger("the caller").error("oops", exc_info=outcome)
        else:
            with pytest.raises(TypeError):
                pickle.dumps(outcome)
    gc.collect()
    await asyncio.sleep(0)
    assert_no_canary(caplog.text)
    assert_no_canary("".join(capfd.readouterr()))


@on_a_loop
async def test_a_network_error_leaves_no_trace_of_the_url(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for base in ("http://nobody.invalid", "http://127.0.0.1:1", "https://127.0.0.1:1"):
        async with asking(base) as client:
            outcome = await log_in(client, code=CODE, seconds=0.5)
        assert isinstance(outcome, WeChatUnreachable)
        assert chain(outcome) == [outcome]
        logging.getLogger("the caller").error("oops", exc_info=outcome)
    assert_no_canary(caplog.text)
