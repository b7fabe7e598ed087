"""A store or WeChat that is frozen, killed or full costs what it must, and nobody is put out for it."""

import asyncio
import os
import re
import resource
import secrets
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Sequence
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path
from typing import Any

from phone import Answer, Phone
from product import Product
from redis import Redis
from servers import RedisServer, program
from shell import settings_of

import process
from actions import Backend
from benchmarks.prove.ground import (
    MIB,
    Ground,
    InTurns,
    Line,
    Pulse,
    Result,
    goal,
    median,
    ok,
    part,
    port_of,
    resident,
    timed,
    until,
)
from benchmarks.seed import APPIDS, Size, fill, token_of
from settings import Settings
from stores.errors import StoreTrouble
from stores.sessions import Opening
from stores.sessions.packed import HANDLE_BYTES
from stores.sessions.redis_keys import Keys


class TracedRedis(RedisServer):
    """A Redis whose writes and syncs are written down in order."""

    def command(self) -> Sequence[str]:
        """Return the command line."""
        options = ["-f", "-y", "-s", "16", "-e", "trace=write,writev,fdatasync,fsync", "-o", str(self.folder / "trace")]
        return [program("strace") or "strace", *options, *super().command()]


def answered_unsynced(trace: Path) -> tuple[int, int]:
    """Return how many answers left while a write of the log was not synced, and how many syncs there were."""
    dirty, early, syncs = False, 0, 0
    for line in trace.read_text("utf-8", "replace").splitlines():
        if "unfinished" in line and "sync" in line:
            continue
        if re.search(r"write\(\d+<[^>]*\.aof>", line):
            dirty = True
        elif "fdatasync" in line or "fsync" in line:
            dirty, syncs = False, syncs + 1
        elif re.search(r"writev?\(\d+<(TCP|socket):", line):
            early += dirty
    return early, syncs


def opening(now: int) -> Opening:
    """A session like any other."""
    return Opening(secrets.token_bytes(32), 1, APPIDS[0], now, now + 3600, now + 3600, bytes(44), 0, 0, "oldest")


@goal(4, "Redis with appendfsync always: the disk first, then the answer; 20 x kill -9 lose none of 100,000 logins")
async def redis_killed(ground: Ground, *, kills: int = 20, each: int = 5_000) -> Result:
    """Open sessions through the product's own store while Redis is killed again and again."""
    traced = await _traced(ground)
    redis = ground.redis()
    server = ground.server(SESSIONS=redis.url())
    settings = settings_of(server)
    opened = list[bytes]()
    for _ in range(kills):
        await _open_until_killed(settings, redis, opened, each)
        await asyncio.to_thread(redis.start)
    names = Keys(settings.key_prefix)
    database = int(server.settings["SESSIONS"].rpartition("/")[2])
    with redis.client(database, timeout=30) as client:
        held = 0
        for start in range(0, len(opened), 10_000):
            held += _exist(client, [names.session(each[:HANDLE_BYTES]) for each in opened[start : start + 10_000]])
    lost = len(opened) - held
    return Result(
        f"{kills} kills, {lost} lost of {len(opened):,} acknowledged; "
        f"{traced[0]} answers before their sync, {traced[1]} syncs seen",
        lost == 0 and traced[0] == 0 and traced[1] > 0 and len(opened) >= kills * each,
        "sessions are opened through the store itself, below HTTP; with everysec up to a second of logins may go",
    )


def _exist(client: Redis, keys: Sequence[bytes]) -> int:
    number: Any = client.exists(*keys)
    return int(number)


async def _traced(ground: Ground) -> tuple[int, int]:
    if program("strace") is None:
        return 0, 0
    redis = TracedRedis(ground.place("traced"))
    ground.started(redis)
    server = ground.server(SESSIONS=redis.url())
    async with process.opened(settings_of(server)) as backend:
        for _ in range(200):
            now = backend.now()
            await asyncio.gather(*(backend.sessions.open(opening(now), now) for _ in range(4)))
    server.kill()
    redis.kill()
    return answered_unsynced(redis.folder / "trace")


