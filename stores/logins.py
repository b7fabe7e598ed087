"""Facts about each login: when, from where, with what, last seen, ended why. Written behind, in batches.

Truth about who is in stands in the session store; these rows are for people who look at lists. A phone never waits for
them, and losing the last moments of them loses no login and no revocation.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from stores.db import Database, Query, Row, Script, load
from stores.errors import StoreTrouble

log = logging.getLogger("menshen.store")

SQL = load("logins.sql")
PEOPLE = load("users.sql")
MOST_WAITING = 20_000
_MOST_AT_ONCE = 500


@dataclass(frozen=True)
class Login:
    """One row, for ever keyed by the id of its session. Times are epoch seconds; unknown values are None."""

    id: bytes
    user_id: int
    appid: str
    ip: str | None
    platform: str | None
    version: str | None
    environment: str | None
    created_at: int
    seen_at: int
    ended_at: int | None = None
    reason: str | None = None


class Logins:
    """The login rows. Notes are kept until `flush` has written them; reads raise UsersAway."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._waiting: list[Query] = []
        self._noted = 0
        self._one_flush = asyncio.Lock()
        self.lost = 0  # notes that were dropped because the database was away too long

    def opened(self, login: Login) -> None:
        """A session began."""
        self._note(
            SQL["add_login"](
                id=login.id,
                user_id=login.user_id,
                appid=login.appid,
                ip=login.ip,
                platform=login.platform,
                version=login.version,
                environment=login.environment,
                at=login.created_at,
            )
        )
        self._note(PEOPLE["note_last_login"](id=login.user_id, at=login.created_at))

    def seen(self, ids: Iterable[bytes], at: int) -> None:
        """These sessions were used."""
        for some in _in_turns(ids):
            self._note(SQL["note_seen"](ids=some, at=at))

    def ended(self, ids: Iterable[bytes], reason: str, at: int) -> None:
        """These sessions ended."""
        for some in _in_turns(ids):
            self._note(SQL["note_ended"](ids=some, reason=reason, at=at))

    async def flush(self) -> None:
        """Writes what waits. When the database is away the notes stay for the next time, up to a bound."""
        if not self._db.answers:
            return  # a request that only wants to see its own notes must not wait for an outage, each behind the other
        async with self._one_flush:
            with contextlib.suppress(StoreTrouble):
                while self._waiting:
                    await self._write_some()

    async def _write_some(self) -> None:
        """Takes some out before the wait, so that what is noted or dropped meanwhile does not move them."""
        batch, self._waiting = self._waiting[:_MOST_AT_ONCE], self._waiting[_MOST_AT_ONCE:]
        try:
            await self._db.write(_all_of(batch), durable=False)
            self._noted -= sum(map(_weight, batch))
        except BaseException:  # also when the task is cancelled: each note may be written twice, but not never
            self._waiting[:0] = batch
            self._drop_oldest()
            raise

    async def find(self, ids: list[bytes]) -> dict[bytes, Login]:
        """The rows of these sessions, as far as they are written."""
        return {row[0]: Login(*row) for row in await self._db.read(SQL["logins_by_id"](ids=ids))} if ids else {}

    async def beginning_with(self, public_id: str) -> list[Login]:
        """Up to two rows whose id, written as hex, begins so."""
        first = bytes.fromhex(public_id.ljust(64, "0"))
        last = bytes.fromhex(public_id.ljust(64, "f"))
        return _logins(await self._db.read(SQL["logins_between_ids"](first=first, last=last)))

    async def of_user(self, user_id: int, most: int) -> list[Login]:
        """One person's logins, the newest first."""
        return _logins(await self._db.read(SQL["logins_of_user"](user_id=user_id, most=most)))

    async def newest(self, most: int, before_at: int, before_id: bytes = b"\xff" * 32) -> list[Login]:
        """A page of all logins, the newest first, older than the place given."""
        return _logins(await self._db.read(SQL["logins_newest"](most=most, before_at=before_at, before_id=before_id)))

    async def mask(self, user_id: int) -> None:
        """An erased person's addresses and devices go; the times stay, as the law on network logs asks."""

        def script() -> Script[None]:
            yield SQL["mask_logins_of_user"](user_id=user_id)

        await self.flush()
        await self._db.write(script)

    def _note(self, query: Query) -> None:
        self._waiting.append(query)
        self._noted += _weight(query)
        if self._noted > 2 * MOST_WAITING:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        """Down to the bound, counted by sessions, of which one note may hold hundreds."""
        weights = [_weight(query) for query in self._waiting]
        noted, gone = sum(weights), 0
        while noted > MOST_WAITING:
            noted -= weights[gone]
            gone += 1
        self._noted = noted
        if gone:
            del self._waiting[:gone]
            self.lost += sum(weights[:gone])
            log.error("the database is away: notes about %d logins were given up so far", self.lost)


def _weight(query: Query) -> int:
    return len(query.parameters.get("ids", [0]))


def _in_turns(ids: Iterable[bytes]) -> Iterator[list[bytes]]:
    wanted = list(ids)
    for start in range(0, len(wanted), _MOST_AT_ONCE):
        yield wanted[start : start + _MOST_AT_ONCE]


def _logins(rows: list[Row]) -> list[Login]:
    return [Login(*row) for row in rows]


def _all_of(batch: list[Query]) -> Callable[[], Script[None]]:
    def script() -> Script[None]:
        for query in batch:
            _ = yield query  # not `yield from batch`: a list takes no results

    return script
