"""Some of what `make prove` shows, with small counts, and that a proof would notice when a goal is missed."""

import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tornado.ioloop import IOLoop

from benchmarks.prove import __main__ as prove
from benchmarks.prove import away, ended, killed, lasting, people, records
from benchmarks.prove.ground import GOALS, Ground, InTurns, Result


@pytest.fixture
def ground(io_loop: IOLoop) -> Iterator[Ground]:
    """Give the test a stage of its own."""

    async def made() -> Ground:
        return Ground(Path(tempfile.mkdtemp(prefix="menshen-prove-")))

    stage = io_loop.run_sync(made)
    yield stage
    io_loop.run_sync(stage.clear)
    shutil.rmtree(stage.folder, ignore_errors=True)


def test_every_goal_has_a_proof_and_a_sentence() -> None:
    assert sorted(GOALS) == list(range(1, 28))
    assert all(len(goal.promise) < 115 for goal in GOALS.values())


@pytest.mark.gen_test(timeout=60)
async def test_after_kills_under_logins_every_acknowledged_token_holds(ground: Ground) -> None:
    result = await killed.killed_under_logins(ground, kills=2, rate=60)
    assert "0 lost and 0 wrong of " in result.measured
    assert "0 people twice" in result.measured


@pytest.mark.gen_test(timeout=60)
async def test_no_verify_among_hang_ups_and_cuts_is_somebody_else_s(ground: Ground) -> None:
    result = await people.identity(ground, verifies=1_000, crowd=30)
    assert result.held, result


@pytest.mark.gen_test(timeout=60)
async def test_edits_of_the_audit_are_found_and_no_deed_is_without_its_record(ground: Ground) -> None:
    result = await records.audit(ground, edits=16, kills=3)
    assert result.held, result


@pytest.mark.gen_test(timeout=60)
async def test_after_power_cuts_everything_acknowledged_is_there(ground: Ground) -> None:
    result = await killed.power_cut(ground, points=4, logins=20)
    assert result.held in (True, None), result  # None where strace is not installed


@pytest.mark.gen_test(timeout=120)
async def test_while_two_servers_are_restarted_in_turn_nobody_sees_a_failure(ground: Ground) -> None:
    result = await ended.rolling_restart(ground, restarts=1, rate=40)
    assert result.held, result


@pytest.mark.gen_test(timeout=60)
async def test_a_server_that_is_asked_to_stop_answers_whoever_waits(ground: Ground) -> None:
    result = await ended.asked_to_stop(ground, times=1)
    assert result.measured.startswith("1 of 1 exited with 0, 0 of 5 open logins unanswered"), result


@pytest.mark.gen_test(timeout=60)
async def test_no_secret_is_in_anything_that_was_written(ground: Ground) -> None:
    result = await lasting.canaries(ground, people=6)
    assert result.held, result


@pytest.mark.gen_test(timeout=60)
async def test_clocks_that_jump_bring_nobody_back_and_purge_nothing(ground: Ground) -> None:
    result = await lasting.clocks(ground, people=4)
    assert result.held, result


class TestVerifiesInTurns:
    def test_the_middle_round_counts_and_one_that_was_disturbed_does_not(self) -> None:
        calm = [[1.0] * 98 + [5.0] * 2, [1.0] * 98 + [4.0] * 2, [1.0] * 98 + [90.0] * 2]
        meanwhile = [[1.0] * 98 + [70.0] * 2, [1.0] * 98 + [6.5] * 2, [1.0] * 98 + [6.0] * 2]
        seen = InTurns(calm, meanwhile)
        assert seen.change() == 1.5
        assert seen.unnoticed()
        assert seen.told().startswith("verify p99 5.0 ms, then 6.5 ms (+1.5; the middle of 3 rounds)")

    def test_what_is_slower_in_most_rounds_is_noticed(self) -> None:
        seen = InTurns([[1.0]] * 3, [[1.0], [3.5], [3.5]])
        assert seen.change() == 2.5
        assert not seen.unnoticed()


