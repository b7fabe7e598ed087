"""A refusal wears the dialect's shape; an outage never does, or every client would log in at once."""

import secrets
from collections.abc import Callable
from typing import Any

import pytest
from phone import Answer, Phone
from product import Product
from servers import RedisServer

Phones = Callable[..., list[Phone]]
MAGIC = "F2C224D4-2BCE-4C64-AF9F-A6D872000D1A"

LOGINS: dict[str, Callable[[str], dict[str, Any]]] = {
    "php-redis": lambda code: {"method": "POST", "path": "/login.php", "json": {"code": code}},
    "php-session": lambda code: {"method": "GET", "path": f"/api/login?wxCode={code}"},
    "node": lambda code: {"method": "GET", "path": f"/wx/onlogin?code={code}"},
    "yii": lambda code: {"method": "GET", "path": f"/user/wechat-login?code={code}"},
    "thinkphp": lambda code: {"method": "POST", "path": "/api/user/login", "json": {"code": code}},
    "wafer1": lambda code: {"method": "GET", "path": "/login", "headers": {"X-WX-Code": code}},
    "wafer2": lambda code: {"method": "GET", "path": "/weapp/login", "headers": {"X-WX-Code": code}},
    "mina_auth": lambda code: mina("qcloud.cam.id_skey", code=code),
}
SESSIONS: dict[str, Callable[[str], dict[str, Any]]] = {
    "php-redis": lambda token: {"method": "POST", "path": "/login.php", "json": {"token": token}},
    "php-session": lambda token: {"method": "GET", "path": "/api/function", "headers": {"3rd_session": token}},
    "node": lambda token: {"method": "GET", "path": "/wx/products/list", "headers": {"sessionid": token}},
    "yii": lambda token: {"method": "GET", "path": "/user/info", "headers": {"token": token}},
    "thinkphp": lambda token: {"method": "GET", "path": "/api/user/info", "headers": {"Authorization": token}},
    "wafer1": lambda token: {"method": "GET", "path": "/user", "headers": {"X-WX-Skey": token}},
    "wafer2": lambda token: {"method": "GET", "path": "/weapp/user", "headers": {"X-WX-Skey": token}},
    "mina_auth": lambda token: mina("qcloud.cam.auth", id="", skey=token),
}


def mina(name: str, **para: object) -> dict[str, Any]:
    body = {"version": 1, "componentName": "MA", "interface": {"interfaceName": name, "para": para}}
    return {"method": "POST", "path": "/mina_auth/", "json": body}


def is_ours(answer: Answer, status: int, errcode: int) -> None:
    """Fails unless it is our own envelope with its real status and nothing that an SDK takes as "log in again"."""
    body = answer.json
    assert (answer.status, body["errcode"]) == (status, errcode), answer.body
    assert set(body) == {"errcode", "errmsg", "error", "retry", "request_id"}
    assert "Retry-After" in answer.headers or body["retry"] == "login"


@pytest.mark.gen_test
@pytest.mark.parametrize("name", LOGINS)
async def test_wechat_away_is_no_refusal(dialects: Product, phones: Phones, name: str) -> None:
    [phone] = phones(1, at=dialects)
    code = await phone.code()
    await phone.wechat.fault("busy", n=2)
    is_ours(await phone.request(**LOGINS[name](code)), 503, 503003)


@pytest.fixture(scope="module")
def strict(file_server: Callable[..., Product]) -> Product:
    """A server that lets each address log in once a minute."""
    return file_server(COMPAT="tutorials,wafer1,wafer2", LOGIN_LIMIT=1)


@pytest.mark.gen_test
@pytest.mark.parametrize("name", LOGINS)
async def test_too_many_logins_are_no_refusal(strict: Product, phones: Phones, name: str) -> None:
    [phone] = phones(1, at=strict, address=f"127.0.9.{1 + list(LOGINS).index(name)}")
    answers = [await phone.request(**LOGINS[name](await phone.code())) for _ in range(3)]  # a minute may begin once
    strict.never_logged |= {text for answer in answers for text in tokens(answer.json)}
    assert tokens(answers[0].json), "the first is let in, so no other test has used up its address"
    is_ours(next(answer for answer in answers if answer.status != 200), 429, 429001)


def tokens(value: object) -> set[str]:
    """Every token of ours that an answer holds."""
    if isinstance(value, dict):
        return {found for each in value.values() for found in tokens(each)}
    return {value} if isinstance(value, str) and value.startswith("mps_") else set()


