"""Where a token may travel: a dialect's carriers count on every path of a phone, and without the dialect on none."""

from collections.abc import Callable

import pytest
from phone import Phone
from product import ROOT, Product
from verdicts import refused, succeeded

from handlers.compat import ROUTES

Phones = Callable[..., list[Phone]]
Carrier = Callable[[str], tuple[str, dict[str, str]]]  # a token gives what to add to the path, and the headers

TUTORIALS: dict[str, Carrier] = {
    "Authorization without Bearer": lambda token: ("", {"Authorization": token}),
    "token": lambda token: ("", {"token": token}),
    "sessionid": lambda token: ("", {"sessionid": token}),
    "3rd_session": lambda token: ("", {"3rd_session": token}),
    "3rd-session": lambda token: ("", {"3rd-session": token}),
    "the URL": lambda token: (f"?token={token}", {}),
}
WAFER: dict[str, Carrier] = {"X-WX-Skey": lambda token: ("", {"X-WX-Skey": token})}
PATHS = ["/api/verify", "/api/me", "/api/me/sessions"]


@pytest.mark.gen_test
@pytest.mark.parametrize("name", [*TUTORIALS, *WAFER])
async def test_a_dialect_s_carrier_opens_our_own_paths_too(dialects: Product, phones: Phones, name: str) -> None:
    [phone] = phones(1, at=dialects)
    succeeded(await phone.login())
    added, headers = (TUTORIALS | WAFER)[name](phone.token)
    for path in PATHS:
        succeeded(await phone.request("GET", path + added, headers=headers))
    replaced = await phone.request("POST", f"/api/login{added}", json={"code": await phone.code()}, headers=headers)
    dialects.never_logged.add(succeeded(replaced)["token"])
    answer = await phone.request("GET", f"/api/verify{added}", headers=headers)
    refused(answer, 401002, reason="replaced")  # the shape follows the path, not the carrier


@pytest.mark.gen_test
@pytest.mark.parametrize("name", [*TUTORIALS, *WAFER])
async def test_without_the_dialect_it_opens_nothing(embedded: Product, phone: Phone, name: str) -> None:
    succeeded(await phone.login())
    added, headers = (TUTORIALS | WAFER)[name](phone.token)
    for path in PATHS:
        answer = await phone.request("GET", path + added, headers=headers)
        refused(answer, 400005 if added else 401001)
    for path in (
        "/login.php",
        "/api/function",
        "/wx/products/list",
        "/user/info",
        "/api/user/info",
        "/user",
        "/weapp/user",
    ):
        assert (await phone.request("GET", path + added, headers=headers)).status == 404


@pytest.mark.gen_test
async def test_one_dialect_does_not_open_another_s_doors(make_server: Callable[..., Product], phones: Phones) -> None:
    server = make_server(COMPAT="wafer2")
    [phone] = phones(1, at=server)
    succeeded(await phone.login())
    for carrier in TUTORIALS.values():
        added, headers = carrier(phone.token)
        refused(await phone.request("GET", f"/api/verify{added}", headers=headers), 400005 if added else 401001)
    assert (await phone.request("GET", "/weapp/user", headers={"X-WX-Skey": phone.token})).json["code"] == 0
    for path in ("/user", "/login", "/login.php", "/mina_auth/"):
        assert (await phone.request("GET", path)).status == 404
    refused(await phone.request("GET", f"/api/login?wxCode={await phone.code()}"), 405001)
    assert "COMPAT=wafer2 serves /weapp/login, /weapp/user; it gives the openid to the phone" in server.log()


@pytest.mark.gen_test
async def test_two_carriers_are_refused_even_when_both_hold_the_same_token(dialects: Product, phones: Phones) -> None:
    [phone] = phones(1, at=dialects)
    succeeded(await phone.login())
    carriers = [carrier(phone.token) for carrier in (TUTORIALS | WAFER).values()]
    bearer: tuple[str, dict[str, str]] = ("", phone.bearer)
    for one in carriers:
        for other in [bearer, *carriers]:
            headers = [*one[1].items(), *other[1].items()]
            added = one[0] or other[0]
            if one != other:
                refused(await phone.request("GET", f"/api/verify{added}", headers=headers), 400002)
    twice = f"/api/verify?token={phone.token}&token={phone.token}"
    refused(await phone.request("GET", twice), 400002)
    in_body = await phone.request("POST", "/api/verify", json={"token": phone.token}, headers={"token": phone.token})
    refused(in_body, 400002)


@pytest.mark.gen_test
async def test_an_empty_carrier_is_that_of_a_phone_before_its_first_login(dialects: Product, phones: Phones) -> None:
    [phone] = phones(1, at=dialects)
    for carrier in (TUTORIALS | WAFER).values():
        added, headers = carrier("")
        refused(await phone.request("GET", f"/api/verify{added}", headers=headers), 401001)
    succeeded(await phone.login())
    succeeded(await phone.request("GET", "/api/verify", headers={"3rd_session": "", **phone.bearer}))


@pytest.mark.gen_test
@pytest.mark.parametrize("name", ["access_token", "token[]", "Token", "token[0]"])
async def test_no_other_name_in_the_url_becomes_a_carrier(dialects: Product, phones: Phones, name: str) -> None:
    [phone] = phones(1, at=dialects)
    succeeded(await phone.login())
    refused(await phone.request("GET", f"/api/verify?{name}={phone.token}"), 400005)


@pytest.mark.gen_test
async def test_a_wafer_id_must_be_that_of_the_skey(dialects: Product, phones: Phones) -> None:
    [phone, other] = phones(2, at=dialects)
    login = await phone.request("GET", "/login", headers={"X-WX-Code": await phone.code()})
    mine = login.json["session"]
    succeeded(await other.login())
    dialects.never_logged.add(mine["skey"])
    pairs = {"X-WX-Id": mine["id"], "X-WX-Skey": mine["skey"]}
    succeeded(await phone.request("GET", "/api/verify", headers=pairs))
    refused(await phone.request("GET", "/api/verify", headers=pairs | {"X-WX-Skey": other.token}), 401002)
    refused(await phone.request("GET", "/api/verify", headers=pairs | {"X-WX-Id": "0" * 64}), 401002)
    refused(await phone.request("GET", "/api/verify", headers={"X-WX-Id": mine["id"]}), 401001)
    for odd in ("x", "a" * 40, "<script>", "ä" * 8, "a" * 5_000):
        refused(await phone.request("GET", "/api/verify", headers={"X-WX-Skey": odd}), 401002)


@pytest.mark.quick
def test_the_page_of_the_api_names_every_address_of_every_dialect() -> None:
    page = (ROOT / "docs" / "api.md").read_text("utf-8")
    for routes in ROUTES.values():
        for path, _ in routes:
            assert path.replace("\\", "").removesuffix("?") in page
