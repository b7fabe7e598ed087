"""The counters by which everybody's session in a mini program ends at once; SQL keeps them, sessions carry them."""

from collections.abc import Iterable

from stores.db import Database, Script, load

SQL = load("sessions.sql")


class Epochs:
    """One counter for each mini program, beginning at 0. All calls raise UsersAway or StoreFull."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def all(self) -> dict[str, int]:
        """The counter of every mini program that was ever served here."""
        return dict(await self._db.read(SQL["epochs"]()))

    async def know(self, appids: Iterable[str]) -> dict[str, int]:
        """Notes the mini programs that are served, so that a shell without their settings knows them; gives all."""
        known = await self.all()
        new = [appid for appid in appids if appid not in known]

        def script() -> Script[None]:
            for appid in new:
                yield SQL["know_app"](appid=appid)

        if new:
            await self._db.write(script)
            known = await self.all()
        return known

    async def raise_for(self, appid: str, at: int) -> int:
        """Adds one and notes when; gives the new counter. The session store has yet to be told."""

        def script() -> Script[int]:
            yield SQL["raise_epoch"](appid=appid, at=at)
            now = yield SQL["epoch_of"](appid=appid)
            return int(now.rows[0][0])

        return await self._db.write(script, from_reserve=True)

    async def raised_at(self, appid: str) -> int | None:
        """When everybody was put out of this mini program for the last time, in epoch seconds."""
        rows = await self._db.read(SQL["epoch_raised"](appid=appid))
        return rows[0][0] if rows else None
