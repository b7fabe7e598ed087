"""The counters of the overview: equal to what a scan would find, whoever counted, whoever left, whatever failed."""

import asyncio
import contextlib
import random
import sqlite3
from collections import Counter
from pathlib import Path

import pytest
from engines import APPID, OTHER_APPID, House, ad_hoc, mark_of, mysql_url, now, script
from servers import MariaDB

from settings import SqliteUrl
from stores.db import Database, open_database
from stores.db.statements import Dialect, history
from stores.errors import UsersAway
from stores.figures import DAY_HOURS, HOUR_SECONDS, MOST_KINDS, Figures, day_of, first_hour, hour_of
from stores.users import Users

pytest_plugins = ["store_fixtures"]

DAY = DAY_HOURS * HOUR_SECONDS
NOON = first_hour(20_000) * HOUR_SECONDS + DAY // 2  # of some day in China


async def stand(database: Database, name: str, appid: str = APPID) -> dict[int, int]:
    """The rows of one counter that are not 0, by hour."""
    found = await database.read(ad_hoc("SELECT hour, n FROM figure WHERE appid = :a AND name = :b", a=appid, b=name))
    return {hour: int(n) for hour, n in found if n}


async def scanned(database: Database) -> Counter[tuple[str, int]]:
    """How many people were last seen on each day, counted person by person."""
    return Counter((appid, day) for appid, day in await database.read(ad_hoc("SELECT appid, seen_day FROM user")))


async def meet(users: Users, n: int, appid: str = APPID) -> int:
    mark = mark_of(appid, f"oPerson{n}")
    return (await users.see(appid, f"oPerson{n}", None, mark=mark, now=now(), signup=True)).user.id


async def erase(users: Users, user_id: int) -> None:
    await users.erase(user_id, mark=bytes(32), now=now())


class TestDays:
    pytestmark = pytest.mark.quick

    def test_a_day_is_one_in_china(self) -> None:
        midnight = 1_752_508_800  # 2025-07-15 00:00 in Shanghai
        assert day_of(midnight - 1) == day_of(midnight) - 1
        assert day_of(midnight + DAY - 1) == day_of(midnight)
        assert first_hour(day_of(midnight)) == hour_of(midnight)


class TestCounting:
    @pytest.mark.gen_test
    async def test_counts_of_several_processes_add_up(self, database: Database) -> None:
        processes = [Figures(database) for _ in range(4)]
        for n, figures in enumerate(processes):
            for _ in range(n + 1):
                figures.count(APPID, "login", NOON)
            figures.count(APPID, "login", NOON + HOUR_SECONDS, 5)
            figures.count(OTHER_APPID, "login", NOON, 100)
            figures.count_day(APPID, "day.login", NOON)
        await asyncio.gather(*(figures.flush() for figures in processes))
        assert await stand(database, "login") == {hour_of(NOON): 10, hour_of(NOON) + 1: 20}
        assert await stand(database, "login", OTHER_APPID) == {hour_of(NOON): 400}
        assert await stand(database, "day.login") == {first_hour(day_of(NOON)): 4}

    @pytest.mark.gen_test
    async def test_a_second_flush_writes_nothing_twice(self, database: Database) -> None:
        figures = Figures(database)
        figures.count(APPID, "login", NOON)
        await figures.flush()
        await figures.flush()
        assert await stand(database, "login") == {hour_of(NOON): 1}

    @pytest.mark.gen_test
    async def test_it_reads_only_the_mini_programs_hours_and_names_it_is_asked_for(self, database: Database) -> None:
        figures = Figures(database)
        for appid in (APPID, OTHER_APPID):
            for name in ("login", "new"):
                for back in range(3):
                    figures.count(appid, name, NOON - back * HOUR_SECONDS)
        await figures.flush()
        noon = hour_of(NOON)
        assert len(await figures.named([APPID], ["login"], noon - 1)) == 2
        assert len(await figures.since([APPID, OTHER_APPID], noon - 1)) == 8
        assert len(await figures.at([APPID], [noon - 2, noon])) == 4
        assert await figures.since([], 0) == []

    @pytest.mark.quick
    def test_what_phones_say_fills_no_table(self, sqlite_house: House) -> None:
        figures = Figures(sqlite_house.db)
        names = {figures.kind(APPID, "version", str(n), NOON) for n in range(1_000)}
        assert len(names) == MOST_KINDS + 1
        assert "version.other" in names
        assert figures.kind(APPID, "version", "3", NOON) == "version.3"
        assert figures.kind(OTHER_APPID, "version", "999", NOON) == "version.999"
        assert figures.kind(APPID, "version", "999", NOON + DAY) == "version.999"
        for odd in ("九", "x" * 41, "a\nb"):
            assert figures.kind(APPID, "platform", odd, NOON) == "platform.other"

    @pytest.mark.quick
    @pytest.mark.gen_test
    async def test_a_database_that_is_away_loses_no_count(self, sqlite_house: House) -> None:
        figures = Figures(sqlite_house.db)
        user_id = await meet(sqlite_house.users, 1)
        await sqlite_house.db.close()
        figures.count(APPID, "login", NOON)
        figures.seen([user_id], NOON)
        await figures.flush()
        with pytest.raises(UsersAway):
            await figures.since([APPID], 0)
        await sqlite_house.db.start()
        await figures.flush()
        assert await stand(sqlite_house.db, "login") == {hour_of(NOON): 1}
        assert await stand(sqlite_house.db, "seen") == {first_hour(day_of(NOON)): 1}


