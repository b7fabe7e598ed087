"""Sessions in a Redis that stops, freezes, forgets, fills up or lies: 503, never 401, never 500, never a stranger."""

import asyncio
import hashlib
import json
import pickle
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

import aiohttp
import pytest
import redis
from children import free_port
from phone import Network, Phone, WeChat
from product import APPID, Product

from faults.asking import alive, ready, run, said, timed, unavailable, until
from faults.conftest import FaultyRedis
from faults.delaying import DelayingProxy
from stores.sessions.packed import HANDLE_BYTES

Phones = Callable[..., list[Phone]]
MakeServer = Callable[..., Product]
MakeProxy = Callable[[int], DelayingProxy]

AGAIN_SECONDS = 3.0  # three times the second within which a server must be well again
VERIFY_SECONDS = 1.8  # three times the 600 ms after which a verify must have given up
LOGIN_SECONDS = 1.8  # the same, also for a login
EPOCHS = b"{menshen}e"


def key_of(phone: Phone) -> bytes:
    """Return where Redis keeps the session of a phone."""
    return b"{menshen}s" + hashlib.sha256(phone.token.encode()).digest()[:HANDLE_BYTES]


async def logged_in(phones: Phones, product: Product, number: int = 1) -> list[Phone]:
    people = phones(number, at=product)
    for each in people:
        assert (await each.login()).status == 200
    return people


def database_of(product: Product) -> int:
    return int(product.settings["SESSIONS"].rpartition("/")[2])


@pytest.mark.gen_test
async def test_while_redis_is_stopped_nobody_is_told_to_log_in_again_and_no_code_is_spent(
    on_redis: Product, redis_that_fails: FaultyRedis, phones: Phones, network: Network, wechat: WeChat
) -> None:
    mei, lan = (await logged_in(phones, on_redis))[0], phones(1, at=on_redis)[0]
    code = await lan.code()
    redis_that_fails.stop()
    for answer in [await mei.verify(), await mei.verify(), await mei.logout(), await mei.me()]:
        assert unavailable(answer, 503001)
    asked = await wechat.asked()
    assert unavailable(await lan.login(code=code), 503001)
    assert await wechat.asked() == asked
    assert await alive(network, on_redis)
    assert (await ready(network, on_redis))[0] == 503
    redis_that_fails.start()
    await until(lambda: _verifies(mei), seconds=AGAIN_SECONDS)
    assert (await lan.login(code=code)).status == 200
    assert await ready(network, on_redis) == (200, [])


async def _verifies(phone: Phone) -> bool:
    answer = await phone.verify()
    assert answer.status in (200, 503), answer.body
    return answer.status == 200


@pytest.mark.gen_test
async def test_a_frozen_redis_is_given_up_on_in_time_and_taken_up_again(
    on_redis: Product, redis_that_fails: FaultyRedis, phones: Phones, network: Network
) -> None:
    people = await logged_in(phones, on_redis, 5)
    redis_that_fails.freeze()
    outcomes = await asyncio.gather(*(timed(each.verify()) for each in people * 8))
    assert all(unavailable(answer, 503001) for answer, _ in outcomes)
    assert max(seconds for _, seconds in outcomes) <= VERIFY_SECONDS
    answer, seconds = await timed(phones(1, at=on_redis)[0].login())
    assert unavailable(answer, 503001)
    assert seconds <= LOGIN_SECONDS
    assert await alive(network, on_redis)
    redis_that_fails.thaw()
    for each in people:
        await until(lambda each=each: _verifies(each), seconds=AGAIN_SECONDS)  # type: ignore[misc]  # mypy cannot infer a lambda with a default


@pytest.mark.gen_test
async def test_sessions_survive_a_restart_of_redis(
    on_redis: Product, redis_that_fails: FaultyRedis, phones: Phones
) -> None:
    mei, lan = await logged_in(phones, on_redis, 2)
    assert (await lan.logout()).status == 200
    redis_that_fails.kill()
    redis_that_fails.start()
    await until(lambda: _verifies(mei), seconds=AGAIN_SECONDS)
    assert said(await lan.verify()) == (401, 401002, "login")


@pytest.mark.gen_test
async def test_a_redis_that_came_back_empty_is_not_believed_before_it_knows_the_epochs(
    on_redis: Product, redis_that_fails: FaultyRedis, phones: Phones, network: Network
) -> None:
    [mei] = await logged_in(phones, on_redis)
    redis_that_fails.forget()

    async def is_out() -> bool:
        answer = await mei.verify()
        assert answer.status == 401 or unavailable(answer, 503001), answer.body
        return answer.status == 401

    await until(is_out, seconds=AGAIN_SECONDS)
    assert (await mei.login()).status == 200
    assert (await mei.verify()).status == 200
    assert await ready(network, on_redis) == (200, [])


