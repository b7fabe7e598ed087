"""What may stand in a login request, and what is refused before WeChat hears of it."""

import asyncio
import json
import time
from collections.abc import Callable
from urllib.parse import quote

import pytest
from phone import Phone, WeChat
from product import APPID, Product
from rawsocket import Raw, exchange, request
from verdicts import TOKEN, refused, succeeded, without_request_id

pytestmark = pytest.mark.quick
SECOND_APPID = "wx0000000000000002"


@pytest.mark.gen_test
async def test_a_fresh_code_becomes_a_token_for_seven_days(server: Product, phone: Phone, wechat: WeChat) -> None:
    before = int(time.time())
    body = succeeded(await phone.login())
    assert TOKEN.fullmatch(body.pop("token"))
    assert body.pop("expires_in") == 604_800
    user = body.pop("user")
    assert body == {}
    assert before <= user.pop("created_at") <= int(time.time())
    assert isinstance(user.pop("id"), int)
    assert user == {"nickname": None, "avatar_url": None, "phone": None, "new": True}
    assert await wechat.asked() == 1


@pytest.mark.gen_test
async def test_a_second_login_finds_the_same_person_who_is_not_new(server: Product, phone: Phone) -> None:
    first = succeeded(await phone.login())["user"]
    second = succeeded(await phone.login())["user"]
    assert first.pop("new") is True
    assert second.pop("new") is False
    assert first == second


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"nul",
        b"{'code':1}",
        b'{"code":"a",}',
        b'{"code":"a"} x',
        b'{"code":"a"}{"code":"b"}',
        b'\xef\xbb\xbf{"code":"a"}',
        b"   ",
        b"[]",
        b'"x"',
        b"1",
        b"null",
        b"true",
        b'{"code":"\xff"}',
        '{"code":"a"}'.encode("utf-16"),
        '{"code":"a"}'.encode("utf-32-le"),
        b'{"code":"\\ud800"}',
        b'{"code":"a","\\udfff":1}',
        b'{"code":"a","code":"a"}',
        b'{"code":"a","x":{"y":1,"y":1}}',
        b'{"code":"a","x":NaN}',
        b'{"code":"a","x":Infinity}',
        b'{"code":"a","x":-Infinity}',
        b'{"code":"a","x":1e999}',
        b'{"code":"a","x":' + b"9" * 5000 + b"}",
        b"[" * 8000 + b"]" * 8000,
        b'{"code":' + b'{"a":' * 2000 + b"1" + b"}" * 2001,
    ],
)
async def test_a_body_that_is_not_one_json_object_is_refused_with_400001(
    embedded: Product, phone: Phone, wechat: WeChat, body: bytes
) -> None:
    answer = await phone.request("POST", "/api/login", data=body)
    if "field" in answer.json:  # nesting that this Python can read is no fault of the syntax, but no text either
        refused(answer, 400001, field="code")
    else:
        refused(answer, 400001)
    assert await wechat.asked() == 0


@pytest.mark.gen_test
async def test_a_login_without_a_body_is_refused_with_400001(embedded: Product, phone: Phone, wechat: WeChat) -> None:
    refused(await phone.request("POST", "/api/login"), 400001)
    refused(await phone.request("POST", "/api/login", headers={"Content-Type": None}), 400001)
    refused(await phone.request("POST", "/api/login", headers={"Content-Type": ""}), 400001)
    assert await wechat.asked() == 0


@pytest.mark.gen_test
@pytest.mark.parametrize("code", [1, 1.5, True, None, [], ["a"], {"$ne": 1}])
async def test_a_code_that_is_no_text_is_refused_by_name(
    embedded: Product, phone: Phone, wechat: WeChat, code: object
) -> None:
    refused(await phone.request("POST", "/api/login", json={"code": code}), 400001, field="code")
    assert await wechat.asked() == 0