class TestPeople:
    @pytest.mark.gen_test
    async def test_people_are_counted_as_they_come_and_go(self, database: Database) -> None:
        users = Users(database)
        ids = [await meet(users, n) for n in range(5)]
        await meet(users, 1)
        await meet(users, 9, OTHER_APPID)
        assert await stand(database, "users") == {0: 5}
        await erase(users, ids[2])
        assert await stand(database, "users") == {0: 4}
        assert await stand(database, "users", OTHER_APPID) == {0: 1}

    @pytest.mark.gen_test
    async def test_a_hundred_first_logins_at_once_are_as_many_people_as_rows(self, database: Database) -> None:
        users = Users(database)
        await asyncio.gather(*(meet(users, n % 30) for n in range(100)))
        assert await stand(database, "users") == {0: 30}

    @pytest.mark.gen_test
    async def test_somebody_seen_again_and_again_is_one_person_that_day(self, database: Database) -> None:
        users, first, second = Users(database), Figures(database), Figures(database)
        mei, lan = await meet(users, 1), await meet(users, 2)
        for figures in (first, second, first):
            figures.seen([mei], NOON)
            await figures.flush()
        second.seen([lan, mei], NOON + 60)
        await second.flush()
        assert await stand(database, "seen") == await stand(database, "dau") == {first_hour(day_of(NOON)): 2}

    @pytest.mark.gen_test
    async def test_the_next_day_they_move_and_yesterday_stays_written(self, database: Database) -> None:
        users, figures = Users(database), Figures(database)
        mei, lan = await meet(users, 1), await meet(users, 2)
        figures.seen([mei, lan], NOON)
        figures.seen([mei], NOON + DAY)  # before anything was flushed, as around midnight
        await figures.flush()
        yesterday, today = first_hour(day_of(NOON)), first_hour(day_of(NOON) + 1)
        assert await stand(database, "dau") == {yesterday: 2, today: 1}
        assert await stand(database, "seen") == {yesterday: 1, today: 1}

    @pytest.mark.gen_test
    async def test_late_news_moves_nobody_back(self, database: Database) -> None:
        users, late = Users(database), Figures(database)
        mei = await meet(users, 1)
        figures = Figures(database)
        figures.seen([mei], NOON + DAY)
        await figures.flush()
        late.seen([mei], NOON)
        await late.flush()
        assert await stand(database, "seen") == {first_hour(day_of(NOON) + 1): 1}

    @pytest.mark.gen_test
    async def test_the_erased_are_not_counted_any_more(self, database: Database) -> None:
        users, figures = Users(database), Figures(database)
        mei, lan, hui = [await meet(users, n) for n in range(3)]
        figures.seen([mei, lan], NOON)
        await figures.flush()
        await erase(users, mei)
        await erase(users, hui)  # whom nobody has seen
        figures.seen([hui], NOON)
        await figures.flush()
        assert await stand(database, "seen") == {first_hour(day_of(NOON)): 1}
        assert await stand(database, "users") == {0: 1}

    @pytest.mark.gen_test
    async def test_after_days_of_two_busy_processes_the_counters_equal_a_scan(self, database: Database) -> None:
        users, dice = Users(database), random.Random(7)  # noqa: S311  # a test's people, not a token
        processes = [Figures(database), Figures(database)]
        people = [await meet(users, n, dice.choice([APPID, OTHER_APPID])) for n in range(60)]
        came: dict[int, set[int]] = {}
        for day in range(4):
            for _ in range(6):
                for figures in processes:
                    some = set(dice.sample(people, 8))
                    came.setdefault(day, set()).update(some)
                    figures.seen(some, NOON + day * DAY)
                await asyncio.gather(*(figures.flush() for figures in processes))
            gone = people.pop()
            await asyncio.gather(erase(users, gone), *(figures.flush() for figures in processes))
        for appid in (APPID, OTHER_APPID):
            found = {day: n for (app, day), n in (await scanned(database)).items() if app == appid and day}
            assert await stand(database, "seen", appid) == {first_hour(day): n for day, n in found.items()}
        both = Counter(await stand(database, "dau")) + Counter(await stand(database, "dau", OTHER_APPID))
        assert dict(both) == {first_hour(day_of(NOON) + day): len(ids) for day, ids in came.items()}
        in_all = sum((await stand(database, "users")).values()) + sum(
            (await stand(database, "users", OTHER_APPID)).values()
        )
        assert in_all == len(people)

    @pytest.mark.gen_test
    async def test_more_people_than_one_batch_holds_are_all_counted(self, database: Database) -> None:
        users, figures = Users(database), Figures(database)
        await meet(users, 0)
        insert = "INSERT INTO user (appid, openid, create_time, last_login_time) VALUES (:a, :o, 1, 1)"
        await database.write(script(*(ad_hoc(insert, a=APPID, o=f"oMany{n}") for n in range(1_200))))
        ids = [row[0] for row in await database.read(ad_hoc("SELECT id FROM user"))]
        figures.seen(ids, NOON)
        await figures.flush()
        assert await stand(database, "seen") == {first_hour(day_of(NOON)): len(ids)}
        asked = await database.read(ad_hoc("SELECT COUNT(*) FROM user WHERE seen_day = :d", d=day_of(NOON)))
        assert [tuple(row) for row in asked] == [(len(ids),)]


