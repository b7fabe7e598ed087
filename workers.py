"""Several processes on one port: the parent holds the socket and the lock, its children serve."""

import contextlib
import ctypes
import logging
import os
import signal
import time
from collections.abc import Callable
from typing import NoReturn

log = logging.getLogger("menshen.workers")

_PAUSE_SECONDS = 1.0  # between a child's end and its successor, so that a defect at start does not spin
_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_OBEYED = (0, -signal.SIGTERM, -signal.SIGINT)  # a child that is told to stop before it listens ends by the signal


class Workers:
    """The children of this process. `serve` runs in each and never returns to the parent's code."""

    def __init__(self, count: int, serve: Callable[[], int]) -> None:
        """`serve` gives the exit status of a child."""
        self._serve = serve
        self._count = count
        self._pids: dict[int, int] = {}  # with the row of each
        self.row = 0  # in a child: a number below `count` that no other child has
        self._first = 0
        self.is_first = False  # in a child: it is the one that speaks for all, and no other does while it lives
        self._stopping = False

    def run(self) -> int:
        """Starts the children, replaces those that end, until the word to stop.

        Gives the exit status: 0 when every child that was told to stop did so in order. One that ended before and was
        replaced is in the log and does not count.
        """
        for number in _PASSED_ON:
            signal.signal(number, self._pass_on)
        for _ in range(self._count):
            self._start()
        worst = 0
        while self._pids:
            pid, status = os.wait()
            self._pids.pop(pid, None)
            code = os.waitstatus_to_exitcode(status)
            if not self._stopping:
                self._replace(code)
            elif code not in _OBEYED:
                worst = 1
        return worst

    def _replace(self, code: int) -> None:
        log.error("a worker ended with status %d and is replaced", code)
        time.sleep(_PAUSE_SECONDS)
        if not self._stopping:
            self._start()

    def _start(self) -> None:
        """Forks. A signal waits until the child is among those that it is passed on to, or it would be lost on it."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)
        try:
            self.is_first = self._first not in self._pids
            self.row = min(set(range(self._count)) - set(self._pids.values()), default=0)
            # The word to stop may have come after the last look and before the signals were held back.
            pid = None if self._stopping else os.fork()
            if pid == 0:
                self._be_a_child()
            elif pid:
                self._pids[pid] = self.row
                self._first = pid if self.is_first else self._first
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)

    def _be_a_child(self) -> NoReturn:
        status = 1
        try:
            for number in _PASSED_ON:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)
            _end_with_parent()
            status = self._serve()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        except BaseException:
            log.exception("a worker failed")
        finally:
            os._exit(status)

    def _pass_on(self, number: int, _frame: object) -> None:
        self._stopping = self._stopping or number != signal.SIGHUP
        for pid in self._pids:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.kill(pid, number)


def _end_with_parent() -> None:
    """A parent killed outright cannot tell its children; they would keep its port and its lock for ever."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