def is_loading(server: FaultyRedis) -> bool:
    try:
        with server.client() as client:
            client.ping()
    except redis.exceptions.BusyLoadingError:
        return True
    except redis.exceptions.ConnectionError:
        return False
    return False


@pytest.mark.gen_test
async def test_nobody_is_out_while_redis_reads_its_data(
    on_redis: Product, redis_that_fails: FaultyRedis, phones: Phones
) -> None:
    [mei] = await logged_in(phones, on_redis)
    with redis_that_fails.client(1023) as client, client.pipeline(transaction=False) as pipe:
        for n in range(20_000):
            pipe.set(f"ballast{n}", n)
        pipe.execute()
    redis_that_fails.kill()
    redis_that_fails.options = ["--key-load-delay", "100"]
    starting = asyncio.ensure_future(asyncio.to_thread(redis_that_fails.start))
    while_loading: list[int] = []
    while not starting.done():
        before = await asyncio.to_thread(is_loading, redis_that_fails)
        status = (await mei.verify()).status
        assert status in (200, 503)
        if before and await asyncio.to_thread(is_loading, redis_that_fails):
            while_loading.append(status)
    await starting
    assert set(while_loading) == {503}
    await until(lambda: _verifies(mei), seconds=AGAIN_SECONDS)
    with redis_that_fails.client(1023) as client:
        client.flushdb()


@pytest.mark.gen_test
async def test_a_full_redis_takes_nobody_in_and_still_verifies_and_puts_out(
    on_redis: Product, redis_that_fails: FaultyRedis, phones: Phones, network: Network, wechat: WeChat
) -> None:
    mei, lan, hua = await logged_in(phones, on_redis, 3)
    first_token = hua.token
    assert (await hua.login()).status == 200
    with redis_that_fails.client() as client:
        client.config_set("maxmemory", 1)
    code, asked = await phones(1, at=on_redis)[0].code(), await wechat.asked()
    assert unavailable(await phones(1, at=on_redis)[0].login(code=code), 503005)
    assert await wechat.asked() == asked
    assert (await mei.verify()).status == 200
    assert (await lan.logout()).status == 200
    assert (await lan.verify()).status == 401
    assert (await hua.request("POST", "/api/me/sessions/revoke-others", headers=hua.bearer)).json["ended"] == 1
    hua.token = first_token
    assert (await hua.verify()).status == 401
    assert await ready(network, on_redis) == (200, [])
    with redis_that_fails.client() as client:
        client.config_set("maxmemory", 0)
    assert (await phones(1, at=on_redis)[0].login(code=code)).status == 200


@pytest.mark.gen_test
async def test_everybody_is_put_out_of_a_full_redis_too(
    on_redis: Product, redis_that_fails: FaultyRedis, phones: Phones
) -> None:
    people = await logged_in(phones, on_redis, 3)
    with redis_that_fails.client() as client:
        client.config_set("maxmemory", 1)
    refused = await asyncio.to_thread(run, on_redis, "sessions", "revoke-all", "--yes")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert {(await each.verify()).status for each in people} == {503}
    with redis_that_fails.client() as client:
        client.config_set("maxmemory", 0)
    await until(lambda: _is_out(people[0]), seconds=AGAIN_SECONDS * 5)
    assert [(await each.verify()).json["reason"] for each in people] == ["revoked"] * 3


async def _is_out(phone: Phone) -> bool:
    return (await phone.verify()).status == 401


@pytest.mark.gen_test
async def test_a_redis_that_became_a_replica_verifies_and_takes_nobody_in(
    on_redis: Product, redis_that_fails: FaultyRedis, phones: Phones, wechat: WeChat
) -> None:
    [mei] = await logged_in(phones, on_redis)
    with redis_that_fails.client() as client:
        client.replicaof("127.0.0.1", free_port())
    [lan] = phones(1, at=on_redis)
    code, asked = await lan.code(), await wechat.asked()
    assert (await mei.verify()).status == 200
    assert unavailable(await lan.login(code=code), 503005)
    assert unavailable(await mei.logout(), 503005)
    assert await wechat.asked() == asked
    assert (await mei.verify()).status == 200
    with redis_that_fails.client() as client:
        client.replicaof("NO", "ONE")
    assert (await lan.login(code=code)).status == 200
    assert (await mei.logout()).status == 200


def through(proxy: DelayingProxy, redis: FaultyRedis) -> str:
    """Return the URL of a fresh database of a Redis behind a proxy."""
    return redis.url().replace(f":{redis.port}/", f":{proxy.port}/")


