"""The page of service keys: an admin makes one, sees it once, and revokes it."""

import re

import pytest
from operator_at import PASSWORD, make_operator
from other_side import BackEnd, rows_by
from phone import Network, Phone
from product import APPID, Product


@pytest.mark.gen_test(timeout=60)
async def test_a_key_made_on_the_page_is_shown_once_and_works_until_it_is_revoked(
    server: Product, network: Network, phone: Phone
) -> None:
    await phone.login()
    admin = await make_operator(server, network)
    form = {
        "name": f"by-{admin.name}"[:32],
        "scope": "introspect",
        "all_apps": "yes",
        "password": PASSWORD,
        "days": "30",
    }
    page = await admin.post("/admin/keys", form)
    assert page.status == 200, page.text
    [key] = set(re.findall(r"msk_[A-Za-z0-9_-]{43}", page.text))
    server.never_logged.add(key)
    again = await admin.get("/admin/keys")
    assert key not in again.text
    assert key[:10] in again.text
    assert form["name"] in again.text
    shop = BackEnd(server, network, key)
    assert (await shop.introspect(phone.token)).json["active"] is True
    row = again.text.rpartition(f"<strong>{form['name']}</strong>")[2]
    number = re.search(r"/admin/keys/(\d+)/revoke", row)
    assert number
    asked = await admin.get(f"/admin/keys/{number[1]}/revoke")
    assert form["name"] in asked.text
    page = await admin.post(f"/admin/keys/{number[1]}/revoke", {"sure": "yes", "password": PASSWORD})
    assert "is revoked" in page.text
    assert (await shop.introspect(phone.token)).json["errcode"] == 401003
    assert (await admin.post(f"/admin/keys/{number[1]}/revoke", {"sure": "yes"})).status == 404
    deeds = [row.deed for row in await rows_by(server, f"operator:{admin.name}")]
    assert deeds[-2:] == ["key.add", "key.revoke"]


@pytest.mark.gen_test(timeout=60)
@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"name": "<script>"}, "A name takes"),
        ({"scope": "everything"}, "at least one thing"),
        ({"scope": "relay"}, "needs at least one path"),
        ({"paths": "/wxa/"}, "needs at least one path"),
        ({"note": "x" * 201}, "at most 200"),
        ({"all_apps": ""}, "at least one mini program"),
        ({"password": "wrong"}, "The password is wrong"),
    ],
)
async def test_a_form_that_cannot_be_is_shown_again_with_what_was_typed(
    embedded: Product, network: Network, changed: dict[str, str], says: str
) -> None:
    admin = await make_operator(embedded, network)
    good = {"name": "formed", "scope": "users", "all_apps": "yes", "password": PASSWORD, "note": "what it is for"}
    page = await admin.post("/admin/keys", good | changed)
    assert page.status in (400, 403)
    assert says in page.text
    assert "<script>" not in page.answer.body.decode()
    assert PASSWORD not in page.text
    assert not re.search(r"msk_[A-Za-z0-9_-]{43}", page.text)


@pytest.mark.gen_test(timeout=60)
async def test_an_admin_of_some_mini_programs_may_not_make_a_key(embedded: Product, network: Network) -> None:
    admin = await make_operator(embedded, network, appids=[APPID])
    for path in ("/admin/keys", "/admin/deliveries", "/admin/keys/1/revoke"):
        assert (await admin.get(path)).status == 403
    assert (await admin.post("/admin/keys", {"name": "grown", "scope": "users", "appid": APPID})).status == 403
    assert {row.result for row in await rows_by(embedded, f"operator:{admin.name}") if "dashboard" in row.deed} == {
        "denied"
    }
