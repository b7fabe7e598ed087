"""The single file on a bare Debian, by the words of README.md: begun, lost and restored, moved under load.

The Debian is what debootstrap makes, kept packed in build/ from one run to the next; nothing in it is ever written to.
"""

import asyncio
import re
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import aiohttp
import pytest
from operator_at import PASSWORD, Operator, first_link, set_up
from phone import Network, Phone, WeChat
from product import APPID, APPSECRET, ROOT, Simulator
from rooted import IN_DEVELOPMENT, Rooted, placed, show, simulator_base
from servers import MariaDB, RedisServer
from verdicts import refused, succeeded

pytestmark = pytest.mark.binary
SUITE = "bookworm"
PACKED = ROOT / "build" / f"debian-{SUITE}.tar"
README = (ROOT / "README.md").read_text("utf-8")
LOGINS_A_SECOND = 100


@pytest.fixture(scope="session")
def debian() -> Iterator[Path]:
    """Give the smallest Debian there is, without devices."""
    with tempfile.TemporaryDirectory(prefix="menshen-debian-") as folder:
        root = Path(folder) / "root"
        if PACKED.exists():
            root.mkdir()
            subprocess.run(["tar", "-xf", PACKED, "-C", root], check=True, timeout=60)
        else:
            debootstrap(root)
            PACKED.parent.mkdir(exist_ok=True)
            draft = PACKED.with_suffix(".new")
            subprocess.run(["tar", "-cf", draft, "-C", root, "."], check=True, timeout=60)
            draft.rename(PACKED)
        yield root


def debootstrap(root: Path) -> None:
    """Make it from where this machine takes its own packages."""
    sources = ["apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages"]
    known = subprocess.run(sources, capture_output=True, text=True, check=True).stdout.splitlines()
    mirror = [line.split()[1] for line in known if line.startswith(f"{SUITE} ")][:1]
    words = ["debootstrap", "--variant=minbase", SUITE, str(root), *mirror]
    subprocess.run(words, check=True, capture_output=True, timeout=280)
    shutil.rmtree(root / "dev")


@pytest.fixture
def make_vps(tmp_path: Path, debian: Path) -> Iterator[Callable[..., Rooted]]:
    """Give a machine where nobody has put anything but the file, into an empty folder."""
    made: list[Rooted] = []

    def make(**settings: object) -> Rooted:
        made.append(Rooted(tmp_path / "vps", debian, settings, program="./menshen", at="/srv"))
        placed(made[-1].held)
        return made[-1]

    yield make
    for each in made:
        each.kill()
        each.check_log()


async def by_the_readme(vps: Rooted) -> int:
    """Log in, verify, log out with the README's own lines, and give the person's number."""
    [script] = [block for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) if "/_sim/login" in block]
    script = script.replace("http://127.0.0.1:8000", vps.base).replace("http://127.0.0.1:8099", simulator_base(vps))
    words = ["bash", "-euo", "pipefail", "-c", script]
    done = await asyncio.to_thread(subprocess.run, words, capture_output=True, text=True, timeout=60, check=True)
    assert '"reason":"logged_out","retry":"login"' in done.stdout
    [number] = re.findall(r'"user_id":(\d+)', done.stdout)
    return int(number)


async def put_out(vps: Rooted, operator: Operator, network: Network) -> None:
    """Log somebody in, and let the operator revoke the session in the dashboard."""
    mei = Phone(vps, WeChat(simulator_base(vps), network), network)
    number = succeeded(await mei.login())["user"]["id"]
    assert succeeded(await mei.verify())["user_id"] == number
    page = await operator.post(f"/admin/users/{number}/revoke", {"sure": "yes", "reason": "test"})
    assert page.status == 200
    refused(await mei.verify(), 401002, reason="revoked")


@pytest.mark.gen_test(timeout=170)
async def test_by_the_readme_s_words_it_serves_and_does_so_again_after_backup_loss_and_restore(
    make_vps: Callable[..., Rooted], network: Network
) -> None:
    vps = make_vps()
    vps.words = IN_DEVELOPMENT
    began = time.monotonic()
    await asyncio.to_thread(vps.start)
    number = await by_the_readme(vps)
    link = first_link(vps)
    assert link
    operator = Operator(vps, network)
    assert (await set_up(operator, link, name="mei")).path == "/admin/"
    await put_out(vps, operator, network)
    assert time.monotonic() - began < 60

    await asyncio.to_thread(vps.does, "backup", "copy.db", "--with-keys")
    assert vps.stop() == 0
    vps.take_away("data")
    await asyncio.to_thread(vps.does, "restore", "copy.db", "--yes")
    await asyncio.to_thread(vps.start)
    assert await by_the_readme(vps) == number
    operator = Operator(vps, network)
    assert (await operator.sign_in("mei", PASSWORD)).path == "/admin/"
    await put_out(vps, operator, network)
    assert "the chain holds" in await asyncio.to_thread(vps.does, "audit", "verify")
    assert vps.stop() == 0


