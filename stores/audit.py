"""Who did what to whom: one row for each deed, chained so that an edited, missing or swapped row is found.

Each row's link is the SHA-256 of the link before it and of the row's own content. A copy of every row goes to a file
beside the keys: a database that is away does not stop an operator from putting somebody out, two silent sinks do.
"""

import asyncio
import hashlib
import json
import logging
import os
from collections.abc import AsyncIterator
from dataclasses import astuple, dataclass, replace
from pathlib import Path

from stores.db import Database, Row, Script, load
from stores.errors import StoreTrouble

log = logging.getLogger("menshen.audit")

SQL = load("audit.sql")
FILE_NAME = "audit.log"
_A_PAGE = 500


class AuditAway(Exception):
    """Neither the database nor the file takes the row, so the deed must not be done."""


class AuditBroken(Exception):
    """The chain does not hold; `n` is the first row of which that is known."""

    def __init__(self, n: int, why: str) -> None:
        super().__init__(f"row {n}: {why}")
        self.n = n


@dataclass(frozen=True)
class Entry:
    """One row. `n` is its place in the chain, 0 before it has one; `concerns` the row whose deed failed."""

    n: int
    at: int  # epoch seconds
    actor: str  # "shell:root", "operator:mei", "system"
    address: str | None
    request_id: str | None
    deed: str  # "session.revoke", "user.block", …
    result: str  # "done", "failed" or "denied"
    target: str | None = None  # "session:ab12…", "user:42"
    appid: str | None = None
    count: int | None = None
    reason: str | None = None
    concerns: int | None = None

    def link(self, before: bytes) -> bytes:
        """The link of this row, from that of the row before it."""
        content = json.dumps(astuple(self), ensure_ascii=True, separators=(",", ":")).encode("ascii")
        return hashlib.sha256(before + content).digest()


class Audit:
    """The rows, in the database and in the file."""

    def __init__(self, db: Database, folder: Path) -> None:
        self._db = db
        self._path = folder / FILE_NAME

    async def add(self, entry: Entry) -> Entry:
        """Writes a row to both sinks; gives it with its number, 0 when only the file took it. Raises AuditAway."""
        try:
            added = await self._db.write(lambda: chained(entry))
        except StoreTrouble as trouble:
            if not await asyncio.to_thread(self._write_down, entry):
                raise AuditAway from None
            log.error("an audit row stands only in %s: %s", FILE_NAME, trouble)
            return entry
        if not await asyncio.to_thread(self._write_down, added):
            log.error("audit row %d stands only in the database: %s cannot be written", added.n, FILE_NAME)
        return added

    async def newest(self, most: int, before_n: int = 2**62) -> list[Entry]:
        """The newest rows, before a place in the chain."""
        return [Entry(*row[:-1]) for row in await self._db.read(SQL["audit_newest"](n=before_n, most=most))]

    async def verify(self) -> int:
        """Follows the whole chain; gives how many rows it has. Raises AuditBroken, UsersAway."""
        n, link = 0, bytes(32)
        async for row in self._rows():
            entry, stored = Entry(*row[:-1]), row[-1]
            if entry.n != n + 1:
                raise AuditBroken(n + 1, "it is missing")
            n, link = entry.n, entry.link(link)
            if link != stored:
                raise AuditBroken(n, "it was changed, or the row before it was")
        [head] = await self._db.read(SQL["audit_head"]())
        if tuple(head) != (n, link):
            raise AuditBroken(n + 1, "it is missing, with all that came after it")
        return n

    async def _rows(self) -> AsyncIterator[Row]:
        n = 0
        while page := await self._db.read(SQL["audit_after"](n=n, most=_A_PAGE)):
            for row in page:
                yield row
            n = page[-1][0]

    def _write_down(self, entry: Entry) -> bool:
        """Appends one line and waits for the disk. Runs in a thread."""
        line = json.dumps(entry.__dict__, ensure_ascii=True) + "\n"
        try:
            file = os.open(self._path, os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            try:
                whole = os.write(file, line.encode("ascii")) == len(line)
                os.fsync(file)
            finally:
                os.close(file)
        except OSError:
            return False
        return whole


def chained(entry: Entry) -> Script[Entry]:
    """Adds a row within a transaction, so that a deed in SQL and its row are one. Gives the row with its number."""
    head = yield SQL["audit_head"]()
    before_n, before = head.rows[0]
    added = replace(entry, n=before_n + 1)
    link = added.link(before)
    yield SQL["add_audit"](**added.__dict__, link=link)
    yield SQL["move_audit_head"](n=added.n, link=link)
    return added
