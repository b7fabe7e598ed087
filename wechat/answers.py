"""Reads WeChat's answer to jscode2session: bytes in, a person or the reason why not out.

The rules are those of WeChat's page on code2Session as the field knows it: business errors come with HTTP 200, the
Content-Type is text/plain, `errcode` is absent on success, and a few numbers that the page leaves out are sent.
Nothing here raises: a raised JSON error would hold the whole answer, session_key included.
"""

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import NoReturn

from wechat.errors import (
    CodeRefused,
    CodeUsed,
    UserHighRisk,
    WeChatBusy,
    WeChatMisconfigured,
    WeChatTrouble,
    WeChatUnusable,
)

BUSY = -1
DAILY_QUOTA = 45009
MINUTE_QUOTA = 45011
# The credentials, the address, the account or the form of our question; only an operator can mend any of these.
MISCONFIGURED = frozenset(
    {40001, 40002, 40013, 40125, 40164, 40243, 41002, 41004, 43002, 43003}
    | {48001, 50002, 50004, 50007, 89503, 89506, 89507}
)
BUSY_SECONDS = 1
QUOTA_SECONDS = 60  # WeChat's words for 45011 are "retry next minute"
SESSION_KEY_BYTES = 16

# A real openid or unionid has 28 characters; the pattern leaves WeChat room and a database column no surprise.
_IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_QUOTED_ERRCODE = re.compile(r"-?[0-9]{1,9}", re.ASCII)
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


@dataclass(frozen=True, slots=True)
class Identity:
    """Who WeChat says the person is; `unionid` is None for an app outside a WeChat Open Platform account."""

    openid: str
    unionid: str | None
    session_key: SessionKey


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer as far as we read it; `body` stays empty where status or coding already rule it out."""

    status: int
    content_coding: str
    body: bytes


def read(reply: Reply) -> Identity | WeChatTrouble:
    """The person in WeChat's answer, or the trouble it tells of (returned, not raised)."""
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
    return _person(answer) if errcode == 0 else _trouble(errcode, _rid(answer))


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


def _trouble(errcode: int, rid: str) -> WeChatTrouble:
    """The trouble behind WeChat's number; its text is never looked at, it has changed over the years."""
    if errcode in (40029, 41008):
        return CodeRefused(errcode, rid)
    if errcode == 40163:
        return CodeUsed(errcode, rid)
    if errcode == 40226:
        return UserHighRisk(errcode, rid)
    if errcode == BUSY:
        return WeChatBusy(BUSY_SECONDS, errcode, rid, why="WeChat's system is busy", code_spent=True)
    if errcode in (DAILY_QUOTA, MINUTE_QUOTA):
        return WeChatBusy(QUOTA_SECONDS, errcode, rid, why="a quota is used up", code_spent=False)
    if errcode in MISCONFIGURED:
        return WeChatMisconfigured(errcode, rid)
    return WeChatUnusable("an unknown errcode", errcode, rid)
