"""The counters by which everybody's session in a mini program ends at once; SQL keeps them, sessions carry them."""

from stores.db import Database, Script, load

SQL = load("sessions.sql")


class Epochs:
    """One counter for each mini program, beginning at 0. All calls raise UsersAway or StoreFull."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def all(self) -> dict[str, int]:
        """The counter of every mini program that ever put everybody out."""
        return dict(await self._db.read(SQL["epochs"]()))

    async def raise_for(self, appid: str) -> int:
        """Adds one; gives the new counter. The session store has yet to be told."""

        def script() -> Script[int]:
            yield SQL["raise_epoch"](appid=appid)
            now = yield SQL["epoch_of"](appid=appid)
            return int(now.rows[0][0])

        return await self._db.write(script)
