"""What was acknowledged survives: kill -9, a power cut, a Redis that is killed again and again."""

import asyncio
import random
import re
import shutil
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from phone import Phone
from product import Product
from servers import program
from shell import settings_of

import actions
import process
from benchmarks.prove.ground import NO_ANSWER, Ground, Result, arrivals, goal, median, timed, verified
from stores.sessions import SessionGone


@goal(2, "kill -9 under 200 logins a second: no acknowledged token is lost, nobody is there twice, ready in 1 s")
async def killed_under_logins(ground: Ground, *, kills: int = 50, rate: int = 200) -> Result:
    """Kill the embedded server at random moments; afterwards ask for every token that a phone was given."""
    server, wechat = ground.server(), await ground.wechat()
    owners: dict[str, int] = {}
    ids: dict[str, set[int]] = defaultdict(set)

    async def log_in(n: int) -> None:
        phone = Phone(server, wechat, ground.network)
        if n % 2:
            phone.name = f"regular-{n % 50}"
        with suppress(*NO_ANSWER):
            answer = await phone.login()
            if answer.status == 200:
                owners[phone.token] = answer.json["user"]["id"]
                ids[phone.name].add(answer.json["user"]["id"])

    ready, arrived = [], 0
    for _ in range(kills):
        stop = asyncio.Event()
        load = asyncio.ensure_future(arrivals(rate, stop, log_in))
        await asyncio.sleep(ground.dice.uniform(0.2, 0.9))
        await asyncio.to_thread(server.kill)
        stop.set()
        arrived += await load
        ready.append((await timed(asyncio.to_thread(server.start)))[1])
    lost, wrong = await verified(server, owners)
    with closing(sqlite3.connect(server.data_dir / "menshen.db")) as database:
        [(rows, people)] = database.execute("SELECT COUNT(*), COUNT(DISTINCT openid) FROM user").fetchall()
    twice = rows - people + sum(len(each) > 1 for each in ids.values())
    slowest = max(ready)
    return Result(
        f"{kills} kills, {lost} lost and {wrong} wrong of {len(owners):,} acknowledged ({arrived:,} asked), "
        f"{twice} people twice; ready again {median(ready):.2f} s, at most {slowest:.2f} s",
        lost == wrong == twice == 0 and len(owners) > 0 and slowest <= 1.0,
    )


_SENDING = ("sendto", "write", "writev")  # asyncio's loop, and uvloop
_TRACED = ",".join(("openat", "pwrite64", "ftruncate", "fdatasync", "fsync", "unlink", *_SENDING))
_CALL = re.compile(r"^(\d+) +(\w+)\((.*)\) += (-?\d+)")
_BEGUN = re.compile(r"^(\d+) +(\w+\(.*) <unfinished \.\.\.>$")
_RESUMED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>(.*)$")
_HEX = re.compile(r"\\x([0-9a-f]{2})")
_FILE = re.compile(r"<([^>]*)>")
_TEXT = re.compile(r'"([^"]*)"')
_OURS = ("menshen.db", "menshen.db-wal", "menshen.db-journal")


class Traced(Product):
    """A server every write, sync and answer of which is written down in order."""

    def command(self) -> Sequence[str]:
        """Return the command line."""
        options = ["-f", "--seccomp-bpf", "-y", "-xx", "-s", "1000000", "-e", f"trace={_TRACED}"]
        return [program("strace") or "strace", *options, "-o", str(self.folder / "trace"), *super().command()]


