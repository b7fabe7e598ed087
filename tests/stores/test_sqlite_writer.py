"""The one thread that writes to SQLite: many writes in few commits, each undone alone, and no trouble that ends it."""

import asyncio
import logging
import os
import resource
import sqlite3
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from engines import ad_hoc, meet, script
from tornado.ioloop import IOLoop

from settings import SqliteUrl
from stores.attempts import Attempts, Counter, MustWait
from stores.db import Database, Script, load, open_database
from stores.db.promise import WRITE_SECONDS
from stores.db.schema import NEWEST
from stores.db.sqlite_writer import MOST_IN_ONE_COMMIT, MOST_WAITING
from stores.db.statements import history
from stores.errors import StoreFull, StoreTrouble, UsersAway, WrongSchema
from stores.logins import Logins
from stores.users import Users

pytest_plugins = ["store_fixtures"]

SQL = load("sessions.sql")


def note(name: str) -> Script[int]:
    """A tally; gives where it stands."""
    yield SQL["add_tally"](name=name, n=1, until=10)
    total = yield SQL["tally_of"](name=name)
    return int(total.rows[0][0])


async def tallies(db: Database) -> dict[str, int]:
    return dict(await db.read(ad_hoc("SELECT name, n FROM tally")))


def commits(path: Path) -> int:
    """How many commits the write-ahead log holds: a commit's last page carries the size of the file after it.

    https://www.sqlite.org/fileformat2.html#the_write_ahead_log
    """
    log = path.with_name(path.name + "-wal").read_bytes()
    page_bytes, salts = struct.unpack(">I", log[8:12])[0], log[16:24]
    frames = (log[start : start + 24] for start in range(32, len(log), 24 + page_bytes))
    return sum(frame[8:16] == salts and frame[4:8] != bytes(4) for frame in frames)


@pytest.fixture
def db(sqlite_file: SqliteUrl, io_loop: IOLoop) -> Iterator[Database]:
    db = open_database(sqlite_file)
    io_loop.run_sync(db.start)
    yield db
    io_loop.run_sync(db.close)


