"""The command line beside a running server: data on stdout, one line on stderr, 0 done, 1 refused, 2 wrong use."""

import asyncio
import json
import os
import pwd
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from backends import Backend
from children import DidNotStart
from faults.asking import until
from phone import Network, Phone
from product import APPID, ROOT, DevServer, Product
from servers import MariaDB, RedisServer
from shell import done, menshen, settings_of
from verdicts import id_of, refused, succeeded

import actions
import process
import settings
from stores.users import NoSuchUser

Phones = Callable[..., list[Phone]]
COLUMNS = ["id", "user", "appid", "created_at", "last_seen_at", "platform", "ip"]


def has_rows(server: Product, number: int) -> Callable[[], Awaitable[bool]]:
    """Whether `sessions list` gives so many by now: the row of a login is written after its answer."""

    async def given() -> bool:
        return len((await done(server, "sessions", "list")).split("\n")) == 1 + number

    return given


@pytest.mark.gen_test
async def test_sessions_list_shows_who_is_in(
    make_server: Callable[..., Product], backend: Backend, phones: Phones
) -> None:
    server = make_server(**backend.fresh())
    mei, lan = phones(2, at=server)
    before = int(time.time())
    user = succeeded(await mei.login())["user"]["id"]
    succeeded(await lan.login())
    succeeded(await lan.logout())
    await until(has_rows(server, 1), seconds=20)
    table, objects = await asyncio.gather(done(server, "sessions", "list"), done(server, "sessions", "list", "--json"))
    header, *lines = table.split("\n")
    assert header.split("\t") == COLUMNS
    [row] = [line.split("\t") for line in lines]
    assert row[0] == id_of(mei.token)
    assert row[2] == APPID
    assert before <= int(row[3]) <= int(row[4]) <= int(time.time())
    assert row[5:] == ["android", "127.0.0.1"]
    shown = json.loads(objects)
    assert list(shown) == COLUMNS
    assert (shown["id"], shown["created_at"]) == (row[0], int(row[3]))
    assert str(shown["user"]) == row[1] == str(user)


@pytest.mark.gen_test
async def test_sessions_list_gives_the_newest_as_many_as_asked(
    make_server: Callable[..., Product], phones: Phones
) -> None:
    server = make_server()
    for mei in phones(5, at=server):
        succeeded(await mei.login())
    await until(has_rows(server, 5), seconds=20)
    assert len((await done(server, "sessions", "list", "--most", "2")).split("\n")) == 1 + 2


@pytest.mark.gen_test
async def test_sessions_revoke_ends_one_and_again_is_no_error(embedded: Product, phones: Phones) -> None:
    mei, lan = phones(2)
    succeeded(await mei.login())
    succeeded(await lan.login())
    assert await done(embedded, "sessions", "revoke", id_of(mei.token)) == "ended 1 session of 1 user"
    refused(await mei.verify(), 401002, reason="revoked")
    assert await done(embedded, "sessions", "revoke", id_of(mei.token)) == "ended 0 sessions of 0 users"
    assert await done(embedded, "sessions", "revoke", id_of(lan.token)[:10].upper()) == "ended 1 session of 1 user"
    refused(await lan.verify(), 401002, reason="revoked")


@pytest.mark.gen_test
async def test_sessions_revoke_refuses_what_it_cannot_find(embedded: Product, phone: Phone) -> None:
    succeeded(await phone.login())
    wrong = (id_of(phone.token)[:7], "0" * 12, phone.token)
    for finished in await asyncio.gather(*(menshen(embedded, "sessions", "revoke", each) for each in wrong)):
        assert (finished.returncode, finished.stdout) == (1, "")
        assert finished.stderr.count("\n") == 1
        assert phone.token not in finished.stderr
    succeeded(await phone.verify())


@pytest.mark.gen_test
async def test_sessions_revoke_user_takes_an_id_an_openid_or_both_parts(embedded: Product, phone: Phone) -> None:
    openid = await phone.openid()
    for name in ("id", openid, f"{APPID}:{openid}"):
        first = succeeded(await phone.login())
        token = phone.token
        succeeded(await phone.login())
        user = str(first["user"]["id"]) if name == "id" else name
        assert await done(embedded, "sessions", "revoke-user", user) == "ended 2 sessions of 1 user"
        for each in (token, phone.token):
            phone.token = each
            refused(await phone.verify(), 401002, reason="revoked")
    assert await done(embedded, "sessions", "revoke-user", openid) == "ended 0 sessions of 0 users"


