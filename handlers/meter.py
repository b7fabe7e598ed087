"""Counts what happened, for Prometheus, in memory that all workers of a server share.

Every worker has a row of its own and adds to it without a lock; whoever is asked adds the rows up. A count costs an
addition, so that a verify does not feel it. No library: what is needed of one is shorter than its mode for several
processes, which writes files.
"""

import mmap
from bisect import bisect_left
from collections.abc import Iterable, Iterator

from handlers.refusals import TABLE, UNEXPECTED

ROADS = ("login", "verify", "other")
TIMED = ("login", "verify", "wechat")
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)  # seconds
NO_NUMBER = -1  # of a page, or a dialect that has none
_ERRCODES = sorted({0, NO_NUMBER, UNEXPECTED.errcode, *(row.errcode for row in TABLE.values())})
GAUGES = ("rss_bytes", "wechat_waiting", "under_way")
COUNTERS = ("notes_lost", "audit_write_failures", "clock_jump_seconds")  # kept elsewhere, and told as they stand

_REQUESTS = {pair: n for n, pair in enumerate((road, errcode) for road in ROADS for errcode in _ERRCODES)}
_BUCKETS = len(BOUNDS) + 2  # one for what is slower, one for the sum in microseconds
_TIMES = {road: len(_REQUESTS) + n * _BUCKETS for n, road in enumerate(TIMED)}
_TOLD = {name: len(_REQUESTS) + len(TIMED) * _BUCKETS + n for n, name in enumerate((*GAUGES, *COUNTERS))}
_SIZE = len(_REQUESTS) + len(TIMED) * _BUCKETS + len(_TOLD)


class Meter:
    """One worker's row, and the sum of all."""

    def __init__(self, rows: int = 1) -> None:
        self._all = memoryview(mmap.mmap(-1, rows * _SIZE * 8)).cast("Q")  # shared with children that are forked
        self._own = self._all[:_SIZE]

    def take_row(self, row: int) -> None:
        """In a child: counts into this row from now on, going on where one before it ended."""
        self._own = self._all[row * _SIZE : (row + 1) * _SIZE]

    def answered(self, road: str, errcode: int, seconds: float) -> None:
        """An answer is out."""
        at = _REQUESTS.get((road, errcode))
        self._own[_REQUESTS[road, NO_NUMBER] if at is None else at] += 1
        if road != "other":
            self.took(road, seconds)

    def took(self, road: str, seconds: float) -> None:
        """Something took so long."""
        first = _TIMES[road]
        self._own[first + bisect_left(BOUNDS, seconds)] += 1
        self._own[first + _BUCKETS - 1] += max(0, int(seconds * 1_000_000))

    def stands_at(self, name: str, n: int) -> None:
        """What this worker knows of itself."""
        self._own[_TOLD[name]] = n

    def lines(self) -> Iterator[str]:
        """All rows together, in the text format of Prometheus."""
        sums = [sum(self._all[n::_SIZE]) for n in range(_SIZE)]
        counts = (
            ({"road": road, "errcode": "none" if errcode == NO_NUMBER else str(errcode)}, sums[n])
            for (road, errcode), n in _REQUESTS.items()
            if sums[n] or errcode == 0
        )
        yield from family("menshen_requests_total", "counter", "Answers by errcode; 0 is success.", counts)
        for road in TIMED:
            yield from _histogram(road, sums[_TIMES[road] :][:_BUCKETS])
        for name, n in _TOLD.items():
            kind, suffix = ("counter", "_total") if name in COUNTERS else ("gauge", "")
            yield from family(f"menshen_{name}{suffix}", kind, _SAYS[name], [({}, sums[n])])


_SAYS = {
    "rss_bytes": "Memory of all workers.",
    "wechat_waiting": "Logins that wait for WeChat.",
    "notes_lost": "Notes given up while the database was away.",
    "audit_write_failures": "Rows of the audit that one of its two places did not take.",
    "clock_jump_seconds": "How far the clock was moved, in either direction, as each worker saw it.",
    "under_way": "Requests under way.",
}


def family(name: str, kind: str, says: str, values: Iterable[tuple[dict[str, str], float | int]]) -> Iterator[str]:
    """One metric with its values; labels are ours or appids, and hold nothing that would need an escape."""
    yield f"# HELP {name} {says}"
    yield f"# TYPE {name} {kind}"
    for labels, value in values:
        told = ",".join(f'{key}="{text}"' for key, text in labels.items())
        yield f"{name}{{{told}}} {value}" if told else f"{name} {value}"


def _histogram(road: str, found: list[int]) -> Iterator[str]:
    name = f"menshen_{road}_seconds"
    yield f"# HELP {name} How long {'WeChat' if road == 'wechat' else f'a {road}'} takes."
    yield f"# TYPE {name} histogram"
    total = 0
    for bound, n in zip((*map(str, BOUNDS), "+Inf"), found, strict=False):
        total += n
        yield f'{name}_bucket{{le="{bound}"}} {total}'
    yield f"{name}_sum {found[-1] / 1_000_000}"
    yield f"{name}_count {total}"