class TestUpgrade:
    """People who were there before there were counters."""

    ADD = "INSERT INTO user (appid, openid, create_time, last_login_time) VALUES ('{}', 'o{}', 1, 1)"

    @pytest.mark.quick
    @pytest.mark.gen_test
    async def test_on_sqlite_they_are_counted(self, tmp_path: Path) -> None:
        path = tmp_path / "old.db"
        path.touch(mode=0o600)
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as old:
            for statement in self.of_old("sqlite"):
                old.execute(statement)
        db = open_database(SqliteUrl(path))
        await db.upgrade()
        await db.start()
        assert (await stand(db, "users"), await stand(db, "users", OTHER_APPID)) == ({0: 3}, {0: 1})
        await db.close()

    @pytest.mark.gen_test
    async def test_on_mariadb_they_are_counted(self, mariadb: MariaDB) -> None:
        where = mysql_url(mariadb.database())
        for statement in self.of_old("mysql"):
            mariadb.query(statement, database=where.name)
        db = open_database(where)
        await db.upgrade()
        assert (await stand(db, "users"), await stand(db, "users", OTHER_APPID)) == ({0: 3}, {0: 1})
        await db.close()

    def of_old(self, dialect: Dialect) -> list[str]:
        """A database of version 2 with four people."""
        tables = [part for version in (1, 2) for part in history(dialect)[version]]
        people = [self.ADD.format(appid, n) for n, appid in enumerate((APPID, APPID, OTHER_APPID, APPID))]
        return [*tables, "INSERT INTO schema_version (version, applied_at) VALUES (2, 1)", *people]
