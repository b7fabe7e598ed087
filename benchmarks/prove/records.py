"""What is written down: a record of every deed that nobody can change unseen, and never a secret."""

import asyncio
import os
import signal
import sqlite3
from contextlib import closing
from multiprocessing.connection import Connection

from msgspec.structs import replace
from shell import settings_of

import actions
import process
from actions import Actor
from benchmarks.prove.away import opening
from benchmarks.prove.ground import CLEAN, Ground, Result, goal
from settings import Settings, load
from stores.audit import FILE_NAME, AuditAway, AuditBroken, Entry

_EDITS = (
    "at = at + 1",
    "actor = actor || 'x'",
    "deed = 'session.list'",
    "result = 'denied'",
    "target = 'user:1'",
    "count = 9",
    "reason = 'other'",
    "link = randomblob(32)",
)


@goal(19, "each of 1,000 edits of the audit is found; 200 x kill -9 and no deed without its record; no sink, no deed")
async def audit(ground: Ground, *, edits: int = 1_000, kills: int = 200) -> Result:
    """Change one row after the other behind the product's back; then kill somebody who revokes without a pause."""
    found = await _edits_found(ground, edits)
    done, without = await _killed_at_work(ground, kills)
    blind = await _deeds_in_the_dark(ground)
    return Result(
        f"{found:,} of {edits:,} edits found; {kills} kills, {done:,} sessions ended, "
        f"{without} of them without a record; {blind} of 20 deeds done while neither sink took a row",
        found == edits and without == 0 and done > kills and blind == 0,
    )


async def _edits_found(ground: Ground, rows: int) -> int:
    server, found = ground.server(), 0
    server.kill()
    async with process.opened(settings_of(server)) as backend:
        last = Entry(0, backend.now(), "shell:prove", None, None, "session.revoke", "done", "session:ab", None, 1, "-")
        begins = (await backend.audit.add(last)).n
        for _ in range(rows - 1):
            await backend.audit.add(replace(last, at=backend.now()))
        with closing(sqlite3.connect(server.data_dir / "menshen.db", isolation_level=None)) as database:
            _let_change(database)
            for n in range(begins, begins + rows):
                [before] = database.execute("SELECT * FROM audit WHERE n = ?", (n,)).fetchall()
                database.execute(f"UPDATE audit SET {_EDITS[n % len(_EDITS)]} WHERE n = ?", (n,))
                try:
                    await backend.audit.verify()
                except AuditBroken as broken:
                    found += broken.n == n
                database.execute("DELETE FROM audit WHERE n = ?", (n,))
                marks = ", ".join("?" * len(before))
                database.execute(f"INSERT INTO audit VALUES ({marks})", before)
        if await backend.audit.verify() < rows:  # put back as it was, so every finding was of one edit
            return 0
    return found


def _let_change(database: sqlite3.Connection) -> None:
    triggers = database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit'")
    for (name,) in triggers.fetchall():
        database.execute(f"DROP TRIGGER {name}")


async def _killed_at_work(ground: Ground, kills: int) -> tuple[int, int]:
    server = ground.server()
    await ground.people(server, 1)  # whose sessions they are; nobody else is ever number 1
    settings = {name: value for name, value in server.environment().items() if name.startswith("MENSHEN_")}
    for _ in range(kills):
        ours, theirs = CLEAN.Pipe(duplex=False)
        child = CLEAN.Process(target=_revoke_without_a_pause, args=(settings, theirs), daemon=True)
        await asyncio.to_thread(child.start)
        theirs.close()
        await asyncio.to_thread(_wait_for, ours, ground.dice.randint(2, 4))
        await asyncio.sleep(ground.dice.uniform(0.001, 0.05))
        os.kill(child.pid or 0, signal.SIGKILL)
        await asyncio.to_thread(child.join)
        ours.close()
    with closing(sqlite3.connect(server.data_dir / "menshen.db")) as database:
        ended = {row[0].hex() for row in database.execute("SELECT id FROM session WHERE reason = 'revoked'")}
        told = {row[0] for row in database.execute("SELECT target FROM audit WHERE deed = 'session.revoke'")}
    return len(ended), len({f"session:{each}" for each in ended} - told)


def _wait_for(ours: Connection, deeds: int) -> None:
    for _ in range(deeds):
        if not ours.poll(30):
            raise RuntimeError("the one who revokes does not go on")
        ours.recv()


def _revoke_without_a_pause(settings: dict[str, str], theirs: Connection) -> None:
    """In a process of its own: open sessions and end them, until killed."""

    async def work(at: Settings) -> None:
        async with process.opened(at) as backend:
            while True:
                now = backend.now()
                new = replace(opening(now), appid=at.apps[0].appid)
                await backend.sessions.open(new, now)
                await actions.revoke(backend, Actor("shell:prove"), new.id.hex(), reason="test")
                theirs.send("one more")

    asyncio.run(work(load({}, settings).settings))


async def _deeds_in_the_dark(ground: Ground) -> int:
    """Take both sinks away, and count the deeds that are done all the same."""
    server = ground.server()
    tokens = list(await ground.people(server, 20))
    file = server.data_dir / FILE_NAME
    file.unlink(missing_ok=True)
    file.mkdir()  # nothing can be appended to a folder, not even by root
    async with process.opened(settings_of(server)) as backend:
        sessions = [(await actions.verify(backend, token, "127.0.0.1")).session for token in tokens]
        other = sqlite3.connect(server.data_dir / "menshen.db", isolation_level=None)
        other.execute("CREATE TRIGGER no_rows BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'full'); END")
        other.close()
        refusals = 0
        for session in sessions:
            try:
                await actions.revoke(backend, Actor("shell:prove"), session.id.hex())
            except AuditAway:
                refusals += 1
        held = await backend.sessions.holding([session.id for session in sessions], backend.now())
    return max(len(tokens) - len(held), len(tokens) - refusals)
