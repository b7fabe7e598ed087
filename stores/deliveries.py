"""What your other back ends are told, kept until they have taken it: one row for each event and target.

A row is written in the transaction of what it tells, where that is SQL. Whoever sends it takes it and holds it for a
lease; a process that dies lets it go by itself.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from stores.behind import Behind
from stores.db import Database, Query, Script, all_of, load

SQL = load("deliveries.sql")

LEASE_SECONDS = 60
_A_FEW = 200
_LAST = 2**62

State = Literal["waiting", "done", "failed"]


class NoSuchDelivery(Exception):
    """There is none of this number, or it waits to be sent anyway."""


class Delivery(msgspec.Struct, frozen=True):
    """One event on its way. Times are epoch seconds; `status` is the HTTP status of the last answer, if any."""

    id: int
    target: str
    event: str
    body: str
    state: State
    created_at: int
    next_at: int
    attempts: int
    status: int | None
    done_at: int | None


class Settled(msgspec.Struct, frozen=True):
    """How an attempt went, and when the next one is due."""

    state: State
    status: int | None
    next_at: int
    done_at: int | None = None


def queued(target: str, event: str, body: str, now: int) -> Query:
    """The query that adds a delivery, for the transaction of what it tells."""
    return SQL["add_delivery"](target=target, event=event, body=body, now=now)


class Deliveries:
    """The outbox. Calls raise UsersAway or StoreFull when the database does; `note` never."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._behind = Behind(db, "events for other back ends")

    def note(self, query: Query) -> None:
        """Adds a delivery as soon as the database takes it, for what did not happen in SQL."""
        self._behind.note(query)

    async def flush(self) -> None:
        """Writes what was noted."""
        await self._behind.flush()

    async def take(self, now: int, most: int) -> list[Delivery]:
        """Some that are to be sent at `now` (epoch seconds), as they were before: ours for LEASE_SECONDS.

        When this raises nobody knows whether they were taken, and they may wait until the lease is over.
        """
        due = [row[0] for row in await self._db.read(SQL["due_deliveries"](now=now, most=most))]

        def script() -> Script[list[Delivery]]:
            taken = [Delivery(*row) for row in (yield SQL["still_due"](delivery_ids=due, now=now)).rows]
            if taken:
                yield SQL["lease_deliveries"](delivery_ids=[each.id for each in taken], until=now + LEASE_SECONDS)
            return taken

        return await self._db.write(script, durable=False) if due else []

    async def settle(self, delivery: Delivery, how: Settled) -> None:
        """Writes down how the attempt went; `delivery` is the row as it was before it was taken."""
        query = SQL["settle_delivery"](
            delivery_id=delivery.id,
            attempts=delivery.attempts + 1,
            state=how.state,
            status=how.status,
            next_at=how.next_at,
            done_at=how.done_at,
        )
        await self._db.write(all_of(query), durable=False)

    async def find(self, delivery_id: int) -> Delivery:
        """Raises NoSuchDelivery."""
        rows = await self._db.read(SQL["delivery_by_id"](delivery_id=delivery_id))
        if not rows:
            raise NoSuchDelivery
        return Delivery(*rows[0])

    async def newest(self, most: int, before: int = _LAST) -> Sequence[Delivery]:
        """The newest, before a number."""
        return [Delivery(*row) for row in await self._db.read(SQL["deliveries_before"](delivery_id=before, most=most))]

    async def send_again(self, delivery_id: int, now: int) -> None:
        """Lets it be sent once more, under the same number. Raises NoSuchDelivery."""
        query = SQL["send_again"](delivery_id=delivery_id, now=now)
        if await self._db.write(all_of(query)) != 1:
            raise NoSuchDelivery

    async def forget(self, before: int) -> int:
        """Deletes a few from before a moment; gives how many."""
        rows = await self._db.read(SQL["old_deliveries"](before=before, most=_A_FEW))
        if rows:
            query = SQL["forget_deliveries"](delivery_ids=[row[0] for row in rows])
            await self._db.write(all_of(query), durable=False)
        return len(rows)
