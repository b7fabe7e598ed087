"""The schema: the same on both databases, brought up to date once, and never taken from."""

import asyncio
import re

import pytest
from engines import ad_hoc, meet, mysql_url, now, script
from servers import MariaDB

from settings import MysqlUrl, SqliteUrl
from stores.db import Database, load, open_database
from stores.db.statements import Dialect, history
from stores.errors import WrongSchema
from stores.users import Users

pytest_plugins = ["store_fixtures"]


class TestSchema:
    @pytest.mark.gen_test
    async def test_applied_twice_it_changes_nothing(self, database: Database) -> None:
        before = await columns(database)
        mei = await meet(Users(database), "oMei")
        assert await database.upgrade() == []
        assert await columns(database) == before
        assert await Users(database).find(mei.id) == mei

    @pytest.mark.quick
    @pytest.mark.gen_test
    async def test_of_a_person_it_keeps_what_the_field_keeps(self, sqlite_file: SqliteUrl) -> None:
        db = open_database(sqlite_file)
        await db.start()
        mine = [column for table, column in await columns(db) if table == "user"]
        await db.close()
        assert set(mine) >= {
            "id",
            "appid",
            "openid",
            "unionid",
            "nickname",
            "avatar_url",
            "phone",
            "create_time",
            "last_login_time",
            "state",
        }

    @pytest.mark.gen_test
    async def test_both_databases_have_the_same_tables_and_columns(
        self, sqlite_file: SqliteUrl, mariadb_database: MysqlUrl
    ) -> None:
        found = []
        for where in (sqlite_file, mariadb_database):
            db = open_database(where)
            await db.start()
            found.append(await columns(db))
            await db.close()
        assert found[0] == found[1]

    @pytest.mark.quick
    def test_no_version_of_it_takes_anything_away(self) -> None:
        dialects: tuple[Dialect, ...] = ("sqlite", "mysql")
        for dialect in dialects:
            for parts in history(dialect).values():
                assert not [part for part in parts if re.search(r"\b(DROP|TRUNCATE|RENAME)\b", part)]
        assert list(history("sqlite")) == list(history("mysql")) == list(range(1, len(history("sqlite")) + 1))

    @pytest.mark.gen_test
    async def test_a_mariadb_upgrade_that_was_cut_short_is_simply_run_again(self, mariadb: MariaDB) -> None:
        where = mysql_url(mariadb.database())
        mariadb.query(history("mysql")[1][0], database=where.name)
        mariadb.query(history("mysql")[1][1], database=where.name)
        db = open_database(where)
        with pytest.raises(WrongSchema):
            await db.start()
        assert await db.upgrade() == list(history("mysql"))
        await db.start()
        await db.close()

    @pytest.mark.gen_test
    async def test_servers_that_upgrade_at_once_do_it_once(self, mariadb: MariaDB) -> None:
        where = mysql_url(mariadb.database())
        dbs = [open_database(where) for _ in range(3)]
        applied = await asyncio.gather(*(db.upgrade() for db in dbs))
        for db in dbs:
            await db.close()
        assert sorted(applied, key=len) == [[], [], list(history("mysql"))]

    @pytest.mark.gen_test
    async def test_a_newer_schema_is_refused_in_words(self, database: Database, owner: Database) -> None:
        await owner.write(script(load("upkeep.sql")["note_version"](version=4_711, now=now())))
        try:
            with pytest.raises(WrongSchema, match="newer than this program"):
                await database.upgrade()
        finally:
            await owner.write(script(ad_hoc("DELETE FROM schema_version WHERE version = :version", version=4_711)))
        await database.ping()


async def columns(db: Database) -> set[tuple[str, str]]:
    if db.dialect == "sqlite":
        asked = "SELECT m.name, c.name FROM sqlite_master m, pragma_table_xinfo(m.name) c WHERE m.type = 'table'"
    else:
        asked = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = DATABASE()"
    return {(str(row[0]), str(row[1])) for row in await db.read(ad_hoc(asked)) if not row[0].startswith("sqlite_")}
