"""The tests' own machinery keeps its word: engines come back, phones are phones, browsers show pages."""

import asyncio
import http.server
import json
import os
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pymysql
import pytest
import redis
from children import Child, DidNotStart
from phone import Network, Phone, WeChat
from playwright.async_api import Browser
from product import ROOT, Product
from servers import MariaDB, RedisServer, missing_packages, program
from verdicts import succeeded


def connect(url: str) -> "pymysql.Connection[pymysql.cursors.Cursor]":
    parts = urlsplit(url)
    return pymysql.connect(
        host=parts.hostname or "",
        port=parts.port or 0,
        user=parts.username,
        password=parts.password or "",
        database=parts.path[1:],
        autocommit=True,
        read_timeout=1,
        connect_timeout=5,
    )


class TestMariaDB:
    def test_the_product_s_user_gets_an_empty_database_each_time(self, mariadb: MariaDB) -> None:
        first, second = mariadb.database(), mariadb.database()
        assert first != second
        with connect(first) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE gate (name VARCHAR(20) CHARACTER SET utf8mb4)")
            cursor.execute("INSERT INTO gate VALUES ('门神😀')")
            cursor.execute("SELECT name FROM gate")
            assert cursor.fetchone() == ("门神😀",)
        with connect(second) as connection, connection.cursor() as cursor:
            cursor.execute("SHOW TABLES")
            assert list(cursor.fetchall()) == []

    def test_root_is_not_to_be_had_over_the_network(self, mariadb: MariaDB) -> None:
        with pytest.raises(pymysql.err.OperationalError, match=r"Access denied|not allowed"):
            pymysql.connect(host="127.0.0.1", port=mariadb.port, user="root")

    def test_a_restart_keeps_the_data_and_the_port(self, mariadb: MariaDB) -> None:
        url, port, pid = mariadb.database(), mariadb.port, mariadb.pid
        with connect(url) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE gate (n INT)")
            cursor.execute("INSERT INTO gate VALUES (7)")
        assert mariadb.stop() == 0
        with pytest.raises(pymysql.err.OperationalError):
            connect(url)
        mariadb.start()
        assert (mariadb.port, mariadb.pid == pid) == (port, False)
        with connect(url) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT n FROM gate")
            assert cursor.fetchone() == (7,)

    def test_frozen_it_keeps_connections_and_answers_nothing(self, mariadb: MariaDB) -> None:
        connection = connect(mariadb.database())
        mariadb.freeze()
        with connection.cursor() as cursor, pytest.raises(pymysql.err.OperationalError, match="timed out"):
            cursor.execute("SELECT 1")
        mariadb.thaw()
        assert mariadb.query("SELECT 1") == [(1,)]

    def test_an_acknowledged_row_survives_kill_9(self, mariadb: MariaDB) -> None:
        url = mariadb.database()
        with connect(url) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE gate (n INT)")
            cursor.execute("INSERT INTO gate VALUES (9)")
            mariadb.kill()
        assert not mariadb.running
        mariadb.start()
        assert mariadb.query("SELECT n FROM gate", database=urlsplit(url).path[1:]) == [(9,)]


def fresh_database(server: RedisServer) -> int:
    return int(server.url().rpartition("/")[2])


class TestRedis:
    def test_each_url_is_an_empty_database(self, redis_server: RedisServer) -> None:
        first, second = (redis_server.client(fresh_database(redis_server)) for _ in range(2))
        with first, second:
            first.set("gate", "open")
            assert (first.dbsize(), second.dbsize()) == (1, 0)

    def test_nobody_gets_in_without_the_password(self, redis_server: RedisServer) -> None:
        with redis_server.client(password=None) as client, pytest.raises(redis.exceptions.AuthenticationError):
            client.get("gate")

    @pytest.mark.parametrize("end", [RedisServer.stop, RedisServer.kill])
    def test_an_acknowledged_write_survives(
        self, redis_server: RedisServer, end: Callable[[RedisServer], object]
    ) -> None:
        database, port = fresh_database(redis_server), redis_server.port
        with redis_server.client(database) as client:
            client.set("gate", "open", ex=600)
        end(redis_server)
        with pytest.raises(redis.exceptions.ConnectionError):
            redis_server.client().ping()
        redis_server.start()
        assert redis_server.port == port
        with redis_server.client(database) as client:
            assert client.get("gate") == b"open"

    def test_frozen_it_answers_nothing_until_thawed(self, redis_server: RedisServer) -> None:
        with redis_server.client(timeout=0.5) as client:
            redis_server.freeze()
            with pytest.raises(redis.exceptions.TimeoutError):
                client.ping()
            redis_server.thaw()
            assert client.ping()


