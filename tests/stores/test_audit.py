"""The audit: a row for each deed, a chain that shows every edit, two places of which one is enough."""

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from children import free_port
from engines import House, ad_hoc, mysql_url, script
from msgspec.structs import astuple, replace
from servers import MariaDB
from small_disk import MIB, SmallDisk, small_disk
from tornado.ioloop import IOLoop

from settings import MysqlUrl, Secret, SqliteUrl
from stores.audit import FILE_NAME, Audit, AuditAway, AuditBroken, Copied, Entry
from stores.db import Database, open_database
from stores.db.statements import Dialect, history
from stores.errors import StoreTrouble

pytest_plugins = ["store_fixtures"]

DEED = Entry(
    0,
    1_790_000_000,
    "operator:mei",
    "192.0.2.1",
    "5f1c5f1c",
    "session.revoke",
    "done",
    "session:ab12",
    "wx1",
    3,
    "垃圾 😀",
    role="operator",
)
TRIGGERS = ("audit_is_not_changed", "audit_is_not_deleted")


@pytest.fixture
def audit(database: Database, tmp_path: Path) -> Audit:
    return Audit(database, tmp_path)


@pytest.fixture
def away(io_loop: IOLoop) -> Iterator[Database]:
    """A database that does not answer."""
    database = open_database(MysqlUrl("nobody", Secret("nothing"), "127.0.0.1", free_port(), "nowhere"))
    yield database
    io_loop.run_sync(database.close)


async def add(audit: Audit, number: int) -> None:
    for n in range(number):
        await audit.add(replace(DEED, count=n))


async def change(db: Database, sql: str, **parameters: object) -> None:
    """What the owner of the database may do, once the triggers of SQLite are out of the way."""
    if db.dialect == "sqlite":
        await db.write(script(*(ad_hoc(f"DROP TRIGGER IF EXISTS {name}") for name in TRIGGERS)))
    await db.write(script(ad_hoc(sql, **parameters)))


@pytest.mark.gen_test
async def test_a_row_comes_back_as_it_was_written_and_has_its_place(audit: Audit) -> None:
    added = await audit.add(DEED)
    assert added == replace(DEED, n=1)
    assert await audit.newest(10) == [added]
    assert await audit.verify() == 1


@pytest.mark.gen_test
async def test_an_empty_chain_holds(audit: Audit) -> None:
    assert await audit.verify() == 0


@pytest.mark.gen_test
async def test_rows_added_at_once_stand_in_one_chain_without_a_gap(audit: Audit) -> None:
    await asyncio.gather(*(audit.add(replace(DEED, count=n)) for n in range(40)))
    assert await audit.verify() == 40
    rows = await audit.newest(100)
    assert [row.n for row in rows] == list(range(40, 0, -1))
    assert sorted(row.count or 0 for row in rows) == list(range(40))


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE audit SET actor = 'operator:li' WHERE n = 3",
        "UPDATE audit SET at = at + 1 WHERE n = 3",
        "UPDATE audit SET reason = NULL WHERE n = 3",
        "UPDATE audit SET count = 99 WHERE n = 3",
        "UPDATE audit SET concerns = 1 WHERE n = 3",
        "UPDATE audit SET role = 'admin' WHERE n = 3",
        "UPDATE audit SET role = NULL WHERE n = 3",
        "UPDATE audit SET link = (SELECT link FROM audit_head) WHERE n = 3",
        "DELETE FROM audit WHERE n = 3",
    ],
)
async def test_an_edited_or_missing_row_is_named(audit: Audit, owner: Database, sql: str) -> None:
    await add(audit, 5)
    await change(owner, sql)
    with pytest.raises(AuditBroken) as broken:
        await audit.verify()
    assert broken.value.n == 3


class TestRowsFromBeforeThereWereRoles:
    """Version 5 of the schema brought the role; the links of older rows were made without one, and still hold."""

    ROW = replace(DEED, role=None)
    LINKS = (  # as version 4 of the schema had them
        "37fbd72f9a09b63d5816e0a447a0645f4aede898e9aefc1b7a1a7a9f0ca3864b",
        "141add5e7cf761fdd95bf1e73800718edffae02d5fa9d636933e57c9f833f213",
    )

    @pytest.mark.gen_test
    async def test_they_hold_after_an_upgrade_of_sqlite_and_rows_with_a_role_follow(self, tmp_path: Path) -> None:
        path = tmp_path / "old.db"
        path.touch(mode=0o600)
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as old:
            for statement, values in self.of_old("sqlite"):
                old.execute(statement.replace("%s", "?"), values)
        await self.they_hold(open_database(SqliteUrl(path)), tmp_path)

    @pytest.mark.gen_test
    async def test_they_hold_after_an_upgrade_of_mariadb_and_rows_with_a_role_follow(
        self, mariadb: MariaDB, tmp_path: Path
    ) -> None:
        where = mysql_url(mariadb.database())
        for statement, values in self.of_old("mysql"):
            mariadb.query(statement, values, database=where.name)
        await self.they_hold(open_database(where), tmp_path)

    @pytest.mark.gen_test
    async def test_none_of_them_can_be_given_a_role(self, audit: Audit, owner: Database) -> None:
        await audit.add(self.ROW)
        await change(owner, "UPDATE audit SET role = 'viewer' WHERE n = 1")
        with pytest.raises(AuditBroken):
            await audit.verify()

    async def they_hold(self, db: Database, folder: Path) -> None:
        """Bring the database up to date, add a row, and follow the chain."""
        await db.upgrade()
        await db.start()
        audit = Audit(db, folder)
        assert await audit.verify() == 2
        added = await audit.add(DEED)
        assert await audit.verify() == 3
        assert await audit.newest(3) == [added, replace(self.ROW, n=2), replace(self.ROW, n=1)]
        await db.close()

    def of_old(self, dialect: Dialect) -> list[tuple[str, tuple[object, ...]]]:
        """A database of version 4 with two rows."""
        tables = [part for version in (1, 2, 3, 4) for part in history(dialect)[version]]
        links = [bytes.fromhex(link) for link in self.LINKS]
        add = (
            "INSERT INTO audit (n, at, actor, address, request_id, deed, result, target, appid, count, reason, "
            "concerns, link) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
        )
        rows = [(add, (*astuple(replace(self.ROW, n=n))[:-1], link)) for n, link in enumerate(links, 1)]
        return [
            *((statement, ()) for statement in tables),
            ("INSERT INTO schema_version (version, applied_at) VALUES (4, 1)", ()),
            *rows,
            ("UPDATE audit_head SET n = 2, link = %s", (links[-1],)),
        ]