@pytest.mark.gen_test
async def test_a_session_store_that_is_away_is_no_refusal(
    make_server: Callable[..., Product], phones: Phones, redis_server: RedisServer
) -> None:
    server = make_server(COMPAT="tutorials,wafer1,wafer2", SESSIONS=redis_server.url())
    [phone] = phones(1, at=server)
    await phone.login()
    redis_server.kill()
    for asks in SESSIONS.values():
        is_ours(await phone.request(**asks(phone.token)), 503, 503001)
    for asks in LOGINS.values():
        is_ours(await phone.request(**asks(await phone.code())), 503, 503001)


REFUSED = "code is invalid or has expired"


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("name", "status", "body"),
    [
        ("php-redis", 200, {"errcode": 40029, "errmsg": REFUSED}),
        ("php-session", 200, {"msg": "fail", "errcode": 40029, "errmsg": REFUSED}),
        ("node", 400, {"errcode": 40029, "errmsg": REFUSED}),
        ("yii", 200, {"success": False, "code": "1", "msg": "获取openid出错。", "data": None}),
        ("thinkphp", 400, {"error": REFUSED}),
        ("wafer1", 200, {MAGIC: 1, "code": -1, "error": "ERR_LOGIN_FAILED", "message": "登录凭证已失效，请重试。"}),
        ("wafer2", 200, {MAGIC: 1, "code": -1, "error": "ERR_LOGIN_FAILED", "message": "登录凭证已失效，请重试。"}),
        (
            "mina_auth",
            200,
            {
                "returnCode": 40029,
                "returnMessage": "WEIXIN_CODE_ERR",
                "returnData": "",
                "version": 1,
                "componentName": "MA",
            },
        ),
    ],
)
async def test_a_refused_code_is_told_in_the_dialect(
    dialects: Product, phones: Phones, name: str, status: int, body: object
) -> None:
    [phone] = phones(1, at=dialects)
    answer = await phone.request(**LOGINS[name]("0" + secrets.token_hex(15)))
    assert (answer.status, answer.json) == (status, body)


@pytest.mark.gen_test
@pytest.mark.parametrize("name", LOGINS)
async def test_a_dialect_s_token_is_one_of_ours_and_no_answer_holds_a_session_key(
    dialects: Product, phones: Phones, name: str
) -> None:
    [phone] = phones(1, at=dialects)
    answer = await phone.request(**LOGINS[name](await phone.code()))
    [token] = tokens(answer.json)
    dialects.never_logged.add(token)
    assert answer.status == 200
    assert b"session_key" not in answer.body.lower()
    assert b"sessionkey" not in answer.body.lower()
    known = await phone.request(**SESSIONS[name](token))
    assert known.status == 200
    assert MAGIC not in known.json


@pytest.mark.gen_test
async def test_code_and_wxcode_together_are_nobody_s_login(dialects: Product, phones: Phones) -> None:
    [phone] = phones(1, at=dialects)
    code = await phone.code()
    both = await phone.request("POST", "/api/login", json={"code": code, "wxCode": code})
    assert (both.status, both.json["errcode"], both.json["field"]) == (400, 400001, "code")
    in_url = await phone.request("GET", f"/api/login?wxCode={code}&code={code}")
    assert (in_url.status, in_url.json["errcode"]) == (400, 400001)
    twice = await phone.request("POST", f"/api/login?wxCode={code}", json={"wxCode": code})
    assert twice.json["errcode"] == 400001
    # The code is still good, as JSON, as a form, and for our own login beside it.
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    logged_in = await phone.request("POST", "/api/login", data=f"wxCode={code}".encode(), headers=form)
    assert set(logged_in.json) == {"session3rd", "openid"}
    dialects.never_logged.add(logged_in.json["session3rd"])
    posted = await phone.request("POST", "/api/login", json={"wxCode": await phone.code()})
    dialects.never_logged.add(posted.json["session3rd"])
    assert posted.json["openid"] == await phone.openid()
    assert set((await phone.login()).json) >= {"token", "user", "expires_in", "request_id"}