@dataclass
class Disk:
    """Files as the disk holds them: what was synced for certain, and what was written since and may be lost."""

    synced: dict[str, bytearray] = field(default_factory=dict)
    waiting: dict[str, list[tuple[int, bytes | None]]] = field(default_factory=lambda: defaultdict(list))
    syncing: dict[tuple[str, str], int] = field(default_factory=dict)  # by thread and file: how much waited then

    def write(self, name: str, at: int, data: bytes | None) -> None:
        """Remember a write, or with None that the file was cut at a length."""
        self.synced.setdefault(name, bytearray())
        self.waiting[name].append((at, data))

    def sync(self, name: str, number: int) -> None:
        """Make the first so many waiting writes certain."""
        for at, data in self.waiting[name][:number]:
            _apply(self.synced[name], at, data)
        del self.waiting[name][:number]
        for key in [key for key in self.syncing if key[1] == name]:
            self.syncing[key] = max(0, self.syncing[key] - number)

    def remove(self, name: str) -> None:
        """Forget a file; the removal itself is taken as certain, which a file system's journal orders."""
        self.synced.pop(name, None)
        self.waiting.pop(name, None)

    def after_a_cut(self, luck: float, dice: random.Random) -> dict[str, bytes]:
        """The files after the power went: what was certain, and of the rest each sector with so much luck."""
        files = {}
        for name, synced in self.synced.items():
            file = bytearray(synced)
            for at, data in self.waiting[name]:
                if data is None:
                    if dice.random() < luck:
                        _apply(file, at, None)
                    continue
                for start in range(0, len(data), 512):
                    if dice.random() < luck:
                        _apply(file, at + start, data[start : start + 512])
            files[name] = bytes(file)
        return files


def _apply(file: bytearray, at: int, data: bytes | None) -> None:
    if data is None:
        del file[at:]
        file.extend(bytes(at - len(file)))
        return
    if len(file) < at:
        file.extend(bytes(at - len(file)))
    file[at : at + len(data)] = data


@dataclass(frozen=True)
class Call:
    """One system call: whole, or its beginning (`result` None), or what began earlier and ended now."""

    thread: str
    name: str
    arguments: str
    result: int | None
    moment: str  # "whole", "begun", "ended"


def calls(trace: Path) -> Iterator[Call]:
    """Read a trace."""
    begun: dict[str, str] = {}
    with trace.open(encoding="ascii", errors="replace") as lines:
        for line in lines:
            text = line.rstrip("\n")
            if found := _BEGUN.match(text):
                begun[found[1]] = found[2]
                name, _, arguments = found[2].partition("(")
                yield Call(found[1], name, arguments, None, "begun")
            elif found := _RESUMED.match(text):
                whole = _CALL.match(f"{found[1]} {begun.pop(found[1], '')}{found[3]}")
                if whole:
                    yield Call(whole[1], whole[2], whole[3], int(whole[4]), "ended")
            elif found := _CALL.match(text):
                yield Call(found[1], found[2], found[3], int(found[4]), "whole")


def _plain(text: str) -> bytes:
    return bytes.fromhex("".join(_HEX.findall(text)))


def _file(arguments: str) -> str:
    found = _FILE.search(arguments)
    if not found:
        return ""
    path = _plain(found[1]).decode() if "\\x" in found[1] else found[1]
    return path.rsplit("/", 1)[-1]


def replay(disk: Disk, call: Call) -> None:
    """Do to the files what one call did."""
    if call.name == "unlink":
        if call.moment != "begun":
            disk.remove(_plain(call.arguments).decode().rsplit("/", 1)[-1])
        return
    name = _file(call.arguments)
    if name not in _OURS:
        return
    if call.name in {"fdatasync", "fsync"}:
        _sync(disk, call, name)
    elif call.name == "pwrite64" and call.moment != "ended":  # it may have reached the file as soon as it began
        text = _TEXT.search(call.arguments)
        if text is None:
            raise RuntimeError(f"a write without its bytes: {call.arguments[:200]}")
        disk.write(name, int(call.arguments.rsplit(",", 1)[1]), _plain(text[1]))
    elif call.name == "ftruncate" and call.moment != "ended":
        disk.write(name, int(call.arguments.rsplit(",", 1)[1]), None)


def _sync(disk: Disk, call: Call, name: str) -> None:
    key = (call.thread, name)
    if call.moment == "begun":
        disk.syncing[key] = len(disk.waiting[name])
    elif call.result == 0:
        number = disk.syncing.pop(key) if call.moment == "ended" else len(disk.waiting[name])
        disk.sync(name, number)


