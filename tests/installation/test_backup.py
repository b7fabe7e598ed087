"""`backup` beside a running server, and `restore`: whole, private, and nothing that ended comes back by itself."""

import asyncio
import json
import os
import shutil
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from faults.asking import run
from operator_at import audit
from phone import Network, Phone
from product import APPID, Product
from servers import MariaDB, RedisServer
from shell import done, menshen, settings_of
from verdicts import id_of, refused, succeeded

import process
from actions import Actor
from actions.operators import add_operator
from stores.backups import last_backup
from stores.keys import FILE_NAME, load_keys

Phones = Callable[..., list[Phone]]
Make = Callable[..., Product]


async def back_up(server: Product, copy: Path, *words: str) -> str:
    return await done_with_notes(server, "backup", str(copy), *words)


async def restored(server: Product, copy: Path, *words: str) -> None:
    server.stop()
    await done_with_notes(server, "restore", str(copy), *words)
    server.start()


async def done_with_notes(server: Product, *words: str) -> str:
    finished = await menshen(server, *words)
    assert finished.returncode == 0, finished.stderr
    return finished.stderr


def user_of(answer: object) -> int:
    return int(succeeded(answer)["user"]["id"])  # type: ignore[arg-type]  # an Answer, as every caller has


@pytest.mark.gen_test
async def test_a_backup_under_load_holds_every_login_acknowledged_before_it(
    make_server: Make, phones: Phones, tmp_path: Path
) -> None:
    server, copy = make_server(), tmp_path / "copy.db"
    people = phones(60, at=server)
    before = [user_of(await each.login()) for each in people[:20]]
    backup = asyncio.ensure_future(back_up(server, copy))
    during = [user_of(await each.login()) for each in people[20:]]
    assert FILE_NAME in await backup
    with sqlite3.connect(copy) as found:
        assert found.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        kept = {row[0] for row in found.execute("SELECT id FROM user")}
        sessions = {row[0] for row in found.execute("SELECT user_id FROM session WHERE reason IS NULL")}
    assert set(before) <= kept <= {*before, *during}
    assert set(before) <= sessions
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["copy.db"]
    for each in people:
        succeeded(await each.verify())
    note = last_backup(server.data_dir)
    assert note is not None
    assert (note.file, note.bytes) == (str(copy), copy.stat().st_size)
    assert [row.target for row in await audit(server) if row.deed == "data.backup"] == [f"file:{copy}"]


@pytest.mark.gen_test
async def test_a_stolen_backup_holds_no_token_and_no_secret(make_server: Make, phones: Phones, tmp_path: Path) -> None:
    server, copy = make_server(), tmp_path / "copy.db"
    [mei] = phones(1, at=server)
    succeeded(await mei.login())
    password = "nine quiet boats at dawn"
    async with process.opened(settings_of(server)) as stores:
        await add_operator(stores, Actor("shell:test"), "mei", "admin", password)
        wanted = bytes.fromhex(id_of(mei.token))
        session_key = stores.seal.open((await stores.sessions.find(wanted, stores.now())).sealed_key, wanted)
    await back_up(server, copy)
    stolen = copy.read_bytes()
    keys = load_keys(server.data_dir)
    secrets = [mei.token.encode(), session_key, server.settings["APPSECRET"].encode(), password.encode()]
    for secret in [*secrets, *keys.sealing.values(), keys.session_mark, keys.person_mark]:
        assert secret not in stolen


@pytest.mark.gen_test
async def test_a_backup_is_never_written_over_anything(make_server: Make, tmp_path: Path) -> None:
    server, copy = make_server(), tmp_path / "copy.db"
    copy.write_text("mine")
    finished = await menshen(server, "backup", str(copy))
    assert (finished.returncode, finished.stdout) == (1, "")
    assert "is there already" in finished.stderr
    assert copy.read_text() == "mine"
    finished = await menshen(server, "backup", str(tmp_path / "nowhere" / "copy.db"))
    assert finished.returncode == 1
    assert finished.stderr.count("\n") == 1
    rows = [(row.deed, row.result) for row in await audit(server) if row.deed == "data.backup"]
    assert rows == [("data.backup", "failed"), ("data.backup", "done")] * 2


