#!/usr/bin/env python3
"""Menshen's front door: reads the command line and the settings, and runs one command."""

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Callable, Mapping

import development
import host
import installation
import process
from commands import (
    AUDIT_DEEDS,
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
    table,
    warn,
)
from options import given, parser
from settings import VERSION, WrongSettings, describe
from stores.audit import AuditAway
from stores.errors import StoreTrouble, WrongCredentials, WrongSchema
from stores.keys import KeysUnreadable
from stores.lock import AlreadyServed


def main(words: list[str]) -> int:
    """Runs one command; gives the exit status: 0 done, 1 refused or failed, 2 wrong use or settings."""
    options = parser().parse_args(words)
    # A command tells its trouble itself, in one line; Python would print every warning of the stores beside it.
    logging.getLogger("menshen").addHandler(logging.NullHandler())
    try:
        return _run(options)
    except BrokenPipeError:
        return _reader_left()
    except WrongSettings as wrong:
        warn([*wrong.warnings, *wrong.lines])
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
    import starting  # here, because no other command needs what answers requests, and each is quicker without it

    return starting.serve(options)


def show_settings(options: argparse.Namespace) -> int:
    """Prints every setting, its value, its source and its sentence."""
    loaded = given(options)
    warn(loaded.warnings)
    table(["setting", "value", "source", "meaning"], describe(loaded.settings), as_json=options.json)
    return DONE


def upgrade(options: argparse.Namespace) -> int:
    """Brings the schema to this version."""
    settings = given(options).settings
    process.lock(settings)
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
    settings = given(options).settings

    async def run() -> int:
        async with process.opened(settings) as backend:
            return await deed(backend, options)

    return asyncio.run(run())


def audit(options: argparse.Namespace) -> int:
    """Follows the chain of the audit and says whether it holds."""
    return _do(AUDIT_DEEDS[options.deed], options)


def backup(options: argparse.Namespace) -> int:
    """Copies the embedded store into a file, beside a running server."""
    return installation.backup(given(options).settings, options)


def restore(options: argparse.Namespace) -> int:
    """Puts a copy in the place of the embedded store."""
    return installation.restore(given(options).settings, options)


def move(options: argparse.Namespace) -> int:
    """Takes everything to other stores, while no server runs."""
    return installation.move(given(options).settings, options)


def doctor(options: argparse.Namespace) -> int:
    """Looks at everything that a server needs and says what to do."""
    loaded = given(options)
    warn(loaded.warnings)
    return installation.doctor(loaded.settings, options)


def version(_options: argparse.Namespace) -> int:
    """Prints the version."""
    print(VERSION)
    return DONE


COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "serve": serve,
    "simulate": development.simulate,
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


def _reader_left() -> int:
    """Whoever read our output has what it wanted (`sessions list | head`), which is no error worth a line."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes at the end
    return FAILED


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if not arguments or arguments[0] not in {*COMMANDS, "-h", "--help", "--version"}:
        arguments = ["serve", *arguments]
    sys.exit(main(arguments))
