"""What the commands `sessions`, `operator`, `key`, `audit` and `import` do, beside a running server or without one."""

import argparse
import asyncio
import json
import os
import pwd
import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import actions
import journal
from actions import Actor, Backend, Ended
from actions.imports import NotAList, NoWafer, Report, import_users, import_wafer
from actions.operators import (
    OperatorNameRefused,
    add_operator,
    disable_operator,
    enable_operator,
    invite_operator,
    reset_operator,
)
from actions.passwords import LONGEST_BYTES, SHORTEST, PasswordRefused
from actions.sealing_keys import rotate_sealing_key
from actions.service_keys import SCOPES, KeyRefused, add_key, revoke_key
from addresses import DATABASE
from settings import MysqlUrl, Settings
from stores.audit import FILE_NAME, AuditBroken
from stores.db import Row
from stores.imports import WaferTables
from stores.logins import Login
from stores.operators import LastAdmin, NameTaken, NoSuchOperator
from stores.service_keys import KeyNameTaken, NoSuchKey
from stores.sessions import SessionGone
from stores.users import AmbiguousUser, NoSuchUser

DONE, FAILED, WRONG_USE = 0, 1, 2
_PAGE = 200
_MOST_NAMED = 20  # torn lines; the first few say when it was
Deed = Callable[[Backend, argparse.Namespace], Coroutine[Any, Any, int]]


_NAME = "a name has 1 to 32 letters, digits or . _ - @, and begins with a letter or a digit"


class Refused(Exception):
    """The command cannot be carried out; its text is the one line that says why."""


# What `sessions` can do


async def list_sessions(backend: Backend, options: argparse.Namespace) -> int:
    """Prints the sessions that hold, the newest first."""
    live: list[Login] = []
    before_at, before_id = backend.now() + 1, b"\xff" * 32
    while len(live) < options.most and (page := await backend.logins.newest(_PAGE, before_at, before_id)):
        live += [login for login, holds in zip(page, await _which_hold(backend, page), strict=True) if holds]
        before_at, before_id = page[-1].created_at, page[-1].id
    columns = ["id", "user", "appid", "created_at", "last_seen_at", "platform", "ip"]
    rows = [
        (each.id.hex(), each.user_id, each.appid, each.created_at, each.seen_at, each.platform, each.ip)
        for each in live[: options.most]
    ]
    table(columns, rows, as_json=options.json)
    return DONE


async def _which_hold(backend: Backend, page: list[Login]) -> list[bool]:
    found = await asyncio.gather(
        *(backend.sessions.find(login.id, backend.now()) for login in page), return_exceptions=True
    )
    for each in found:
        if isinstance(each, BaseException) and not isinstance(each, SessionGone):
            raise each
    return [not isinstance(each, SessionGone) for each in found]


async def revoke_one(backend: Backend, options: argparse.Namespace) -> int:
    """Ends one session."""
    try:
        ended = await actions.revoke(backend, shell(), options.id.lower())
    except actions.NoSuchSession:
        raise Refused("there is no session of this id; 8 or more of its characters are needed") from None
    except actions.AmbiguousSession:
        raise Refused("this beginning fits more than one session; give more of it") from None
    return _report(ended)


async def revoke_user(backend: Backend, options: argparse.Namespace) -> int:
    """Ends all sessions of one person."""
    try:
        user = await actions.find_user(backend, options.user)
    except NoSuchUser:
        raise Refused("there is no such user") from None
    except AmbiguousUser:
        raise Refused("this openid is known in more than one mini program; say APPID:OPENID") from None
    return _report(await actions.revoke_user(backend, shell(), user))


async def revoke_all(backend: Backend, _options: argparse.Namespace) -> int:
    """Ends everybody's sessions."""
    ended = await actions.revoke_everybody(backend, shell())
    print(f"ended {counted(ended.sessions, 'session')} of everybody")
    return DONE


