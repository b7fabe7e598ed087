"""A copy of the embedded database beside a server: no write waits for it, and it lets everything else go first."""

import os
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from stores.db.copies import CopyFailed, copy_whole

pytestmark = pytest.mark.quick
ROWS = 30_000


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Some 10 MB as a server keeps them."""
    path = tmp_path / "menshen.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE kept (n INTEGER PRIMARY KEY, what BLOB, word TEXT)")
        database.execute("CREATE INDEX by_word ON kept (word)")
        words = ((n, bytes(250), f"{n * 7_919 % ROWS:08}") for n in range(ROWS))
        database.executemany("INSERT INTO kept VALUES (?, ?, ?)", words)
    return path


def test_whoever_writes_while_a_copy_is_made_never_meets_a_lock(source: Path, tmp_path: Path) -> None:
    target, written = tmp_path / "copy.db", 0
    with (
        ThreadPoolExecutor(1) as thread,
        closing(sqlite3.connect(source, isolation_level=None, timeout=0)) as database,  # 0: a lock is an error at once
    ):
        copying = thread.submit(copy_whole, source, target, gently=True)
        while not copying.done():
            database.execute("BEGIN IMMEDIATE")
            database.execute("INSERT INTO kept (word) VALUES ('later')")
            database.execute("COMMIT")
            written += 1
            time.sleep(0.001)
        assert copying.result() == target.stat().st_size
    assert written > 10, "nothing was written meanwhile, so this test has shown nothing"
    with closing(sqlite3.connect(target)) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        [(kept,)] = copy.execute("SELECT COUNT(*) FROM kept").fetchall()
    assert ROWS <= kept < ROWS + written


def test_a_gentle_copy_lets_others_go_first_and_rests_as_long_as_it_works(source: Path, tmp_path: Path) -> None:
    def copied(*, gently: bool) -> tuple[int, float]:
        """The niceness of the thread afterwards, and how often the time at work it took."""
        began, worked = time.monotonic(), time.thread_time()
        copy_whole(source, tmp_path / f"copy-{gently}.db", gently=gently)
        share = (time.monotonic() - began) / (time.thread_time() - worked)
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id()), share

    with ThreadPoolExecutor(1) as thread:
        niceness, share = thread.submit(copied, gently=True).result()
    assert niceness == 10
    assert share > 1.5
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) < 10
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(copied, gently=False).result()[0] < 10


def test_a_copy_in_which_something_is_wrong_never_gets_its_name(source: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(source)) as database, database:
        database.execute("INSERT INTO kept (word) VALUES (NULL)")
        database.execute("PRAGMA writable_schema = ON")
        database.execute("UPDATE sqlite_master SET sql = replace(sql, 'word TEXT', 'word TEXT NOT NULL')")
    with pytest.raises(CopyFailed, match=r"menshen\.db is damaged: NULL value in kept\.word"):
        copy_whole(source, tmp_path / "copy.db")
    assert not list(tmp_path.glob("copy*"))