@pytest.mark.gen_test
async def test_a_redis_200_ms_away_serves_and_one_2_s_away_is_given_up_on(
    make_server: MakeServer, redis_that_fails: FaultyRedis, proxy_to: MakeProxy, phones: Phones
) -> None:
    proxy = proxy_to(redis_that_fails.port)
    proxy.delay_seconds = 0.1  # there and back again
    product = make_server(SESSIONS=through(proxy, redis_that_fails))
    [mei] = phones(1, at=product)

    async def is_in() -> bool:
        return (await mei.login()).status == 200

    await until(is_in, seconds=9)
    await until(lambda: _verifies(mei), seconds=AGAIN_SECONDS)
    assert [(await mei.verify()).status for _ in range(5)] == [200] * 5
    proxy.delay_seconds = 1.0
    answer, seconds = await timed(mei.verify())
    assert unavailable(answer, 503001)
    assert seconds <= VERIFY_SECONDS
    proxy.delay_seconds = 0.0
    await until(lambda: _verifies(mei), seconds=3 * AGAIN_SECONDS)


@pytest.mark.gen_test
async def test_whoever_joins_a_login_that_was_given_up_gets_a_token_that_works_or_none(
    make_server: MakeServer, redis_that_fails: FaultyRedis, proxy_to: MakeProxy, phones: Phones
) -> None:
    proxy = proxy_to(redis_that_fails.port)
    product = make_server(SESSIONS=through(proxy, redis_that_fails))
    people = await logged_in(phones, product, 30)
    proxy.delay_seconds = 0.1  # makes the moment long in which a session that nobody waits for is taken back

    others_are_through = asyncio.Event()

    async def leave_and_join(mei: Phone, pause: Awaitable[object]) -> bool:
        code = await mei.code()
        with suppress(TimeoutError):
            await asyncio.wait_for(mei.login(code=code), 0.05)
        await pause
        answer = await mei.login(code=code)
        if answer.status != 200:
            assert answer.json["errcode"] == 40163
            return False
        await until(lambda: works(mei), seconds=AGAIN_SECONDS)
        return True

    async def works(mei: Phone) -> bool:
        answer = await mei.verify()
        assert answer.status == 200 or unavailable(answer, 503001)  # that far away Redis may be late once
        return answer.status == 200

    *some, last = people
    too_late = asyncio.create_task(leave_and_join(last, others_are_through.wait()))
    came_in = await asyncio.gather(*(leave_and_join(mei, asyncio.sleep(0.1 * n)) for n, mei in enumerate(some)))
    assert came_in[0]  # who joined at once
    others_are_through.set()
    assert not await too_late


@pytest.mark.gen_test
async def test_a_network_that_swallowed_everything_leaves_no_task_hanging_behind(
    make_server: MakeServer, redis_that_fails: FaultyRedis, proxy_to: MakeProxy, phones: Phones
) -> None:
    proxy = proxy_to(redis_that_fails.port)
    product = make_server(SESSIONS=through(proxy, redis_that_fails))
    [mei] = await logged_in(phones, product)
    with redis_that_fails.client(database_of(product)) as client:
        client.delete(EPOCHS)
    proxy.freeze()
    for _ in range(3):
        assert unavailable(await mei.verify(), 503001)
    proxy.lose()
    await until(lambda: _verifies(mei), seconds=3 * AGAIN_SECONDS)


@pytest.mark.gen_test
async def test_twenty_outages_leave_no_connections_behind(
    make_server: MakeServer, redis_that_fails: FaultyRedis, proxy_to: MakeProxy, phones: Phones
) -> None:
    proxy = proxy_to(redis_that_fails.port)
    product = make_server(SESSIONS=through(proxy, redis_that_fails))
    people = await logged_in(phones, product, 3)
    for _ in range(20):
        proxy.cut()
        await asyncio.gather(*(each.verify() for each in people * 3))
    await until(lambda: _verifies(people[0]), seconds=AGAIN_SECONDS)
    assert proxy.connections <= 16
    with redis_that_fails.client(database_of(product)) as client:
        ours = [each for each in client.client_list() if each["db"] == str(database_of(product))]
    assert len(ours) <= 16 + 1


