"""WeChat's message push as it stands on the wire: its signatures, its encryption, and its messages in JSON and XML.

A message has names and short texts, one below the other, and within them nothing that we read but `result`, whose texts
are called `result.suggest` and the like. The signature of plain mode does not
cover the body: whoever has seen one signed address can send any body to it. Only an encrypted message is WeChat's word.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any, NoReturn
from xml.parsers import expat

import msgspec

import strict_json
from wechat.data import PushUnreadable, open_push

MOST_FIELDS = 64
MOST_NAME = 64
MOST_TEXT = 32 * 1024
WINDOW_SECONDS = 600
WITHIN = "result"
_DIGITS = re.compile(r"[0-9]{1,12}", re.ASCII)
_NONCE = re.compile(r"[\w.-]{1,64}", re.ASCII)
_SHA1 = re.compile(r"[0-9a-f]{40}", re.ASCII)

__all__ = ["Message", "NotSigned", "PushUnreadable", "Unreadable", "is_fresh", "is_signed", "read_message", "signature"]


class NotSigned(Exception):
    """The signature does not hold, or the moment it was made for is long over."""


class Unreadable(Exception):
    """The body is no message: neither the JSON nor the XML that WeChat sends."""


class Message(msgspec.Struct, frozen=True):
    """One message. `sealed` says that it was encrypted to us, so that it is WeChat's word and nobody else's."""

    fields: Mapping[str, str]
    sealed: bool

    def __getitem__(self, name: str) -> str:
        """The text of a field, empty when it is missing."""
        return self.fields.get(name, "")


class Signed(msgspec.Struct, frozen=True):
    """What stands in the address of a push."""

    timestamp: str
    nonce: str
    signature: str
    msg_signature: str = ""


def signature(token: str, *parts: str) -> str:
    """SHA-1 over token and parts, sorted and joined (WeChat: server-ability/message-push)."""
    joined = "".join(sorted([token, *parts]))
    return hashlib.sha1(joined.encode("utf-8")).hexdigest()  # noqa: S324  # WeChat's protocol, not our choice


def is_signed(token: str, given: str, *parts: str) -> bool:
    """Whether `given` is that signature; compared in constant time."""
    return bool(_SHA1.fullmatch(given)) and hmac.compare_digest(signature(token, *parts), given)


def is_fresh(timestamp: str, now: int) -> bool:
    """Whether a push was signed within ten minutes of now; older ones may have been picked from somebody's log."""
    return bool(_DIGITS.fullmatch(timestamp)) and abs(now - int(timestamp)) <= WINDOW_SECONDS


def check_address(signed: Signed, token: str, now: int) -> None:
    """The signature of the address alone, as in plain mode and when the console asks for it. Raises NotSigned."""
    if not _NONCE.fullmatch(signed.nonce) or not is_fresh(signed.timestamp, now):
        raise NotSigned
    if not is_signed(token, signed.signature, signed.timestamp, signed.nonce):
        raise NotSigned


def read_push(body: bytes, signed: Signed, *, token: str, key: str | None, appid: str, now: int) -> Message:
    """The message of a push in plain, compatible or secure mode.

    With a `key` (the EncodingAESKey) only what was encrypted counts: the plain fields that compatible mode sends beside
    it are not looked at, and a message without any is refused, or an attacker would simply leave it out.
    Raises NotSigned, PushUnreadable, Unreadable.
    """
    if key is None:
        check_address(signed, token, now)
        outer = read_message(body)
        if "Encrypt" in outer and "Event" not in outer and "MsgType" not in outer:
            raise PushUnreadable  # secure mode, and nobody told us the key
        return Message(outer, sealed=False)
    if not _NONCE.fullmatch(signed.nonce) or not is_fresh(signed.timestamp, now):
        raise NotSigned
    encrypted = read_message(body).get("Encrypt", "")
    # `signature` proves nothing about the body, and WeChat says not to use it here.
    if not encrypted or not is_signed(token, signed.msg_signature, signed.timestamp, signed.nonce, encrypted):
        raise NotSigned
    return Message(read_message(open_push(key_bytes(key), encrypted, appid)), sealed=True)


def key_bytes(encoding_aes_key: str) -> bytes:
    """The 32 bytes of an EncodingAESKey, which is their base64 without the last character."""
    return base64.b64decode(encoding_aes_key + "=")


def read_message(body: bytes) -> dict[str, str]:
    """The names and texts of a message in UTF-8, both without blanks around them. Raises Unreadable."""
    found = _xml(body) if body.lstrip()[:1] == b"<" else _json(body)
    stripped = {name.strip(): text.strip() for name, text in found.items()}
    if len(found) > MOST_FIELDS or len(stripped) != len(found):
        raise Unreadable
    if any(not name or len(name) > MOST_NAME or len(text) > MOST_TEXT for name, text in stripped.items()):
        raise Unreadable
    return stripped


def _json(body: bytes) -> dict[str, str]:
    """Texts and whole numbers, those of `result` too; what else stands in events is none of ours and left out."""
    try:
        found = strict_json.read(body.decode("utf-8"))
        if not isinstance(found, dict):
            raise Unreadable
        texts = _texts(found)
        if isinstance(within := found.get(WITHIN), dict):
            texts |= {f"{WITHIN}.{name}": text for name, text in _texts(within).items()}
        "".join((*texts, *texts.values())).encode("utf-8")  # half of a surrogate pair cannot be encoded
    except (ValueError, RecursionError):
        raise Unreadable from None
    return texts


def _texts(found: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in found.items() if type(value) in (str, int)}


def _refuse(*_given: object) -> NoReturn:
    raise Unreadable


def _xml(body: bytes) -> dict[str, str]:
    """The children of the one outer element, and those of `result`. What else is deeper is left out.

    OWASP ASVS 1.5.1: the first sign of a document type, an entity or another coding ends the reading, so that nothing
    is fetched and nothing can unfold.
    """
    reading = _Reading()
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    parser.StartDoctypeDeclHandler = _refuse
    parser.EntityDeclHandler = _refuse
    parser.ExternalEntityRefHandler = _refuse
    parser.ProcessingInstructionHandler = _refuse
    parser.StartElementHandler = reading.begin
    parser.EndElementHandler = reading.end
    parser.CharacterDataHandler = reading.text
    try:
        parser.Parse(body, True)
    except expat.ExpatError:
        raise Unreadable from None
    return reading.found


class _Reading:
    """What a walk through an XML message has met so far."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self._path: list[str] = []
        self._texts: list[str] = []
        self._has_children = False

    def begin(self, name: str, attributes: Mapping[str, str]) -> None:
        if attributes or len(self._path) > 8 or (not self._path and name != "xml"):
            raise Unreadable
        self._path.append(name)
        self._has_children = False
        if self._is_read():
            self._texts = []

    def text(self, text: str) -> None:
        if self._is_read():
            self._texts.append(text)

    def end(self, _name: str) -> None:
        if self._is_read() and not self._has_children:
            name = ".".join(self._path[1:])
            if name in self.found or len(self.found) >= MOST_FIELDS:
                raise Unreadable
            self.found[name] = "".join(self._texts)
        self._path.pop()
        self._has_children = True

    def _is_read(self) -> bool:
        return len(self._path) == 2 or (len(self._path) == 3 and self._path[1] == WITHIN)
