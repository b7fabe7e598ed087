"""Codes and sessions over time: used codes, codes that join, re-login, and how many sessions a person may have."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable

import pytest
from backends import Backend
from patience import until
from phone import Answer, Phone, WeChat
from product import Product
from shell import settings_of
from verdicts import id_of, refused, succeeded

import process

Phones = Callable[..., list[Phone]]


async def ids_of(mei: Phone) -> set[str]:
    """Return the ids of a person's own sessions, as the person is told them."""
    body = succeeded(await mei.request("GET", "/api/me/sessions", headers=mei.bearer))
    return {own["id"] for own in body["sessions"]}


@pytest.mark.gen_test
async def test_a_used_code_is_refused_with_40163_without_asking_wechat_again(
    server: Product, phone: Phone, wechat: WeChat
) -> None:
    code = await phone.code()
    succeeded(await phone.login(code=code))
    for _ in range(3):
        refused(await phone.login(code=code), 40163)
    assert await wechat.asked() == 1
    assert await ids_of(phone) == {id_of(phone.token)}


@pytest.mark.gen_test
async def test_somebody_elses_used_code_is_worth_nothing(server: Product, phones: Phones, wechat: WeChat) -> None:
    mei, thief = phones(2)
    code = await mei.code()
    succeeded(await mei.login(code=code))
    refused(await thief.login(code=code), 40163)
    assert thief.token == ""


@pytest.mark.gen_test
async def test_a_code_older_than_five_minutes_is_refused_with_40029(
    server: Product, phone: Phone, wechat: WeChat
) -> None:
    code = await phone.code()
    await wechat.clock(301)
    refused(await phone.login(code=code), 40029)
    assert await wechat.asked() == 1


@pytest.mark.gen_test
async def test_a_code_that_wechat_calls_used_is_refused_with_40163(
    embedded: Product, phone: Phone, wechat: WeChat
) -> None:
    await wechat.fault(40163)
    refused(await phone.login(), 40163)


@pytest.mark.gen_test
async def test_a_code_sent_a_hundred_times_at_once_is_one_login(server: Product, phone: Phone, wechat: WeChat) -> None:
    await wechat.fault("latency", seconds=0.3)
    code = await phone.code()
    answers = await asyncio.gather(*(phone.login(code=code) for _ in range(100)))
    tokens = {succeeded(answer)["token"] for answer in answers if answer.status == 200}
    for answer in answers:
        if answer.status != 200:
            refused(answer, 40163)
    assert len(tokens) == 1
    assert await wechat.asked() == 1
    assert await ids_of(phone) == {id_of(phone.token)}


@pytest.mark.gen_test
async def test_a_code_sent_to_two_servers_at_once_is_one_login(
    two_servers: Callable[..., tuple[Product, Product]], phones: Phones, wechat: WeChat
) -> None:
    first, second = two_servers()
    [mei] = phones(1, at=first)
    [same] = phones(1, at=second)
    for round_number in range(1, 6):
        code = await mei.code()
        second.never_logged.add(code)
        answers = await asyncio.gather(*(each.login(code=code) for each in [mei, same] * 25))
        tokens = {succeeded(answer)["token"] for answer in answers if answer.status == 200}
        for answer in answers:
            if answer.status != 200:
                refused(answer, 40163)
        assert len(tokens) == 1
        assert await wechat.asked() == round_number
        [mei.token] = tokens
        assert len(await ids_of(mei)) == round_number


@pytest.mark.gen_test
async def test_nobody_else_is_told_the_token_of_a_code_that_joins(
    embedded: Product, phone: Phone, wechat: WeChat
) -> None:
    # Codes are secrets, and whoever has one could have used it; another code of the same person does not join.
    await wechat.fault("latency", seconds=0.3, n=2)
    first, second = await asyncio.gather(phone.login(), phone.login())
    assert succeeded(first)["token"] != succeeded(second)["token"]
    assert await wechat.asked() == 2


