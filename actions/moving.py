"""The verb that takes everything to other stores: nobody loses a number, and live sessions live on as long."""

from collections.abc import AsyncIterator

import msgspec

from actions.backend import Backend
from actions.deeds import Actor, written_down
from stores.backups import last_user_id, never_again
from stores.db import Database
from stores.moving import NotTheSame, compare, copy_all, forget_all_sessions, mark, must_be_empty, session_rows, unmark
from stores.sessions import Session, Sessions
from stores.sessions.on_cluster import ClusterSessions
from stores.sessions.on_redis import RedisSessions
from stores.sessions.on_sql import SqlSessions

InRedis = RedisSessions | ClusterSessions


class Moved(msgspec.Struct, frozen=True):
    """How many rows of each table, and how many live sessions, went to the other stores."""

    rows: dict[str, int]
    sessions: int


async def move(
    backend: Backend, by: Actor, db: Database | None, sessions: Sessions | None, *, to: str, again: bool
) -> Moved:
    """Copies the database, the live sessions, or both; None stays where it is. The source is only read.

    With `again` a Redis that an interrupted move filled by half is emptied first. No server may run on either: what it
    wrote meanwhile would be missing, which is found out, and then nothing of this counts. Raises NotEmpty, NotTheSame,
    AuditAway, store trouble.
    """
    in_sql = isinstance(backend.sessions, SqlSessions)
    whole = db is not None and in_sql and (sessions is None or isinstance(sessions, SqlSessions))
    rows: dict[str, int] = {}
    if db is not None:
        await must_be_empty(db)
    if isinstance(sessions, InRedis):
        await sessions.begin_move(again=again)
    if db is not None:
        await mark(db)
    async with written_down(backend, by, "data.move", target=f"to:{to}"):
        if db is not None:
            rows = await copy_all(backend.db, db, sessions=whole)
            await never_again(db, await last_user_id(backend.db))
        moved = rows["session"] if whole else 0
        if sessions is not None and not whole:
            moved = await _move_sessions(backend, db, sessions)
        if db is not None:
            await compare(backend.db, db, sessions=whole)
            await unmark(db)
        if isinstance(sessions, InRedis):
            await sessions.end_move(await backend.epochs.all())
    return Moved(rows, moved)


async def _move_sessions(backend: Backend, db: Database | None, sessions: Sessions) -> int:
    if isinstance(sessions, SqlSessions) and db is None:
        await forget_all_sessions(backend.db)
    now, moved = backend.now(), 0
    async for some in _live(backend, now):
        await sessions.adopt(some, now)
        moved += len(some)
    if moved != sum([len(some) async for some in _live(backend, now)]):
        raise NotTheSame("the sessions")
    return moved


async def _live(backend: Backend, now: int) -> AsyncIterator[list[Session]]:
    if isinstance(backend.sessions, InRedis):
        async for found in backend.sessions.every(now):
            yield found
        return
    epochs = await backend.epochs.all()
    async for rows in session_rows(backend.db):
        yield [
            Session(*(*row[:7], row[8]))
            for row in rows
            if row[9] is None and row[6] > now and row[3] == epochs.get(row[2], 0)
        ]
