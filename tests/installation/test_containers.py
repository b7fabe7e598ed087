"""The Dockerfile and the compose file name files, settings and versions that exist; nothing here can build them."""

import re
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # its stubs are no part of the lock; only these lines read YAML
from product import ROOT

import server
from settings import KNOBS

pytestmark = pytest.mark.quick
FOLDER = ROOT / "deploy" / "docker"
DOCKERFILE = (FOLDER / "Dockerfile").read_text("utf-8")
SERVICES: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yml").read_text("utf-8"))["services"]


def test_what_the_image_copies_is_there_and_let_through() -> None:
    copied = re.findall(r"(?m)^COPY (?:--\S+ )*(\S+) \S+$", DOCKERFILE)
    assert copied == ["dist/menshen", "deploy/docker/owned/", "deploy/docker/owned/"]
    assert (FOLDER / "owned" / ".keep").exists()  # git keeps no empty folder
    let_through = (FOLDER / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    assert let_through == ["*", *(f"!{name}" for name in dict.fromkeys(each.rstrip("/") for each in copied))]


def test_the_image_holds_nothing_else_and_nobody_in_it_is_root() -> None:
    assert re.findall(r"(?m)^FROM (.+)$", DOCKERFILE) == ["scratch"]
    user = re.findall(r"(?m)^USER (\d+):\d+$", DOCKERFILE)
    assert len(user) == 1
    assert int(user[0]) > 0
    assert set(re.findall(r"--chown=(\d+):\d+", DOCKERFILE)) == set(user)
    assert set(re.findall(r'CMD \["(\w+)"\]', DOCKERFILE)) <= set(server.COMMANDS)


def test_every_setting_in_them_is_one() -> None:
    text = DOCKERFILE + (FOLDER / "compose.yml").read_text("utf-8")
    named = set(re.findall(r"MENSHEN_[A-Z_]+", text))
    assert {"MENSHEN_DATABASE", "MENSHEN_SESSIONS", "MENSHEN_TRUSTED_PROXIES"} <= named
    assert named <= {knob.variable for knob in KNOBS.values()}


def test_the_stores_are_of_versions_that_menshen_runs_on_and_lose_nothing() -> None:
    images = {name: each["image"].partition(":") for name, each in SERVICES.items() if name != "menshen"}
    versions = {name: tuple(map(int, version.split("."))) for name, (_, _, version) in images.items()}
    assert versions["mariadb"] >= (10, 6)
    assert versions["redis"] >= (7, 0)
    words = " ".join(SERVICES["redis"]["command"])
    assert "--appendonly yes" in words
    assert "noeviction" in words


def test_the_server_is_shut_in() -> None:
    own = SERVICES["menshen"]
    assert own["read_only"] is True
    assert own["cap_drop"] == ["ALL"]
    assert own["security_opt"] == ["no-new-privileges:true"]
    assert all(port.startswith("127.0.0.1:") for port in own["ports"])
    assert any(re.match(r"/tmp:.*\bexec\b", each) for each in own["tmpfs"])  # noqa: S108  # of the container alone
