"""The arithmetic of the bench: what wrk printed, the middle of several runs, ratios and their spread."""

import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


class Spoilt(Exception):
    """A run in which something else was answered than was asked for: its figures say nothing."""


@dataclass(frozen=True)
class Run:
    """What one run gave."""

    rate: float  # answers in a second
    p50_ms: float
    p99_ms: float
    cpu_us: float = 0.0  # of all processes of the server, for an answer


@dataclass(frozen=True)
class Spread:
    """The middle of some figures with the smallest and the largest."""

    middle: float
    least: float
    most: float


def read_wrk(printed: str, *, refused: bool = False) -> tuple[Run, int]:
    """What `wrk --latency` printed, and how many answers there were.

    `refused` says that every answer has to be a refusal; otherwise none may be. Raises Spoilt.
    """
    rate = re.search(r"Requests/sec:\s+([\d.]+)", printed)
    count = re.search(r"(\d+) requests in", printed)
    times = [re.search(rf"^\s+{part}%\s+([\d.]+)(us|ms|s|m)\s*$", printed, re.MULTILINE) for part in (50, 99)]
    if not rate or not count or count[1] == "0" or None in times or "Socket errors" in printed:
        raise Spoilt(printed)
    turned_away = re.search(r"Non-2xx or 3xx responses: (\d+)", printed)
    if (int(turned_away[1]) if turned_away else 0) != (int(count[1]) if refused else 0):
        raise Spoilt(printed)
    p50_ms, p99_ms = (float(found[1]) * _MS[found[2]] for found in times if found)
    return Run(float(rate[1]), p50_ms, p99_ms), int(count[1])


def spread(figures: Sequence[float]) -> Spread:
    """Of at least one figure."""
    return Spread(statistics.median(figures), min(figures), max(figures))


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """How many times theirs ours is. Runs of one round stand at the same place, and are compared with each other:
    a machine that was slow for a moment was so for both."""
    return spread([one / other for one, other in zip(ours, theirs, strict=True)])


def shown(figure: float) -> str:
    """A rate for people: 12,300 and not 12,345.67; three digits say all that a run can say."""
    if figure <= 0:
        return "0"
    digits = max(0, len(str(int(figure))) - 3)
    return f"{round(figure / 10**digits) * 10**digits:,}"


def shown_ms(figure: float) -> str:
    """Milliseconds in two digits."""
    return f"{figure:.0f}" if figure >= 10 else f"{figure:.1f}" if figure >= 1 else f"{figure:.2f}"


def shown_ratio(found: Spread) -> str:
    """`1.32 × (1.28 to 1.40)`"""
    return f"{found.middle:.2f} × ({found.least:.2f} to {found.most:.2f})"