@pytest.mark.gen_test
async def test_a_restore_refuses_beside_a_server_and_changes_nothing(
    make_server: Make, phones: Phones, tmp_path: Path
) -> None:
    server, copy = make_server(), tmp_path / "copy.db"
    [mei] = phones(1, at=server)
    await back_up(server, copy)
    succeeded(await mei.login())
    finished = await menshen(server, "restore", str(copy))
    assert finished.returncode == 1
    assert f"pid {server.pid}" in finished.stderr
    succeeded(await mei.verify())


@pytest.mark.gen_test
async def test_what_was_revoked_after_the_backup_stays_revoked_and_everybody_logs_in_anew(
    make_server: Make, phones: Phones, tmp_path: Path
) -> None:
    server, copy = make_server(), tmp_path / "copy.db"
    mei, lan = phones(2, at=server)
    mei_id, _ = user_of(await mei.login()), user_of(await lan.login())
    await back_up(server, copy)
    await done(server, "sessions", "revoke-user", str(mei_id))
    await restored(server, copy)
    for each in (mei, lan):
        refused(await each.verify(), 401002, reason="revoked")
    assert user_of(await mei.login()) == mei_id
    succeeded(await mei.verify())
    assert (await done(server, "audit", "verify")).startswith("the chain holds")
    assert [row.target for row in await audit(server) if row.deed == "data.restore"] == [f"file:{copy}"]


@pytest.mark.gen_test
async def test_everybody_put_out_after_a_restore_is_out_again(
    make_server: Make, redis_server: RedisServer, phones: Phones, tmp_path: Path
) -> None:
    """Redis had seen higher counters than the backup: the next one must be higher than those."""
    server, copy = make_server(SESSIONS=redis_server.url()), tmp_path / "copy.db"
    mei, lan = phones(2, at=server)
    await back_up(server, copy)
    succeeded(await mei.login())
    for _ in range(3):
        await done(server, "sessions", "revoke-all", "--yes")
    succeeded(await mei.login())
    await restored(server, copy)
    refused(await mei.verify(), 401002, reason="revoked")
    succeeded(await lan.login())
    await done(server, "sessions", "revoke-all", "--yes")
    refused(await lan.verify(), 401002, reason="revoked")


@pytest.mark.gen_test
async def test_nobody_gets_the_number_of_somebody_who_came_after_the_backup(
    make_server: Make, phones: Phones, tmp_path: Path
) -> None:
    server, copy = make_server(), tmp_path / "copy.db"
    mei, lan, kai = phones(3, at=server)
    first = user_of(await mei.login())
    await back_up(server, copy)
    later = user_of(await lan.login())
    await restored(server, copy)
    newest = user_of(await kai.login())
    assert first < later < newest
    database = server.data_dir / "menshen.db"
    server.stop()
    database.write_bytes(b"no database any more" * 100)
    await restored(server, copy)
    assert user_of(await lan.login()) > newest
    assert user_of(await mei.login()) == first


@pytest.mark.gen_test
async def test_sessions_of_the_backup_hold_when_that_was_asked_for(
    make_server: Make, phones: Phones, tmp_path: Path
) -> None:
    server, copy = make_server(), tmp_path / "copy.db"
    mei, lan = phones(2, at=server)
    succeeded(await mei.login())
    await back_up(server, copy)
    succeeded(await lan.login())
    await restored(server, copy, "--keep-sessions")
    succeeded(await mei.verify())
    refused(await lan.verify(), 401002)


@pytest.mark.gen_test
async def test_sessions_in_redis_cannot_be_kept(make_server: Make, redis_server: RedisServer, tmp_path: Path) -> None:
    server, copy = make_server(SESSIONS=redis_server.url()), tmp_path / "copy.db"
    assert "in Redis" in await back_up(server, copy)
    server.stop()
    finished = await menshen(server, "restore", str(copy), "--keep-sessions")
    assert finished.returncode == 1
    assert "SESSIONS in Redis" in finished.stderr


@pytest.mark.gen_test
async def test_on_a_bare_machine_with_the_keys_everything_goes_on(
    make_server: Make, phones: Phones, network: Network, tmp_path: Path
) -> None:
    server, copy = make_server(), tmp_path / "copy.db"
    [mei] = phones(1, at=server)
    mei_id = user_of(await mei.login())
    finished = await menshen(server, "backup", str(copy), "--with-keys")
    assert (finished.returncode, finished.stderr) == (0, "")
    keys = tmp_path / "copy.db.keys.json"
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    before = load_keys(server.data_dir)
    server.stop()
    shutil.rmtree(server.data_dir)
    await done_with_notes(server, "restore", str(copy), "--keep-sessions")
    assert load_keys(server.data_dir) == before
    server.start()
    assert succeeded(await mei.verify())["user_id"] == mei_id
    async with process.opened(settings_of(server)) as stores:
        wanted = bytes.fromhex(id_of(mei.token))
        session = await stores.sessions.find(wanted, stores.now())
        assert len(stores.seal.open(session.sealed_key, wanted)) == 16


