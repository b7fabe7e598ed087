"""Kills a master under load, several times, and writes what happened into docs/growing.md.

First the master of a Redis that Sentinels watch, then one of the three masters of a Redis Cluster. People log in,
verify and log out through a real server while it dies (SIGKILL). In every second round its copy was cut off a moment
before, so that the master took revocations that the copy never heard of. Counted are refusals, the longest time for
which a person was not let in, sessions that were lost, and sessions that held again though their end had been
acknowledged, of which there must be none.
"""

import argparse
import asyncio
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from clusters import SixNodes
from phone import Network, Phone, WeChat
from product import APPID, APPSECRET, ROOT, Product, Simulator
from sentinels import DOWN_AFTER_SECONDS, Node, Watched

PAGE = ROOT / "docs" / "growing.md"
END = "<!-- end of figures -->"
FLEETS: dict[str, type[Watched | SixNodes]] = {"Sentinels": Watched, "Cluster": SixNodes}
_PAUSE_SECONDS = 0.01  # of each who verifies: a steady load, not the most that goes


@dataclass
class Round:
    """What one death of a master did."""

    cut_off: bool
    statuses: Counter[int] = field(default_factory=Counter)
    silent_seconds: float = 0.0  # the longest that any person was not let in
    back_seconds: float = 0.0  # from the moment at which the copy had taken over until the last 503
    put_out: int = 0
    revived: int = 0
    lost: int = 0
    people: int = 0

    def row(self) -> str:
        """As a line of the table."""
        cells = [
            "cut off before" if self.cut_off else "in step",
            f"{sum(self.statuses.values()):,}",
            f"{self.statuses[503]:,}",
            f"{self.silent_seconds:.1f} s",
            f"{self.back_seconds:.1f} s",
            f"{self.put_out} / {self.revived}",
            f"{self.lost} of {self.people}",
        ]
        return f"| {' | '.join(cells)} |"


class Load:
    """People who verify again and again, while some are put out."""

    def __init__(self, people: Sequence[Phone], outcome: Round) -> None:
        self._people = list(people)
        self._outcome = outcome
        self._last_refusal = 0.0
        self._good = {each: [time.monotonic()] for each in people}
        self.ended: list[Phone] = []

    async def verify(self, number: int, until: float) -> None:
        """One of several that go round among those who are in."""
        turn = number
        while time.monotonic() < until:
            turn += 1
            who = self._people[turn % len(self._people)]
            status = (await who.verify()).status
            self._outcome.statuses[status] += 1
            if status == 200:
                self._good[who].append(time.monotonic())
            else:
                self._last_refusal = time.monotonic()
            await asyncio.sleep(_PAUSE_SECONDS)

    def count_silence(self, taken_over: float) -> None:
        """How long who was not let in, given the moment at which the copy had taken over."""
        end = time.monotonic()
        for times in self._good.values():
            silences = [b - a for a, b in pairwise([*times, end])]
            self._outcome.silent_seconds = max(self._outcome.silent_seconds, *silences)
        self._outcome.back_seconds = max(0.0, self._last_refusal - taken_over)

    async def put_out(self, some: Sequence[Phone], seconds: float) -> None:
        """These log out, spread over that time; only what was acknowledged counts."""
        for each in some:
            with suppress(OSError):
                if (await each.logout()).status == 200:
                    self.ended.append(each)
            await asyncio.sleep(seconds / len(some))


def moment_of_taking_over(copy: Node) -> float:
    """When this copy has become a master; it is asked twenty times a second, for half a minute at most."""
    for _ in range(600):
        if copy.about("replication").get("role") == "master":
            return time.monotonic()
        time.sleep(0.05)
    raise SystemExit("nobody took over")