@pytest.mark.gen_test
async def test_a_login_over_a_live_session_ends_it(server: Product, phones: Phones) -> None:
    mei, lan = phones(2)
    succeeded(await mei.login())
    succeeded(await lan.login())
    old = mei.token
    new = await login_over(mei, old)
    assert new != old
    refused(await mei.verify(), 401002, reason="replaced")
    mei.token = new
    assert await ids_of(mei) == {id_of(new)}
    # On a device that changed hands, the session of the one before ends and nothing of it goes over.
    lans = lan.token
    mei.token = await login_over(mei, lans)
    refused(await lan.verify(), 401002, reason="replaced")
    assert await ids_of(mei) == {id_of(new), id_of(mei.token)}


async def login_over(mei: Phone, held: str) -> str:
    """Log in while holding another token, and return the new one."""
    headers = {"Authorization": f"Bearer {held}"}
    answer = await mei.request("POST", "/api/login", json={"code": await mei.code()}, headers=headers)
    token = str(succeeded(answer)["token"])
    mei.server.never_logged.add(token)
    return token


@pytest.mark.gen_test
async def test_a_login_over_a_dead_or_made_up_token_or_another_scheme_passes_it_over(
    server: Product, phone: Phone
) -> None:
    succeeded(await phone.login())
    dead = phone.token
    succeeded(await phone.logout())
    for held in (dead, "mps_" + "A" * 43, "null", "undefined", ""):
        await login_over(phone, held)
    answer = await phone.request(
        "POST", "/api/login", json={"code": await phone.code()}, headers={"Authorization": "Basic eDp5"}
    )
    server.never_logged.add(succeeded(answer)["token"])
    phone.token = dead
    refused(await phone.verify(), 401002, reason="logged_out")


@pytest.mark.gen_test
async def test_a_refused_login_leaves_the_session_that_was_held(server: Product, phone: Phone) -> None:
    succeeded(await phone.login())
    for code in ("?", "a" * 32):
        answer = await phone.request("POST", "/api/login", json={"code": code}, headers=phone.bearer)
        refused(answer, 400003 if code == "?" else 40029)
    succeeded(await phone.verify())


@pytest.mark.gen_test
async def test_logout_ends_one_session_at_once_and_again_is_no_error_of_ours(server: Product, phones: Phones) -> None:
    [mei] = phones(1)
    succeeded(await mei.login())
    other = mei.token
    succeeded(await mei.login())
    assert succeeded(await mei.logout()) == {}
    refused(await mei.verify(), 401002, reason="logged_out")
    refused(await mei.logout(), 401002, reason="logged_out")
    mei.token = other
    succeeded(await mei.verify())
    answer = await mei.request("POST", "/api/logout", json={"token": other})
    succeeded(answer)
    refused(await mei.verify(), 401002, reason="logged_out")


@pytest.mark.gen_test
async def test_fifty_logins_at_once_leave_exactly_the_sessions_a_person_may_have(
    make_server: Callable[..., Product], backend: Backend, phones: Phones
) -> None:
    server = make_server(SESSIONS_PER_USER=5, **backend.fresh())
    [mei] = phones(1, at=server)
    for _ in range(2):
        await the_next_second()
        tokens = {succeeded(answer)["token"] for answer in await logins_at_once(mei, 50)}
        assert len(tokens) == 50
        outcomes = await verified(mei, tokens)
        assert Counter(answer.status for answer in outcomes.values()) == {200: 5, 401: 45}
        for answer in outcomes.values():
            if answer.status == 401:
                refused(answer, 401002, reason="replaced")
        live = {token for token, answer in outcomes.items() if answer.status == 200}
        mei.token = next(iter(live))
        assert await ids_of(mei) == {id_of(token) for token in live}


