"""One server process at work: its routes and ports, what it does beside answering, and how it ends."""

import asyncio
import contextlib
import dataclasses
import functools
import logging
import signal
import socket
import time
from collections.abc import Callable, Container, Iterator, Sequence
from typing import TYPE_CHECKING

import memory
import supervisor
from actions import Backend, Upkeep, noted, tell_epochs
from handlers import make_application
from handlers.base import Traffic
from handlers.callers import Addresses
from handlers.compat import exposures
from handlers.door import Door, Side
from handlers.hot import HotRoad
from handlers.lines import HEAD_SECONDS, STUCK_SECONDS, Listener
from handlers.meter import Meter
from handlers.metrics import look_at_own
from process import REREAD, START, STOP, opened
from settings import Settings
from stores.errors import StoreTrouble
from stores.keys import load_keys

if TYPE_CHECKING:
    from wechat.simulator import Simulator
    from wire.server import WireServer

log = logging.getLogger("menshen")

IDLE_CONNECTION_SECONDS = 75  # longer than the 60 s after which proxies let go, so that we never hang up first
BODY_SECONDS = 10
HEADER_BYTES = 16 * 1024
LISTENING_ON_SECONDS = 0.5  # after the word to stop: load balancers see /readyz turn before connections are refused
LAST_REQUEST_SECONDS = 0.25  # after a connection was let in, or answered the last time
DRAIN_SECONDS = 10
_LOOK_SECONDS = 5.0
# systemd and a terminal tell every process of ours to stop, and a parent then tells its workers too: that is one word.
_ONE_WORD_SECONDS = 1.0


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

    async def run(self, ready: Callable[[Backend], None], simulator: "Simulator | None" = None) -> None:
        """Serves until SIGTERM or SIGINT; `ready` is called when requests are answered."""
        async with opened(self._settings) as backend:
            upkeep = Upkeep(backend)
            backend.wechat.took = functools.partial(self._traffic.meter.took, "wechat")
            listeners = []
            for door, sockets in self._doors(backend, simulator):
                listeners.append(self._server(door))
                listeners[-1].add_sockets(sockets)
            beside = (self._look_at_own(backend), supervisor.say_alive(), memory.give_back_what_is_small())
            turning = [asyncio.create_task(each) for each in beside]
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
            turning.append(asyncio.create_task(backend.wechat.open()))
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

    def _doors(self, backend: Backend, simulator: "Simulator | None") -> Iterator[tuple[Door, list[socket.socket]]]:
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
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._nobody_asks(), DRAIN_SECONDS)
        for http in listeners:
            await http.close_all_connections()

    async def _nobody_asks(self) -> None:
        """Returns when nothing is under way and a moment went by without a request: who came last had to speak yet."""
        begun = -1
        while self._traffic.under_way or self._traffic.begun != begun:
            begun = self._traffic.begun
            if self._traffic.under_way:
                await self._traffic.quiet.wait()
            await asyncio.sleep(LAST_REQUEST_SECONDS)
