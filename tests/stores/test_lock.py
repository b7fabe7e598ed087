"""The lock on the database: one server at a time, and none is locked out by a dead one."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stores.lock import AlreadyServed, DataLock

pytestmark = pytest.mark.quick

ROOT = Path(__file__).resolve().parents[2]
HOLD = """
import pathlib, sys
sys.path.insert(0, sys.argv[1])
from stores.lock import DataLock
DataLock(pathlib.Path(sys.argv[2])).take()
print("taken", flush=True)
sys.stdin.read()
"""


@contextmanager
def another_process_serves(database: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLD, str(ROOT), str(database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "taken\n"
            yield holder
        finally:
            holder.kill()


def taken(database: Path) -> bool:
    lock = DataLock(database)
    try:
        lock.take()
    except AlreadyServed:
        return False
    lock.release()
    return True


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "menshen.db"


def test_a_second_server_is_refused_and_told_which_is_the_first(database: Path) -> None:
    with another_process_serves(database) as holder, pytest.raises(AlreadyServed) as told:
        DataLock(database).take()
    assert f"pid {holder.pid}" in str(told.value)
    assert str(database) in str(told.value)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_server_that_ended_in_any_way_locks_nobody_out(database: Path, number: signal.Signals) -> None:
    with another_process_serves(database) as holder:
        holder.send_signal(number)
        holder.wait(30)
        assert taken(database)


def test_a_stopped_server_lets_the_next_one_in(database: Path) -> None:
    lock = DataLock(database)
    lock.take()
    assert not taken(database)
    lock.release()
    lock.release()
    assert taken(database)


def test_a_file_left_behind_with_anything_in_it_is_no_lock(database: Path) -> None:
    left = database.with_name("menshen.db.lock")
    left.write_bytes(b"\xff" * 100)
    lock = DataLock(database)
    lock.take()
    assert left.read_text() == f"{os.getpid()}\n"
    lock.release()


def test_two_databases_in_one_folder_can_be_served_at_once(tmp_path: Path) -> None:
    with another_process_serves(tmp_path / "one.db"):
        assert taken(tmp_path / "other.db")


def test_one_database_by_two_names_is_served_once(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "menshen.db").touch()
    (tmp_path / "elsewhere").symlink_to(tmp_path / "data")
    (tmp_path / "other.db").symlink_to(tmp_path / "data" / "menshen.db")
    with another_process_serves(tmp_path / "data" / "menshen.db"):
        assert not taken(tmp_path / "elsewhere" / "menshen.db")
        assert not taken(tmp_path / "other.db")


def test_a_folder_that_is_made_for_it_belongs_to_its_owner_alone(tmp_path: Path) -> None:
    assert taken(tmp_path / "data" / "menshen.db")
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "data" / "menshen.db.lock").stat().st_mode & 0o777 == 0o600
