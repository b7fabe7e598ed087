"""Under systemd: ready when it is ready, alive while it turns, and sockets that outlive a restart."""

import asyncio
import os
import re
import shutil
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import aiohttp
import pytest
from nginx import Nginx, shipped
from patience import until
from phone import Door, Network, Phone, WeChat
from product import ROOT, Product
from rawsocket import Raw
from servers import program

Make = Callable[..., Product]
UNITS = sorted((ROOT / "deploy" / "systemd").iterdir())
[BACKLOG] = map(int, re.findall(r"(?m)^Backlog=(\d+)$", (ROOT / "deploy/systemd/menshen.socket").read_text("ascii")))
REQUESTS_A_SECOND = 200


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
    plain = make_server(start=False, TRUSTED_PROXIES="127.0.0.1/32")
    server = Supervised(plain.folder, plain.settings)
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    heard.bind(str(tmp_path / "notify"))
    heard.settimeout(20)
    given = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
    os.set_inheritable(given.fileno(), True)
    server.notify, server.given, server.port = str(tmp_path / "notify"), given, given.getsockname()[1]
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


def leave_no_room(where: str) -> None:
    """Say as much as waits for anybody."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as way:
        way.setblocking(False)
        for _ in range(10_000):
            try:
                way.sendto(b"STATUS=more", where)
            except BlockingIOError:
                return
    raise AssertionError("there is always room")


@pytest.mark.gen_test(timeout=60)
async def test_a_supervisor_that_does_not_listen_holds_nobody_up(
    supervised: tuple[Supervised, socket.socket, socket.socket], network: Network
) -> None:
    server, heard, given = supervised
    running = spawned(server)
    try:
        await asyncio.to_thread(words_until, heard, "READY=1")
        leave_no_room(server.notify)
        await asyncio.sleep(0.5)  # for two signs of life
        answer = await asyncio.wait_for(network.ask("GET", f"http://127.0.0.1:{given.getsockname()[1]}/healthz"), 10)
        assert answer.status == 200
    finally:
        running.terminate()
        try:
            ended = await asyncio.to_thread(running.wait, 20)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()
            raise
    assert ended == 0


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


@pytest.fixture
def nginx(supervised: tuple[Supervised, socket.socket, socket.socket], tmp_path: Path) -> Iterator[Nginx]:
    """Start an nginx with our plain site before it."""
    door = Nginx(tmp_path / "nginx", shipped("menshen.conf", {"127.0.0.1:8000": supervised[0].port}))
    door.start()
    yield door
    door.stop()


async def on_a_new_connection(door: Door, token: str) -> int:
    """Verify as somebody who comes now, and give the status."""
    raw = await Raw.to(door)
    try:
        head = f"GET /api/verify HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        await raw.say(head.encode("ascii"))
        return (await raw.hear()).status
    finally:
        await raw.close()


async def asked_until(done: asyncio.Event, ask: Callable[[int], Awaitable[int]]) -> Counter[int | str]:
    """Ask 200 times a second, whether or not answers come, and count what came: a status, or what went wrong."""

    async def once(n: int) -> int | str:
        try:
            return await ask(n)
        except (OSError, EOFError, aiohttp.ClientError) as error:
            return type(error).__name__

    loop, asked = asyncio.get_running_loop(), list[asyncio.Task[int | str]]()
    began = loop.time()
    while not done.is_set():
        await asyncio.sleep(began + len(asked) / REQUESTS_A_SECOND - loop.time())
        asked.append(asyncio.create_task(once(len(asked))))
    return Counter(await asyncio.gather(*asked))


@pytest.mark.gen_test
async def test_a_restart_under_200_requests_a_second_refuses_nobody_and_answers_no_5xx(
    supervised: tuple[Supervised, socket.socket, socket.socket], nginx: Nginx, wechat: WeChat, network: Network
) -> None:
    server, heard, _ = supervised
    running = spawned(server)
    await asyncio.to_thread(words_until, heard, "READY=1")
    near, far = Phone(server, wechat, network), Phone(nginx, wechat, network)
    assert ((await near.login()).status, (await far.login()).status) == (200, 200)

    async def ask(n: int) -> int:
        if n % 4 == 0:
            return (await near.verify()).status  # on connections that are kept as long as the server keeps them
        if n % 4 == 1:
            return (await far.verify()).status
        return await on_a_new_connection(*((server, near.token) if n % 4 == 2 else (nginx, far.token)))

    over = asyncio.Event()
    asking = asyncio.create_task(asked_until(over, ask))
    try:
        await asyncio.sleep(1)
        running.terminate()
        assert await asyncio.to_thread(running.wait, 20) == 0
        running = spawned(server)
        await asyncio.to_thread(words_until, heard, "READY=1")
        await asyncio.sleep(1)
        over.set()
        counted = await asking
    finally:
        over.set()
        await asking
        running.terminate()
        await asyncio.to_thread(running.wait, 20)
    assert counted.keys() == {200}, counted
    assert counted.total() >= 2 * REQUESTS_A_SECOND


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
