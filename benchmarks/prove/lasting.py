"""What only time and a look at the disk show: clocks that jump, a soak, the start, secrets, a browser."""

import asyncio
import re
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from faults.delaying import DelayingProxy
from operator_at import Operator
from phone import Phone
from product import ROOT, Product
from servers import RedisServer
from shell import menshen, settings_of

import process
from benchmarks.prove.ground import MIB, Ground, Pulse, Result, arrivals, goal, median, part, resident, until, verified
from stores.sessions import SessionGone, session_id

HOUR, DAY = 3_600, 86_400
IN_2038 = 2**31 + 5


def _on_both(redis: RedisServer) -> list[dict[str, Any]]:
    """Settings of a server with its sessions in SQLite, and of one with them in Redis."""
    return [{}, {"SESSIONS": redis.url()}]


@goal(18, "no code, token, AppSecret or session_key in anything that is written: files, Redis, the log")
async def canaries(ground: Ground, *, people: int = 200) -> Result:
    """Log people in and out on both stores at the level debug, then search every byte that was written."""
    redis = ground.redis()
    hits, searched, secrets = 0, 0, 0
    for stores in _on_both(redis):
        server = ground.server(LOG_LEVEL="debug", **stores)
        phones = await ground.phones(server, people)
        for n, phone in enumerate(phones):
            await phone.login()
            await phone.verify()
            if n % 3 == 0:
                await phone.logout()
        hidden = {each.encode() for each in server.never_logged} | await _session_keys(server, phones)
        server.kill()
        for path in [*server.folder.rglob("*"), *redis.folder.rglob("*")]:
            if path.is_file() and path.name not in {"redis.conf", "users.acl", "keys.json"}:
                content = path.read_bytes()
                searched += len(content)
                hits += sum(each in content for each in hidden)
        secrets += len(hidden)
    return Result(
        f"{hits} hits of {secrets:,} secrets in {searched / MIB:.1f} MiB of databases, Redis and logs",
        hits == 0 and secrets > 5 * people and searched > 0,
        "every test of the suite searches its servers' logs in the same way",
    )


async def _session_keys(server: Product, phones: list[Phone]) -> set[bytes]:
    """Return the session_keys that hold, opened with the server's own keys: proof that they are there."""
    found = set[bytes]()
    async with process.opened(settings_of(server)) as backend:
        for phone in phones:
            wanted = session_id(phone.token) or b""
            try:
                session = await backend.sessions.find(wanted, backend.now())
            except SessionGone:
                continue
            found.add(backend.seal.open(session.sealed_key, wanted))
    return found


@goal(21, "the clock is an hour or 8 days off, or in 2038: nobody who is out comes back, nothing is deleted in bulk")
async def clocks(ground: Ground, *, people: int = 40) -> Result:
    """Tell the stores and the upkeep another time than it is."""
    revived = lost = deleted = 0
    for stores in _on_both(ground.redis()):
        server = ground.server(**stores)
        tokens = list(await ground.people(server, people))
        async with process.opened(settings_of(server)) as backend:
            ids, now = [session_id(token) or b"" for token in tokens], backend.now()
            out, still_in = ids[::2], ids[1::2]
            await backend.sessions.end(out, "revoked", now)
            for moved in (-HOUR, HOUR, -8 * DAY, 8 * DAY, IN_2038 - now):
                held = await backend.sessions.holding(ids, now + moved)
                expired = moved >= 8 * DAY
                revived += sum(each in held for each in (ids if expired else out))
                lost += 0 if expired else sum(each not in held for each in still_in)
            before = _logins(server)
            for moved in (IN_2038, now, IN_2038):  # it starts wrong, is put right, goes wrong again
                await backend.retention.step(moved)
            deleted += before - _logins(server)
    return Result(
        f"{revived} revived, {lost} put out before their time, {deleted} rows deleted within the grace",
        revived == lost == deleted == 0,
        "shown at the stores and the upkeep, which are told the time; Redis itself follows the machine's clock",
    )


def _logins(server: Product) -> int:
    with closing(sqlite3.connect(server.data_dir / "menshen.db")) as database:
        [(number,)] = database.execute("SELECT COUNT(*) FROM login").fetchall()
    return int(number)


@goal(22, "a backup under 200 logins a second holds every login acknowledged before it; login p99 below twice")
async def backup(ground: Ground, *, rate: int = 200, seconds: float = 5) -> Result:
    """Copy the store beside the running server, put the copy elsewhere, and ask for every token there."""
    server, wechat = ground.server(), await ground.wechat()
    owners, took, stop = dict[str, int](), list[float](), asyncio.Event()

    async def log_in(n: int) -> None:
        phone = Phone(server, wechat, ground.network)
        phone.name = f"regular-{n % 100}" if n % 2 else phone.name
        code, started = await phone.code(), time.perf_counter()
        answer = await phone.login(code=code)
        took.append((time.perf_counter() - started) * 1000)
        if answer.status == 200:
            owners[phone.token] = answer.json["user"]["id"]

    load = asyncio.ensure_future(arrivals(rate, stop, log_in))
    await asyncio.sleep(seconds)
    before, calm = dict(owners), part(took)
    took.clear()
    file = ground.folder / "backup"
    made = await menshen(server, "backup", str(file), "--with-keys", niceness=10)  # as menshen-backup.service does
    during = part(took)
    stop.set()
    await load
    server.kill()
    restored = ground.server(start=False)
    put = await menshen(restored, "restore", str(file), "--yes", "--keep-sessions")
    if made.returncode or put.returncode:
        raise RuntimeError(f"backup or restore failed: {made.stderr} {put.stderr}")
    with closing(sqlite3.connect(restored.data_dir / "menshen.db")) as database:
        [(whole,)] = database.execute("PRAGMA integrity_check").fetchall()
    await asyncio.to_thread(restored.start)
    lost, wrong = await verified(restored, before)
    return Result(
        f"{lost} lost and {wrong} wrong of {len(before):,} logins, integrity {whole}; "
        f"login p99 {calm:.0f} ms, {during:.0f} ms meanwhile",
        lost == wrong == 0 and len(before) > 0 and whole == "ok" and during < 2 * calm,
        "the command runs at niceness 10, as the timer that we ship runs it",
    )


