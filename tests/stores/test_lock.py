"""The lock on the data: one server at a time, and none is locked out by a dead one."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stores.lock import FILE_NAME, AlreadyServed, DataLock

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
def another_process_serves(folder: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLD, str(ROOT), str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "taken\n"
            yield holder
        finally:
            holder.kill()


def taken(folder: Path) -> bool:
    lock = DataLock(folder)
    try:
        lock.take()
    except AlreadyServed:
        return False
    lock.release()
    return True


def test_a_second_server_is_refused_and_told_which_is_the_first(tmp_path: Path) -> None:
    with another_process_serves(tmp_path) as holder, pytest.raises(AlreadyServed) as told:
        DataLock(tmp_path).take()
    assert f"pid {holder.pid}" in str(told.value)
    assert str(tmp_path) in str(told.value)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_server_that_ended_in_any_way_locks_nobody_out(tmp_path: Path, number: signal.Signals) -> None:
    with another_process_serves(tmp_path) as holder:
        holder.send_signal(number)
        holder.wait(30)
        assert taken(tmp_path)


def test_a_stopped_server_lets_the_next_one_in(tmp_path: Path) -> None:
    lock = DataLock(tmp_path)
    lock.take()
    assert not taken(tmp_path)
    lock.release()
    lock.release()
    assert taken(tmp_path)


def test_a_file_left_behind_with_anything_in_it_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"\xff" * 100)
    lock = DataLock(tmp_path)
    lock.take()
    assert (tmp_path / FILE_NAME).read_text() == f"{os.getpid()}\n"
    lock.release()


def test_two_folders_can_be_served_at_once(tmp_path: Path) -> None:
    with another_process_serves(tmp_path / "one"):
        assert taken(tmp_path / "other")


def test_a_folder_that_is_made_for_it_belongs_to_its_owner_alone(tmp_path: Path) -> None:
    assert taken(tmp_path / "data")
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "data" / FILE_NAME).stat().st_mode & 0o777 == 0o600
