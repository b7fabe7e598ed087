"""Webhooks: each deed is told once, signed, until it is taken; and nobody is told what opens or signs anything."""

import asyncio
import hashlib
import hmac
from collections.abc import Callable

import pytest
from aiohttp import web
from backends import Backend
from operator_at import change, make_operator
from other_side import WEBHOOK_SECRET as SECRET
from other_side import Heard, back_end, names, saying, told
from phone import Network, Phone, WeChat
from product import APPID, Product, Simulator
from servers import MariaDB
from shell import done, settings_of

import process
from actions.webhooks import GIVEN_UP_AFTER_SECONDS, LONGEST_SECONDS, pause
from stores.deliveries import Delivery

MakeServer = Callable[..., Product]
Phones = Callable[..., list[Phone]]


async def kept(server: Product) -> list[Delivery]:
    """The outbox, the oldest first."""
    async with process.opened(settings_of(server)) as backend:
        return list(reversed(await backend.deliveries.newest(50)))


async def settled(server: Product, number: int = 1) -> list[Delivery]:
    """The outbox when nothing waits any more and so many have come."""
    async with asyncio.timeout(20):
        while True:
            rows = await kept(server)
            if len(rows) >= number and all(row.state != "waiting" for row in rows):
                return rows
            await asyncio.sleep(0.1)


def well_signed(heard: Heard) -> bool:
    """As a receiver has to check it."""
    signed = heard.headers["Menshen-Timestamp"].encode() + b"." + heard.body
    return heard.headers["Menshen-Signature"] == "v1=" + hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()


@pytest.mark.gen_test(timeout=120)
async def test_each_deed_is_told_once_and_signed(
    make_server: MakeServer, network: Network, phones: Phones, backend: Backend
) -> None:
    async with told(make_server, 200, **backend.fresh()) as (server, listener):
        mei, lan = phones(2, at=server)
        user = (await mei.login()).json["user"]["id"]
        await mei.login()
        await mei.login()
        openid = await mei.openid()
        shop = await back_end(server, network, "told", "revoke", "block")
        assert (await shop.ask("POST", f"/partner/users/{user}/revoke")).json["ended"] >= 2
        assert (await shop.ask("POST", f"/partner/users/{user}/revoke")).json["ended"] == 0
        await shop.ask("POST", f"/partner/users/{user}/block", json_body={"reason": "a remark of ours"})
        other = (await lan.login()).json["user"]["id"]
        await lan.request("DELETE", "/api/me", headers=lan.bearer)
        heard = await listener.waits_for(5)
        await asyncio.sleep(1.5)
        assert sorted(names(heard)) == ["login.first", "login.first", "session.revoked", "user.blocked", "user.erased"]
        assert all(well_signed(each) and each.path == "/hook" for each in heard)
        assert all(each.headers["Menshen-Event"] == each.json["event"] for each in heard)
        assert len({each.headers["Menshen-Delivery"] for each in heard}) == 5
        by_event = {each.json["event"]: each.json for each in heard}
        revoked = by_event["session.revoked"]
        assert (revoked["scope"], revoked["user_id"], revoked["appid"]) == ("user", user, APPID)
        assert revoked["count"] >= 2
        assert (by_event["user.blocked"]["user_id"], by_event["user.blocked"]["until"]) == (user, None)
        erased = by_event["user.erased"]
        assert (erased["user_id"], erased["openid"]) == (other, await lan.openid())
        everything = b"".join(each.body for each in heard)
        for secret in (mei.token, lan.token, openid, SECRET, "a remark of ours", shop.key):
            assert secret.encode() not in everything
        assert {row.state for row in await settled(server, 5)} == {"done"}


@pytest.mark.gen_test(timeout=60)
async def test_revoking_everybody_is_one_event(make_server: MakeServer, phones: Phones) -> None:
    async with told(make_server) as (server, listener):
        for phone in phones(3, at=server):
            await phone.login()
        await done(server, "sessions", "revoke-all", "--yes")
        await listener.waits_for(4)
        [event] = [each.json for each in listener.heard if each.json["event"] == "session.revoked"]
        assert (event["scope"], event["count"], event["appid"], event["appids"]) == ("everybody", 3, APPID, [APPID])


async def comes_again(make_server: MakeServer, phones: Phones) -> None:
    answers = iter([500, 302, 404, 200])

    async def says(_heard: Heard) -> web.StreamResponse:
        return web.Response(status=next(answers), headers={"Location": f"{listener.base}/elsewhere"})

    async with told(make_server) as (server, listener):
        listener.says = says
        [phone] = phones(1, at=server)
        await phone.login()
        heard = await listener.waits_for(4, seconds=30)
        assert {each.path for each in heard} == {"/hook"}, "a redirect was followed"
        assert len({each.headers["Menshen-Delivery"] for each in heard}) == 1
        assert len({each.body for each in heard}) == 1
        [row] = await settled(server)
        assert (row.state, row.status, row.attempts) == ("done", 200, 4)


