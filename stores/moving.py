"""A database read whole and written into an empty one of either kind, then compared with it row by row.

While that lasts the new database calls itself of a version that no program has, so that nobody can serve half of it.
"""

import hashlib
import re
from collections.abc import AsyncIterator, Mapping

import msgspec

from stores.db import Database, Query, Row, Statement, all_of, load
from stores.db.schema import NEWEST, TABLE_NAMES, UPKEEP
from stores.db.statements import Dialect
from stores.errors import NotEmpty, WrongSchema

SQL = load("moving.sql")
AUDIT = load("audit.sql")
HALF_MOVED = 99_999  # as a version of the schema
_A_FEW = 200
_A_FEW_LARGE = 4
_BEFORE_ALL = -1


class NotTheSame(Exception):
    """After the move the two do not hold the same; its text names the table. Somebody wrote in between."""


class Table(msgspec.Struct, frozen=True):
    """How the rows of one table are read, in order, and written; `read` alone reads them at once."""

    name: str
    read: Statement
    put: Statement
    given: tuple[str, ...]
    after: str | None = None
    few: int = _A_FEW

    def first(self) -> int | bytes:
        """What lies before every row."""
        return b"" if self.after == "after_id" else _BEFORE_ALL


def _table(name: str, read: Statement, put: Statement, after: str | None = None, few: int = _A_FEW) -> Table:
    given = tuple(re.findall(r":(\w+)", put.text["sqlite"]))  # in the order in which `read` gives the columns
    return Table(name, read, put, given, after, few)


SESSION = _table("session", SQL["some_session"], SQL["put_session"], "after_id")
TABLES = (
    _table("epoch", SQL["every_epoch"], SQL["put_epoch"]),
    _table("operator", SQL["every_operator"], SQL["put_operator"]),
    _table("operator_session", SQL["every_operator_session"], SQL["put_operator_session"]),
    _table("operator_link", SQL["every_operator_link"], SQL["put_operator_link"]),
    _table("operator_device", SQL["every_operator_device"], SQL["put_operator_device"]),
    _table("recovery_code", SQL["every_recovery_code"], SQL["put_recovery_code"]),
    _table("service_key", SQL["every_service_key"], SQL["put_service_key"]),
    _table("access_token", SQL["every_access_token"], SQL["put_access_token"]),
    _table("user", SQL["some_user"], SQL["put_user"], "after"),
    _table("blocked_person", SQL["some_blocked_person"], SQL["put_blocked_person"], "after_id"),
    _table("login", SQL["some_login"], SQL["put_login"], "after_id"),
    _table("refused_login", SQL["some_refused_login"], SQL["put_refused_login"], "after"),
    _table("audit", SQL["some_audit"], SQL["put_audit"], "after"),
    _table("avatar", SQL["some_avatar"], SQL["put_avatar"], "after", _A_FEW_LARGE),
    _table("delivery", SQL["some_delivery"], SQL["put_delivery"], "after"),
    _table("push_event", SQL["some_push_event"], SQL["put_push_event"], "after_id"),
)


async def must_be_empty(db: Database) -> None:
    """Raises NotEmpty when a database of our schema holds anything; WrongSchema, store trouble."""
    [(version,)] = await db.read(UPKEEP["schema_version"]())
    if version != NEWEST:
        raise WrongSchema("it is of another version")
    for table in (*TABLES, SESSION):
        if await _page(db, table, table.first()):
            raise NotEmpty("it holds data")


async def mark(db: Database) -> None:
    """A move into this database begins: until its end no server takes it."""
    await db.write(all_of(UPKEEP["note_version"](version=HALF_MOVED, now=0)))


