"""WeChat's own API through this server: the access_token is added here, seen by nobody, and renewed when refused."""

from typing import Any

import pytest
from operator_at import change
from other_side import back_end
from phone import Network, WeChat
from product import APPID, Product

CHECK = f"/partner/wechat/{APPID}/wxa/msg_sec_check"
TEXT = {"content": "hello", "version": 2, "scene": 1}


async def text_of(wechat: WeChat) -> dict[str, object]:
    """A text of somebody who is in the mini program now."""
    await wechat.login("mei")
    return {**TEXT, "openid": (await wechat.user("mei"))["openid"]}


async def token_of(server: Product, network: Network, name: str) -> Any:
    """The shared access_token, as a key for it is given it."""
    keeper = await back_end(server, network, name, "access-token")
    answer = await keeper.ask("GET", "/partner/access-token")
    assert answer.status == 200, answer.json
    server.never_logged.add(answer.json["access_token"])
    return answer.json


@pytest.mark.gen_test(timeout=60)
async def test_a_call_is_passed_on_with_the_token_added_and_the_answer_comes_as_it_is(
    server: Product, network: Network, wechat: WeChat
) -> None:
    shop = await back_end(server, network, "relays", "relay", paths=["/wxa/msg_sec_check"])
    text = await text_of(wechat)
    await shop.ask("POST", CHECK, json_body=text)  # a token that an earlier test left here is dead at this WeChat
    before = await wechat.asked("/wxa/msg_sec_check")
    answer = await shop.ask("POST", CHECK, json_body=text)
    assert (answer.status, answer.json["errcode"], answer.json["result"]["suggest"]) == (200, 0, "pass")
    assert answer.headers["Content-Type"].startswith("application/json")
    wrong = await shop.ask("POST", CHECK, json_body={"content": 1})
    assert (wrong.status, wrong.json["errcode"]) == (200, 47001)
    shared = await token_of(server, network, "relays-token")
    assert shared["access_token"].encode() not in answer.body + wrong.body
    assert 0 < shared["expires_in"] <= 7_200
    assert await wechat.asked("/wxa/msg_sec_check") == before + 2


@pytest.mark.gen_test(timeout=60)
@pytest.mark.parametrize(
    ("path", "status", "errcode"),
    [
        (f"/partner/wechat/{APPID}/wxa/msg_sec_check_more", 403, 403001),
        (f"/partner/wechat/{APPID}/cgi-bin/token?grant_type=client_credential", 403, 403001),
        (f"/partner/wechat/{APPID}/cgi-bin/stable_token", 403, 403001),
        (f"/partner/wechat/{APPID}/sns/jscode2session", 403, 403001),
        (f"/partner/wechat/{APPID}/wxa/%2e%2e/cgi-bin/token", 403, 403001),
        (f"/partner/wechat/{APPID}/wxa/msg_sec_check%2f..%2f..%2fcgi-bin%2ftoken", 403, 403001),
        (f"/partner/wechat/{APPID}/wxa/msg_sec_check?access_token=mine", 400, 400002),
        ("/partner/wechat/wx00000000000000ff/wxa/msg_sec_check", 400, 400004),
        (f"/partner/wechat/{APPID}/", 404, 404001),
    ],
)
async def test_no_other_path_is_passed_on(
    embedded: Product, network: Network, wechat: WeChat, path: str, status: int, errcode: int
) -> None:
    name = f"narrow-{abs(hash(path))}"[:32]
    shop = await back_end(embedded, network, name, "relay", paths=["/wxa/msg_sec_check", "/wxa/img"])
    answer = await shop.ask("POST", path, json_body=TEXT)
    assert (answer.status, answer.json["errcode"]) == (status, errcode)
    assert (await wechat.log())["counts"] == {}


@pytest.mark.gen_test
async def test_even_a_key_for_every_path_gets_no_token_by_the_relay(
    embedded: Product, network: Network, wechat: WeChat
) -> None:
    shop = await back_end(embedded, network, "wide", "relay", paths=["/"])
    for path in ("cgi-bin/token", "cgi-bin/stable_token", "CGI-BIN/token", "sns/jscode2session"):
        answer = await shop.ask("GET", f"/partner/wechat/{APPID}/{path}")
        assert (answer.status, answer.json["errcode"]) == (403, 403001), path
    assert (await wechat.log())["counts"] == {}
    assert (await shop.ask("GET", "/partner/access-token")).json["errcode"] == 403001
    assert (await shop.ask("PUT", CHECK, json_body=TEXT)).json["errcode"] == 405001


@pytest.mark.gen_test(timeout=60)
async def test_a_token_that_wechat_refuses_is_renewed_once_and_the_call_repeated(
    server: Product, network: Network, wechat: WeChat
) -> None:
    shop = await back_end(server, network, "renews", "relay", paths=["/wxa/"])
    text = await text_of(wechat)
    assert (await shop.ask("POST", CHECK, json_body=text)).json["errcode"] == 0
    before = await wechat.asked("/wxa/msg_sec_check")
    await wechat.fault(40001, path="/wxa/msg_sec_check")
    assert (await shop.ask("POST", CHECK, json_body=text)).json["errcode"] == 0
    assert await wechat.asked("/wxa/msg_sec_check") == before + 2
    await wechat.fault(40001, path="/wxa/msg_sec_check", n=5)
    assert (await shop.ask("POST", CHECK, json_body=TEXT)).status in (200, 502)
    assert await wechat.asked("/wxa/msg_sec_check") <= before + 4


@pytest.mark.gen_test(timeout=60)
async def test_a_key_of_another_mini_program_relays_nothing_here(embedded: Product, network: Network) -> None:
    elsewhere = await back_end(
        embedded, network, "relay-elsewhere", "relay", "access-token", paths=["/wxa/"], appids=["wx00000000000000ff"]
    )
    assert (await elsewhere.ask("POST", CHECK, json_body=TEXT)).json["errcode"] == 404001
    assert (await elsewhere.ask("GET", f"/partner/access-token?appid={APPID}")).json["errcode"] == 404001
    assert (await elsewhere.ask("GET", "/partner/access-token?appid=wx0")).json["errcode"] == 400004
    await change(embedded, "UPDATE service_key SET revoked_at = 1 WHERE id = :id", id=elsewhere.number)
    assert (await elsewhere.ask("POST", CHECK, json_body=TEXT)).json["errcode"] == 401003
