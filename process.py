"""One server process: its stores, its routes, its ports, and how it ends."""

import asyncio
import contextlib
import dataclasses
import logging
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from tornado.httpserver import HTTPServer

from actions import Backend, Upkeep, tell_epochs
from actions.lifetime import Lifetime
from actions.unknown_tokens import UnknownTokens
from actions.uses import Uses
from handlers import make_application
from handlers.base import Traffic
from handlers.callers import Addresses
from handlers.door import Door
from settings import RedisUrl, Settings, SqliteUrl
from stores.audit import Audit
from stores.db import Database, open_database
from stores.epochs import Epochs
from stores.errors import StoreTrouble
from stores.keys import Keys, load_keys
from stores.logins import Logins
from stores.sessions import Sessions
from stores.sessions.on_redis import RedisSessions
from stores.sessions.on_sql import SqlSessions
from stores.sessions.packed import Packer
from stores.sessions.redis_keys import Keys as RedisKeys
from stores.sessions.redis_link import RedisLink
from stores.users import Users
from wechat.client import WeChat
from wechat.crypto import Seal
from wechat.simulator import Simulator

log = logging.getLogger("menshen")

IDLE_CONNECTION_SECONDS = 75  # longer than the 60 s after which proxies let go, so that we never hang up first
BODY_SECONDS = 10
HEADER_BYTES = 16 * 1024
LISTENING_ON_SECONDS = 0.5  # after the word to stop: load balancers see /readyz turn before connections are refused
DRAIN_SECONDS = 10
# systemd and a terminal tell every process of ours to stop, and a parent then tells its workers too: that is one word.
_ONE_WORD_SECONDS = 1.0


def assemble(settings: Settings) -> Backend:
    """The backend that the settings describe; nothing is connected yet. Raises KeysUnreadable."""
    keys = load_keys(settings.data_dir)
    db = open_database(settings.database)
    epochs = Epochs(db)
    sessions = _sessions(settings, db, keys, epochs)
    logins, lifetime = Logins(db), Lifetime.of(settings)
    return Backend(
        settings=settings,
        keys=keys,
        db=db,
        audit=Audit(db, settings.data_dir),
        users=Users(db),
        sessions=sessions,
        logins=logins,
        epochs=epochs,
        wechat=WeChat(settings.wechat_base, {app.appid: app for app in settings.apps}, settings.open_logins),
        seal=Seal(keys.sealing, keys.current),
        lifetime=lifetime,
        unknown_tokens=UnknownTokens(sessions, settings.unknown_token_limit),
        uses=Uses(sessions, logins, lifetime),
    )


def _sessions(settings: Settings, db: Database, keys: Keys, epochs: Epochs) -> Sessions:
    if not isinstance(settings.sessions, RedisUrl):
        return SqlSessions(db)
    link, names = RedisLink(settings.sessions), RedisKeys(settings.key_prefix)
    return RedisSessions(link, names, Packer(keys.session_mark), epochs.all)


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


async def check(settings: Settings) -> None:
    """Opens everything once and lets it go. Raises as `opened` does: what must be mended before workers start."""
    async with opened(settings):
        return


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

    def __init__(self, settings: Settings, sockets: Sequence[socket.socket], reread: Callable[[], Settings]) -> None:
        """`reread` gives the settings as they are now, for SIGHUP; it may raise WrongSettings."""
        self._settings = settings
        self._sockets = list(sockets)
        self._reread = reread
        self._traffic = Traffic()
        self._stopping = asyncio.Event()
        self._told_at = 0.0  # by the monotonic clock

    async def run(self, ready: Callable[[Backend], None], simulator: Simulator | None = None) -> None:
        """Serves until SIGTERM or SIGINT; `ready` is called when requests are answered."""
        async with opened(self._settings) as backend:
            upkeep = Upkeep(backend)
            http = self._http_server(backend, simulator)
            http.add_sockets(self._sockets)
            self._listen_to_signals(backend)
            with contextlib.suppress(StoreTrouble):  # upkeep goes on trying
                await tell_epochs(backend)
            upkeep.start()
            for sentence in await backend.sessions.advice():
                log.warning("%s", sentence)
            ready(backend)
            log.info("serving; users are in %s, sessions in %s", self._settings.database, self._settings.sessions)
            await self._stopping.wait()
            await self._drain(http)
            await upkeep.stop()
        log.info("stopped")

    def _http_server(self, backend: Backend, simulator: Simulator | None) -> HTTPServer:
        application = make_application(backend, self._traffic, simulator)
        at = self._settings
        door = Door(application, Addresses(at.trusted_proxies), at.allowed_hosts, at.api_status)
        return HTTPServer(
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
        """SIGHUP: new AppSecrets and mini programs hold from the next login on; all else needs a restart."""
        try:
            fresh = self._reread()
        except Exception as error:
            log.error("the settings are wrong and were not taken up: %s", error)
            return
        backend.settings = dataclasses.replace(backend.settings, apps=fresh.apps)
        backend.wechat.use({app.appid: app for app in fresh.apps})
        log.warning("mini programs and their secrets were read anew")

    async def _drain(self, http: HTTPServer) -> None:
        """Readiness is gone already; then no new connections; then what is under way may finish."""
        await asyncio.sleep(LISTENING_ON_SECONDS)
        http.stop()
        if self._traffic.under_way:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._traffic.quiet.wait(), DRAIN_SECONDS)
        await http.close_all_connections()