async def make_ready(db: Database, *, again: bool) -> None:
    """Gives a database to move to our schema. With `again`, what an interrupted move left there goes first.

    Raises NotEmpty when it is half moved, or of a newer version, and store trouble.
    """
    try:
        await db.upgrade()
    except WrongSchema as wrong:
        [(version,)] = await db.read(UPKEEP["schema_version"]())
        if version != HALF_MOVED:
            raise NotEmpty(str(wrong)) from None
        if not again:
            told = "a move into it was interrupted (--again empties it and begins anew)"
            raise NotEmpty(told) from None
        for table in reversed(TABLE_NAMES):  # the one with the mark was made first and goes last
            await db.write(all_of(_drop(table)))
        await db.upgrade()
    await db.start()


async def unmark(db: Database) -> None:
    """The move is over: from here on it can be served."""
    await db.write(all_of(SQL["unmark"](version=HALF_MOVED)))


async def copy_all(source: Database, target: Database, *, sessions: bool) -> dict[str, int]:
    """Writes every row of the one into the other; gives how many there were of each. Raises store trouble."""
    counts = {}
    for table in _wanted(sessions=sessions):
        count = 0
        async for rows in _pages(source, table):
            await target.write(all_of(*[table.put(**dict(zip(table.given, row, strict=True))) for row in rows]))
            count += len(rows)
        counts[table.name] = count
    async for rows in _figures(source):
        await target.write(
            all_of(*[SQL["put_figure"](appid=row[0], name=row[1], hour=row[2], n=row[3]) for row in rows])
        )
    [(n, link)] = await source.read(AUDIT["audit_head"]())
    await target.write(all_of(AUDIT["move_audit_head"](n=n, link=link)))
    return counts


async def compare(source: Database, target: Database, *, sessions: bool) -> None:
    """Reads both again, whole. Raises NotTheSame, store trouble."""
    for table in _wanted(sessions=sessions):
        if await _digest(_pages(source, table)) != await _digest(_pages(target, table)):
            raise NotTheSame(table.name)
    if await _digest(_figures(source)) != await _digest(_figures(target)):
        raise NotTheSame("figure")
    if await source.read(AUDIT["audit_head"]()) != await target.read(AUDIT["audit_head"]()):
        raise NotTheSame("audit_head")


async def forget_all_sessions(db: Database) -> None:
    """Takes away what an engine that is not in use left in SQL: it has heard of no revocation since."""
    await db.write(all_of(SQL["forget_all_sessions"]()))


async def session_rows(db: Database) -> AsyncIterator[list[Row]]:
    """All rows of the SQL engine, dead ones too; the columns are those of `some_session` up to the reason."""
    async for rows in _pages(db, SESSION):
        yield [row[:10] for row in rows]


def _wanted(*, sessions: bool) -> tuple[Table, ...]:
    return (*TABLES, SESSION) if sessions else TABLES


def _drop(table: str) -> Query:
    text = f"DROP TABLE IF EXISTS {table}"
    both: Mapping[Dialect, str] = {"sqlite": text, "mysql": text}
    return Statement("drop", "a table goes", both, both)()


async def _pages(db: Database, table: Table) -> AsyncIterator[list[Row]]:
    after = table.first()
    while rows := await _page(db, table, after):
        yield rows
        if table.after is None:
            return
        after = rows[-1][0]


async def _page(db: Database, table: Table, after: int | bytes) -> list[Row]:
    return await db.read(table.read(**({table.after: after, "most": table.few} if table.after else {})))


async def _figures(db: Database) -> AsyncIterator[list[Row]]:
    [(hour,)] = await db.read(SQL["next_hour"](hour=_BEFORE_ALL))
    while hour is not None:
        yield await db.read(SQL["figures_of_hour"](hour=hour))
        [(hour,)] = await db.read(SQL["next_hour"](hour=hour))


async def _digest(pages: AsyncIterator[list[Row]]) -> tuple[int, bytes]:
    """How many rows, and one number for all that they hold."""
    count, told = 0, hashlib.blake2b()
    async for rows in pages:
        for row in rows:
            plain = [bytes(each) if isinstance(each, bytes | bytearray) else each for each in row]
            told.update(repr(plain).encode("utf-8", "surrogatepass"))
        count += len(rows)
    return count, told.digest()
