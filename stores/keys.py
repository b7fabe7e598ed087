"""The keys that this installation made for itself at its first start, in one file that only its owner can read.

Several servers on one MySQL and one Redis share a copy of this file. Losing it ends the sessions in Redis, whose marks
no longer fit; the sealed session_keys become unreadable, and a block of an erased person is no longer recognised.
"""

import base64
import contextlib
import fcntl
import json
import logging
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stores.folders import sync_folder
from values import Confidential

log = logging.getLogger("menshen.store")

FILE_NAME = "keys.json"
_LAST_NUMBER = 255  # a seal names its key in one byte


class KeysUnreadable(Exception):
    """The key file is missing, damaged or open to others; its text says which and what to do."""


class Keys(Confidential, frozen=True):
    """32 bytes each. `sealing` holds every key that may still open something, by number; `current` seals."""

    sealing: dict[int, bytes]
    current: int
    session_mark: bytes  # proves that a stored session was written by us, under its own key
    person_mark: bytes  # names a person in the block list after erasure


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
        raise KeysUnreadable(
            f"no keys in {folder}: put {FILE_NAME} back from its copy, or set DATA_DIR; a first start makes it"
        )
    if path.stat().st_mode & 0o077:
        raise KeysUnreadable(f"{path} can be read by others: run chmod 600 {path}")
    try:
        return _parse(json.loads(path.read_text("ascii")))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise KeysUnreadable(f"{path} is damaged: restore it from a backup; nothing was changed") from None


def newer_keys(folder: Path) -> tuple[dict[int, bytes], int] | None:
    """The sealing keys as the file has them now, and which one seals; None, said in the log, if it cannot be read."""
    log.warning("a seal names a key that this process does not know: the sealing keys are read anew")
    try:
        keys = load_keys(folder)
    except (KeysUnreadable, OSError) as error:
        log.error("the sealing keys cannot be read: %s", error)
        return None
    return keys.sealing, keys.current


def rotate_keys(folder: Path) -> Keys:
    """Makes a sealing key that seals from now on; the older ones stay to open what they sealed (OWASP ASVS 11.2.2).

    Whoever holds the keys already takes them up when told (`Seal.take`), or on meeting what the new one sealed. Two who
    rotate at once make two keys, one after the other. Raises KeysUnreadable, also when all 255 numbers are taken or the
    file cannot be written.
    """
    path = folder / FILE_NAME
    load_keys(folder)
    try:
        with _held(folder):
            found = json.loads(path.read_text("ascii"))
            number = max(map(int, found["sealing"])) + 1
            if number > _LAST_NUMBER:
                raise KeysUnreadable(f"{path} holds {_LAST_NUMBER} sealing keys, and no more can be told apart")
            found["sealing"][str(number)] = _new_key()
            os.replace(_draft(path, {**found, "current": number}), path)
            sync_folder(folder)
    except OSError as error:
        raise KeysUnreadable(f"{path} could not be written: {error.strerror}; nothing was changed") from None
    return load_keys(folder)


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    """One rotation at a time. The folder itself is the lock: the file is replaced, and a lock would go with it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _make(path: Path) -> None:
    """Writes new keys. When two servers start at once, the one that links its file first wins."""
    keys = {"current": 1, "sealing": {"1": _new_key()}, "session_mark": _new_key(), "person_mark": _new_key()}
    draft = _draft(path, keys)
    with contextlib.suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()
    sync_folder(path.parent)


def _draft(path: Path, keys: dict[str, Any]) -> Path:
    """A file beside `path` that only its owner can read, on the disk when this returns."""
    draft = path.with_name(f".{FILE_NAME}.{secrets.token_hex(4)}")
    with open(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="ascii") as file:
        file.write(json.dumps(keys, indent=1))
        file.flush()
        os.fsync(file.fileno())
    return draft


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
