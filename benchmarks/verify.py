"""Measures /api/verify: a handler, the hot road, and the hot road behind llhttp, on SQLite and on Redis.

The runs are interleaved and short, so that a machine that does other work too slows all of them alike; what counts are
the ratios. The processor's time for each request is what other work disturbs least. Needs wrk and redis-server. The
server has one core for itself, wrk and Redis the other.
"""

import argparse
import asyncio
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from phone import Network, Phone, WeChat
from product import APPID, APPSECRET, ROOT, Product, Simulator
from servers import RedisServer

PEOPLE = 200
SERVER_CORE, LOAD_CORE = "0", "1"
# What stands before server.py's own main: the same program with a part of the road taken away, or another loop.
_AS_IT_IS = ""
_BY_HANDLER = "import handlers.door; handlers.door.METHODS = frozenset()"
_ON_UVLOOP = "import uvloop; uvloop.install()"


@dataclass(frozen=True)
class Road:
    """One way in which the server can answer."""

    name: str
    parser: str
    before: str


ROADS = (
    Road("handler", "tornado", _BY_HANDLER),
    Road("hot", "tornado", _AS_IT_IS),
    Road("hot, uvloop", "tornado", _ON_UVLOOP),
    Road("llhttp", "llhttp", _AS_IT_IS),
    Road("llhttp, uvloop", "llhttp", _ON_UVLOOP),
)


class BesideLoad(RedisServer):
    """A Redis that takes nothing from the server's core."""

    def command(self) -> list[str]:
        """Return the command line."""
        return ["taskset", "-c", LOAD_CORE, *super().command()]


class OnOneCore(Product):
    """A server of one road."""

    def __init__(self, folder: Path, road: Road, settings: dict[str, object]) -> None:
        super().__init__(folder, {**settings, "PARSER": road.parser, "LOG_LEVEL": "info"})
        self._road = road

    def command(self) -> list[str]:
        """Return the command line."""
        python, file, *options = super().command()
        run = [
            f"import runpy, sys; sys.argv[0] = {file!r}; sys.path[0] = {str(ROOT)!r}",
            self._road.before,
            f"runpy.run_path({file!r}, run_name='__main__')",
        ]
        return ["taskset", "-c", SERVER_CORE, python, "-c", "\n".join(run), *options]


async def tokens_of(product: Product, simulator: Simulator) -> list[str]:
    """Log people in, and return their tokens."""
    network = Network()
    wechat = WeChat(simulator.base, network)
    phones = [Phone(product, wechat, network) for _ in range(PEOPLE)]
    for phone in phones:
        await phone.login()
    await network.close()
    return [str(phone.token) for phone in phones]


_LUA = """
local tokens = {%s}
local n = 0
request = function()
  n = n %% #tokens + 1
  return wrk.format("GET", "/api/verify", {["Authorization"] = "Bearer " .. tokens[n], ["User-Agent"] = "%s"})
end
"""
_AGENT = "Mozilla/5.0 (Linux; Android 14; Pixel 7) AppleWebKit/537.36 MicroMessenger/8.0.49 MiniProgramEnv/android"


@dataclass(frozen=True)
class Run:
    """What one run gave."""

    rate: float  # requests in a second
    p99_ms: float
    cpu_us: float  # of the server, for a request


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def load(product: Product, script: Path, seconds: int, connections: int) -> Run:
    """Ask for some seconds."""
    before = _cpu_seconds(product.pid)
    command = ["taskset", "-c", LOAD_CORE, "wrk", "-t1", f"-c{connections}", f"-d{seconds}", "--latency"]
    command += ["-s", str(script), f"{product.base}/api/verify"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603  # our own words
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    slow = re.search(r"99%\s+([\d.]+)(us|ms|s)", done.stdout)
    count = re.search(r"(\d+) requests in", done.stdout)
    if not rate or not slow or not count or "Non-2xx" in done.stdout:
        raise SystemExit(f"not every request was answered with success:\n{done.stdout}")
    cpu_us = 1e6 * (_cpu_seconds(product.pid) - before) / int(count[1])
    return Run(float(rate[1]), float(slow[1]) * {"us": 0.001, "ms": 1, "s": 1000}[slow[2]], cpu_us)


@contextmanager
def running(folder: Path, store: str, roads: list[Road], settings: dict[str, object]) -> Iterator[dict[Road, Product]]:
    """A server of each road on stores of its own."""
    servers: dict[Road, Product] = {}
    try:
        for number, road in enumerate(roads):
            home = folder / f"{store}-{number}"
            servers[road] = OnOneCore(home, road, settings)
            servers[road].start()
        yield servers
    finally:
        for server in servers.values():
            server.kill()


def measure(
    folder: Path, store: str, settings: dict[str, object], simulator: Simulator, options: argparse.Namespace
) -> None:
    """Print one line for each road."""
    roads = [road for road in ROADS if road.name in options.roads]
    runs: dict[Road, list[Run]] = {road: [] for road in roads}
    with running(folder, store, roads, settings) as servers:
        scripts = {}
        for road, server in servers.items():
            tokens = asyncio.run(tokens_of(server, simulator))
            scripts[road] = server.folder / "load.lua"
            scripts[road].write_text(_LUA % (",".join(f'"{token}"' for token in tokens), _AGENT))
        for _ in range(options.rounds):
            for road, server in servers.items():
                runs[road].append(load(server, scripts[road], options.seconds, options.connections))
    base = _middle(run.rate for run in runs[roads[0]])
    for road in roads:
        rates = [run.rate for run in runs[road]]
        cpu, p99 = _middle(run.cpu_us for run in runs[road]), _middle(run.p99_ms for run in runs[road])
        spread = f"{min(rates):,.0f} to {max(rates):,.0f}"
        line = f"{_middle(rates):10,.0f}/s  x{_middle(rates) / base:.2f}  ({spread})  {cpu:5.0f} us  p99 {p99:.1f} ms"
        print(f"{store:8}{road.name:16}{line}", flush=True)


def _middle(figures: Iterable[float]) -> float:
    return statistics.median(figures)


def main() -> None:
    """Measure on both stores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="of each run")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--stores", nargs="+", default=["sqlite", "redis"])
    parser.add_argument("--roads", nargs="+", default=[road.name for road in ROADS])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        simulator, redis = Simulator(folder / "wechat", {}), BesideLoad(folder / "redis")
        simulator.start()
        redis.start()
        own: dict[str, object] = {"WECHAT_BASE": simulator.base, "APPID": APPID, "APPSECRET": APPSECRET}
        try:
            for store in options.stores:
                measure(
                    folder, store, own | ({"SESSIONS": redis.url()} if store == "redis" else {}), simulator, options
                )
        finally:
            redis.kill()
            simulator.kill()


if __name__ == "__main__":
    main()
