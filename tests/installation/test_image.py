"""The image of deploy/docker as an engine would make and start it: its root file system, user, folders and settings."""

import asyncio
import json
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # its stubs are no part of the lock; only these lines read YAML
from phone import Phone, WeChat
from product import APPID, APPSECRET, ROOT, Simulator
from rooted import BINARY, Rooted
from servers import MariaDB, RedisServer
from verdicts import refused, succeeded

pytestmark = pytest.mark.binary
FOLDER = ROOT / "deploy" / "docker"
SERVICE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yml").read_text("utf-8"))["services"]["menshen"]
Phones = Callable[..., list[Phone]]


class Image:
    """What the Dockerfile makes, step by step; it knows the words that ours uses, and no others."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environment: dict[str, str] = {}
        self.words: dict[str, Any] = {}
        for line in (FOLDER / "Dockerfile").read_text("ascii").splitlines():
            word, _, rest = line.partition(" ")
            if word and word != "#":
                getattr(self, f"_{word.lower()}")(rest)

    def _from(self, image: str) -> None:
        assert image == "scratch"
        self.root.mkdir()

    def _copy(self, rest: str) -> None:
        *options, source, target = rest.split()
        given = dict(each.removeprefix("--").split("=") for each in options)
        place = self.root / target.lstrip("/")
        if source.endswith("/"):
            shutil.copytree(ROOT / source, place)
        else:
            shutil.copy(ROOT / source, place)
        if "chmod" in given:
            place.chmod(int(given["chmod"], 8))
        if "chown" in given:
            for each in (place, *place.rglob("*")):
                os.chown(each, *map(int, given["chown"].split(":")))

    def _env(self, rest: str) -> None:
        self.environment |= dict(each.split("=", 1) for each in rest.split())

    def _user(self, rest: str) -> None:
        self.words["user"], group = map(int, rest.split(":"))
        assert group == self.words["user"]

    def _workdir(self, rest: str) -> None:
        self.words["workdir"] = rest

    def _volume(self, rest: str) -> None:
        self.words["volumes"] = json.loads(rest)

    def _expose(self, rest: str) -> None:
        self.words["port"] = int(rest)

    def _entrypoint(self, rest: str) -> None:
        [self.words["program"]] = json.loads(rest)

    def _cmd(self, rest: str) -> None:
        self.words["command"] = json.loads(rest)


class Container(Rooted):
    """One that runs on the host's own network, where the stores of the tests are."""

    def __init__(self, folder: Path, image: Image, settings: dict[str, object]) -> None:
        own = {name.removeprefix("MENSHEN_"): value for name, value in image.environment.items()}
        words = image.words
        super().__init__(
            folder, image.root, {**own, **settings}, program=words["program"], at=words["workdir"], user=words["user"]
        )
        self.words = words["command"]


@pytest.fixture
def container(tmp_path: Path, simulator: Simulator, mariadb: MariaDB, redis_server: RedisServer) -> Iterator[Container]:
    """The image as compose.yml starts it, but for the addresses of what stands beside it."""
    assert BINARY.exists(), "make binary makes it"
    stated = {name.removeprefix("MENSHEN_"): value for name, value in SERVICE["environment"].items()}
    beside = {
        "ADDRESS": "127.0.0.1",
        "APPID": APPID,
        "APPSECRET": APPSECRET,
        "WECHAT_BASE": simulator.base,
        "DATABASE": mariadb.database(),
        "SESSIONS": redis_server.url(),
    }
    made = Container(tmp_path / "container", Image(tmp_path / "image"), {**stated, **beside})
    yield made
    made.kill()
    made.check_log()


def test_the_image_s_folders_are_those_that_its_user_writes_to(tmp_path: Path) -> None:
    image = Image(tmp_path / "image")
    assert sorted(os.listdir(image.root)) == ["data", "menshen", "tmp"]
    assert image.words["volumes"] == [image.words["workdir"]] == ["/data"]
    for name, owner in (("data", image.words["user"]), ("tmp", image.words["user"]), ("menshen", 0)):
        assert (image.root / name).stat().st_uid == owner
    assert stat.S_IMODE((image.root / "menshen").stat().st_mode) == 0o755
    [published] = SERVICE["ports"]
    assert int(published.rsplit(":", 1)[1]) == image.words["port"]


def status_of(container: Container) -> str:
    return Path(f"/proc/{container.pid}/status").read_text("ascii")


@pytest.mark.gen_test(timeout=120)
async def test_the_image_serves_with_mariadb_and_redis_in_a_root_that_nobody_can_write_to(
    container: Container, phones: Phones, wechat: WeChat
) -> None:
    await asyncio.to_thread(container.start)
    status = status_of(container)
    assert re.search(r"(?m)^Uid:\t65532\t65532\t65532\t65532$", status)
    assert re.search(r"(?m)^CapEff:\t0+$", status)
    assert re.search(r"(?m)^NoNewPrivs:\t1$", status)
    [mei] = phones(1, at=container)
    number = succeeded(await mei.login())["user"]["id"]
    assert succeeded(await mei.verify())["user_id"] == number
    assert "ended 1 session" in await asyncio.to_thread(container.does, "sessions", "revoke-user", str(number))
    refused(await mei.verify(), 401002, reason="revoked")
    assert {"keys.json", "audit.log"} <= set(os.listdir(container.held))
    await asyncio.to_thread(container.restart)
    assert succeeded(await mei.login())["user"]["id"] == number
    assert container.stop() == 0