@pytest.mark.gen_test
async def test_our_own_login_stays_as_strict_as_it_was(dialects: Product, phones: Phones) -> None:
    [phone] = phones(1, at=dialects)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    as_form = await phone.request("POST", "/api/login", data=f"code={await phone.code()}".encode(), headers=form)
    assert (as_form.status, as_form.json["errcode"]) == (415, 415001)
    got = await phone.request("GET", f"/api/login?code={await phone.code()}")
    assert (got.status, got.json["errcode"]) == (405, 405001)
    empty = await phone.request("POST", "/api/login", json={})
    assert (empty.status, empty.json["errcode"], empty.json["field"]) == (400, 400001, "code")


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "asks",
    [
        {"json": {}},
        {"json": {"code": ""}},
        {"data": b""},
        {"data": b"code=", "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
    ],
)
async def test_thinkphp_without_a_code_is_told_so(dialects: Product, phones: Phones, asks: dict[str, Any]) -> None:
    [phone] = phones(1, at=dialects)
    answer = await phone.request("POST", "/api/user/login", **asks)
    assert (answer.status, answer.json) == (400, {"error": "缺少 code"})


@pytest.mark.gen_test
async def test_thinkphp_tells_nobody_from_nobody_any_more(dialects: Product, phones: Phones) -> None:
    [phone] = phones(1, at=dialects)
    for headers in ({}, {"Authorization": ""}):
        answer = await phone.request("GET", "/api/user/info", headers=headers)
        assert (answer.status, answer.json) == (401, {"error": "未登录"})
    answer = await phone.request("GET", "/api/user/info", headers={"Authorization": "mps_" + "a" * 43})
    assert (answer.status, answer.json) == (401, {"error": "登录已失效"})


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "body",
    [b"code=a&code=b", b"code=%ff", b"\xff\xfe", "code=中".encode(), b"&".join(b"a%d=1" % n for n in range(60))],
)
async def test_a_bad_form_is_refused_and_never_500(dialects: Product, phones: Phones, body: bytes) -> None:
    [phone] = phones(1, at=dialects)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await phone.request("POST", "/login.php", data=body, headers=form)
    assert answer.status == 200
    assert answer.json["errcode"] == 400001
    query = await phone.request("GET", "/user/wechat-login?code=%ff&code=x")
    assert query.json["success"] is False


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"nonsense", 1009),
        (b"[]", 1009),
        (b"{}", 1002),
        (b'{"interface": 3}', 1002),
        (b'{"interface": {"interfaceName": "qcloud.cam.auth"}}', 1011),
        (b'{"interface": {"interfaceName": "qcloud.cam.auth", "para": {}}}', 1003),
        (b'{"interface": {"interfaceName": "qcloud.cam.id_skey", "para": {"code": 3}}}', 1003),
        (b'{"interface": {"interfaceName": "qcloud.cam.initdata", "para": {"appid": "x"}}}', 1010),
    ],
)
async def test_mina_auth_says_by_its_own_number_what_is_wrong(
    dialects: Product, phones: Phones, data: bytes, code: int
) -> None:
    [phone] = phones(1, at=dialects)
    answer = await phone.request("POST", "/mina_auth/", data=data)
    assert (answer.status, answer.json["returnCode"]) == (200, code)
    assert isinstance(answer.json["returnMessage"], str)
    assert answer.json["returnData"] == ""


@pytest.mark.gen_test
@pytest.mark.parametrize("path", ["/login", "/weapp/login"])
async def test_encrypted_data_that_opens_brings_the_profile_and_somebody_else_s_does_not(
    dialects: Product, phones: Phones, path: str
) -> None:
    [phone, other] = phones(2, at=dialects)

    async def log_in(of: Phone) -> tuple[Any, Any]:
        code = await phone.code()
        await other.code()
        sealed = await phone.wechat.tell("encrypt", appid=phone.appid, user=of.name, kind="userinfo", legacy=True)
        headers = {"X-WX-Code": code, "X-WX-Encrypted-Data": sealed["encryptedData"], "X-WX-IV": sealed["iv"]}
        answer = await phone.request("GET", path, headers=headers)
        body = answer.json
        dialects.never_logged.add(body["token"])
        assert (body["code"], body["session"]["skey"], body["data"]["skey"]) == (0, body["token"], body["token"])
        assert body["data"]["userinfo"]["openId"] == await phone.openid()
        me = await phone.request("GET", "/api/me", headers={"Authorization": f"Bearer {body['token']}"})
        return body["data"]["userinfo"], me.json

    info, me = await log_in(other)
    assert (info["nickName"], me["nickname"]) == ("", None)
    info, me = await log_in(phone)
    assert info["nickName"] == me["nickname"] != ""
    assert info["watermark"]["appid"] == phone.appid
