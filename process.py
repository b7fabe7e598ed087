"""One server process: its stores, its routes, its ports, and how it ends."""

import asyncio
import contextlib
import dataclasses
import functools
import logging
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Container, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import supervisor
from actions import Backend, Upkeep, noted, tell_epochs
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
from handlers import make_application
from handlers.base import Traffic
from handlers.callers import Addresses
from handlers.compat import exposures
from handlers.door import Door, Side
from handlers.hot import HotRoad
from handlers.lines import HEAD_SECONDS, STUCK_SECONDS, Listener
from handlers.meter import Meter
from handlers.metrics import look_at_own
from settings import MysqlUrl, RedisUrl, Settings, SqliteUrl
from stores.access_tokens import AccessTokens
from stores.attempts import Attempts
from stores.audit import Audit
from stores.avatars import Avatars
from stores.db import Database, open_database
from stores.deliveries import Deliveries
from stores.epochs import Epochs
from stores.errors import NotEmpty, StoreTrouble, WrongCredentials, WrongSchema
from stores.figures import Figures
from stores.keys import Keys, KeysUnreadable, load_keys, newer_keys
from stores.leftovers import Leftovers
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
from wechat.simulator import Simulator

if TYPE_CHECKING:
    from wire.server import WireServer

log = logging.getLogger("menshen")

IDLE_CONNECTION_SECONDS = 75  # longer than the 60 s after which proxies let go, so that we never hang up first
BODY_SECONDS = 10
HEADER_BYTES = 16 * 1024
LISTENING_ON_SECONDS = 0.5  # after the word to stop: load balancers see /readyz turn before connections are refused
DRAIN_SECONDS = 10
_LOOK_SECONDS = 5.0
START, STOP, REREAD = "server.start", "server.stop", "settings.reread"
# systemd and a terminal tell every process of ours to stop, and a parent then tells its workers too: that is one word.
_ONE_WORD_SECONDS = 1.0


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
) -> AsyncIterator[tuple[Database | None, Sessions | None]]:
    """The stores to move to, with their schema, None for what stays. A Redis is not told the epochs yet.

    Raises NotEmpty when the database is half moved or of a newer version, and store trouble.
    """
    db = None if database is None else open_database(database)
    kept: Sessions | None = None
    try:
        if db is not None:
            try:
                await db.upgrade()
                await db.start()
            except WrongSchema as wrong:
                raise NotEmpty(str(wrong)) from None
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


