"""What WeChat's answers look like: headers, texts, request ids and the odd ways of its JSON."""

import json
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from wechat.simulator.state import World

SNS_TYPE: Final = "text/plain"
API_TYPE: Final = "application/json; encoding=utf-8"
PHONE_PATH: Final = "/wxa/business/getuserphonenumber"
HTML_TYPE: Final = "text/html; charset=utf-8"

# The texts as WeChat has really sent them; its documentation prints several of them differently.
_TEXTS: Final[Mapping[int, str]] = {
    -1: "system error",
    1: "data not exit",
    40001: "invalid credential, access_token is invalid or not latest",
    40002: "invalid grant_type",
    40003: "invalid openid",
    40004: "invalid media type",
    40013: "invalid appid",
    40014: "invalid access_token",
    40029: "invalid code",
    40097: "invalid args",
    40125: "invalid appsecret",
    40129: "invalid scene",
    40163: "code been used",
    40164: "invalid ip 127.0.0.1 ipv6 ::ffff:127.0.0.1, not in whitelist",
    40226: "code blocked",
    40243: "invalid appsecret, the appsecret is frozen",
    41001: "access_token missing",
    41002: "appid missing",
    41004: "appsecret missing",
    41008: "missing code",
    42001: "access_token expired",
    43002: "require POST method",
    43003: "require https",
    43104: "The openid does not match the appid",
    44002: "empty post data",
    44991: "reach max api minute frequence",
    47001: "data format error",
    45009: "reach max api daily quota limit",
    45011: "api minute-quota reach limit, must slower, retry next minute",
    48001: "api unauthorized",
    48006: "forbid to clear quota because of reaching the limit",
    50004: "user not allow to use accesstoken, maybe for punishment",
    61010: "code is expired",
    76001: "rid not found",
    76002: "rid is error",
    76003: "could not query this rid,no permission",
    76004: "rid time is error",
    76022: "could not use this cgi_path, no permission",
    87007: "session_key is not existd or expired",
    87008: "invalid sig_method",
    87009: "invalid signature",
    87014: "risky content",
}


class Reply(msgspec.Struct, frozen=True):
    """One HTTP answer; `errcode` is what the ledger writes down (0 for a success, None where there is no answer)."""

    body: bytes
    errcode: int | None = None
    status: int = 200
    content_type: str = SNS_TYPE
    headers: tuple[tuple[str, str], ...] = ()


def sns_success(world: World, fields: Mapping[str, str]) -> Reply:
    """Answer with `fields` as the /sns/ paths do: no errcode at all, and `text/plain` around JSON."""
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    if world.dice.random() < 0.5:
        # WeChat sends "/" as "\/" now and then; clients that cut strings instead of parsing JSON break on it.
        text = text.replace("/", "\\/")
    return Reply(text.encode(), errcode=0)


def sns_error(world: World, errcode: int) -> Reply:
    """Refuse as the /sns/ paths do: HTTP 200, and a comma before the request id."""
    return Reply(_json(error_fields(world, errcode)), errcode=errcode)


def api_success(fields: Mapping[str, Any], *, errcode: bool = True) -> Reply:
    """Answer as the other paths do: JSON that says so, with errcode 0 but where a token is given."""
    ok = {"errcode": 0, "errmsg": "ok"} if errcode else {}
    return Reply(_json(ok | dict(fields)), errcode=0, content_type=API_TYPE)


def api_error(world: World, errcode: int, path: str = "", text: str | None = None) -> Reply:
    """Refuse as the other paths do: no comma before the request id, and a hint before it on the phone's path."""
    hint = f" hint: [{world.word(18)}]" if path == PHONE_PATH else ""
    told = text or _TEXTS.get(errcode, "simulated error")
    fields = {"errcode": errcode, "errmsg": f"{told}{hint} rid: {world.request_id()}"}
    return Reply(_json(fields), errcode=errcode, content_type=API_TYPE)


def error(world: World, errcode: int, path: str, text: str | None = None) -> Reply:
    """Refuse in the form of this path, with a text of its own or the usual one."""
    return sns_error(world, errcode) if path.startswith("/sns/") else api_error(world, errcode, path, text)


def error_fields(world: World, errcode: int) -> dict[str, Any]:
    """Give errcode and errmsg with a fresh request id."""
    text = _TEXTS.get(errcode, "simulated error")
    return {"errcode": errcode, "errmsg": f"{text}, rid: {world.request_id()}"}


def html_page(status: int, title: str) -> Reply:
    """Answer like a gateway in front of WeChat that never heard of JSON."""
    page = f"<html>\r\n<head><title>{title}</title></head>\r\n<body><center><h1>{title}</h1></center></body>\r\n</html>"
    return Reply(page.encode(), status=status, content_type=HTML_TYPE)


def quoted_errcode(world: World, errcode: int) -> Reply:
    """Refuse with the errcode as a string, as a page for third-party platforms prints it."""
    return Reply(_json(error_fields(world, errcode) | {"errcode": str(errcode)}), errcode=errcode)


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
