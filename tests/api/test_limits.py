"""Limits per address, and whose word about an address counts."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
from backends import Backend
from patience import until
from phone import Answer, Phone
from product import Product
from rawsocket import exchange, request
from verdicts import refused, succeeded

Phones = Callable[..., list[Phone]]
LIMIT = 4


async def until_limited(ask: Callable[[], Awaitable[Answer]], limit: int = LIMIT) -> int:
    """Ask until 429 comes, check it, and return how often something else came; the minute may turn once meanwhile."""
    for served in range(2 * limit + 1):
        answer = await ask()
        if answer.status == 429:
            refused(answer, 429001)
            assert 1 <= int(answer.headers["Retry-After"]) <= 60
            assert served >= limit
            return served
    raise AssertionError("no limit was met")


async def with_time_left_in_the_minute() -> None:
    """Limits count by the minute of the clock: do not begin in its last seconds."""
    await until(lambda: time.time() % 60 < 54)


@pytest.mark.gen_test
async def test_logins_over_the_limit_are_refused_and_other_addresses_are_not(
    make_server: Callable[..., Product], backend: Backend, phones: Phones
) -> None:
    server = make_server(LOGIN_LIMIT=LIMIT, **backend.fresh())
    [mei] = phones(1, at=server)
    [lan] = phones(1, at=server, address="127.0.0.2")
    asked = await mei.wechat.asked()
    served = await until_limited(mei.login)
    assert await mei.wechat.asked() == asked + served
    succeeded(await mei.verify())  # who is in stays in
    succeeded(await lan.login())


@pytest.mark.gen_test
async def test_a_login_that_was_limited_has_not_spent_its_code(
    make_server: Callable[..., Product], phones: Phones
) -> None:
    server = make_server(LOGIN_LIMIT=LIMIT)
    [mei] = phones(1, at=server)
    code = ""

    async def log_in() -> Answer:
        nonlocal code
        code = await mei.code()
        return await mei.login(code=code)

    await until_limited(log_in)
    [same] = phones(1, at=server, address="127.0.0.2")
    succeeded(await same.login(code=code))


@pytest.mark.gen_test
async def test_two_servers_count_logins_together(
    two_servers: Callable[..., tuple[Product, Product]], phones: Phones
) -> None:
    first, second = two_servers(LOGIN_LIMIT=LIMIT)
    [mei] = phones(1, at=first)
    [lan] = phones(1, at=second)
    await with_time_left_in_the_minute()
    await until_limited(mei.login)
    refused(await lan.login(), 429001)


@pytest.mark.gen_test
async def test_guessing_is_throttled_and_whoever_is_in_keeps_being_served(
    make_server: Callable[..., Product], backend: Backend, phones: Phones
) -> None:
    server = make_server(UNKNOWN_TOKEN_LIMIT=LIMIT, **backend.fresh())
    mei, lan = phones(2, at=server)
    [far] = phones(1, at=server, address="127.0.0.2")
    succeeded(await mei.login())
    succeeded(await lan.login())
    succeeded(await lan.logout())
    number = 0

    async def guess() -> Answer:
        nonlocal number
        number += 1
        token = f"mps_{number:043}" if number % 2 else "malformed"
        return await mei.request("GET", "/api/verify", headers={"Authorization": f"Bearer {token}"})

    # A token that was ended is no guess: it never counts and is never throttled.
    for _ in range(3 * LIMIT):
        refused(await lan.verify(), 401002, reason="logged_out")
    await until_limited(guess)
    for _ in range(3):
        succeeded(await mei.verify())
        refused(await lan.verify(), 401002, reason="logged_out")
    far.token = "mps_" + "0" * 43
    refused(await far.verify(), 401002)
    succeeded(await lan.login())


@pytest.mark.gen_test
async def test_two_servers_count_guesses_together(
    two_servers: Callable[..., tuple[Product, Product]], phones: Phones
) -> None:
    limit = 10
    first, second = two_servers(UNKNOWN_TOKEN_LIMIT=limit)
    [mei] = phones(1, at=first)
    [lan] = phones(1, at=second)
    mei.token = lan.token = "mps_" + "0" * 43
    await with_time_left_in_the_minute()
    await until_limited(mei.verify, limit)
    statuses = []
    for _ in range(limit):  # by itself the second server would let all of these pass
        statuses.append((await lan.verify()).status)
        await asyncio.sleep(0.1)
    assert statuses[-1] == 429
    assert statuses[0] == 401


@pytest.mark.gen_test
async def test_a_limit_of_zero_is_none(embedded: Product, phone: Phone) -> None:
    phone.token = "mps_" + "0" * 43
    for _ in range(50):
        refused(await phone.verify(), 401002)


PROXIED = [
    ("X-Forwarded-For: 1.2.3.4", "1.2.3.4"),
    ("X-Forwarded-For: 9.9.9.9, 1.2.3.4", "1.2.3.4"),
    ("X-Forwarded-For: 9.9.9.9,1.2.3.4 , 10.1.1.1", "1.2.3.4"),
    ("X-Forwarded-For: 1.2.3.4, 127.0.0.1, 10.0.0.9", "1.2.3.4"),
    ("X-Forwarded-For: garbage, 1.2.3.4", "1.2.3.4"),
    ("X-Forwarded-For: ::ffff:1.2.3.4", "1.2.3.4"),
    ("X-Forwarded-For: 2001:db8:1:2::5", "2001:db8:1:2::5"),
    ("X-Forwarded-For: 2001:DB8:1:2:0::5", "2001:db8:1:2::5"),
    ("X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-For: 1.2.3.4", "1.2.3.4"),
    # A list that makes no sense is not believed at all: the proxy itself is counted.
    ("X-Forwarded-For: garbage", "127.0.0.1"),
    ("X-Forwarded-For: 1.2.3.4, garbage", "127.0.0.1"),
    ("X-Forwarded-For: 1.2.3.4, unknown, 10.0.0.9", "127.0.0.1"),
    ("X-Forwarded-For: fe80::1%eth0", "127.0.0.1"),
    ("X-Forwarded-For: 1.2.3.4'; DROP TABLE user; --", "127.0.0.1"),
    ("X-Forwarded-For: ", "127.0.0.1"),
    ("X-Forwarded-For: " + ", ".join(["1.2.3.4"] * 500), "127.0.0.1"),
    ("X-Forwarded-For: 10.0.0.1, 10.0.0.2", "127.0.0.1"),
    ("X-Real-Ip: 7.7.7.7", "127.0.0.1"),
    ("X-Real-Ip: 7.7.7.7\r\nX-Forwarded-For: 1.2.3.4", "1.2.3.4"),
    ("Forwarded: for=7.7.7.7\r\nX-Client-IP: 7.7.7.7\r\nTrue-Client-IP: 7.7.7.7", "127.0.0.1"),
]


async def address_seen(mei: Phone, door: Product, headers: str) -> str:
    """Log in through a raw socket with some headers, and return the address that the server wrote down."""
    body = f'{{"code":"{await mei.code()}"}}'.encode()
    head = request("POST", "/api/login", "Content-Type: application/json", headers, body=body)
    mei.token = succeeded(await exchange(door, head))["token"]
    door.never_logged.add(mei.token)
    sessions = succeeded(await mei.request("GET", "/api/me/sessions", headers=mei.bearer))["sessions"]
    [seen] = [own["ip"] for own in sessions if own["current"]]
    return str(seen)


@pytest.mark.gen_test
async def test_a_trusted_proxy_is_believed_about_the_nearest_address_that_is_not_trusted(
    make_server: Callable[..., Product], phones: Phones
) -> None:
    server = make_server(TRUSTED_PROXIES="127.0.0.1/32,10.0.0.0/8")
    [mei] = phones(1, at=server)
    await mei.wechat.app(minute_quota=0)
    for headers, expected in PROXIED:
        assert await address_seen(mei, server, headers) == expected, headers
    assert "TRUSTED_PROXIES" not in server.log()


@pytest.mark.gen_test
async def test_without_trusted_proxies_nobody_is_believed_and_one_loud_warning_says_so(
    make_server: Callable[..., Product], phones: Phones
) -> None:
    server = make_server()
    [mei] = phones(1, at=server)
    assert "TRUSTED_PROXIES" not in server.log()
    for headers, _ in PROXIED[:3]:
        assert await address_seen(mei, server, headers) == "127.0.0.1"
    warnings = [line for line in server.log().splitlines() if "TRUSTED_PROXIES" in line]
    assert len(warnings) == 1
    assert "WARNING" in warnings[0].upper()


@pytest.mark.gen_test
async def test_a_peer_that_is_no_trusted_proxy_is_not_believed(
    make_server: Callable[..., Product], phones: Phones
) -> None:
    server = make_server(TRUSTED_PROXIES="10.0.0.0/8")
    [mei] = phones(1, at=server)
    for headers, _ in PROXIED[:3]:
        assert await address_seen(mei, server, headers) == "127.0.0.1"


@pytest.mark.gen_test
async def test_a_limit_counts_the_proxied_address_and_one_ipv6_customer_as_one(
    make_server: Callable[..., Product], phones: Phones
) -> None:
    server = make_server(TRUSTED_PROXIES="127.0.0.0/8", UNKNOWN_TOKEN_LIMIT=LIMIT)
    [mei] = phones(1, at=server)
    number = 0

    async def from_address(address: str) -> Answer:
        headers = {"Authorization": "Bearer mps_" + "0" * 43, "X-Forwarded-For": address}
        return await mei.request("GET", "/api/verify", headers=headers)

    async def from_one_house() -> Answer:
        nonlocal number
        number += 1
        return await from_address(f"2001:db8:0:1:{number:x}::{number:x}")

    await until_limited(from_one_house)
    refused(await from_address("2001:db8:0:2::1"), 401002)
    await until_limited(lambda: from_address("1.2.3.4"))
    refused(await from_address("1.2.3.5"), 401002)