@goal(23, "a soak with a fault every 10 s: memory grows less than 1 MiB a minute, files stay, no unexpected status")
async def soak(ground: Ground, *, seconds: int = 300) -> Result:
    """Verify 300 times and log in 20 times a second while Redis is frozen, killed, slowed and cut in turn."""
    redis = ground.redis()
    proxy = ground.proxy(redis.port)
    server = ground.server(SESSIONS=redis.url().replace(f":{redis.port}/", f":{proxy.port}/"))
    wechat = await ground.wechat()
    tokens = list(await ground.people(server, 50))
    pulse, stop, logins = Pulse(server, tokens, per_second=300), asyncio.Event(), Counter[int]()

    async def log_in(n: int) -> None:
        phone = Phone(server, wechat, ground.network)
        phone.name = f"regular-{n % 200}"
        logins[(await phone.login()).status] += 1

    load = asyncio.ensure_future(arrivals(20, stop, log_in))
    memory, files, began, n = list[tuple[float, int]](), list[int](), time.monotonic(), 0
    while time.monotonic() - began < seconds:
        await asyncio.sleep(9)
        memory.append(((time.monotonic() - began) / 60, resident(server.pid)))
        files.append(_open_files(server))
        await _fault(n, redis, proxy)
        n += 1
    stop.set()
    await load
    await pulse.stop()
    settled = [(minute, held) for minute, held in memory if minute >= 1]
    slope = _slope(settled) / MIB
    verifies = Counter(pulse.statuses)
    return Result(
        f"{seconds} s with {n} faults: verifies {dict(verifies)}, logins {dict(logins)}, "
        f"{pulse.silent} without an answer, memory {slope:+.2f} MiB a minute, files {min(files)} to {max(files)}",
        len(settled) > 1
        and slope < 1
        and set(verifies) <= {200, 503}
        and set(logins) <= {200, 503}
        and pulse.silent == 0
        and max(files) < 200,
        "gentler than the goal's 500 verifies a second",
    )


def _slope(seen: list[tuple[float, int]]) -> float:
    """Return the median of the slopes between any two of them (Theil and Sen): one jump is no growth, a leak is."""
    return median(
        [(later[1] - each[1]) / (later[0] - each[0]) for n, each in enumerate(seen) for later in seen[n + 1 :]]
    )


def _open_files(server: Product) -> int:
    return len(list(Path(f"/proc/{server.pid}/fd").iterdir()))


async def _fault(n: int, redis: RedisServer, proxy: DelayingProxy) -> None:
    """Do one thing to Redis, and undo it a second later."""
    kind = n % 4
    if kind == 0:
        redis.freeze()
    elif kind == 1:
        await asyncio.to_thread(redis.kill)
    elif kind == 2:
        proxy.delay_seconds = 0.5
    else:
        proxy.cut()
    await asyncio.sleep(1)
    proxy.delay_seconds = 0
    if kind == 1:
        await asyncio.to_thread(redis.start)
    redis.thaw()


@goal(25, "30 payloads in every field on every page, in a browser: no dialog, no script, nothing loaded")
async def in_a_browser(_ground: Ground) -> Result:
    """Run the test that types them in and looks at the pages in Chromium."""
    return await _suite("tests/dashboard/test_hostile_text.py")


async def _suite(*words: str) -> Result:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
    done = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, capture_output=True, text=True, check=False)
    passed = re.search(r"(\d+) passed", done.stdout)
    last = (done.stdout.strip().splitlines() or ["nothing was said"])[-1]
    return Result(f"{words[0]}: {last}", done.returncode == 0 and passed is not None)


@goal(26, "from one command on a bare machine to the first 200 within 2 s, and no password that anybody knows")
async def first_start(ground: Ground, *, times: int = 5) -> Result:
    """Start with nothing but an empty folder, and ask."""
    took, doors = list[float](), 0
    for _ in range(times):
        server = ground.server(start=False)

        async def answers(server: Product = server) -> bool:
            return (await ground.network.ask("GET", f"{server.base}/readyz")).status == 200

        began = time.monotonic()
        await asyncio.to_thread(server.start)
        await until(answers, seconds=10)
        took.append(time.monotonic() - began)
        for name in ("admin", "root", "menshen"):
            doors += (await Operator(server, ground.network).sign_in(name, name)).path == "/admin/"
        server.kill()
    return Result(
        f"{median(took):.2f} s, at most {max(took):.2f} s, keys and tables made; {doors} usual passwords let in",
        max(took) <= 2 and doors == 0,
    )
