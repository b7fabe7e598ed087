"""The words of the command line, and what each of them means."""

import argparse
import os
from pathlib import Path
from typing import Any

from actions.imports import SKEY_SECONDS
from actions.service_keys import SCOPES
from settings import KNOBS, VERSION, Loaded, load
from stores.operators import ROLES


def parser() -> argparse.ArgumentParser:
    """The parser of all commands; `command` and `deed` name what was chosen, a setting stands under its key."""
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
    one.add_argument("--again", action="store_true", help="first empty what an interrupted move left in the targets")
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


def given(options: argparse.Namespace) -> Loaded:
    """The settings that the options, the environment and the settings file give together. Raises WrongSettings."""
    chosen = {key: value for key in KNOBS if (value := getattr(options, key, None)) is not None}
    return load(chosen, os.environ, Path(options.config) if options.config else None)