class TestHealing:
    """Each of these leaves an engine in ruins; the next finds it well."""

    def test_first_it_is_frozen(self, redis_server: RedisServer) -> None:
        redis_server.freeze()

    def test_then_it_is_well_again_and_killed(self, redis_server: RedisServer) -> None:
        assert redis_server.client().ping()
        redis_server.kill()

    def test_and_it_is_well_again(self, redis_server: RedisServer) -> None:
        assert redis_server.client().ping()

    @pytest.mark.gen_test
    async def test_somebody_is_let_in_and_it_is_killed(
        self, server: Product, phone: Phone, redis_server: RedisServer
    ) -> None:
        succeeded(await phone.login())
        redis_server.kill()

    @pytest.mark.gen_test
    async def test_and_the_server_on_it_lets_somebody_in_at_once(self, server: Product, phone: Phone) -> None:
        succeeded(await phone.login())


class Sleeper(Child):
    """A child that starts one of its own and sleeps."""

    def command(self) -> Sequence[str]:
        return ["sh", "-c", "sleep 600 & echo pids $$ $!; wait"]

    def ready(self) -> bool:
        return "pids" in self.log_since_start()

    def pids(self) -> list[int]:
        return [int(word) for word in self.log_since_start().split()[1:3]]


class Mute(Sleeper):
    def command(self) -> Sequence[str]:
        return ["sh", "-c", "echo no such gate; exit 3"]


def lives(pid: int) -> bool:
    """Say whether a process exists and is no zombie, which is a process that ended and that nobody buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def wait_until(happened: Callable[[], bool], seconds: float = 15.0) -> bool:
    deadline = time.monotonic() + seconds
    while not happened() and time.monotonic() < deadline:
        time.sleep(0.02)
    return happened()


class TestChildren:
    def test_a_killed_child_takes_its_own_children_along(self, tmp_path: Path) -> None:
        sleeper = Sleeper(tmp_path / "sleeper")
        sleeper.start()
        pids = sleeper.pids()
        assert len(pids) == 2
        assert all(lives(pid) for pid in pids)
        sleeper.kill()
        assert wait_until(lambda: not any(lives(pid) for pid in pids))

    def test_one_that_fails_says_why(self, tmp_path: Path) -> None:
        with pytest.raises(DidNotStart, match="no such gate"):
            Mute(tmp_path / "mute").start()

    @pytest.mark.gen_test
    async def test_one_started_from_a_passing_thread_stays(self, tmp_path: Path) -> None:
        sleeper = Sleeper(tmp_path / "sleeper")
        thread = threading.Thread(target=sleeper.start)
        thread.start()
        await asyncio.to_thread(thread.join)
        await asyncio.sleep(0.2)
        assert sleeper.running
        sleeper.kill()

    @pytest.mark.parametrize("number", ["INT", "TERM", "KILL"])
    def test_none_outlives_a_run_that_is_cut_short(self, tmp_path: Path, number: str) -> None:
        test = """
            import time
            def test_long(redis_server, folder):
                print("up", redis_server.pid, folder, flush=True)
                time.sleep(600)
        """
        file = tmp_path / "test_long.py"
        file.write_text(textwrap.dedent(test))
        shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
        command = [sys.executable, "-m", "pytest", "-s", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT)]
        run = subprocess.Popen([*command, "-p", "no:cacheprovider", str(file)], cwd=ROOT, stdout=subprocess.PIPE)
        with run:
            assert run.stdout is not None
            words = next(line for line in run.stdout if b"up " in line).decode().partition("up ")[2].split()
            pid, folder = int(words[0]), Path(words[1])
            subprocess.run(["kill", f"-{number}", str(run.pid)], check=True)
            run.stdout.read()
        assert wait_until(lambda: not lives(pid))
        assert folder.exists() == (number == "KILL")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.quick
class TestWhatIsMissing:
    def test_every_program_is_named_with_the_package_that_brings_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("servers.program", lambda name: None)
        assert missing_packages({"mariadb", "chromium", "phone"}) == ["chromium", "mariadb-server"]
        assert missing_packages({"tmp_path"}) == []

    def test_programs_are_found_where_only_root_looks(self) -> None:
        assert program("mariadbd")
        assert program("no-such-gate") is None

    def test_a_run_without_a_server_ends_with_one_line(self, tmp_path: Path) -> None:
        file = tmp_path / "test_one.py"
        file.write_text("def test_one(redis_server): pass\n")
        shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
        (tmp_path / "sitecustomize.py").write_text("import shutil\nshutil.which = lambda *_, **__: None\n")
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-c",
            str(ROOT / "pyproject.toml"),
            "--rootdir",
            str(ROOT),
            str(file),
        ]
        env = {**os.environ, "PYTHONPATH": str(tmp_path)}
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "The selected tests need: apt-get install redis-server" in done.stdout + done.stderr


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with what it was sent; the path is the status."""

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        heard = {
            "headers": [[name.lower(), value] for name, value in self.headers.items()],
            "body": self.rfile.read(length).decode(),
            "address": self.client_address[0],
        }
        body = json.dumps(heard).encode()
        self.send_response(int(self.path[1:]))
        self.send_header("Set-Cookie", "gate=open")
        self.send_header("Location", "/200")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer  # noqa: N815  # the standard library finds handlers by these names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the standard library's name
        """Keep the run's output clean."""


