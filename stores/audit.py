"""Who did what to whom: one row for each deed, chained so that an edited, missing or swapped row is found.

Each row's link is the SHA-256 of the link before it and of the row's own content. A copy of every row goes to a file
beside the keys: a database that is away does not stop an operator from putting somebody out, two silent sinks do.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import json
import logging
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec.structs import asdict, astuple, replace

from stores.db import Database, Row, Script, load
from stores.errors import StoreTrouble

log = logging.getLogger("menshen.audit")

SQL = load("audit.sql")
FILE_NAME = "audit.log"
_A_PAGE = 500
LOOKED_THROUGH = 5_000  # rows that one page of a list looks through at the most
_SKEW_SECONDS = 60  # the clocks of two servers may be so far apart, and then times do not follow the chain
_FAR = 2**53
T = TypeVar("T")


class AuditAway(Exception):
    """Neither the database nor the file takes the row, so the deed must not be done."""


class AuditBroken(Exception):
    """The chain does not hold; `n` is the first row of which that is known."""

    def __init__(self, n: int, why: str) -> None:
        super().__init__(f"row {n}: {why}")
        self.n = n


class Entry(msgspec.Struct, frozen=True):
    """One row. `n` is its place in the chain, 0 before it has one; `concerns` the row whose deed failed."""

    n: int
    at: int  # epoch seconds
    actor: str  # "shell:root", "operator:mei", "system"
    address: str | None
    request_id: str | None
    deed: str  # "session.revoke", "user.block", …
    result: str  # "done", "failed", "denied" or "already ended"
    target: str | None = None  # "session:ab12…", "user:42"
    appid: str | None = None
    count: int | None = None
    reason: str | None = None
    concerns: int | None = None
    role: str | None = None  # of an operator at that moment; who is none, and a row from before version 5, has none

    def link(self, before: bytes) -> bytes:
        """The link of this row, from that of the row before it.

        A row without a role is chained as all rows were before version 5 of the schema, so that those still hold. No
        row can pass for another that way: its content is an array of 12 values, with a role of 13.
        """
        *content, role = astuple(self)
        content += [] if role is None else [role]
        text = json.dumps(content, ensure_ascii=True, separators=(",", ":")).encode("ascii")
        return hashlib.sha256(before + text).digest()


class Deeds(msgspec.Struct, frozen=True):
    """Which rows a list shows. None asks for nothing in particular; `appids` are those the operator may see."""

    appids: tuple[str, ...] | None = None
    actor: str | None = None
    deed: str | None = None
    result: str | None = None
    target: str | None = None
    at_from: int = 0
    at_to: int = _FAR

    def parameters(self) -> dict[str, Any]:
        """As the statements take them."""
        return {**asdict(self), "anywhere": int(self.appids is None), "appids": list(self.appids or ())}


class DeedsPage(msgspec.Struct, frozen=True):
    """Some rows, the newest first; `more` is the number before which the next page begins, None at the end.

    `looked_back_to` is the moment down to which the rows were looked through, when that is why the page is not full.
    """

    entries: list[Entry]
    more: int | None = None
    looked_back_to: int | None = None


class Copied(msgspec.Struct, frozen=True):
    """What the file holds: how many rows, how many of them the database never took, and which lines are no row."""

    rows: int
    alone: int
    torn: list[int]


class Audit:
    """The rows, in the database and in the file."""

    def __init__(self, db: Database, folder: Path) -> None:
        self._db = db
        self._path = folder / FILE_NAME
        self.failures = 0  # rows that the database, or the file, did not take
        self.file_takes = True  # whether the file took the last row that this process had for it

    async def add(self, entry: Entry) -> Entry:
        """Writes a row to both sinks; gives it with its number, 0 when only the file took it. Raises AuditAway."""
        try:
            added = await self._db.write(lambda: chained(entry), from_reserve=True)
        except StoreTrouble as trouble:
            self.failures += 1
            if not await asyncio.to_thread(self._write_down, entry):
                raise AuditAway from None
            log.error("an audit row stands only in %s: %s", FILE_NAME, trouble)
            return entry
        if not await asyncio.to_thread(self._write_down, added):
            log.error("audit row %d stands only in the database: %s cannot be written", added.n, FILE_NAME)
        return added

    async def with_deed(self, entry: Entry, make: Callable[[], Script[T]]) -> T:
        """Does a deed in SQL and adds its row in one transaction, so that neither stands without the other.

        Gives what the deed's script returns. Raises what that raises, UsersAway, StoreFull; then neither stands.
        """

        def script() -> Script[tuple[T, Entry]]:
            outcome = yield from make()
            return outcome, (yield from chained(entry))

        outcome, added = await self._db.write(script, from_reserve=True)
        if not await asyncio.to_thread(self._write_down, added):
            log.error("audit row %d stands only in the database: %s cannot be written", added.n, FILE_NAME)
        return outcome

    async def newest(self, most: int, before_n: int = 2**62) -> list[Entry]:
        """The newest rows, before a place in the chain."""
        return [Entry(*row[:-1]) for row in await self._db.read(SQL["audit_newest"](n=before_n, most=most))]

    async def page(self, deeds: Deeds, before_n: int = 2**62, most: int = 50) -> DeedsPage:
        """The newest rows that fit, before a place in the chain. Looks through a bounded number of them."""
        if deeds.target is not None:
            window, page = SQL["window_audit_of"], SQL["page_audit_of"]
        elif deeds.actor is not None:
            window, page = SQL["window_audit_by"], SQL["page_audit_by"]
        else:
            window, page = SQL["window_audit"], SQL["page_audit"]
        if deeds.at_to < _FAR:
            last = await self._db.browse(SQL["audit_up_to"](at=deeds.at_to + _SKEW_SECONDS))
            before_n = min(before_n, last[0][0] + 1 if last else 0)
        first = await self._db.browse(SQL["audit_up_to"](at=deeds.at_from - _SKEW_SECONDS)) if deeds.at_from else []
        asked = {**deeds.parameters(), "n": before_n}
        begins = first[0][0] if first else 0
        reach = await self._db.browse(window(**asked, stop=begins, window=LOOKED_THROUGH))
        rows = await self._db.browse(page(**asked, stop=reach[0][0] if reach else begins, most=most + 1))
        entries = [Entry(*row[:-1]) for row in rows]
        if entries[most:]:
            return DeedsPage(entries[:most], entries[most - 1].n)
        return DeedsPage(entries, *reach[0]) if reach else DeedsPage(entries)

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

    async def copied(self) -> Copied:
        """Reads the file through. Raises OSError when it is there and cannot be read."""
        return await asyncio.to_thread(self._read_through)

    def _read_through(self) -> Copied:
        numbers, torn = list[int](), list[int]()
        with contextlib.suppress(FileNotFoundError), self._path.open("rb") as lines:
            for at, line in enumerate(lines, 1):
                try:
                    numbers.append(int(json.loads(line)["n"]))
                except (ValueError, TypeError, KeyError):
                    torn.append(at)
        return Copied(len(numbers), numbers.count(0), torn)

    def _write_down(self, entry: Entry) -> bool:
        """Appends one line and waits for the disk. Runs in a thread."""
        line = json.dumps(asdict(entry), ensure_ascii=True) + "\n"
        try:
            file = os.open(self._path, os.O_CREAT | os.O_APPEND | os.O_RDWR | os.O_CLOEXEC, 0o600)
            try:
                whole = _append(file, line.encode("ascii"))
                os.fsync(file)
            finally:
                os.close(file)
        except OSError:
            self.failures += 1
            self.file_takes = False
            return False
        self.file_takes = whole
        return whole


def _append(file: int, line: bytes) -> bool:
    """Writes a line where a new one begins, also when a full disk or a power cut has left half a line at the end.

    Gives whether it is there whole. Raises OSError.
    """
    fcntl.flock(file, fcntl.LOCK_EX)  # or another process's half line may come between the look and the write
    size = os.fstat(file).st_size
    if size and os.pread(file, 1, size - 1) != b"\n":
        line = b"\n" + line
    whole = os.write(file, line) == len(line)
    fcntl.flock(file, fcntl.LOCK_UN)  # before the wait for the disk, which others can share
    return whole


def chained(entry: Entry) -> Script[Entry]:
    """Adds a row within a transaction, so that a deed in SQL and its row are one. Gives the row with its number."""
    head = yield SQL["audit_head"]()
    before_n, before = head.rows[0]
    added = replace(entry, n=before_n + 1)
    link = added.link(before)
    yield SQL["add_audit"](**asdict(added), link=link)
    yield SQL["move_audit_head"](n=added.n, link=link)
    return added