@pytest.mark.gen_test
async def test_on_a_bare_machine_without_the_keys_people_are_back_and_sessions_are_over(
    make_server: Make, phones: Phones, tmp_path: Path
) -> None:
    server, copy = make_server(), tmp_path / "copy.db"
    [mei] = phones(1, at=server)
    mei_id = user_of(await mei.login())
    await back_up(server, copy)
    server.stop()
    shutil.rmtree(server.data_dir)
    kept = await menshen(server, "restore", str(copy), "--keep-sessions")
    assert kept.returncode == 1
    assert "needs the keys" in kept.stderr
    assert "new ones were made" in await done_with_notes(server, "restore", str(copy))
    server.start()
    refused(await mei.verify(), 401002, reason="revoked")
    assert user_of(await mei.login()) == mei_id
    assert (await done(server, "audit", "verify")).startswith("the chain holds")


@pytest.mark.gen_test
async def test_other_keys_than_the_backup_s_are_not_mixed(make_server: Make, tmp_path: Path) -> None:
    server, copy = make_server(), tmp_path / "copy.db"
    await back_up(server, copy, "--with-keys")
    server.stop()
    keys = json.loads((server.data_dir / FILE_NAME).read_text())
    (server.data_dir / FILE_NAME).write_text(json.dumps({**keys, "session_mark": keys["person_mark"]}))
    before = sorted((path.name, path.stat().st_size) for path in server.data_dir.iterdir())
    finished = await menshen(server, "restore", str(copy))
    assert finished.returncode == 1
    assert "not the same keys" in finished.stderr
    assert sorted((path.name, path.stat().st_size) for path in server.data_dir.iterdir()) == before


@pytest.mark.gen_test
@pytest.mark.parametrize("fault", ["missing", "garbage", "cut", "newer", "other"])
async def test_a_copy_that_cannot_be_used_changes_nothing(
    make_server: Make, phones: Phones, tmp_path: Path, fault: str
) -> None:
    server, copy = make_server(), tmp_path / "copy.db"
    [mei] = phones(1, at=server)
    mei_id = user_of(await mei.login())
    await back_up(server, copy)
    _spoil(copy, fault)
    server.stop()
    finished = await menshen(server, "restore", str(copy))
    assert finished.returncode == 1
    assert str(copy) in finished.stderr
    assert finished.stderr.count("\n") == 1
    assert not list(server.data_dir.glob("*restor*"))
    server.start()
    assert succeeded(await mei.verify())["user_id"] == mei_id


def _spoil(copy: Path, fault: str) -> None:
    if fault == "missing":
        copy.unlink()
    elif fault == "garbage":
        copy.write_bytes(os.urandom(20_000))
    elif fault == "cut":
        os.truncate(copy, copy.stat().st_size // 2)
    else:
        with sqlite3.connect(copy) as found:
            asked = "INSERT INTO schema_version VALUES (999, 0)" if fault == "newer" else "DROP TABLE schema_version"
            found.execute(asked)


@pytest.mark.gen_test
async def test_the_data_of_before_a_restore_can_be_restored_itself(
    make_server: Make, phones: Phones, tmp_path: Path
) -> None:
    server, copy = make_server(), tmp_path / "copy.db"
    [mei] = phones(1, at=server)
    await back_up(server, copy)
    mei_id = user_of(await mei.login())
    await restored(server, copy)
    [aside] = server.data_dir.glob("menshen.db.before-restore-*")
    assert stat.S_IMODE(aside.stat().st_mode) == 0o600
    await restored(server, aside)
    assert user_of(await mei.login()) == mei_id


@pytest.mark.gen_test
async def test_with_mysql_both_commands_name_the_tools_that_do_it(
    make_server: Make, mariadb: MariaDB, tmp_path: Path
) -> None:
    server = make_server(start=False, DATABASE=mariadb.database(), APPID=APPID)
    for word in ("backup", "restore"):
        finished = await asyncio.to_thread(run, server, word, str(tmp_path / "copy.db"))
        assert finished.returncode == 1
        assert "mariadb-dump --single-transaction" in finished.stderr
