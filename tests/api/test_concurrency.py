"""Many at once: one row and one id for each person, and never another person's."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest
from phone import Answer, Phone, WeChat
from product import Product
from servers import MariaDB
from shell import done, settings_of
from verdicts import refused, succeeded

import process

Phones = Callable[..., list[Phone]]


async def codes_for(mei: Phone, number: int) -> list[str]:
    """Return so many codes of one person."""
    return list(await asyncio.gather(*(mei.code() for _ in range(number))))


@pytest.mark.gen_test
async def test_a_hundred_first_logins_at_once_make_one_person_twenty_times(
    server: Product, phones: Phones, wechat: WeChat
) -> None:
    await wechat.app(minute_quota=0)
    ids = set()
    for mei in phones(20):
        codes = await codes_for(mei, 100)
        answers = [succeeded(answer) for answer in await asyncio.gather(*(mei.login(code=code) for code in codes))]
        assert len({answer["token"] for answer in answers}) == 100
        assert len({answer["user"]["id"] for answer in answers}) == 1
        assert sum(answer["user"]["new"] for answer in answers) == 1
        some = [{"Authorization": f"Bearer {answer['token']}"} for answer in answers[::10]]
        told = await asyncio.gather(*(mei.request("GET", "/api/verify", headers=each) for each in some))
        ids.add(answers[0]["user"]["id"])
        assert {succeeded(answer)["user_id"] for answer in told} == {answers[0]["user"]["id"]}
    # Twenty rows; a race burns no numbers beyond the losers of the first moment, and repeat logins none at all.
    assert len(ids) == 20
    async with process.opened(settings_of(server)) as stores:
        assert {(await stores.users.find(each)).id for each in ids} == ids


@pytest.mark.gen_test
async def test_first_logins_on_two_servers_at_once_make_one_person(
    two_servers: Callable[..., tuple[Product, Product]], mariadb: MariaDB, phones: Phones
) -> None:
    first, second = two_servers()
    for mei in phones(5, at=first):
        [same] = phones(1, at=second)
        same.name = mei.name
        codes = await codes_for(mei, 40)
        second.never_logged.update(codes)
        answers = await asyncio.gather(
            *(each.login(code=code) for each, code in zip([mei, same] * 20, codes, strict=True))
        )
        assert len({succeeded(answer)["user"]["id"] for answer in answers}) == 1
        assert sum(succeeded(answer)["user"]["new"] for answer in answers) == 1
    database = first.settings["DATABASE"].rpartition("/")[2]
    assert mariadb.query("SELECT COUNT(*), COUNT(DISTINCT openid) FROM user", database=database) == [(5, 5)]


@pytest.mark.gen_test
async def test_many_new_people_through_fifty_connections_are_as_many_rows(server: Product, phones: Phones) -> None:
    gate = asyncio.Semaphore(50)

    async def log_in(mei: Phone) -> Answer:
        async with gate:
            return await mei.login()

    people = phones(150)
    answers = await asyncio.gather(*(log_in(mei) for mei in people))
    assert len({succeeded(answer)["user"]["id"] for answer in answers}) == 150
    assert all(succeeded(answer)["user"]["new"] for answer in answers)


@pytest.mark.gen_test
async def test_repeat_logins_burn_no_ids(server: Product, phones: Phones) -> None:
    mei, lan = phones(2)
    await mei.wechat.app(minute_quota=0)
    first = succeeded(await mei.login())["user"]["id"]
    for code in await codes_for(mei, 30):
        assert succeeded(await mei.login(code=code))["user"]["id"] == first
    assert succeeded(await lan.login())["user"]["id"] <= first + 2


@pytest.mark.gen_test
async def test_no_verify_ever_returns_another_persons_id(server: Product, phones: Phones) -> None:
    people = phones(40)
    restless = phones(4)
    owners = {mei.name: succeeded(await mei.login())["user"]["id"] for mei in [*people, *restless]}

    async def ask(mei: Phone) -> None:
        for _ in range(20):
            assert succeeded(await mei.verify())["user_id"] == owners[mei.name]

    async def come_and_go(mei: Phone) -> None:
        for _ in range(8):
            succeeded(await mei.logout())
            assert succeeded(await mei.login())["user"]["id"] == owners[mei.name]
            assert succeeded(await mei.verify())["user_id"] == owners[mei.name]

    async with asyncio.TaskGroup() as group:
        for mei in people:
            group.create_task(ask(mei))
        for mei in restless:
            group.create_task(come_and_go(mei))


@pytest.mark.gen_test
async def test_callers_who_hang_up_never_mix_up_the_answers_of_others(server: Product, phones: Phones) -> None:
    people = phones(30)
    owners = {mei.name: succeeded(await mei.login())["user"]["id"] for mei in people}

    async def ask(mei: Phone) -> None:
        for _ in range(30):
            assert succeeded(await mei.verify())["user_id"] == owners[mei.name]

    async def hang_up(mei: Phone) -> None:
        for number in range(30):
            with suppress(TimeoutError):
                await asyncio.wait_for(mei.verify(), 0.0005 * (number % 7))

    async with asyncio.TaskGroup() as group:
        for number, mei in enumerate(people):
            group.create_task(hang_up(mei) if number % 3 == 0 else ask(mei))


@pytest.mark.gen_test
async def test_after_a_race_of_logins_and_revoke_user_the_list_and_the_tokens_agree(
    server: Product, phones: Phones
) -> None:
    [mei] = phones(1)
    await mei.wechat.app(minute_quota=0)
    user = str(succeeded(await mei.login())["user"]["id"])
    for _ in range(2):
        codes = await codes_for(mei, 40)
        logins = asyncio.gather(*(_after(0.02 * n, mei, code) for n, code in enumerate(codes)))
        assert (await done(server, "sessions", "revoke-user", user)).startswith("ended ")
        answers = await logins
        tokens = [succeeded(answer)["token"] for answer in answers]
        told = await asyncio.gather(
            *(mei.request("GET", "/api/verify", headers={"Authorization": f"Bearer {token}"}) for token in tokens)
        )
        live = [token for token, answer in zip(tokens, told, strict=True) if answer.status == 200]
        for answer in told:
            if answer.status != 200:
                refused(answer, 401002, reason="revoked")
        # No session is in the store and missing in its person's list, nor the other way round.
        ended = await done(server, "sessions", "revoke-user", user)
        sessions = "1 session" if len(live) == 1 else f"{len(live)} sessions"
        assert ended == f"ended {sessions} of {'1 user' if live else '0 users'}"
        for token in live:
            answer = await mei.request("GET", "/api/verify", headers={"Authorization": f"Bearer {token}"})
            refused(answer, 401002, reason="revoked")


async def _after(seconds: float, mei: Phone, code: str) -> Answer:
    await asyncio.sleep(seconds)  # spreads the logins over the time that the command takes
    return await mei.login(code=code)
