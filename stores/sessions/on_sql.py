"""Sessions beside the users, in SQLite or MySQL: the engine for a first server that needs nothing else installed."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from stores.db import Database, Result, Row, Script, load
from stores.errors import SessionsAway, UsersAway
from stores.sessions.promise import (
    CLAIM_SECONDS,
    MEMORY_SECONDS,
    MOST_LISTED,
    TALLY_SECONDS,
    UNDO_SECONDS,
    Admission,
    Advice,
    Opened,
    Opening,
    PersonChanged,
    Reason,
    Session,
    SessionGone,
    TooManySessions,
    new_token,
)
from stores.shared_lookup import SharedLookup

SQL = load("sessions.sql")
_A_FEW = 200


@contextmanager
def _as_sessions() -> Iterator[None]:
    """Whoever asked for a session is told that sessions are away, not users."""
    try:
        yield
    except UsersAway as away:
        raise SessionsAway(str(away)) from None


class SqlSessions:
    """The promise, kept in the tables `session`, `epoch`, `code_claim` and `tally`."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._lookup: SharedLookup[bytes, Row | None] = SharedLookup(self._ask)

    async def start(self) -> None:
        """The database is opened by whoever made it."""

    async def ping(self) -> None:
        """See Sessions.ping."""
        with _as_sessions():
            await self._db.ping()

    async def advice(self) -> list[Advice]:
        """Nothing: SQLite is set up by us, and MySQL's own settings are looked at elsewhere."""
        return []

    async def admit(self, code_hash: bytes, tally: str) -> Admission:
        """See Sessions.admit. Not durable: a claim lost to a power cut meets WeChat's own memory of the code."""
        now = int(time.time())

        def script() -> Script[Admission]:
            claim = yield SQL["claim_code"](code_hash=code_hash, until=now + CLAIM_SECONDS)
            return Admission(claim.changed == 1, (yield from _count(tally, 1, now)))

        with _as_sessions():
            return await self._db.write(script, durable=False)

    async def give_back(self, code_hash: bytes) -> None:
        """See Sessions.give_back."""

        def script() -> Script[None]:
            yield SQL["give_back_code"](code_hash=code_hash)

        with _as_sessions():
            await self._db.write(script, durable=False)

    async def add_tallies(self, tallies: Mapping[str, int]) -> dict[str, int]:
        """See Sessions.add_tallies."""
        now = int(time.time())

        def script() -> Script[dict[str, int]]:
            totals = {}
            for name, n in tallies.items():
                totals[name] = yield from _count(name, n, now)
            return totals

        with _as_sessions():
            return await self._db.write(script, durable=False)

    def new_token(self, user_id: int) -> str:
        """See Sessions.new_token."""
        del user_id
        return new_token()

    async def open(self, opening: Opening, now: int) -> Opened:
        """See Sessions.open."""
        opened_us = time.time_ns() // 1000

        def script() -> Script[Opened]:
            found = yield SQL["user_generation"](user_id=opening.user_id)
            if not found.rows or found.rows[0][0] > opening.generation:
                raise PersonChanged
            ended = yield from _end_replaced(opening, now)
            ended += yield from _make_room(opening, now)
            found = yield SQL["epoch_of"](appid=opening.appid)
            session = opening.in_epoch(found.rows[0][0] if found.rows else 0)
            yield SQL["open_session"](
                id=opening.id,
                user_id=opening.user_id,
                appid=opening.appid,
                epoch=session.epoch,
                created_at=opening.created_at,
                ends_at=opening.ends_at,
                expires_at=opening.expires_at,
                opened_us=opened_us,
                sealed_key=opening.sealed_key,
            )
            return Opened(session, ended)

        with _as_sessions():
            return await self._db.write(script)

    async def find(self, session: bytes, now: int) -> Session:
        """See Sessions.find."""
        row = await self._lookup.get(session)
        if row is None:
            raise SessionGone
        *fields, reason, counter = row
        if reason is not None:
            raise SessionGone(reason)
        found = Session(*fields)
        if found.epoch != counter:
            raise SessionGone("revoked")
        if found.expires_at <= now:
            raise SessionGone("expired")
        return found

    async def _ask(self, ids: list[bytes]) -> list[Row | None]:
        with _as_sessions():
            rows = await self._db.read(SQL["sessions_by_id"](ids=ids))
        by_id = {row[0]: row for row in rows}
        return [by_id.get(each) for each in ids]

    async def end(
        self, sessions: Iterable[bytes], reason: Reason, now: int, undo_by: str | None = None
    ) -> list[Session]:
        """See Sessions.end."""
        ids = list(sessions)

        def script() -> Script[list[Session]]:
            yield SQL["forbid_return"](ids=ids, by=undo_by or "")  # first: it holds the rows until the end, for MySQL
            found = yield SQL["sessions_by_id"](ids=ids)
            return (yield from _end_each(_holding(found, now), reason, now, undo_by))

        if not ids:
            return []
        with _as_sessions():
            return await self._db.write(script, from_reserve=True)

    async def restore(self, sessions: Iterable[bytes], by: str, now: int) -> list[Session]:
        """See Sessions.restore."""
        ids = list(sessions)

        def script() -> Script[list[Session]]:
            found = _holding((yield SQL["returning_sessions"](ids=ids, by=by, now=now)), now)
            let_in = yield SQL["people_let_in"](user_ids=[session.user_id for session in found], now=now)
            welcome = {row[0] for row in let_in.rows}
            returned = []
            for session in found:
                if session.user_id in welcome:
                    done = yield SQL["return_session"](id=session.id, by=by, now=now)
                    returned += [session] * done.changed
            return returned

        if not ids:
            return []
        with _as_sessions():
            return await self._db.write(script, from_reserve=True)

    async def bar(self, user_id: int, generation: int) -> None:
        """See Sessions.bar. `open` reads the generation from the person's own row, in the same transaction."""

        def script() -> Script[None]:
            yield SQL["forbid_return_of_user"](user_id=user_id)

        with _as_sessions():
            await self._db.write(script, from_reserve=True)

    async def end_some(self, user_id: int, appid: str, reason: Reason, now: int) -> list[Session] | None:
        """See Sessions.end_some."""

        def script() -> Script[list[Session] | None]:
            yield SQL["forbid_return_of_user"](user_id=user_id)
            found = _holding((yield SQL["live_sessions"](user_id=user_id, now=now, most=_A_FEW)), now)
            return (yield from _end_each(found, reason, now)) if found else None

        with _as_sessions():
            return await self._db.write(script, from_reserve=True)

    async def holding(self, ids: list[bytes], now: int) -> dict[bytes, Session]:
        """See Sessions.holding."""
        if not ids:
            return {}
        with _as_sessions():
            rows = await self._db.read(SQL["sessions_by_id"](ids=ids))
        return {session.id: session for session in _holding(Result(rows), now)}

    async def live(self, user_id: int, appid: str, now: int, most: int = MOST_LISTED) -> list[Session]:
        """See Sessions.live."""
        with _as_sessions():
            rows = await self._db.read(SQL["live_sessions"](user_id=user_id, now=now, most=most))
        return _holding(Result(rows), now)

    async def count(self, appid: str, now: int) -> int:
        """See Sessions.count."""
        with _as_sessions():
            epoch = await self._db.read(SQL["epoch_of"](appid=appid))
            counter = epoch[0][0] if epoch else 0
            rows = await self._db.browse(SQL["count_sessions"](appid=appid, epoch=counter, now=now))
        return int(rows[0][0])

    async def touch(self, used: Mapping[Session, int], now: int) -> None:
        """See Sessions.touch."""

        def script() -> Script[None]:
            for session, until in used.items():
                yield SQL["touch_session"](id=session.id, until=until, now=now)

        with _as_sessions():
            await self._db.write(script, durable=False)

    async def set_epochs(self, epochs: Mapping[str, int]) -> None:
        """Nothing to do: a look-up reads the counter from the same database."""

    async def adopt(self, sessions: Sequence[Session], now: int) -> None:
        """See Sessions.adopt."""

        def script() -> Script[None]:
            for session in sessions:
                yield SQL["open_session"](
                    id=session.id,
                    user_id=session.user_id,
                    appid=session.appid,
                    epoch=session.epoch,
                    created_at=session.created_at,
                    ends_at=session.ends_at,
                    expires_at=session.expires_at,
                    opened_us=session.created_at * 1_000_000,
                    sealed_key=session.sealed_key,
                )

        with _as_sessions():
            await self._db.write(script)

    async def sweep(self, now: int) -> int:
        """See Sessions.sweep."""

        def script() -> Script[int]:
            yield SQL["forget_claims"](now=now)
            yield SQL["forget_tallies"](now=now)
            stale = yield SQL["stale_sessions"](before=now - MEMORY_SECONDS, most=_A_FEW)
            if stale.rows:
                yield SQL["forget_sessions"](ids=[row[0] for row in stale.rows])
            return len(stale.rows) + (yield from _wipe_undone(now)) + (yield from _wipe_keys(now))

        with _as_sessions():
            return await self._db.write(script, durable=False, from_reserve=True)

    async def close(self) -> None:
        """See Sessions.close."""
        await self._lookup.close()


