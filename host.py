"""What `install` and `uninstall` do: the program as a service of a machine with systemd, behind nginx.

Both ask nothing. `install` may be run again, with a newer program too: settings and the site, which people edit, stay.
The files are those of deploy/, with the domain and this program's own place in them.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from commands import DONE, Refused
from settings import KNOBS

_SHIPPED = Path(__file__).resolve().parent / "deploy"
# What stands in the files of deploy/ for the domain and for the program.
_DOMAIN = "shop.example.com"
_FROM_SOURCE = "/opt/menshen/.venv/bin/python /opt/menshen/server.py"
_UNITS = "etc/systemd/system"
_PROGRAM = "usr/local/bin/menshen"
_USER = "etc/sysusers.d/menshen.conf"
_SETTINGS = "etc/menshen/environment"
_SITE = "etc/nginx/sites-available/menshen.conf"
_SITE_IN_USE = "etc/nginx/sites-enabled/menshen.conf"
_STARTED = ("menshen.socket", "menshen.service", "menshen-backup.timer")
_LEFT_ALONE = (_SETTINGS, _SITE, "var/lib/menshen", "var/lib/menshen-backups")
_HIDDEN = ("/home", os.path.expanduser("~root"), "/run/user")  # by ProtectHome= in the unit
_MINI_PROGRAM = ("MENSHEN_APPID", "MENSHEN_APPSECRET")
_ABOUT_SETTINGS = "# The settings of Menshen's service; `menshen settings` lists all there are."
_IN_QUOTES, _ESCAPED = re.compile(r'([$`"\\])'), r"\\\1"  # systemd.exec(5), EnvironmentFile=
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"(?:{_LABEL}\.)+{_LABEL}", re.IGNORECASE)


def install(options: argparse.Namespace) -> int:
    """Writes program, user, units, site and settings; starts them on this machine. Raises Refused.

    With `--root` everything goes below that folder, and nothing of this machine is changed or started.
    """
    if not _NAME.fullmatch(options.domain) or len(options.domain) > 253:
        raise Refused(f"{options.domain!r} is no domain: it looks like login.example.com")
    root = _root(options.root)
    try:
        for deed in _write(root, options.domain):
            print(deed)
        ready = all(f"\n{name}=" in (root / _SETTINGS).read_text("utf-8") for name in _MINI_PROGRAM)
    except OSError as error:
        raise Refused(f"{error.filename}: {error.strerror}") from None
    if _is_this_machine(root):
        _run("systemd-sysusers", f"/{_USER}")
        _run("systemctl", "daemon-reload")
        # Not started without a mini program: it would only fail, again and again.
        _run("systemctl", "enable", *(["--now"] if ready else []), *_STARTED)
    for sentence in _left(options.domain, ready=ready, here=_is_this_machine(root)):
        print(f"left to do: {sentence}")
    return DONE


def uninstall(options: argparse.Namespace) -> int:
    """Stops the service and takes away what `install` wrote, but the data, settings, site and user. Raises Refused."""
    root = _root(options.root)
    if _is_this_machine(root) and (root / _UNITS / "menshen.service").exists():
        _run("systemctl", "disable", "--now", *_STARTED)
    try:
        for name in (_SITE_IN_USE, _PROGRAM, _USER, *(f"{_UNITS}/{unit.name}" for unit in _units())):
            if (root / name).is_symlink() or (root / name).exists():
                (root / name).unlink()
                print(f"removed {root / name}")
    except OSError as error:
        raise Refused(f"{error.filename}: {error.strerror}") from None
    if _is_this_machine(root):
        _run("systemctl", "daemon-reload")
    for name in _LEFT_ALONE:
        if (root / name).exists():
            print(f"left alone: {root / name}")
    return DONE


def _root(given: str) -> Path:
    root = Path(given).absolute()
    if root == Path("/") and os.geteuid() != 0:
        raise Refused("only root can do this: put sudo before it, or try it out with --root FOLDER")
    return root


def _is_this_machine(root: Path) -> bool:
    """Whether there is a systemd to be told of it (sd_booted(3))."""
    return root == Path("/") and Path("/run/systemd/system").is_dir()


def _write(root: Path, domain: str) -> Iterator[str]:
    """Puts every file in its place; says of each what was done. Raises OSError, Refused."""
    settings = _settings(domain, os.environ)  # may refuse, and nothing is written yet
    program = _take_along(root)
    yield f"the program is {program}"
    for unit in _units():
        yield _put(root / _UNITS / unit.name, unit.read_text("utf-8").replace(_FROM_SOURCE, program))
    yield _put(root / _USER, 'u menshen - "Menshen" /var/lib/menshen\n')
    site = (_SHIPPED / "nginx" / "menshen.conf").read_text("utf-8").replace(_DOMAIN, domain)
    yield _put(root / _SITE, site, keep=True)
    yield _put(root / _SETTINGS, settings, mode=0o600, keep=True)


def _units() -> list[Path]:
    return sorted((_SHIPPED / "systemd").iterdir())


def _take_along(root: Path) -> str:
    """The words that start this program from a unit; the single file is copied below `root` for it."""
    if not getattr(sys, "frozen", False):
        words = f"{sys.executable} {Path(__file__).resolve().with_name('server.py')}"
        if words.count(" ") > 1 or words.startswith(_HIDDEN):
            raise Refused("a service cannot reach this folder: move all of it to /opt/menshen, and install from there")
        return words
    own = Path(os.environ.get("STATICX_PROG_PATH") or sys.executable).resolve()
    target = root / _PROGRAM
    if not (target.exists() and target.samefile(own)):
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name("menshen.new")  # the file of a program that runs cannot be written to, only replaced
        shutil.copyfile(own, draft)
        draft.chmod(0o755)
        draft.replace(target)
    return f"/{_PROGRAM}"


def _put(path: Path, text: str, *, mode: int = 0o644, keep: bool = False) -> str:
    if keep and path.exists():
        return f"kept {path} as it is"
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.new")
    draft.touch(mode=mode)
    draft.chmod(mode)
    draft.write_text(text, "utf-8")
    draft.replace(path)
    return f"wrote {path}"


def _settings(domain: str, given: Mapping[str, str]) -> str:
    """The service's environment: what this shell has set, and what a server behind nginx needs. Raises Refused."""
    wanted = {"MENSHEN_PUBLIC_URL": f"https://{domain}", "MENSHEN_TRUSTED_PROXIES": "127.0.0.1/32"}
    known = {knob.variable for knob in KNOBS.values()} - {"MENSHEN_DATA_DIR"}  # which the unit sets
    wanted |= {name: value for name, value in given.items() if name in known}
    if any("\n" in value for value in wanted.values()):
        raise Refused("a setting of this shell holds a line's end")
    lines = [f'{name}="{_IN_QUOTES.sub(_ESCAPED, value)}"' for name, value in sorted(wanted.items())]
    missing = [f"#{name}=" for name in _MINI_PROGRAM if name not in wanted]
    return "\n".join([_ABOUT_SETTINGS, *lines, *missing, ""])


