"""Peers that are broken, slow, guessing or ambiguous get nowhere, and everybody else is served meanwhile."""

import asyncio
import re
import time
from asyncio import Lock
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count, cycle, islice
from urllib.parse import urlencode

from hostile.mutations import good_requests, mutations, throw
from hostile.test_boundaries import AMBIGUOUS
from nginx import Nginx, shipped
from operator_at import PASSWORD, Operator, make_operator
from product import Product
from rawsocket import Raw
from servers import program
from shell import settings_of

import process
from actions import Actor
from actions.operators import add_operator
from benchmarks.prove.ground import (
    MIB,
    NO_ANSWER,
    Ground,
    InTurns,
    Line,
    Pulse,
    Result,
    goal,
    median,
    part,
    port_of,
    resident,
)
from stores.sessions import new_token

# More would be a test of load: beyond that the dashboard sheds some of its pages with an honest 503.
AT_ONCE = 16
_BEFORE_ALL_WAIT = 90  # of each kind: after 200 failures everybody has to wait a little
WRONG = "seven green lamps at dawn"
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3})")
_PATIENCE_SECONDS = 20


@goal(1, "24,000 malformed requests: no 5xx, no traceback, memory + 10 MiB at most, verify p99 below 50 ms")
async def malformed(ground: Ground, *, number: int = 24_000) -> Result:
    """Throw good requests that had an accident at the server, the same ones each time."""
    server = ground.server()
    tokens = list(await ground.people(server, 8))
    admin = await make_operator(server, ground.network)
    good = good_requests("127.0.0.1", tokens[0], admin.cookies)
    await throw(server, mutations(good, min(600, number), seed=1))  # what is loaded at first use is no growth
    before, started, log = resident(server.pid), time.monotonic(), server.log_size()
    pulse = Pulse(server, tokens[1:], per_second=50, lines=2)
    report = await throw(server, mutations(good, number), at_once=AT_ONCE)
    await pulse.stop()
    seconds, grown = time.monotonic() - started, resident(server.pid) - before
    failed = Counter(status for status in report.statuses.elements() if status >= 500)
    for request in report.failures[:3]:
        print(f"answered with a 5xx: {request[:300]!r}")
    tracebacks = server.log_after(log).count("Traceback")
    return Result(
        f"{number:,} in {seconds:.0f} s, {len(report.failures)} x 5xx{f' {dict(failed)}' if failed else ''}, "
        f"{tracebacks} tracebacks, memory {grown / MIB:+.1f} MiB, "
        f"verify p99 {part(pulse.took):.0f} ms, median {median(pulse.took):.1f} ms",
        not report.failures
        and tracebacks == 0
        and grown < 10 * MIB
        and set(pulse.statuses) == {200}
        and part(pulse.took) < 50
        and sum(report.statuses.values()) > number // 2,
        "the attacker shares the machine's two cores with the server",
    )


@goal(27, "100,000 hostile requests write less than 5 MiB of log")
async def log_volume(ground: Ground, *, number: int = 12_000) -> Result:
    """Throw some of them at a server with its usual level of log, and count bytes."""
    server = ground.server()
    tokens = list(await ground.people(server, 1))
    before = server.log_size()
    await throw(server, mutations(good_requests("127.0.0.1", tokens[0], {}), number, seed=2))
    written = server.log_size() - before
    of_all = written * 100_000 / number
    return Result(
        f"{written / MIB:.2f} MiB for {number:,}, which is {of_all / MIB:.2f} MiB for 100,000",
        of_all < 5 * MIB,
        "measured on a part, then multiplied",
    )


@goal(15, "1,000 connections that drip: each is cut within 15 s, verify p99 below 100 ms, memory + 64 MiB at most")
async def slow_peers(ground: Ground, *, peers: int = 1_000) -> Result:
    """Send the beginning of a request, then a byte each second."""
    server = ground.server()
    tokens = list(await ground.people(server, 8))
    before = resident(server.pid)
    pulse = Pulse(server, tokens, per_second=100)
    starts = (
        b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: a",
        b"POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{",
    )
    lasted = await asyncio.gather(*(_dripped(server, starts[n % 2]) for n in range(peers)))
    grown = resident(server.pid) - before
    await pulse.stop()
    return Result(
        f"{peers:,} cut after {min(lasted):.1f} to {max(lasted):.1f} s, verify p99 {part(pulse.took):.0f} ms, "
        f"memory {grown / MIB:+.0f} MiB",
        max(lasted) <= 15 and part(pulse.took) < 100 and set(pulse.statuses) == {200} and grown < 64 * MIB,
    )


