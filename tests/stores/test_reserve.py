"""The embedded database on a full disk: what ends something is written into the reserve, all else waits for room."""

import asyncio
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from engines import APPID, House, meet, now, on_sql, opening, sqlite_at
from patience import until
from small_disk import MIB, SmallDisk, small_disk
from tornado.ioloop import IOLoop

from settings import SqliteUrl
from stores.audit import Audit, Entry
from stores.db.reserve import MOST_BYTES, Reserve
from stores.errors import StoreFull
from stores.sessions import SessionGone

pytest_plugins = ["store_fixtures"]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    (tmp_path / "disk").mkdir()
    with small_disk(tmp_path / "disk", 64 * MIB) as disk:
        yield disk


@pytest.fixture
def where(disk: SmallDisk, sqlite_template: bytes) -> SqliteUrl:
    return sqlite_at(disk.folder / "menshen.db", sqlite_template)


@pytest.fixture
def house(where: SqliteUrl, io_loop: IOLoop) -> Iterator[House]:
    house = on_sql("sqlite", where)
    io_loop.run_sync(lambda: ready(house, where))
    yield house
    io_loop.run_sync(house.close)


async def ready(house: House, where: SqliteUrl) -> None:
    await house.db.start()
    await house.epochs.know([APPID])
    await until(Reserve(where.path).path.exists)


async def sessions_of(house: House, number: int) -> list[bytes]:
    """So many sessions of as many people."""
    ids = []
    for start in range(0, number, 100):
        names = [f"o{n}" for n in range(start, min(number, start + 100))]
        people = await asyncio.gather(*(meet(house.users, name) for name in names))
        opened = await asyncio.gather(*(house.sessions.open(opening(each), now()) for each in people))
        ids += [each.session.id for each in opened]
    return ids


async def until_refused(house: House) -> None:
    """Let people come in one by one, as far as the log has pages to write over; then the disk is found full."""
    with pytest.raises(StoreFull):
        await come_in(house, [f"oLate{n}".ljust(60, "x") for n in range(2_000)])


async def come_in(house: House, names: list[str]) -> None:
    for name in names:
        await meet(house.users, name)


def deed(n: int) -> Entry:
    return Entry(0, now(), "operator:mei", "192.0.2.7", "0123456789abcdef", "session.revoke", "done", f"session:{n}")


