"""What lies in the stores opens nothing: no token, no session_key, no code, whoever reads or copies the bytes."""

import base64
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from backends import BACKENDS, Backend
from phone import Phone
from product import Product
from servers import MariaDB, RedisServer
from shell import settings_of
from verdicts import id_of, refused, succeeded

import process
from stores.keys import make_keys
from stores.sessions.packed import HANDLE_BYTES
from wechat.crypto import Seal, SealBroken

Phones = Callable[..., list[Phone]]


def spellings(secret: bytes) -> set[bytes]:
    """Return the ways in which 16 or more bytes could have been written down."""
    return {
        secret,
        secret.hex().encode(),
        secret.hex().upper().encode(),
        base64.b64encode(secret).rstrip(b"="),
        base64.urlsafe_b64encode(secret).rstrip(b"="),
    }


def assert_nowhere(secrets: Iterable[bytes], places: dict[str, bytes]) -> None:
    """Check that none of the secrets occurs in any of the places, which are named in the error."""
    for name, content in places.items():
        assert content, f"{name} is empty, so nothing was searched"
        found = sum(secret in content for secret in secrets)
        assert found == 0, f"{found} secrets stand in {name}"


async def session_keys(server: Product, tokens: list[str]) -> list[bytes]:
    """Return the session_keys of some sessions, opened with the server's own keys: proof that they are there."""
    keys = []
    async with process.opened(settings_of(server)) as stores:
        for token in tokens:
            wanted = bytes.fromhex(id_of(token))
            session = await stores.sessions.find(wanted, stores.now())
            keys.append(stores.seal.open(session.sealed_key, wanted))
    assert all(len(key) == 16 for key in keys)
    return keys


async def secrets_of(server: Product, people: list[Phone]) -> set[bytes]:
    """Log everybody in, let some go, and return every secret that was under way, in all spellings."""
    tokens, codes = [], []
    for mei in people:
        codes.append(await mei.code())
        succeeded(await mei.login(code=codes[-1]))
        succeeded(await mei.verify())
        tokens.append(mei.token)
    found = {text.encode() for text in [*tokens, *codes]}
    for key in await session_keys(server, tokens):
        found |= spellings(key)
    for token in tokens:
        found |= spellings(base64.urlsafe_b64decode(token.removeprefix("mps_") + "="))
    succeeded(await people[0].logout())
    return found


@pytest.mark.gen_test
async def test_no_token_session_key_or_code_stands_in_the_embedded_files(
    make_server: Callable[..., Product], phones: Phones
) -> None:
    server = make_server()
    secrets = await secrets_of(server, phones(30, at=server))
    server.stop()
    before_checkpoint = {path.name: path.read_bytes() for path in server.data_dir.iterdir() if path.stat().st_size}
    assert "menshen.db" in before_checkpoint
    assert_nowhere(secrets, before_checkpoint)
    for path in (server.data_dir, *server.data_dir.iterdir()):
        assert path.stat().st_mode & 0o077 == 0, f"others may read {path.name}"


@pytest.mark.gen_test
async def test_no_token_session_key_or_code_stands_in_the_write_ahead_log(
    make_server: Callable[..., Product], phones: Phones
) -> None:
    server = make_server()
    secrets = await secrets_of(server, phones(10, at=server))
    places = {path.name: path.read_bytes() for path in server.data_dir.glob("menshen.db*") if path.stat().st_size}
    assert "menshen.db-wal" in places
    assert_nowhere(secrets, places)


@pytest.mark.gen_test
async def test_no_token_session_key_or_code_stands_in_redis_or_mariadb(
    make_server: Callable[..., Product], mariadb: MariaDB, redis_server: RedisServer, phones: Phones
) -> None:
    stores = Backend(BACKENDS[1], mariadb, redis_server).fresh()
    server = make_server(**stores)
    secrets = await secrets_of(server, phones(30, at=server))
    places = {"MariaDB": dump_of(mariadb, stores["DATABASE"].rpartition("/")[2])}
    with redis_server.client(int(stores["SESSIONS"].rpartition("/")[2])) as client:
        client.config_set("rdbcompression", "no")
        places["Redis"] = b"".join(key + (client.dump(key) or b"") for key in client.scan_iter())
        client.save()
        client.config_set("rdbcompression", "yes")
    files = [path for path in redis_server.folder.rglob("*") if path.is_file() and path.stat().st_size]
    assert any(path.suffix == ".rdb" for path in files)
    assert any(path.suffix == ".aof" for path in files)
    places |= {path.name: path.read_bytes() for path in files if path.suffix in {".rdb", ".aof"}}
    assert_nowhere(secrets, places)


def dump_of(mariadb: MariaDB, database: str) -> bytes:
    """Return everything that one database holds, values as they are."""
    found = []
    for (table,) in mariadb.query("SHOW TABLES", database=database):
        for row in mariadb.query(f"SELECT * FROM `{table}`", database=database):  # noqa: S608  # the server's own names
            found += [value if isinstance(value, bytes) else str(value).encode() for value in row]
    return b"\0".join(found)


