"""The number of a merged person: other back ends are told it beside each user's own, and of nobody else one."""

from collections.abc import Callable

import pytest
from backends import Backend
from operator_at import Operator, change, make_operator
from other_side import BackEnd, back_end, told
from phone import Network, Phone
from product import Product

Phones = Callable[..., list[Phone]]
SURE = {"sure": "yes"}


async def persons(shop: BackEnd, phone: Phone, user: int) -> list[object]:
    """What the three ways of asking say: of one token, of a list of tokens, and about the user."""
    one = (await shop.introspect(phone.token)).json
    [many] = (await shop.ask("POST", "/partner/introspect", json_body={"tokens": [phone.token]})).json
    return [each["person"] for each in (one, many, (await shop.ask("GET", f"/partner/users/{user}")).json)]


async def meet(server: Product, phones: Phones, unionid: str | None) -> list[tuple[Phone, int]]:
    """Two users, whom WeChat may name by one unionid."""
    found = phones(2, at=server)
    users = [int((await each.login()).json["user"]["id"]) for each in found]
    for user in users:
        await change(server, "UPDATE user SET unionid = :unionid WHERE id = :id", unionid=unionid, id=user)
    return list(zip(found, users, strict=True))


async def merge(operator: Operator, user: int) -> None:
    assert "Merged 2 users" in (await operator.post(f"/admin/users/{user}/merge", SURE)).text


@pytest.mark.gen_test(timeout=60)
async def test_whoever_asks_is_told_the_number_of_a_merge_until_the_split(
    server: Product, network: Network, phones: Phones
) -> None:
    [(mei, first), (other, second)] = await meet(server, phones, "uMerged-asked")
    shop = await back_end(server, network, "merged-asked", "introspect", "users")
    operator = await make_operator(server, network, role="operator")
    assert await persons(shop, other, second) == [None] * 3
    await merge(operator, second)
    for phone, user in ((mei, first), (other, second)):
        assert await persons(shop, phone, user) == [str(first), str(first), first]
    await operator.post(f"/admin/users/{first}/split", SURE)
    assert await persons(shop, other, second) == [None] * 3


@pytest.mark.gen_test(timeout=120)
async def test_every_event_about_somebody_who_was_merged_says_so(
    make_server: Callable[..., Product], backend: Backend, network: Network, phones: Phones
) -> None:
    async with told(make_server, 204, **backend.fresh()) as (server, listener):
        [(mei, first), (_, second)] = await meet(server, phones, "uMerged-told")
        [(_, stranger), _] = await meet(server, phones, None)
        shop = await back_end(server, network, "merged-told", "revoke", "block")
        await merge(await make_operator(server, network, role="operator"), second)
        for user in (second, stranger):
            assert (await shop.ask("POST", f"/partner/users/{user}/revoke")).json["ended"] == 1
        assert (await shop.ask("POST", f"/partner/users/{second}/block", json_body={"reason": "spam"})).status == 200
        assert (await mei.request("DELETE", "/api/me", headers=mei.bearer)).status == 200
        heard = [each.json for each in await listener.waits_for(8, seconds=30)]
    deeds = [(each["event"], each["user_id"], each.get("person")) for each in heard if each["event"] != "login.first"]
    assert sorted(deeds, key=str) == [
        ("session.revoked", second, first),
        ("session.revoked", stranger, None),
        ("user.blocked", second, first),
        ("user.erased", first, first),
    ]
    assert not [each for each in heard if each["event"] == "login.first" and "person" in each]
