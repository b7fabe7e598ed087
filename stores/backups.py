"""What is known of the last backup, in a small file beside the data, for `doctor` and for whoever looks."""

import contextlib
import json
import os
from pathlib import Path

import msgspec
from msgspec.structs import asdict

from stores.db import Database, Script, all_of, load

SQL = load("backups.sql")
FILE_NAME = "last-backup.json"


class LastBackup(msgspec.Struct, frozen=True):
    """When it was made, in epoch seconds, where it was put, and how large it was."""

    at: int
    file: str
    bytes: int


def note_backup(folder: Path, last: LastBackup) -> None:
    """Writes it down. Raises OSError."""
    draft = folder / f".{FILE_NAME}.draft"
    with open(os.open(draft, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
        json.dump(asdict(last), file)
    os.replace(draft, folder / FILE_NAME)


def last_backup(folder: Path) -> LastBackup | None:
    """The last one that was noted; None when there is none, or the note cannot be read."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        found = json.loads((folder / FILE_NAME).read_text("utf-8"))
        return LastBackup(int(found["at"]), str(found["file"]), int(found["bytes"]))
    return None


async def last_user_id(db: Database) -> int:
    """The highest number that a person was ever given here, also when nobody has it any more. Raises UsersAway."""
    return int((await db.read(SQL["last_user_id"]()))[0][0])


async def never_again(db: Database, last: int) -> None:
    """Sees to it that the next new person gets a number above `last`. Raises UsersAway, StoreFull."""
    if await last_user_id(db) >= last:
        return
    await db.write(all_of(SQL["take_user_id"](user_id=last), SQL["drop_user_id"](user_id=last)))


async def begin_anew(db: Database, epochs: dict[str, int], at: int) -> None:
    """Raises the counters of these mini programs and signs every operator out. Raises UsersAway, StoreFull."""

    def script() -> Script[None]:
        for appid, counter in epochs.items():
            yield SQL["set_epoch"](appid=appid, counter=counter, at=at)
        yield SQL["forget_operator_sessions"]()
        yield SQL["forget_operator_links"]()

    await db.write(script)
