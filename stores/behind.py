"""Notes that are written behind, in batches: nobody waits for them, and a database that is away loses few of them."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable

from stores.db import Database, Query, all_of
from stores.errors import StoreTrouble

log = logging.getLogger("menshen.store")

MOST_WAITING = 20_000
MOST_AT_ONCE = 500
_LEAST_AT_ONCE = 10


class Behind:
    """Notes in the order in which they were made, kept until `flush` has written them."""

    def __init__(
        self, db: Database, about: str, together: Callable[[list[Query]], Iterable[Query]] = lambda notes: notes
    ) -> None:
        """`about` says in the log what the notes are about; `together` does several of them in fewer queries."""
        self._db = db
        self._together = together
        self._about = about
        self._waiting: list[Query] = []
        self._noted = 0
        self._at_once = MOST_AT_ONCE
        self._one_flush = asyncio.Lock()
        self.lost = 0  # notes that were dropped because the database was away too long

    def note(self, query: Query) -> None:
        """To be written by the next flush."""
        self._waiting.append(query)
        self._noted += _weight(query)
        if self._noted > 2 * MOST_WAITING:
            self._drop_oldest()

    @property
    def all_written(self) -> bool:
        """Whether nothing waits, as after a flush that succeeded."""
        return not self._waiting

    async def catch_up(self) -> None:
        """Writes what waits if that is little, so that somebody sees his own deed; a list does not wait for a crowd."""
        if len(self._waiting) <= MOST_AT_ONCE // 10:
            await self.flush()

    async def flush(self) -> None:
        """Writes what waits. When the database is away the notes stay for the next time, up to a bound."""
        if not self._db.answers:
            return  # a request that only wants to see its own notes must not wait for an outage, each behind the other
        async with self._one_flush:
            with contextlib.suppress(StoreTrouble):
                while self._waiting:
                    await self._write_some()

    async def _write_some(self) -> None:
        """Takes some out before the wait, so that what is noted or dropped meanwhile does not move them.

        After a failure half as many: a busy or far database may do few in the time that a write has, and as many again
        would never be done.
        """
        batch, self._waiting = self._waiting[: self._at_once], self._waiting[self._at_once :]
        try:
            await self._db.write(all_of(*self._together(batch)), durable=False)
            self._noted -= sum(map(_weight, batch))
            self._at_once = min(MOST_AT_ONCE, 2 * self._at_once)
        except BaseException:  # also when the task is cancelled: each note may be written twice, but not never
            self._at_once = max(_LEAST_AT_ONCE, self._at_once // 2)
            self._waiting[:0] = batch
            self._drop_oldest()
            raise

    def _drop_oldest(self) -> None:
        """Down to the bound, counted by what they are about, of which one note may hold hundreds."""
        weights = [_weight(query) for query in self._waiting]
        noted, gone = sum(weights), 0
        while noted > MOST_WAITING:
            noted -= weights[gone]
            gone += 1
        self._noted = noted
        if gone:
            del self._waiting[:gone]
            self.lost += sum(weights[:gone])
            log.error("the database is away: notes about %d %s were given up so far", self.lost, self._about)


def _weight(query: Query) -> int:
    return len(query.parameters.get("ids", [0]))