class TestTheFile:
    @pytest.mark.parametrize(("size", "wanted"), [(4 * MIB, MIB // 4), (64 * MIB, 4 * MIB), (512 * MIB, MOST_BYTES)])
    def test_it_takes_a_few_mib_and_of_a_small_disk_a_sixteenth(self, tmp_path: Path, size: int, wanted: int) -> None:
        with small_disk(tmp_path, size):
            reserve = Reserve(tmp_path / "menshen.db")
            assert reserve.fill()
            found = reserve.path.stat()
            assert (found.st_size, found.st_blocks * 512, stat.S_IMODE(found.st_mode)) == (wanted, wanted, 0o600)
            assert not reserve.in_use

    def test_it_is_given_in_parts_and_taken_back_only_with_room_to_spare(self, disk: SmallDisk) -> None:
        reserve, other = Reserve(disk.folder / "menshen.db"), Reserve(disk.folder / "menshen.db")
        assert reserve.fill()
        disk.fill()
        reserve.use()
        assert other.in_use
        assert [reserve.give() for _ in range(6)] == [True] * 4 + [False] * 2
        assert not reserve.fill(), "what it let go is not room to spare"
        assert other.in_use
        disk.make_room()
        assert other.fill()
        assert not reserve.in_use
        assert reserve.path.stat().st_size == 4 * MIB

    def test_a_disk_without_room_for_it_gets_none_and_is_not_called_full(self, disk: SmallDisk) -> None:
        disk.fill()
        reserve = Reserve(disk.folder / "menshen.db")
        assert not reserve.fill()
        reserve.use()
        assert not reserve.give()
        assert not reserve.in_use
        assert not reserve.path.exists()


class TestAFullDisk:
    @pytest.mark.gen_test(timeout=60)
    async def test_thousands_can_be_put_out_with_a_row_of_the_audit_each(
        self, house: House, disk: SmallDisk, where: SqliteUrl
    ) -> None:
        ids = await sessions_of(house, 2_000)
        audit = Audit(house.db, disk.folder)
        disk.fill()
        await until_refused(house)
        for n, each in enumerate(ids):
            await audit.add(deed(n))
            assert [ended.id for ended in await house.sessions.end([each], "revoked", now())] == [each]
            with pytest.raises(SessionGone):
                await house.sessions.find(each, now())
        assert house.db.full
        with pytest.raises(StoreFull):
            await meet(house.users, "oNew")
        assert await audit.verify() == len(ids)
        disk.make_room()
        await until(lambda: not house.db.full)
        await meet(house.users, "oNew")
        assert Reserve(where.path).path.stat().st_size == 4 * MIB
        with sqlite3.connect(where.path) as other:
            assert other.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        other.close()

    @pytest.mark.gen_test
    async def test_everything_that_takes_away_or_undoes_works(self, house: House, disk: SmallDisk) -> None:
        mei, lan, wen = [await meet(house.users, name) for name in ("oMei", "oLan", "oWen")]
        first, second, third = [
            (await house.sessions.open(opening(each), now())).session.id for each in (mei, lan, wen)
        ]
        disk.fill()
        assert len(await house.sessions.end([first], "revoked", now(), undo_by="mei")) == 1
        assert len(await house.sessions.restore([first], "mei", now())) == 1
        blocked = await house.users.block(lan.id, reason="sells codes", until=None)
        await house.sessions.bar(lan.id, blocked.generation)
        assert len(await house.sessions.end_some(lan.id, APPID, "blocked", now()) or ()) == 1
        await house.users.unblock(lan.id)
        await house.users.erase(wen.id, mark=bytes(32), now=now())
        await house.sessions.sweep(now())
        assert (await house.sessions.find(first, now())).user_id == mei.id
        await house.epochs.raise_for(APPID, now())
        for each in (first, second, third):
            with pytest.raises(SessionGone):
                await house.sessions.find(each, now())

    @pytest.mark.gen_test
    async def test_one_who_waits_with_others_for_the_same_commit_is_put_out_all_the_same(
        self, house: House, disk: SmallDisk
    ) -> None:
        ids = await sessions_of(house, 40)
        disk.fill()
        await until_refused(house)
        logins = [asyncio.ensure_future(meet(house.users, f"oNew{n}".ljust(60, "x"))) for n in range(200)]
        ends = [asyncio.ensure_future(house.sessions.end([each], "revoked", now())) for each in ids]
        assert [len(each) for each in await asyncio.gather(*ends)] == [1] * 40
        refused = await asyncio.gather(*logins, return_exceptions=True)
        assert all(isinstance(each, StoreFull) for each in refused)

    @pytest.mark.gen_test
    async def test_what_one_process_finds_full_no_other_fills_up(
        self, house: House, disk: SmallDisk, where: SqliteUrl
    ) -> None:
        [session] = await sessions_of(house, 1)
        neighbour = house.another()
        house.neighbours.append(neighbour)
        await neighbour.db.start()
        disk.fill()
        await house.sessions.end([session], "revoked", now())
        before = Reserve(where.path).in_use_path.stat().st_size
        for n in range(50):
            with pytest.raises(StoreFull):
                await meet(neighbour.users, f"oNeighbour{n}".ljust(60, "x"))
        assert neighbour.db.full
        assert Reserve(where.path).in_use_path.stat().st_size == before


def test_files_that_may_not_grow_are_a_full_disk_too(tmp_path: Path, sqlite_template: bytes) -> None:
    sqlite_at(tmp_path / "menshen.db", sqlite_template)
    done = subprocess.run(
        [sys.executable, "-c", UNDER_A_QUOTA, str(tmp_path / "menshen.db")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "refused, ended\n"), done.stderr


UNDER_A_QUOTA = """
import asyncio, resource, sys
from pathlib import Path
sys.path[:0] = ["tests", "tests/stores"]
from engines import APPID, meet, now, on_sql, opening
from settings import SqliteUrl
from stores.errors import StoreFull

async def main():
    path = Path(sys.argv[1])
    house = on_sql("sqlite", SqliteUrl(path))
    await house.db.start()
    await house.epochs.know([APPID])
    session = (await house.sessions.open(opening(await meet(house.users, "oMei")), now())).session.id
    most = path.with_name(path.name + "-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (max(most, path.stat().st_size), resource.RLIM_INFINITY))
    told = "let in"
    for n in range(2_000):
        try:
            await meet(house.users, f"o{n}".ljust(60, "x"))
        except StoreFull:
            told = "refused"
            break
    ended = await house.sessions.end([session], "revoked", now())
    print(told, "ended" if ended else "not ended", sep=", ")
    await house.close()

asyncio.run(main())
"""
