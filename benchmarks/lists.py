"""Measures the lists of the dashboard on stores that benchmarks/seed.py filled, and a verify beside them.

Every kind of list is asked again and again, each time with other values, its first page and some that follow. Verifies
are measured alone, while somebody opens a page every half second, and while lists are asked without a pause, which
takes all of the processor that one process can have. Prints the milliseconds of the median, of the 95th and of the 99th
in a hundred.
"""

import argparse
import asyncio
import gc
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import nullcontext

import actions
import process
from actions.backend import Backend
from actions.lists import audit_page, logins_page, session_detail, sessions_page, user_detail, users_page
from actions.matching import preview
from actions.questions import AuditQuestion, LoginsQuestion, Question, UsersQuestion
from benchmarks.own import own_stores
from benchmarks.seed import APPIDS, Size, fill, id_of, token_of
from settings import Settings, load

Ask = Callable[[str | None], Awaitable[str | None]]
_PAGES = 4  # of each question
_PAUSE_SECONDS = 0.5  # of somebody who looks at one page after the other
_ALONE_SECONDS, _LOOKING_SECONDS = 10.0, 30.0
_DICE = random.Random(4)


def _address() -> str:
    first = _DICE.choice((36, 111, 117, 183, 223))
    return f"{first}.{_DICE.randrange(20)}.{_DICE.randrange(250)}.{_DICE.randrange(1, 250)}"


def questions(people: int) -> dict[str, Callable[[], dict[str, str]]]:
    """The kinds of questions about sessions."""
    return {
        "all": dict,
        "the oldest first": lambda: {"order": "created_up"},
        "by last use": lambda: {"order": "seen"},
        "unused the longest": lambda: {"order": "seen_up"},
        "ended ones": lambda: {"state": "ended"},
        "revoked ones": lambda: {"state": "revoked"},
        "a platform": lambda: {"platform": _DICE.choice(("android", "ios", "devtools"))},
        "a version": lambda: {"version": _DICE.choice(("127", "98", "120"))},
        "a version that is not there": lambda: {"version": "999"},
        "an environment": lambda: {"environment": _DICE.choice(("release", "develop"))},
        "a rare mini program": lambda: {"app": APPIDS[2]},
        "rare together": lambda: {"app": APPIDS[2], "platform": "harmony", "version": "98"},
        "seen within an hour": lambda: {"seen": "1h"},
        "an address": lambda: {"q": _address()},
        "a /24": lambda: {"q": f"{_address().rpartition('.')[0]}.0/24"},
        "a /8": lambda: {"q": "36.0.0.0/8"},
        "a person": lambda: {"q": str(_DICE.randrange(1, people))},
        "four digits": lambda: {"q": f"{_DICE.randrange(10_000):04d}"},
        "a nickname": lambda: {"q": f"Mei{_DICE.randrange(100)}"},
        "many a nickname": lambda: {"q": "小"},
        "a public id": lambda: {"q": id_of(_DICE.randrange(1_000)).hex()[:12] + "a"},
    }


def asked(backend: Backend, people: int, sessions: int) -> AsyncIterator[tuple[str, Ask]]:
    """Every kind of list with a function that gives a page of it and the place of the next."""

    async def generate() -> AsyncIterator[tuple[str, Ask]]:
        for name, given in questions(people).items():
            yield f"sessions: {name}", _sessions(backend, given)
        for state in ("any", "blocked", "active"):
            yield f"users: {state}", _users(backend, state)
        for result in ({}, {"result": "refused"}, {"errcode": "40226"}, {"app": APPIDS[2]}):
            yield f"logins: {result or 'all'}", _logins(backend, result)
        yield "audit: all", _audit(backend)
        yield "one session", _one_session(backend, sessions)
        yield "one person", _one_person(backend, people)

    return generate()


def _sessions(backend: Backend, given: Callable[[], dict[str, str]]) -> Ask:
    question = Question()

    async def ask(place: str | None) -> str | None:
        nonlocal question
        if place is None:
            question = Question.of(given())
        return (await sessions_page(backend, None, question, place)).more

    return ask


def _users(backend: Backend, state: str) -> Ask:
    async def ask(place: str | None) -> str | None:
        return (await users_page(backend, None, UsersQuestion.of({"state": state}), place)).more

    return ask


