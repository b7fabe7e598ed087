"""How a session lies in Redis: one packed value of 107 bytes, marked with our key so that no other is believed.

The mark covers the session's id, so a value moved under another key is noticed, and whoever can write to Redis but does
not have our key can end sessions, never make one.
"""

import hashlib
import hmac
import json
import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import get_args

import msgspec

from stores.sessions.promise import Reason, Session
from values import Confidential

# version, user id, epoch, created at, ends at, length of the appid; then the appid, the rest of the id, the sealed key
_HEAD = struct.Struct(">BQIIIB")
_VERSION = 1
_MARK_BYTES = 12  # 96 bits, the length that RFC 2404 cuts marks to
_REASONS: tuple[Reason, ...] = get_args(Reason)

# The part of an id that stands in keys and indexes; the rest is compared after the look-up. With 12 bytes an index
# entry and a value each fit the next smaller block of Redis's allocator. Two of 2**32 live ids share them once in 2**33
# tries, and then the older session ends: the mark sees to it that nobody gets the other's.
HANDLE_BYTES = 12


class NotOurs(Exception):
    """The stored bytes are no session of ours: garbage, another's, or moved from another key."""


class Packer:
    """Packs and unpacks under one key of 32 bytes."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def pack(self, session: Session) -> bytes:
        """The value to store; `expires_at` is left out, because use moves it and the value is never rewritten."""
        appid = _short(session.appid)
        head = _HEAD.pack(_VERSION, session.user_id, session.epoch, session.created_at, session.ends_at, len(appid))
        body = head + appid + session.id[HANDLE_BYTES:] + session.sealed_key
        return body + self._mark(session.id, body)

    def unpack(self, handle: bytes, value: bytes, expires_at: int | None = None) -> Session:
        """The session stored under `handle`. Raises NotOurs."""
        body, mark = value[:-_MARK_BYTES], value[-_MARK_BYTES:]
        try:
            version, user_id, epoch, created_at, ends_at, length = _HEAD.unpack_from(body)
        except struct.error:
            raise NotOurs from None
        rest_at = _HEAD.size + length
        key_at = rest_at + 32 - HANDLE_BYTES
        session_id = handle + body[rest_at:key_at]
        if version != _VERSION or not hmac.compare_digest(mark, self._mark(session_id, body)):
            raise NotOurs
        appid = _long(body[_HEAD.size : rest_at])
        return Session(session_id, user_id, appid, epoch, created_at, ends_at, expires_at or ends_at, body[key_at:])

    def _mark(self, session_id: bytes, body: bytes) -> bytes:
        return hashlib.blake2b(session_id + body, key=self._key, digest_size=_MARK_BYTES).digest()


def _short(appid: str) -> bytes:
    """WeChat's appids are `wx` and 16 hex digits: 8 bytes; any other stands as it is."""
    digits = appid.removeprefix("wx")
    if len(appid) == 18 and len(digits) == 16 and not digits.strip("0123456789abcdef"):
        return bytes.fromhex(digits)
    return appid.encode("ascii")


@lru_cache(1_000)
def _long(short: bytes) -> str:
    return f"wx{short.hex()}" if len(short) == 8 else short.decode("ascii")


def tombstone(reason: Reason) -> bytes:
    """What stands in the place of a session that was ended: one byte, which no packed session begins with."""
    return bytes([0xF0 + _REASONS.index(reason)])


def epitaph(value: bytes) -> Reason | None:
    """Why the session ended, when the value is a tombstone."""
    if len(value) == 1 and 0 <= value[0] - 0xF0 < len(_REASONS):
        return _REASONS[value[0] - 0xF0]
    return None


_ELSEWHERE = 0xE0  # what a signpost begins with; no packed session and no tombstone does


def signpost(bucket: int) -> bytes:
    """What stands in a cluster where a session's id leads to, when the session itself lies in another bucket."""
    return bytes([_ELSEWHERE, bucket])


def pointed(value: bytes | None) -> int | None:
    """The bucket that a signpost names; None when the value is no signpost."""
    return value[1] if value and len(value) == 2 and value[0] == _ELSEWHERE else None


# generation, until, expires at, length of the name; then the name and the session's value
_STASH = struct.Struct(">QIIH")


class Stash(Confidential, frozen=True):
    """What is kept of a session that may be brought back; its sealed key stays sealed in the value.

    Only the value bears our mark: whoever could write a stash could as well write the value back by himself.
    """

    by: str
    generation: int  # of the person, when the session was ended
    until: int
    expires_at: int
    value: bytes

    def packed(self) -> bytes:
        """The bytes to store."""
        name = self.by.encode("utf-8")
        return _STASH.pack(self.generation, self.until, self.expires_at, len(name)) + name + self.value

    @classmethod
    def unpacked(cls, raw: bytes | None) -> "Stash | None":
        """The stash in these bytes; None when there is none, or none of ours."""
        try:
            generation, until, expires_at, length = _STASH.unpack_from(raw or b"")
            at = _STASH.size + length
            return cls((raw or b"")[_STASH.size : at].decode("utf-8"), generation, until, expires_at, (raw or b"")[at:])
        except (struct.error, UnicodeDecodeError):
            return None


class Told(msgspec.Struct, frozen=True):
    """What Redis was told: the counters of all mini programs, and the name that it bore then.

    A Redis under another name has started or taken over since, and may have lost what was written last.
    """

    epochs: Mapping[str, int]
    name: str

    def packed(self) -> bytes:
        """The bytes to store."""
        return json.dumps({"epochs": dict(self.epochs), "told": self.name}, sort_keys=True).encode("ascii")

    @classmethod
    def unpacked(cls, raw: bytes | None) -> "Told | None":
        """What these bytes say; None when they are missing or nothing that we wrote."""
        try:
            found = json.loads(raw or b"")
        except (ValueError, RecursionError):
            return None
        epochs, name = (found.get("epochs"), found.get("told")) if isinstance(found, dict) else (None, None)
        if isinstance(epochs, dict) and isinstance(name, str) and all(type(each) is int for each in epochs.values()):
            return cls(epochs, name)
        return None
