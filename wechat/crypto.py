"""The cryptography of sessions and of people's marks: the only room that imports Crypto.

A session_key is kept only sealed: AES-256-GCM (NIST SP 800-38D; OWASP ASVS 11.3.2), bound to the session it belongs to,
so that a sealed key copied into another session's row opens nowhere.
"""

import base64
import binascii
import contextlib
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from Crypto.Cipher import AES

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
SESSION_KEY_BYTES = 16  # AES takes 24 or 32 without complaint and means another cipher
_BLOCK = 16
_PUSH_PADDING = 32  # the block of PKCS#7 in the message push, twice that of AES
_DEEPEST = 32
ASK_AGAIN_SECONDS = 1.0

SealingKeys = tuple[Mapping[int, bytes], int]  # by id, and the id of the one that seals


class SealBroken(Exception):
    """A sealed value that does not open: unknown key, changed bytes, or another session's. All causes look alike."""


class DataRefused(Exception):
    """Encrypted data from a phone that is not taken. All causes look alike, or they would be an oracle."""


class Seal:
    """Seals short secrets with AES-256-GCM under numbered keys, so that keys can change without losing anything.

    Sealed form: key id (1 byte), random nonce (12), ciphertext (as long as the plain text), tag (16).
    Random nonces are good for 2**32 seals per key (NIST SP 800-38D, 8.3): at 100 logins a second, change the key
    within sixteen months.
    """

    def __init__(
        self, keys: Mapping[int, bytes], current: int, newer: Callable[[], SealingKeys | None] | None = None
    ) -> None:
        """`keys` by id (0 to 255), 32 bytes each; new values are sealed with `current`, every key opens its own.

        `newer` is asked, once in ASK_AGAIN_SECONDS at the most, when a seal names a key that is not among them:
        another process may seal with a newer one already.
        Raises ValueError for a key of the wrong size, an id out of range, two ids with one key, or no current key.
        """
        self.take(keys, current)
        self._newer = newer
        self._ask_again_at = 0.0

    def take(self, keys: Mapping[int, bytes], current: int) -> None:
        """Uses these keys from now on. Raises ValueError as the constructor does, and then the old ones stay."""
        if not all(0 <= key_id <= 255 for key_id in keys):
            raise ValueError("a sealing key's id is a number from 0 to 255")
        if not all(len(key) == KEY_BYTES for key in keys.values()):
            raise ValueError(f"a sealing key has {KEY_BYTES} bytes")
        if len(set(keys.values())) != len(keys):
            raise ValueError("two ids for one sealing key are no rotation")
        if current not in keys:
            raise ValueError("the current sealing key is missing")
        self._keys = dict(keys)
        self._current = current

    def __repr__(self) -> str:
        return f"Seal(key ids {sorted(self._keys)}, current {self._current})"

    def seal(self, plain: bytes, bound_to: bytes) -> bytes:
        """`plain` sealed under the current key; it opens only with the same `bound_to` (the session's id)."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        cipher = AES.new(self._keys[self._current], AES.MODE_GCM, nonce=nonce, mac_len=TAG_BYTES)
        cipher.update(bound_to)
        ciphertext, tag = cipher.encrypt_and_digest(plain)
        return bytes([self._current]) + nonce + ciphertext + tag

    def open(self, sealed: bytes, bound_to: bytes) -> bytes:
        """The plain bytes; raises SealBroken for an unknown key id, any changed byte, or another `bound_to`."""
        key = self._key(sealed[0]) if len(sealed) > NONCE_BYTES + TAG_BYTES else None
        if key is None:
            raise SealBroken("the seal does not open")
        cipher = AES.new(key, AES.MODE_GCM, nonce=sealed[1 : 1 + NONCE_BYTES], mac_len=TAG_BYTES)
        cipher.update(bound_to)
        try:
            return cipher.decrypt_and_verify(sealed[1 + NONCE_BYTES : -TAG_BYTES], sealed[-TAG_BYTES:])
        except ValueError:
            raise SealBroken("the seal does not open") from None

    def _key(self, key_id: int) -> bytes | None:
        if key_id not in self._keys and self._newer and time.monotonic() >= self._ask_again_at:
            self._ask_again_at = time.monotonic() + ASK_AGAIN_SECONDS
            found = self._newer()
            with contextlib.suppress(ValueError):  # keys that are none leave us those we have
                if found:
                    self.take(*found)
        return self._keys.get(key_id)


def person_mark(key: bytes, appid: str, openid: str) -> bytes:
    """32 bytes that stand for a person in a block list after everything else about them was erased.

    HMAC-SHA-256 (RFC 2104) over both parts, each with its length in front: without the lengths "ab"+"c" and "a"+"bc"
    would be one person. `key` has 32 bytes, or nobody's openid would be safe from guessing; raises ValueError.
    """
    if len(key) != KEY_BYTES:
        raise ValueError(f"the key of people's marks has {KEY_BYTES} bytes")
    mark = hmac.new(key, digestmod=hashlib.sha256)
    for part in (appid.encode(), openid.encode()):
        mark.update(len(part).to_bytes(4, "big") + part)
    return mark.digest()


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
    plain = AES.new(session_key, AES.MODE_CBC, iv=vector).decrypt(ciphertext)
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
    return base64.b64encode(AES.new(session_key, AES.MODE_CBC, iv=iv).encrypt(padded)).decode("ascii")


def seal_push(key: bytes, message: bytes, appid: str) -> str:
    """The `Encrypt` of a message push: the way back from `open_push`, for the simulator."""
    plain = secrets.token_bytes(16) + len(message).to_bytes(4, "big") + message + appid.encode("ascii")
    length = 32 - len(plain) % 32
    padded = plain + bytes([length]) * length
    return base64.b64encode(AES.new(key, AES.MODE_CBC, iv=key[:16]).encrypt(padded)).decode("ascii")


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
        found = json.loads(plain.decode("utf-8"), object_pairs_hook=_no_key_twice, parse_constant=_no_constant)
        text = json.dumps(found, ensure_ascii=False, allow_nan=False)
        text.encode("utf-8")  # half of a surrogate pair cannot be encoded
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and not _too_deep(found, _DEEPEST) else None


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _no_constant(_name: str) -> NoReturn:
    raise ValueError


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


class PushUnreadable(Exception):
    """An encrypted message that our key does not open, or that is for another mini program. All causes look alike."""


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
    plain = AES.new(key, AES.MODE_CBC, iv=key[:_BLOCK]).decrypt(ciphertext)
    padding = plain[-1]
    if not 1 <= padding <= _PUSH_PADDING or plain[-padding:] != bytes([padding]) * padding:
        raise PushUnreadable
    body = plain[_BLOCK:-padding]
    end = 4 + int.from_bytes(body[:4], "big")
    if len(body) < end or not hmac.compare_digest(body[end:], appid.encode("ascii")):
        raise PushUnreadable
    return body[4:end]
