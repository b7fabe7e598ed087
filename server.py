#!/usr/bin/env python3
"""Menshen's front door: reads the command line and the settings, and runs one command."""

import argparse
import asyncio
import contextlib
import dataclasses
import functools
import logging
import os
import resource
import socket
import sys
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from tornado.netutil import bind_sockets

import host
import installation
import journal
import process
import supervisor
from actions import Backend
from actions.imports import SKEY_SECONDS
from actions.service_keys import SCOPES
from commands import (
    DONE,
    FAILED,
    IMPORT_DEEDS,
    KEY_DEEDS,
    OPERATOR_DEEDS,
    SESSION_DEEDS,
    WRONG_USE,
    Deed,
    Refused,
    ask_once,
    counted,
    setup_address,
    table,
)
from handlers.meter import Meter
from settings import KNOBS, VERSION, App, Loaded, Secret, Settings, WrongSettings, describe, is_loopback, load
from stores.audit import AuditAway, AuditBroken
from stores.errors import StoreTrouble, WrongCredentials, WrongSchema
from stores.keys import KeysUnreadable, make_keys
from stores.lock import AlreadyServed, DataLock
from stores.operators import ROLES
from wechat.simulator import DEFAULT_APPID, DEFAULT_SECRET, Simulator
from wire import loop
from workers import Workers


def main(words: list[str]) -> int:
    """Runs one command; gives the exit status: 0 done, 1 refused or failed, 2 wrong use or settings."""
    options = _parser().parse_args(words)
    # A command tells its trouble itself, in one line; Python would print every warning of the stores beside it.
    logging.getLogger("menshen").addHandler(logging.NullHandler())
    try:
        return _run(options)
    except BrokenPipeError:
        return _reader_left()
    except WrongSettings as wrong:
        _warn([*wrong.warnings, *wrong.lines])
        return WRONG_USE
    except (WrongSchema, WrongCredentials, KeysUnreadable) as wrong:
        print(wrong, file=sys.stderr)
        return WRONG_USE
    except AuditAway:
        print("the audit cannot be written, so nothing was done", file=sys.stderr)
        return FAILED
    except (Refused, AlreadyServed) as refused:
        print(refused, file=sys.stderr)
        return FAILED
    except StoreTrouble as trouble:
        print(str(trouble) or "a store did not do it", file=sys.stderr)
        return FAILED


def _run(options: argparse.Namespace) -> int:
    status = COMMANDS[options.command](options)
    sys.stdout.flush()  # here, where a reader that has left is still an exception
    return status


# The commands


def serve(options: argparse.Namespace) -> int:
    """Serves the API until it is told to stop."""
    loaded = _load(options)
    settings = _to_serve(loaded, options)
    _warn([*loaded.warnings, *_unused(loaded, options)])
    _leave_no_core()
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
    return _serve_one(settings, options, sockets, own, simulated=_with_simulator(loaded, options))


def _bound(address: str, port: int) -> list[socket.socket]:
    try:
        return bind_sockets(port, address)
    except OSError as error:
        raise Refused(f"cannot listen on {address} port {port}: {error.strerror}") from None


def simulate(options: argparse.Namespace) -> int:
    """Runs the WeChat simulator alone."""

    async def run() -> None:
        simulator = Simulator()
        print(f"WeChat simulator at {_listen(simulator, options.address, options.port)}", flush=True)
        await asyncio.Event().wait()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run())
    return DONE


def show_settings(options: argparse.Namespace) -> int:
    """Prints every setting, its value, its source and its sentence."""
    loaded = _load(options)
    _warn(loaded.warnings)
    table(["setting", "value", "source", "meaning"], describe(loaded.settings), as_json=options.json)
    return DONE


def upgrade(options: argparse.Namespace) -> int:
    """Brings the schema to this version."""
    settings = _load(options).settings
    _lock(settings)
    applied = asyncio.run(process.upgrade(settings))
    print(f"applied version {', '.join(map(str, applied))}" if applied else "the schema is up to date")
    return DONE


def sessions(options: argparse.Namespace) -> int:
    """Lists or ends sessions, beside a running server."""
    if options.deed == "revoke-all" and not options.yes:
        ask_once("This ends every session of everybody.")
    return _do(SESSION_DEEDS[options.deed], options)


