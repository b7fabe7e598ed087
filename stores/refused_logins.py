"""Logins that were refused: when, from where, with what, and why. Written behind, like the facts of logins."""

import msgspec
from msgspec.structs import asdict

from stores.behind import Behind
from stores.db import Database, load
from stores.scope import Scope, within

SQL = load("refused_logins.sql")

LOOKED_THROUGH = 5_000  # entries of an index that one page looks through at the most
_FAR = 2**53


class RefusedLogin(msgspec.Struct, frozen=True):
    """One row. `id` is 0 before it has one; `at` epoch seconds; `errcode` WeChat's where it gave one, else ours."""

    id: int
    at: int
    appid: str
    errcode: int
    ip: str | None
    platform: str | None
    version: str | None
    environment: str | None


class Refusals(msgspec.Struct, frozen=True):
    """Some rows, the newest first; `more` is (at, id) from which the next page goes on.

    `looked_back_to` is set when the page is not full because enough entries were looked through.
    """

    rows: list[RefusedLogin]
    more: tuple[int, int] | None = None
    looked_back_to: int | None = None


class RefusedLogins:
    """The rows. Notes are kept until `flush` has written them, up to a bound; reads raise UsersAway."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._behind = Behind(db, "refused logins")

    @property
    def lost(self) -> int:
        """Notes that were dropped because the database was away too long."""
        return self._behind.lost

    def note(self, refused: RefusedLogin) -> None:
        """A phone did not get its token."""
        row = asdict(refused)
        del row["id"]
        self._behind.note(SQL["add_refused_login"](**row))

    async def flush(self) -> None:
        """Writes what waits. When the database is away the notes stay for the next time."""
        await self._behind.flush()

    async def catch_up(self) -> None:
        """Writes what waits if that is little: before a list is shown."""
        await self._behind.catch_up()

    async def page(
        self,
        appids: Scope = None,
        errcode: int | None = None,
        platform: str | None = None,
        at_from: int = 0,
        at_to: int = _FAR,
        place: tuple[int, int] | None = None,
        most: int = 50,
    ) -> Refusals:
        """The newest rows that fit, from a place on; `appids` None is any. Looks through a bounded number."""
        at, row_id = place if place is not None and place[0] <= at_to else (at_to, 2**62)
        asked = {
            **within(appids),
            "platform": platform,
            "errcode": errcode,
            "value": at,
            "id": row_id,
        }
        window, page = (
            (SQL["window_refused"], SQL["page_refused"])
            if errcode is None
            else (SQL["window_refused_so"], SQL["page_refused_so"])
        )
        reach = await self._db.browse(window(**asked, stop=at_from, stop_id=0, window=LOOKED_THROUGH))
        stop, stop_id = reach[0] if reach else (at_from, 0)
        found = await self._db.browse(page(**asked, stop=stop, stop_id=stop_id, most=most + 1))
        rows = [RefusedLogin(*row) for row in found[:most]]
        if len(found) > most:
            return Refusals(rows, (rows[-1].at, rows[-1].id))
        return Refusals(rows, (stop, stop_id), stop) if reach else Refusals(rows)