SESSION_DEEDS: Mapping[str, Deed] = {
    "list": list_sessions,
    "revoke": revoke_one,
    "revoke-user": revoke_user,
    "revoke-all": revoke_all,
}


# What `operator` can do


async def new_operator(backend: Backend, options: argparse.Namespace) -> int:
    """Adds an operator; prints the link that sets the password, unless the password comes on stdin."""
    appids = _listed(options.apps) if options.apps else None
    await _know(backend, appids or [])
    try:
        if options.password_stdin:
            password = sys.stdin.readline().removesuffix("\n").removesuffix("\r")
            added = await add_operator(backend, shell(), options.name, options.role, password, appids)
            print(f"{added.name} can sign in")
        else:
            invited = await invite_operator(backend, shell(), options.name, options.role, appids)
            print(setup_address(backend.settings, invited.link))
    except OperatorNameRefused:
        raise Refused(_NAME) from None
    except NameTaken:
        raise Refused("there is an operator of this name") from None
    except PasswordRefused as refused:
        raise Refused(_PASSWORDS[refused.why]) from None
    return DONE


_PASSWORDS = {
    "short": f"the password is too short: it needs at least {SHORTEST} characters",
    "long": f"the password is too long: {LONGEST_BYTES} bytes is the most",
    "name": "the password is the operator's name, which is guessed first",
    "common": "the password is made of what everybody uses, which is guessed first",
}


async def _know(backend: Backend, appids: list[str]) -> None:
    """Refuses mini programs that nobody has served here: a slip of the pen would be an operator who sees nothing."""
    known = {app.appid for app in backend.settings.apps} | set(await backend.epochs.all())
    if unknown := [appid for appid in appids if appid not in known]:
        raise Refused(f"this mini program is not known here: {journal.escaped(unknown[0])}")


async def list_operators(backend: Backend, options: argparse.Namespace) -> int:
    """Prints every operator."""
    columns = ["name", "role", "apps", "state", "password", "second_factor", "created_at", "last_seen_at"]
    rows = [
        (
            each.name,
            each.role,
            "all" if each.appids is None else ",".join(sorted(each.appids)),
            each.state,
            _yes(each.has_password),
            _yes(each.has_totp),
            each.created_at,
            each.seen_at,
        )
        for each in await backend.operators.all()
    ]
    table(columns, rows, as_json=options.json)
    return DONE


async def disable(backend: Backend, options: argparse.Namespace) -> int:
    """Puts an operator out, at once and everywhere."""
    try:
        print(f"{(await disable_operator(backend, shell(), options.name)).name} is disabled")
    except NoSuchOperator:
        raise Refused(NO_OPERATOR) from None
    except LastAdmin:
        raise Refused("this is the last admin who can sign in; make another one first") from None
    return DONE


async def enable(backend: Backend, options: argparse.Namespace) -> int:
    """Lets a disabled operator sign in again."""
    try:
        print(f"{(await enable_operator(backend, shell(), options.name)).name} is enabled")
    except NoSuchOperator:
        raise Refused(NO_OPERATOR) from None
    return DONE


async def reset(backend: Backend, options: argparse.Namespace) -> int:
    """Takes away all that an operator signs in with; prints a link that sets a new password."""
    try:
        invited = await reset_operator(backend, shell(), options.name)
    except NoSuchOperator:
        raise Refused(NO_OPERATOR) from None
    print(setup_address(backend.settings, invited.link))
    return DONE


NO_OPERATOR = "there is no operator of this name"

OPERATOR_DEEDS: Mapping[str, Deed] = {
    "add": new_operator,
    "list": list_operators,
    "disable": disable,
    "enable": enable,
    "reset": reset,
}


# What `key` can do