def operator(options: argparse.Namespace) -> int:
    """Adds, lists or stops operators of the dashboard, beside a running server."""
    return _do(OPERATOR_DEEDS[options.deed], options)


def key(options: argparse.Namespace) -> int:
    """Adds, lists or revokes keys of your other back ends, beside a running server."""
    return _do(KEY_DEEDS[options.deed], options)


def bring_in(options: argparse.Namespace) -> int:
    """Takes over people or sessions of another program, beside a running server."""
    return _do(IMPORT_DEEDS[options.deed], options)


def _do(deed: Deed, options: argparse.Namespace) -> int:
    settings = _load(options).settings

    async def run() -> int:
        async with process.opened(settings) as backend:
            return await deed(backend, options)

    return asyncio.run(run())


def audit(options: argparse.Namespace) -> int:
    """Follows the chain of the audit and says whether it holds."""
    settings = _load(options).settings

    async def run() -> int:
        async with process.opened(settings) as backend:
            return await backend.audit.verify()

    try:
        print(f"the chain holds: {counted(asyncio.run(run()), 'row')}")
    except AuditBroken as broken:
        raise Refused(f"the chain is broken at {broken}") from None
    return DONE


def backup(options: argparse.Namespace) -> int:
    """Copies the embedded store into a file, beside a running server."""
    return installation.backup(_load(options).settings, options)


def restore(options: argparse.Namespace) -> int:
    """Puts a copy in the place of the embedded store."""
    return installation.restore(_load(options).settings, options)


def move(options: argparse.Namespace) -> int:
    """Takes everything to other stores, while no server runs."""
    return installation.move(_load(options).settings, options)


def doctor(options: argparse.Namespace) -> int:
    """Looks at everything that a server needs and says what to do."""
    loaded = _load(options)
    _warn(loaded.warnings)
    return installation.doctor(loaded.settings, options)


def version(_options: argparse.Namespace) -> int:
    """Prints the version."""
    print(VERSION)
    return DONE


COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "serve": serve,
    "simulate": simulate,
    "settings": show_settings,
    "upgrade": upgrade,
    "sessions": sessions,
    "operator": operator,
    "import": bring_in,
    "key": key,
    "audit": audit,
    "backup": backup,
    "restore": restore,
    "move": move,
    "doctor": doctor,
    "install": host.install,
    "uninstall": host.uninstall,
    "version": version,
}


# How `serve` gets going


