"""Who is put out is out at once and everywhere, and a server that ends lets everybody finish."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from nginx import Nginx
from operator_at import make_operator
from phone import Phone
from product import Product
from servers import program
from shell import settings_of

import actions
import process
from actions import Actor
from benchmarks.prove.ground import (
    NO_ANSWER,
    Ground,
    Line,
    Pulse,
    Result,
    arrivals,
    goal,
    median,
    part,
    port_of,
    until,
)
from benchmarks.seed import APPIDS, Size, fill, token_of
from stores.sessions import session_id


@goal(11, "revoked by an operator: the next verify on each of 2 processes is refused; 200,000 are out in 1 s")
async def revoked(ground: Ground, *, trials: int = 1_000, crowd: int = 200_000) -> Result:
    """Click on Revoke at one server; ask both as soon as it has answered."""
    first, second, _ = ground.pair()
    admin = await make_operator(first, ground.network)
    form = (await admin.get("/admin/me")).form_token
    owners = await ground.people(first, trials)
    lines = [Line(port_of(first)), Line(port_of(second))]
    clicks, gone, stale, refused, before = list[float](), list[float](), 0, 0, 0
    for token in owners:
        before += sum([(await line.verify(token))[0] == 200 for line in lines])
        started = time.perf_counter()
        public = (session_id(token) or b"").hex()
        answer = await admin.ask(
            "POST", f"/admin/sessions/{public}/revoke", {"sure": "yes", "reason": "test", "form": form}
        )
        clicked = time.perf_counter()
        statuses = [each[0] for each in await asyncio.gather(*(line.verify(token) for line in lines))]
        clicks.append((clicked - started) * 1000)
        gone.append((time.perf_counter() - clicked) * 1000)
        refused += answer.status != 303
        stale += statuses != [401, 401]
    for line in lines:
        line.hang_up()
    everybody, effective, calm, slow = await _everybody(ground, crowd)
    return Result(
        f"{stale} stale of {trials:,} on 2 processes, {refused} clicks refused; "
        f"the click p99 {part(clicks):.0f} ms, both verifies after it p99 {part(gone):.0f} ms; {everybody:,} put out "
        f"after {effective:.2f} s, verifies before p99 {calm:.0f} ms and meanwhile {slow:.0f} ms",
        stale == refused == 0
        and before == 2 * trials
        and part(clicks) <= 100
        and effective <= 1
        and slow < 50
        and everybody >= crowd,
    )


async def _everybody(ground: Ground, crowd: int) -> tuple[int, float, float, float]:
    """Put everybody out of a full Redis; return how many, after how long all were out, and the verifies before and
    meanwhile (p99, ms).
    """
    redis = ground.redis()
    app: dict[str, Any] = {"APPID": APPIDS[0], "SESSIONS": redis.url()}
    server = ground.server(start=False, **app)
    await asyncio.to_thread(fill, settings_of(server), Size(crowd // 2, crowd))
    server.start()
    tokens = [token_of(n) for n in range(0, crowd, max(1, crowd // 200))]
    line, held = Line(port_of(server)), list[str]()
    for token in tokens:
        if (await line.verify(token))[0] == 200:
            held.append(token)
    pulse = Pulse(server, held)
    await asyncio.sleep(1)
    _, calm = pulse.take()
    async with process.opened(settings_of(server)) as backend:
        started = time.monotonic()
        ended = await actions.revoke_everybody(backend, Actor("shell:prove"))
        statuses = {(await line.verify(token))[0] for token in held[-20:]}
        effective = time.monotonic() - started if statuses == {401} else float("inf")
    await asyncio.sleep(0.5)
    await pulse.stop()
    line.hang_up()
    return ended.sessions, effective, part(calm), part(pulse.took)


def balancer(servers: Sequence[Product]) -> str:
    """Return a site for nginx before several servers: a connection that one refuses goes to the next."""
    peers = "".join(f"server 127.0.0.1:{port_of(server)} max_fails=0;" for server in servers)
    return (
        f"upstream menshen {{ {peers} }} server {{ listen 80; location / {{ proxy_pass http://menshen;"
        " proxy_connect_timeout 1s; proxy_set_header Host $http_host; } }"
    )


@goal(13, "rolling restart of 2 processes behind nginx at 200 requests a second: nobody sees a 5xx or a refusal")
async def rolling_restart(ground: Ground, *, restarts: int = 5, rate: int = 200) -> Result:
    """Restart one server after the other while people log in and are verified."""
    if program("nginx") is None:
        return Result("not measured", None, "nginx is not installed")
    servers = list(ground.pair()[:2])
    door = Nginx(ground.place("nginx"), balancer(servers))
    ground.started(door)
    wechat = await ground.wechat()
    tokens = list(await ground.people(servers[0], 100))
    statuses: Counter[str] = Counter()
    stop, free = asyncio.Event(), [Line(door.port) for _ in range(64)]

    async def arrive(n: int) -> None:
        try:
            if n % 10 == 0:
                phone = Phone(door, wechat, ground.network)
                statuses[str((await phone.login()).status)] += 1
                return
            line = free.pop() if free else Line(door.port)
            try:
                statuses[str((await line.verify(tokens[n % len(tokens)]))[0])] += 1
            finally:
                free.append(line)
        except NO_ANSWER as error:
            statuses[type(error).__name__] += 1

    load = asyncio.ensure_future(arrivals(rate, stop, arrive))
    for _ in range(restarts):
        for server in servers:
            await asyncio.sleep(0.5)
            await asyncio.to_thread(server.restart)
    stop.set()
    asked = await load
    for line in free:
        line.hang_up()
    told = ", ".join(f"{number:,} x {status}" for status, number in statuses.most_common())
    return Result(f"{2 * restarts} restarts, {asked:,} asked: {told}", set(statuses) == {"200"} and asked > 100)


@goal(14, "SIGTERM: readiness turns within 100 ms, what is under way is answered, exit 0")
async def asked_to_stop(ground: Ground, *, times: int = 20) -> Result:
    """Ask a server to end while logins wait for a slow WeChat."""
    wechat = await ground.wechat()
    server = ground.server(start=False)
    exits, turned, unanswered, slowest = list[int](), list[float](), 0, 0.0
    for _ in range(times):
        await asyncio.to_thread(server.start)
        phones = await ground.phones(server, 5)
        codes = [await each.code() for each in phones]
        await wechat.fault("latency", n=5, seconds=1.0)
        logins = [asyncio.ensure_future(each.login(code=code)) for each, code in zip(phones, codes, strict=True)]
        await asyncio.sleep(0.3)
        started = time.monotonic()
        os.kill(server.pid, signal.SIGTERM)

        async def not_ready() -> bool:
            return (await ground.network.ask("GET", f"{server.base}/readyz")).status == 503

        turned.append(await until(not_ready, seconds=0.45))
        unanswered += sum(answer.status != 200 for answer in await asyncio.gather(*logins))
        exits.append(await asyncio.to_thread(server.stop))
        slowest = max(slowest, time.monotonic() - started)
        await wechat.tell("reset")
        await ground.wechat()
    return Result(
        f"{exits.count(0)} of {times} exited with 0, {unanswered} of {5 * times} open logins unanswered, readiness "
        f"turned after {median(turned) * 1000:.0f} ms, at most {max(turned) * 1000:.0f} ms, "
        f"gone after {slowest:.1f} s at most",
        exits.count(0) == times and unanswered == 0 and max(turned) <= 0.1 and slowest <= 11,
    )
