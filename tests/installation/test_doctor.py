"""`doctor` on an installation that is well, and on each fault that was planted: found, named, and with what to do."""

import asyncio
import json
import os
import sqlite3
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from children import free_port
from faults.asking import run
from phone import WeChat
from product import APPSECRET, Product
from servers import MariaDB, RedisServer
from shell import done, settings_of

import process
from actions import Actor
from actions.operators import add_operator
from stores.backups import FILE_NAME as BACKUP_NOTE
from stores.keys import FILE_NAME as KEYS

Make = Callable[..., Product]
Found = dict[str, Any]


async def examined(server: Product, *, status: int, **settings: str) -> list[Found]:
    """What `doctor` says under a server's settings and these."""
    at = Product(server.folder, {**server.settings, **settings}) if settings else server
    finished = await asyncio.to_thread(run, at, "doctor", "--json")
    assert (finished.returncode, finished.stderr) == (status, ""), finished
    assert APPSECRET not in finished.stdout
    return [json.loads(line) for line in finished.stdout.splitlines()]


def about(found: list[Found], check: str, *, level: str, said: str) -> Found:
    """The one finding of a check that says so; every one that is not ok has a remedy."""
    assert all(each["remedy"] for each in found if each["level"] != "ok"), found
    fitting = [each for each in found if each["check"].startswith(check) and said in each["says"]]
    assert [each["level"] for each in fitting] == [level], found
    return fitting[0]


async def signed_up(server: Product) -> None:
    async with process.opened(settings_of(server)) as stores:
        await add_operator(stores, Actor("shell:test"), "mei", "admin", "nine quiet boats at dawn")


@pytest.mark.gen_test
async def test_all_is_well_beside_a_running_server(make_server: Make, wechat: WeChat, tmp_path: Path) -> None:
    server = make_server(REQUIRE_TOTP=True)
    await signed_up(server)
    await asyncio.to_thread(run, server, "backup", str(tmp_path / "copy.db"))
    found = await examined(server, status=0)
    by_check = {each["check"].split()[0]: each["level"] for each in found}
    wanted = ["files", "disk", "limits", "proxy", "backup", "wechat", "clock", "database", "sessions", "operators"]
    assert by_check.keys() == {*wanted, "audit"}
    assert {each["level"] for each in found if each["check"] not in ("limits", "disk")} == {"ok"}
    assert (await done(server, "doctor")).startswith("level\tcheck\tsays\tremedy\nok\t")
    assert await wechat.asked() == 2


@pytest.mark.gen_test
async def test_all_is_well_on_mariadb_and_redis(
    make_server: Make, mariadb: MariaDB, redis_server: RedisServer, wechat: WeChat
) -> None:
    server = make_server(DATABASE=mariadb.database(), SESSIONS=redis_server.url(), AUTO_UPGRADE=True, REQUIRE_TOTP=True)
    await signed_up(server)
    found = await examined(server, status=0)
    about(found, "database", level="ok", said="mariadb")
    about(found, "sessions", level="ok", said="in Redis")
    assert {each["level"] for each in found if each["check"] not in ("limits", "disk")} == {"ok"}
    assert mariadb.password not in str(found)


WECHAT_FAULTS: list[tuple[str | int, str, str, str]] = [
    (40125, "fail", "errcode 40125", "AppSecret is wrong"),
    (40013, "fail", "errcode 40013", "AppID is wrong"),
    (40243, "fail", "errcode 40243", "unfreeze"),
    (45009, "warn", "errcode 45009", "in a minute"),
    ("html", "fail", "answered what it should not", "is this WeChat?"),
]


@pytest.mark.gen_test
@pytest.mark.parametrize(("fault", "level", "said", "remedy"), WECHAT_FAULTS, ids=lambda each: str(each)[:12])
async def test_what_wechat_refuses_is_told_with_its_remedy(
    make_server: Make, wechat: WeChat, fault: str | int, level: str, said: str, remedy: str
) -> None:
    server = make_server()
    await wechat.fault(fault, n=5)
    found = await examined(server, status=1 if level == "fail" else 0)
    assert remedy in about(found, "wechat", level=level, said=said)["remedy"]