def _left(domain: str, *, ready: bool, here: bool) -> Iterator[str]:
    """What only people can do."""
    if not here:
        yield "once systemd runs here: systemd-sysusers, then systemctl enable --now " + " ".join(_STARTED)
    if not ready:
        yield f"put MENSHEN_APPID and MENSHEN_APPSECRET into /{_SETTINGS}, then: systemctl start menshen"
    yield f"put the certificate of {domain}, with its whole chain, at /etc/ssl/{domain}/fullchain.pem and key.pem"
    yield f"then: ln -s /{_SITE} /{_SITE_IN_USE} && nginx -t && systemctl reload nginx"
    yield f"in WeChat's console: request domain https://{domain}, and this machine's address in the IP whitelist"
    yield f"for a server in mainland China: an ICP filing (备案) of {domain}"


def _run(*words: str) -> None:
    """A tool of this machine. It must not take the libraries that the single file brings along. Raises Refused."""
    environment = {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}
    try:
        done = subprocess.run(words, env=environment, check=False, timeout=120)  # noqa: S603  # words of our own alone
    except (OSError, subprocess.TimeoutExpired):
        raise Refused(f"{words[0]} did not run; the files are in place: run {' '.join(words)} yourself") from None
    if done.returncode != 0:
        raise Refused(f"{' '.join(words)} failed; see what it says above")
    print(f"ran {' '.join(words)}")