@pytest.mark.gen_test
async def test_a_missing_code_and_a_wrong_appid_are_refused_by_name(embedded: Product, phone: Phone) -> None:
    refused(await phone.request("POST", "/api/login", json={}), 400001, field="code")
    refused(await phone.request("POST", "/api/login", json={"code": "a", "appid": 1}), 400001, field="appid")


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "code",
    [
        "",
        "a" * 129,
        "a\0",
        "a\r\nX-Evil: 1",
        "a\n",
        "a b",
        "a\t",
        "😀",
        "ａ",
        "a%00",
        "..",
        "../a",
        "a&secret=x",
        "a#",
        "x&appid=other&secret=other",
        "a" * 128 + "\n",
    ],
)
async def test_a_code_of_impossible_form_is_refused_with_400003_and_not_echoed(
    embedded: Product, phone: Phone, wechat: WeChat, code: str
) -> None:
    answer = await phone.request("POST", "/api/login", json={"code": code})
    refused(answer, 400003)
    assert len(code) < 4 or code.encode() not in answer.body
    assert await wechat.asked() == 0


@pytest.mark.gen_test
async def test_a_well_formed_code_that_wechat_never_gave_is_refused_with_40029(
    embedded: Product, phone: Phone, wechat: WeChat
) -> None:
    refused(await phone.login(code="a" * 128), 40029)
    assert await wechat.asked() == 1


@pytest.mark.gen_test
async def test_wechat_sees_one_code_one_appid_and_one_secret(embedded: Product, phone: Phone, wechat: WeChat) -> None:
    succeeded(await phone.login())
    [asked] = (await wechat.log())["requests"]
    assert (asked["method"], asked["appid"], asked["errcode"]) == ("GET", APPID, 0)


@pytest.mark.gen_test
async def test_fields_that_nobody_asked_for_change_nothing(
    embedded: Product, phone: Phone, phones: Callable[..., list[Phone]]
) -> None:
    [mei] = phones(1)
    mei_id = succeeded(await mei.login())["user"]["id"]
    extra = {
        "openid": await mei.openid(),
        "user_id": mei_id,
        "id": mei_id,
        "is_admin": True,
        "session_key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "unionid": "o" * 28,
        "nickname": "root",
        "expires_in": 10**9,
        "token": "mps_" + "a" * 43,
        "state": "blocked",
    }
    body = succeeded(await phone.login(**extra))
    assert body["token"] != extra["token"]
    assert body["expires_in"] == 604_800
    assert body["user"]["id"] != mei_id
    assert body["user"]["nickname"] is None
    assert succeeded(await phone.verify())["user_id"] == body["user"]["id"]
    assert succeeded(await mei.verify())["user_id"] == mei_id


@pytest.mark.gen_test
async def test_a_body_of_forty_thousand_keys_or_levels_is_refused_and_others_are_served(
    embedded: Product, phone: Phone, phones: Callable[..., list[Phone]]
) -> None:
    [mei] = phones(1)
    succeeded(await phone.login())
    wide = json.dumps({str(number): number for number in range(40_000)}).encode()
    deep = b'{"code":' + b"[" * 40_000 + b"]" * 40_000 + b"}"
    answers = await asyncio.gather(
        mei.request("POST", "/api/login", data=wide), mei.request("POST", "/api/login", data=deep), phone.verify()
    )
    refused(answers[0], 413001)
    refused(answers[1], 413001)
    succeeded(answers[2])


@pytest.mark.gen_test
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_login_takes_post_alone(embedded: Product, phone: Phone, wechat: WeChat, method: str) -> None:
    answer = await phone.request(method, "/api/login")
    assert answer.headers["Allow"] == "POST"
    if method == "HEAD":
        assert (answer.status, answer.body) == (405, b"")
    else:
        refused(answer, 405001)
    assert await wechat.asked() == 0


