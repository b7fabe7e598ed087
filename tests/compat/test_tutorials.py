"""COMPAT=tutorials: the clients of five tutorials, as they stand on the wire."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import pytest
from phone import Answer, Phone
from product import Product

Phones = Callable[..., list[Phone]]
Asks = dict[str, Any]


@dataclass(frozen=True)
class Client:
    """What one tutorial's mini program sends, and where it looks in the answers."""

    name: str
    login: Callable[[str], Asks]
    token: Callable[[Any], Any]
    known: Callable[[str], list[Asks]]  # every way in which it may show its token
    recognised: Callable[[Any], bool]
    put_out: tuple[int, Any]
    refused_code: tuple[int, Any]
    openid: Callable[[Any], Any] = field(default=lambda body: None)  # where an answer to a known one holds it


def get(path: str, **headers: str) -> Asks:
    return {"method": "GET", "path": path, "headers": headers}


def form(path: str, **fields: str) -> Asks:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return {"method": "POST", "path": path, "headers": headers, "data": urlencode(fields).encode()}


def post(path: str, **fields: str) -> Asks:
    return {"method": "POST", "path": path, "json": fields}


INVALID = "code is invalid or has expired"
CLIENTS = [
    Client(
        "php-redis",
        lambda code: post("/login.php", code=code),
        lambda body: body["token"],
        lambda token: [post("/login.php", token=token), form("/login.php", token=token)],
        lambda body: body["id"] > 0,
        (200, {"errcode": 40001, "errmsg": "user not logged in"}),
        (200, {"errcode": 40029, "errmsg": INVALID}),
        lambda body: body["openid"],
    ),
    Client(
        "php-session",
        lambda code: get(f"/api/login?wxCode={code}"),
        lambda body: body["session3rd"],
        lambda token: [get("/api/function", **{"3rd_session": token}), get("/api/function", **{"3rd-session": token})],
        lambda body: bool(body == {"msg": "success"}),
        (200, {"msg": "fail"}),
        (200, {"msg": "fail", "errcode": 40029, "errmsg": INVALID}),
    ),
    Client(
        "node",
        lambda code: get(f"/wx/onlogin?code={code}"),
        lambda body: body["sessionid"],
        lambda token: [get("/wx/products/list", sessionid=token)],
        lambda body: body["user_id"] > 0,
        (401, {"errcode": 401002, "errmsg": "session is not valid"}),
        (400, {"errcode": 40029, "errmsg": INVALID}),
    ),
    Client(
        "yii",
        lambda code: get(f"/user/wechat-login?code={code}"),
        lambda body: body["data"]["token"],
        lambda token: [
            get("/user/info", token=token),
            get(f"/user/info?token={token}"),
            form("/user/info", token=token),
        ],
        lambda body: body["success"] is True and body["code"] == "0" and body["data"]["id"] > 0,
        (200, {"success": False, "code": "1", "msg": "登录已失效。", "data": None}),
        (200, {"success": False, "code": "1", "msg": "获取openid出错。", "data": None}),
        lambda body: body["data"]["openid"],
    ),
    Client(
        "thinkphp",
        lambda code: post("/api/user/login", code=code),
        lambda body: body["token"],
        lambda token: [
            get("/api/user/info", Authorization=token),
            get("/api/user/info", Authorization=f"Bearer {token}"),
            get(f"/api/user/info?token={token}"),
            post("/api/user/info", token=token),
        ],
        lambda body: body["user"]["id"] > 0,
        (401, {"error": "登录已失效"}),
        (400, {"error": INVALID}),
        lambda body: body["openid"],
    ),
]
EACH = pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)


async def told(phone: Phone, asks: Asks) -> Answer:
    answer = await phone.request(**asks)
    assert b"session_key" not in answer.body
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    return answer


async def let_in(phone: Phone, client: Client) -> str:
    answer = await told(phone, client.login(await phone.code()))
    assert answer.status == 200, answer.body
    token = client.token(answer.json)
    assert token.startswith("mps_")
    phone.server.never_logged.add(token)
    phone.token = token
    return str(token)


@EACH
@pytest.mark.gen_test
async def test_a_client_logs_in_is_known_is_put_out_and_logs_in_again(
    dialects: Product, phones: Phones, client: Client
) -> None:
    [phone] = phones(1, at=dialects)
    token = await let_in(phone, client)
    for asks in client.known(token):
        answer = await told(phone, asks)
        assert answer.status == 200, answer.body
        assert client.recognised(answer.json)
        assert client.openid(answer.json) in (None, await phone.openid())
    [mine] = (await phone.request("GET", "/api/me/sessions", headers=phone.bearer)).json["sessions"]
    revoked = await phone.request("POST", f"/api/me/sessions/{mine['id']}/revoke", headers=phone.bearer)
    assert revoked.json["ended"] == 1
    for asks in client.known(token):
        answer = await told(phone, asks)
        assert (answer.status, answer.json) == client.put_out
    again = await let_in(phone, client)
    assert again != token
    assert client.recognised((await told(phone, client.known(again)[0])).json)
