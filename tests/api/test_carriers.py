"""Where a token may travel: in one place, once, and never in a URL."""

from collections.abc import Callable

import pytest
from phone import Phone
from product import Product
from rawsocket import exchange, request
from verdicts import refused, succeeded

Phones = Callable[..., list[Phone]]


@pytest.mark.gen_test
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
async def test_the_scheme_is_read_in_any_case(embedded: Product, phone: Phone, scheme: str) -> None:
    user = succeeded(await phone.login())["user"]
    answer = await phone.request("GET", "/api/verify", headers={"Authorization": f"{scheme} {phone.token}"})
    assert succeeded(answer)["user_id"] == user["id"]


@pytest.mark.gen_test
async def test_verify_tells_user_appid_and_seconds_and_nothing_more(server: Product, phone: Phone) -> None:
    user = succeeded(await phone.login())["user"]
    for answer in (await phone.verify(), await phone.request("POST", "/api/verify", json={"token": phone.token})):
        body = succeeded(answer)
        assert 604_700 <= body.pop("expires_in") <= 604_800
        assert body == {"user_id": user["id"], "appid": phone.appid}


@pytest.mark.gen_test
async def test_verify_answers_head_like_get_without_a_body(embedded: Product, phone: Phone) -> None:
    succeeded(await phone.login())
    answer = await phone.request("HEAD", "/api/verify", headers=phone.bearer)
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.headers["Content-Length"]) > 0
    answer = await phone.request("HEAD", "/api/verify")
    assert (answer.status, answer.body) == (401, b"")


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/verify"),
        ("POST", "/api/verify"),
        ("POST", "/api/logout"),
        ("GET", "/api/me"),
        ("PUT", "/api/me"),
        ("DELETE", "/api/me"),
        ("GET", "/api/me/export"),
        ("GET", "/api/me/sessions"),
        ("POST", "/api/me/sessions/revoke-others"),
        ("POST", f"/api/me/sessions/{'a' * 64}/revoke"),
    ],
)
async def test_without_a_token_or_with_another_scheme_nothing_opens(
    embedded: Product, phone: Phone, method: str, path: str
) -> None:
    refused(await phone.request(method, path), 401001)
    refused(await phone.request(method, path, headers={"Authorization": ""}), 401001)
    succeeded(await phone.login())
    for value in (f"Basic {phone.token}", phone.token, f"Token {phone.token}", f"Bearer:{phone.token}", "Digest a=b"):
        refused(await phone.request(method, path, headers={"Authorization": value}), 401001)
    cookie = f"token={phone.token}; session={phone.token}; Authorization=Bearer {phone.token}"
    for name in ("Cookie", "X-Token", "Token", "sessionid", "3rd-session", "X-Auth-Token", "Proxy-Authorization"):
        value = cookie if name == "Cookie" else f"Bearer {phone.token}"
        refused(await phone.request(method, path, headers={name: value}), 401001)
    succeeded(await phone.verify())


@pytest.mark.gen_test
async def test_bearer_alone_is_a_token_that_opens_nothing(embedded: Product, phone: Phone) -> None:
    for value in ("Bearer", "Bearer "):
        refused(await exchange(embedded, request("GET", "/api/verify", f"Authorization: {value}")), 401002)


@pytest.mark.gen_test
async def test_two_tokens_in_the_header_are_refused_with_400002(embedded: Product, phone: Phone) -> None:
    succeeded(await phone.login())
    good = f"Bearer {phone.token}"
    doubtful = [
        [f"Authorization: Bearer  {phone.token}"],
        [f"Authorization: {good}, {good}"],
        [f"Authorization: {good},Bearer x"],
        [f"Authorization: {good}", f"Authorization: {good}"],
        [f"Authorization: {good}", "authorization: Bearer x"],
        ["Authorization: Basic x", f"AUTHORIZATION: {good}"],
    ]
    for headers in doubtful:
        for method, path in (("GET", "/api/verify"), ("POST", "/api/logout"), ("GET", "/api/me")):
            refused(await exchange(embedded, request(method, path, *headers)), 400002)
    succeeded(await phone.verify())


@pytest.mark.gen_test
async def test_a_token_in_the_url_is_refused_and_never_logged(embedded: Product, phone: Phone) -> None:
    succeeded(await phone.login())
    for path in ("/api/verify", "/api/me", "/api/me/sessions"):
        refused(await phone.request("GET", f"{path}?token={phone.token}"), 400005)
        refused(await phone.request("GET", f"{path}?Token={phone.token}"), 400005)
        refused(await phone.request("GET", f"{path}?token[]={phone.token}"), 400005)
        refused(await phone.request("GET", f"{path}?%74oken={phone.token}"), 400005)
        refused(await phone.request("GET", f"{path}?token={phone.token}&token={phone.token}"), 400002)
        refused(await phone.request("GET", f"{path}?token=a&token[0]=b"), 400002)
        refused(await phone.request("GET", f"{path}?token={phone.token}", headers=phone.bearer), 400002)
    refused(await phone.request("POST", f"/api/logout?token={phone.token}"), 400005)
    refused(await phone.request("POST", f"/api/login?token={phone.token}", json={"code": "a"}), 400005)
    succeeded(await phone.verify())