def _leave_no_core() -> None:
    """No core dump of this process or its workers: it would hold every key and AppSecret (OWASP ASVS 13.3)."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _make_ready(settings: Settings) -> None:
    """Lock, schema and keys. Raises AlreadyServed, WrongSchema, KeysUnreadable and store trouble."""
    _lock(settings)
    if process.embedded(settings) or settings.auto_upgrade:
        asyncio.run(process.upgrade(settings))
    make_keys(settings.data_dir)
    if settings.workers > 1:
        asyncio.run(process.check(settings))


def _lock(settings: Settings) -> None:
    """Keeps every other server off an embedded database, until this process ends. Raises AlreadyServed."""
    database = process.embedded(settings)
    if database:
        DataLock(database).take()


def _serve_several(
    settings: Settings, options: argparse.Namespace, sockets: list[socket.socket], own: list[socket.socket]
) -> int:
    meter = Meter(settings.workers)

    def one() -> int:
        meter.take_row(workers.row)
        told = (process.REREAD,) if workers.is_first else ()
        return _serve_one(
            settings, options, sockets, own, simulated=False, announced=True, writes_down=told, meter=meter
        )

    workers = Workers(settings.workers, one)
    asyncio.run(process.note(settings, process.START))
    _announce(sockets, playground=False)  # the sockets listen already: who comes now waits for the first child
    status = workers.run()
    asyncio.run(process.note(settings, process.STOP))
    return status


def _serve_one(
    settings: Settings,
    options: argparse.Namespace,
    sockets: list[socket.socket],
    own: list[socket.socket],
    *,
    simulated: bool,
    announced: bool = False,
    writes_down: Container[str] = (process.START, process.STOP, process.REREAD),
    meter: Meter | None = None,
) -> int:
    def ready(_backend: Backend) -> None:
        if not announced:
            _announce(sockets, playground=simulated)

    async def run() -> None:
        simulator = Simulator() if simulated else None
        at = settings
        if simulator:
            base = _listen(simulator, "127.0.0.1", settings.simulator_port)
            at = dataclasses.replace(settings, wechat_base=base)
            print(f"WeChat simulator at {base}", flush=True)
        reread = functools.partial(_reread, options)
        server = process.Server(at, sockets, reread, writes_down, own_sockets=own, meter=meter)
        await server.run(ready, simulator)
        if simulator:
            await simulator.close()

    loop.run(run(), settings.parser)
    return DONE


def _reread(options: argparse.Namespace) -> Settings:
    return _to_serve(_load(options), options)


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


def _listen(simulator: Simulator, address: str, port: int) -> str:
    try:
        return simulator.listen(address, port)
    except ValueError as error:
        raise Refused(str(error)) from None
    except OSError as error:
        raise Refused(f"the simulator cannot listen on port {port}: {error.strerror}") from None


def _to_serve(loaded: Loaded, options: argparse.Namespace) -> Settings:
    """What to serve with, at the start and at each SIGHUP alike. Raises Refused when no mini program would be left."""
    return _for_development(loaded, lan=options.lan) if options.dev else _for_production(loaded.settings)


def _for_production(settings: Settings) -> Settings:
    if not settings.apps:
        raise Refused(
            "no mini program is set: set MENSHEN_APPID and MENSHEN_APPSECRET, "
            "or try everything out against the WeChat simulator with 'serve --dev'"
        )
    return settings


def _with_simulator(loaded: Loaded, options: argparse.Namespace) -> bool:
    return bool(options.dev) and not loaded.is_set("wechat_base")


def _unused(loaded: Loaded, options: argparse.Namespace) -> Iterator[str]:
    """What is set and has no effect with --dev, one sentence each."""
    if _with_simulator(loaded, options) and loaded.settings.apps:
        named = ", ".join(app.appid for app in loaded.settings.apps)
        yield f"APPID is not used: --dev without WECHAT_BASE serves the simulator's mini program, not {named}"
    if options.dev and loaded.settings.workers > 1:
        yield f"--dev serves with one process: WORKERS={loaded.settings.workers} is not used"


def _for_development(loaded: Loaded, *, lan: bool) -> Settings:
    """One process with the simulator's own mini program, unless others are set together with a WeChat to ask."""
    settings = dataclasses.replace(loaded.settings, workers=1)
    if not is_loopback(settings.address) and not lan:
        raise Refused(f"--dev serves only this machine, and ADDRESS is {settings.address}: leave one of them out")
    if not settings.allowed_hosts and not lan:
        # A page elsewhere may point its own name at 127.0.0.1 and would then be let in as the playground itself.
        settings = dataclasses.replace(settings, allowed_hosts=("127.0.0.1", "localhost", "[::1]"))
    if loaded.is_set("wechat_base") and settings.apps:
        return settings
    app = App(DEFAULT_APPID, Secret(DEFAULT_SECRET), "simulator", settings.push_token, settings.push_key)
    # Settings puts APPID first among the apps, whenever one is made; without it the simulator's app is the only one.
    return dataclasses.replace(settings, appid=None, appsecret=None, apps=(app,))


def _addresses(settings: Settings, options: argparse.Namespace) -> list[str]:
    return [settings.address, _private_address()] if options.dev and options.lan else [settings.address]


def _private_address() -> str:
    """This machine's address on its own network. Raises Refused when it has none, or a public one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # a documentation address; no packet is sent by connecting UDP
            address = str(probe.getsockname()[0])
        except OSError:
            address = ""
    if not address or is_loopback(address) or not _is_private(address):
        raise Refused("--lan found no private address of this machine to serve a phone on")
    return address


def _is_private(address: str) -> bool:
    return ip_address(address).is_private


# Reading and printing


def _load(options: argparse.Namespace) -> Loaded:
    given = {key: value for key in KNOBS if (value := getattr(options, key, None)) is not None}
    return load(given, os.environ, Path(options.config) if options.config else None)


def _reader_left() -> int:
    """Whoever read our output has what it wanted (`sessions list | head`), which is no error worth a line."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes at the end
    return FAILED