async def _open_until_killed(settings: Settings, redis: RedisServer, opened: list[bytes], number: int) -> None:
    done = asyncio.Event()
    before = len(opened)

    async def keep_opening() -> None:
        while not done.is_set():
            now = backend.now()
            new = opening(now)
            try:
                await backend.sessions.open(new, now)
            except StoreTrouble:
                return
            opened.append(new.id)
            if len(opened) - before >= number:
                done.set()

    async def kill() -> None:
        await done.wait()
        await asyncio.to_thread(os.killpg, redis.pid, 9)

    async with process.opened(settings) as backend:
        killing = asyncio.ensure_future(kill())
        done_later = [keep_opening() for _ in range(48)]
        # The last ones go on while the kill is on its way: what they are told must hold as well.
        await asyncio.gather(*done_later, _a_little_longer(done, backend, opened))
        await killing
    redis.kill()


async def _a_little_longer(done: asyncio.Event, backend: Backend, opened: list[bytes]) -> None:
    await done.wait()
    with suppress(StoreTrouble):
        for _ in range(2_000):
            now = backend.now()
            new = opening(now)
            await backend.sessions.open(new, now)
            opened.append(new.id)


@goal(5, "Redis restarts with 200,000 sessions under 300 verifies a second: never a 401, good within 1 s")
async def redis_restarts(ground: Ground, *, times: int = 10, crowd: int = 200_000) -> Result:
    """Kill a full Redis and start it again, again and again."""
    redis = ground.redis()
    server = ground.server(start=False, APPID=APPIDS[0], SESSIONS=redis.url())
    await asyncio.to_thread(fill, settings_of(server), Size(crowd // 2, crowd))
    server.start()
    line, held = Line(port_of(server)), list[str]()
    for n in range(0, crowd, max(1, crowd // 300)):
        if (await line.verify(token_of(n)))[0] == 200:
            held.append(token_of(n))

    async def good() -> bool:
        return (await line.verify(held[0]))[0] == 200

    await _compact(redis)
    pulse, again = Pulse(server, held, per_second=300), list[float]()
    for _ in range(times):
        await asyncio.to_thread(redis.kill)
        await asyncio.sleep(0.2)
        await asyncio.to_thread(redis.start)
        again.append(await until(good, seconds=20))
        await asyncio.sleep(0.5)
    await pulse.stop()
    statuses = Counter(pulse.statuses)
    return Result(
        f"{times} restarts, {statuses[200]:,} x 200, {statuses[503]:,} x 503, {statuses[401]} x 401, "
        f"{pulse.silent} without an answer; good again {median(again):.2f} s, at most {max(again):.2f} s",
        set(statuses) == {200, 503} and pulse.silent == 0 and max(again) <= 1.0,
    )


async def _compact(redis: RedisServer) -> None:
    """Let Redis write its log anew, as it does by itself in a longer life."""
    with redis.client(timeout=30) as client:
        client.bgrewriteaof()
        for _ in range(300):
            await asyncio.sleep(0.1)
            persistence: Any = client.info("persistence")
            if not persistence["aof_rewrite_in_progress"]:
                return
    raise RuntimeError("Redis does not finish to write its log anew")


@goal(6, "Redis frozen: verify is a 503 within 600 ms, and good within 1 s when it goes on")
async def redis_frozen(ground: Ground, *, asked: int = 60) -> Result:
    """Stop Redis in its tracks and ask."""
    redis = ground.redis()
    server = ground.server(SESSIONS=redis.url())
    tokens = list(await ground.people(server, 8))
    redis.freeze()
    lines = [Line(port_of(server)) for _ in range(4)]
    statuses, took = Counter[int](), list[float]()
    for _ in range(asked // len(lines)):
        for (status, _), seconds in await asyncio.gather(*(timed(line.verify(tokens[0])) for line in lines)):
            statuses[status] += 1
            took.append(seconds)
    redis.thaw()

    async def good() -> bool:
        return (await lines[0].verify(tokens[0]))[0] == 200

    again = await until(good, seconds=10)
    told = ", ".join(f"{number} x {status}" for status, number in statuses.items())
    return Result(
        f"{told}, p99 {part(took) * 1000:.0f} ms; good again after {again:.2f} s",
        set(statuses) == {503} and part(took) <= 0.6 and again <= 1.0,
    )


@goal(7, "MariaDB frozen: login is a 503 within 2 s, verify does not notice, login is good 1 s after it goes on")
async def mysql_frozen(ground: Ground, *, rounds: int = 5, logins: int = 10, seconds: float = 2.5) -> Result:
    """Stop MariaDB in its tracks, and ask for logins and verifies; calm and frozen take turns, with as many logins, so
    that both meet what else this machine does.
    """
    server = ground.pair()[0]
    pulse = Pulse(server, list(await ground.people(server, 20)))
    people = await ground.phones(server, 2 * rounds * logins)
    phones, wechat = iter(people), people[0].wechat
    verifies, told = InTurns(), set[int]()
    took, statuses, again = list[float](), Counter[int](), list[float]()

    async def good() -> bool:
        return await ok(Phone(server, wechat, ground.network).login())

    async def a_while() -> list[tuple[Answer, float]]:
        some = [(each, await each.code()) for each in islice(phones, logins)]
        pulse.take()
        pause = asyncio.ensure_future(asyncio.sleep(seconds))
        answers = await asyncio.gather(*(timed(each.login(code=code)) for each, code in some))
        await pause
        return answers

    for _ in range(rounds):
        await a_while()
        verifies.calm.append(pulse.take()[1])
        ground.mariadb.freeze()
        for answer, waited in await a_while():
            took.append(waited)
            statuses[answer.status] += 1
        seen, during = pulse.take()
        told.update(seen)
        verifies.meanwhile.append(during)
        ground.mariadb.thaw()
        again.append(await until(good, seconds=20))
    await pulse.stop()
    return Result(
        f"frozen {rounds} times: logins {dict(statuses)}, the slowest {max(took):.2f} s; "
        f"{verifies.told()}; login good after {max(again):.2f} s",
        set(statuses) == {503} and max(took) <= 2 and max(again) <= 1 and told == {200} and verifies.unnoticed(),
    )


@goal(8, "WeChat hangs with 500 logins open: each ends within 4 s, verify does not notice, all is good 1 s later")
async def wechat_hangs(ground: Ground, *, rounds: int = 5, logins: int = 500) -> Result:
    """Let WeChat accept and say nothing; calm and hanging take turns, so that both meet what else this machine does."""
    server = ground.server(OPEN_LOGINS=500)
    pulse = Pulse(server, list(await ground.people(server, 20)))
    people = await ground.phones(server, rounds * logins)
    phones, wechat = iter(people), people[0].wechat
    verifies, told = InTurns(), set[int]()
    answers, asked, grown, again = list[tuple[Answer, float]](), 0, list[int](), list[float]()

    async def good() -> bool:
        return await ok(Phone(server, wechat, ground.network).login())

    for _ in range(rounds):
        some = list(islice(phones, logins))
        codes = list(await asyncio.gather(*(each.code() for each in some)))
        pulse.take()
        await asyncio.sleep(3)
        verifies.calm.append(pulse.take()[1])
        before, asked_before = resident(server.pid), await wechat.asked()
        await wechat.fault("stall_headers", n=logins)
        asking = []
        for each, code in zip(some, codes, strict=True):  # all are open at the same time before the first one ends
            asking.append(asyncio.ensure_future(timed(each.login(code=code))))
            await asyncio.sleep(0.002)
        pulse.take()
        await asyncio.sleep(0.8)
        seen, during = pulse.take()
        told.update(seen)
        verifies.meanwhile.append(during)
        grown.append(resident(server.pid) - before)
        answers += await asyncio.gather(*asking)
        asked += await wechat.asked() - asked_before
        await wechat.reset()
        await ground.wechat()
        again.append(await until(good, seconds=20))
    await pulse.stop()
    statuses, slowest = Counter(answer.status for answer, _ in answers), max(seconds for _, seconds in answers)
    return Result(
        f"{rounds} times: {dict(statuses)}, the slowest {slowest:.2f} s, WeChat was asked {asked:,} times; "
        f"{verifies.told()}; memory {max(grown) / MIB:+.0f} MiB; login good after {max(again):.2f} s",
        set(statuses) <= {503, 504}
        and slowest <= 4
        and max(again) <= 1
        and told == {200}
        and verifies.unnoticed()
        and max(grown) < 50 * MIB,
    )


@goal(20, "the disk is full: who is in stays in, 20 of 20 can be put out, login is a 503, the file is whole after")
async def disk_full(ground: Ground, *, people: int = 20) -> Result:
    """Fill a small disk under the server (as root), or forbid its files to grow."""
    home = ground.folder / "small-disk"
    home.mkdir()
    mounted = os.geteuid() == 0 and _mount(home)
    try:
        server = ground.server(DATA_DIR=home / "data")
        return await _on_a_full_disk(ground, server, home if mounted else None, people)
    finally:
        server.kill()
        if mounted:
            _unmount(home)


def _mount(home: Path) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "tmpfs", str(home)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603  # our own folder


def _unmount(home: Path) -> None:
    subprocess.run(["umount", "-l", str(home)], check=False)  # noqa: S603, S607  # our own mount


async def _on_a_full_disk(ground: Ground, server: Product, disk: Path | None, people: int) -> Result:
    tokens = list(await ground.people(server, 2 * people))
    reserve = server.data_dir / "menshen.db.reserve"

    async def taken() -> bool:
        return reserve.exists()

    await until(taken, seconds=10)
    if disk is not None:
        _fill_up(disk / "filling")
    else:
        most = max(each.stat().st_size for each in server.data_dir.iterdir() if ".reserve" not in each.name)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
    wechat = await ground.wechat()
    logins = Counter[int]()
    for _ in range(people):
        logins[(await Phone(server, wechat, ground.network).login()).status] += 1
    line = Line(port_of(server))
    staying = Counter([(await line.verify(token))[0] for token in tokens[people:]])
    outs = [await _log_out(ground, server, token) for token in tokens[:people]]
    gone = Counter([(await line.verify(token))[0] for token in tokens[:people]])
    if disk is not None:
        (disk / "filling").unlink()
    else:
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    async def good() -> bool:
        return await ok(Phone(server, wechat, ground.network).login())

    again = await until(good, seconds=20)
    server.kill()
    with closing(sqlite3.connect(server.data_dir / "menshen.db")) as database:
        [(whole,)] = database.execute("PRAGMA integrity_check").fetchall()
    await asyncio.to_thread(server.start)
    after = (await Phone(server, wechat, ground.network).login()).status
    ended = sum(answer.status == 200 for answer in outs)
    return Result(
        f"{'a full tmpfs' if disk else 'files that may not grow'}: logins {dict(logins)}, verifies {dict(staying)}, "
        f"logouts {dict(Counter(answer.status for answer in outs))}, "
        f"{gone[401]} refused after; with room again login is good after {again:.1f} s; integrity {whole}, "
        f"login after a restart {after}",
        logins.keys() == {503}
        and staying.keys() == {200}
        and ended == gone[401] == people
        and again <= 5
        and whole == "ok"
        and after == 200,
    )


async def _log_out(ground: Ground, server: Product, token: str) -> Answer:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    return await ground.network.ask("POST", f"{server.base}/api/logout", headers=headers)


def _fill_up(path: Path) -> None:
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
