"""Every statement in sql/: used, explained on both databases, the same for both, and never a walk over a big table."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engines import APPID, OTHER_APPID, meet, now, opening, script, sqlite_at
from msgspec.structs import replace
from servers import MariaDB
from tornado.ioloop import IOLoop

from settings import MysqlUrl, SqliteUrl
from stores.db import Database, Query, Statement, load, open_database, statements
from stores.db.statements import Dialect
from stores.figures import Figures
from stores.logins import WAYS, Login, Logins
from stores.sessions.on_sql import SqlSessions
from stores.users import Users

pytest_plugins = ["store_fixtures"]

ROOT = Path(__file__).resolve().parents[2]
# wafer.sql asks another program's tables, in a MySQL of its own: tests/compat/test_import_wafer.py does.
ELSEWHERE = {"schema.sql", "wafer.sql"}
FILES = {path.name: load(path.name) for path in sorted((ROOT / "sql").glob("*.sql")) if path.name not in ELSEWHERE}
STATEMENTS = {f"{file}/{name}": statement for file, named in FILES.items() for name, statement in named.items()}
BIG_TABLES = {"user", "session", "login", "code_claim", "tally", "blocked_person", "refused_login", "audit", "figure"}
# These walk over a table on purpose: it has one row for each mini program or each version of the schema, or it is
# emptied whole while nobody is served.
WALKS = {
    "sessions.sql/epochs": "epoch",
    "upkeep.sql/schema_version": "schema_version",
    "moving.sql/every_epoch": "epoch",
    "moving.sql/forget_all_sessions": "session",
}

ID, OTHER_ID = b"\x20" * 32, b"\x80" * 32
AT = now()
PEOPLE = 80
VALUES: dict[str, Any] = {
    "after_id": ID,
    "block_reason": "asked for it",
    "blocked_until": AT,
    "confirmed_at": AT,
    "counter": 3,
    "create_time": AT,
    "ended_at": AT,
    "fetched_at": AT,
    "generation": 1,
    "last_login_time": AT,
    "password_at": AT,
    "raised_at": AT,
    "refreshing_until": AT,
    "revoked_at": AT,
    "seen_at": AT,
    "seen_day": 20_300,
    "totp_step": 1,
    "tried_at": AT,
    "undo_by": "operator:mei",
    "undo_expires_at": AT,
    "undo_until": AT,
    "used_at": AT,
    "actor": "shell:root",
    "address": "192.0.2.1",
    "after": AT - 200_000,
    "appid": APPID,
    "appids": [APPID, OTHER_APPID],
    "at": AT,
    "avatar_url": "https://a.example/a.png",
    "before": AT - 100_000,
    "before_at": AT - 500,
    "before_id": OTHER_ID,
    "by": "operator:mei",
    "code_hash": ID,
    "concerns": 1,
    "count": 3,
    "created_at": AT,
    "day": 20_300,
    "deed": "session.revoke",
    "ends_at": AT + 1_000,
    "environment": "release",
    "epoch": 1,
    "exactly": "release",
    "expires_at": AT + 1_000,
    "first": ID,
    "hour": AT // 3_600 - 24,
    "hours": [AT // 3_600 - 24, AT // 3_600],
    "id": 5,
    "ids": [ID, OTHER_ID],
    "ip": "192.0.2.1",
    "last": OTHER_ID,
    "link": ID,
    "most": 50,
    "n": 2,
    "name": "login:192.0.2.1:1",
    "names": ["login", "new"],
    "nickname": "Mei",
    "now": AT - 900,
    "openid": "oPerson5",
    "openids": ["oPerson5", "oPerson6"],
    "people": [ID, OTHER_ID],
    "person": ID,
    "phone": "13800138000",
    "opened_us": AT * 1_000_000,
    "platform": "ios",
    "reason": "revoked",
    "refused_id": 5,
    "refused_ids": [5, 6],
    "request_id": "5f1c5f1c5f1c5f1c",
    "result": "done",
    "sealed_key": b"sealed",
    "target": "user:5",
    "unionid": "uMei",
    "until": AT + 2_000,
    "user_id": 5,
    "user_ids": [5, 6],
    "version": "1",
    "anybody": 0,
    "anywhere": 0,
    "at_from": AT - 500,
    "at_to": AT,
    "created_from": AT - 500,
    "created_to": AT,
    "device": "Pixel 7, Android 14",
    "first_address": b"\x00" * 16,
    "from": AT - 500,
    "last_address": b"\x80" * 16,
    "oldest_live": AT - 500,
    "oldest_use": AT - 500,
    "seen_from": AT - 500,
    "state": "live",
    "stop": AT - 100,
    "stop_id": OTHER_ID,
    "tail": "1234",
    "to": AT,
    "value": AT,
    "wechat": "8.0.50",
    "window": 20,
    "errcode": 40029,
    "born_since": AT - 43_200,
    "failures": 1,
    "flash": "{}",
    "idle_since": AT - 1_800,
    "language": "en",
    "next_at": AT,
    "operator_id": 5,
    "password": "$argon2id$",
    "role": "admin",
    "rows": [(ID, 5, APPID, 0, *[None] * 7, AT, AT)],
    "new_people": [(APPID, "oNew", None, AT, AT)],
    "scope": APPID,
    "since": AT - 90 * 86_400,
    "step": 1,
    "timezone": "UTC",
    "totp": b"sealed",
    "note": "asked to be called",
    "refresher": "5f1c5f1c5f1c5f1c",
    "sealed": b"sealed",
    "seen": b"",
    "attempts": 0,
    "delivery_id": 5,
    "delivery_ids": [5, 6],
    "done_at": AT,
    "hash": ID,
    "hashes": [ID, ID],
    "key_id": 5,
    "paths": "/wxa/",
    "scopes": "introspect",
    "start": "msk_abcdef",
    "status": 200,
    "body": b"picture",
    "kind": "image/jpeg",
    "event": "user_authorization_revoke:8",
    "trace_id": "60f96f1d-3845297a-1976a3ae",
    "no_avatar": 1,
    "no_nickname": 1,
    "no_phone": 0,
}

# What a name stands for in one file, or in statements whose names begin so, where it is something else elsewhere.
HERE: dict[str, dict[str, Any]] = {
    "logins.sql": {"address": b"\x00" * 16},
    "logins.sql/window_user": {"exactly": 5},
    "logins.sql/page_user": {"exactly": 5},
    "logins.sql/window_address": {"exactly": b"\x00" * 16},
    "logins.sql/page_address": {"exactly": b"\x00" * 16},
    "users.sql": {"first": "Mei", "last": "Mei\U0010ffff", "ids": [5, 6], "stop": 2, "before": 50, "state": "blocked"},
    "users.sql/set_person": {"person": 5},
    "audit.sql": {"stop": 1, "n": 50},
    "refused_logins.sql": {"id": 50, "stop_id": 1},
    "operators.sql": {"name": "mei"},
    "imports.sql": {"id": 5, "ids": [5, 6]},
    "service_keys.sql": {"name": "shop"},
    "deliveries.sql": {"state": "waiting", "target": "webhook", "event": "user.blocked", "body": "{}"},
}


def parameters(statement: Statement, dialect: Dialect) -> set[str]:
    return set(re.findall(r"(?<![:\w]):([a-z_]+)", statement.text[dialect]))


def query_of(full_name: str) -> Query:
    statement = STATEMENTS[full_name]
    values = {name: VALUES[name] for name in parameters(statement, "sqlite")}
    if "id" in values and not full_name.startswith("users.sql"):
        values["id"] = ID
    here = [held for beginning, held in HERE.items() if full_name.startswith(beginning)]
    values |= {name: value for held in here for name, value in held.items() if name in values}
    if full_name.startswith("upkeep.sql") and "version" in values:
        values["version"] = 4_711
    return statement(**values)


class TestUse:
    pytestmark = pytest.mark.quick

    def test_every_statement_is_used_and_every_use_names_a_statement(self) -> None:
        loaded = re.compile(r'(\w+) = load\("(\w+\.sql)"\)')
        used = {f"logins.sql/{statement.name}" for way in WAYS.values() for statement in way}
        doors = {}
        product = [path for room in ("stores",) for path in sorted((ROOT / room).rglob("*.py"))]
        for path in product:
            doors[path] = dict(loaded.findall(path.read_text("utf-8")))
        names = {variable: file for found in doors.values() for variable, file in found.items() if variable != "SQL"}
        for path in product:
            here = {**names, **doors[path]}
            for variable, name in re.findall(r'\b([A-Z]+)\["([a-z_]+)"\]', path.read_text("utf-8")):
                if here.get(variable) in FILES:
                    used.add(f"{here[variable]}/{name}")
        assert used == set(STATEMENTS)

    def test_only_stores_load_statements(self) -> None:
        for room in ("actions", "handlers", "wechat"):
            for path in (ROOT / room).rglob("*.py"):
                assert "stores.db.statements" not in path.read_text("utf-8"), path

    @pytest.mark.parametrize("full_name", STATEMENTS)
    def test_both_databases_take_the_same_parameters(self, full_name: str) -> None:
        statement = STATEMENTS[full_name]
        assert parameters(statement, "sqlite") == parameters(statement, "mysql")
        assert parameters(statement, "sqlite") <= set(VALUES)

    @pytest.mark.parametrize("full_name", STATEMENTS)
    def test_a_statement_says_what_it_is_for_and_holds_no_value_of_its_own_making(self, full_name: str) -> None:
        statement = STATEMENTS[full_name]
        assert len(statement.says.split()) >= 2
        for text in statement.text.values():
            assert text
            assert ";" not in text
            assert "%" not in text, "the driver for MySQL reads it as a placeholder"
            assert "SELECT *" not in text


class TestBinding:
    pytestmark = pytest.mark.quick

    def test_a_list_becomes_as_many_placeholders_as_it_holds(self) -> None:
        asked = FILES["logins.sql"]["note_seen"](ids=[b"a", b"b"], at=7)
        text, values = asked.bound("sqlite")
        assert "IN (:ids_0, :ids_1)" in text
        assert values == {"ids_0": b"a", "ids_1": b"b", "at": 7}
        text, values = asked.bound("mysql")
        assert "IN (%(ids_0)s, %(ids_1)s)" in text

    def test_a_list_of_rows_becomes_as_many_in_brackets(self) -> None:
        asked = Query(plain("INSERT INTO some (a, b) VALUES :rows"), {"rows": [(1, b"x"), (2, None)]})
        text, values = asked.bound("mysql")
        assert text.endswith("VALUES (%(rows_0_0)s, %(rows_0_1)s), (%(rows_1_0)s, %(rows_1_1)s)")
        assert values == {"rows_0_0": 1, "rows_0_1": b"x", "rows_1_0": 2, "rows_1_1": None}
        assert asked.bound("sqlite")[0].endswith("VALUES (:rows_0_0, :rows_0_1), (:rows_1_0, :rows_1_1)")

    def test_an_empty_list_fits_nothing(self) -> None:
        text, values = FILES["logins.sql"]["logins_by_id"](ids=[]).bound("sqlite")
        assert "IN (NULL)" in text
        assert values == {}


class TestParts:
    pytestmark = pytest.mark.quick

    def test_what_stands_once_is_in_every_statement_that_names_it(self) -> None:
        for statement in STATEMENTS.values():
            for text in (*statement.text.values(), *statement.scalar_text.values()):
                assert "{" not in text
        page = FILES["logins.sql"]["page_live_down"]
        assert "INDEXED BY login_by_end" in page.text["sqlite"]
        assert "FORCE INDEX (login_by_end)" in page.text["mysql"]
        assert "%(created_to)s" in page.scalar_text["mysql"]

    def test_a_part_is_no_statement_and_stands_above_those_that_name_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(statements, "FOLDER", tmp_path)
        part, all_of = "-- part name: a name\nn.name\n", "-- all_names: every name\nSELECT {{name}} FROM n;\n"
        (tmp_path / "names.sql").write_text(part + all_of)
        assert {name: each.text["mysql"] for name, each in load("names.sql").items()} == {
            "all_names": "SELECT n.name FROM n"
        }
        (tmp_path / "names.sql").write_text(all_of + part)
        with pytest.raises(KeyError):
            load("names.sql")

    def test_a_name_with_words_between_brackets_stands_for_one_statement_each(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(statements, "FOLDER", tmp_path)
        part = "-- part by_(age|name): in an order\nORDER BY n.@\n"
        (tmp_path / "names.sql").write_text(
            f"{part}-- all_by_(age|name): all, in an order\nSELECT n.name {{{{by_@}}}};\n"
        )
        assert {name: each.text["mysql"] for name, each in load("names.sql").items()} == {
            "all_by_age": "SELECT n.name ORDER BY n.age",
            "all_by_name": "SELECT n.name ORDER BY n.name",
        }


async def fill(db: Database) -> None:
    """People, sessions and logins, enough that an index pays."""
    logins = Logins(db)
    for start in range(0, PEOPLE, 20):
        await asyncio.gather(*(_come_in(db, logins, n) for n in range(start, start + 20)))
    await logins.flush()
    await _count(db)
    for appid in (APPID, OTHER_APPID):
        await db.write(script(FILES["sessions.sql"]["raise_epoch"](appid=appid, at=AT)))


async def _count(db: Database) -> None:
    """Two weeks of figures, as the overview finds them."""
    figures = Figures(db)
    for appid in (APPID, OTHER_APPID):
        for name in ("login", "new", "refused", "refused.40029"):
            for back in range(14 * 24):
                figures.count(appid, name, AT - back * 3_600)
    await figures.flush()


async def _come_in(db: Database, logins: Logins, n: int) -> None:
    mei = await meet(Users(db), f"oPerson{n}", appid=APPID if n % 3 else OTHER_APPID)
    sessions = SqlSessions(db)
    for m in range(3):
        new = opening(mei, expires_at=AT - 50_000 + 200 * (n * 3 + m))
        await sessions.open(new, now())
        logins.opened(Login(new.id, mei.id, mei.appid, None, None, None, None, AT - n * 3 - m, AT))
    await sessions.admit(new.id, f"login:192.0.2.1:{n}")
    await sessions.close()


@pytest.fixture(scope="class")
def filled_sqlite(sqlite_template: bytes, tmp_path_factory: pytest.TempPathFactory) -> SqliteUrl:
    where = sqlite_at(tmp_path_factory.mktemp("filled") / "filled.db", sqlite_template)
    _fill_now(open_database(where))
    return where


@pytest.fixture(scope="class")
def filled_mariadb(mariadb: MariaDB, mariadb_database: MysqlUrl) -> MysqlUrl:
    """For its owner, who upgrades and moves: those statements are explained too."""
    _fill_now(open_database(mariadb_database))
    for table in BIG_TABLES:
        mariadb.query(f"ANALYZE TABLE {table}", database=mariadb_database.name)
    return replace(mariadb_database, user=mariadb.user)


def _fill_now(db: Database) -> None:
    async def run() -> None:
        await db.start()
        await fill(db)
        await db.close()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(run())
    loop.close()


def aliases(text: str) -> dict[str, str]:
    """The names under which the tables of a statement appear in a plan."""
    return {alias: table for table, alias in re.findall(r"(?:FROM|JOIN)\s+(\w+)\s+(\w)\b", text)}


@pytest.fixture
def plan_reader(io_loop: IOLoop) -> Iterator[list[Database]]:
    opened: list[Database] = []
    yield opened
    for db in opened:
        io_loop.run_sync(db.close)


class TestPlans:
    @pytest.mark.quick
    @pytest.mark.gen_test
    @pytest.mark.parametrize("full_name", STATEMENTS)
    async def test_on_sqlite_an_index_answers(
        self, filled_sqlite: SqliteUrl, full_name: str, plan_reader: list[Database]
    ) -> None:
        asked = query_of(full_name)
        db = open_database(filled_sqlite)
        plan_reader.append(db)
        await db.start()
        text, values = asked.bound("sqlite")
        plan = [row[3] for row in await db.read(Query(plain(f"EXPLAIN QUERY PLAN {text}"), values))]
        walked = {aliases(text).get(found[1], found[1]) for line in plan if (found := re.match(r"SCAN (\w+)", line))}
        sorts = [line for line in plan if "TEMP B-TREE" in line]
        if full_name in WALKS:
            assert walked <= {WALKS[full_name]}
        else:
            assert not walked & BIG_TABLES or limited_walk(asked, plan), plan
        assert not sorts or "user_id = :user_id" in text, plan

    @pytest.mark.gen_test
    @pytest.mark.parametrize("full_name", STATEMENTS)
    async def test_on_mariadb_an_index_answers(
        self, filled_mariadb: MysqlUrl, full_name: str, plan_reader: list[Database]
    ) -> None:
        asked = query_of(full_name)
        db = open_database(filled_mariadb)
        plan_reader.append(db)
        await db.start()
        text, values = asked.bound("mysql")
        rows = await db.read(Query(plain(f"EXPLAIN {text}"), values))
        walked = {aliases(asked.statement.text["mysql"]).get(row[2], row[2]) for row in rows if row[3] in _WALKING}
        if full_name in WALKS:
            assert walked <= {WALKS[full_name]}
        elif asked.statement.text["mysql"].startswith("INSERT"):
            # An INSERT itself is explained as ALL and reads nothing; what it looks up, it finds by a key.
            assert {row[3] for row in rows} <= {"ALL", "const", None}, rows
        else:
            assert not walked & BIG_TABLES, rows


_WALKING = {"ALL", "index"}


def plain(text: str) -> Statement:
    """A statement of which the text is bound already."""
    return Statement("plan", "", {"sqlite": text, "mysql": text}, {"sqlite": text, "mysql": text})


def limited_walk(asked: Query, plan: list[str]) -> bool:
    """Whether SQLite walks along an index in order and stops at the LIMIT, as a page of a list does."""
    return asked.statement.name == "logins_newest" and all("USING INDEX login_by_time" in line for line in plan)