def _warn(sentences: Iterable[str]) -> None:
    for sentence in sentences:
        print(sentence, file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    common = _common_options()
    parser = argparse.ArgumentParser(prog="menshen", description="Login and sessions for WeChat mini programs.")
    parser.add_argument("--version", action="version", version=VERSION, help="print the version")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    one = commands.add_parser("serve", parents=[common], help="serve the API (the default)")
    one.add_argument("--dev", action="store_true", help="with the WeChat simulator and the playground")
    one.add_argument("--lan", action="store_true", help="with --dev: also on this machine's private address")
    one = commands.add_parser("simulate", help="run the WeChat simulator alone")
    one.add_argument("--address", default="127.0.0.1")
    one.add_argument("--port", type=int, default=8099)
    one = commands.add_parser("settings", parents=[common], help="show every setting and where it comes from")
    one.add_argument("--json", action="store_true", help="one JSON object per line")
    commands.add_parser("upgrade", parents=[common], help="bring the schema to this version")
    _add_session_deeds(commands.add_parser("sessions", help="list or end sessions"), common)
    _add_operator_deeds(commands.add_parser("operator", help="add, list or stop operators of the dashboard"), common)
    _add_key_deeds(commands.add_parser("key", help="add, list or revoke keys of your other back ends"), common)
    _add_import_deeds(commands.add_parser("import", help="take over people or sessions of another program"), common)
    one = commands.add_parser("audit", parents=[common], help="follow the chain of audit rows")
    one.add_argument("deed", choices=["verify"], help="what to do")
    _add_installation_deeds(commands, common)
    _add_host_deeds(commands)
    commands.add_parser("version", help="print the version")
    return parser


def _add_installation_deeds(commands: Any, common: argparse.ArgumentParser) -> None:
    one = commands.add_parser("backup", parents=[common], help="copy the embedded store, beside a running server")
    one.add_argument("file", metavar="FILE", help="a file that is not there yet")
    one.add_argument("--with-keys", action="store_true", help="also copy the keys, to FILE.keys.json")
    one = commands.add_parser("restore", parents=[common], help="put a copy in the place of the embedded store")
    one.add_argument("file", metavar="FILE", help="what `backup` made")
    one.add_argument("--keep-sessions", action="store_true", help="sessions of the backup hold again")
    one.add_argument("--yes", action="store_true", help="do not ask")
    one = commands.add_parser("doctor", parents=[common], help="look at everything a server needs, and say what to do")
    one.add_argument("--json", action="store_true", help="one JSON object per line")
    one = commands.add_parser("move", parents=[common], help="take everything to other stores, while no server runs")
    one.add_argument("--to-database", metavar="URL", help="for people, as DATABASE takes it; - reads it from stdin")
    one.add_argument("--to-sessions", metavar="URL", help="for sessions, as SESSIONS takes it; - likewise")
    one.add_argument("--yes", action="store_true", help="do not ask")


def _add_host_deeds(commands: Any) -> None:
    one = commands.add_parser("install", help="make this program a service of this machine, behind nginx")
    one.add_argument("--domain", required=True, metavar="NAME", help="the name by which phones reach it")
    two = commands.add_parser("uninstall", help="take the service away, and leave the data and the settings")
    for each in (one, two):
        each.add_argument("--root", default="/", metavar="FOLDER", help="below which everything goes; / unless given")


def _common_options() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", metavar="FILE", help="settings file; menshen.toml beside the data by default")
    settings = common.add_argument_group("settings (also MENSHEN_… variables and the settings file)")
    for knob in KNOBS.values():
        if not knob.secret:
            settings.add_argument(knob.option, dest=knob.key, metavar="VALUE", help=knob.sentence.replace("%", "%%"))
    return common


def _add_session_deeds(parser: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    deeds = parser.add_subparsers(dest="deed", required=True, metavar="DEED")
    one = deeds.add_parser("list", parents=[common], help="sessions that hold, the newest first")
    one.add_argument("--most", type=int, default=50, help="how many (50)")
    one.add_argument("--json", action="store_true", help="one JSON object per line")
    one = deeds.add_parser("revoke", parents=[common], help="end one session")
    one.add_argument("id", help="public id of the session, or 8 or more of its first characters")
    one = deeds.add_parser("revoke-user", parents=[common], help="end all sessions of one person")
    one.add_argument("user", help="user id, openid, or APPID:OPENID")
    one = deeds.add_parser("revoke-all", parents=[common], help="end everybody's sessions")
    one.add_argument("--yes", action="store_true", help="do not ask")


def _add_operator_deeds(parser: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    deeds = parser.add_subparsers(dest="deed", required=True, metavar="DEED")
    one = deeds.add_parser("add", parents=[common], help="add an operator and print the link that sets the password")
    one.add_argument("name", metavar="NAME", help="1 to 32 letters, digits or . _ - @")
    one.add_argument("--role", choices=ROLES, default="viewer", help="what the operator may do (viewer)")
    one.add_argument("--apps", metavar="APPIDS", help="only these mini programs, with commas; all unless given")
    one.add_argument("--password-stdin", action="store_true", help="read the password from stdin instead of a link")
    one = deeds.add_parser("list", parents=[common], help="every operator")
    one.add_argument("--json", action="store_true", help="one JSON object per line")
    for name, says in (
        ("disable", "put an operator out, at once and everywhere"),
        ("enable", "let a disabled operator sign in again"),
        ("reset", "take password and second factor away and print a link that sets a new password"),
    ):
        one = deeds.add_parser(name, parents=[common], help=says)
        one.add_argument("name", metavar="NAME")


def _add_key_deeds(parser: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    deeds = parser.add_subparsers(dest="deed", required=True, metavar="DEED")
    one = deeds.add_parser("add", parents=[common], help="make a key and print it, for the only time")
    one.add_argument("name", metavar="NAME", help="1 to 32 letters, digits or . _ - @")
    one.add_argument("--scope", required=True, metavar="SCOPES", help=f"with commas, of {', '.join(SCOPES)}")
    one.add_argument("--apps", metavar="APPIDS", help="only these mini programs, with commas; all unless given")
    one.add_argument("--paths", metavar="PATHS", help="what a relay takes: beginnings of WeChat's paths, with commas")
    one.add_argument("--note", metavar="TEXT", help="what it is for")
    one.add_argument("--days", type=int, metavar="N", help="for how long it holds; until it is revoked unless given")
    one = deeds.add_parser("list", parents=[common], help="every key, and when it was used last")
    one.add_argument("--json", action="store_true", help="one JSON object per line")
    one = deeds.add_parser("revoke", parents=[common], help="make a key useless from the next request on")
    one.add_argument("id", type=int, metavar="ID", help="the number that `key list` shows")
    deeds.add_parser("rotate", parents=[common], help="make a new key to seal what is kept; old seals still open")


def _add_import_deeds(parser: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    deeds = parser.add_subparsers(dest="deed", required=True, metavar="DEED")
    users = deeds.add_parser("users", parents=[common], help="people with their ids, from a CSV file")
    users.add_argument("file", metavar="FILE", help="id, openid, unionid, create_time, nickname, phone, with a header")
    wafer = deeds.add_parser("wafer", parents=[common], help="sessions of a Wafer 1 or Wafer 2 server that hold")
    wafer.add_argument("url", metavar="URL", help="its MySQL database; - reads the address from stdin")
    wafer.add_argument(
        "--skey-seconds", type=int, default=SKEY_SECONDS, metavar="N", help="how long Wafer 2 lets an skey live (7200)"
    )
    for one in (users, wafer):
        one.add_argument("--of-app", dest="of_app", metavar="APPID", help="the mini program, where there are several")
        one.add_argument("--dry-run", action="store_true", help="only say what would happen")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if not arguments or arguments[0] not in {*COMMANDS, "-h", "--help", "--version"}:
        arguments = ["serve", *arguments]
    sys.exit(main(arguments))
