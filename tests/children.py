"""Processes that the tests start, and that cannot outlive them."""

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import cycle, islice
from pathlib import Path

from forked import Forked

# The kernel ends a child when the *thread* that started it ends. A test may start a child from a short-lived thread
# (asyncio.to_thread), so all children are started by this one thread, which lives as long as the tests do.
_SPAWNER = ThreadPoolExecutor(1, thread_name_prefix="spawner")

START_SECONDS = 60.0
STOP_SECONDS = 30.0


class DidNotStart(Exception):  # named after what happened, like every exception here
    """A child ended, or stayed silent, before it was ready; the text ends with the last lines of its log."""


# Below those that Linux gives to outgoing connections (from 32,768 on), so that none of them takes a port between the
# moment it is found free and the moment a server listens on it. Each process of a test run takes every sixteenth.
_LANE = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 16
_lane = range(10_000 + _LANE, 32_000, 16)
_ports = cycle(random.sample(_lane, len(_lane)))


def free_port() -> int:
    """Return a loopback TCP port that nobody listens on, and that no connection takes before a server does."""
    for port in islice(_ports, len(_lane)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise DidNotStart("no loopback port is free")


def _thread_states(group: int) -> Iterator[str]:
    """Yield the state letter (proc(5)) of every thread of every process in a process group."""
    for path in Path("/proc").glob("[0-9]*/task/[0-9]*/stat"):
        with suppress(OSError):  # threads end while they are looked at
            state, _parent, its_group = path.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group:
                yield state


class Child:
    """One process of ours: started, stopped, killed, frozen and thawed at a test's will.

    It leads a process group of its own, so that Ctrl-C in the terminal reaches pytest alone, and so that whatever it
    starts itself is frozen and swept away with it.
    """

    death_signal = "KILL"

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.log_path = folder / "log.txt"
        self._process: subprocess.Popen[bytes] | Forked | None = None
        self._log_start = 0
        self._disturbed = False

    def command(self) -> Sequence[str]:
        """Return the command line to run."""
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        """Return the whole environment of the process."""
        return os.environ

    def ready(self) -> bool:
        """Say whether the process answers by now."""
        raise NotImplementedError

    @property
    def pid(self) -> int:
        """The process id of the running child."""
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process exists, be it frozen or not."""
        return self._process is not None and self._process.poll() is None

    def log(self) -> str:
        """Return all that the process wrote to stdout and stderr, over all its starts."""
        return self.log_after(0)

    def log_after(self, position: int) -> str:
        """Return what was written after the first ``position`` bytes."""
        if not self.log_path.exists():
            return ""
        with self.log_path.open("rb") as file:
            file.seek(position)
            return file.read().decode("utf-8", "replace")

    def log_size(self) -> int:
        """Return how many bytes were written so far."""
        return self.log_path.stat().st_size if self.log_path.exists() else 0

    def log_since_start(self) -> str:
        """Return what was written since the last start."""
        return self.log_after(self._log_start)

    def start(self, *, seconds: float = START_SECONDS) -> None:
        """Start the process and wait until it is ready; raises DidNotStart after ``seconds``."""
        assert not self.running, "already running"
        self._log_start = self.log_size()
        self._process = _SPAWNER.submit(self._spawn).result()
        deadline = time.monotonic() + seconds
        while not self.ready():
            if not self.running or time.monotonic() > deadline:
                self.kill()
                raise DidNotStart(f"{self.command()[0]} is not ready:\n{self.log_since_start()[-4000:]}")
            time.sleep(0.02)

    def _spawn(self) -> subprocess.Popen[bytes] | Forked:
        with self.log_path.open("ab") as log:
            return subprocess.Popen(
                ["setpriv", "--pdeathsig", self.death_signal, "--", *self.command()],
                cwd=self.folder,
                env=dict(self.environment()),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def stop(self, *, seconds: float = STOP_SECONDS) -> int:
        """Ask the process to end (SIGTERM), wait, and return its exit status.

        Raises subprocess.TimeoutExpired, after killing it, when it has not ended within ``seconds``.
        """
        assert self._process is not None, "not started"
        self.thaw()
        self._process.terminate()
        try:
            return self._process.wait(seconds)
        finally:
            self.kill()

    def kill(self) -> None:
        """End the process and all that it started, at once and without asking (SIGKILL)."""
        if self._process is not None:
            self._disturbed = True
            self._signal_group(signal.SIGKILL)
            self._process.wait()

    def restart(self) -> None:
        """Stop, then start again on the same data and port."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Stop the process in its tracks (SIGSTOP): connections stay open and nobody answers."""
        self._disturbed = True
        self._signal_group(signal.SIGSTOP)
        # The signal is only sent so far: a thread on another core may still answer one more question.
        deadline = time.monotonic() + STOP_SECONDS
        while set(_thread_states(self.pid)) - set("TtZX"):
            assert time.monotonic() < deadline, "the process does not freeze"
            time.sleep(0.001)

    def thaw(self) -> None:
        """Let a frozen process go on (SIGCONT)."""
        self._signal_group(signal.SIGCONT)

    def heal(self) -> bool:
        """Undo what a test did to the process: thaw it, or start it again. Say whether there was anything to undo."""
        if self.running:
            self.thaw()
        else:
            self.start()
        disturbed, self._disturbed = self._disturbed, False
        return disturbed

    def _signal_group(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)
