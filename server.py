#!/usr/bin/env python3
"""Menshen's front door: reads the command line and the settings, and runs one command."""

import argparse
import asyncio
import contextlib
import dataclasses
import json
import logging
import os
import pwd
import socket
import sys
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from tornado.netutil import bind_sockets

import actions
import journal
import process
from actions import Actor, Backend, Ended
from settings import KNOBS, VERSION, App, Loaded, Secret, Settings, WrongSettings, describe, is_loopback, load
from stores.audit import AuditAway, AuditBroken
from stores.db import Row
from stores.errors import StoreTrouble, WrongCredentials, WrongSchema
from stores.keys import KeysUnreadable, make_keys
from stores.lock import AlreadyServed, DataLock
from stores.logins import Login
from stores.sessions import SessionGone
from stores.users import AmbiguousUser, NoSuchUser
from wechat.simulator import DEFAULT_APPID, DEFAULT_SECRET, Simulator
from workers import Workers

DONE, FAILED, WRONG_USE = 0, 1, 2
_PAGE = 200


class Refused(Exception):
    """The command cannot be carried out; its text is the one line that says why."""


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
    try:
        _make_ready(settings)
    except OSError as error:  # of DATA_DIR or the database's folder; what the stores' drivers raise is translated
        raise Refused(f"{error.filename}: {error.strerror}") from None
    # Not earlier: what ends the start is told by `main` in one line, and would stand in the log a second time.
    journal.start(settings.log_format, settings.log_level)
    try:
        sockets = [each for address in _addresses(settings, options) for each in bind_sockets(settings.port, address)]
    except OSError as error:
        raise Refused(f"cannot listen on {settings.address} port {settings.port}: {error.strerror}") from None
    if settings.workers > 1:
        return _serve_several(settings, options, sockets)
    return _serve_one(settings, options, sockets, simulated=_with_simulator(loaded, options))


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
    _table(["setting", "value", "source", "meaning"], describe(loaded), as_json=options.json)
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
    deed = SESSION_DEEDS[options.deed]
    settings = _load(options).settings
    if options.deed == "revoke-all" and not options.yes:
        _ask_once("This ends every session of everybody.")

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
        print(f"the chain holds: {_counted(asyncio.run(run()), 'row')}")
    except AuditBroken as broken:
        raise Refused(f"the chain is broken at {broken}") from None
    return DONE


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
    "audit": audit,
    "version": version,
}


# What `sessions` can do


async def list_sessions(backend: Backend, options: argparse.Namespace) -> int:
    """Prints the sessions that hold, the newest first."""
    live: list[Login] = []
    before_at, before_id = backend.now() + 1, b"\xff" * 32
    while len(live) < options.most and (page := await backend.logins.newest(_PAGE, before_at, before_id)):
        live += [login for login, holds in zip(page, await _which_hold(backend, page), strict=True) if holds]
        before_at, before_id = page[-1].created_at, page[-1].id
    columns = ["id", "user", "appid", "created_at", "last_seen_at", "platform", "ip"]
    rows = [
        (each.id.hex(), each.user_id, each.appid, each.created_at, each.seen_at, each.platform, each.ip)
        for each in live[: options.most]
    ]
    _table(columns, rows, as_json=options.json)
    return DONE


async def _which_hold(backend: Backend, page: list[Login]) -> list[bool]:
    found = await asyncio.gather(
        *(backend.sessions.find(login.id, backend.now()) for login in page), return_exceptions=True
    )
    for each in found:
        if isinstance(each, BaseException) and not isinstance(each, SessionGone):
            raise each
    return [not isinstance(each, SessionGone) for each in found]


async def revoke_one(backend: Backend, options: argparse.Namespace) -> int:
    """Ends one session."""
    try:
        ended = await actions.revoke(backend, _shell(), options.id.lower())
    except actions.NoSuchSession:
        raise Refused("there is no session of this id; 8 or more of its characters are needed") from None
    except actions.AmbiguousSession:
        raise Refused("this beginning fits more than one session; give more of it") from None
    return _report(ended)


async def revoke_user(backend: Backend, options: argparse.Namespace) -> int:
    """Ends all sessions of one person."""
    try:
        user = await actions.find_user(backend, options.user)
    except NoSuchUser:
        raise Refused("there is no such user") from None
    except AmbiguousUser:
        raise Refused("this openid is known in more than one mini program; say APPID:OPENID") from None
    return _report(await actions.revoke_user(backend, _shell(), user))


async def revoke_all(backend: Backend, _options: argparse.Namespace) -> int:
    """Ends everybody's sessions."""
    ended = await actions.revoke_everybody(backend, _shell())
    print(f"ended {_counted(ended.sessions, 'session')} of everybody")
    return DONE


def _shell() -> Actor:
    """Whoever typed the command, for the audit."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name  # not what the environment says, which anybody can set
    except KeyError:
        name = str(os.getuid())
    return Actor(f"shell:{name}")


def _report(ended: Ended) -> int:
    print(f"ended {_counted(ended.sessions, 'session')} of {_counted(ended.users, 'user')}")
    return DONE


def _ask_once(consequence: str) -> None:
    """On a terminal, asks before a deed that cannot be undone; a script is taken at its word. Raises Refused."""
    if sys.stdin.isatty() and input(f"{consequence} Type yes: ") != "yes":
        raise Refused("nothing was changed")


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


SESSION_DEEDS: Mapping[str, Callable[[Backend, argparse.Namespace], Coroutine[Any, Any, int]]] = {
    "list": list_sessions,
    "revoke": revoke_one,
    "revoke-user": revoke_user,
    "revoke-all": revoke_all,
}


# How `serve` gets going


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


def _serve_several(settings: Settings, options: argparse.Namespace, sockets: list[socket.socket]) -> int:
    def one() -> int:
        return _serve_one(settings, options, sockets, simulated=False, announced=True)

    _announce(sockets, playground=False)  # the sockets listen already: who comes now waits for the first child
    return Workers(settings.workers, one).run()


def _serve_one(
    settings: Settings,
    options: argparse.Namespace,
    sockets: list[socket.socket],
    *,
    simulated: bool,
    announced: bool = False,
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
        server = process.Server(at, sockets, lambda: _to_serve(_load(options), options))
        await server.run(ready, simulator)
        if simulator:
            await simulator.close()

    asyncio.run(run())
    return DONE


def _announce(sockets: list[socket.socket], *, playground: bool) -> None:
    bases = []
    for each in sockets:
        host, port = each.getsockname()[:2]
        bases.append(f"http://{f'[{host}]' if ':' in host else host}:{port}")
    if playground:
        print(f"playground at {bases[0]}/", flush=True)
    for base in bases:
        print(f"listening on {base}", flush=True)


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
    app = App(DEFAULT_APPID, Secret(DEFAULT_SECRET), "simulator")
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


def _table(columns: list[str], rows: Iterable[Row], *, as_json: bool) -> None:
    """A header and tab-separated lines, or one JSON object per line."""
    if not as_json:
        print(*columns, sep="\t")
    for row in rows:
        if as_json:
            print(json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False))
        else:
            print(*("" if value is None else journal.escaped(str(value)) for value in row), sep="\t")


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
    one = commands.add_parser("audit", parents=[common], help="follow the chain of audit rows")
    one.add_argument("deed", choices=["verify"], help="what to do")
    commands.add_parser("version", help="print the version")
    return parser


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


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if not arguments or arguments[0] not in {*COMMANDS, "-h", "--help", "--version"}:
        arguments = ["serve", *arguments]
    sys.exit(main(arguments))
