"""A deed is written down before it is done; when it failed, a second row says so and names the first."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from actions.texts import has_controls
from stores.audit import AuditAway, Entry
from stores.operators import Role

if TYPE_CHECKING:
    from actions.backend import Backend

log = logging.getLogger("menshen.audit")

MOST_REASON = 200
MOST_TARGET = 200


class Actor(msgspec.Struct, frozen=True):
    """Who does a deed: `shell:root`, `operator:mei`, `person:42`, `system`. Address and request are None in a shell."""

    name: str
    address: str | None = None
    request_id: str | None = None
    role: Role | None = None  # of an operator, at this moment


SYSTEM = Actor("system")


@dataclass
class UnderWay:
    """A deed that was written down and is being done; what is noted here stands in the row of a failure."""

    n: int  # of its row; 0 when only the file took it
    reached: int | None = None  # how many sessions or people it has reached so far
    in_vain: bool = False  # it ended in order and did nothing of what its row says


@asynccontextmanager
async def written_down(
    backend: "Backend",
    by: Actor,
    deed: str,
    *,
    result: str = "done",
    target: str | None = None,
    appid: str | None = None,
    count: int | None = None,
    reason: str | None = None,
) -> AsyncIterator[UnderWay]:
    """Writes the row, then lets the deed happen. Raises AuditAway, and then the deed must not happen.

    `count` is how many sessions or people the deed is about to touch, as far as that is known beforehand.
    """
    entry = entry_of(backend, by, deed, result, target=target, appid=appid, count=count, reason=reason)
    written = await backend.audit.add(entry)
    under_way = UnderWay(written.n)
    try:
        yield under_way
    except BaseException:
        await _say_it_failed(backend, written, under_way)
        raise
    if under_way.in_vain:
        await _say_it_failed(backend, written, under_way)


async def denied(
    backend: "Backend", by: Actor, deed: str, *, target: str | None = None, appid: str | None = None
) -> None:
    """Writes down that somebody wanted to do what their role or their mini programs do not allow. Raises nothing.

    The answer is a refusal whether the row can be written or not.
    """
    await _add_or_log(backend, entry_of(backend, by, deed, "denied", target=target, appid=appid))


async def noted(backend: "Backend", deed: str, result: str = "done") -> None:
    """Writes down what the server itself did, which no audit can forbid: it starts, stops, rereads. Raises nothing."""
    await _add_or_log(backend, entry_of(backend, SYSTEM, deed, result))


async def _add_or_log(backend: "Backend", entry: Entry) -> None:
    try:
        await backend.audit.add(entry)
    except AuditAway:
        log.error("%s (%s) could not be written down", entry.deed, entry.result)


async def _say_it_failed(backend: "Backend", written: Entry, under_way: UnderWay) -> None:
    failed = replace(
        written,
        n=0,
        at=backend.now(),
        result="failed",
        count=under_way.reached,
        reason=None,
        concerns=written.n or None,
    )
    try:
        await backend.audit.add(failed)
    except AuditAway:
        return  # the deed's own trouble is what the operator has to be told


def entry_of(
    backend: "Backend",
    by: Actor,
    deed: str,
    result: str = "done",
    *,
    target: str | None = None,
    appid: str | None = None,
    count: int | None = None,
    reason: str | None = None,
) -> Entry:
    """The row of a deed, not written yet: for what is written down in one transaction with what it does."""
    return Entry(
        0,
        backend.now(),
        by.name[:80],
        by.address,
        by.request_id,
        deed,
        result,
        plain(target, MOST_TARGET),
        appid,
        count,
        plain(reason, MOST_REASON),
        role=by.role,
    )


def plain(text: str | None, most: int) -> str | None:
    """One line of what was typed in, cut, without controls and halves of surrogate pairs; None when nothing is left."""
    if text is None:
        return None
    kept = "".join(" " if has_controls(each) else each for each in text)
    return kept.strip()[:most] or None