async def new_key(backend: Backend, options: argparse.Namespace) -> int:
    """Makes a service key and prints it, for the only time."""
    appids = _listed(options.apps) if options.apps else None
    await _know(backend, appids or [])
    days = options.days
    try:
        added = await add_key(
            backend,
            shell(),
            options.name,
            _listed(options.scope),
            note=options.note,
            appids=appids,
            paths=_listed(options.paths or ""),
            expires_at=None if days is None else backend.now() + days * 86_400,
        )
    except KeyRefused as refused:
        raise Refused(_KEYS[refused.field]) from None
    except KeyNameTaken:
        raise Refused("there is a key of this name; revoke it first, or give the new one another name") from None
    print(added.text)
    return DONE


_KEYS = {
    "name": _NAME,
    "scope": f"--scope takes one or more of {', '.join(SCOPES)}, with commas between them",
    "note": "a note is one line of at most 200 characters",
    "apps": "these are too many mini programs for one key",
    "paths": "--paths belongs to the scope relay, which needs it: beginnings of paths such as /wxa/, 50 at most",
    "expires": "--days takes 1 to 3660",
}


def _listed(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


async def list_keys(backend: Backend, options: argparse.Namespace) -> int:
    """Prints every service key, but not what it takes to use it."""
    columns = ["id", "name", "start", "scopes", "apps", "paths", "note"]
    columns += ["created_at", "expires_at", "last_used_at", "revoked_at"]
    rows = [
        (
            each.id,
            each.name,
            each.start,
            ",".join(sorted(each.scopes)),
            "all" if each.appids is None else ",".join(sorted(each.appids)),
            ",".join(each.paths) or None,
            each.note,
            each.created_at,
            each.expires_at,
            each.used_at,
            each.revoked_at,
        )
        for each in await backend.service_keys.all()
    ]
    table(columns, rows, as_json=options.json)
    return DONE


async def end_key(backend: Backend, options: argparse.Namespace) -> int:
    """Revokes a service key; it opens nothing from the next request on."""
    try:
        print(f"{(await revoke_key(backend, shell(), options.id)).name} is revoked")
    except NoSuchKey:
        raise Refused("there is no key of this number, or it was revoked before") from None
    return DONE


async def rotate(backend: Backend, _options: argparse.Namespace) -> int:
    """Makes a new key that seals what is kept; the older ones go on opening what they sealed."""
    number = await rotate_sealing_key(backend, shell())
    print(f"sealing key {number} is current; running servers seal with it after a SIGHUP")
    return DONE


KEY_DEEDS: Mapping[str, Deed] = {"add": new_key, "list": list_keys, "revoke": end_key, "rotate": rotate}


# What `audit` can do


async def verify_audit(backend: Backend, _options: argparse.Namespace) -> int:
    """Follows the chain of the audit, and says what its copy in the file lacks."""
    try:
        rows = await backend.audit.verify()
        copied = await backend.audit.copied()
    except AuditBroken as broken:
        raise Refused(f"the chain is broken at {broken}") from None
    except OSError as error:
        raise Refused(f"{error.filename}: {error.strerror}") from None
    print(f"the chain holds: {counted(rows, 'row')}")
    if copied.alone:
        warn([f"{counted(copied.alone, 'row')} only in {FILE_NAME}, because the database was away: not in the chain"])
    if copied.torn:
        lines = ", ".join(map(str, copied.torn[:_MOST_NAMED])) + (", …" if copied.torn[_MOST_NAMED:] else "")
        warn([f"torn lines of {FILE_NAME}, as a full disk or a power cut leaves them: {lines}"])
    return DONE


AUDIT_DEEDS: Mapping[str, Deed] = {"verify": verify_audit}


# What `import` can do


async def import_people(backend: Backend, options: argparse.Namespace) -> int:
    """Takes over the people of another program with their ids, from a CSV."""
    appid = options.of_app or _only_app(backend)
    await _know(backend, [appid])
    lines = _lines_of(options.file)
    try:
        report = await import_users(backend, shell(), lines, appid, _zone(backend), dry=options.dry_run)
    except NotAList as wrong:
        raise Refused(str(wrong)) from None
    return _tell(report, "user", dry=options.dry_run)


async def import_sessions(backend: Backend, options: argparse.Namespace) -> int:
    """Takes over the sessions of a Wafer server, from its MySQL database."""
    text = sys.stdin.readline().strip() if options.url == "-" else options.url
    try:
        where = DATABASE.read(text)
    except ValueError:
        where = None
    if not isinstance(where, MysqlUrl):
        raise Refused(f"the database of Wafer is given as {WAFER_URL}, or as - and then on stdin")
    await _know(backend, [options.of_app] if options.of_app else [])
    tables = WaferTables(where)
    try:
        report = await import_wafer(
            backend,
            shell(),
            tables,
            appid=options.of_app,
            zone=_zone(backend),
            skey_seconds=options.skey_seconds,
            dry=options.dry_run,
        )
    except NoWafer as wrong:
        raise Refused(str(wrong)) from None
    finally:
        await tables.close()
    return _tell(report, "session", dry=options.dry_run)


def _lines_of(name: str) -> list[str]:
    """The lines of a text file, which spreadsheets begin with a mark of their own. Raises Refused."""
    try:
        with Path(name).open(encoding="utf-8-sig", newline="") as lines:
            return lines.readlines()
    except OSError as error:
        raise Refused(f"{journal.escaped(name)}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Refused(f"{journal.escaped(name)}: is no text in UTF-8") from None


WAFER_URL = "mysql://user:password@host:3306/name"


def _only_app(backend: Backend) -> str:
    if len(backend.settings.apps) != 1:
        raise Refused("name the mini program with --of-app")
    return backend.settings.apps[0].appid


def _zone(backend: Backend) -> ZoneInfo:
    return ZoneInfo(backend.settings.timezone)


def _tell(report: Report, noun: str, *, dry: bool) -> int:
    """Every refused row, then the sum; a run that refused something has failed."""
    if report.refused:
        table(["row", "refused"], report.refused, as_json=False)
    over = f", {report.over} had ended before" if report.over else ""
    verb = "would import" if dry else "imported"
    print(
        f"{verb} {counted(report.added, noun)}, {report.there} were there already{over}, {len(report.refused)} refused"
    )
    return FAILED if report.refused else DONE


IMPORT_DEEDS: Mapping[str, Deed] = {"users": import_people, "wafer": import_sessions}


def setup_address(settings: Settings, link: str, base: str | None = None) -> str:
    """Where a link leads: at PUBLIC_URL, else at `base` or where this server listens."""
    return f"{settings.public_url or base or _own_base(settings)}/admin/setup?link={link}"


def _own_base(settings: Settings) -> str:
    own = settings.admin_port is not None
    host = settings.admin_address if own else settings.address
    if host != "localhost" and ip_address(host).is_unspecified:
        host = "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.admin_port if own else settings.port}"


# What they have in common


def shell() -> Actor:
    """Whoever typed the command, for the audit."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name  # not what the environment says, which anybody can set
    except KeyError:
        name = str(os.getuid())
    return Actor(f"shell:{name}")


def _report(ended: Ended) -> int:
    print(f"ended {counted(ended.sessions, 'session')} of {counted(ended.users, 'user')}")
    return DONE


def ask_once(consequence: str) -> None:
    """On a terminal, asks before a deed that cannot be undone; a script is taken at its word. Raises Refused."""
    if sys.stdin.isatty() and input(f"{consequence} Type yes: ") != "yes":
        raise Refused("nothing was changed")


def counted(n: int, noun: str) -> str:
    """`1 session`, `3 sessions`."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def warn(sentences: Iterable[str]) -> None:
    """Prints each on a line of its own where errors go."""
    for sentence in sentences:
        print(sentence, file=sys.stderr)


def table(columns: list[str], rows: Iterable[Row], *, as_json: bool) -> None:
    """A header and tab-separated lines, or one JSON object per line."""
    if not as_json:
        print(*columns, sep="\t")
    for row in rows:
        if as_json:
            print(json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False))
        else:
            print(*("" if value is None else journal.escaped(str(value)) for value in row), sep="\t")
