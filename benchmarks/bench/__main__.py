"""`python -m benchmarks.bench`: measures everything, prints the tables and writes them into docs/performance.md."""

import argparse
import json
import logging
import os
import secrets
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from product import Product

from benchmarks.bench import growth, page
from benchmarks.bench.figures import Run, Spoilt
from benchmarks.bench.load import (
    Loader,
    Script,
    asking,
    garbage_tokens,
    in_turn,
    logins,
    looking_at,
    verifies,
    wrk_is_here,
)
from benchmarks.bench.stage import KINDS, Contestant, Pass, Stage, passed
from benchmarks.seed import Size

SIZE = Size(users=8_000, sessions=20_000)
AT_HALF = ("verify", "login, known person")
GROWTH = (1_000, 100_000, 1_000_000)  # sessions


class Disagreement(Exception):
    """Two contestants answer the same request with bodies of different fields."""


def measures(stage: Stage, opened: Pass | None) -> dict[str, Script]:
    """What one contestant is asked, by name; what only Menshen has needs `opened`."""
    found = {
        "verify": verifies(stage.tokens()),
        "verify, unknown token": verifies(stage.strangers(), refused=True),
        "verify, garbage": verifies(garbage_tokens(1_000), refused=True),
        "login, known person": logins(stage.openids()),
        "login, new person": logins([]),
    }
    if opened is None:
        return found
    key = [f"Authorization: Bearer {opened.key}"]
    tokens = stage.tokens()
    hundreds = [tokens[start : start + 100] for start in range(0, len(tokens), 100)]
    ones = [asking("POST", "/partner/introspect", key, json.dumps({"token": each})) for each in tokens]
    many = [asking("POST", "/partner/introspect", key, json.dumps({"tokens": each})) for each in hundreds]
    return found | {
        "introspection of 1": in_turn(ones),
        "introspection of 100": in_turn(many),
        "sessions page": looking_at("/admin/sessions", opened.cookie),
        "overview": looking_at("/admin/", opened.cookie),
    }


def run_all(
    stage: Stage, contestants: Sequence[Contestant], rounds: int, seconds: int, only: Sequence[str] = ()
) -> tuple[page.Results, page.Halves]:
    """All rounds at full load, then one run of each at half of it; `only` names what is measured."""
    loader = Loader(stage.folder)
    agree(contestants, stage)
    scripts = {each.name: measures(stage, _opened(each)) for each in contestants}
    names = [name for name in dict.fromkeys(chain(*scripts.values())) if not only or name in only]
    taking_part = {name: [each for each in contestants if name in scripts[each.name]] for name in names}
    results = {name: {each.name: list[Run]() for each in taking_part[name]} for name in names}
    halves = {name: dict[str, Run]() for name in AT_HALF if name in names}
    for number in range(rounds + 1):  # the first one is not counted: everybody gets warm
        for name, each in _in_turn(taking_part, names if number else AT_HALF):
            with _or_without(taking_part[name], each, results[name]):
                run = loader.run(each.server, each.server.base, scripts[each.name][name], seconds)
                results[name][each.name] += [run] if number else []
        print(f"round {number} of {rounds} is done", flush=True)
    for name, each in _in_turn(taking_part, AT_HALF):
        with _or_without(taking_part[name], each, halves[name]):
            full = results[name][each.name][-1]
            run = loader.at_half(each.server, each.server.base, scripts[each.name][name], 2 * seconds, full)
            halves[name][each.name] = run
    return results, halves


@contextmanager
def _or_without(taking_part: list[Contestant], each: Contestant, results: dict[str, Any]) -> Iterator[None]:
    """Takes somebody out of a measure who cannot answer all of it: a table with a gap says more than none."""
    try:
        yield
    except Spoilt as spoilt:
        print(f"{each.name} is taken out, because it did not answer as it should:\n{spoilt}", flush=True)
        taking_part.remove(each)
        results.pop(each.name, None)


def _opened(contestant: Contestant) -> Pass | None:
    """For Menshen on its default parser; what the other one costs, verify and login show."""
    server = contestant.server
    return passed(server) if isinstance(server, Product) and server.settings.get("PARSER") != "tornado" else None


def _in_turn(taking_part: Mapping[str, Sequence[Contestant]], names: Iterable[str]) -> Iterator[tuple[str, Contestant]]:
    return ((name, each) for name in names for each in tuple(taking_part.get(name, ())))


def agree(contestants: Sequence[Contestant], stage: Stage) -> None:
    """See that all give the same fields, the same status and the same kinds of values. Raises Disagreement."""
    asked: dict[str, tuple[str, str | None]] = {
        "hit": (f"Bearer {stage.tokens()[0]}", None),
        "miss": (f"Bearer {stage.strangers()[0]}", None),
        "garbage": ("Bearer garbage", None),
    }
    first = None
    for n, each in enumerate(contestants):
        asked["login"] = ("", json.dumps({"code": f"{stage.openids()[n]}{secrets.token_hex(8)}"}))
        found = {name: _form_of(each.server.base, *question) for name, question in asked.items()}
        first = first or found
        if found != first:
            raise Disagreement(f"{each.name}: {found}\n{contestants[0].name}: {first}")


def _form_of(base: str, authorization: str, body: str | None) -> tuple[int, object]:
    sent = {"Content-Type": "application/json"} if body else {"Authorization": authorization}
    path = "/api/login" if body else "/api/verify"
    request = urllib.request.Request(base + path, body.encode() if body else None, sent)  # noqa: S310  # our own servers
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  # the same
            return answer.status, _shape(json.load(answer))
    except urllib.error.HTTPError as refused:
        return refused.code, _shape(json.load(refused))


def _shape(value: object) -> object:
    """The names of all fields; of a text or number no more than that it is there."""
    return {name: _shape(each) for name, each in sorted(value.items())} if isinstance(value, dict) else None


def main() -> int:
    """Run it; exit status 1 when this machine cannot."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=1, help="of each run")
    parser.add_argument("--peers", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--only", nargs="*", default=[], help="what is measured, as `verify`; all of it unless told")
    more = "numbers of sessions to try; without a number up to a million, which takes longer than all else"
    parser.add_argument("--growth", nargs="*", type=int, default=GROWTH[:2], help=more)
    parser.add_argument("--print-only", action="store_true", help="leave docs/performance.md as it is")
    options = parser.parse_args()
    if not wrk_is_here() or (os.cpu_count() or 1) < 2:
        print("the bench needs wrk, and two cores: one for the server and one for the load")
        return 1
    logging.getLogger("menshen").addHandler(logging.NullHandler())  # stores that are opened here tell no news
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="menshen-bench-") as name:
        stage = Stage(Path(name), SIZE)
        try:
            contestants = [*stage.ours(), *stage.peers(options.peers)]
            memory = growth.memory(contestants)
            results, halves = run_all(stage, contestants, options.rounds, options.seconds, options.only)
            grown = [growth.measured(stage, size) for size in options.growth or GROWTH]
        finally:
            stage.clear()
    told = page.tables(results, halves, memory, grown, time.monotonic() - began)
    print(told)
    if not options.print_only:
        page.write(told)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
