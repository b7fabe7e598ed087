"""The second factor: codes by time (RFC 6238) as authenticator apps make them, and recovery codes for a lost phone."""

import base64
import hashlib
import hmac
import re
import secrets
import struct
from urllib.parse import quote

STEP_SECONDS = 30
_DIGITS = 6
_SECRET_BYTES = 20
_RECOVERY_CODES = 10
_RECOVERY_BYTES = 10
_ISSUER = "Menshen"


def new_secret() -> bytes:
    """As long as the HMAC's output (RFC 4226 section 4, R6)."""
    return secrets.token_bytes(_SECRET_BYTES)


def as_text(secret: bytes) -> str:
    """The secret as people type it into an app: Base32 in groups of four."""
    text = base64.b32encode(secret).decode("ascii").rstrip("=")
    return " ".join(text[start : start + 4] for start in range(0, len(text), 4))


def address(secret: bytes, name: str) -> str:
    """What the QR code holds; every authenticator app reads it."""
    text = base64.b32encode(secret).decode("ascii").rstrip("=")
    return f"otpauth://totp/{_ISSUER}:{quote(name)}?secret={text}&issuer={_ISSUER}"


def code_at(secret: bytes, step: int) -> str:
    """The six digits of one step of 30 seconds (RFC 4226 section 5.3)."""
    digest = hmac.new(secret, struct.pack(">Q", step), hashlib.sha1).digest()
    offset = digest[-1] & 0x0F
    [number] = struct.unpack(">I", digest[offset : offset + 4])
    return str((number & 0x7FFF_FFFF) % 10**_DIGITS).zfill(_DIGITS)


def step_of(secret: bytes, code: str, now: int) -> int | None:
    """The step of which this is the code, this one or a neighbour, for clocks that are half a minute off; or None."""
    typed = re.sub(r"[\s-]", "", code)
    here = now // STEP_SECONDS
    found = None
    for step in (here - 1, here, here + 1):
        # All three are compared, always: how long it takes must not tell which one was near.
        if hmac.compare_digest(code_at(secret, step).encode(), typed.encode()):
            found = step
    return found


def new_recovery_codes() -> list[str]:
    """Ten codes of 80 bits: too many to guess, also for somebody who has read their hashes."""
    texts = [base64.b32encode(secrets.token_bytes(_RECOVERY_BYTES)).decode("ascii") for _ in range(_RECOVERY_CODES)]
    return ["-".join(text[start : start + 4] for start in range(0, 16, 4)).lower() for text in texts]


def recovery_id(operator_id: int, code: str) -> bytes:
    """What is kept of a recovery code, however it is typed."""
    plain = re.sub(r"[\s-]", "", code).lower()
    return hashlib.sha256(f"{operator_id}:{plain}".encode()).digest()