@pytest.mark.gen_test
async def test_swapped_rows_are_found(audit: Audit, owner: Database) -> None:
    await add(audit, 5)
    for before, after in [(2, 100), (3, 2), (100, 3)]:
        await change(owner, "UPDATE audit SET n = :after WHERE n = :before", before=before, after=after)
    with pytest.raises(AuditBroken) as broken:
        await audit.verify()
    assert broken.value.n == 2


@pytest.mark.gen_test
async def test_a_tail_that_was_cut_off_is_found(audit: Audit, owner: Database) -> None:
    await add(audit, 5)
    await change(owner, "DELETE FROM audit WHERE n > 3")
    with pytest.raises(AuditBroken) as broken:
        await audit.verify()
    assert broken.value.n == 4


@pytest.mark.gen_test
async def test_the_database_refuses_to_change_a_row(audit: Audit, database: Database) -> None:
    await add(audit, 2)
    for sql in ("UPDATE audit SET count = 9 WHERE n = 1", "DELETE FROM audit WHERE n = 1"):
        with pytest.raises(StoreTrouble):
            await database.write(script(ad_hoc(sql)))
    assert await audit.verify() == 2


@pytest.mark.gen_test
async def test_each_row_stands_in_the_file_too_and_only_its_owner_reads_it(audit: Audit, tmp_path: Path) -> None:
    await add(audit, 3)
    file = tmp_path / FILE_NAME
    assert file.stat().st_mode & 0o777 == 0o600
    assert [json.loads(line)["n"] for line in file.read_text("ascii").splitlines()] == [1, 2, 3]


class TestAFullDisk:
    @pytest.fixture
    def disk(self, tmp_path: Path) -> Iterator[SmallDisk]:
        (tmp_path / "disk").mkdir()
        with small_disk(tmp_path / "disk", MIB) as disk:
            yield disk

    @pytest.mark.gen_test
    async def test_the_row_after_a_torn_one_begins_a_line_of_its_own(
        self, sqlite_house: House, disk: SmallDisk
    ) -> None:
        audit = Audit(sqlite_house.db, disk.folder)
        await audit.add(DEED)
        disk.fill()
        for n in range(2, 30):  # up to the end of the block that the file has already
            await audit.add(replace(DEED, count=n))
        file = disk.folder / FILE_NAME
        assert not file.read_bytes().endswith(b"\n"), "no line was torn, so this test has shown nothing"
        assert not audit.file_takes
        whole = file.read_bytes().count(b"\n")
        disk.make_room()
        last = await audit.add(DEED)
        assert audit.file_takes
        *before, torn, after = file.read_bytes().splitlines()
        assert [json.loads(line)["n"] for line in before] == list(range(1, whole + 1))
        assert last == Entry(**json.loads(after))
        assert torn
        assert await audit.copied() == Copied(rows=whole + 1, alone=0, torn=[whole + 1])
        assert await audit.verify() == 30

    @pytest.mark.gen_test
    async def test_processes_that_write_at_once_tear_nothing_that_was_whole(
        self, sqlite_house: House, tmp_path: Path
    ) -> None:
        audits = [Audit(sqlite_house.db, tmp_path) for _ in range(4)]
        (tmp_path / FILE_NAME).write_bytes(b'{"n": 0, "at')
        await asyncio.gather(*(audit.add(replace(DEED, count=n)) for n in range(20) for audit in audits))
        assert await audits[0].copied() == Copied(rows=80, alone=0, torn=[1])


@pytest.mark.gen_test
async def test_the_file_says_how_many_rows_it_alone_has(audit: Audit, away: Database, tmp_path: Path) -> None:
    assert await audit.copied() == Copied(0, 0, [])
    await add(audit, 2)
    await Audit(away, tmp_path).add(DEED)
    assert await audit.copied() == Copied(rows=3, alone=1, torn=[])


@pytest.mark.gen_test
async def test_one_place_is_enough(audit: Audit, away: Database, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    assert (await audit.add(DEED)).n == 1
    (tmp_path / FILE_NAME).rmdir()
    assert (await Audit(away, tmp_path).add(DEED)).n == 0
    assert json.loads((tmp_path / FILE_NAME).read_text("ascii"))["target"] == "session:ab12"
    assert await audit.verify() == 1


@pytest.mark.gen_test
async def test_without_either_place_there_is_no_deed(away: Database, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(AuditAway):
        await Audit(away, tmp_path).add(DEED)
