"""The cryptography of sessions and of people's marks.

A session_key is kept only sealed: AES-256-GCM (NIST SP 800-38D; OWASP ASVS 11.3.2), bound to the session it belongs to,
so that a sealed key copied into another session's row opens nowhere.
"""

import contextlib
import hmac
import secrets
import time
from collections.abc import Callable, Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
ASK_AGAIN_SECONDS = 1.0

SealingKeys = tuple[Mapping[int, bytes], int]  # by id, and the id of the one that seals


class SealBroken(Exception):
    """A sealed value that does not open: unknown key, changed bytes, or another session's. All causes look alike."""


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
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self._current = current

    def __repr__(self) -> str:
        return f"Seal(key ids {sorted(self._ciphers)}, current {self._current})"

    def seal(self, plain: bytes, bound_to: bytes) -> bytes:
        """`plain` sealed under the current key; it opens only with the same `bound_to` (the session's id)."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return bytes([self._current]) + nonce + self._ciphers[self._current].encrypt(nonce, plain, bound_to)

    def open(self, sealed: bytes, bound_to: bytes) -> bytes:
        """The plain bytes; raises SealBroken for an unknown key id, any changed byte, or another `bound_to`."""
        cipher = self._cipher(sealed[0]) if len(sealed) > NONCE_BYTES + TAG_BYTES else None
        if cipher is None:
            raise SealBroken("the seal does not open")
        try:
            return cipher.decrypt(sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :], bound_to)
        except InvalidTag:
            raise SealBroken("the seal does not open") from None

    def _cipher(self, key_id: int) -> AESGCM | None:
        if key_id not in self._ciphers and self._newer and time.monotonic() >= self._ask_again_at:
            self._ask_again_at = time.monotonic() + ASK_AGAIN_SECONDS
            found = self._newer()
            with contextlib.suppress(ValueError):  # keys that are none leave us those we have
                if found:
                    self.take(*found)
        return self._ciphers.get(key_id)


def person_mark(key: bytes, appid: str, openid: str) -> bytes:
    """32 bytes that stand for a person in a block list after everything else about them was erased.

    HMAC-SHA-256 (RFC 2104) over both parts, each with its length in front: without the lengths "ab"+"c" and "a"+"bc"
    would be one person. `key` has 32 bytes, or nobody's openid would be safe from guessing; raises ValueError.
    """
    if len(key) != KEY_BYTES:
        raise ValueError(f"the key of people's marks has {KEY_BYTES} bytes")
    told = b"".join(len(part).to_bytes(4, "big") + part for part in (appid.encode(), openid.encode()))
    return hmac.digest(key, told, "sha256")
