"""Introspection as RFC 7662 has it: whose token it is, or one single answer for all that is nobody's."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from operator_at import change
from other_side import BackEnd, back_end
from phone import Network, Phone
from product import APPID, Product
from servers import MariaDB, RedisServer

MakeServer = Callable[..., Product]
DEAD = {"active": False}


@pytest.mark.gen_test
async def test_it_tells_whose_token_it_is_and_nothing_else(server: Product, network: Network, phone: Phone) -> None:
    began = int(time.time())
    user = (await phone.login()).json["user"]["id"]
    shop = await back_end(server, network, "rfc", "introspect")
    answer = await shop.introspect(phone.token)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    found = answer.json
    assert list(found) == ["active", "sub", "appid", "openid", "unionid", "iat", "exp", "person"]
    assert (found["active"], found["sub"], found["appid"]) == (True, str(user), APPID)
    assert found["openid"] == await phone.openid()
    assert found["unionid"] is None
    assert found["iat"] >= began - 1
    assert found["exp"] - found["iat"] == 604_800


@pytest.mark.gen_test
async def test_dead_unknown_and_malformed_tokens_are_answered_byte_for_byte_alike(
    server: Product, network: Network, phones: Callable[..., list[Phone]]
) -> None:
    shop = await back_end(server, network, "alike", "introspect")
    out, revoked, blocked = phones(3)
    for phone in (out, revoked, blocked):
        await phone.login()
    await out.request("POST", "/api/logout", headers=out.bearer)
    await change(server, "UPDATE service_key SET note = NULL WHERE id = :id", id=shop.number)
    doer = await back_end(server, network, "alike-doer", "revoke", "block")
    ids = [str((await shop.introspect(phone.token)).json.get("sub")) for phone in (revoked, blocked)]
    assert (await doer.ask("POST", f"/partner/users/{ids[0]}/revoke")).json["ended"] == 1
    assert (await doer.ask("POST", f"/partner/users/{ids[1]}/block", json_body={"reason": "spam"})).json["ended"] == 1
    bodies = {
        (await shop.introspect(token)).body
        for token in [out.token, revoked.token, blocked.token, "mps_" + "x" * 43, "", "x", "%E4%BD%A0", "a" * 4_000]
    }
    assert bodies == {b'{"active":false}'}


@pytest.mark.gen_test(timeout=60)
async def test_of_many_at_once_each_hears_what_its_own_key_and_token_say(
    server: Product, network: Network, phones: Callable[..., list[Phone]]
) -> None:
    shop = await back_end(server, network, "at-once", "introspect")
    elsewhere = await back_end(server, network, "at-once-elsewhere", "introspect", appids=["wx00000000000000ff"])
    unknown = BackEnd(server, network, "msk_" + "u" * 43)
    server.never_logged.add(unknown.key)
    people = phones(8)
    for each in people:
        await each.login()
    wanted = [await each.openid() for each in people]
    for _ in range(5):
        asked = [back.introspect(each.token) for each in people for back in (shop, elsewhere, unknown)]
        told = [answer.json for answer in await asyncio.gather(*asked)]
        assert [found["openid"] for found in told[0::3]] == wanted
        assert told[1::3] == [DEAD] * 8
        assert {found["errcode"] for found in told[2::3]} == {401003}


@pytest.mark.gen_test(timeout=60)
async def test_five_hundred_tokens_are_answered_in_their_order(
    server: Product, network: Network, phones: Callable[..., list[Phone]]
) -> None:
    shop = await back_end(server, network, "many", "introspect")
    people = phones(5)
    for each in people:
        await each.login()
    await people[2].request("POST", "/api/logout", headers=people[2].bearer)
    tokens = [people[n % 5].token if n % 2 else "mps_" + f"{n:043d}" for n in range(500)]
    answer = await shop.ask("POST", "/partner/introspect", json_body={"tokens": tokens})
    assert answer.status == 200
    wanted = [await each.openid() for each in people]
    for n, found in enumerate(answer.json):
        if n % 2 and n % 5 != 2:
            assert found["openid"] == wanted[n % 5]
        else:
            assert found == DEAD
    assert len(answer.json) == 500
    assert (await shop.ask("POST", "/partner/introspect", json_body={"tokens": []})).json == []


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        ({"tokens": ["x"] * 501}, 400001),
        ({"tokens": "x"}, 400001),
        ({"tokens": ["x", 1]}, 400001),
        ({"tokens": None}, 400001),
        ({"token": 1}, 400001),
        ({}, 400001),
        ({"token": "x", "tokens": ["x"]}, 400002),
    ],
)
async def test_a_question_that_is_none_is_refused(
    embedded: Product, network: Network, body: dict[str, Any], errcode: int
) -> None:
    shop = await back_end(embedded, network, f"asks-{abs(hash(json.dumps(body)))}"[:32], "introspect")
    answer = await shop.ask("POST", "/partner/introspect", json_body=body)
    assert (answer.status, answer.json["errcode"], answer.json["retry"]) == (400, errcode, "fix")


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("form", "status", "errcode"),
    [
        (b"token=a&token=b", 400, 400002),
        (b"token_type_hint=access_token", 400, 400001),
        (b"", 400, 400001),
        (b"token=" + b"a" * 70_000, 413, 413001),
    ],
)
async def test_a_form_that_is_none_is_refused(
    embedded: Product, network: Network, form: bytes, status: int, errcode: int
) -> None:
    shop = await back_end(embedded, network, f"form-{len(form)}-{errcode}", "introspect")
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await shop.ask("POST", "/partner/introspect", data=form, headers=headers)
    assert (answer.status, answer.json["errcode"]) == (status, errcode)


@pytest.mark.gen_test
async def test_a_token_type_hint_changes_nothing_and_a_url_is_no_place_for_a_token(
    embedded: Product, network: Network, phone: Phone
) -> None:
    await phone.login()
    shop = await back_end(embedded, network, "hints", "introspect")
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    form = f"token_type_hint=refresh_token&token={phone.token}".encode()
    assert (await shop.ask("POST", "/partner/introspect", data=form, headers=headers)).json["active"] is True
    assert (await shop.ask("POST", "/partner/introspect?token=x", data=form, headers=headers)).json["errcode"] == 400002
    assert (await shop.ask("GET", "/partner/introspect")).json["errcode"] == 405001


@pytest.mark.gen_test
async def test_somebody_who_was_erased_is_nobody(server: Product, network: Network, phone: Phone) -> None:
    await phone.login()
    shop = await back_end(server, network, "erased", "introspect")
    token = phone.token
    await phone.request("DELETE", "/api/me", headers=phone.bearer)
    assert (await shop.introspect(token)).json == DEAD
    assert (await shop.ask("POST", "/partner/introspect", json_body={"tokens": [token]})).json == [DEAD]


@pytest.mark.gen_test(timeout=90)
async def test_a_store_that_is_away_is_never_told_as_a_dead_token(
    make_server: MakeServer,
    network: Network,
    phones: Callable[..., list[Phone]],
    redis_server: RedisServer,
    mariadb: MariaDB,
) -> None:
    server = make_server(DATABASE=mariadb.served(), SESSIONS=redis_server.url())
    [phone] = phones(1, at=server)
    await phone.login()
    shop = await back_end(server, network, "outage", "introspect")
    assert (await shop.introspect(phone.token)).json["active"] is True
    redis_server.freeze()
    try:
        await _is_away(shop, phone, 503001)
    finally:
        redis_server.thaw()
    mariadb.freeze()
    try:
        await _is_away(shop, phone, 503002)
    finally:
        mariadb.thaw()


async def _is_away(shop: BackEnd, phone: Phone, errcode: int) -> None:
    for answer in (
        await shop.introspect(phone.token),
        await shop.ask("POST", "/partner/introspect", json_body={"tokens": [phone.token]}),
    ):
        assert (answer.status, answer.json["errcode"]) == (503, errcode)
        assert "Retry-After" in answer.headers
        assert "active" not in answer.json


@pytest.mark.gen_test
async def test_a_person_is_found_by_number_and_by_openid(server: Product, network: Network, phone: Phone) -> None:
    user = (await phone.login()).json["user"]["id"]
    shop = await back_end(server, network, "people", "users", "block")
    openid = await phone.openid()
    for name in (str(user), f"{APPID}:{openid}"):
        found = (await shop.ask("GET", f"/partner/users/{name}")).json
        assert (found["errcode"], found["id"], found["openid"], found["blocked"]) == (0, user, openid, False)
        assert found["phone"] is None
    for name in ("999999999", "0", openid, f"{APPID}:", f":{openid}", f"wx00:{openid}", "9" * 40, "%00", "..", "a:b:c"):
        answer = await shop.ask("GET", f"/partner/users/{name}")
        assert (answer.status, answer.json["errcode"]) == (404, 404001), name


@pytest.mark.gen_test
async def test_a_block_by_a_key_keeps_the_person_out_and_says_who_did_it(
    server: Product, network: Network, phone: Phone
) -> None:
    user = (await phone.login()).json["user"]["id"]
    shop = await back_end(server, network, "blocker", "users", "block", "revoke")
    for body in ({}, {"reason": ""}, {"reason": "x", "until": True}, {"reason": "x", "until": "soon"}):
        assert (await shop.ask("POST", f"/partner/users/{user}/block", json_body=body)).json["errcode"] == 400001
    assert (await phone.verify()).status == 200
    until = int(time.time()) + 3_600
    done = await shop.ask("POST", f"/partner/users/{user}/block", json_body={"reason": "spam", "until": until})
    assert (done.status, done.json["ended"]) == (200, 1)
    assert (await phone.verify()).json["reason"] == "blocked"
    assert (await phone.login()).json["errcode"] == 403003
    found = (await shop.ask("GET", f"/partner/users/{user}")).json
    assert (found["blocked"], found["blocked_until"]) == (True, until)
