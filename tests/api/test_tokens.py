"""Tokens: their form, guessing them, their lifetime, and what a caller learns about one that opens nothing."""

import ast
import asyncio
import hashlib
import time
from collections.abc import Callable

import pytest
from backends import BACKENDS, Backend
from patience import until_not
from phone import Answer, Network, Phone, WeChat
from product import ROOT, Product, Simulator
from rawsocket import exchange, request
from servers import MariaDB, RedisServer
from shell import done, settings_of
from verdicts import TOKEN, refused, succeeded, without_request_id

import process
from stores.sessions import new_token

NEVER_ISSUED = "mps_" + "A" * 43
MALFORMED = [
    "",
    "null",
    "undefined",
    "[object Object]",
    "Bearer",
    "mps_",
    "mps_" + "A" * 42,
    "mps_" + "A" * 44,
    "MPS_" + "A" * 43,
    "mps-" + "A" * 43,
    "A" * 43,
    "mps_" + "A" * 42 + "=",
    "mps_" + "A" * 42 + "+",
    "mps_" + "A" * 42 + ".",
    "mps_" + "A" * 42 + " ",
    "mps_" + "A" * 42 + "\u00e9",
    "mps_" + "\uff21" * 43,
    "mps_" + "\u0661" * 43,
    "mps_" + "A" * 43 + "\n",
    "mps_" + "A" * 43 + "\0",
    "x" * 10_000,
    "*",
    "mps_*",
    "sess:*",
    "menshen*",
    "../../x",
    "' OR 1=1 --",
    "a\r\nX-Evil: 1",
    "\U0001f600",
]


@pytest.mark.quick
def test_ten_thousand_tokens_are_unique_and_of_256_bits_of_chance() -> None:
    tokens = {new_token() for _ in range(10_000)}
    assert len(tokens) == 10_000
    assert all(TOKEN.fullmatch(token) for token in tokens)
    # Two of 10,000 share eight of base64's characters once in five million runs; a clock or a counter always does.
    assert len({token[4:12] for token in tokens}) == 10_000
    assert len({token[-9:-1] for token in tokens}) == 10_000


@pytest.mark.quick
def test_nothing_that_makes_tokens_can_reach_a_guessable_source() -> None:
    guessable = {"random", "uuid"}
    weak_hashes = {"md5", "sha1"}
    # RFC 6238 codes are made with SHA-1: authenticator apps know no other, and HMAC is not hurt by its collisions.
    totp = ROOT / "actions" / "totp.py"
    rooms = ("actions", "handlers", "stores")
    files = [path for room in rooms for path in (ROOT / room).rglob("*.py") if path != totp]
    assert totp.exists()
    assert files
    for path in files:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = {alias.name.split(".")[0] for alias in node.names} if isinstance(node, ast.Import) else set()
            if isinstance(node, ast.ImportFrom):
                names = {(node.module or "").split(".")[0]}
            assert not names & guessable, f"{path} imports {names & guessable}"
            assert not (isinstance(node, ast.Attribute) and node.attr in weak_hashes), f"{path} uses {node.attr}"


@pytest.mark.gen_test
async def test_every_malformed_token_is_answered_like_one_that_was_never_issued(
    embedded: Product, phone: Phone
) -> None:
    expected = await phone.request("POST", "/api/verify", json={"token": NEVER_ISSUED})
    refused(expected, 401002)
    for token in MALFORMED:
        answer = await phone.request("POST", "/api/verify", json={"token": token})
        assert without_request_id(answer) == without_request_id(expected), token
        answer = await phone.request("POST", "/api/logout", json={"token": token})
        assert without_request_id(answer) == without_request_id(expected), token


@pytest.mark.gen_test
async def test_the_header_tells_a_guesser_no_more_than_the_body_does(server: Product, phone: Phone) -> None:
    succeeded(await phone.login())
    flipped = phone.token[:-5] + ("A" if phone.token[-5] != "A" else "B") + phone.token[-4:]
    guesses = [NEVER_ISSUED, phone.token.upper(), phone.token + phone.token[4:], phone.token[:-1], flipped]
    guesses += ["mps_*", "null", "[object Object]", "x" * 8000, hashlib.sha256(phone.token.encode()).hexdigest()]
    answers = [
        await phone.request(method, path, headers={"Authorization": f"Bearer {guess}"})
        for guess in guesses
        for method, path in [("GET", "/api/verify"), ("GET", "/api/me"), ("POST", "/api/logout")]
    ]
    for answer in answers:
        refused(answer, 401002)
    assert len({str(without_request_id(answer)) for answer in answers}) == 1
    succeeded(await phone.verify())


