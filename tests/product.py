"""The real program as a process of its own: `server.py serve` and `server.py simulate`."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import ClassVar
from weakref import WeakSet

import forked
from children import START_SECONDS, STOP_SECONDS, Child, free_port

ROOT = Path(__file__).resolve().parent.parent
APPID = "wx0000000000000001"
APPSECRET = "simulator-secret"
# MENSHEN_TEST_PARSER=tornado runs any test on that parser; tests/both_parsers does it in every run with some of them.
PARSER = {"PARSER": parser} if (parser := os.environ.get("MENSHEN_TEST_PARSER")) else {}


class Program(Child):
    """`server.py` with one of its commands, on a port that it keeps at each further start."""

    words: Sequence[str]
    announcement: re.Pattern[str]
    # Asked to end rather than killed when pytest dies, so that it can take its own workers along.
    death_signal = "TERM"
    by_fork = False
    made: ClassVar["WeakSet[Program]"] = WeakSet()  # for the report of a test that failed

    def __init__(self, folder: Path, settings: Mapping[str, object]) -> None:
        super().__init__(folder)
        self.made.add(self)
        self.settings = {name: str(value) for name, value in settings.items()}
        self.port = free_port()

    def command(self) -> Sequence[str]:
        """Return the command line."""
        return [sys.executable, str(ROOT / "server.py"), *self.words, "--port", str(self.port)]

    def environment(self) -> Mapping[str, str]:
        """Return the environment without any MENSHEN_ variable of the developer's, plus this server's settings."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MENSHEN_")}
        return kept | {f"MENSHEN_{name}": value for name, value in self.settings.items()}

    def _spawn(self) -> "subprocess.Popen[bytes] | forked.Forked":
        command, env = self.command(), self.environment()
        if not (self.by_fork and forked.can(command, env)):
            return super()._spawn()
        with self.log_path.open("ab") as log:
            return forked.start(command[2:], cwd=self.folder, env=env, out=log, err=log)

    def ready(self) -> bool:
        """Say whether the line with the address was printed by now."""
        found = self.announcement.search(self.log_since_start())
        if found:
            self.port = int(found["port"])
        return found is not None

    @property
    def base(self) -> str:
        """The base URL, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"


class Simulator(Program):
    """The WeChat simulator; a test drives it through phone.WeChat."""

    words = ("simulate",)
    announcement = re.compile(r"^WeChat simulator at http://[\d.]+:(?P<port>\d+)$", re.MULTILINE)


class Product(Program):
    """A Menshen server; `settings` are named as in docs/settings.md, without the prefix."""

    words: Sequence[str] = ("serve",)
    announcement = re.compile(r"^listening on http://\S+:(?P<port>\d+)$", re.MULTILINE)

    def __init__(self, folder: Path, settings: Mapping[str, object]) -> None:
        super().__init__(folder, {"DATA_DIR": folder / "data", "LOG_LEVEL": "debug", **PARSER, **settings})
        self._checked = 0
        # Phones add their codes and tokens; the URLs hold passwords.
        self.never_logged = {self.settings["APPSECRET"]} if self.settings.get("APPSECRET") else set()
        passwords = [re.search(r"://[^/@]*:([^/@]+)@", value) for value in self.settings.values()]
        self.never_logged |= {found[1] for found in passwords if found}

    @property
    def data_dir(self) -> Path:
        """The folder with the embedded store and the keys."""
        return Path(self.settings["DATA_DIR"])

    def wait_until_it_serves(self) -> None:
        """Return when phones can log in and be verified; raises AssertionError when that does not come about."""
        deadline = time.monotonic() + START_SECONDS
        while not self._serves():
            assert time.monotonic() < deadline, f"it does not serve:\n{self.log_since_start()[-4000:]}"
            time.sleep(0.02)

    def _serves(self) -> bool:
        try:
            with closing(HTTPConnection("127.0.0.1", self.port, timeout=STOP_SECONDS)) as connection:
                connection.request("GET", "/readyz")
                answer = connection.getresponse()
                return answer.status == 200 and "database" not in json.load(answer)["degraded"]
        except OSError:
            return False

    def check_log(self) -> None:
        """Look at what was logged since the last check.

        Raises AssertionError when that holds a traceback, or a secret (which the error does not repeat).
        """
        log = self.log_with_traceback()
        start = log.find("Traceback (most recent call last)")
        assert start < 0, f"the server's log holds a traceback:\n{log[max(0, start - 400) : start + 12_000]}"

    def log_with_traceback(self) -> str:
        """Return what was logged since the last check, for a test that has provoked a traceback.

        Raises AssertionError when it holds a secret.
        """
        log = self.log_after(self._checked)
        self._checked = self.log_size()
        leaks = sum(secret in log for secret in self.never_logged)
        assert leaks == 0, f"{leaks} secrets, tokens or codes stand in the server's log, {self.log_path}"
        return log


class DevServer(Product):
    """`serve --dev`, from the project's own folder or a copy of it."""

    def __init__(self, folder: Path, root: Path = ROOT) -> None:
        super().__init__(folder, {})
        self.root = root

    def command(self) -> Sequence[str]:
        python, _, serve, *options = super().command()
        return [python, str(self.root / "server.py"), serve, "--dev", "--simulator-port", "0", *options]

    @property
    def simulator_base(self) -> str:
        """The base URL of the simulator inside it."""
        found = re.search(r"^WeChat simulator at (http://\S+)$", self.log(), re.MULTILINE)
        assert found, "no simulator was announced"
        return found[1]