@pytest.mark.gen_test
async def test_sessions_revoke_user_refuses_whom_it_cannot_find(embedded: Product) -> None:
    strangers = ("9" * 30, f"{APPID}:nobody", "' OR 1=1")
    for finished in await asyncio.gather(*(menshen(embedded, "sessions", "revoke-user", each) for each in strangers)):
        assert (finished.returncode, finished.stdout, finished.stderr) == (1, "", "there is no such user\n")


@pytest.mark.gen_test
async def test_sessions_revoke_all_asks_no_script_and_ends_everybody(
    make_server: Callable[..., Product], phones: Phones
) -> None:
    server = make_server()
    people = phones(3, at=server)
    for mei in people:
        succeeded(await mei.login())
    assert await done(server, "sessions", "revoke-all") == "ended 3 sessions of everybody"
    for mei in people:
        refused(await mei.verify(), 401002, reason="revoked")
    assert len((await done(server, "sessions", "list")).split("\n")) == 1


@pytest.mark.gen_test
async def test_settings_are_shown_with_their_source_and_without_secrets(make_server: Callable[..., Product]) -> None:
    server = make_server(start=False, SESSION_SECONDS="12h")
    header, *lines = (await done(server, "settings")).split("\n")
    assert header.split("\t") == ["setting", "value", "source", "meaning"]
    rows = {line.split("\t")[0]: line.split("\t") for line in lines}
    assert rows["SESSION_SECONDS"][1:3] == ["43200", "environment MENSHEN_SESSION_SECONDS"]
    assert rows["API_STATUS"][1:3] == ["http", "default"]
    assert rows["APPSECRET"][1] == "***"
    assert set(rows) == {knob.name for knob in settings.KNOBS.values()} | {"APPS"}
    shown = [json.loads(line) for line in (await done(server, "settings", "--json")).split("\n")]
    assert {row["setting"] for row in shown} == set(rows)
    assert server.settings["APPSECRET"] not in str(shown) + str(rows)


@pytest.mark.gen_test
async def test_wrong_use_and_wrong_settings_are_2_and_say_why_on_stderr(make_server: Callable[..., Product]) -> None:
    server = make_server(start=False)
    misspelt = (["sessions"], ["settings", "--nothing"], ["sessions", "revoke"])
    for finished in await asyncio.gather(*(menshen(server, *words) for words in misspelt)):
        assert (finished.returncode, finished.stdout) == (2, "")
        assert finished.stderr
    wrong = make_server(start=False, SESSION_SECONDS="never")
    commands = (["serve"], ["sessions", "list"])
    for finished in await asyncio.gather(*(menshen(wrong, *words) for words in commands)):
        assert (finished.returncode, finished.stdout) == (2, "")
        assert finished.stderr.count("\n") == 1
        assert "SESSION_SECONDS" in finished.stderr
        assert '"never"' in finished.stderr


@pytest.mark.gen_test
async def test_a_folder_that_cannot_be_made_is_named_in_one_line(make_server: Callable[..., Product]) -> None:
    server = make_server(start=False, DATABASE="sqlite:///proc/nowhere/menshen.db")  # root too makes no folder there
    finished = await menshen(server, "serve", "--port", "0")
    assert (finished.returncode, finished.stdout) == (1, "")
    assert finished.stderr.startswith("/proc/nowhere: ")
    assert finished.stderr.count("\n") == 1


@pytest.mark.gen_test
async def test_a_misspelt_variable_is_told_beside_what_it_left_unset(make_server: Callable[..., Product]) -> None:
    server = make_server(start=False, SESION_SECONDS="7d", APPID="")
    finished = await menshen(server, "serve")
    assert (finished.returncode, finished.stdout) == (2, "")
    warning, wrong = finished.stderr.splitlines()
    assert "did you mean MENSHEN_SESSION_SECONDS?" in warning
    assert wrong.startswith("APPID: is missing")


@pytest.mark.gen_test
async def test_version_is_one_line(embedded: Product) -> None:
    assert await done(embedded, "version") == await done(embedded, "--version") == settings.VERSION


