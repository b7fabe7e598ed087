"""`key rotate`: a new key seals from then on, what was sealed before still opens, and nobody is put out."""

import asyncio
import os
import signal
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from backends import Backend
from faults.asking import run
from operator_at import audit
from patience import until
from phone import Phone
from product import Product
from shell import settings_of
from verdicts import id_of, succeeded

import process
from stores.keys import FILE_NAME, KeysUnreadable, load_keys, make_keys, rotate_keys

Phones = Callable[..., list[Phone]]


async def sealed_with(server: Product, token: str) -> int:
    """Return the number of the key that a session's session_key is sealed with, after opening it."""
    async with process.opened(settings_of(server)) as stores:
        wanted = bytes.fromhex(id_of(token))
        session = await stores.sessions.find(wanted, stores.now())
        assert len(stores.seal.open(session.sealed_key, wanted)) == 16
        return session.sealed_key[0]


@pytest.mark.gen_test
async def test_a_running_server_takes_a_new_sealing_key_up_and_still_opens_the_old(
    make_server: Callable[..., Product], backend: Backend, phones: Phones
) -> None:
    server = make_server(**backend.fresh())
    mei, lan, kai = phones(3, at=server)
    succeeded(await mei.login())
    done = await asyncio.to_thread(run, server, "key", "rotate")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "sealing key 2 is current; running servers seal with it after a SIGHUP\n"
    succeeded(await lan.login())
    os.kill(server.pid, signal.SIGHUP)
    await until(lambda: "sealing keys were read anew" in server.log())
    succeeded(await kai.login())
    assert [await sealed_with(server, each.token) for each in (mei, lan, kai)] == [1, 1, 2]
    for each in (mei, lan, kai):
        succeeded(await each.verify())
    rows = [(row.deed, row.result) for row in await audit(server) if row.actor.startswith("shell:")]
    assert rows == [("key.rotate", "done")]
    assert not {key.hex() for key in load_keys(server.data_dir).sealing.values()} & set(done.stdout.split())


@pytest.mark.gen_test
async def test_a_server_that_was_not_told_opens_what_another_one_sealed_with_the_new_key(
    two_servers: Callable[..., tuple[Product, Product]], phones: Phones
) -> None:
    told, untold = two_servers()
    [mei] = phones(1, at=told)
    await asyncio.to_thread(run, told, "key", "rotate")
    os.kill(told.pid, signal.SIGHUP)
    await until(lambda: "sealing keys were read anew" in told.log())
    succeeded(await mei.login())
    assert await sealed_with(told, mei.token) == 2
    mei.server = untold
    untold.never_logged.add(mei.token)
    checked = await mei.request("POST", "/api/session-key/check", headers=mei.bearer)
    assert succeeded(checked)["valid"] is True
    assert "a seal names a key that this process does not know" in untold.log()


@pytest.mark.gen_test
async def test_a_rotation_that_cannot_be_written_changes_nothing_and_the_audit_says_so(
    make_server: Callable[..., Product],
) -> None:
    server = make_server()
    keys = server.data_dir / FILE_NAME
    before = keys.read_bytes()
    keys.write_bytes(before[:-20])
    done = await asyncio.to_thread(run, server, "key", "rotate")
    assert done.returncode != 0
    assert "damaged" in done.stderr
    keys.write_bytes(before)
    assert load_keys(server.data_dir).current == 1


@pytest.mark.quick
def test_rotations_at_once_are_one_after_the_other_and_keep_every_key(tmp_path: Path) -> None:
    first = make_keys(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(rotate_keys, [tmp_path] * 16))
    last = load_keys(tmp_path)
    assert last.current == 17
    assert sorted(last.sealing) == list(range(1, 18))
    assert len(set(last.sealing.values())) == 17
    assert all(keys.sealing.items() <= last.sealing.items() for keys in [first, *made])
    assert (last.session_mark, last.person_mark) == (first.session_mark, first.person_mark)
    assert [each.name for each in tmp_path.iterdir()] == [FILE_NAME]
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600


@pytest.mark.quick
def test_the_last_number_is_the_last(tmp_path: Path) -> None:
    make_keys(tmp_path)
    for _ in range(254):
        rotate_keys(tmp_path)
    with pytest.raises(KeysUnreadable, match="255 sealing keys"):
        rotate_keys(tmp_path)
    assert load_keys(tmp_path).current == 255
