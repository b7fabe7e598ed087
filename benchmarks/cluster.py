"""Kills the master of a watched Redis under load, several times, and writes what happened into docs/growing.md.

People log in, verify and log out through a real server while the master dies (SIGKILL). In every second round the copy
was cut off a moment before, so that the master took revocations that the copy never heard of. Counted are refusals,
the time until verifies are answered again, sessions that were lost, and sessions that held again though their end had
been acknowledged, of which there must be none.
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
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from phone import Network, Phone, WeChat
from product import APPID, APPSECRET, ROOT, Product, Simulator
from sentinels import DOWN_AFTER_SECONDS, Watched

PAGE = ROOT / "docs" / "growing.md"
BEGIN, END = "<!-- figures of make cluster -->", "<!-- end of figures -->"
SETTLE_SECONDS = 30.0
_PAUSE_SECONDS = 0.01  # of each who verifies: a steady load, not the most that goes


@dataclass
class Round:
    """What one death of a master did."""

    cut_off: bool
    statuses: Counter[int] = field(default_factory=Counter)
    silent_seconds: float = 0.0
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
            f"{self.put_out} / {self.revived}",
            f"{self.lost} of {self.people}",
        ]
        return f"| {' | '.join(cells)} |"


class Load:
    """People who verify again and again, while some are put out."""

    def __init__(self, people: Sequence[Phone], outcome: Round) -> None:
        self._people = list(people)
        self._outcome = outcome
        self._last_good = time.monotonic()
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
                now = time.monotonic()
                self._outcome.silent_seconds = max(self._outcome.silent_seconds, now - self._last_good)
                self._last_good = now
            await asyncio.sleep(_PAUSE_SECONDS)

    async def put_out(self, some: Sequence[Phone], seconds: float) -> None:
        """These log out, spread over that time; only what was acknowledged counts."""
        for each in some:
            with suppress(OSError):
                if (await each.logout()).status == 200:
                    self.ended.append(each)
            await asyncio.sleep(seconds / len(some))


async def settled(watched: Watched) -> None:
    """Waits until the copy follows and the Sentinels know each other."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while not await asyncio.to_thread(watched.settled):
        if time.monotonic() > deadline:
            raise SystemExit("the Sentinels do not find together")
        await asyncio.sleep(0.1)


async def one_round(folder: Path, simulator: Simulator, people: int, seconds: float, *, cut_off: bool) -> Round:
    """Starts everything anew, kills the master in the middle, and counts."""
    watched, network = Watched(folder / "redis"), Network()
    product = Product(
        folder / "menshen",
        {
            "WECHAT_BASE": simulator.base,
            "APPID": APPID,
            "APPSECRET": APPSECRET,
            "LOGIN_LIMIT": 0,
            "UNKNOWN_TOKEN_LIMIT": 0,
            "LOG_LEVEL": "info",
            "SESSIONS": watched.url(),
        },
    )
    outcome = Round(cut_off, people=people)
    try:
        watched.start()
        await settled(watched)
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
        if cut_off:
            await asyncio.to_thread(watched.cut_off)
            await asyncio.sleep(1.0)
        watched.master.kill()
        await asyncio.gather(*tasks)
        outcome.put_out = len(load.ended)
        outcome.revived = sum([(await each.verify()).status == 200 for each in load.ended])
        outcome.lost = sum([(await each.verify()).status == 401 for each in stay])
    finally:
        await network.close()
        product.kill()
        watched.kill()
    return outcome


def table(rounds: Sequence[Round]) -> str:
    """The figures, as the page shows them."""
    head = [
        "| the copy | verifies | of them 503 | longest silence | put out / alive again | sessions lost |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join([*head, *(each.row() for each in rounds)])


def write(figures: str) -> None:
    """Puts the figures into the page."""
    said = PAGE.read_text("utf-8")
    PAGE.write_text(
        re.sub(f"{re.escape(BEGIN)}.*{re.escape(END)}", lambda _: f"{BEGIN}\n{figures}\n{END}", said, flags=re.DOTALL),
        "utf-8",
    )


async def run(rounds: int, people: int, seconds: float) -> list[Round]:
    """All rounds, one after the other."""
    found = []
    with tempfile.TemporaryDirectory(prefix="menshen-cluster-") as folder:
        simulator = Simulator(Path(folder) / "wechat", {})
        simulator.start()
        try:
            for n in range(rounds):
                done = await one_round(Path(folder) / f"round-{n}", simulator, people, seconds, cut_off=n % 2 == 1)
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
    print(f"the Sentinels wait {DOWN_AFTER_SECONDS:g} s before they take a silent master for dead")
    found = asyncio.run(run(at.rounds, at.people, at.seconds))
    if not at.keep_page:
        write(table(found))
    return int(any(each.revived for each in found))


if __name__ == "__main__":
    sys.exit(main())