@pytest.mark.gen_test
async def test_before_the_first_start_no_command_makes_keys_or_folders(make_server: Callable[..., Product]) -> None:
    server = make_server(start=False)
    for words in (["sessions", "list"], ["sessions", "revoke-all"], ["audit", "verify"]):
        finished = await menshen(server, *words)
        assert (finished.returncode, finished.stdout) == (2, "")
        told = "put keys.json back from its copy, or set DATA_DIR; a first start makes it"
        assert finished.stderr == f"no keys in {server.data_dir}: {told}\n"
    assert await done(server, "settings")
    assert not server.data_dir.exists()


def test_a_reader_that_has_seen_enough_is_no_error_worth_a_line(make_server: Callable[..., Product]) -> None:
    server = make_server(start=False)
    command = [sys.executable, str(ROOT / "server.py"), "settings"]
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as pipe:
        told = subprocess.run(command, env=server.environment(), stdout=pipe, stderr=subprocess.PIPE, check=False)
    assert (told.returncode, told.stderr) == (1, b"")


@pytest.mark.gen_test
async def test_serve_dev_with_a_mini_program_set_serves_the_simulators_alone_and_says_so(
    tmp_path: Path, network: Network
) -> None:
    own = {"APPID": "wx1111111111111111", "APPSECRET": "c1b2a3948576ffee0102030405060708", "WORKERS": "2"}
    server = DevServer(tmp_path)
    server.settings |= own
    server.start()
    told = [line for line in server.log().splitlines() if "not used" in line]
    as_json = {"Content-Type": "application/json"}
    wx = await network.ask("POST", f"{server.base}/playground/wx-login", headers=as_json, body=b'{"user":"mei"}')
    code = json.dumps({"code": wx.json["code"]}).encode()
    answer = await network.ask("POST", f"{server.base}/api/login", headers=as_json, body=code)
    assert server.stop() == 0
    assert len(told) == 2
    assert told[0].startswith("APPID is not used: --dev without WECHAT_BASE")
    assert told[1] == "--dev serves with one process: WORKERS=2 is not used"
    assert succeeded(answer)["user"]["new"] is True  # an appid need not be named where there is one mini program


@pytest.mark.gen_test
async def test_a_second_server_on_the_same_embedded_data_is_refused_by_pid(
    make_server: Callable[..., Product], phones: Phones
) -> None:
    server = make_server()
    finished = await menshen(server, "serve", "--port", "0")
    assert (finished.returncode, finished.stdout) == (1, "")
    assert finished.stderr.count("\n") == 1
    assert f"pid {server.pid}" in finished.stderr
    [mei] = phones(1, at=server)
    succeeded(await mei.login())


@pytest.mark.gen_test
async def test_upgrade_refuses_beside_a_running_embedded_server_and_works_alone(
    make_server: Callable[..., Product], phones: Phones
) -> None:
    server = make_server()
    [mei] = phones(1, at=server)
    succeeded(await mei.login())
    finished = await menshen(server, "upgrade")
    assert (finished.returncode, finished.stdout) == (1, "")
    assert f"pid {server.pid}" in finished.stderr
    server.stop()
    assert await done(server, "upgrade") == "the schema is up to date"
    server.start()
    succeeded(await mei.verify())


@pytest.mark.gen_test
async def test_with_mysql_serve_waits_for_upgrade(
    make_server: Callable[..., Product], mariadb: MariaDB, phones: Phones
) -> None:
    server = make_server(start=False, DATABASE=mariadb.database())
    for words in (["serve", "--port", "0"], ["sessions", "list"]):
        finished = await menshen(server, *words)
        assert (finished.returncode, finished.stdout) == (2, "")
        assert finished.stderr.count("\n") == 1
        assert "upgrade" in finished.stderr
    assert (await done(server, "upgrade")).startswith("applied version 1")
    assert await done(server, "upgrade") == "the schema is up to date"
    server.start()
    [mei] = phones(1, at=server)
    succeeded(await mei.login())
    succeeded(await mei.verify())


@pytest.mark.gen_test
async def test_a_store_that_cannot_be_reached_is_1_and_names_no_password(
    make_server: Callable[..., Product], mariadb: MariaDB
) -> None:
    server = make_server(DATABASE=mariadb.database(), AUTO_UPGRADE="true")
    server.stop()
    mariadb.freeze()
    commands = (["sessions", "list"], ["upgrade"], ["serve", "--port", "0"])
    for finished in await asyncio.gather(*(menshen(server, *words) for words in commands)):
        assert (finished.returncode, finished.stdout) == (1, "")
        assert finished.stderr == f"MySQL at 127.0.0.1:{mariadb.port} does not answer (TimeoutError)\n"
    mariadb.kill()
    finished = await menshen(server, "sessions", "list")
    assert finished.stderr == f"MySQL at 127.0.0.1:{mariadb.port} does not answer (2003)\n"


