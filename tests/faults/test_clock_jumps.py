"""The machine's clock jumps under a server and its Redis, which follows it: nobody who is out is in again."""

import asyncio
import re
import secrets
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from phone import Network, Phone
from product import Product
from servers import RedisServer, program
from shell import done
from verdicts import refused, succeeded

from actions.upkeep import RETENTION_SECONDS
from faults.asking import said, until

Phones = Callable[..., list[Phone]]
MakeServer = Callable[..., Product]
DAY = 86_400
WEEK = 7 * DAY
SESSION_BYTES = 107  # see stores/sessions/packed.py


class Clock:
    """The wall clock of whatever is started while it is worn; CLOCK_MONOTONIC, which nobody can set, is as ever."""

    def __init__(self, folder: Path) -> None:
        self._off = folder / "clock"
        self._library = folder / "clock.so"
        self.put(days=0)
        source = Path(__file__).with_name("clock.c")
        subprocess.run([str(program("tcc")), "-shared", "-o", str(self._library), str(source)], check=True)

    def put(self, *, days: int) -> None:
        """Put it so many days before or behind the real one; who wears it has the file in its memory."""
        with self._off.open("r+b" if self._off.exists() else "wb") as file:
            file.write(struct.pack("l", days * DAY))

    def wear(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let every child that this test starts follow it."""
        monkeypatch.setenv("CLOCK", str(self._off))
        monkeypatch.setenv("LD_PRELOAD", str(self._library))


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock(tmp_path)
    clock.wear(monkeypatch)
    return clock


@pytest.fixture
def redis(clock: Clock, folder: Path) -> Iterator[RedisServer]:
    """A Redis with that clock."""
    server = RedisServer(folder / f"redis-{secrets.token_hex(4)}")
    server.start()
    yield server
    server.kill()
    shutil.rmtree(server.folder)


def ends(redis: RedisServer, server: Product) -> dict[bytes, int]:
    """When Redis lets go of each session, in epoch seconds."""
    with redis.client(int(server.settings["SESSIONS"].rpartition("/")[2])) as client:
        texts = client.scan_iter(_type="STRING")
        return {key: client.expiretime(key) for key in texts if client.strlen(key) == SESSION_BYTES}


async def told(server: Product, network: Network) -> int:
    """How far the clock was moved, says /metrics."""
    base = re.findall(r"^dashboard at (http://\S+)/admin/$", server.log(), re.MULTILINE)[-1]
    text = (await network.ask("GET", f"{base}/metrics")).body.decode()
    [seconds] = re.findall(r"^menshen_clock_jump_seconds_total (\d+)$", text, re.MULTILINE)
    return int(seconds)


@pytest.mark.gen_test(timeout=120)
async def test_a_clock_that_jumps_lets_nobody_in_again_and_gives_nobody_more_time(
    clock: Clock, redis: RedisServer, make_server: MakeServer, phones: Phones, network: Network
) -> None:
    server = make_server(SESSIONS=redis.url(), SESSION_SLIDING=True, SESSION_MAX_SECONDS=WEEK, ADMIN_PORT=0)
    mei, lan, bob = phones(3, at=server)
    user = succeeded(await mei.login())["user"]["id"]
    succeeded(await lan.login())
    succeeded(await bob.login())
    await done(server, "sessions", "revoke-user", str(user))
    before = ends(redis, server)
    assert len(before) == 2
    await asyncio.sleep(1.5 * RETENTION_SECONDS)  # in which the clocks are compared
    assert await told(server, network) == 0

    async def noticed(seconds: int) -> bool:
        return abs(await told(server, network) - seconds) < 60

    clock.put(days=-8)
    refused(await mei.verify(), 401002, reason="revoked")
    for phone in (lan, bob):
        succeeded(await phone.verify())
    await until(lambda: noticed(8 * DAY), seconds=60)
    assert "ERROR" in next(line for line in server.log().splitlines() if "the clock was moved by -6912" in line)
    assert ends(redis, server) == before
    clock.put(days=8)
    assert [said(await phone.verify()) for phone in (mei, lan, bob)] == [(401, 401002, "login")] * 3
    await until(lambda: noticed(24 * DAY), seconds=60)
    assert "ERROR" in next(line for line in server.log().splitlines() if "the clock was moved by +13824" in line)
    clock.put(days=0)
    assert [said(await phone.verify()) for phone in (mei, lan, bob)] == [(401, 401002, "login")] * 3
    succeeded(await lan.login())
    succeeded(await lan.verify())
    [end] = ends(redis, server).values()
    assert end <= max(before.values()) + 120
