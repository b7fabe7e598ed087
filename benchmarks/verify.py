"""Measures /api/verify: a handler, the hot road, and the hot road behind llhttp, on SQLite and on Redis.

The runs are interleaved and short, so that a machine that does other work too slows all of them alike; what counts are
the ratios. The processor's time for each request is what other work disturbs least. Needs wrk and redis-server. The
server has one core for itself, wrk and Redis the other.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from phone import Network, Phone, WeChat
from product import APPID, APPSECRET, ROOT, Product, Simulator

from benchmarks.bench.contestants import on_server_core
from benchmarks.bench.figures import Run
from benchmarks.bench.load import Loader, verifies
from benchmarks.bench.stage import BesideLoad

PEOPLE = 200
# What stands before server.py's own main: the same program with a part of the road taken away, or another loop.
_AS_IT_IS = ""
_BY_HANDLER = "import handlers.hot; handlers.hot.KINDS.clear()"
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
        return on_server_core([python, "-c", "\n".join(run), *options])


async def tokens_of(product: Product, simulator: Simulator) -> list[str]:
    """Log people in, and return their tokens."""
    network = Network()
    wechat = WeChat(simulator.base, network)
    phones = [Phone(product, wechat, network) for _ in range(PEOPLE)]
    for phone in phones:
        await phone.login()
    await network.close()
    return [str(phone.token) for phone in phones]


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
        scripts = {road: verifies(asyncio.run(tokens_of(server, simulator))) for road, server in servers.items()}
        loader = Loader(folder)
        for _ in range(options.rounds):
            for road, server in servers.items():
                runs[road].append(loader.run(server, server.base, scripts[road], options.seconds))
    base = statistics.median(run.rate for run in runs[roads[0]])
    for road in roads:
        rates = [run.rate for run in runs[road]]
        rate, cpu, p99 = (
            statistics.median(getattr(run, of) for run in runs[road]) for of in ("rate", "cpu_us", "p99_ms")
        )
        spread = f"{min(rates):,.0f} to {max(rates):,.0f}"
        line = f"{rate:10,.0f}/s  x{rate / base:.2f}  ({spread})  {cpu:5.0f} us  p99 {p99:.1f} ms"
        print(f"{store:8}{road.name:16}{line}", flush=True)


def main() -> None:
    """Measure on both stores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="of each run")
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
