"""Reads WeChat's answers: bytes in; a person, a token, a phone number, or the reason why not out.

The rules are those of WeChat's page on code2Session as the field knows it: business errors come with HTTP 200, the
Content-Type is text/plain, `errcode` is absent on success, and a few numbers that the page leaves out are sent.
Nothing here raises: a raised JSON error would hold the whole answer, session_key included.
"""

import base64
import binascii
import json
import re
from ipaddress import IPv6Address, ip_address
from typing import NoReturn

import msgspec

from values import Confidential
from wechat.errors import (
    CodeRefused,
    CodeUsed,
    NotSeenLately,
    UserHighRisk,
    WeChatBusy,
    WeChatMisconfigured,
    WeChatTrouble,
    WeChatUnusable,
)

BUSY = -1
DAILY_QUOTA = 45009
MINUTE_QUOTA = 45011
CHECK_QUOTAS = frozenset({44991, 87020})  # of the checks of what people write and show
RISKY_CONTENT = 87014  # the first version of WeChat's check of texts; the present one says it in `suggest`
NOT_SEEN = 61010
REFUSED_ADDRESS = 40164
# The credentials, the address, the account or the form of our question; only an operator can mend any of these.
MISCONFIGURED = frozenset(
    {40001, 40002, 40013, 40125, 40164, 40243, 41002, 41004, 43002, 43003}
    | {48001, 50002, 50004, 50007, 89503, 89506, 89507}
)
PASSES = "pass"
SUGGESTIONS = (PASSES, "review", "risky")
BUSY_SECONDS = 1
QUOTA_SECONDS = 60  # WeChat's words for 45011 are "retry next minute"
SESSION_KEY_BYTES = 16
MOST_TOKEN_SECONDS = 7200

# A real openid or unionid has 28 characters; the pattern leaves WeChat room and a database column no surprise.
_IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_ACCESS_TOKEN = re.compile(r"[!-~]{1,1024}", re.ASCII)  # WeChat asks to keep room for 512
_PHONE_NUMBER = re.compile(r"\+?[0-9]{6,20}", re.ASCII)
_QUOTED_ERRCODE = re.compile(r"-?[0-9]{1,9}", re.ASCII)
_REFUSED_ADDRESS = re.compile(r"invalid ip ([0-9A-Fa-f.:]{2,45})(?![^ ,])", re.ASCII)
_TRACE = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_RID = re.compile(r"rid:\s*([0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8})")


class SessionKey:
    """WeChat's session_key, 16 bytes that must not leave the server; shows itself as ***."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    def reveal(self) -> bytes:
        """The 16 bytes themselves, for sealing and for WeChat's signatures."""
        return self._key

    def __repr__(self) -> str:
        return "SessionKey(***)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a session_key is not pickled")


class Identity(msgspec.Struct, frozen=True):
    """Who WeChat says the person is; `unionid` is None for an app outside a WeChat Open Platform account."""

    openid: str
    unionid: str | None
    session_key: SessionKey


class Reply(Confidential, frozen=True):
    """An HTTP answer as far as we read it; `body` stays empty where status or coding already rule it out."""

    status: int
    content_coding: str
    body: bytes
    content_type: str = ""
    date: str = ""  # by WeChat's own clock


class FreshToken(Confidential, frozen=True):
    """An access_token as WeChat has just given it, and the seconds it is good for."""

    token: str
    expires_in: int


class PhoneNumber(Confidential, frozen=True):
    """A person's phone number, digits with at most a plus; foreign ones begin with the country's code."""

    number: str


def read(reply: Reply) -> Identity | WeChatTrouble:
    """The person in WeChat's answer to jscode2session, or the trouble it tells of (returned, not raised)."""
    answer = read_fields(reply)
    return answer if isinstance(answer, WeChatTrouble) else _person(answer)


def read_token(reply: Reply) -> FreshToken | WeChatTrouble:
    """The access_token in WeChat's answer to stable_token, or the trouble it tells of."""
    answer = read_fields(reply)
    if isinstance(answer, WeChatTrouble):
        return answer
    token, seconds = answer.get("access_token"), answer.get("expires_in")
    if not isinstance(token, str) or not _ACCESS_TOKEN.fullmatch(token):
        return WeChatUnusable("no usable access_token")
    if not isinstance(seconds, int) or isinstance(seconds, bool) or seconds <= 0:
        return WeChatUnusable("no usable expires_in")
    return FreshToken(token, min(seconds, MOST_TOKEN_SECONDS))


def read_phone(answer: dict[str, object], appid: str) -> PhoneNumber | WeChatUnusable:
    """The number in WeChat's answer to getuserphonenumber; its watermark must name this mini program."""
    info = answer.get("phone_info")
    if not isinstance(info, dict):
        return WeChatUnusable("no phone_info")
    watermark, number = info.get("watermark"), info.get("phoneNumber")
    if not isinstance(watermark, dict) or watermark.get("appid") != appid:
        return WeChatUnusable("the phone number is not marked as this mini program's")
    if not isinstance(number, str) or not _PHONE_NUMBER.fullmatch(number):
        return WeChatUnusable("no usable phoneNumber")
    return PhoneNumber(number)


