"""`server.py` by fork: from a process that has imported it all, a command begins a third of a second earlier.

What runs is the same file as ``__main__``, in a process of its own with its words, environment, folder, limits and
files. What such a process does not show is that `server.py` starts by itself: the first time that a command is used in
a run of the tests, shell.py starts it as an operator does, and so are all servers that many tests share.
"""

import atexit
import gc
import importlib
import json
import os
import resource
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, Any, NoReturn

ROOT = Path(__file__).resolve().parent.parent
SERVER = str(ROOT / "server.py")
_MOST_BYTES = 100_000
# Variables that are read when a process begins, and how they stood.
_READ_EARLY = ("LD_", "PYTHON", "LC_", "LANG")
_AT_FIRST = dict(os.environ)
_LIMITS = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]


class Forked:
    """A process that was made by fork, for whom knows it by what ``subprocess.Popen`` offers."""

    def __init__(self, told: socket.socket) -> None:
        self._told = told
        self.pid = int(told.recv(_MOST_BYTES))
        self._status: int | None = None

    def poll(self) -> int | None:
        """Return the exit status, or None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status; raises subprocess.TimeoutExpired when it runs on after so many seconds."""
        if self._status is None:
            if not select.select([self._told], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(SERVER, timeout or 0)
            self._status = int(self._told.recv(_MOST_BYTES))
            self._told.close()
        return self._status

    def terminate(self) -> None:
        """Ask it to end (SIGTERM)."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """End it without asking (SIGKILL)."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it has ended since
                os.kill(self.pid, number)


def can(command: Sequence[str], env: Mapping[str, str]) -> bool:
    """Say whether a fork does as this command line would: nothing around it, and nothing that Python reads itself."""
    ours, theirs = ({pair for pair in each.items() if pair[0].startswith(_READ_EARLY)} for each in (_AT_FIRST, env))
    return list(command[:2]) == [sys.executable, SERVER] and ours == theirs


def start(words: Sequence[str], *, cwd: Path, env: Mapping[str, str], out: IO[Any], err: IO[Any]) -> Forked:
    """Start `server.py` with these words as the leader of a session of its own.

    It is asked to end (SIGTERM) when this process is no more.
    """
    limits = [resource.getrlimit(each) for each in _LIMITS]
    asked = json.dumps({"words": list(words), "cwd": str(cwd), "env": dict(env), "limits": limits}).encode()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        socket.send_fds(_forking(), [asked], [theirs.fileno(), out.fileno(), err.fileno()])
    return Forked(ours)


def run(words: Sequence[str], *, cwd: Path, env: Mapping[str, str], timeout: float) -> subprocess.CompletedProcess[str]:
    """Run `server.py` with these words to its end, as ``subprocess.run`` does that captures what it prints."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = start(words, cwd=cwd, env=env, out=out, err=err)
        try:
            status = process.wait(timeout)
        finally:
            process.kill()
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess([SERVER, *words], status, out.read(), err.read())


@cache
def _forking() -> socket.socket:
    """Start the process that forks; it ends when this one does, because then nobody can ask it any more."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        command = [sys.executable, __file__]
        process = subprocess.Popen(command, stdin=theirs.fileno(), cwd=ROOT, start_new_session=True)

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


# In the process that forks


def _main() -> None:
    """Run `server.py` in a process of its own for each request, until nobody can ask any more."""
    sys.path[0] = str(ROOT)
    for name in ("server", "starting"):  # the second is what `serve` imports when it begins
        importlib.import_module(name)
    gc.freeze()
    with socket.socket(fileno=0) as door:
        request = _request_in_a_child(door)
    if request is not None:
        _become(*request)
        runpy.run_path(SERVER, run_name="__main__")


def _request_in_a_child(door: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Return what was asked for in a new process for each request, and None in the first at the end."""
    while True:
        asked, files, *_ = socket.recv_fds(door, _MOST_BYTES, 3)
        with suppress(ChildProcessError):  # there are none
            while os.waitpid(-1, os.WNOHANG if asked else 0)[0]:
                pass
        if not asked:
            return None
        if os.fork() == 0:
            told = socket.socket(fileno=files.pop(0))
            pid = os.fork()
            if pid == 0:
                told.close()
                return json.loads(asked), files
            _watch(told, pid)
        for file in files:
            os.close(file)


def _watch(told: socket.socket, pid: int) -> NoReturn:
    """Tell whoever asked for a process its number and how it ended; when nobody listens any more, ask it to end."""
    told.send(b"%d" % pid)
    ended = os.pidfd_open(pid)
    if ended not in select.select([told.fileno(), ended], [], [])[0]:
        os.kill(pid, signal.SIGTERM)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with suppress(BrokenPipeError):
        told.send(b"%d" % status)
    os._exit(0)


def _become(asked: dict[str, Any], files: list[int]) -> None:
    """Make this process what a new one would be."""
    for number, file in enumerate([os.open(os.devnull, os.O_RDONLY), *files]):
        os.dup2(file, number)
        os.close(file)
    os.setsid()
    os.chdir(asked["cwd"])
    for each, limit in zip(_LIMITS, asked["limits"], strict=True):
        resource.setrlimit(each, limit)
    os.environ.clear()
    os.environ.update(asked["env"])
    time.tzset()
    sys.argv[1:] = asked["words"]


if __name__ == "__main__":
    _main()
