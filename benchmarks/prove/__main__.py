"""`python -m benchmarks.prove`: runs the proofs, prints a line for each, and writes docs/proof.md."""

import argparse
import asyncio
import gc
import logging
import os
import platform
import tempfile
import time
import traceback
from collections.abc import Mapping
from pathlib import Path

from benchmarks.prove import away, ended, ground, hostile, killed, lasting, people, records
from benchmarks.prove.ground import GOALS, Goal, Ground, Result

ROOMS = (away, ended, hostile, killed, lasting, people, records)  # importing them fills GOALS
PAGE = Path(__file__).resolve().parents[2] / "docs" / "proof.md"
MOST_SECONDS = 420  # of one proof: one that hangs must not keep the others from being run
_VERDICTS = {True: "held", False: "NOT HELD", None: "not shown"}


async def prove(goal: Goal) -> Result:
    """Run one proof on servers of its own. What it did not foresee is a goal not held."""
    stage = Ground(Path(tempfile.mkdtemp(prefix="menshen-prove-")))
    try:
        async with asyncio.timeout(MOST_SECONDS):
            return await goal.proof(stage)
    except Exception as error:
        traceback.print_exc()
        return Result(f"the proof broke off: {type(error).__name__}", held=False)
    finally:
        await stage.clear()


def line(goal: Goal, result: Result) -> str:
    """Return what one proof saw in one line."""
    return f"{goal.name:<4} {goal.promise}  measured: {_told(result)}  {_VERDICTS[result.held]}"


def _told(result: Result) -> str:
    return f"{result.measured} ({result.why})" if result.why else result.measured


def page(results: Mapping[int, Result], seconds: float) -> str:
    """Return docs/proof.md."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    rows = [_row(goal, result) for number, goal in sorted(GOALS.items()) if (result := results.get(number))]
    return "\n".join(
        [
            "# Proof",
            "",
            "Written by `make prove`, which starts real servers on this machine, attacks, kills and fills them, and",
            "measures. What each goal is for stands in [security.md](security.md).",
            "",
            f"Measured on {time.strftime('%Y-%m-%d', time.gmtime())} in {seconds / 60:.0f} minutes on "
            f"{os.cpu_count()} cores and {memory:.0f} GiB, Python {platform.python_version()}, seed {ground.SEED}.",
            "",
            "| goal | promise | measured | |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


def _row(goal: Goal, result: Result, when: str = "") -> str:
    return f"| {goal.name} | {goal.promise} | {_told(result)}{when} | {_VERDICTS[result.held]} |"


def with_row(text: str, goal: Goal, result: Result) -> str:
    """Return docs/proof.md with what one proof saw that was run without the others."""
    row = _row(goal, result, f" (measured alone on {time.strftime('%Y-%m-%d', time.gmtime())})")
    return "\n".join(row if each.startswith(f"| {goal.name} |") else each for each in text.split("\n"))


def main() -> int:
    """Run what is asked for; exit status 1 when a goal was not held."""
    parser = argparse.ArgumentParser(prog="make prove", description=__doc__)
    parser.add_argument("goals", nargs="*", help="as D2 D11; only their rows of the page are then written anew")
    chosen = {int(each.upper().lstrip("D")) for each in parser.parse_args().goals}
    logging.getLogger("menshen").addHandler(logging.NullHandler())  # stores that are opened here are meant to fail
    started, results = time.monotonic(), dict[int, Result]()
    for number, goal in sorted(GOALS.items()):
        if not chosen or number in chosen:
            gc.collect()
            gc.freeze()  # or it would hold up those who measure now and then, as in the process of ground.Pulse
            began = time.monotonic()
            results[number] = asyncio.run(prove(goal))
            print(f"{line(goal, results[number])}  [{time.monotonic() - began:.0f} s]", flush=True)
            if chosen:
                PAGE.write_text(with_row(PAGE.read_text("utf-8"), goal, results[number]), "utf-8")
            else:  # each time: a run that is interrupted leaves what it saw
                PAGE.write_text(page(results, time.monotonic() - started), "utf-8")
    return int(any(result.held is False for result in results.values()))


if __name__ == "__main__":
    raise SystemExit(main())