@pytest.mark.gen_test
async def test_two_carriers_are_refused_also_when_they_agree(server: Product, phones: Phones) -> None:
    mei, lan = phones(2)
    succeeded(await mei.login())
    succeeded(await lan.login())
    for token in (mei.token, lan.token, "", "null"):
        for path in ("/api/verify", "/api/logout"):
            refused(await mei.request("POST", path, json={"token": token}, headers=mei.bearer), 400002)
    refused(await mei.request("POST", f"/api/logout?token={lan.token}", json={"token": mei.token}), 400005)
    succeeded(await mei.verify())
    succeeded(await lan.verify())


@pytest.mark.gen_test
async def test_the_body_carries_a_token_on_verify_and_logout_alone(embedded: Product, phone: Phone) -> None:
    succeeded(await phone.login())
    body = {"token": phone.token}
    refused(await phone.request("PUT", "/api/me", json={**body, "nickname": "x"}), 401001)
    refused(await phone.request("DELETE", "/api/me", json=body), 401001)
    refused(await phone.request("POST", "/api/me/sessions/revoke-others", json=body), 401001)
    succeeded(await phone.request("POST", "/api/verify", json=body))
    succeeded(await phone.request("POST", "/api/logout", json=body))
    refused(await phone.verify(), 401002, reason="logged_out")


@pytest.mark.gen_test
@pytest.mark.parametrize("token", [1, None, True, [], ["a"], {"a": 1}])
async def test_a_token_that_is_no_text_is_refused_by_name(embedded: Product, phone: Phone, token: object) -> None:
    for path in ("/api/verify", "/api/logout"):
        refused(await phone.request("POST", path, json={"token": token}), 400001, field="token")


@pytest.mark.gen_test
async def test_an_empty_token_in_the_body_is_a_token_that_opens_nothing(embedded: Product, phone: Phone) -> None:
    refused(await phone.request("POST", "/api/verify", json={"token": ""}), 401002)


@pytest.mark.gen_test
@pytest.mark.parametrize("content_type", ["application/json", None, "", "text/plain", "application/xml"])
@pytest.mark.parametrize("path", ["/api/verify", "/api/logout"])
async def test_with_the_header_an_empty_body_of_any_type_is_accepted(
    embedded: Product, phone: Phone, path: str, content_type: str | None
) -> None:
    succeeded(await phone.login())
    headers = {**phone.bearer, "Content-Type": content_type}
    succeeded(await phone.request("POST", path, headers=headers))


@pytest.mark.gen_test
async def test_with_the_header_an_empty_object_is_accepted_and_no_content_type_too(
    embedded: Product, phone: Phone
) -> None:
    succeeded(await phone.login())
    succeeded(await phone.request("POST", "/api/verify", data=b"{}", headers=phone.bearer))
    succeeded(await phone.request("POST", "/api/verify", data=b"{}", headers={**phone.bearer, "Content-Type": None}))
    for body in (b"[]", b"x", b'{"token":"a","token":"a"}', b"\xff"):
        refused(await phone.request("POST", "/api/verify", data=body, headers=phone.bearer), 400001)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    refused(await phone.request("POST", "/api/verify", data=b"token=a", headers=form), 415001)


@pytest.mark.gen_test
async def test_an_empty_content_type_on_get_is_none(embedded: Product, phone: Phone) -> None:
    succeeded(await phone.login())
    succeeded(await phone.request("GET", "/api/verify", headers={**phone.bearer, "Content-Type": ""}))


@pytest.mark.gen_test
async def test_no_cookie_is_read_or_set(embedded: Product, phone: Phone) -> None:
    succeeded(await phone.login())
    for cookie in ("a=b", "session=x; session=y", "\u00e9=\u00e9", "=", ";;;", "__Host-menshen=" + "x" * 4000):
        succeeded(await phone.request("GET", "/api/verify", headers={**phone.bearer, "Cookie": cookie}))
    refused(await phone.request("GET", "/api/verify", headers={"Cookie": f"token={phone.token}"}), 401001)


@pytest.mark.gen_test
async def test_no_page_of_another_origin_is_let_in_by_cors(embedded: Product, phone: Phone) -> None:
    succeeded(await phone.login())
    for origin in ("https://evil.example", "null", "http://[", "x" * 4000):
        headers = {**phone.bearer, "Origin": origin, "Sec-Fetch-Site": "cross-site"}
        answer = await phone.request("GET", "/api/verify", headers=headers)
        succeeded(answer)
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")]
    preflight = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    refused(await phone.request("OPTIONS", "/api/login", headers=preflight), 405001)


@pytest.mark.gen_test
async def test_an_access_token_in_the_url_is_refused_too(embedded: Product, phone: Phone) -> None:
    await phone.login()
    refused(await phone.request("GET", f"/api/verify?access_token={phone.token}"), 400005)


@pytest.mark.gen_test
async def test_a_phone_that_has_no_token_yet_is_not_counted_as_guessing(
    make_server: Callable[..., Product], phones: Callable[..., list[Phone]]
) -> None:
    [mei] = phones(1, at=make_server(UNKNOWN_TOKEN_LIMIT=2))
    for _ in range(5):
        refused(await mei.request("GET", "/api/verify", headers={"Authorization": "Bearer "}), 401002)