@pytest.mark.gen_test
@pytest.mark.parametrize("token", [b"\xf0\x9f\x98\x80", b"\xff\xfe", b"mps_\xc3\xa9"])
async def test_bytes_beyond_ascii_in_the_header_are_a_token_that_opens_nothing(embedded: Product, token: bytes) -> None:
    head = b"GET /api/verify HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token + b"\r\n\r\n"
    refused(await exchange(embedded, head), 401002)


@pytest.mark.gen_test
async def test_a_malformed_token_costs_no_store_a_read(
    make_server: Callable[..., Product],
    mariadb: MariaDB,
    redis_server: RedisServer,
    phones: Callable[..., list[Phone]],
) -> None:
    server = make_server(**Backend(BACKENDS[1], mariadb, redis_server).fresh(), UNKNOWN_TOKEN_LIMIT=0)
    [mei] = phones(1, at=server)
    succeeded(await mei.login())
    redis_server.freeze()
    for token in MALFORMED:
        refused(await mei.request("POST", "/api/verify", json={"token": token}), 401002)
    # What only the store could know is an outage, never "log in again".
    refused(await mei.verify(), 503001)
    refused(await mei.request("POST", "/api/verify", json={"token": NEVER_ISSUED}), 503001)


@pytest.mark.gen_test
async def test_the_public_id_of_a_session_opens_nothing(server: Product, phone: Phone) -> None:
    succeeded(await phone.login())
    [own] = succeeded(await phone.request("GET", "/api/me/sessions", headers=phone.bearer))["sessions"]
    assert own["id"] == hashlib.sha256(phone.token.encode()).hexdigest()
    for guess in (own["id"], f"mps_{own['id'][:43]}"):
        refused(await phone.request("GET", "/api/verify", headers={"Authorization": f"Bearer {guess}"}), 401002)


@pytest.mark.gen_test
async def test_a_token_of_the_clients_own_making_opens_nothing_and_is_not_kept(
    server: Product, phone: Phone, phones: Callable[..., list[Phone]]
) -> None:
    own_make = "mps_" + "f" * 43
    headers = {"Authorization": f"Bearer {own_make}"}
    refused(await phone.request("GET", "/api/verify", headers=headers), 401002)
    body = succeeded(await phone.request("POST", "/api/login", json={"code": await phone.code()}, headers=headers))
    server.never_logged.add(body["token"])
    assert body["token"] != own_make
    refused(await phone.request("GET", "/api/verify", headers=headers), 401002)


@pytest.mark.gen_test
async def test_a_session_lives_exactly_seven_days_and_use_does_not_lengthen_it(server: Product, phone: Phone) -> None:
    before = int(time.time())
    assert succeeded(await phone.login())["expires_in"] == 604_800
    [own] = succeeded(await phone.request("GET", "/api/me/sessions", headers=phone.bearer))["sessions"]
    assert own["expires_at"] - own["created_at"] == 604_800
    assert before <= own["created_at"] <= int(time.time())
    for _ in range(3):
        left = succeeded(await phone.verify())["expires_in"]
        assert left == pytest.approx(own["expires_at"] - time.time(), abs=2)
    async with process.opened(settings_of(server)) as stores:
        kept = await stores.sessions.find(bytes.fromhex(own["id"]), int(time.time()))
    assert (kept.expires_at, kept.ends_at) == (own["expires_at"], own["expires_at"])


@pytest.mark.parametrize("backend", [BACKENDS[1]], indirect=True)
@pytest.mark.gen_test
async def test_redis_itself_forgets_a_session_after_seven_days(
    server: Product, redis_server: RedisServer, phone: Phone
) -> None:
    with redis_server.client(int(server.settings["SESSIONS"].rpartition("/")[2])) as client:
        before = set(client.scan_iter("{menshen}s*"))
        succeeded(await phone.login())
        [key] = set(client.scan_iter("{menshen}s*")) - before
        assert client.ttl(key) == pytest.approx(604_800, abs=1 + 5)  # 5 s for a slow machine between login and look


Begun = dict[str, tuple[Product, str, str]]

# Short lives, each on a server of its own. All begin with the first test that asks for one, so that the waits for their
# ends run beside each other.
SHORT: dict[str, dict[str, object]] = {
    "short": {"SESSION_SECONDS": 4},
    "without reasons": {"SESSION_REASONS": "false", "SESSION_SECONDS": 5},
}