_ANSWER_ID = re.compile(rb"X-Request-Id: ([0-9a-z]{16})", re.IGNORECASE)


def acknowledged(call: Call) -> str:
    """Return the id of the request that this call answers with a success, or nothing."""
    if call.name not in _SENDING or call.moment == "ended":
        return ""
    text = _TEXT.search(call.arguments)
    sent = _plain(text[1]) if text else b""
    found = _ANSWER_ID.search(sent)
    return found[1].decode() if found and sent.startswith(b"HTTP/1.1 20") else ""


@dataclass(frozen=True)
class Cut:
    """The files after a power cut, and how many answers had left the server before it."""

    files: dict[str, bytes]
    answered: frozenset[str]


def cuts(trace: Path, ground: Ground, points: int) -> Iterator[Cut]:
    """Yield the files after cuts at so many moments: each just as an answer leaves, with and without luck."""
    ids = [name for call in calls(trace) if (name := acknowledged(call))]
    wanted = {ids[n * (len(ids) - 1) // max(1, points - 1)] for n in range(points)} if ids else set()
    disk, answered = Disk(), set[str]()
    for call in calls(trace):
        replay(disk, call)
        if name := acknowledged(call):
            answered.add(name)
            if name in wanted:
                for luck in (0.0, 0.5):
                    yield Cut(disk.after_a_cut(luck, ground.dice), frozenset(answered))


@goal(3, "power cut at 60 moments and more: no acknowledged login and no acknowledged revocation is lost")
async def power_cut(ground: Ground, *, points: int = 60, logins: int = 300) -> Result:
    """Rebuild the files from a trace of every write and sync, open them, and compare with what had been answered."""
    if program("strace") is None:
        return Result("not measured", None, "strace is not installed")
    server = ground.server(Traced)
    given: dict[str, str] = {}
    ended: dict[str, str] = {}

    async def come_and_go(phone: Phone, n: int) -> None:
        came, went = f"{n:016d}", f"{n:015d}x"
        headers = {"X-Request-Id": came}
        answer = await phone.request("POST", "/api/login", json={"code": await phone.code()}, headers=headers)
        if answer.status == 200:
            phone.token = answer.json["token"]
            if n % 3:
                given[came] = phone.token
                return
            headers = {**phone.bearer, "X-Request-Id": went}
            if (await phone.request("POST", "/api/logout", headers=headers)).status == 200:
                ended[went] = phone.token

    phones = await ground.phones(server, logins)
    for start in range(0, logins, 10):
        await asyncio.gather(*(come_and_go(each, start + n) for n, each in enumerate(phones[start : start + 10])))
    server.kill()
    seen, lost, revived = 0, 0, 0
    for cut in cuts(server.folder / "trace", ground, points):
        home = _files_after(cut, server, ground.folder / "after-the-cut")
        holding = await _holding(server, home, [*given.values(), *ended.values()])
        lost += sum(token not in holding for name, token in given.items() if name in cut.answered)
        revived += sum(token in holding for name, token in ended.items() if name in cut.answered)
        seen += 1
    return Result(
        f"{seen} cuts (half of them with random sectors written since), {lost} logins of {len(given)} lost, "
        f"{revived} revocations of {len(ended)} undone",
        lost == revived == 0 and seen >= points and len(given) > 0 and len(ended) > 0,
        "as far as the disk honours fdatasync",
    )


def _files_after(cut: Cut, server: Product, home: Path) -> Path:
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(server.data_dir, home, ignore=shutil.ignore_patterns("menshen.db*"))
    for name, content in cut.files.items():
        (home / name).touch(mode=0o600)
        (home / name).write_bytes(content)
    return home


async def _holding(server: Product, home: Path, tokens: Sequence[str]) -> set[str]:
    """Return those tokens that open something in the files there."""
    product = Product(home.parent / "reader", {**server.settings, "DATA_DIR": home})
    holding = set()
    async with process.opened(settings_of(product)) as backend:
        for token in tokens:
            with suppress(SessionGone):
                await actions.verify(backend, token, "127.0.0.1")
                holding.add(token)
    return holding