async def one_round(
    fleet: Watched | SixNodes, folder: Path, simulator: Simulator, people: int, seconds: float, *, cut_off: bool
) -> Round:
    """Starts everything anew, kills a master in the middle, and counts."""
    network = Network()
    product = Product(
        folder / "menshen",
        {
            "WECHAT_BASE": simulator.base,
            "APPID": APPID,
            "APPSECRET": APPSECRET,
            "LOGIN_LIMIT": 0,
            "UNKNOWN_TOKEN_LIMIT": 0,
            "LOG_LEVEL": "info",
            "SESSIONS": fleet.url(),
        },
    )
    outcome = Round(cut_off, people=people)
    try:
        await asyncio.to_thread(fleet.start)
        product.start()
        wechat = WeChat(simulator.base, network)
        phones = [Phone(product, wechat, network) for _ in range(people * 2)]
        for each in phones:
            if (await each.login()).status != 200:
                raise SystemExit("a login failed before anything was killed")
        stay, go = phones[:people], phones[people:]
        load = Load(stay, outcome)
        tasks = [asyncio.create_task(load.verify(n * 7, time.monotonic() + seconds)) for n in range(8)]
        tasks.append(asyncio.create_task(load.put_out(go, seconds / 2)))
        await asyncio.sleep(seconds / 4)
        master = fleet.master
        if cut_off:
            await asyncio.to_thread(fleet.cut_off, master)
            await asyncio.sleep(1.0)
        copy = await asyncio.to_thread(fleet.copy_of, master)
        master.kill()
        taken_over = await asyncio.to_thread(moment_of_taking_over, copy)
        await asyncio.gather(*tasks)
        load.count_silence(taken_over)
        outcome.put_out = len(load.ended)
        outcome.revived = sum([(await each.verify()).status == 200 for each in load.ended])
        outcome.lost = sum([(await each.verify()).status == 401 for each in stay])
    finally:
        await network.close()
        product.kill()
        fleet.kill()
    return outcome


def table(rounds: Sequence[Round]) -> str:
    """The figures, as the page shows them."""
    head = [
        "| the copy | verifies | of them 503 | longest silence | after it took over | put out / alive again | lost |",
        "|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*head, *(each.row() for each in rounds)])


def write(fleet: str, figures: str) -> None:
    """Puts the figures into the page."""
    begin = f"<!-- figures of make cluster: {fleet} -->"
    said = PAGE.read_text("utf-8")
    PAGE.write_text(
        re.sub(f"{re.escape(begin)}.*?{re.escape(END)}", lambda _: f"{begin}\n{figures}\n{END}", said, flags=re.DOTALL),
        "utf-8",
    )


async def run(kind: type[Watched | SixNodes], rounds: int, people: int, seconds: float) -> list[Round]:
    """All rounds with one kind of fleet, one after the other."""
    found = []
    with tempfile.TemporaryDirectory(prefix="menshen-cluster-") as folder:
        simulator = Simulator(Path(folder) / "wechat", {})
        simulator.start()
        try:
            for n in range(rounds):
                place = Path(folder) / f"round-{n}"
                fleet = kind(place / "redis")
                done = await one_round(fleet, place, simulator, people, seconds, cut_off=n % 2 == 1)
                print(done.row(), flush=True)
                found.append(done)
        finally:
            simulator.kill()
    return found


def main() -> int:
    """Measures and writes; 1 when a session held again that had ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--people", type=int, default=100, help="who stay; as many are put out")
    parser.add_argument("--seconds", type=float, default=16.0, help="of load in each round")
    parser.add_argument("--keep-page", action="store_true", help="print the figures and leave the page as it is")
    at = parser.parse_args()
    revived = 0
    for name, kind in FLEETS.items():
        print(f"{name}: a silent master is taken for dead after {DOWN_AFTER_SECONDS:g} s")
        found = asyncio.run(run(kind, at.rounds, at.people, at.seconds))
        revived += sum(each.revived for each in found)
        if not at.keep_page:
            write(name, table(found))
    return int(bool(revived))


if __name__ == "__main__":
    sys.exit(main())