async def hears_of_it_when_it_is_back(make_server: MakeServer, phones: Phones) -> None:
    async with told(make_server) as (server, listener):
        await listener.stop()
        [phone] = phones(1, at=server)
        assert (await phone.login()).status == 200
        await asyncio.sleep(1)
        [row] = await kept(server)
        assert (row.state, row.status) == ("waiting", None)
        await listener.start()
        assert names(await listener.waits_for(1, seconds=30)) == ["login.first"]


async def is_told_once(make_server: MakeServer, phones: Phones) -> None:
    async with told(make_server, APPSECRET="not-the-secret-of-the-simulator!") as (server, listener):
        [phone] = phones(1, at=server)
        for _ in range(3):
            assert (await phone.login()).json["errcode"] == 502001
        [heard] = await listener.waits_for(1, seconds=20)
        assert (heard.json["event"], heard.json["appid"]) == ("wechat.config_error", APPID)
        assert heard.json["errcode"] == 40125
        await phone.login()
        await asyncio.sleep(6)
        assert len(listener.heard) == 1


# What mostly waits: it waits beside each other, once for all tests.
WAITING = (comes_again, hears_of_it_when_it_is_back, is_told_once)


@pytest.fixture(scope="module")
def waited(file_server: MakeServer, simulator: Simulator) -> dict[str, BaseException | None]:
    """Of each of WAITING what it failed with."""

    async def all_at_once() -> list[BaseException | None]:
        network = Network()
        wechat = WeChat(simulator.base, network)
        await wechat.reset()

        def phones(number: int, *, at: Product) -> list[Phone]:
            return [Phone(at, wechat, network) for _ in range(number)]

        try:
            async with asyncio.timeout(60):
                return await asyncio.gather(*(each(file_server, phones) for each in WAITING), return_exceptions=True)
        finally:
            await network.close()

    return dict(zip((each.__name__ for each in WAITING), asyncio.run(all_at_once()), strict=True))


def held(failure: BaseException | None) -> None:
    """Fail as what was waited for has failed."""
    if failure:
        raise failure


def test_what_is_not_taken_comes_again_under_the_same_number(waited: dict[str, BaseException | None]) -> None:
    held(waited[comes_again.__name__])


def test_a_back_end_that_is_down_hears_of_it_when_it_is_back(waited: dict[str, BaseException | None]) -> None:
    held(waited[hears_of_it_when_it_is_back.__name__])


def test_a_configuration_that_wechat_refuses_is_told_once(waited: dict[str, BaseException | None]) -> None:
    held(waited[is_told_once.__name__])


@pytest.mark.gen_test(timeout=60)
async def test_what_was_refused_for_a_day_is_given_up_and_can_be_sent_again_by_hand(
    make_server: MakeServer, network: Network, phones: Phones
) -> None:
    async with told(make_server, 500) as (server, listener):
        [phone] = phones(1, at=server)
        await phone.login()
        await listener.waits_for(1)
        # It began a day ago.
        late = GIVEN_UP_AFTER_SECONDS
        await change(server, "UPDATE delivery SET created_at = created_at - :late, next_at = 0", late=late)
        [row] = await settled(server)
        assert (row.state, row.status) == ("failed", 500)
        listener.says = saying(204)
        admin = await make_operator(server, network)
        page = await admin.get("/admin/deliveries")
        assert "login.first" in page.text
        page = await admin.post(f"/admin/deliveries/{row.id}/again")
        assert f"No. {row.id} will be sent again." in page.text
        [row] = await settled(server)
        assert (row.state, row.status) == ("done", 204)
        assert (await admin.post("/admin/deliveries/999999/again")).status == 404


async def in_at_last(phone: Phone) -> None:
    """Log in, and again after a 503 as a mini program does: a machine may be too busy for a store's deadline."""
    answer = await phone.login()
    for _ in range(4):
        if answer.status == 503:
            answer = await phone.login()
    assert answer.status == 200, answer.body


@pytest.mark.gen_test(timeout=90)
async def test_three_processes_send_each_event_once(make_server: MakeServer, phones: Phones, mariadb: MariaDB) -> None:
    async with told(make_server, WORKERS=3, DATABASE=mariadb.served()) as (server, listener):
        await asyncio.gather(*map(in_at_last, phones(40, at=server)))
        await listener.waits_for(40, seconds=40)
        await asyncio.sleep(2)
        assert len(listener.heard) == 40
        assert len({each.json["user_id"] for each in listener.heard}) == 40


@pytest.mark.gen_test(timeout=60)
async def test_without_a_webhook_nothing_is_kept_for_one(embedded: Product, phone: Phone) -> None:
    await phone.login()
    assert await kept(embedded) == []


@pytest.mark.quick
def test_pauses_grow_from_a_second_to_an_hour_and_are_not_all_the_same() -> None:
    assert pause(0) == 1
    for attempts in range(40):
        longest = min(2**attempts, LONGEST_SECONDS)
        assert all(longest * 0.7 <= pause(attempts) <= longest for _ in range(20))
    assert len({pause(20) for _ in range(100)}) > 10
