"""Several processes on one port: the parent holds the socket and the lock, its children serve."""

import ctypes
import logging
import os
import signal
import time
from collections.abc import Callable
from typing import NoReturn

log = logging.getLogger("menshen.workers")

_PAUSE_SECONDS = 1.0  # between a child's end and its successor, so that a defect at start does not spin


class Workers:
    """The children of this process. `serve` runs in each and never returns to the parent's code."""

    def __init__(self, count: int, serve: Callable[[], int]) -> None:
        """`serve` gives the exit status of a child."""
        self._serve = serve
        self._count = count
        self._pids: set[int] = set()
        self._stopping = False

    def run(self) -> int:
        """Starts the children, replaces those that end, until the word to stop; gives the exit status."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._pass_on)
        for _ in range(self._count):
            self._start()
        worst = 0
        while self._pids:
            pid, status = os.wait()
            self._pids.discard(pid)
            worst = max(worst, abs(os.waitstatus_to_exitcode(status)))
            if not self._stopping:
                log.error("a worker ended with status %d and is replaced", os.waitstatus_to_exitcode(status))
                time.sleep(_PAUSE_SECONDS)
                self._start()
        return min(worst, 1)

    def _start(self) -> None:
        pid = os.fork()
        if pid:
            self._pids.add(pid)
        else:
            self._be_a_child()

    def _be_a_child(self) -> NoReturn:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        _end_with_parent()
        status = 1
        try:
            status = self._serve()
        finally:
            os._exit(status)

    def _pass_on(self, number: int, _frame: object) -> None:
        self._stopping = self._stopping or number != signal.SIGHUP
        for pid in self._pids:
            os.kill(pid, number)


def _end_with_parent() -> None:
    """A parent killed outright cannot tell its children; they would keep its port and its lock for ever."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