class Server:
    """The process that answers requests."""

    def __init__(
        self,
        settings: Settings,
        sockets: Sequence[socket.socket],
        reread: Callable[[], Settings],
        writes_down: Container[str] = (START, STOP, REREAD),
        *,
        own_sockets: Sequence[socket.socket] = (),
        meter: Meter | None = None,
    ) -> None:
        """`reread` gives the settings as they are now, for SIGHUP; it may raise WrongSettings.

        `writes_down` are the server's own doings that are this process's to tell the audit, so that each is told once.
        `own_sockets` are the operators' own listener; `meter` counts for all workers together.
        """
        self._own_sockets = list(own_sockets)
        self._settings = settings
        self._sockets = list(sockets)
        self._reread = reread
        self._traffic = Traffic(meter=meter or Meter())
        self._stopping = asyncio.Event()
        self._told_at = 0.0  # by the monotonic clock
        self._writes_down = writes_down
        self._notes: set[asyncio.Task[None]] = set()

    async def run(self, ready: Callable[[Backend], None], simulator: Simulator | None = None) -> None:
        """Serves until SIGTERM or SIGINT; `ready` is called when requests are answered."""
        async with opened(self._settings) as backend:
            upkeep = Upkeep(backend)
            backend.wechat.took = functools.partial(self._traffic.meter.took, "wechat")
            listeners = []
            for door, sockets in self._doors(backend, simulator):
                listeners.append(self._server(door))
                listeners[-1].add_sockets(sockets)
            turning = [asyncio.create_task(each) for each in (self._look_at_own(backend), supervisor.say_alive())]
            self._listen_to_signals(backend)
            with contextlib.suppress(StoreTrouble):  # upkeep goes on trying
                await tell_epochs(backend)
            upkeep.start()
            await self._note(backend, START)
            for sentence in await backend.sessions.advice():
                log.warning("%s", sentence)
            for exposure in exposures(self._settings.compat):
                log.warning("%s", exposure)
            ready(backend)
            log.info("serving; users are in %s, sessions in %s", self._settings.database, self._settings.sessions)
            await self._stopping.wait()
            supervisor.tell("STOPPING=1")
            await self._drain(listeners)
            for each in turning:
                each.cancel()
            await upkeep.stop()
            await asyncio.gather(*self._notes)
            await self._note(backend, STOP)
        log.info("stopped")

    async def _look_at_own(self, backend: Backend) -> None:
        while True:
            look_at_own(backend, self._traffic)
            await asyncio.sleep(_LOOK_SECONDS)

    def _doors(self, backend: Backend, simulator: Simulator | None) -> Iterator[tuple[Door, list[socket.socket]]]:
        """One for everybody, or one for phones and one for operators."""
        at = self._settings
        addresses = Addresses(at.trusted_proxies)
        application = make_application(backend, self._traffic, addresses, simulator)
        hot = HotRoad(backend, self._traffic)
        sides: list[tuple[Side, list[socket.socket]]] = [("both", self._sockets)]
        if self._own_sockets:
            sides = [("public", self._sockets), ("operators", self._own_sockets)]
        for side, sockets in sides:
            yield Door(application, addresses, at.allowed_hosts, at.api_status, hot, side), sockets

    def _server(self, door: Door) -> "Listener | WireServer":
        """What reads requests, as the settings name it."""
        if self._settings.parser == "llhttp":
            from wire.connection import Limits
            from wire.server import WireServer

            limits = Limits(IDLE_CONNECTION_SECONDS, HEAD_SECONDS, BODY_SECONDS, STUCK_SECONDS, HEADER_BYTES)
            return WireServer(door, limits)
        return Listener(
            door,
            idle_connection_timeout=IDLE_CONNECTION_SECONDS,
            body_timeout=BODY_SECONDS,
            max_header_size=HEADER_BYTES,
        )

    def _listen_to_signals(self, backend: Backend) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._take_up_settings, backend)

    def _stop(self) -> None:
        """The first word to stop drains; the second ends at once."""
        if self._traffic.draining:
            if time.monotonic() - self._told_at > _ONE_WORD_SECONDS:
                raise SystemExit(1)
            return
        self._told_at = time.monotonic()
        self._traffic.draining = True
        self._stopping.set()

    def _take_up_settings(self, backend: Backend) -> None:
        """SIGHUP: mini programs, AppSecrets and sealing keys hold from the next login on; all else needs a restart."""
        try:
            fresh = self._reread()
            keys = load_keys(fresh.data_dir)
            backend.seal.take(keys.sealing, keys.current)
        except Exception as error:
            log.error("the settings are wrong and were not taken up: %s", error)
            self._note_soon(backend, REREAD, "failed")
            return
        backend.settings = dataclasses.replace(backend.settings, apps=fresh.apps)
        backend.wechat.use({app.appid: app for app in fresh.apps})
        log.warning("mini programs, their secrets and the sealing keys were read anew")
        self._note_soon(backend, REREAD)

    async def _note(self, backend: Backend, deed: str, result: str = "done") -> None:
        if deed in self._writes_down:
            await noted(backend, deed, result)

    def _note_soon(self, backend: Backend, deed: str, result: str = "done") -> None:
        note = asyncio.get_running_loop().create_task(self._note(backend, deed, result))
        self._notes.add(note)  # the loop itself keeps only weak references to tasks
        note.add_done_callback(self._notes.discard)

    async def _drain(self, listeners: "Sequence[Listener | WireServer]") -> None:
        """Readiness is gone already; then no new connections; then what is under way may finish."""
        await asyncio.sleep(LISTENING_ON_SECONDS)
        for http in listeners:
            http.stop()
        if self._traffic.under_way:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._traffic.quiet.wait(), DRAIN_SECONDS)
        for http in listeners:
            await http.close_all_connections()
