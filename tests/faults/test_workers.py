"""Several processes on one port: a dead worker is replaced, and the word to stop reaches every one of them."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from phone import Network
from product import ROOT, Product

from faults.asking import alive, until

MakeServer = Callable[..., Product]

FAILING = """
import journal, workers
journal.start("text", "info")

def serve():
    raise LookupError("no such gate")

raise SystemExit(workers.Workers(1, serve).run())
"""


def children(product: Product) -> list[int]:
    """The workers of a server."""
    return [int(pid) for pid in Path(f"/proc/{product.pid}/task/{product.pid}/children").read_text().split()]


async def two_workers(product: Product, *, without: int = 0) -> list[int]:
    """Wait until two work, and none of them is the one that ended."""

    async def work() -> bool:
        return len(set(children(product)) - {without}) == 2

    await until(work, seconds=30)
    return children(product)


async def said(product: Product, words: str) -> None:
    async def stands_there() -> bool:
        return words in product.log()

    await until(stands_there, seconds=30)


@pytest.mark.gen_test
async def test_a_killed_worker_is_replaced_and_its_end_is_forgotten(make_server: MakeServer, network: Network) -> None:
    server = make_server(WORKERS=2)
    first, second = await two_workers(server)
    os.kill(first, signal.SIGKILL)
    assert second in await two_workers(server, without=first)
    assert await alive(network, server)
    assert server.stop() == 0
    assert server.log().count("listening on") == 1


@pytest.mark.gen_test
async def test_the_word_to_stop_while_a_worker_is_about_to_be_replaced_is_not_lost(make_server: MakeServer) -> None:
    server = make_server(WORKERS=2)
    os.kill((await two_workers(server))[0], signal.SIGKILL)
    await said(server, "is replaced")
    assert server.stop() == 0  # fails after half a minute when a worker stays that was never told


@pytest.mark.gen_test
async def test_the_word_to_stop_said_to_all_processes_at_once_lets_each_finish(make_server: MakeServer) -> None:
    server = make_server(WORKERS=2)
    await two_workers(server)
    await until(lambda: serving(server), seconds=30)
    os.killpg(server.pid, signal.SIGTERM)  # as systemd and a terminal do; the parent then tells its workers again
    assert server.stop() == 0
    assert server.log().count("INFO menshen: stopped") == 2


async def serving(product: Product) -> bool:
    """Say whether both workers have come so far that they know what to do about a signal."""
    return product.log().count("INFO menshen: serving") == 2


def test_why_a_worker_failed_stands_in_the_log() -> None:
    with subprocess.Popen([sys.executable, "-c", FAILING], cwd=ROOT, stderr=subprocess.PIPE, text=True) as parent:
        assert parent.stderr is not None
        line = parent.stderr.readline()
        assert "is replaced" in parent.stderr.readline()
        parent.terminate()
        parent.stderr.read()
    assert "ERROR menshen.workers: a worker failed" in line
    assert "LookupError: no such gate" in line
    assert parent.returncode == 0  # what ended before the word to stop does not count
