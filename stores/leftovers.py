"""Rows older than they may be kept: found a few at a time along an index of time, then deleted or masked."""

import msgspec

from stores.db import Database, Query, all_of, load

SQL = load("retention.sql")
A_FEW = 200  # a batch; the writes of logins wait for one of these at the most


class Place(msgspec.Struct, frozen=True):
    """How far somebody has come along the logins: the moment and the id of the last row seen."""

    at: int = 0
    id: bytes = b""


class Leftovers:
    """Old logins, refused logins and figures. All calls raise UsersAway or StoreFull."""

    def __init__(self, db: Database) -> None:
        self._db = db
        # Where masking goes on. The moment is also kept in SQL, so that a restart does not begin from the first row.
        self._masked: Place | None = None
        self._masked_refused: tuple[int, int] | None = None

    async def logins(self, before: int, place: Place) -> list[Place]:
        """A few logins from before a moment, the oldest beyond a place first."""
        asked = SQL["old_logins"](after=place.at, id=place.id, before=before, most=A_FEW)
        return [Place(at, bytes(found)) for at, found in await self._db.read(asked)]

    async def forget_logins(self, ids: list[bytes]) -> None:
        """They go."""
        await self._write(SQL["forget_logins"](ids=ids))

    async def mask_logins(self, before: int) -> int:
        """Takes addresses and devices out of the next few from before a moment; gives how many rows it saw."""
        if self._masked is None:
            self._masked = Place(await self._place("masked_logins"))
        some = await self.logins(before, self._masked)
        if some:
            await self._write(
                SQL["mask_old_logins"](ids=[each.id for each in some]),
                SQL["move_place"](name="masked_logins", at=some[-1].at),
            )
            self._masked = some[-1]
        return len(some)

    async def mask_refused(self, before: int) -> int:
        """The same for refused logins."""
        if self._masked_refused is None:
            self._masked_refused = await self._place("masked_refused"), 0
        at, refused_id = self._masked_refused
        rows = await self._db.read(SQL["old_refused"](after=at, refused_id=refused_id, before=before, most=A_FEW))
        if rows:
            await self._write(
                SQL["mask_old_refused"](refused_ids=[row[1] for row in rows]),
                SQL["move_place"](name="masked_refused", at=rows[-1][0]),
            )
            self._masked_refused = rows[-1][0], rows[-1][1]
        return len(rows)

    async def forget_refused(self, before: int) -> int:
        """Deletes a few refused logins from before a moment; gives how many."""
        rows = await self._db.read(SQL["old_refused"](after=0, refused_id=0, before=before, most=A_FEW))
        if rows:
            await self._write(SQL["forget_refused"](refused_ids=[row[1] for row in rows]))
        return len(rows)

    async def forget_push_events(self, before: int) -> int:
        """Deletes a little of what WeChat told before a moment; gives how many rows."""
        rows = await self._db.read(SQL["old_push_events"](before=before, most=A_FEW))
        if rows:
            await self._write(SQL["forget_push_events"](ids=[row[0] for row in rows]))
        return len(rows)

    async def forget_figures(self, before_hour: int) -> int:
        """Deletes the figures of the oldest hour before one; gives how many hours that were: 1 or 0."""
        [(oldest,)] = await self._db.read(SQL["oldest_hour"](hour=before_hour))
        if oldest is not None:
            await self._write(SQL["forget_hour"](hour=oldest))
        return int(oldest is not None)

    async def _place(self, name: str) -> int:
        rows = await self._db.read(SQL["place_of"](name=name))
        return int(rows[0][0]) if rows else 0

    async def _write(self, *queries: Query) -> None:
        await self._db.write(all_of(*queries), durable=False, from_reserve=True)