@pytest.mark.gen_test
async def test_no_key_of_a_dump_presented_as_a_token_opens_anything(
    make_server: Callable[..., Product], mariadb: MariaDB, redis_server: RedisServer, phones: Phones
) -> None:
    stores = Backend(BACKENDS[1], mariadb, redis_server).fresh()
    server = make_server(UNKNOWN_TOKEN_LIMIT=0, **stores)
    [mei] = phones(1, at=server)
    succeeded(await mei.login())
    with redis_server.client(int(stores["SESSIONS"].rpartition("/")[2])) as client:
        keys = list(client.scan_iter())
    stolen = bytes.fromhex(id_of(mei.token))
    assert any(stolen[:HANDLE_BYTES] in key for key in keys)
    for key in [stolen, *keys]:
        for guess in spellings(key):
            for token in (guess, b"mps_" + guess[:43].ljust(43, b"A")):
                text = token.decode("latin-1")
                refused(await mei.request("POST", "/api/verify", json={"token": text}), 401002)


@pytest.mark.gen_test
async def test_a_sealed_session_key_opens_for_its_own_session_alone(server: Product, phones: Phones) -> None:
    mei, lan = phones(2)
    succeeded(await mei.login())
    succeeded(await lan.login())
    mine, other = bytes.fromhex(id_of(mei.token)), bytes.fromhex(id_of(lan.token))
    async with process.opened(settings_of(server)) as stores:
        sealed = (await stores.sessions.find(mine, stores.now())).sealed_key
        again = (await stores.sessions.find(other, stores.now())).sealed_key
        assert len(stores.seal.open(sealed, mine)) == 16
        assert sealed[1:13] != again[1:13]  # a nonce that repeats would break GCM
        with pytest.raises(SealBroken):
            stores.seal.open(sealed, other)
        for place in (0, 1, 20, len(sealed) - 1):
            with pytest.raises(SealBroken):
                stores.seal.open(sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :], mine)


@pytest.mark.gen_test
async def test_a_session_moved_to_another_key_in_redis_opens_nothing(
    make_server: Callable[..., Product], mariadb: MariaDB, redis_server: RedisServer, phones: Phones
) -> None:
    stores = Backend(BACKENDS[1], mariadb, redis_server).fresh()
    server = make_server(**stores)
    mei, thief = phones(2, at=server)
    succeeded(await mei.login())
    succeeded(await thief.login())
    with redis_server.client(int(stores["SESSIONS"].rpartition("/")[2])) as client:
        value = client.get(b"{menshen}s" + bytes.fromhex(id_of(mei.token))[:HANDLE_BYTES])
        assert value
        client.set(b"{menshen}s" + bytes.fromhex(id_of(thief.token))[:HANDLE_BYTES], value)
    refused(await thief.verify(), 401002)
    succeeded(await mei.verify())


@pytest.mark.gen_test
async def test_a_new_sealing_key_leaves_the_old_readable_and_losing_it_ends_no_session(
    make_server: Callable[..., Product], phones: Phones
) -> None:
    server = make_server()
    mei, lan = phones(2, at=server)
    succeeded(await mei.login())
    server.stop()
    file = server.data_dir / "keys.json"
    keys = json.loads(file.read_text())
    rotated = {**keys, "current": 2, "sealing": {**keys["sealing"], "2": base64.b64encode(bytes(range(32))).decode()}}
    file.write_text(json.dumps(rotated))
    server.start()
    succeeded(await lan.login())
    assert len(await session_keys(server, [mei.token, lan.token])) == 2
    assert sealed_with(server.data_dir, mei.token) == 1
    assert sealed_with(server.data_dir, lan.token) == 2
    server.stop()
    del rotated["sealing"]["1"]
    file.write_text(json.dumps(rotated))
    server.start()
    succeeded(await mei.verify())
    succeeded(await lan.verify())
    with pytest.raises(SealBroken):
        await session_keys(server, [mei.token])
    assert len(await session_keys(server, [lan.token])) == 1


def sealed_with(data_dir: Path, token: str) -> int:
    """Return the number of the key that a session's session_key is sealed with."""
    connection = sqlite3.connect(data_dir / "menshen.db")
    try:
        wanted = (bytes.fromhex(id_of(token)),)
        [(sealed,)] = connection.execute("SELECT sealed_key FROM session WHERE id = ?", wanted).fetchall()
    finally:
        connection.close()
    return int(sealed[0])


@pytest.mark.gen_test
async def test_a_stolen_copy_without_the_key_file_gives_no_session_key(
    make_server: Callable[..., Product], phones: Phones, tmp_path: Path
) -> None:
    server = make_server()
    [mei] = phones(1, at=server)
    succeeded(await mei.login())
    wanted = bytes.fromhex(id_of(mei.token))
    server.stop()
    shutil.copy(server.data_dir / "menshen.db", tmp_path / "menshen.db")
    connection = sqlite3.connect(tmp_path / "menshen.db")
    [(sealed,)] = connection.execute("SELECT sealed_key FROM session WHERE id = ?", (wanted,)).fetchall()
    connection.close()
    own = make_keys(tmp_path / "thief")
    with pytest.raises(SealBroken):
        Seal(own.sealing, own.current).open(sealed, wanted)
