"""What the commands do that are about the whole installation: `backup`, `restore`, `move`, `doctor`."""

import argparse
import asyncio
import contextlib
import dataclasses
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import process
from actions.backups import NotEmbedded, back_up, copy_keys, go_on_from, keys_beside
from actions.doctor import Finding, examine_outside, examine_stores
from addresses import DATABASE, SESSIONS
from commands import DONE, FAILED, Refused, ask_once, shell, table, warn
from settings import MysqlUrl, RedisUrl, Settings, SqliteUrl
from stores.db.copies import CopyFailed, Found, copy_whole, look_at, look_at_old, put_in_place
from stores.errors import NotEmpty, StoreTrouble
from stores.keys import FILE_NAME, KeysUnreadable, make_keys
from stores.lock import DataLock
from stores.moving import NotTheSame
from values import Kind

if TYPE_CHECKING:
    from actions.moving import Moved

_ELSEWHERE = (
    "the data is in MySQL: copy it with mariadb-dump --single-transaction or mysqldump --single-transaction, "
    "and Redis by its own RDB or AOF file; keep keys.json with them"
)


def backup(settings: Settings, options: argparse.Namespace) -> int:
    """Copies the embedded store into a file, beside a running server. Raises Refused."""
    if process.embedded(settings) is None:
        raise Refused(_ELSEWHERE)
    target = Path(options.file).absolute()

    async def run() -> int:
        async with process.opened(settings) as backend:
            made = await back_up(backend, shell(), target, with_keys=options.with_keys)
            return made.bytes

    try:
        size = asyncio.run(run())
    except CopyFailed as failed:
        raise Refused(str(failed)) from None
    except NotEmbedded:
        raise Refused(_ELSEWHERE) from None
    print(f"{size} bytes in {options.file}")
    if not options.with_keys:
        warn([f"the keys are not in it: keep a copy of {settings.data_dir / FILE_NAME} elsewhere, or use --with-keys"])
    if isinstance(settings.sessions, RedisUrl):
        warn(["the sessions are in Redis and not in it"])
    return DONE


def restore(settings: Settings, options: argparse.Namespace) -> int:
    """Puts a copy in the place of the embedded store, whose data is put aside. Raises Refused, AlreadyServed."""
    path = process.embedded(settings)
    if path is None:
        raise Refused(_ELSEWHERE)
    if options.keep_sessions and isinstance(settings.sessions, RedisUrl):
        raise Refused("--keep-sessions does not fit SESSIONS in Redis: those sessions belong to the data of today")
    lock = DataLock(path)
    lock.take()
    try:
        copy = Path(options.file).absolute()
        found = look_at(copy)
        if not options.yes:
            ask_once(f"This replaces {path} by {copy}; the data of today is put aside.")
        _restore_keys(settings, copy, keep_sessions=options.keep_sessions)
        aside = _restore_data(settings, path, copy, found, keep_sessions=options.keep_sessions)
    except CopyFailed as failed:
        raise Refused(str(failed)) from None
    finally:
        lock.release()
    print(f"restored {copy}" + (f"; what was there is {aside}" if aside.exists() else ""))
    warn(["what was blocked, erased or revoked since this backup is as it was then: audit.log says what that is"])
    return DONE


def _restore_keys(settings: Settings, copy: Path, *, keep_sessions: bool) -> None:
    """The keys of the copy where there are none; without any, new ones. Raises CopyFailed, Refused, KeysUnreadable."""
    own, given = settings.data_dir / FILE_NAME, keys_beside(copy)
    if own.exists():
        if given.exists() and given.read_bytes() != own.read_bytes():
            raise Refused(f"{own} and {given} are not the same keys: move one of them away, and keep it")
        return
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if given.exists():
        try:
            copy_keys(given, own)
        except OSError as error:
            raise CopyFailed(f"{error.filename}: {error.strerror}") from None
        return
    if keep_sessions:
        raise Refused(f"--keep-sessions needs the keys that the backup was made with, as {own}")
    make_keys(settings.data_dir)
    warn(["there were no keys, so new ones were made: operators with a second factor need 'operator reset'"])