async def _dripped(server: Product, start: bytes) -> float:
    """Return after how many seconds the server hung up; it is given half a minute."""
    raw = await Raw.to(server)
    began = time.monotonic()
    try:
        await raw.say(start)
        while time.monotonic() - began < 30:
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    while await raw.reader.read(1_000):
                        pass
                    break
            await raw.say(b"a")
    except ConnectionError:
        pass
    lasted = time.monotonic() - began
    await raw.close()
    return lasted


@goal(16, "100 guesses a second at one operator: at most 10 judged a minute, he himself gets in, verify p99 + 5 ms")
async def brute_force(ground: Ground, *, rounds: int = 5, seconds: int = 12, per_second: int = 100) -> Result:
    """Guess from many addresses; a guess that was judged is answered 403, the others 429.

    Calm and guessing take turns, so that both meet what else this machine does.
    """
    server = ground.server()
    mei = await make_operator(server, ground.network, name="mei")
    pulse = Pulse(server, list(await ground.people(server, 8)))
    guessers = [await _guesser(ground, server, f"127.0.7.{n + 1}") for n in range(100)]
    answers, verifies, numbers = Counter[int](), InTurns(), count()

    async def guess(n: int) -> None:
        answers[await guessers[n % 100](f"{WRONG} {n}")] += 1

    started = time.monotonic()
    for _ in range(rounds):
        pulse.take()
        await asyncio.sleep(seconds / 4)
        verifies.calm.append(pulse.take()[1])
        began, under_way = time.monotonic(), list[asyncio.Task[None]]()
        for n in range(seconds * per_second):
            await asyncio.sleep(max(0.0, n / per_second - (time.monotonic() - began)))
            under_way.append(asyncio.create_task(guess(next(numbers))))
        await asyncio.gather(*under_way)
        verifies.meanwhile.append(pulse.take()[1])
    took = time.monotonic() - started
    await pulse.stop()
    own = Operator(server, ground.network)
    own.cookies = {name: mei.cookies[name] for name in ("menshen-dev-browser", "menshen-dev-form")}
    inside = (await own.sign_in("mei", PASSWORD)).path == "/admin/"
    return Result(
        f"{sum(answers.values()):,} guesses in {took:.0f} s, {answers[403]} judged, "
        f"the right password from the known browser {'works' if inside else 'does not work'}; "
        f"{verifies.told()}",
        answers[403] <= 10 * max(1, took / 60) and inside and verifies.change() < 5 and set(answers) <= {403, 429},
        "" if rounds * seconds >= 60 else "a part of the goal's minute",
    )


