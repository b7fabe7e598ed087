"""What WeChat told us about people, and when we had done what it asked for."""

from typing import Literal

import msgspec

from stores.db import Database, Row, Script, all_of, load
from stores.scope import Scope, within

SQL = load("push_events.sql")
_FAR = 2**53

# `begun`: we will do all that it asks for. `hint`: it came in plain mode, where anybody who saw one address can write
# what he likes, so only the sessions end and no data goes. `done` and `hinted` are their ends, `nobody` and `ignored`
# those of an event about somebody whom we do not know, and of one that names no person.
State = Literal["begun", "hint", "done", "hinted", "nobody", "ignored"]
ENDS: dict[State, State] = {"begun": "done", "hint": "hinted"}


class PushEvent(msgspec.Struct, frozen=True):
    """One row. Times are epoch seconds; `done_at` is None until it is done, `user_id` when nobody is meant."""

    id: bytes
    appid: str
    event: str  # its name; of a revocation with what was revoked: "user_authorization_revoke:8"
    user_id: int | None
    state: State
    at: int
    done_at: int | None

    @property
    def name(self) -> str:
        """What WeChat calls it."""
        return self.event.partition(":")[0]

    @property
    def revoked(self) -> str:
        """WeChat's number of what was revoked, empty for other events."""
        return self.event.partition(":")[2]


class PushEventsPage(msgspec.Struct, frozen=True):
    """Some rows, the newest first; `more` is (at, id) below which the next page begins, None at the end."""

    rows: list[PushEvent]
    more: tuple[int, bytes] | None = None


class PushEvents:
    """The rows. All calls raise UsersAway or StoreFull when the database does."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(self, event: PushEvent) -> bool:
        """Writes down what WeChat told, on disk when this returns; False when it had told it before."""

        def script() -> Script[bool]:
            added = yield SQL["add_push_event"](
                id=event.id, appid=event.appid, event=event.event, user_id=event.user_id, state=event.state, at=event.at
            )
            if event.done_at is not None and added.changed == 1:
                yield SQL["finish_push_event"](id=event.id, state=event.state, now=event.done_at)
            return added.changed == 1

        return await self._db.write(script)

    async def take(self, event_id: bytes, now: int, before: int) -> bool:
        """Whether the caller is the one to do it: it is not done, and nobody has begun since `before`."""
        return await self._db.write(all_of(SQL["take_push_event"](id=event_id, now=now, before=before))) == 1

    async def finish(self, event: PushEvent, state: State, now: int) -> None:
        """It is done."""
        await self._db.write(all_of(SQL["finish_push_event"](id=event.id, state=state, now=now)))

    async def unfinished(self, since: int, before: int, most: int) -> list[PushEvent]:
        """What came since a moment, is not done, and nobody has tried since `before`; the oldest first."""
        asked = SQL["unfinished_push_events"](**{"from": since}, before=before, most=most)
        return [_event(row) for row in await self._db.read(asked)]

    async def page(self, appids: Scope, place: tuple[int, bytes] | None = None, most: int = 50) -> PushEventsPage:
        """The newest of these mini programs, or of any, below a place."""
        at, event_id = place or (_FAR, b"\xff" * 32)
        asked = {**within(appids), "at": at, "id": event_id}
        rows = [_event(row) for row in await self._db.browse(SQL["page_push_events"](**asked, most=most + 1))]
        return PushEventsPage(rows[:most], (rows[most - 1].at, rows[most - 1].id) if rows[most:] else None)


def _event(row: Row) -> PushEvent:
    return PushEvent(bytes(row[0]), *row[1:])
