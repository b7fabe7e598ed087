"""The keys that this installation made for itself at its first start, in one file that only its owner can read.

Several servers on one MySQL and one Redis share a copy of this file. Losing it ends the sessions in Redis, whose marks
no longer fit; the sealed session_keys become unreadable, and a block of an erased person is no longer recognised.
"""

import base64
import contextlib
import json
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FILE_NAME = "keys.json"


class KeysUnreadable(Exception):
    """The key file is missing, damaged or open to others; its text says which and what to do."""


@dataclass(frozen=True)
class Keys:
    """32 bytes each. `sealing` holds every key that may still open something, by number; `current` seals."""

    sealing: dict[int, bytes] = field(repr=False)
    current: int
    session_mark: bytes = field(repr=False)  # proves that a stored session was written by us, under its own key
    person_mark: bytes = field(repr=False)  # names a person in the block list after erasure


def make_keys(folder: Path) -> Keys:
    """The keys of this installation, made now if there are none. Raises KeysUnreadable."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / FILE_NAME
    if not path.exists():
        _make(path)
    return load_keys(folder)


def load_keys(folder: Path) -> Keys:
    """The keys of this installation; nothing is made. Raises KeysUnreadable."""
    path = folder / FILE_NAME
    if not path.exists():
        # Keys made beside the wrong data would open nothing, and the next server there would take them for its own.
        raise KeysUnreadable(f"there are no keys in {folder}: start the server once, or set DATA_DIR")
    if path.stat().st_mode & 0o077:
        raise KeysUnreadable(f"{path} can be read by others: run chmod 600 {path}")
    try:
        return _parse(json.loads(path.read_text("ascii")))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise KeysUnreadable(f"{path} is damaged: restore it from a backup; nothing was changed") from None


def _make(path: Path) -> None:
    """Writes new keys. When two servers start at once, the one that links its file first wins."""
    text = json.dumps(
        {"current": 1, "sealing": {"1": _new_key()}, "session_mark": _new_key(), "person_mark": _new_key()}, indent=1
    )
    draft = path.with_name(f".{FILE_NAME}.{secrets.token_hex(4)}")
    with open(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    with contextlib.suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()


def _new_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode("ascii")


def _parse(found: dict[str, Any]) -> Keys:
    sealing = {int(number): _key(text) for number, text in found["sealing"].items()}
    if found["current"] not in sealing:
        raise ValueError
    return Keys(sealing, found["current"], _key(found["session_mark"]), _key(found["person_mark"]))


def _key(text: str) -> bytes:
    key = base64.b64decode(text, validate=True)
    if len(key) != 32:
        raise ValueError
    return key
