"""What WeChat encrypts and signs: encryptedData, rawData, checksession, the message push. The only room of Crypto."""

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING, Any

import strict_json

if TYPE_CHECKING:
    from Crypto.Cipher._mode_cbc import CbcMode

SESSION_KEY_BYTES = 16  # AES takes 24 or 32 without complaint and means another cipher
_BLOCK = 16
_PUSH_PADDING = 32  # the block of PKCS#7 in the message push, twice that of AES
_DEEPEST = 32


class DataRefused(Exception):
    """Encrypted data from a phone that is not taken. All causes look alike, or they would be an oracle."""


class PushUnreadable(Exception):
    """An encrypted message that our key does not open, or that is for another mini program. All causes look alike."""


def decrypted(session_key: bytes, encrypted_data: str, iv: str, *, appid: str, openid: str) -> dict[str, Any]:
    """The object in a phone's `encryptedData`; `appid` and `openid` are those of the session whose key it is.

    AES-128-CBC with PKCS#7 (WeChat: user-ability/signature). CBC proves nothing: whoever picks the `iv` picks the first
    16 bytes. So the data must name this mini program, and nobody but this person; even then it is only what the phone
    says, and no identity or phone number that opens an account may be taken from it.
    Raises DataRefused, the same for every cause; no cause is found before the whole has been deciphered.
    """
    vector, ciphertext = _base64(iv), _base64(encrypted_data)
    if len(session_key) != SESSION_KEY_BYTES or len(vector) != _BLOCK or not ciphertext or len(ciphertext) % _BLOCK:
        raise DataRefused
    plain = _cbc(session_key, vector).decrypt(ciphertext)
    padding = _padding(plain)
    # Wrong padding goes the whole way too: as if it were one byte, so that what follows is the same work.
    found = _object(plain[: -(padding or 1)])
    if not padding or found is None or not _is_of(found, appid, openid):
        raise DataRefused
    return found


def raw_data_signature(raw_data: str, session_key: bytes) -> str:
    """What WeChat signs `rawData` with: SHA-1 over it and the text of the key (WeChat: user-ability/signature)."""
    signed = raw_data.encode("utf-8") + base64.b64encode(session_key)
    return hashlib.sha1(signed, usedforsecurity=True).hexdigest()  # noqa: S324  # WeChat's protocol, not our choice


def is_signed(raw_data: str, signature: str, session_key: bytes) -> bool:
    """Whether this is the signature of `raw_data`, compared in constant time."""
    return hmac.compare_digest(raw_data_signature(raw_data, session_key).encode(), signature.lower().encode("utf-8"))


def session_key_signature(session_key: bytes, message: bytes = b"") -> str:
    """HMAC-SHA256 under the *text* of the key; with no message it is what checksession wants (WeChat: checkSessionKey).

    The key is the base64 text, not the 16 bytes in it: WeChat's own example holds only so.
    """
    return hmac.new(base64.b64encode(session_key), message, hashlib.sha256).hexdigest()


def encrypted(session_key: bytes, plain: bytes, iv: bytes) -> str:
    """What a phone is given as `encryptedData`: the way back from `decrypted`, for the simulator."""
    length = _BLOCK - len(plain) % _BLOCK
    padded = plain + bytes([length]) * length
    return base64.b64encode(_cbc(session_key, iv).encrypt(padded)).decode("ascii")


def seal_push(key: bytes, message: bytes, appid: str) -> str:
    """The `Encrypt` of a message push: the way back from `open_push`, for the simulator."""
    plain = secrets.token_bytes(16) + len(message).to_bytes(4, "big") + message + appid.encode("ascii")
    length = _PUSH_PADDING - len(plain) % _PUSH_PADDING
    padded = plain + bytes([length]) * length
    return base64.b64encode(_cbc(key, key[:_BLOCK]).encrypt(padded)).decode("ascii")


def _cbc(key: bytes, iv: bytes) -> "CbcMode":
    from Crypto.Cipher import AES  # not before it is needed: it takes a tenth of all that a start would load

    return AES.new(key, AES.MODE_CBC, iv=iv)


def _base64(text: str) -> bytes:
    """Strict base64; a form's reader turns + into a blank, which is turned back. Raises DataRefused."""
    try:
        return base64.b64decode(text.replace(" ", "+").encode("ascii"), validate=True)
    except (binascii.Error, ValueError):
        raise DataRefused from None


def _padding(plain: bytes) -> int:
    """How many bytes of PKCS#7 (RFC 5652, 6.3) stand at the end, 0 where it is wrong; all 16 are always looked at."""
    length = plain[-1]
    wrong = int(not 1 <= length <= _BLOCK)
    for at in range(_BLOCK):
        wrong |= (at < length) & (plain[-1 - at] != length)
    return 0 if wrong else length


def _object(plain: bytes) -> dict[str, Any] | None:
    """The JSON object in it, read as strictly as a request's body; None for everything else."""
    try:
        found = strict_json.read(plain.decode("utf-8"))
        strict_json.encoded(found)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and not _too_deep(found, _DEEPEST) else None


def _too_deep(value: object, left: int) -> bool:
    """Whether it holds more levels than anybody who writes it out again may have to go down."""
    if not left:
        return True
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(_too_deep(each, left - 1) for each in inner)


def _is_of(found: dict[str, Any], appid: str, openid: str) -> bool:
    """Whether it was made for this mini program, and not for another person where it names one at all."""
    watermark = found.get("watermark")
    if not isinstance(watermark, dict) or watermark.get("appid") != appid:
        return False
    return all(found[name] == openid for name in ("openId", "openid") if name in found)


def open_push(key: bytes, encrypted: str, appid: str) -> bytes:
    """The message in the field Encrypt of a pushed message (WeChat: server-ability/message-push, secure mode).

    AES-256-CBC, the IV is the beginning of the key, padding up to 32 bytes; inside stand 16 random bytes, the length,
    the message and the appid. The caller has checked msg_signature before, so nobody can use this as an oracle.
    Raises PushUnreadable.
    """
    try:
        ciphertext = base64.b64decode(encrypted.encode("ascii"), validate=True)
    except (binascii.Error, ValueError):
        raise PushUnreadable from None
    if not ciphertext or len(ciphertext) % _BLOCK:
        raise PushUnreadable
    plain = _cbc(key, key[:_BLOCK]).decrypt(ciphertext)
    padding = plain[-1]
    if not 1 <= padding <= _PUSH_PADDING or plain[-padding:] != bytes([padding]) * padding:
        raise PushUnreadable
    body = plain[_BLOCK:-padding]
    end = 4 + int.from_bytes(body[:4], "big")
    if len(body) < end or not hmac.compare_digest(body[end:], appid.encode("ascii")):
        raise PushUnreadable
    return body[4:end]
