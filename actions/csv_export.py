"""Lists as CSV: RFC 4180 in UTF-8, safe to open in a spreadsheet, bounded, and without a token.

A spreadsheet runs a cell that begins like a formula. Nicknames, versions and devices come from outside, so such a cell
gets an apostrophe in front, which spreadsheets show as plain text (OWASP "CSV Injection", ASVS 1.2.10).
"""

import csv
import io
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime, tzinfo
from typing import TypeVar

from msgspec.structs import asdict

from actions.backend import Backend
from actions.lists import MOST_ON_A_PAGE, SessionRow, audit_page, sessions_page, users_page
from actions.questions import AuditQuestion, Question, UsersQuestion
from stores.audit import Entry
from stores.scope import Scope
from stores.users import User

T = TypeVar("T")
MOST_ROWS = 100_000
BOM = "\ufeff"  # without it Excel takes UTF-8 for the code page of the country
_FORMULA = tuple("=+-@\t\r\n\0\uff1d\uff0b\uff0d\uff20")  # the last four are the full-width ones
_BLANK = " \u00a0\u3000"
_OPENID_SHOWN = 4

SESSION_COLUMNS = (
    "session",
    "user",
    "appid",
    "openid",
    "nickname",
    "state",
    "created_at",
    "seen_at",
    "ended_at",
    "expires_in",
    "ip",
    "platform",
    "version",
    "environment",
    "device",
    "wechat",
)
USER_COLUMNS = (
    "user",
    "appid",
    "openid",
    "nickname",
    "state",
    "blocked_until",
    "block_reason",
    "created_at",
    "last_login_at",
    "phone_tail",
)
AUDIT_COLUMNS = (
    "n",
    "at",
    "actor",
    "address",
    "request_id",
    "deed",
    "result",
    "target",
    "appid",
    "count",
    "reason",
    "concerns",
    "role",
)


def cell(value: object) -> str:
    """A value as a cell that no spreadsheet runs. Numbers of ours stay numbers, also below zero."""
    if value is None:
        return ""
    if isinstance(value, int):
        return str(value)
    text = str(value)
    return f"'{text}" if text.lstrip(_BLANK).startswith(_FORMULA) else text


async def csv_of(
    columns: Sequence[str], rows: AsyncIterator[Sequence[object]], most: int = MOST_ROWS
) -> AsyncGenerator[bytes, None]:
    """The file, a few rows at a time; when there are more than `most`, the last line says that it is not all."""
    yield (BOM + _lines([columns])).encode("utf-8")
    written, some = 0, list[Sequence[object]]()
    async for row in rows:
        if written == most:
            some.append([f"# only the first {most} rows; narrow the filter for the others"])
            break
        written += 1
        some.append(row)
        if len(some) == MOST_ON_A_PAGE:
            yield _lines(some).encode("utf-8")
            some = []
    if some:
        yield _lines(some).encode("utf-8")


def _lines(rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows([cell(value) for value in row] for row in rows)
    return text.getvalue()


async def sessions_csv(
    backend: Backend, scope: Scope, question: Question, zone: tzinfo = UTC, *, openids: bool = False
) -> AsyncGenerator[bytes, None]:
    """Every session that fits; openids are shortened unless `openids` is set. Raises UsersAway, SessionsAway."""

    await backend.logins.flush()  # what a page may lack for a moment, a file would lack for good

    async def page(place: str | None) -> tuple[Sequence[SessionRow], str | None]:
        found = await sessions_page(backend, scope, question, place, MOST_ON_A_PAGE)
        return found.rows, found.more

    async for chunk in csv_of(SESSION_COLUMNS, _every(page, lambda row: session_cells(row, zone, openids=openids))):
        yield chunk


async def users_csv(
    backend: Backend, scope: Scope, question: UsersQuestion, zone: tzinfo = UTC, *, openids: bool = False
) -> AsyncGenerator[bytes, None]:
    """Everybody who fits, as CSV. Raises UsersAway."""

    async def page(place: str | None) -> tuple[Sequence[User], str | None]:
        found = await users_page(backend, scope, question, place, MOST_ON_A_PAGE)
        return found.rows, found.more

    async for chunk in csv_of(USER_COLUMNS, _every(page, lambda user: _user(user, backend.now(), zone, openids))):
        yield chunk


async def audit_csv(
    backend: Backend, scope: Scope, question: AuditQuestion, zone: tzinfo = UTC
) -> AsyncGenerator[bytes, None]:
    """Every deed that fits, as CSV. Raises UsersAway."""

    async def page(place: str | None) -> tuple[Sequence[Entry], str | None]:
        found = await audit_page(backend, scope, question, place, MOST_ON_A_PAGE)
        return found.rows, found.more

    async for chunk in csv_of(AUDIT_COLUMNS, _every(page, lambda entry: _entry(entry, zone))):
        yield chunk


async def _every(
    page: Callable[[str | None], Awaitable[tuple[Sequence[T], str | None]]], row: Callable[[T], Sequence[object]]
) -> AsyncIterator[Sequence[object]]:
    """The rows of all pages, one after the other."""
    place: str | None = None
    while True:
        rows, place = await page(place)
        for each in rows:
            yield row(each)
        if place is None:
            return


def session_cells(row: SessionRow, zone: tzinfo = UTC, *, openids: bool) -> Sequence[object]:
    """One session in the order of SESSION_COLUMNS."""
    login, user = row.login, row.user
    return (
        row.public_id,
        login.user_id,
        login.appid,
        _openid(user, openids),
        user.nickname if user else None,
        row.state,
        _moment(login.created_at, zone),
        _moment(login.seen_at, zone),
        None if row.state == "live" else _moment(login.ended_at, zone),
        row.expires_in,
        login.ip,
        login.platform,
        login.version,
        login.environment,
        login.device,
        login.wechat,
    )


def _user(user: User, now: int, zone: tzinfo, openids: bool) -> Sequence[object]:
    blocked = user.blocked(now)
    return (
        user.id,
        user.appid,
        _openid(user, openids),
        user.nickname,
        "blocked" if blocked else "active",
        _moment(user.blocked_until, zone) if blocked else None,
        user.block_reason if blocked else None,
        _moment(user.created_at, zone),
        _moment(user.last_login_at, zone),
        user.phone[-4:] if user.phone else None,
    )


def _entry(entry: Entry, zone: tzinfo) -> Sequence[object]:
    return tuple(_moment(value, zone) if name == "at" else value for name, value in asdict(entry).items())


def _openid(user: User | None, whole: bool) -> str | None:
    if user is None or whole:
        return user.openid if user else None
    return f"{user.openid[:_OPENID_SHOWN]}…{user.openid[-_OPENID_SHOWN:]}"


def _moment(at: int | None, zone: tzinfo) -> str | None:
    """With its offset from UTC, so that a file tells the time without asking where it came from."""
    return None if at is None else datetime.fromtimestamp(at, zone).isoformat(timespec="seconds")