@pytest.mark.gen_test
async def test_the_oldest_session_makes_room(
    make_server: Callable[..., Product], backend: Backend, phones: Phones
) -> None:
    server = make_server(SESSIONS_PER_USER=2, **backend.fresh())
    [mei] = phones(1, at=server)
    tokens = []
    for _ in range(3):
        await the_next_second()
        succeeded(await mei.login())
        tokens.append(mei.token)
        outcomes = await verified(mei, tokens)
        assert [outcomes[token].status for token in tokens] == [401] * (len(tokens) - 2) + [200] * min(len(tokens), 2)


@pytest.mark.gen_test
async def test_with_refuse_fifty_logins_at_once_leave_no_more_than_a_person_may_have(
    make_server: Callable[..., Product], backend: Backend, phones: Phones, wechat: WeChat
) -> None:
    server = make_server(SESSIONS_PER_USER=5, SESSIONS_OVERFLOW="refuse", **backend.fresh())
    [mei] = phones(1, at=server)
    answers = await logins_at_once(mei, 50)
    for answer in answers:
        if answer.status != 200:
            refused(answer, 403005)
    tokens = [succeeded(answer)["token"] for answer in answers if answer.status == 200]
    assert len(tokens) == 5
    assert {answer.status for answer in (await verified(mei, tokens)).values()} == {200}
    refused(await mei.login(), 403005)
    # A session that ends makes room again; nobody is counted who is out.
    mei.token = tokens[0]
    succeeded(await mei.logout())
    succeeded(await mei.login())
    assert await ids_of(mei) == {id_of(token) for token in [*tokens[1:], mei.token]}


@pytest.mark.gen_test
async def test_a_login_over_ones_own_session_needs_no_further_room(
    make_server: Callable[..., Product], backend: Backend, phones: Phones
) -> None:
    server = make_server(SESSIONS_PER_USER=1, **backend.fresh())
    [mei] = phones(1, at=server)
    succeeded(await mei.login())
    mei.token = await login_over(mei, mei.token)
    assert await ids_of(mei) == {id_of(mei.token)}


async def the_next_second() -> None:
    """Wait until the clock shows another second: sessions of one second are equally old."""
    begun = int(time.time())
    await until(lambda: int(time.time()) != begun)


async def logins_at_once(mei: Phone, number: int) -> list[Answer]:
    """Log in ``number`` times at once, each with a code of its own."""
    await mei.wechat.app(minute_quota=0)
    codes = await asyncio.gather(*(mei.code() for _ in range(number)))
    return list(await asyncio.gather(*(mei.login(code=code) for code in codes)))


async def verified(mei: Phone, tokens: "set[str] | list[str]") -> dict[str, Answer]:
    """Verify each token."""

    async def ask(token: str) -> Answer:
        return await mei.request("GET", "/api/verify", headers={"Authorization": f"Bearer {token}"})

    wanted = list(tokens)
    return dict(zip(wanted, await asyncio.gather(*(ask(token) for token in wanted)), strict=True))


@pytest.mark.gen_test
async def test_each_session_keeps_the_session_key_of_its_own_login(server: Product, phone: Phone) -> None:
    succeeded(await phone.login())
    first = phone.token
    succeeded(await phone.login())
    async with process.opened(settings_of(server)) as stores:
        keys = []
        for token in (first, phone.token):
            wanted = bytes.fromhex(id_of(token))
            session = await stores.sessions.find(wanted, stores.now())
            keys.append(stores.seal.open(session.sealed_key, wanted))
    assert len(keys[0]) == len(keys[1]) == 16
    assert keys[0] != keys[1]


@pytest.mark.gen_test
async def test_a_used_code_counts_against_the_limit_like_any_other(
    make_server: Callable[..., Product], phones: Phones
) -> None:
    [mei] = phones(1, at=make_server(LOGIN_LIMIT=3))
    code = await mei.code()
    statuses = [(await mei.login(code=code)).status for _ in range(8)]
    assert statuses[0] == 200
    assert statuses[-1] == 429