@pytest.fixture(scope="module")
def begun(file_server: Callable[..., Product], backend: Backend, simulator: Simulator) -> Begun:
    """Of each of SHORT the server, and the name and the token of somebody who has logged in."""
    servers = {name: file_server(**settings, **backend.fresh()) for name, settings in SHORT.items()}

    async def logged_in() -> Begun:
        network = Network()
        try:
            people = {name: Phone(server, WeChat(simulator.base, network), network) for name, server in servers.items()}
            answers = [succeeded(await mei.login()) for mei in people.values()]
        finally:
            await network.close()
        assert [answer["expires_in"] for answer in answers] == [4, 5]
        return {name: (servers[name], mei.name, mei.token) for name, mei in people.items()}

    return asyncio.run(logged_in())


async def whose_end(begun: Begun, name: str, phones: Callable[..., list[Phone]]) -> tuple[Phone, Answer]:
    """Wait until a session of SHORT is over, and return the phone that held it with the first refusal."""
    server, person, token = begun[name]
    [mei] = phones(1, at=server)
    mei.name, mei.token = person, token
    return mei, await until_not(200, mei.verify)


@pytest.mark.gen_test
async def test_an_expired_token_is_told_so_and_is_listed_nowhere(
    begun: Begun, phones: Callable[..., list[Phone]]
) -> None:
    mei, answer = await whose_end(begun, "short", phones)
    server, _, expired = begun["short"]
    refused(answer, 401002, reason="expired")
    assert (await done(server, "sessions", "list")).count("\n") == 0
    # Whoever logs in again finds only the new session in the list.
    succeeded(await mei.login())
    body = succeeded(await mei.request("GET", "/api/me/sessions", headers=mei.bearer))
    assert hashlib.sha256(expired.encode()).hexdigest() not in {own["id"] for own in body["sessions"]}
    mei.token = expired
    refused(await mei.verify(), 401002, reason="expired")
    refused(await mei.logout(), 401002, reason="expired")


async def _when_over(mei: Phone) -> Answer:
    return await until_not(200, mei.verify)


@pytest.mark.gen_test
async def test_sliding_sessions_end_at_the_longest_life_all_the_same(
    make_server: Callable[..., Product], backend: Backend, phones: Callable[..., list[Phone]]
) -> None:
    server = make_server(SESSION_SECONDS=1, SESSION_MAX_SECONDS=2, SESSION_SLIDING="true", **backend.fresh())
    [mei] = phones(1, at=server)
    succeeded(await mei.login())
    refused(await _when_over(mei), 401002, reason="expired")


@pytest.mark.gen_test
async def test_each_ended_token_is_told_why(server: Product, phones: Callable[..., list[Phone]]) -> None:
    left, replaced, revoked = phones(3)
    for mei in (left, replaced, revoked):
        succeeded(await mei.login())
    succeeded(await left.logout())
    body = succeeded(
        await replaced.request("POST", "/api/login", json={"code": await replaced.code()}, headers=replaced.bearer)
    )
    server.never_logged.add(body["token"])
    await done(server, "sessions", "revoke-user", await revoked.openid())
    for mei, reason in ((left, "logged_out"), (replaced, "replaced"), (revoked, "revoked")):
        refused(await mei.verify(), 401002, reason=reason)
        refused(await mei.me(), 401002, reason=reason)
        refused(await mei.logout(), 401002, reason=reason)


@pytest.mark.gen_test
async def test_without_session_reasons_an_ended_token_is_like_one_that_was_never_issued(
    begun: Begun, phones: Callable[..., list[Phone]]
) -> None:
    server, *_ = begun["without reasons"]
    mei, lan, wen = phones(3, at=server)
    for each in (mei, lan):
        succeeded(await each.login())
    succeeded(await mei.logout())
    await done(server, "sessions", "revoke-user", await lan.openid())
    qi, _ = await whose_end(begun, "without reasons", phones)
    wen.token = NEVER_ISSUED
    answers = [await each.verify() for each in (mei, lan, qi, wen)]
    for answer in answers:
        refused(answer, 401002)
    assert len({str(without_request_id(answer)) for answer in answers}) == 1


@pytest.mark.gen_test
async def test_a_huge_header_is_refused_and_does_no_harm(embedded: Product, phone: Phone) -> None:
    answer = await exchange(embedded, request("GET", "/api/verify", "Authorization: Bearer " + "x" * 12_000))
    refused(answer, 401002)
    succeeded(await phone.login())