@pytest.mark.gen_test
async def test_an_address_that_is_not_on_wechat_s_list_is_named(make_server: Make, wechat: WeChat) -> None:
    server = make_server()
    await wechat.fault(40164, n=5)
    found = about(await examined(server, status=1), "wechat", level="fail", said="40164")
    assert "whitelist" in found["remedy"]
    assert any(part.count(".") == 3 or part.count(":") > 1 for part in found["remedy"].split())


@pytest.mark.gen_test
async def test_a_wechat_that_nobody_reaches_fails(make_server: Make) -> None:
    server = make_server()
    found = await examined(server, status=1, WECHAT_BASE=f"http://127.0.0.1:{free_port()}")
    assert "firewall" in about(found, "wechat", level="fail", said="cannot be reached")["remedy"]
    about(found, "database", level="ok", said="answers")


@asynccontextmanager
async def odd_wechat(offset: int, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A WeChat that refuses every code, by a clock of its own."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        date = formatdate(time.time() + offset, usegmt=True)
        body = b'{"errcode":40029,"errmsg":"invalid code"}'
        writer.write(f"HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.gen_test
@pytest.mark.parametrize(("offset", "level", "status"), [(90, "warn", 0), (-4000, "fail", 1)])
async def test_a_clock_that_is_off_is_told(make_server: Make, offset: int, level: str, status: int) -> None:
    server = make_server()
    async with odd_wechat(offset) as port:
        found = await examined(server, status=status, WECHAT_BASE=f"http://127.0.0.1:{port}")
    assert "chrony" in about(found, "clock", level=level, said="off WeChat's")["remedy"]


@pytest.mark.gen_test
async def test_a_certificate_that_nobody_trusts_fails(make_server: Make, wechat: WeChat, tmp_path: Path) -> None:
    server = make_server()
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(cert)]
    await asyncio.to_thread(
        subprocess.run, [*words, "-days", "3", "-subj", "/CN=localhost"], check=True, capture_output=True
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    async with odd_wechat(0, context) as port:
        url = f"https://localhost:{port}"
        found = await examined(server, status=1, PUBLIC_URL=url, TRUSTED_PROXIES="127.0.0.1/32")
    assert "chain" in about(found, "certificate", level="fail", said="self-signed")["remedy"]


SETTINGS_FAULTS = [
    ({"PUBLIC_URL": "http://shop.example"}, "proxy", "fail", "TRUSTED_PROXIES does not"),
    ({"ADDRESS": "::"}, "proxy", "warn", "without a proxy"),
    ({"INSECURE_SIGNIN": "true"}, "proxy", "warn", "plain http"),
]


@pytest.mark.gen_test
@pytest.mark.parametrize(("given", "check", "level", "said"), SETTINGS_FAULTS, ids=lambda each: str(each)[:24])
async def test_a_setting_that_will_hurt_is_told(
    make_server: Make, wechat: WeChat, given: dict[str, str], check: str, level: str, said: str
) -> None:
    server = make_server()
    about(await examined(server, status=1 if level == "fail" else 0, **given), check, level=level, said=said)


@pytest.mark.gen_test
async def test_files_that_others_can_read_are_named_with_the_command_that_mends_them(
    make_server: Make, wechat: WeChat
) -> None:
    server = make_server()
    (server.data_dir / "audit.log").chmod(0o644)
    (server.data_dir / KEYS).chmod(0o640)
    server.data_dir.chmod(0o755)
    found = await examined(server, status=1)
    assert {each["remedy"] for each in found if each["check"] == "files"} == {
        f"chmod 600 {server.data_dir / 'audit.log'}",
        f"chmod 600 {server.data_dir / KEYS}",
        f"chmod 700 {server.data_dir}",
    }
    about(found, "keys", level="fail", said="can be read by others")


@pytest.mark.gen_test
async def test_keys_that_are_gone_and_data_that_is_gone_are_told(make_server: Make, wechat: WeChat) -> None:
    server = make_server()
    server.stop()
    os.rename(server.data_dir / KEYS, server.folder / KEYS)
    about(await examined(server, status=1), "keys", level="fail", said="there are no keys")
    os.rename(server.folder / KEYS, server.data_dir / KEYS)
    os.rename(server.data_dir / "menshen.db", server.folder / "gone.db")
    about(await examined(server, status=1), "database", level="fail", said="there is no")
    assert "menshen.db" not in os.listdir(server.data_dir)


@pytest.mark.gen_test
async def test_no_backup_an_old_one_and_one_that_is_gone_are_warnings(
    make_server: Make, wechat: WeChat, tmp_path: Path
) -> None:
    server = make_server()
    about(await examined(server, status=0), "backup", level="warn", said="no backup")
    note = server.data_dir / BACKUP_NOTE
    for days, said in ((3, "3.0 days old"), (1, "gone from there")):
        note.write_text(json.dumps({"at": int(time.time() - days * 86_400), "file": str(tmp_path / "x"), "bytes": 1}))
        about(await examined(server, status=0), "backup", level="warn", said=said)


@pytest.mark.gen_test
async def test_operators_without_a_second_factor_are_named(make_server: Make, wechat: WeChat) -> None:
    server = make_server()
    about(await examined(server, status=0), "operators", level="warn", said="no operator yet")
    await signed_up(server)
    about(await examined(server, status=0), "operators", level="warn", said="no second factor: mei")


@pytest.mark.gen_test
async def test_an_audit_that_was_changed_fails(make_server: Make, wechat: WeChat) -> None:
    server = make_server()
    with sqlite3.connect(server.data_dir / "menshen.db") as database:
        database.execute("DROP TRIGGER audit_is_not_changed")
        database.execute("UPDATE audit SET actor = 'nobody' WHERE n = 1")
    about(await examined(server, status=1), "audit", level="fail", said="broken at")


@pytest.mark.gen_test
async def test_a_redis_that_forgets_is_told(make_server: Make, redis_server: RedisServer, wechat: WeChat) -> None:
    server = make_server(SESSIONS=redis_server.url())
    client = redis_server.client()
    try:
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("appendonly", "no")
        found = await examined(server, status=1)
    finally:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("appendonly", "yes")
        client.close()
    assert "noeviction" in about(found, "sessions", level="fail", said="allkeys-lru")["remedy"]
    assert "appendonly" in about(found, "sessions", level="warn", said="appendonly off")["remedy"]


@pytest.mark.gen_test
async def test_stores_that_are_away_or_refuse_the_password_fail_and_the_rest_is_looked_at(
    make_server: Make, mariadb: MariaDB, redis_server: RedisServer, wechat: WeChat
) -> None:
    server = make_server()
    nowhere = f"redis://127.0.0.1:{free_port()}/0"
    found = await examined(server, status=1, SESSIONS=nowhere)
    about(found, "sessions", level="fail", said="does not answer")
    about(found, "database", level="ok", said="answers")
    url = mariadb.database()
    found = await examined(server, status=1, DATABASE=url.replace(mariadb.password, "wrong-password"))
    about(found, "stores", level="fail", said="refuses the user name or password")
    assert "wrong-password" not in str(found)
    about(await examined(server, status=1, DATABASE=url), "stores", level="fail", said="of version 0")


@pytest.mark.gen_test
async def test_a_mysql_that_can_lose_a_revocation_is_told(make_server: Make, mariadb: MariaDB, wechat: WeChat) -> None:
    url = mariadb.database()
    mariadb.query(f"ALTER DATABASE {url.rpartition('/')[2]} CHARACTER SET latin1")
    server = make_server(DATABASE=url, AUTO_UPGRADE=True)
    mariadb.query("SET GLOBAL innodb_flush_log_at_trx_commit = 2")
    try:
        found = await examined(server, status=1)
    finally:
        mariadb.query("SET GLOBAL innodb_flush_log_at_trx_commit = 1")
    about(found, "database", level="fail", said="a power cut")
    assert "utf8mb4" in about(found, "database", level="warn", said="latin1")["remedy"]
