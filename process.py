"""What one process holds: the stores and all that works on them, put together as the settings say."""

import contextlib
import dataclasses
import functools
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

from actions import Backend, noted
from actions.access_tokens import SharedTokens
from actions.active_sessions import ActiveSessions
from actions.alarms import Alarms
from actions.health import Health
from actions.key_resets import KeyResets
from actions.key_uses import KeyUses
from actions.lifetime import Lifetime
from actions.operators import offer_first_link
from actions.outgoing import Outgoing
from actions.retention import Retention
from actions.robots import channels
from actions.unknown_tokens import UnknownTokens
from actions.uses import Uses
from settings import MysqlUrl, RedisUrl, Settings, SqliteUrl
from stores.access_tokens import AccessTokens
from stores.attempts import Attempts
from stores.audit import Audit
from stores.avatars import Avatars
from stores.db import Database, open_database
from stores.deliveries import Deliveries
from stores.epochs import Epochs
from stores.errors import StoreTrouble, WrongCredentials, WrongSchema
from stores.figures import Figures
from stores.keys import Keys, KeysUnreadable, load_keys, newer_keys
from stores.leftovers import Leftovers
from stores.lock import DataLock
from stores.logins import Logins
from stores.operators import Operators
from stores.push_events import PushEvents
from stores.records import Records
from stores.refused_logins import RefusedLogins
from stores.service_keys import ServiceKeys
from stores.sessions import Sessions
from stores.sessions.on_sql import SqlSessions
from stores.sessions.packed import Packer
from stores.users import Users
from wechat.client import WeChat
from wechat.crypto import Seal

log = logging.getLogger("menshen")

START, STOP, REREAD = "server.start", "server.stop", "settings.reread"


def assemble(settings: Settings) -> Backend:
    """The backend that the settings describe; nothing is connected yet. Raises KeysUnreadable."""
    keys = load_keys(settings.data_dir)
    db = open_database(settings.database)
    epochs, users, logins = Epochs(db), Users(db), Logins(db)
    sessions = _sessions(settings, db, keys, Records(epochs, logins, users))
    lifetime, figures = Lifetime.of(settings), Figures(db)
    audit = Audit(db, settings.data_dir)
    outgoing = Outgoing()
    seal = Seal(keys.sealing, keys.current, functools.partial(newer_keys, settings.data_dir))
    wechat = WeChat(settings.wechat_base, {app.appid: app for app in settings.apps}, settings.open_logins)
    access_tokens = SharedTokens(AccessTokens(db), seal, wechat, lambda: int(time.time()))
    wechat.take_tokens_from(access_tokens)
    return Backend(
        settings=settings,
        keys=keys,
        db=db,
        audit=audit,
        users=users,
        sessions=sessions,
        logins=logins,
        refused_logins=RefusedLogins(db),
        push_events=PushEvents(db),
        avatars=Avatars(db),
        figures=figures,
        operators=Operators(db, audit),
        attempts=Attempts(db),
        epochs=epochs,
        wechat=wechat,
        access_tokens=access_tokens,
        key_resets=KeyResets(wechat, users, seal, settings.reset_key_on_revoke),
        seal=seal,
        lifetime=lifetime,
        unknown_tokens=UnknownTokens(sessions, settings.unknown_token_limit),
        service_keys=ServiceKeys(db, audit),
        key_uses=KeyUses(sessions, settings.key_limit),
        deliveries=Deliveries(db),
        outgoing=outgoing,
        alarms=Alarms(settings.data_dir, channels(settings, outgoing), settings.language, settings.public_url),
        uses=Uses(sessions, logins, lifetime, figures),
        active_sessions=ActiveSessions(sessions),
        health=Health(db, sessions),
        retention=Retention(settings.retention_days, Leftovers(db), sessions, lifetime),
    )


def _sessions(settings: Settings, db: Database, keys: Keys, records: Records) -> Sessions:
    if not isinstance(settings.sessions, RedisUrl):
        return SqlSessions(db)
    # A driver is loaded by whoever uses it: each costs a start a tenth of a second, and some MiB for good.
    if settings.sessions.nodes:
        from stores.sessions.on_cluster import ClusterSessions

        return ClusterSessions(settings.sessions, settings.key_prefix, Packer(keys.session_mark), records)
    from stores.sessions.on_redis import RedisSessions
    from stores.sessions.redis_keys import Keys as RedisKeys
    from stores.sessions.redis_link import RedisLink

    link, names = RedisLink(settings.sessions), RedisKeys(settings.key_prefix)
    return RedisSessions(link, names, Packer(keys.session_mark), records)


@contextlib.asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Backend]:
    """A connected backend, let go of at the end. Raises KeysUnreadable, WrongSchema, WrongCredentials."""
    backend = assemble(settings)
    try:
        await backend.db.start()
        await backend.sessions.start()
        yield backend
    finally:
        await backend.close()


@contextlib.asynccontextmanager
async def target(
    settings: Settings,
    backend: Backend,
    database: SqliteUrl | MysqlUrl | None,
    sessions: RedisUrl | Literal["database"] | None,
    *,
    again: bool,
) -> AsyncIterator[tuple[Database | None, Sessions | None]]:
    """The stores to move to, with their schema, None for what stays. A Redis is not told the epochs yet.

    With `again` a database that an interrupted move filled by half is emptied first. Raises NotEmpty when it is half
    moved, or of a newer version, and store trouble.
    """
    db = None if database is None else open_database(database)
    kept: Sessions | None = None
    try:
        if db is not None:
            from stores.moving import make_ready

            await make_ready(db, again=again)
        if sessions is not None:
            at = dataclasses.replace(settings, sessions=sessions)
            records = Records(backend.epochs, backend.logins, backend.users)
            kept = _sessions(at, db or backend.db, backend.keys, records)
        yield db, kept
    finally:
        if kept is not None:
            await kept.close()
        if db is not None:
            await db.close()


async def check(settings: Settings) -> None:
    """Opens everything once and lets it go. Raises as `opened` does: what must be mended before workers start."""
    async with opened(settings):
        return


async def note(settings: Settings, deed: str) -> None:
    """Writes down in the audit what this server did, from a process that serves nothing itself. Raises nothing."""
    try:
        async with opened(settings) as backend:
            await noted(backend, deed)
    except (StoreTrouble, KeysUnreadable) as trouble:
        log.error("%s could not be written down: %s", deed, trouble)


async def first_link(settings: Settings) -> str | None:
    """A new link that makes the first operator, or None when there is one. Raises as `opened` does."""
    backend = assemble(settings)
    try:
        await backend.db.start()
        return await offer_first_link(backend)
    except StoreTrouble as trouble:
        if isinstance(trouble, WrongSchema | WrongCredentials):
            raise
        log.warning("there is no link for a first operator: %s", trouble)
        return None
    finally:
        await backend.close()


async def upgrade(settings: Settings) -> list[int]:
    """Brings the schema up to date; gives the versions that were applied. Raises WrongSchema and store trouble."""
    db = open_database(settings.database)
    try:
        return await db.upgrade()
    finally:
        await db.close()


def embedded(settings: Settings) -> Path | None:
    """The file in which this server keeps what nobody else may serve; None when everything is kept elsewhere."""
    return settings.database.path if isinstance(settings.database, SqliteUrl) else None


def lock(settings: Settings) -> None:
    """Keeps every other server off an embedded database, until this process ends. Raises AlreadyServed."""
    database = embedded(settings)
    if database:
        DataLock(database).take()