async def _guesser(ground: Ground, server: Product, address: str) -> Callable[[str], Awaitable[int]]:
    """Return what sends a guess at mei's password from that address, on a connection of its own, and gives the status.

    It costs as little as it can: the attacker shares two cores with whoever is measured.
    """
    browser, line, free = Operator(server, ground.network, address=address), Line(port_of(server), address), Lock()
    form = (await browser.get("/admin/signin")).form_token
    head = (
        f"POST /admin/signin HTTP/1.1\r\nHost: 127.0.0.1:{port_of(server)}\r\nOrigin: {server.base}\r\n"
        f"Cookie: {'; '.join(f'{name}={value}' for name, value in browser.cookies.items())}\r\n"
        "Sec-Fetch-Site: same-origin\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    )

    async def guess(password: str) -> int:
        body = urlencode({"name": "mei", "password": password, "form": form})
        async with free:  # an answer belongs to the question before it
            status, _ = await line.ask(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        return status

    return guess


@goal(17, "an unknown operator's name, or wrong token, takes as long as a known: medians within 5 %, AUC 0.4 to 0.6")
async def enumeration(ground: Ground, *, samples: int = 200, verifies: int = 2_000) -> Result:
    """Time wrong passwords for names that exist or do not, and wrong tokens that begin like a right one or do not."""
    known, unknown = list[float](), list[float]()
    for start in range(0, samples, _BEFORE_ALL_WAIT):
        server = ground.server()
        number = min(_BEFORE_ALL_WAIT, samples - start)
        async with process.opened(settings_of(server)) as backend:
            for n in range(number):
                await add_operator(backend, Actor("shell:prove"), f"known{n}", "viewer", PASSWORD)
        for n in range(number):
            known.append(await _guessed(ground, server, f"known{n}", n))
            unknown.append(await _guessed(ground, server, f"nobody{n}", n))
        server.kill()
    apart = median(unknown) / median(known) - 1
    area = sum((a < b) + (a == b) / 2 for a in known for b in unknown) / len(known) / len(unknown)
    near, far = await _verified(ground, verifies)
    tokens_apart = median(near) / median(far) - 1
    return Result(
        f"{samples} + {samples}: medians {median(known):.1f} and {median(unknown):.1f} ms ({apart:+.1%}), "
        f"AUC {area:.2f}; {verifies:,} + {verifies:,} tokens that begin like a right one or do not: "
        f"{median(near):.2f} and {median(far):.2f} ms ({tokens_apart:+.1%})",
        abs(apart) <= 0.05 and 0.4 <= area <= 0.6 and abs(tokens_apart) < 0.05,
    )


async def _verified(ground: Ground, number: int) -> tuple[list[float], list[float]]:
    """Return the milliseconds of verifies of tokens that begin as one that holds, and of random ones, asked in turn."""
    server = ground.server()
    [right] = await ground.people(server, 1)
    line, took = Line(port_of(server)), (list[float](), list[float]())
    for n in range(2 * number):
        wrong = new_token()
        started = time.perf_counter()
        status, _ = await line.verify(wrong if n % 2 else right[:-6] + wrong[-6:])
        took[n % 2].append((time.perf_counter() - started) * 1000)
        if status != 401:
            raise RuntimeError(f"a wrong token was answered with {status}")
    line.hang_up()
    return took


async def _guessed(ground: Ground, server: Product, name: str, n: int) -> float:
    """Return the milliseconds of a wrong password, from an address that has not guessed much."""
    browser = Operator(server, ground.network, address=f"127.0.8.{n + 1}")
    fields = {"name": name, "password": WRONG, "form": (await browser.get("/admin/signin")).form_token}
    started = time.perf_counter()
    answer = await browser.ask("POST", "/admin/signin", fields)
    took = (time.perf_counter() - started) * 1000
    if answer.status != 403:
        raise RuntimeError(f"a guess was answered with {answer.status}")
    return took


@goal(24, "2,000 ambiguous requests, directly and through nginx: nobody ever gets another one's answer")
async def smuggling(ground: Ground, *, probes: int = 2_000) -> Result:
    """Send what could be read in two ways to both parsers, with a whole request behind it, while others ask too."""
    if program("nginx") is None:
        return Result("not measured", None, "nginx is not installed")
    misrouted, told = 0, list[str]()
    for parser in ("tornado", "llhttp"):
        server = ground.server(PARSER=parser)
        door = Nginx(ground.place("nginx"), shipped("menshen.conf", {"127.0.0.1:8000": port_of(server)}))
        ground.started(door)
        owners = list((await ground.people(server, 20)).items())
        for where, port in ((f"{parser} directly", port_of(server)), (f"{parser} through nginx", door.port)):
            seen = await smuggled(port, owners, AMBIGUOUS.values(), probes // 4)
            misrouted += seen.misrouted
            told.append(f"{where} {sum(seen.statuses.values()):,} answers, {seen.statuses[404]} to what was hidden")
    return Result(f"{probes:,} probes: {'; '.join(told)}; {misrouted} misrouted", misrouted == 0)


@dataclass
class Smuggled:
    """What came back: to the probes how often which status, and to the others how often not their own answer."""

    statuses: Counter[int] = field(default_factory=Counter)
    asked: int = 0
    misrouted: int = 0


async def smuggled(port: int, owners: Sequence[tuple[str, int]], requests: Iterable[bytes], probes: int) -> Smuggled:
    """Throw the requests at a door, so many in all, while the owners of some tokens ask there who they are."""
    hidden = b"GET /api/inner HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    sent = iter(list(islice(cycle(requests), probes)))
    seen, done = Smuggled(), asyncio.Event()

    async def probe() -> None:
        for request in sent:
            seen.statuses.update(await _answers(port, request + hidden))

    async def victim(n: int) -> None:
        line = Line(port)
        while not done.is_set():
            token, owner = owners[n % len(owners)]
            n += 1
            seen.asked += 1
            try:
                async with asyncio.timeout(_PATIENCE_SECONDS):  # whose answer went elsewhere waits for ever
                    status, body = await line.verify(token)
                seen.misrouted += status != 200 or body["user_id"] != owner
            except NO_ANSWER:
                seen.misrouted += 1
        line.hang_up()

    victims = [asyncio.create_task(victim(n)) for n in range(3)]
    await asyncio.gather(*(probe() for _ in range(24)))
    done.set()
    await asyncio.gather(*victims)
    return seen


async def _answers(port: int, sent: bytes) -> list[int]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    heard = b""
    with suppress(OSError, TimeoutError):
        writer.write(sent)
        async with asyncio.timeout(0.3):
            while piece := await reader.read(65_536):
                heard += piece
    writer.transport.abort()
    return [int(status) for status in _STATUS.findall(heard)]
