"""Under systemd: ready when it is ready, alive while it turns, and sockets that outlive a restart."""

import asyncio
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from patience import until
from phone import Network
from product import ROOT, Product
from servers import program

Make = Callable[..., Product]
UNITS = sorted((ROOT / "deploy" / "systemd").iterdir())


class Supervised(Product):
    """A server with a NOTIFY_SOCKET, and with a socket that was opened for it."""

    notify = ""
    given: socket.socket

    def command(self) -> list[str]:
        handed = f'exec 3<&{self.given.fileno()}; export LISTEN_PID=$$ LISTEN_FDS=1; exec "$0" "$@"'
        return ["bash", "-c", handed, *super().command()]

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "NOTIFY_SOCKET": self.notify, "WATCHDOG_USEC": "400000"}


@pytest.fixture
def supervised(make_server: Make, tmp_path: Path) -> Iterator[tuple[Supervised, socket.socket, socket.socket]]:
    plain = make_server(start=False)
    server = Supervised(plain.folder, plain.settings)
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    heard.bind(str(tmp_path / "notify"))
    heard.settimeout(20)
    given = socket.create_server(("127.0.0.1", 0))
    os.set_inheritable(given.fileno(), True)
    server.notify, server.given = str(tmp_path / "notify"), given
    yield server, heard, given
    heard.close()
    given.close()


def spawned(server: Supervised) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        server.command(),
        env=server.environment(),
        cwd=server.folder,
        pass_fds=[server.given.fileno()],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def words_until(heard: socket.socket, last: str) -> list[str]:
    words: list[str] = []
    while last not in words:
        words.append(heard.recv(100).decode())
    return words


@pytest.mark.gen_test
async def test_it_says_when_it_is_ready_that_it_lives_and_when_it_ends(
    supervised: tuple[Supervised, socket.socket, socket.socket], network: Network
) -> None:
    server, heard, given = supervised
    base = f"http://127.0.0.1:{given.getsockname()[1]}"
    running = spawned(server)
    try:
        words = await asyncio.to_thread(words_until, heard, "READY=1")
        assert set(words) <= {"READY=1", "WATCHDOG=1"}
        assert (await network.ask("GET", f"{base}/healthz")).status == 200
        alive = [await asyncio.to_thread(heard.recv, 100) for _ in range(3)]
        assert alive == [b"WATCHDOG=1"] * 3
    finally:
        running.terminate()
    words = await asyncio.to_thread(words_until, heard, "STOPPING=1")
    assert await asyncio.to_thread(running.wait, 20) == 0


@pytest.mark.gen_test
async def test_who_comes_during_a_restart_waits_and_is_served(
    supervised: tuple[Supervised, socket.socket, socket.socket], network: Network
) -> None:
    server, heard, given = supervised
    base = f"http://127.0.0.1:{given.getsockname()[1]}"
    running = spawned(server)
    await asyncio.to_thread(words_until, heard, "READY=1")
    running.terminate()
    await asyncio.to_thread(running.wait, 20)
    early = [asyncio.ensure_future(network.ask("GET", f"{base}/healthz")) for _ in range(5)]
    await asyncio.sleep(0.2)
    assert not any(each.done() for each in early)
    again = spawned(server)
    try:
        assert [answer.status for answer in await asyncio.gather(*early)] == [200] * 5
    finally:
        again.terminate()
        await asyncio.to_thread(again.wait, 20)


@pytest.mark.gen_test
async def test_without_a_supervisor_nothing_is_told(make_server: Make) -> None:
    server = make_server()
    started = time.monotonic()
    await until(lambda: "serving;" in server.log())
    assert server.stop() == 0
    assert time.monotonic() - started < 30


@pytest.mark.quick
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed here")
def test_systemd_takes_every_unit() -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, UNITS)], capture_output=True, text=True, timeout=50
    )
    told = [line for line in done.stderr.splitlines() if "menshen" in line and "not executable" not in line]
    assert told == []


@pytest.mark.quick
def test_units_use_the_commands_and_settings_that_exist() -> None:
    import server
    from settings import KNOBS

    text = "\n".join(path.read_text("utf-8") for path in UNITS)
    words = [line.split("server.py ")[1].split()[0] for line in text.splitlines() if "server.py " in line]
    assert words
    assert set(words) <= set(server.COMMANDS)
    named = {
        word.split("=")[0] for word in text.replace("=MENSHEN_", " MENSHEN_").split() if word.startswith("MENSHEN_")
    }
    assert named <= {knob.variable for knob in KNOBS.values()}


def test_nginx_takes_the_plain_site(tmp_path: Path) -> None:
    nginx = program("nginx")
    if nginx is None:
        pytest.skip("nginx is not installed here")
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(cert)]
    subprocess.run([*words, "-days", "1", "-subj", "/CN=shop.example.com"], check=True, capture_output=True)
    site = (ROOT / "deploy" / "nginx" / "menshen.conf").read_text("utf-8")
    site = site.replace("/etc/ssl/shop.example.com/fullchain.pem", str(cert))
    site = site.replace("/etc/ssl/shop.example.com/key.pem", str(key))
    whole = f"pid {tmp_path}/pid; events {{}} http {{ access_log off; {site} }}"
    (tmp_path / "nginx.conf").write_text(whole)
    done = subprocess.run(
        [nginx, "-t", "-c", str(tmp_path / "nginx.conf"), "-e", "stderr"], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
