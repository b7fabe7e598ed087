"""The verbs about copies of the embedded store: make one beside a running server, and let one of the past go on."""

import asyncio
import os
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from actions.backend import Backend
from actions.deeds import Actor, written_down
from actions.upkeep import tell_epochs
from settings import SqliteUrl
from stores.backups import LastBackup, begin_anew, never_again, note_backup
from stores.db.copies import CopyFailed, Found, copy_whole
from stores.keys import FILE_NAME

# Added where nobody can say any more how far numbers had come: the database that is replaced is gone.
_EPOCHS_UNSEEN, _USERS_UNSEEN = 1_000, 1_000_000


class NotEmbedded(Exception):
    """The data is in MySQL, whose own tools copy it."""


def keys_beside(copy: Path) -> Path:
    """Where the keys lie that belong to a copy."""
    return copy.with_name(f"{copy.name}.{FILE_NAME}")


async def back_up(backend: Backend, by: Actor, target: Path, *, with_keys: bool) -> LastBackup:
    """Makes a copy as of this moment beside whoever serves, and with `with_keys` one of the keys beside it.

    Without them a copy that is stolen opens no session_key and no second factor (OWASP ASVS 14.2.6). Raises
    NotEmbedded, CopyFailed, AuditAway.
    """
    source = backend.settings.database
    if not isinstance(source, SqliteUrl):
        raise NotEmbedded
    keys = keys_beside(target)
    if with_keys and keys.exists():
        raise CopyFailed(f"{keys} is there already, and a backup is never written over another")
    async with written_down(backend, by, "data.backup", target=f"file:{target}"):
        with ThreadPoolExecutor(1, "backup") as thread:  # of its own: it lets all others go first, for as long as it is
            copying = partial(copy_whole, source.path, target, gently=True)
            size = await asyncio.get_running_loop().run_in_executor(thread, copying)
        made = LastBackup(backend.now(), str(target), size)
        try:
            if with_keys:
                await asyncio.to_thread(copy_keys, backend.settings.data_dir / FILE_NAME, keys)
            await asyncio.to_thread(note_backup, backend.settings.data_dir, made)
        except OSError as error:
            raise CopyFailed(f"{error.filename}: {error.strerror}") from None
    return made


def copy_keys(source: Path, target: Path) -> None:
    """Copies the keys to a file that only its owner can read and that was not there. Raises OSError."""
    file = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with open(file, "wb") as written, source.open("rb") as read:
        shutil.copyfileobj(read, written)
        written.flush()
        os.fsync(written.fileno())


async def go_on_from(
    backend: Backend, by: Actor, name: str, copy: Found, replaced: Found | None, *, keep_sessions: bool
) -> None:
    """Makes a database of the past fit to go on: writes down that it came back, and lets nothing that ended revive.

    `replaced` is the database in whose place it goes, None when nobody can read that any more. A person's number is
    never given to somebody else; with `keep_sessions` the sessions of the copy hold. Raises AuditAway, store trouble.
    """
    async with written_down(backend, by, "data.restore", target=f"file:{name}"):
        unseen = 0 if replaced else _USERS_UNSEEN
        before = replaced.last_user_id if replaced else 0
        await never_again(backend.db, max(copy.last_user_id, before) + unseen)
        if not keep_sessions:
            await begin_anew(backend.db, _next(copy.epochs, replaced.epochs if replaced else None), backend.now())
            await tell_epochs(backend)


def _next(copy: Mapping[str, int], replaced: Mapping[str, int] | None) -> dict[str, int]:
    """A counter for each mini program that no session, of then or of now, was ever born in."""
    unseen = _EPOCHS_UNSEEN if replaced is None else 1
    return {appid: max(counter, (replaced or {}).get(appid, 0)) + unseen for appid, counter in copy.items()}