@pytest.mark.gen_test
@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "BREW", "get"])
async def test_a_method_that_nobody_knows_is_refused_with_405001(embedded: Product, method: str) -> None:
    answer = await exchange(embedded, request(method, "/api/login", "X-Secret: echo-me"))
    refused(answer, 405001)
    assert b"echo-me" not in answer.body


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=gbk",
        "application/json; charset=utf-8; charset=gbk",
        "application/jsonx",
        "application/json, text/plain",
        "image/png",
    ],
)
async def test_a_body_of_another_type_is_refused_with_415001(
    embedded: Product, phone: Phone, wechat: WeChat, content_type: str | None
) -> None:
    body = json.dumps({"code": await phone.code()}).encode()
    refused(await phone.request("POST", "/api/login", data=body, headers={"Content-Type": content_type}), 415001)
    assert await wechat.asked() == 0


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "content_type",
    ["application/json", "APPLICATION/JSON", "application/json;charset=UTF-8", 'application/json; charset="utf-8"'],
)
async def test_every_spelling_of_json_is_accepted(embedded: Product, phone: Phone, content_type: str) -> None:
    body = json.dumps({"code": await phone.code()}).encode()
    answer = await phone.request("POST", "/api/login", data=body, headers={"Content-Type": content_type})
    embedded.never_logged.add(succeeded(answer)["token"])


@pytest.mark.gen_test
async def test_a_percent_encoded_path_leads_to_the_same_handler(embedded: Product, phone: Phone) -> None:
    answer = await exchange(embedded, request("GET", "/api/%6cogin"))
    assert answer.status in {404, 405}
    refused(answer, 1000 * answer.status + 1)


@pytest.mark.gen_test
async def test_with_several_mini_programs_the_appid_must_be_named_and_known(
    make_server: Callable[..., Product], phones: Callable[..., list[Phone]], wechat: WeChat
) -> None:
    server = make_server(start=False)
    server.data_dir.mkdir(mode=0o700)
    file = server.data_dir / "menshen.toml"
    file.touch(0o600)
    file.write_text(f'[[apps]]\nappid = "{SECOND_APPID}"\nsecret = "another-secret"\nname = "Second"\n')
    server.start()
    await wechat.app(appid=SECOND_APPID, secret="another-secret")
    [mei] = phones(1, at=server)
    refused(await mei.login(), 400004)
    refused(await mei.login(appid="wx9999999999999999"), 400004)
    refused(await mei.login(appid=""), 400004)
    assert await wechat.asked() == 0
    first = succeeded(await mei.login(appid=APPID))["user"]["id"]
    mei.appid = SECOND_APPID
    second = succeeded(await mei.login(appid=SECOND_APPID))["user"]["id"]
    assert first != second
    assert succeeded(await mei.verify())["appid"] == SECOND_APPID
    # A code of one mini program is worth nothing to another.
    refused(await mei.login(appid=APPID), 40029)
    assert [each["errcode"] for each in (await wechat.log())["requests"]] == [0, 0, 40029]


@pytest.mark.gen_test
async def test_a_request_that_cannot_be_read_is_answered_400_in_one_log_line(embedded: Product) -> None:
    post = b"POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    for wrong in (
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nBad Name: y\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        post + b"Content-Length: -1\r\n\r\n",
        post + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        post + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
    ):
        logged = embedded.log_size()
        raw = await Raw.to(embedded)
        await raw.say(wrong)
        answer = await raw.hear()
        assert answer.status == 400, wrong
        await raw.close()
        assert embedded.log_after(logged).count("\n") <= 1, wrong


@pytest.mark.gen_test
async def test_headers_without_end_are_cut_off(embedded: Product) -> None:
    raw = await Raw.to(embedded)
    try:
        await raw.say(b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: ", b"a" * 1_000_000)
        assert b" 200 " not in (await raw.rest())[:20]
    except ConnectionError:
        pass  # hung up on while it was still talking
    await raw.close()


@pytest.mark.gen_test
async def test_what_stands_in_the_query_of_a_login_is_no_code(embedded: Product, phone: Phone, wechat: WeChat) -> None:
    refused(await phone.request("POST", f"/api/login?code={quote(await phone.code())}", json={}), 400001, field="code")
    assert await wechat.asked() == 0


@pytest.mark.gen_test
async def test_the_same_refusal_is_the_same_but_for_its_id(embedded: Product, phone: Phone) -> None:
    first = await phone.login(code="?")
    second = await phone.login(code="??")
    assert first.headers["X-Request-Id"] != second.headers["X-Request-Id"]
    assert without_request_id(first) == without_request_id(second)