def _count(name: str, n: int, now: int) -> Script[int]:
    """Adds to a tally whose name holds its own minute."""
    yield SQL["add_tally"](name=name, n=n, until=now + 2 * TALLY_SECONDS)
    total = yield SQL["tally_of"](name=name)
    return int(total.rows[0][0])


def _holding(found: Result, now: int) -> list[Session]:
    """The rows of `sessions_by_id` or `live_sessions` that are sessions still."""
    return [
        Session(*fields)
        for *fields, reason, counter in found.rows
        if reason is None and fields[3] == counter and fields[6] > now
    ]


def _end_each(sessions: list[Session], reason: Reason, now: int, undo_by: str | None = None) -> Script[list[Session]]:
    """Ends these; gives those of which nobody else was told that they held."""
    ended = []
    for session in sessions:
        if undo_by is None:
            done = yield SQL["end_session"](id=session.id, reason=reason, now=now)
        else:
            done = yield SQL["end_session_for_now"](
                id=session.id, reason=reason, now=now, by=undo_by, until=now + UNDO_SECONDS
            )
        if done.changed:
            ended.append(session)
    return ended


def _end_replaced(opening: Opening, now: int) -> Script[list[bytes]]:
    if opening.replaces is None:
        return []
    done = yield SQL["end_session"](id=opening.replaces, reason="replaced", now=now)
    return [opening.replaces] if done.changed else []


