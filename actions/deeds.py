"""A deed is written down before it is done; when it failed, a second row says so and names the first."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stores.audit import AuditAway, Entry

if TYPE_CHECKING:
    from actions.backend import Backend

MOST_REASON = 200


@dataclass(frozen=True)
class Actor:
    """Who does a deed: `shell:root`, `operator:mei`, `person:42`, `system`. Address and request are None in a shell."""

    name: str
    address: str | None = None
    request_id: str | None = None


@asynccontextmanager
async def written_down(
    backend: "Backend",
    by: Actor,
    deed: str,
    *,
    target: str | None = None,
    appid: str | None = None,
    count: int | None = None,
    reason: str | None = None,
) -> AsyncIterator[None]:
    """Writes the row, then lets the deed happen. Raises AuditAway, and then the deed must not happen.

    `count` is how many sessions or people the deed is about to touch, as far as that is known beforehand.
    """
    entry = Entry(
        0,
        backend.now(),
        by.name[:80],
        by.address,
        by.request_id,
        deed,
        "done",
        target,
        appid,
        count,
        reason[:MOST_REASON] if reason else None,
    )
    written = await backend.audit.add(entry)
    try:
        yield
    except BaseException:
        await _say_it_failed(backend, written)
        raise


async def _say_it_failed(backend: "Backend", written: Entry) -> None:
    failed = Entry(
        0,
        backend.now(),
        written.actor,
        written.address,
        written.request_id,
        written.deed,
        "failed",
        written.target,
        written.appid,
        concerns=written.n or None,
    )
    try:
        await backend.audit.add(failed)
    except AuditAway:
        return  # the deed's own trouble is what the operator has to be told