@contextmanager
def only_files(n: int) -> Iterator[None]:
    """Let this process open `n` files more and no other."""
    free = [os.open(os.devnull, os.O_RDONLY) for _ in range(n)]
    for file in free:
        os.close(file)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(free) + 1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def locked(where: SqliteUrl) -> Iterator[None]:
    """Another process of ours that holds the write lock."""
    other = sqlite3.connect(where.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


class TestCommits:
    @pytest.mark.gen_test
    async def test_many_writes_at_once_share_a_few_commits(self, db: Database, sqlite_file: SqliteUrl) -> None:
        await db.write(lambda: note("first"))
        before = commits(sqlite_file.path)
        await asyncio.gather(*(db.write(lambda n=n: note(f"n{n}")) for n in range(200)))  # type: ignore[misc]  # n is an int
        assert 1 <= commits(sqlite_file.path) - before <= 20
        assert len(await tallies(db)) == 201

    @pytest.mark.gen_test
    async def test_writes_one_after_the_other_are_committed_each(self, db: Database, sqlite_file: SqliteUrl) -> None:
        await db.write(lambda: note("first"))
        before = commits(sqlite_file.path)
        for _ in range(5):
            await db.write(lambda: note("same"))
        assert commits(sqlite_file.path) - before == 5

    @pytest.mark.gen_test
    @pytest.mark.parametrize("durable", [True, False])
    async def test_what_was_answered_is_there_for_every_reader(
        self, db: Database, sqlite_file: SqliteUrl, durable: bool
    ) -> None:
        for n in range(20):
            assert await db.write(lambda: note("same"), durable=durable) == n + 1
            other = sqlite3.connect(sqlite_file.path)
            assert other.execute("SELECT n FROM tally WHERE name = 'same'").fetchall() == [(n + 1,)]
            other.close()

    @pytest.mark.gen_test
    async def test_durable_and_relaxed_writes_at_once_lose_none(self, db: Database) -> None:
        await asyncio.gather(*(db.write(lambda: note("same"), durable=n % 2 == 0) for n in range(100)))
        assert await tallies(db) == {"same": 100}

    @pytest.mark.gen_test
    async def test_what_was_accepted_before_the_end_is_written(self, db: Database) -> None:
        writes = [asyncio.ensure_future(db.write(lambda: note("same"))) for _ in range(50)]
        await asyncio.sleep(0)
        await db.close()
        assert sorted(await asyncio.gather(*writes)) == list(range(1, 51))
        await db.start()
        assert await tallies(db) == {"same": 50}


class TestUndoing:
    @pytest.mark.gen_test
    async def test_one_scripts_exception_undoes_itself_alone(self, db: Database) -> None:
        class Refused(Exception):
            pass

        def refused() -> Script[int]:
            yield SQL["add_tally"](name="refused", n=1, until=10)
            raise Refused

        def broken() -> Script[int]:
            yield SQL["add_tally"](name="broken", n=1, until=10)
            yield ad_hoc("SELECT nothing FROM nowhere")
            return 0

        outcomes = await asyncio.gather(
            *(db.write(make) for make in (lambda: note("a"), refused, lambda: note("b"), broken, lambda: note("c"))),
            return_exceptions=True,
        )
        assert [type(each) for each in outcomes] == [int, Refused, int, UsersAway, int]
        assert await tallies(db) == {"a": 1, "b": 1, "c": 1}

    @pytest.mark.gen_test
    async def test_a_script_sees_what_it_wrote_and_nobody_else_does_before_the_commit(self, db: Database) -> None:
        seen: list[dict[str, int]] = []

        def looked_at() -> Script[int]:
            yield SQL["add_tally"](name="mine", n=3, until=10)
            total = yield SQL["tally_of"](name="mine")
            seen.append(outside())
            return int(total.rows[0][0])

        def outside() -> dict[str, int]:
            other = sqlite3.connect(db.path)  # type: ignore[attr-defined]  # SQLite has a path
            found = dict(other.execute("SELECT name, n FROM tally").fetchall())
            other.close()
            return found

        assert await db.write(looked_at) == 3
        assert seen == [{}]
        assert outside() == {"mine": 3}


class TestTrouble:
    @pytest.mark.gen_test
    async def test_a_full_disk_is_told_and_reading_goes_on_and_writing_comes_back(
        self, db: Database, sqlite_file: SqliteUrl
    ) -> None:
        mei = await meet(Users(db), "oMei")
        pages = (await db.read(ad_hoc("PRAGMA page_count")))[0][0]

        def set_bound(most: int) -> Script[None]:
            yield ad_hoc("PRAGMA max_page_count = 1") if most == 1 else ad_hoc("PRAGMA max_page_count = 100000")

        await db.write(lambda: set_bound(1))
        writes = [db.write(lambda n=n: note(f"{n}".ljust(60, "x"))) for n in range(500)]  # type: ignore[misc]  # n is an int
        outcomes = await asyncio.gather(*writes, return_exceptions=True)
        assert all(isinstance(each, int | StoreFull) for each in outcomes)
        assert any(isinstance(each, StoreFull) for each in outcomes)
        assert len(await tallies(db)) == sum(isinstance(each, int) for each in outcomes)
        assert (await db.read(ad_hoc("PRAGMA page_count")))[0][0] >= pages
        assert await Users(db).find(mei.id) == mei
        await db.write(lambda: set_bound(100_000))
        assert await db.write(lambda: note("again")) == 1

    @pytest.mark.gen_test
    async def test_while_another_process_writes_long_a_write_is_away_and_a_read_is_not(
        self, db: Database, sqlite_file: SqliteUrl
    ) -> None:
        mei = await meet(Users(db), "oMei")
        with locked(sqlite_file):
            began = time.monotonic()
            writing = asyncio.ensure_future(db.write(lambda: note("late")))
            await asyncio.sleep(0.01)
            assert await Users(db).find(mei.id) == mei
            with pytest.raises(UsersAway):
                await writing
            assert time.monotonic() - began < 3 * WRITE_SECONDS
        assert await db.write(lambda: note("again")) == 1
        assert await tallies(db) == {"again": 1}

    @pytest.mark.gen_test
    @pytest.mark.parametrize("hangs_up", [True, False], ids=["before its turn", "while its turn begins"])
    async def test_a_write_that_was_given_up_is_never_done(
        self, db: Database, sqlite_file: SqliteUrl, hangs_up: bool
    ) -> None:
        with locked(sqlite_file):
            first = asyncio.ensure_future(db.write(lambda: note("first")))
            await asyncio.sleep(0.1)
            second = asyncio.ensure_future(db.write(lambda: note("second")))  # its turn comes when the first gives up
            await asyncio.sleep(0)
            if hangs_up:
                second.cancel()
            outcomes = await asyncio.gather(first, second, return_exceptions=True)
            assert [type(each) for each in outcomes] == [UsersAway, asyncio.CancelledError if hangs_up else UsersAway]
        assert await db.write(lambda: note("third")) == 1
        assert await tallies(db) == {"third": 1}

    @pytest.mark.gen_test
    async def test_a_write_that_has_begun_when_its_time_is_over_is_told_as_it_ends(self, db: Database) -> None:
        def slow() -> Script[int]:
            time.sleep(WRITE_SECONDS + 0.2)
            return (yield from note("slow"))

        assert await db.write(slow) == 1
        assert await tallies(db) == {"slow": 1}

    @pytest.mark.gen_test(timeout=30)
    async def test_a_disk_that_does_not_come_back_is_away_in_bounded_time(self, db: Database) -> None:
        back = threading.Event()

        def stuck() -> Script[int]:
            back.wait(20)
            return (yield from note("stuck"))

        with pytest.raises(UsersAway, match="may still be done"):
            await db.write(stuck)
        assert not back.is_set()
        back.set()
        assert await db.write(lambda: note("after")) == 1

    @pytest.mark.gen_test
    async def test_more_than_can_wait_are_refused_at_once(self, db: Database, sqlite_file: SqliteUrl) -> None:
        with locked(sqlite_file):
            writes = [asyncio.ensure_future(db.write(lambda: note("same"))) for _ in range(6_000)]
            await asyncio.sleep(0)
            refused = [each for each in writes if each.done()]
            taken = 2 * MOST_IN_ONE_COMMIT  # by the thread, which does not wait for the loop to come to rest
            assert len(refused) >= len(writes) - MOST_WAITING - taken
            assert all(isinstance(each.exception(), UsersAway) for each in refused)
            await asyncio.gather(*writes, return_exceptions=True)
        assert await db.write(lambda: note("after")) == 1

    @pytest.mark.gen_test
    async def test_what_ended_is_not_told_while_an_end_waits_to_be_written(
        self, db: Database, sqlite_file: SqliteUrl
    ) -> None:
        logins = Logins(db)
        logins.ended([b"e" * 32], "logged_out", 1_000)
        with locked(sqlite_file), pytest.raises(UsersAway):
            [some async for some in logins.ended_since(0)]
        # Nothing waits now; that there is no such login may be because another process has still to write it down.
        assert [some async for some in logins.ended_since(0)] == [[(b"e" * 32, "logged_out")]]

    @pytest.mark.gen_test
    async def test_who_has_to_wait_with_the_next_guess_is_told_so_without_a_write(
        self, db: Database, sqlite_file: SqliteUrl
    ) -> None:
        attempts = Attempts(db)
        full = Counter(b"n" * 32, free=1, first_seconds=30, longest_seconds=3_600, forgotten_after_seconds=86_400)
        await attempts.reserve([full], 1_000)
        with locked(sqlite_file), pytest.raises(MustWait):
            await attempts.reserve([full], 1_001)

    @pytest.mark.gen_test
    async def test_the_word_to_stop_does_not_hold_up_the_loop_behind_a_full_queue(
        self, db: Database, sqlite_file: SqliteUrl
    ) -> None:
        def ended() -> list[str]:
            return [str(each.exception()) for each in writes if each.done()]

        with locked(sqlite_file):
            writes = list[asyncio.Task[int]]()
            while "too many writes are waiting" not in ended():
                assert len(writes) < 4 * MOST_WAITING
                writes += [asyncio.create_task(db.write(lambda: note("same"))) for _ in range(1_000)]
                await asyncio.sleep(0)
            before = len(ended())
            closing = asyncio.ensure_future(db.close())
            for _ in range(3):
                await asyncio.sleep(0)
            assert len(ended()) == before, "the loop was held up until writes had ended"
        await asyncio.gather(*writes, return_exceptions=True)
        await closing

    @pytest.mark.gen_test
    async def test_a_defect_in_a_script_does_not_end_the_thread(self, db: Database) -> None:
        def strange() -> Script[None]:
            raise ZeroDivisionError
            yield

        with pytest.raises(ZeroDivisionError):
            await db.write(strange)
        assert await db.write(lambda: note("after")) == 1
        assert [thread.name for thread in threading.enumerate()].count("sqlite-writer") == 1

    @pytest.mark.gen_test
    async def test_a_reader_cannot_write(self, db: Database, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.ERROR), pytest.raises((StoreFull, UsersAway)):
            await db.read(ad_hoc("DELETE FROM tally"))

    @pytest.mark.gen_test
    async def test_before_it_is_open_nothing_is_read(self, sqlite_file: SqliteUrl) -> None:
        with pytest.raises(UsersAway):
            await open_database(sqlite_file).read(SQL["epochs"]())


class TestFiles:
    @pytest.mark.gen_test
    async def test_a_missing_file_is_not_made_by_starting(self, tmp_path: Path) -> None:
        where = SqliteUrl(tmp_path / "none.db")
        with pytest.raises(WrongSchema, match="no database"):
            await open_database(where).start()
        assert not where.path.exists()

    @pytest.mark.gen_test
    @pytest.mark.parametrize("content", [b"", b"x" * 8192, b"SQLite format 3\x00" + b"\xff" * 4096])
    async def test_a_file_that_is_no_database_is_refused_and_left_alone(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "menshen.db"
        path.touch(mode=0o600)
        path.write_bytes(content)
        for ask in (open_database(SqliteUrl(path)).start, open_database(SqliteUrl(path)).upgrade):
            with pytest.raises(WrongSchema):
                await ask()
            assert path.read_bytes() == content

    @pytest.mark.gen_test
    async def test_a_file_that_another_program_has_for_itself_is_away_and_not_damaged(
        self, sqlite_file: SqliteUrl
    ) -> None:
        other = sqlite3.connect(sqlite_file.path, isolation_level=None)
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        for ask in (open_database(sqlite_file).start, open_database(sqlite_file).upgrade):
            with pytest.raises(UsersAway, match="locked") as told:
                await ask()
            assert not isinstance(told.value, WrongSchema)
        other.close()

    @pytest.mark.gen_test
    async def test_a_server_that_may_not_open_enough_files_does_not_start_at_all(self, sqlite_file: SqliteUrl) -> None:
        outcomes = []
        for n in range(1, 16):
            db = open_database(sqlite_file)
            with only_files(n):
                try:
                    await db.start()
                except StoreTrouble:
                    outcomes.append("refused")
                    continue
                outcomes.append("started")
                await db.write(lambda: note("written"))  # whoever started can also write
            await db.close()
        assert set(outcomes) == {"refused", "started"}

    @pytest.mark.gen_test
    async def test_before_an_upgrade_a_whole_copy_is_put_aside_whatever_an_interruption_left(
        self, tmp_path: Path
    ) -> None:
        where = SqliteUrl(tmp_path / "menshen.db")
        first_version = sqlite3.connect(where.path, isolation_level=None)
        for part in history("sqlite")[1]:
            first_version.execute(part)
        first_version.execute("INSERT INTO schema_version VALUES (1, 0)")
        first_version.close()
        where.path.chmod(0o600)
        copy = tmp_path / f"menshen.db.before-version-{NEWEST}"
        copy.with_name(f"{copy.name}.draft").write_bytes(b"half a copy")
        assert await open_database(where).upgrade() == list(range(2, NEWEST + 1))
        assert set(os.listdir(tmp_path)) == {"menshen.db", copy.name}
        assert copy.stat().st_mode & 0o777 == 0o600
        aside = sqlite3.connect(copy)
        assert aside.execute("SELECT version FROM schema_version").fetchall() == [(1,)]
        aside.close()

    @pytest.mark.gen_test
    async def test_only_the_owner_can_read_what_is_made(self, tmp_path: Path) -> None:
        db = open_database(SqliteUrl(tmp_path / "data" / "menshen.db"))
        await db.upgrade()
        await db.start()
        await db.write(script(SQL["add_tally"](name="x", n=1, until=1)))
        modes = {each.name: each.stat().st_mode & 0o777 for each in (tmp_path / "data").iterdir()}
        await db.close()
        assert "menshen.db-wal" in modes
        assert set(modes.values()) == {0o600}