def _make_room(opening: Opening, now: int) -> Script[list[bytes]]:
    """Ends what is over the limit, or raises TooManySessions; gives the ids that were ended."""
    if not opening.limit:
        return []
    found = yield SQL["live_sessions"](user_id=opening.user_id, now=now, most=opening.limit + _A_FEW)
    too_many = [session.id for session in _holding(found, now)][opening.limit - 1 :]
    if too_many and opening.overflow == "refuse":
        raise TooManySessions
    for session in too_many:
        yield SQL["end_session"](id=session, reason="replaced", now=now)
    return too_many


def _wipe_undone(now: int) -> Script[int]:
    """Wipes what nobody brought back within the minute, a few at a time."""
    over = yield SQL["missed_returns"](now=now, most=_A_FEW)
    if over.rows:
        yield SQL["forbid_return"](ids=[row[0] for row in over.rows], by="")
    return len(over.rows)


def _wipe_keys(now: int) -> Script[int]:
    """Wipes sealed keys of epochs gone by, a few at a time; their sessions are dead already."""
    wiped = 0
    for appid, counter in (yield SQL["epochs"]()).rows:
        old = yield SQL["expired_keys"](appid=appid, epoch=counter, most=_A_FEW)
        if old.rows:
            yield SQL["wipe_keys"](ids=[row[0] for row in old.rows], epoch=counter, now=now)
        wiped += len(old.rows)
    return wiped