class TestTheDiskOfThePowerCut:
    def test_what_was_not_synced_is_lost_and_what_was_is_not(self) -> None:
        disk, name = killed.Disk(), "menshen.db-wal"
        disk.write(name, 0, b"a" * 512)
        disk.sync(name, 1)
        disk.write(name, 512, b"b" * 512)
        dice = random.Random(1)  # noqa: S311  # the same luck each time
        assert disk.after_a_cut(0.0, dice) == {name: b"a" * 512}
        assert disk.after_a_cut(1.1, dice) == {name: b"a" * 512 + b"b" * 512}

    def test_a_write_that_began_during_a_sync_is_not_made_certain_by_it(self, tmp_path: Path) -> None:
        trace = tmp_path / "trace"
        file = "7</x/menshen.db-wal>"
        trace.write_text(
            f'1 pwrite64({file}, "\\x61", 1, 0) = 1\n'
            f"1 fdatasync({file} <unfinished ...>\n"
            f'2 pwrite64({file}, "\\x62", 1, 1) = 1\n'
            "1 <... fdatasync resumed>) = 0\n"
        )
        disk = killed.Disk()
        for call in killed.calls(trace):
            killed.replay(disk, call)
        assert disk.synced["menshen.db-wal"] == b"a"
        assert disk.waiting["menshen.db-wal"] == [(1, b"b")]

    def test_an_answer_is_known_by_its_id_and_only_a_success_counts(self) -> None:
        def sent(text: str, call: str, arguments: str) -> killed.Call:
            data = "".join(f"\\x{byte:02x}" for byte in text.encode())
            return killed.Call("1", call, f"9<socket:[1]>, {arguments.format(data)}", 1, "whole")

        for call, arguments in (
            ("sendto", '"{}", 1, 0, NULL, 0'),
            ("write", '"{}", 1'),
            ("writev", '[{{iov_base="{}", iov_len=1}}, {{iov_base="\\x7b", iov_len=1}}], 2'),
        ):
            success = sent("HTTP/1.1 200 OK\r\nX-Request-Id: 0123456789abcdef\r\n", call, arguments)
            refusal = sent("HTTP/1.1 503 No\r\nX-Request-Id: 0123456789abcdef\r\n", call, arguments)
            assert (killed.acknowledged(success), killed.acknowledged(refusal)) == ("0123456789abcdef", "")


def test_an_answer_of_redis_before_its_sync_is_counted(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    write, sync, answer = (
        '1 write(8</r/appendonly.aof.1.incr.aof>, "x", 1) = 1\n',
        "1 fdatasync(8</r/appendonly.aof.1.incr.aof>) = 0\n",
        '1 write(9<socket:[5]>, "+OK", 3) = 3\n',
    )
    trace.write_text(write + sync + answer)
    assert away.answered_unsynced(trace) == (0, 1)
    trace.write_text(write + answer + sync)
    assert away.answered_unsynced(trace) == (1, 1)


def test_the_page_tells_each_goal_with_its_verdict() -> None:
    page = prove.page({2: Result("50 kills, 0 lost", held=True), 22: Result("not measured", None, "no backup")}, 61)
    assert "| D2 | " in page
    assert "| 50 kills, 0 lost | held |" in page
    assert "| not measured (no backup) | not shown |" in page


def test_a_proof_that_runs_alone_writes_its_own_row_and_no_other() -> None:
    page = prove.page({2: Result("50 kills, 1 lost", held=False), 22: Result("not measured", None)}, 61)
    anew = prove.with_row(page, GOALS[2], Result("50 kills, 0 lost", held=True))
    [before], [after] = ([row for row in text.split("\n") if row.startswith("| D2 |")] for text in (page, anew))
    assert before.endswith("| 50 kills, 1 lost | NOT HELD |")
    assert "| 50 kills, 0 lost (measured alone on 20" in after
    assert after.endswith(") | held |")
    assert anew.replace(after, before) == page
