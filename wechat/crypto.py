"""The cryptography of sessions and of people's marks: the only room that imports Crypto.

A session_key is kept only sealed: AES-256-GCM (NIST SP 800-38D; OWASP ASVS 11.3.2), bound to the session it belongs to,
so that a sealed key copied into another session's row opens nowhere.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping

from Crypto.Cipher import AES

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16


class SealBroken(Exception):
    """A sealed value that does not open: unknown key, changed bytes, or another session's. All causes look alike."""


class Seal:
    """Seals short secrets with AES-256-GCM under numbered keys, so that keys can change without losing anything.

    Sealed form: key id (1 byte), random nonce (12), ciphertext (as long as the plain text), tag (16).
    Random nonces are good for 2**32 seals per key (NIST SP 800-38D, 8.3): at 100 logins a second, change the key
    within sixteen months.
    """

    def __init__(self, keys: Mapping[int, bytes], current: int) -> None:
        """`keys` by id (0 to 255), 32 bytes each; new values are sealed with `current`, every key opens its own.

        Raises ValueError for a key of the wrong size, an id out of range, two ids with one key, or no current key.
        """
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
        key = self._keys.get(sealed[0]) if len(sealed) > NONCE_BYTES + TAG_BYTES else None
        if key is None:
            raise SealBroken("the seal does not open")
        cipher = AES.new(key, AES.MODE_GCM, nonce=sealed[1 : 1 + NONCE_BYTES], mac_len=TAG_BYTES)
        cipher.update(bound_to)
        try:
            return cipher.decrypt_and_verify(sealed[1 + NONCE_BYTES : -TAG_BYTES], sealed[-TAG_BYTES:])
        except ValueError:
            raise SealBroken("the seal does not open") from None


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
