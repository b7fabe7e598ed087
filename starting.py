"""How `serve` gets going: with which settings, on which sockets, by how many processes."""

import argparse
import asyncio
import dataclasses
import functools
import resource
import socket
import sys
from collections.abc import Container

from tornado.netutil import bind_sockets

import development
import journal
import memory
import process
import supervisor
from actions import Backend
from commands import DONE, Refused, setup_address, warn
from handlers.meter import Meter
from options import given
from process import REREAD, START, STOP
from serving import Server
from settings import Loaded, Settings
from stores.keys import make_keys
from wire import loop
from workers import Workers

_TURN_SECONDS = 0.0005  # of a thread that runs Python, while another wants to


def serve(options: argparse.Namespace) -> int:
    """Serves the API until it is told to stop."""
    loaded = given(options)
    settings = _to_serve(loaded, options)
    warn([*loaded.warnings, *development.unused(loaded, options)])
    _leave_no_core()
    memory.give_back_what_is_large()
    # A verify gives up the interpreter at each call of the system, and by default would have it back 5 ms later each
    # time while the thread that writes to SQLite is at work.
    sys.setswitchinterval(_TURN_SECONDS)
    try:
        _make_ready(settings)
    except OSError as error:  # of DATA_DIR or the database's folder; what the stores' drivers raise is translated
        raise Refused(f"{error.filename}: {error.strerror}") from None
    # Not earlier: what ends the start is told by `main` in one line, and would stand in the log a second time.
    journal.start(settings.log_format, settings.log_level)
    sockets, own = supervisor.inherited()
    if not sockets:
        sockets = [each for address in _addresses(settings, options) for each in _bound(address, settings.port)]
    if not own and settings.admin_port is not None:
        own = _bound(settings.admin_address, settings.admin_port)
    _offer_first_link(settings, own or sockets)
    for base in _bases(own):
        print(f"dashboard at {base}/admin/", flush=True)
    if settings.workers > 1:
        return _serve_several(settings, options, sockets, own)
    return _serve_one(settings, options, sockets, own, simulated=development.with_simulator(loaded, options))


def _bound(address: str, port: int) -> list[socket.socket]:
    try:
        return bind_sockets(port, address)
    except OSError as error:
        raise Refused(f"cannot listen on {address} port {port}: {error.strerror}") from None


def _leave_no_core() -> None:
    """No core dump of this process or its workers: it would hold every key and AppSecret (OWASP ASVS 13.3)."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _make_ready(settings: Settings) -> None:
    """Lock, schema and keys. Raises AlreadyServed, WrongSchema, KeysUnreadable and store trouble."""
    process.lock(settings)
    if process.embedded(settings) or settings.auto_upgrade:
        asyncio.run(process.upgrade(settings))
    make_keys(settings.data_dir)
    if settings.workers > 1:
        asyncio.run(process.check(settings))


def _serve_several(
    settings: Settings, options: argparse.Namespace, sockets: list[socket.socket], own: list[socket.socket]
) -> int:
    meter = Meter(settings.workers)

    def one() -> int:
        meter.take_row(workers.row)
        told = (REREAD,) if workers.is_first else ()
        return _serve_one(
            settings, options, sockets, own, simulated=False, announced=True, writes_down=told, meter=meter
        )

    workers = Workers(settings.workers, one)
    asyncio.run(process.note(settings, START))
    _announce(sockets, playground=False)  # the sockets listen already: who comes now waits for the first child
    status = workers.run()
    asyncio.run(process.note(settings, STOP))
    return status


def _serve_one(
    settings: Settings,
    options: argparse.Namespace,
    sockets: list[socket.socket],
    own: list[socket.socket],
    *,
    simulated: bool,
    announced: bool = False,
    writes_down: Container[str] = (START, STOP, REREAD),
    meter: Meter | None = None,
) -> int:
    def ready(_backend: Backend) -> None:
        memory.leave_to_the_collector_what_comes()
        if not announced:
            _announce(sockets, playground=simulated)

    async def run() -> None:
        simulator, at = None, settings
        if simulated:
            simulator, base = development.simulator("127.0.0.1", settings.simulator_port)
            at = dataclasses.replace(settings, wechat_base=base)
        reread = functools.partial(_reread, options)
        server = Server(at, sockets, reread, writes_down, own_sockets=own, meter=meter)
        await server.run(ready, simulator)
        if simulator:
            await simulator.close()

    loop.run(run(), settings.parser)
    return DONE


def _reread(options: argparse.Namespace) -> Settings:
    return _to_serve(given(options), options)


def _offer_first_link(settings: Settings, sockets: list[socket.socket]) -> None:
    """Prints the link that makes the first operator, as long as there is none. Each start voids the link before it."""
    link = asyncio.run(process.first_link(settings))
    if link:
        print(f"first operator, within an hour: {setup_address(settings, link, _bases(sockets)[0])}", flush=True)


def _bases(sockets: list[socket.socket]) -> list[str]:
    bases = []
    for each in sockets:
        host, port = each.getsockname()[:2]
        bases.append(f"http://{f'[{host}]' if ':' in host else host}:{port}")
    return bases


def _announce(sockets: list[socket.socket], *, playground: bool) -> None:
    bases = _bases(sockets)
    if playground:
        print(f"playground at {bases[0]}/", flush=True)
    for base in bases:
        print(f"listening on {base}", flush=True)
    supervisor.tell_ready()


def _to_serve(loaded: Loaded, options: argparse.Namespace) -> Settings:
    """What to serve with, at the start and at each SIGHUP alike. Raises Refused when no mini program would be left."""
    return development.for_development(loaded, lan=options.lan) if options.dev else _for_production(loaded.settings)


def _for_production(settings: Settings) -> Settings:
    if not settings.apps:
        raise Refused(
            "no mini program is set: set MENSHEN_APPID and MENSHEN_APPSECRET, "
            "or try everything out against the WeChat simulator with 'serve --dev'"
        )
    return settings


def _addresses(settings: Settings, options: argparse.Namespace) -> list[str]:
    return [settings.address, development.private_address()] if options.dev and options.lan else [settings.address]
