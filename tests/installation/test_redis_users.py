"""The Redis user of deploy/redis/users.acl: every Redis of the tests gives it to the product, and it may do no more."""

import asyncio
from collections.abc import Callable

import pytest
import redis
from backends import BACKENDS, Backend
from faults.asking import run
from operator_at import make_operator
from phone import Network, Phone
from product import Product
from servers import USERS, RedisServer
from shell import done
from verdicts import id_of, refused, succeeded

Phones = Callable[..., list[Phone]]
Make = Callable[..., Product]
RULES = {line.split()[1]: line.split()[2:] for line in USERS.read_text("ascii").splitlines()}
REFUSED = [
    *("FLUSHALL", "FLUSHDB", "KEYS *", "SCAN 0", "CONFIG GET dir", "CONFIG SET hz 10", "CONFIG REWRITE", "SHUTDOWN"),
    *("EVAL return{} 0", "EVALSHA x 0", "SCRIPT FLUSH", "FUNCTION LIST", "FCALL x 0", "ACL LIST", "ACL SETUSER x on"),
    *("MODULE LIST", "MONITOR", "CLIENT LIST", "CLIENT KILL ID 1", "REPLICAOF no one", "SAVE"),
    *("DUMP {menshen}e", "RESTORE {menshen}e 0 x", "MIGRATE h 1 {menshen}e 0 1", "RENAME {menshen}e {menshen}f"),
    *("OBJECT ENCODING {menshen}e", "SWAPDB 0 1", "PUBLISH x y", "SUBSCRIBE x", "SLOWLOG GET", "LATENCY RESET"),
    *("GET other", "SET other 1", "DEL other", "MGET {menshen}e other", "ZADD {menshe}a 1 x", "RANDOMKEY", "DBSIZE"),
]  # fmt: skip


@pytest.mark.quick
def test_only_the_owner_may_do_everything_and_nobody_comes_in_without_a_name() -> None:
    assert RULES["default"][:2] == ["off", "resetpass"]
    assert "+@all" in RULES["admin"]
    serving = RULES["menshen"]
    assert [rule for rule in serving if rule.startswith("~")] == ["~{menshen}*", "~{menshen:*"]
    assert serving.index("-@all") < min(n for n, rule in enumerate(serving) if rule.startswith("+"))
    assert not [rule for rule in serving if rule.startswith(("+@", "&", "allkeys", "allchannels", "allcommands"))]


def test_what_serving_does_not_need_is_refused(redis_server: RedisServer) -> None:
    with redis_server.client(username="menshen") as server:
        assert server.ping()
        for command in REFUSED:
            with pytest.raises(redis.exceptions.NoPermissionError):
                server.execute_command(*command.split())
    with redis_server.client(username=None) as nobody, pytest.raises(redis.exceptions.AuthenticationError):
        nobody.ping()


def test_what_a_transaction_wrote_is_read_again_by_a_redis_that_starts(redis_server: RedisServer) -> None:
    # Redis reads its append-only file as `default`: without its rights it passes over every transaction.
    database = int(redis_server.url().rpartition("/")[2])
    with redis_server.client(database, username="menshen") as server, server.pipeline(transaction=True) as pipe:
        pipe.set("{menshen}a", "1").zadd("{menshen}b", {"x": 1}).execute()
    redis_server.kill()
    redis_server.start()
    with redis_server.client(database, username="menshen") as server:
        assert server.mget("{menshen}a") == [b"1"]
        assert server.zcount("{menshen}b", 0, 2) == 1


@pytest.mark.gen_test
@pytest.mark.parametrize("backend", [BACKENDS[1]], indirect=True)
async def test_a_server_with_this_user_does_everything_and_meets_no_refusal(
    make_server: Make, backend: Backend, redis_server: RedisServer, phones: Phones, network: Network
) -> None:
    server = make_server(SESSION_SLIDING="true", SESSIONS_PER_USER=2, **backend.fresh())
    assert server.settings["SESSIONS"].startswith("redis://menshen:")
    with redis_server.client() as owner:
        owner.execute_command("ACL", "LOG", "RESET")
        mei, lan = phones(2, at=server)
        user = succeeded(await mei.login())["user"]["id"]
        for _ in range(3):  # one over the limit
            succeeded(await mei.login())
        succeeded(await lan.login())
        admin = await make_operator(server, network)
        sure = {"sure": "yes", "reason": "test", "remark": ""}
        assert "Ended 1 session" in (await admin.post(f"/admin/sessions/{id_of(mei.token)}/revoke", sure)).text
        refused(await mei.verify(), 401002, reason="revoked")
        blocked = await admin.post(f"/admin/users/{user}/block", {**sure, "until": ""})
        assert "Blocked 1 person" in blocked.text
        refused(await lan.request("GET", "/api/verify", headers={"Authorization": "Bearer mps_" + "x" * 43}), 401002)
        for path in ("/admin/", "/admin/sessions", "/admin/users", f"/admin/users/{user}"):
            assert (await admin.get(path)).status == 200
        succeeded(await lan.verify())
        succeeded(await lan.logout())
        succeeded(await lan.login())
        await done(server, "sessions", "revoke-all", "--yes")
        refused(await lan.verify(), 401002, reason="revoked")
        server.restart()
        succeeded(await lan.login())
        assert (await network.ask("GET", f"{server.base}/readyz")).status == 200
        assert owner.execute_command("ACL", "LOG") == []
    assert "Redis refused a command" not in server.log()


@pytest.mark.gen_test
async def test_moving_into_a_redis_takes_its_owner_and_says_so(
    make_server: Make, redis_server: RedisServer, phones: Phones
) -> None:
    server = make_server()
    [mei] = phones(1, at=server)
    succeeded(await mei.login())
    server.stop()
    finished = await asyncio.to_thread(run, server, "move", "--to-sessions", redis_server.url())
    assert finished.returncode == 1
    assert "Traceback" not in finished.stderr
    assert "refused a command (NoPermissionError)" in finished.stderr
    assert redis_server.password not in finished.stderr
    server.start()
    succeeded(await mei.verify())