def _logins(backend: Backend, given: dict[str, str]) -> Ask:
    async def ask(place: str | None) -> str | None:
        return (await logins_page(backend, None, LoginsQuestion.of(given), place)).more

    return ask


def _audit(backend: Backend) -> Ask:
    async def ask(place: str | None) -> str | None:
        return (await audit_page(backend, None, AuditQuestion(), place)).more

    return ask


def _one_session(backend: Backend, sessions: int) -> Ask:
    async def ask(_: str | None) -> str | None:
        await session_detail(backend, None, id_of(_DICE.randrange(sessions)).hex())
        return None

    return ask


def _one_person(backend: Backend, people: int) -> Ask:
    async def ask(_: str | None) -> str | None:
        await user_detail(backend, None, _DICE.randrange(1, people))
        return None

    return ask


async def measure(ask: Ask, times: int) -> list[float]:
    """How long pages take, in milliseconds."""
    took, place = list[float](), None
    for n in range(times):
        if n % _PAGES == 0:
            place = None
        started = time.perf_counter()
        place = await ask(place)
        took.append((time.perf_counter() - started) * 1000)
    return took


async def look_around(backend: Backend, options: argparse.Namespace, stop: asyncio.Event) -> None:
    """Opens the lists as a person does, in no order."""
    asks = [ask async for _, ask in asked(backend, options.users, options.sessions)]
    while not stop.is_set():
        await _DICE.choice(asks)(None)
        await asyncio.sleep(_PAUSE_SECONDS)


def _in_seconds(seconds: float) -> asyncio.Event:
    over = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, over.set)
    return over


async def verifies(backend: Backend, sessions: int, stop: asyncio.Event) -> list[float]:
    """How long verifies take meanwhile, one every few milliseconds."""
    took = list[float]()
    while not stop.is_set():
        token = token_of(_DICE.randrange(sessions))
        started = time.perf_counter()
        await actions.verify(backend, token, "192.0.2.1")
        took.append((time.perf_counter() - started) * 1000)
        await asyncio.sleep(0.002)
    return took


def told(name: str, took: Sequence[float]) -> None:
    """Prints one line."""
    ordered = sorted(took)
    parts = [ordered[min(int(len(ordered) * part), len(ordered) - 1)] for part in (0.5, 0.95, 0.99)]
    print(f"{name:<44} {parts[0]:8.1f} {parts[1]:8.1f} {parts[2]:8.1f}   {len(ordered)}", flush=True)


async def run(options: argparse.Namespace, settings: Settings) -> None:
    """Measures everything."""
    async with process.opened(settings) as backend:
        print(f"{'milliseconds':<44} {'p50':>8} {'p95':>8} {'p99':>8}")
        told("verify, alone", await verifies(backend, options.sessions, _in_seconds(_ALONE_SECONDS)))
        looked = _in_seconds(_LOOKING_SECONDS)
        looking = asyncio.ensure_future(look_around(backend, options, looked))
        told("verify, beside a page every half second", await verifies(backend, options.sessions, looked))
        await looking
        stop = asyncio.Event()
        beside = asyncio.ensure_future(verifies(backend, options.sessions, stop))
        async for name, ask in asked(backend, options.users, options.sessions):
            if options.only in name:
                told(name, await measure(ask, options.times))
        stop.set()
        told("verify, beside lists without a pause", await beside)
        started = time.perf_counter()
        found = await preview(backend, None, Question.of({"version": "98"}))
        took = time.perf_counter() - started
        print(f"preview of {found.sessions} sessions, {'all' if found.whole else 'cut short'}: {took:.2f} s")


def main() -> None:
    """Reads the settings from the environment, as the seed does, or makes and fills stores of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=400_000)
    parser.add_argument("--times", type=int, default=80)
    parser.add_argument("--only", default="", help="kinds with this in their name")
    parser.add_argument(
        "--own", metavar="WHAT", help="'sqlite', or the size of MariaDB's buffer pool beside a Redis: 1G"
    )
    options = parser.parse_args()
    with own_stores(options.own) if options.own else nullcontext(os.environ) as environment:
        settings = load({}, environment).settings
        if options.own:
            fill(settings, Size(options.users, options.sessions))
        gc.collect()
        gc.freeze()  # as the server does when it is ready
        asyncio.run(run(options, settings))


if __name__ == "__main__":
    main()
