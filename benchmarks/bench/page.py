"""Writes the tables of docs/performance.md, between its two marks; all else there is left as it is."""

import os
import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks.bench.figures import Run, ratio, shown, shown_ms, shown_ratio, spread
from benchmarks.bench.growth import Grown
from benchmarks.bench.load import CONNECTIONS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "performance.md"
BEGIN, END = "<!-- written by make bench -->", "<!-- to here -->"
_MIB = 2**20

Results = Mapping[str, Mapping[str, Sequence[Run]]]  # by measure and contestant, one run for each round
Halves = Mapping[str, Mapping[str, Run]]


def tables(
    results: Results,
    halves: Halves,
    memory: Mapping[str, int],
    grown: Sequence[Sequence[Grown]],
    seconds: float,
) -> str:
    """All of it as Markdown."""
    rounds = max((len(runs) for by_name in results.values() for runs in by_name.values()), default=0)
    where = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    parts = [
        f"Measured on {time.strftime('%Y-%m-%d', time.gmtime())} in {seconds / 60:.0f} minutes ({where}):",
        f"{rounds} rounds, {CONNECTIONS} connections, the server on one core, wrk and the stores on another.",
    ]
    for name, by_name in results.items():
        parts += ["", f"### {name[0].upper()}{name[1:]}", "", *_full_load(by_name)]
    parts += ["", "### At half load", "", *_half_load(halves)]
    parts += ["", "### Memory before the load", "", *_memory(memory)]
    parts += ["", "### Growth", "", *_growth([each for size in grown for each in size])]
    return "\n".join(parts)


def _full_load(by_name: Mapping[str, Sequence[Run]]) -> Iterable[str]:
    ours = next(iter(by_name.values()), [])
    yield "| | answers/s | from to | first row is | CPU µs each | p50 ms | p99 ms |"
    yield "|---|---:|---|---|---:|---:|---:|"
    for name, runs in by_name.items():
        rate = spread([run.rate for run in runs])
        times = "1" if runs is ours else shown_ratio(ratio([run.rate for run in ours], [run.rate for run in runs]))
        cells = [name, shown(rate.middle), f"{shown(rate.least)} to {shown(rate.most)}", times]
        cells.append(f"{spread([run.cpu_us for run in runs]).middle:.0f}")
        cells += [shown_ms(spread([getattr(run, part) for run in runs]).middle) for part in ("p50_ms", "p99_ms")]
        yield _row(cells)


def _half_load(halves: Halves) -> Iterable[str]:
    yield "| | asked | answers/s | p50 ms | p99 ms |"
    yield "|---|---|---:|---:|---:|"
    for name, by_name in halves.items():
        for who, run in by_name.items():
            yield _row([who, name, shown(run.rate), shown_ms(run.p50_ms), shown_ms(run.p99_ms)])


def _memory(memory: Mapping[str, int]) -> Iterable[str]:
    yield "| | MiB, all processes |"
    yield "|---|---:|"
    for name, size in memory.items():
        yield _row([name, f"{size / _MIB:.0f}"])


def _growth(grown: Sequence[Grown]) -> Iterable[str]:
    if not grown:
        return
    names = list(grown[0].rates)
    yield _row(["sessions", "stores", *(f"{name}/s" for name in names), "bytes a session", "MiB", "ready after s"])
    yield "|" + "---:|---|" + "---:|" * (len(names) + 3)
    for each in sorted(grown, key=lambda found: (found.store, found.sessions)):
        rates = [shown(each.rates[name]) for name in names]
        size = [f"{each.bytes_per_session:,.0f}", f"{each.resident_bytes / _MIB:.0f}", f"{each.start_seconds:.1f}"]
        yield _row([f"{each.sessions:,}", each.store, *rates, *size])


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def between(page: str, told: str) -> str:
    """The page with these tables between its marks. Raises ValueError when it has none."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page has lost its marks")
    return f"{before}{BEGIN}\n\n{told}\n\n{END}{after}"


def write(told: str) -> None:
    """Put the tables into the page."""
    PAGE.write_text(between(PAGE.read_text("utf-8"), told), "utf-8")