@pytest.mark.gen_test
async def test_a_wrong_redis_password_refuses_the_start_in_one_line(
    make_server: MakeServer, redis_that_fails: FaultyRedis
) -> None:
    url = redis_that_fails.url().replace(redis_that_fails.password, "not-the-password-of-redis")
    done = run(make_server(start=False, SESSIONS=url), "serve", "--port", "0")
    assert done.returncode == 2
    [line] = [each for each in done.stderr.splitlines() if "SESSIONS" in each]
    assert "password" in line
    assert "not-the-password-of-redis" not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def lies(true_value: bytes, of_another: bytes) -> list[bytes]:
    """Return what somebody with access to Redis, but without our key, could put in the place of a session."""
    flipped = [true_value[:n] + bytes([true_value[n] ^ 1]) + true_value[n + 1 :] for n in range(0, len(true_value), 7)]
    return [
        b"",
        b"x",
        b"\xff",
        b"\x00" * 200,
        b"\x01" * 5_000,
        json.dumps({"user_id": 1, "uid": 1}).encode(),
        pickle.dumps({"user_id": 1}),
        true_value[:-1],
        true_value[:20],
        true_value + b"\x00",
        of_another,
        *flipped,
    ]


@pytest.mark.gen_test
async def test_what_others_write_over_a_session_lets_nobody_in(
    on_redis: Product, redis_that_fails: FaultyRedis, phones: Phones
) -> None:
    mei, lan = await logged_in(phones, on_redis, 2)
    with redis_that_fails.client(database_of(on_redis)) as client:
        true_value = client.get(key_of(mei))
        for lie in lies(true_value, client.get(key_of(lan))):
            client.set(key_of(mei), lie)
            for answer in [await mei.verify(), await mei.me(), await mei.logout()]:
                assert answer.status in (401, 503), (lie, answer.body)
        for spoil in (client.rpush, client.sadd, client.pfadd):
            client.delete(key_of(mei))
            spoil(key_of(mei), "x")
            for answer in [await mei.verify(), await mei.me(), await mei.logout()]:
                assert answer.status in (401, 503), answer.body
        client.set(key_of(mei), true_value)
    assert (await mei.verify()).status == 200
    assert (await lan.verify()).status == 200


@pytest.mark.gen_test
@pytest.mark.parametrize("spoilt", [b"", b"garbage", b"\xff\xfe", b"[]", b"7", b'{"wx0000000000000001": "x"}', None])
async def test_spoilt_epochs_are_an_outage_and_are_told_anew(
    on_redis: Product, redis_that_fails: FaultyRedis, phones: Phones, spoilt: bytes | None
) -> None:
    [mei] = await logged_in(phones, on_redis)
    with redis_that_fails.client(database_of(on_redis)) as client:
        if spoilt is None:
            client.delete(EPOCHS)
            client.rpush(EPOCHS, "a list")
        else:
            client.set(EPOCHS, spoilt)
    await until(lambda: _verifies(mei), seconds=AGAIN_SECONDS)
    assert (await mei.login()).status == 200


@pytest.mark.gen_test
async def test_an_index_of_a_wrong_type_is_an_outage_and_no_defect(
    on_redis: Product, redis_that_fails: FaultyRedis, phones: Phones
) -> None:
    [mei] = await logged_in(phones, on_redis)
    user_id = (await mei.verify()).json["user_id"]
    with redis_that_fails.client(database_of(on_redis)) as client:
        epochs = json.loads(client.get(EPOCHS))["epochs"]
        index = b"{menshen}u%d:%d" % (user_id, epochs.get(APPID, 0))
        assert client.type(index) == b"zset"
        client.set(index, "no index")
        own = await mei.request("GET", "/api/me/sessions", headers=mei.bearer)
        assert unavailable(own, 503001)
        assert unavailable(await mei.login(), 503001, "login")
        assert (await mei.verify()).status == 200
        client.delete(index)
    assert (await mei.login()).status == 200


@pytest.mark.gen_test
async def test_phones_that_hang_up_never_make_others_get_their_answers(
    make_server: MakeServer, redis_that_fails: FaultyRedis, proxy_to: MakeProxy, phones: Phones, network: Network
) -> None:
    proxy = proxy_to(redis_that_fails.port)
    product = make_server(SESSIONS=through(proxy, redis_that_fails))
    people = await logged_in(phones, product, 6)
    ids = [(await each.verify()).json["user_id"] for each in people]
    assert len(set(ids)) == 6
    dice = random.Random(91)  # noqa: S311  # the same hang-ups in every run
    proxy.delay_seconds = 0.005
    answered, hung_up = 0, 0

    async def one() -> None:
        nonlocal answered, hung_up
        n = dice.randrange(6)
        try:
            async with asyncio.timeout(dice.choice([0.004, 0.012, 0.02, 5])):
                answer = await people[n].verify()
        except (TimeoutError, aiohttp.ClientError):
            hung_up += 1
            return
        if answer.status == 200:
            answered += 1
            assert answer.json["user_id"] == ids[n]
        else:
            assert unavailable(answer, 503001)

    for _ in range(50):
        await asyncio.gather(*(one() for _ in range(20)))
    assert answered > 100
    assert hung_up > 100
    assert [(await each.verify()).json["user_id"] for each in people] == ids
