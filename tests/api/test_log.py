"""What a running server writes down about requests and about itself."""

import asyncio
import json
from collections.abc import Callable

import pytest
from patience import until
from phone import Phone, WeChat
from product import Product
from rawsocket import Raw, exchange, request
from verdicts import refused, succeeded

Phones = Callable[..., list[Phone]]


@pytest.mark.gen_test
async def test_a_token_in_a_header_or_path_that_cannot_be_read_stays_out_of_the_log(
    embedded: Product, phone: Phone
) -> None:
    succeeded(await phone.login())
    before = embedded.log_size()
    raw = await Raw.to(embedded)
    await raw.say(request("GET", "/api/verify", f"Authorization: Bearer {phone.token}\x00"))
    await raw.rest()
    await raw.close()
    refused(await exchange(embedded, request("GET", f"/api/verify/{phone.token}")), 404001)
    await until(lambda: embedded.log_after(before).count("mps_***") == 1)
    assert "Malformed HTTP message from 127.0.0.1" in embedded.log_after(before)
    assert phone.token not in embedded.log()


@pytest.mark.gen_test
async def test_a_phone_that_hangs_up_during_its_login_is_no_failure_of_ours(
    embedded: Product, phone: Phone, wechat: WeChat
) -> None:
    await wechat.fault("latency", seconds=1)
    before = embedded.log_size()
    raw = await Raw.to(embedded)
    body = json.dumps({"code": await phone.code()}).encode()
    await raw.say(request("POST", "/api/login", "Content-Type: application/json", body=body))
    for _ in range(1_000):
        if await wechat.asked():
            break
        await asyncio.sleep(0.02)
    await raw.close()
    await until(lambda: "POST /api/login" in embedded.log_after(before))
    [line] = [line for line in embedded.log_after(before).splitlines() if "POST /api/login" in line]
    assert "DEBUG" in line
    assert "POST /api/login 499 " in line


@pytest.mark.gen_test
async def test_the_log_of_a_life_begins_with_serving_and_ends_with_stopped(
    make_server: Callable[..., Product], phones: Phones
) -> None:
    server = make_server(LOG_FORMAT="json", LOG_LEVEL="debug")
    [mei] = phones(1, at=server)
    answer = await mei.request("GET", "/healthz")
    assert server.stop() == 0
    events = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]
    told = [event["message"] for event in events if event["level"] == "INFO" and event["logger"] == "menshen"]
    assert len(told) == 2
    assert told[0].startswith("serving")
    assert str(server.data_dir / "menshen.db") in told[0]
    assert told[1] == "stopped"
    [event] = [event for event in events if event["logger"] == "menshen.access"]
    assert event["request_id"] == answer.headers["X-Request-Id"]