@pytest.mark.gen_test
async def test_a_redis_that_cannot_be_reached_is_named(
    make_server: Callable[..., Product], redis_server: RedisServer
) -> None:
    server = make_server(SESSIONS=redis_server.url())
    server.stop()
    redis_server.kill()
    finished = await menshen(server, "sessions", "revoke-all")
    assert (finished.returncode, finished.stdout) == (1, "")
    assert finished.stderr == f"Redis at 127.0.0.1:{redis_server.port} does not answer (ConnectionError)\n"


@pytest.mark.gen_test
async def test_a_server_without_a_mini_program_names_both_ways_out(make_server: Callable[..., Product]) -> None:
    server = make_server(start=False, APPID="", APPSECRET="")
    with pytest.raises(DidNotStart):
        server.start()
    assert "MENSHEN_APPID" in server.log()
    assert "serve --dev" in server.log()


@pytest.mark.gen_test
async def test_every_deed_of_the_shell_is_written_down_first(
    make_server: Callable[..., Product], phones: Callable[..., list[Phone]]
) -> None:
    server = make_server()
    [mei] = phones(1, at=server)
    await mei.login()
    await done(server, "sessions", "revoke", id_of(mei.token))
    await done(server, "sessions", "revoke-all", "--yes")
    assert (await done(server, "audit", "verify")) == "the chain holds: 3 rows"
    async with process.opened(settings_of(server)) as stores:
        everybody, one, began = await stores.audit.newest(10)
    assert (began.deed, began.actor) == ("server.start", "system")
    assert (one.deed, one.target, one.result) == ("session.revoke", f"session:{id_of(mei.token)}", "done")
    assert (everybody.deed, everybody.count) == ("everybody.revoke", 0)
    assert one.actor == everybody.actor == f"shell:{pwd.getpwuid(os.getuid()).pw_name}"


@pytest.mark.gen_test
async def test_what_the_copy_of_the_audit_lacks_is_told_and_the_chain_holds(
    make_server: Callable[..., Product],
) -> None:
    server = make_server()
    copy = server.data_dir / "audit.log"
    row = copy.read_bytes()
    copy.write_bytes(row + row[:40])
    await done(server, "sessions", "revoke-all", "--yes")
    with copy.open("ab") as file:
        file.write(row.replace(b'"n": 1', b'"n": 0') + b"{}\n" * 30)
    verified = await menshen(server, "audit", "verify")
    assert (verified.returncode, verified.stdout) == (0, "the chain holds: 2 rows\n")
    alone, torn = verified.stderr.splitlines()
    assert alone == "1 row only in audit.log, because the database was away: not in the chain"
    assert torn.startswith("torn lines of audit.log, as a full disk or a power cut leaves them: 2, 5, 6, 7, ")
    assert torn.endswith(", 23, …")


@pytest.mark.gen_test
async def test_a_deed_that_failed_is_said_to_have_failed(embedded: Product, phone: Phone) -> None:
    await phone.login()
    by = actions.Actor("operator:test")
    async with process.opened(settings_of(embedded)) as stores:
        user = await actions.find_user(stores, await phone.openid())
        await actions.erase(stores, by, user.id, user.appid)
        with pytest.raises(NoSuchUser):
            await actions.block(stores, by, user, reason="spam")
        failed, intended, *_ = await stores.audit.newest(10)
    assert (failed.deed, failed.result, failed.concerns) == ("user.block", "failed", intended.n)
    assert (intended.deed, intended.result, intended.reason) == ("user.block", "done", "spam")


@pytest.mark.gen_test
async def test_a_shell_that_knows_no_mini_program_puts_everybody_out_all_the_same(
    make_server: Callable[..., Product], backend: Backend, phones: Phones
) -> None:
    server = make_server(**backend.fresh())
    people = phones(3, at=server)
    for each in people:
        await each.login()
    for name in ("APPID", "APPSECRET", "WECHAT_BASE"):
        server.settings.pop(name)
    assert await done(server, "sessions", "revoke-user", await people[0].openid()) == "ended 1 session of 1 user"
    assert await done(server, "sessions", "revoke-all", "--yes") == "ended 2 sessions of everybody"
    for each in people:
        refused(await each.verify(), 401002, reason="revoked")