class Crowd:
    """People who log in one after the other, a hundred a second, whether or not anybody answers.

    As long as a hundred of them wait, on a machine that is too slow for so many, nobody else comes.
    """

    def __init__(self, vps: Rooted, wechat: WeChat, network: Network) -> None:
        self._door = vps, wechat, network
        self._stopped = asyncio.Event()
        self._waiting = 0
        self._task = asyncio.ensure_future(self._come())
        self.inside: dict[Phone, int] = {}
        self.refused: Counter[int | str] = Counter()

    async def _come(self) -> None:
        loop, came = asyncio.get_running_loop(), list[asyncio.Task[None]]()
        due = loop.time()
        while not self._stopped.is_set():
            due = max(due + 1 / LOGINS_A_SECOND, loop.time() - 1)
            await asyncio.sleep(due - loop.time())
            if self._waiting < LOGINS_A_SECOND:
                self._waiting += 1
                came.append(asyncio.create_task(self._log_in(Phone(*self._door))))
        await asyncio.gather(*came)

    async def _log_in(self, phone: Phone) -> None:
        try:
            answer = await phone.login()
        except aiohttp.ClientConnectionError:
            self.refused["nobody there"] += 1
        else:
            if answer.status == 200:
                self.inside[phone] = answer.json["user"]["id"]
            else:
                self.refused[answer.status] += 1
        finally:
            self._waiting -= 1

    async def until_inside(self, more: int) -> None:
        """Return when so many more people are inside."""
        wanted = len(self.inside) + more
        while len(self.inside) < wanted:
            assert not self._task.done()
            await asyncio.sleep(0.02)

    async def __aenter__(self) -> "Crowd":
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let nobody else come, and wait for those who are on their way."""
        self._stopped.set()
        await self._task


async def all_are_inside(people: Mapping[Phone, int]) -> None:
    """Every token that was given still opens the door, for the person that it was given to."""
    waiting = list(people.items())
    for start in range(0, len(waiting), 50):
        answers = await asyncio.gather(*(phone.verify() for phone, _ in waiting[start : start + 50]))
        for (_, number), answer in zip(waiting[start:], answers, strict=False):
            assert succeeded(answer)["user_id"] == number


@pytest.mark.gen_test(timeout=170)
async def test_moved_to_mysql_and_redis_under_100_logins_a_second_nobody_is_lost(
    make_vps: Callable[..., Rooted],
    simulator: Simulator,
    wechat: WeChat,
    mariadb: MariaDB,
    redis_server: RedisServer,
    network: Network,
    request: pytest.FixtureRequest,
) -> None:
    mini_program = {"APPID": APPID, "APPSECRET": APPSECRET, "WECHAT_BASE": simulator.base}
    vps = make_vps(**mini_program, LOGIN_LIMIT=0)
    await asyncio.to_thread(vps.start)
    to = {"DATABASE": mariadb.database(), "SESSIONS": redis_server.url()}
    as_owner = to["SESSIONS"].replace("redis://menshen:", "redis://admin:")
    words = ["move", "--to-database", to["DATABASE"], "--to-sessions", as_owner]
    async with Crowd(vps, wechat, network) as crowd:
        await crowd.until_inside(3 * LOGINS_A_SECOND)
        assert await asyncio.to_thread(vps.stop) == 0
        earlier, away_since = dict(crowd.inside), time.monotonic()
        moved = await asyncio.to_thread(vps.does, *words)
        assert int(moved.split("live sessions\t")[1]) >= len(earlier)  # a login may be refused too late to be undone
        vps.settings.update(to)
        await asyncio.to_thread(vps.start)
        away = time.monotonic() - away_since
        await crowd.until_inside(3 * LOGINS_A_SECOND)
    assert crowd.refused.keys() <= {"nobody there", 503}
    await all_are_inside(crowd.inside)
    assert len(set(crowd.inside.values())) == len(crowd.inside)
    figures = f"{len(earlier)} people moved, away for {away:.1f} s, refused meanwhile {crowd.refused.total()}"
    show(request.config, f"{figures}; of {len(crowd.inside)} logins that were answered none is lost")
    for phone, number in list(earlier.items())[:5]:
        assert succeeded(await phone.login())["user"]["id"] == number
    assert vps.stop() == 0
