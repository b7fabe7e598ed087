"""What is forked does as a process that begins by itself, and outlives nobody."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import forked
import pytest


@pytest.mark.parametrize("words", [("settings", "--json"), ("version",), ("key",), ("nonsense",)], ids=" ".join)
def test_a_command_says_the_same_with_the_same_status(tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "menshen.toml").write_text("login_limit = 7\n")
    env = {**os.environ, "MENSHEN_DATA_DIR": "here", "MENSHEN_APPID": "wx0000000000000001"}
    command = [sys.executable, forked.SERVER, *words]
    itself = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False)
    by_fork = forked.run(words, cwd=tmp_path, env=env, timeout=60)
    for each in ("returncode", "stdout", "stderr"):
        assert getattr(by_fork, each) == getattr(itself, each)


def test_what_python_or_the_loader_reads_early_is_left_to_a_process_of_its_own() -> None:
    command = [sys.executable, forked.SERVER, "serve"]
    assert forked.can(command, os.environ)
    assert not forked.can(command, {**os.environ, "LD_PRELOAD": "clock.so"})
    assert not forked.can(["sh", "-c", "exec", *command], os.environ)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda each: each.name)
def test_none_outlives_whoever_started_it(tmp_path: Path, number: signal.Signals) -> None:
    program = """
        import os, sys, time, forked
        from pathlib import Path
        log = open("log.txt", "w+")
        kept = forked.start(["simulate", "--port", "0"], cwd=Path(), env=os.environ, out=log, err=log)
        print(kept.pid, flush=True)
        time.sleep(60)
    """
    env = {**os.environ, "PYTHONPATH": str(Path(forked.__file__).parent)}
    command = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        pid = int(run.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        run.send_signal(number)

    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline, "it lives on"
        time.sleep(0.02)
