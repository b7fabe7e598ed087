"""The audit: a row for each deed, a chain that shows every edit, two places of which one is enough."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
from children import free_port
from engines import ad_hoc, script

from settings import MysqlUrl, Secret
from stores.audit import FILE_NAME, Audit, AuditAway, AuditBroken, Entry
from stores.db import Database, open_database
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
)
TRIGGERS = ("audit_is_not_changed", "audit_is_not_deleted")


@pytest.fixture
def audit(database: Database, tmp_path: Path) -> Audit:
    return Audit(database, tmp_path)


def away() -> Database:
    """A database that does not answer."""
    return open_database(MysqlUrl("nobody", Secret("nothing"), "127.0.0.1", free_port(), "nowhere"))


async def add(audit: Audit, number: int) -> None:
    for n in range(number):
        await audit.add(replace(DEED, count=n))


async def change(db: Database, sql: str, **parameters: object) -> None:
    """What somebody with the database's own password may do, once the triggers are out of the way."""
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
        "UPDATE audit SET link = (SELECT link FROM audit_head) WHERE n = 3",
        "DELETE FROM audit WHERE n = 3",
    ],
)
async def test_an_edited_or_missing_row_is_named(audit: Audit, database: Database, sql: str) -> None:
    await add(audit, 5)
    await change(database, sql)
    with pytest.raises(AuditBroken) as broken:
        await audit.verify()
    assert broken.value.n == 3


@pytest.mark.gen_test
async def test_swapped_rows_are_found(audit: Audit, database: Database) -> None:
    await add(audit, 5)
    for before, after in [(2, 100), (3, 2), (100, 3)]:
        await change(database, "UPDATE audit SET n = :after WHERE n = :before", before=before, after=after)
    with pytest.raises(AuditBroken) as broken:
        await audit.verify()
    assert broken.value.n == 2


@pytest.mark.gen_test
async def test_a_tail_that_was_cut_off_is_found(audit: Audit, database: Database) -> None:
    await add(audit, 5)
    await change(database, "DELETE FROM audit WHERE n > 3")
    with pytest.raises(AuditBroken) as broken:
        await audit.verify()
    assert broken.value.n == 4


@pytest.mark.gen_test
async def test_sqlite_refuses_to_change_a_row(audit: Audit, database: Database) -> None:
    if database.dialect == "mysql":
        return  # there it is for the grants of the database user
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


@pytest.mark.gen_test
async def test_one_place_is_enough(audit: Audit, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    assert (await audit.add(DEED)).n == 1
    (tmp_path / FILE_NAME).rmdir()
    assert (await Audit(away(), tmp_path).add(DEED)).n == 0
    assert json.loads((tmp_path / FILE_NAME).read_text("ascii"))["target"] == "session:ab12"
    assert await audit.verify() == 1


@pytest.mark.gen_test
async def test_without_either_place_there_is_no_deed(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(AuditAway):
        await Audit(away(), tmp_path).add(DEED)
