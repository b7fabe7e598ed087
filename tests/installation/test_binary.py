"""The program as one file, `make trial`: every command, in a root that holds nothing else, and under a supervisor."""

import asyncio
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from backends import Backend
from patience import until
from phone import Network, Phone, WeChat
from product import APPID, APPSECRET, ROOT, Product
from rooted import BINARY, IN_DEVELOPMENT, Rooted, placed, show, simulator_base
from supply import BUILT_IN
from verdicts import refused, succeeded

import server

pytestmark = pytest.mark.binary
Phones = Callable[..., list[Phone]]


class Single(Product):
    """The single file, with nothing in the environment but its settings."""

    def command(self) -> Sequence[str]:
        return [str(BINARY), *self.words, "--port", str(self.port)]

    def environment(self) -> Mapping[str, str]:
        unpacked = self.folder / "unpacked"
        unpacked.mkdir(exist_ok=True)
        return {f"MENSHEN_{name}": value for name, value in self.settings.items()} | {"TMPDIR": str(unpacked)}

    def unpacked(self) -> list[Path]:
        return sorted((self.folder / "unpacked").iterdir())


@pytest.fixture
def single(tmp_path: Path, wechat: WeChat) -> Iterator[Callable[..., Single]]:
    assert BINARY.exists(), "make binary makes it"
    made: list[Single] = []

    def make(**settings: object) -> Single:
        mini_program = {"APPID": APPID, "APPSECRET": APPSECRET, "WECHAT_BASE": wechat.base}
        made.append(Single(tmp_path / f"single{len(made)}", {**mini_program, **settings}))
        return made[-1]

    yield make
    for each in made:
        each.kill()
        each.check_log()


def test_it_is_the_file_that_its_checksum_and_its_bill_are_of() -> None:
    found = hashlib.sha256(BINARY.read_bytes()).hexdigest()
    assert BINARY.with_suffix(".sha256").read_text("ascii") == f"{found}  menshen\n"
    bill = json.loads(BINARY.with_suffix(".cdx.json").read_text("utf-8"))
    assert bill["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": found}]
    assert set(BUILT_IN) < {each["name"] for each in bill["components"]}


def test_it_asks_nothing_of_the_machine_and_names_nothing_of_the_builder_s() -> None:
    told = subprocess.run(["ldd", str(BINARY)], capture_output=True, text=True)
    assert "not a dynamic executable" in told.stdout + told.stderr or "statically linked" in told.stdout
    inside = subprocess.run(["strings", "-n", "8", str(BINARY)], capture_output=True, text=True, check=True).stdout
    assert str(ROOT) not in inside


def test_it_holds_no_tests_and_no_history(single: Callable[..., Single]) -> None:
    one = single()
    one.start()
    try:
        held = {path.name for folder in one.unpacked() for path in folder.iterdir()}
        assert {"sql", "templates", "static", "deploy"} <= held
        assert held & {"tests", "benchmarks", "examples", "docs", ".git", ".ci"} == set()
    finally:
        one.stop()


