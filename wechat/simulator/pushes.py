"""WeChat's message push, sent: an event about a person goes to the address that a mini program has configured."""

import json
import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse

from wechat.data import seal_push
from wechat.push import key_bytes, signature
from wechat.simulator.content import verdict
from wechat.simulator.state import App, MediaCheck, Person, World

ANSWER_SECONDS: Final = 5
TRIES: Final = 3
SERVICE: Final = "oPushServiceOfWeChat00000000"  # the events come from it, and never from the person
ORIGINAL_ID: Final = "gh_000000000001"

Message = Mapping[str, Any]


class Parcel(msgspec.Struct, frozen=True):
    """One push as it is sent."""

    url: str
    body: bytes
    content_type: str


def event_of(world: World, person: Person, event: str, revoke_info: str) -> dict[str, Any]:
    """Write the message that WeChat sends about a person."""
    message = _event(world, event, OpenID=person.openid, AppID=person.appid, RevokeInfo=revoke_info)
    if world.apps[person.appid].bound_open_platform:
        message["UnionID"] = person.unionid
    return message


def media_event(world: World, check: MediaCheck, suggest: str, errcode: int) -> dict[str, Any]:
    """Write the message with WeChat's verdict on a picture; it counts where `errcode` is 0."""
    told: dict[str, Any] = {"appid": check.appid, "trace_id": check.trace_id, "version": 2}
    found = verdict(suggest) if errcode == 0 else {}
    errmsg = "ok" if errcode == 0 else "download error"
    return _event(world, "wxa_media_check", **told, **found, errcode=errcode, errmsg=errmsg)


def _event(world: World, event: str, **more: Any) -> dict[str, Any]:
    head = {"ToUserName": ORIGINAL_ID, "FromUserName": SERVICE, "CreateTime": world.now(), "MsgType": "event"}
    return {**head, "Event": event, **more}


def packed(world: World, app: App, message: Message, *, wrongly_signed: bool = False) -> Parcel:
    """Sign and, by the mode, encrypt a message."""
    timestamp, nonce = str(world.now()), str(world.dice.randrange(10**8, 10**9))
    token = app.push_token + ("x" if wrongly_signed else "")
    query = {"signature": signature(token, timestamp, nonce), "timestamp": timestamp, "nonce": nonce}
    shown = dict(message)
    if app.push_mode != "plain":
        sealed = seal_push(key_bytes(app.push_key), _written(app, message), app.appid)
        query |= {
            "openid": SERVICE,
            "encrypt_type": "aes",
            "msg_signature": signature(token, timestamp, nonce, sealed),
        }
        shown = {**(shown if app.push_mode == "compatible" else {"ToUserName": ORIGINAL_ID}), "Encrypt": sealed}
    content_type = "application/json" if app.push_format == "json" else "text/xml"
    return Parcel(f"{app.push_url}?{urlencode(query)}", _written(app, shown), content_type)


async def deliver(parcel: Parcel) -> list[dict[str, Any]]:
    """Send a push, three times if need be, and give each answer; a null status stands for none within 5 seconds."""
    answers: list[dict[str, Any]] = []
    for _ in range(TRIES):
        began = time.monotonic()
        request = HTTPRequest(
            parcel.url, "POST", {"Content-Type": parcel.content_type}, parcel.body, follow_redirects=False
        )
        answer = await _answer(request)
        seconds = round(time.monotonic() - began, 3)
        if answer is None or answer.code == 599:
            answers.append({"status": None, "body": "", "seconds": seconds})
            continue
        answers.append({"status": answer.code, "body": _text(answer), "seconds": seconds})
        if answer.code == 200 and _text(answer) in ("", "success"):
            break
    return answers


async def check_address(world: World, app: App, *, wrongly_signed: bool = False) -> dict[str, Any]:
    """Ask the configured address to prove itself, as WeChat's console does when it is saved."""
    timestamp, nonce, echo = str(world.now()), str(world.dice.randrange(10**9)), str(world.dice.randrange(10**18))
    token = app.push_token + ("x" if wrongly_signed else "")
    query = {"signature": signature(token, timestamp, nonce), "timestamp": timestamp, "nonce": nonce, "echostr": echo}
    answer = await _answer(HTTPRequest(f"{app.push_url}?{urlencode(query)}", follow_redirects=False))
    if answer is None or answer.code == 599:
        return {"status": None, "proved": False}
    return {"status": answer.code, "proved": answer.code == 200 and _text(answer) == echo}


async def fetched(url: str) -> int | None:
    """Give the status with which a picture can be had, as WeChat has to load it; None when nobody answers."""
    answer = await _answer(HTTPRequest(url, follow_redirects=False))
    return None if answer is None or answer.code == 599 else answer.code


async def _answer(request: HTTPRequest) -> HTTPResponse | None:
    request.request_timeout = request.connect_timeout = ANSWER_SECONDS
    try:
        return await AsyncHTTPClient().fetch(request, raise_error=False)
    except (OSError, ValueError):
        return None


def _text(answer: HTTPResponse) -> str:
    return (answer.body or b"").decode("utf-8", "replace")[:1_000]


def _written(app: App, message: Message) -> bytes:
    if app.push_format == "json":
        return json.dumps(message, ensure_ascii=False).encode()
    return f"<xml>{_elements(message)}</xml>".encode()


def _elements(message: Message) -> str:
    """Write names and values as XML; a list is its element again and again."""
    listed = [(name, value if isinstance(value, list) else [value]) for name, value in message.items()]
    return "".join(f"<{name}>{_element(each)}</{name}>" for name, values in listed for each in values)


def _element(value: Any) -> str:
    if isinstance(value, dict):
        return _elements(value)
    return str(value) if isinstance(value, int) else f"<![CDATA[{value}]]>"