@dataclass
class EchoDoor:
    base: str
    never_logged: set[str] = field(default_factory=set)


@pytest.fixture
def echo() -> Iterator[EchoDoor]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield EchoDoor(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
        thread.join()


@pytest.fixture
def caller(echo: EchoDoor, network: Network) -> Phone:
    return Phone(echo, WeChat("http://127.0.0.1:9", network), network)


class TestPhone:
    @pytest.mark.gen_test
    async def test_it_posts_json_as_a_phone_does(self, caller: Phone) -> None:
        heard = (await caller.request("POST", "/200", json={"name": "小明"})).json
        headers = dict(heard["headers"])
        assert heard["body"] == '{"name":"小明"}'
        assert headers["content-type"] == "application/json"
        assert "MicroMessenger" in headers["user-agent"]
        assert headers["referer"].startswith("https://servicewechat.com/wx")

    @pytest.mark.gen_test
    async def test_a_header_can_be_changed_doubled_or_left_out(self, caller: Phone) -> None:
        doubled = (await caller.request("GET", "/200", headers=[("X-Gate", "1"), ("X-Gate", "2")])).json
        assert [value for name, value in doubled["headers"] if name == "x-gate"] == ["1", "2"]
        changed = (await caller.request("POST", "/200", data=b"a=b", headers={"content-type": "text/plain"})).json
        assert dict(changed["headers"])["content-type"] == "text/plain"
        bare = (await caller.request("POST", "/200", headers={"Content-Type": None, "User-Agent": None})).json
        assert not {"content-type", "user-agent"} & set(dict(bare["headers"]))

    @pytest.mark.gen_test
    @pytest.mark.parametrize("status", [302, 401, 503])
    async def test_every_status_is_an_answer(self, caller: Phone, status: int) -> None:
        assert (await caller.request("GET", f"/{status}")).status == status

    @pytest.mark.gen_test
    async def test_it_keeps_no_cookies(self, caller: Phone) -> None:
        await caller.request("GET", "/200")
        assert "cookie" not in dict((await caller.request("GET", "/200")).json["headers"])

    @pytest.mark.gen_test
    async def test_phones_can_stand_at_different_addresses(self, caller: Phone) -> None:
        caller.address = "127.0.0.77"
        assert (await caller.request("GET", "/200")).json["address"] == "127.0.0.77"


class TestChromium:
    @pytest.mark.gen_test
    async def test_a_page_is_opened_and_its_script_runs(self, chromium: Browser, echo: EchoDoor) -> None:
        page = await chromium.new_page()
        answer = await page.goto(f"{echo.base}/200")
        assert answer is not None
        assert answer.status == 200
        await page.set_content("<title>门神</title><p id=a></p><script>a.textContent = 6 * 7</script>")
        assert (await page.title(), await page.inner_text("#a")) == ("门神", "42")


class TestServersLog:
    def make(self, folder: Path, log: str) -> Product:
        product = Product(folder, {"APPSECRET": "very-secret", "DATABASE": "mysql://menshen:pass-word@127.0.0.1/a"})
        product.log_path.write_text(log)
        return product

    def test_an_ordinary_log_passes(self, tmp_path: Path) -> None:
        self.make(tmp_path, "listening on http://127.0.0.1:1\nlogin ok\n").check_log()

    @pytest.mark.parametrize("line", ["secret=very-secret", "mysql://menshen:pass-word@", "token abc"])
    def test_a_secret_in_it_is_an_error_that_does_not_repeat_it(self, tmp_path: Path, line: str) -> None:
        product = self.make(tmp_path, line)
        product.never_logged.add("token abc")
        with pytest.raises(AssertionError, match="1 secrets") as error:
            product.check_log()
        assert line not in str(error.value)

    def test_a_traceback_in_it_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(AssertionError, match="KeyError"):
            self.make(tmp_path, "Traceback (most recent call last):\n  …\nKeyError: 'gate'\n").check_log()