def _restore_data(settings: Settings, path: Path, copy: Path, found: Found, *, keep_sessions: bool) -> Path:
    """Makes the copy fit to go on, under another name, then puts it in place. Gives where the old data is then."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.restoring")
    _clear(draft)
    try:
        copy_whole(copy, draft)
        asyncio.run(_go_on(settings, draft, copy, found, look_at_old(path), keep_sessions=keep_sessions))
        aside = path.with_name(f"{path.name}.before-restore-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
        put_in_place(draft, path, aside)
    finally:
        _clear(draft)
    return aside


async def _go_on(
    settings: Settings, draft: Path, copy: Path, found: Found, replaced: Found | None, *, keep_sessions: bool
) -> None:
    at = dataclasses.replace(settings, database=SqliteUrl(draft))
    await process.upgrade(at)
    async with process.opened(at) as backend:
        await go_on_from(backend, shell(), str(copy), found, replaced, keep_sessions=keep_sessions)


def _clear(draft: Path) -> None:
    """Takes away what a restore that was interrupted, or this one, left beside the data."""
    for left in draft.parent.glob(f"{draft.name}*"):
        left.unlink()


def move(settings: Settings, options: argparse.Namespace) -> int:
    """Takes everything to other stores, while no server runs. Raises Refused, AlreadyServed."""
    database, sessions = _targets(settings, options)
    with contextlib.ExitStack() as held:
        for each in (settings.database, database):
            if isinstance(each, SqliteUrl):
                lock = DataLock(each.path)
                lock.take()
                held.callback(lock.release)
        if not options.yes:
            ask_once("Every server on these stores has to be stopped now.")
        with _refusals():
            moved = asyncio.run(_move(settings, database, sessions, again=options.again))
    for name, count in [*moved.rows.items(), ("live sessions", moved.sessions)]:
        print(f"{name}\t{count}")
    for knob, url in (("DATABASE", database), ("SESSIONS", sessions)):
        if url is not None:
            warn([f"now set {knob} to {url}, with its password, on every server; the old one is as it was"])
    return DONE


def _targets(
    settings: Settings, options: argparse.Namespace
) -> tuple[SqliteUrl | MysqlUrl | None, RedisUrl | Literal["database"] | None]:
    """Where to, None for what stays where it is. Raises Refused when that is everything."""
    database, sessions = _target(DATABASE, options.to_database), _target(SESSIONS, options.to_sessions)
    if isinstance(database, SqliteUrl):
        database = SqliteUrl((settings.data_dir / database.path).absolute())
    database = None if database == settings.database else database
    sessions = None if sessions == settings.sessions else sessions
    if database is None and sessions is None:
        raise Refused("there is nothing to move: name other stores with --to-database, --to-sessions, or both")
    return database, sessions


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except NotEmpty as found:
        raise Refused(f"where everything should go is not empty: {found}; empty it, or name another") from None
    except NotTheSame as other:
        raise Refused(f"somebody wrote to {other} meanwhile: stop every server, empty the target, try again") from None
    except CopyFailed as failed:
        raise Refused(str(failed)) from None
    except OSError as error:
        raise Refused(f"{error.filename}: {error.strerror}") from None


async def _move(
    settings: Settings,
    to_database: SqliteUrl | MysqlUrl | None,
    to_sessions: RedisUrl | Literal["database"] | None,
    *,
    again: bool,
) -> "Moved":
    from actions.moving import move as move_all  # with the drivers of every store, which no other command needs

    draft = None
    if isinstance(to_database, SqliteUrl):
        draft = to_database.path.with_name(f"{to_database.path.name}.moving")
        if to_database.path.exists():
            raise NotEmpty(f"there is a file {to_database.path}")
        _clear(draft)
    wanted = SqliteUrl(draft) if draft else to_database
    told = " and ".join(str(each) for each in (to_database, to_sessions) if each is not None)
    async with (
        process.opened(settings) as backend,
        process.target(settings, backend, wanted, to_sessions, again=again) as target,
    ):
        moved = await move_all(backend, shell(), *target, to=told, again=again)
    if draft and isinstance(to_database, SqliteUrl):
        put_in_place(draft, to_database.path, to_database.path)
    return moved


def doctor(settings: Settings, options: argparse.Namespace) -> int:
    """Looks at everything and says what to do; fails when anything does."""
    config = Path(options.config) if options.config else settings.data_dir / "menshen.toml"
    found = asyncio.run(_examine(settings, config))
    columns = ["level", "check", "says", "remedy"]
    table(columns, [(each.level, each.check, each.says, each.remedy) for each in found], as_json=options.json)
    return FAILED if any(each.level == "fail" for each in found) else DONE


async def _examine(settings: Settings, config: Path) -> list[Finding]:
    found = [each async for each in examine_outside(settings, config)]
    path = process.embedded(settings)
    if path is not None and not path.exists():
        return [*found, Finding("fail", "database", f"there is no {path}", "start the server once, or set DATA_DIR")]
    try:
        backend = process.assemble(settings)
    except KeysUnreadable as unreadable:
        what, _, remedy = str(unreadable).partition(": ")
        return [*found, Finding("fail", "keys", what, remedy)]
    try:
        await backend.db.start()
        await backend.sessions.start()
        found += [each async for each in examine_stores(backend)]
    except StoreTrouble as trouble:
        what, _, remedy = str(trouble).partition(": ")
        found.append(Finding("fail", "stores", what, remedy or "see that DATABASE and SESSIONS are right"))
    finally:
        await backend.close()
    return found


def _target(kind: Kind[Any], text: str | None) -> Any:
    """What an option names; `-` is read from stdin, where no list of processes shows a password. Raises Refused."""
    if text is None:
        return None
    try:
        return kind.read(sys.stdin.readline().strip() if text == "-" else text)
    except ValueError:
        raise Refused(f"a target is {kind.takes}; - reads it from stdin") from None