@pytest.mark.parametrize("command", sorted(server.COMMANDS))
def test_every_command_is_in_it(command: str, tmp_path: Path) -> None:
    done = subprocess.run([str(BINARY), command, "--help"], env={}, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: menshen {command}")


def test_it_starts_soon(single: Callable[..., Single], request: pytest.FixtureRequest) -> None:
    """The figures are shown, not judged: what else the machine does lengthens them. A start that hangs fails."""
    seconds = sorted(seconds_to_serve(single()) for _ in range(5))
    figures = f"{seconds[0]:.2f} to {seconds[-1]:.2f} s, the middle {seconds[2]:.2f}"
    show(request.config, f"from its start in an empty folder to the first answer: {figures}")


def seconds_to_serve(server: Single) -> float:
    """Start it with new data, and return when it has answered a request; then stop it."""
    began = time.monotonic()
    server.start()
    with urllib.request.urlopen(f"{server.base}/healthz", timeout=20) as answer:  # noqa: S310  # on this machine
        assert answer.status == 200
    taken = time.monotonic() - began
    server.stop()
    return taken


@pytest.mark.gen_test(timeout=300)  # nine starts of the file
async def test_in_a_root_that_holds_nothing_else_a_phone_logs_in_and_is_put_out(
    tmp_path: Path, network: Network
) -> None:
    root = tmp_path / "root"
    for name in ("tmp", "data"):
        (root / name).mkdir(parents=True)
    placed(root)
    bare = Rooted(tmp_path / "bare", root, {}, program="/menshen", at="/data")
    bare.words = IN_DEVELOPMENT
    await asyncio.to_thread(bare.start)
    try:
        assert "/admin/setup?link=" in bare.log()
        mei = Phone(bare, WeChat(simulator_base(bare), network), network)
        number = succeeded(await mei.login())["user"]["id"]
        assert succeeded(await mei.verify())["user_id"] == number
        for page in ("/", "/admin/signin", "/static/admin.css", "/openapi.json"):
            assert (await network.ask("GET", bare.base + page)).status == 200, page
        listed = await asyncio.to_thread(bare.does, "sessions", "list", "--json")
        assert json.loads(listed)["user"] == number
        assert "ended 1 session" in await asyncio.to_thread(bare.does, "sessions", "revoke-user", str(number))
        refused(await mei.verify(), 401002, reason="revoked")
        await asyncio.to_thread(bare.does, "backup", "copy.db", "--with-keys")
        assert "the chain holds" in await asyncio.to_thread(bare.does, "audit", "verify")
        assert bare.stop() == 0
        await asyncio.to_thread(bare.does, "restore", "copy.db", "--yes")
        await asyncio.to_thread(bare.start)
        succeeded(await Phone(bare, WeChat(simulator_base(bare), network), network).login())
        bare.check_log()
    finally:
        bare.kill()


@pytest.mark.gen_test
async def test_it_serves_on_every_store_with_several_processes(
    single: Callable[..., Single], phones: Phones, backend: Backend
) -> None:
    server = single(WORKERS=2, **backend.fresh())
    await asyncio.to_thread(server.start)
    people = phones(8, at=server)
    for each in people:
        succeeded(await each.login())
    for each in people:
        succeeded(await each.verify())
    assert all(each.stat().st_mode & 0o077 == 0 for each in server.unpacked())
    assert len(server.unpacked()) == 2
    assert await asyncio.to_thread(server.stop) == 0
    await until(lambda: server.unpacked() == [])


def supervised(server: Single, given: socket.socket, notify: str) -> subprocess.Popen[bytes]:
    """Start it as systemd does, with a socket at descriptor 3."""
    handed = f'exec 3<&{given.fileno()}; export LISTEN_PID=$$ LISTEN_FDS=1; exec "$0" "$@"'
    with server.log_path.open("wb") as log:
        return subprocess.Popen(
            ["bash", "-c", handed, *server.command()],
            env={**server.environment(), "NOTIFY_SOCKET": notify},
            cwd=server.folder,
            pass_fds=[given.fileno()],
            stdout=subprocess.DEVNULL,
            stderr=log,
        )


@pytest.mark.gen_test
async def test_a_supervisor_hands_it_a_socket_and_learns_which_process_it_is(
    single: Callable[..., Single], network: Network, tmp_path: Path
) -> None:
    server = single()
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    heard.bind(str(tmp_path / "notify"))
    heard.settimeout(60)
    with heard, socket.create_server(("127.0.0.1", 0)) as given:
        base = f"http://127.0.0.1:{given.getsockname()[1]}"
        running = supervised(server, given, f"{tmp_path}/notify")
        try:
            told = (await asyncio.to_thread(heard.recv, 200)).decode()
            named = re.fullmatch(r"MAINPID=(\d+)\nREADY=1", told)
            assert named, told
            assert int(named[1]) != running.pid
            assert (await network.ask("GET", f"{base}/healthz")).status == 200
            os.kill(int(named[1]), signal.SIGHUP)  # what `systemctl reload` sends to MAINPID
            await until(lambda: "were read anew" in server.log())
            os.kill(int(named[1]), signal.SIGTERM)
            assert await asyncio.to_thread(running.wait, 30) == 0
            assert server.unpacked() == []
        finally:
            with suppress(ProcessLookupError):
                running.kill()
            running.wait()


def test_it_installs_itself(tmp_path: Path) -> None:
    words = [str(BINARY), "install", "--domain", "login.example.com", "--root", str(tmp_path)]
    done = subprocess.run(words, env={}, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    placed = tmp_path / "usr/local/bin/menshen"
    assert placed.read_bytes() == BINARY.read_bytes()
    assert os.access(placed, os.X_OK)
    unit = (tmp_path / "etc/systemd/system/menshen.service").read_text("utf-8")
    assert "ExecStart=/usr/local/bin/menshen serve\n" in unit