def read_passes(answer: dict[str, object]) -> bool | WeChatUnusable:
    """Whether WeChat lets a text pass, in its answer to msg_sec_check; what it wants a human to look at does not."""
    result = answer.get("result")
    suggest = result.get("suggest") if isinstance(result, dict) else None
    return suggest == PASSES if suggest in SUGGESTIONS else WeChatUnusable("no usable suggest")


def read_trace(answer: dict[str, object]) -> str | WeChatUnusable:
    """By what the verdict on a picture will be known, in WeChat's answer to media_check_async."""
    trace_id = answer.get("trace_id")
    return trace_id if isinstance(trace_id, str) and _TRACE.fullmatch(trace_id) else WeChatUnusable("no trace_id")


def read_errcode(body: bytes) -> int | None:
    """The errcode in a body that may be anything; None where there is none to be read."""
    answer = _json_object(body)
    return None if answer is None else _errcode(answer)


def read_fields(reply: Reply) -> dict[str, object] | WeChatTrouble:
    """The object in any answer of WeChat's, or the trouble it tells of."""
    if reply.status != 200:
        return WeChatUnusable(f"status {reply.status}")
    if reply.content_coding not in ("", "identity"):
        return WeChatUnusable("a content coding nobody asked for")
    answer = _json_object(reply.body)
    if answer is None:
        return WeChatUnusable("not one JSON object")
    errcode = _errcode(answer)
    if errcode is None:
        return WeChatUnusable("errcode is not a number")
    return answer if errcode == 0 else _trouble(errcode, _rid(answer), _egress(errcode, answer))


def _json_object(body: bytes) -> dict[str, object] | None:
    """The JSON object in `body`; None for anything else, for NaN, and for JSON too deep or too large to read."""
    try:
        # strict=False: control characters have been seen inside WeChat's strings, and errmsg does not matter to us.
        answer = json.loads(body.decode("utf-8"), strict=False, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def _refuse_constant(_name: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


def _errcode(answer: dict[str, object]) -> int | None:
    """0 where errcode is absent, its number where it is one or is quoted; None for any other type."""
    errcode = answer.get("errcode", 0)
    if isinstance(errcode, str) and _QUOTED_ERRCODE.fullmatch(errcode):
        return int(errcode)
    return errcode if isinstance(errcode, int) and not isinstance(errcode, bool) else None


def _rid(answer: dict[str, object]) -> str:
    errmsg = answer.get("errmsg")
    found = _RID.search(errmsg) if isinstance(errmsg, str) else None
    return found.group(1) if found else ""


def _egress(errcode: int, answer: dict[str, object]) -> str | None:
    """The address of ours that WeChat refuses, where it names one that can be nothing but an address."""
    errmsg = answer.get("errmsg")
    found = _REFUSED_ADDRESS.match(errmsg) if errcode == REFUSED_ADDRESS and isinstance(errmsg, str) else None
    if found is None:
        return None
    try:
        address = ip_address(found.group(1))
    except ValueError:
        return None
    return str(address.ipv4_mapped or address) if isinstance(address, IPv6Address) else str(address)


def _person(answer: dict[str, object]) -> Identity | WeChatUnusable:
    openid, unionid = answer.get("openid"), answer.get("unionid")
    if not _is_identifier(openid):
        return WeChatUnusable("no usable openid")
    if unionid is not None and not _is_identifier(unionid):
        return WeChatUnusable("no usable unionid")
    key = _session_key(answer.get("session_key"))
    if key is None:
        return WeChatUnusable("no usable session_key")
    return Identity(str(openid), None if unionid is None else str(unionid), key)


def _is_identifier(value: object) -> bool:
    return isinstance(value, str) and _IDENTIFIER.fullmatch(value) is not None


def _session_key(value: object) -> SessionKey | None:
    """Strict base64 of exactly 16 bytes: AES would take 24 or 32 without complaint and mean another cipher."""
    if not isinstance(value, str):
        return None
    try:
        key = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None
    return SessionKey(key) if len(key) == SESSION_KEY_BYTES else None


def _trouble(errcode: int, rid: str, egress: str | None) -> WeChatTrouble:
    """The trouble behind WeChat's number; its text decides nothing, it has changed over the years."""
    if errcode in (40029, 41008):
        return CodeRefused(errcode, rid)
    if errcode == 40163:
        return CodeUsed(errcode, rid)
    if errcode == 40226:
        return UserHighRisk(errcode, rid)
    if errcode == BUSY:
        return WeChatBusy(BUSY_SECONDS, errcode, rid, why="WeChat's system is busy", code_spent=True)
    if errcode == NOT_SEEN:
        return NotSeenLately(errcode, rid)
    if errcode in (DAILY_QUOTA, MINUTE_QUOTA, *CHECK_QUOTAS):
        return WeChatBusy(QUOTA_SECONDS, errcode, rid, why="a quota is used up", code_spent=False)
    if errcode in MISCONFIGURED:
        return WeChatMisconfigured(errcode, rid, egress=egress)
    return WeChatUnusable("an unknown errcode", errcode, rid)
