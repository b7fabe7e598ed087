"""A person's own profile: seen, changed, copied and erased."""

import time
from collections.abc import Callable

import pytest
from phone import Answer, Phone
from product import APPID, Product
from verdicts import refused, succeeded

Phones = Callable[..., list[Phone]]


async def put(mei: Phone, **fields: object) -> Answer:
    """Change the profile."""
    return await mei.request("PUT", "/api/me", json=fields, headers=mei.bearer)


@pytest.mark.gen_test
async def test_me_tells_the_profile_and_nothing_more(server: Product, phone: Phone) -> None:
    user = succeeded(await phone.login())["user"]
    assert user.pop("new") is True
    assert succeeded(await phone.me()) == user
    assert set(user) == {"id", "nickname", "avatar_url", "phone", "created_at"}
    answer = await phone.request("HEAD", "/api/me", headers=phone.bearer)
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.gen_test
async def test_a_person_changes_one_field_and_keeps_the_other(server: Product, phone: Phone) -> None:
    succeeded(await phone.login())
    url = "https://thirdwx.qlogo.cn/mmopen/vi_32/abc/132"
    assert succeeded(await put(phone, nickname="梅"))["nickname"] == "梅"
    changed = succeeded(await put(phone, avatar_url=url))
    assert (changed["nickname"], changed["avatar_url"]) == ("梅", url)
    assert succeeded(await phone.me()) == changed
    assert succeeded(await put(phone)) == changed
    cleared = succeeded(await put(phone, nickname=None))
    assert (cleared["nickname"], cleared["avatar_url"]) == (None, url)
    assert succeeded(await phone.login())["user"]["avatar_url"] == url


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "nickname",
    [
        "a",
        "微信用户",
        "👩‍👩‍👧‍👦",
        "x" * 64,
        "😀" * 64,
        "<script>alert(1)</script>",
        "'; DROP TABLE user; --",
        "=1+1",
        "𠮷",
        "\\u0000",
    ],
)
async def test_a_nickname_comes_back_exactly_as_it_was_sent(server: Product, phone: Phone, nickname: str) -> None:
    succeeded(await phone.login())
    assert succeeded(await put(phone, nickname=nickname))["nickname"] == nickname
    assert succeeded(await phone.me())["nickname"] == nickname


@pytest.mark.gen_test
@pytest.mark.parametrize("nickname", ["x" * 65, "a\0b", "a\nb", "a\r\nb", "\x1b[31m", "\x7f", "\x85", 1, True, [], {}])
async def test_a_nickname_that_cannot_be_kept_is_refused_by_name(
    embedded: Product, phone: Phone, nickname: object
) -> None:
    succeeded(await phone.login())
    succeeded(await put(phone, nickname="before"))
    refused(await put(phone, nickname=nickname), 400001, field="nickname")
    assert succeeded(await phone.me())["nickname"] == "before"


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/a.png",
        "javascript:alert(1)",
        "data:image/png;base64,AAAA",
        "//example.com/a.png",
        "https://",
        "https:///a",
        "https://[",
        "https://example.com/" + "a" * 493,
        "https://exa mple.com/",
        "https://example.com/\n",
        "ftp://example.com/a",
        "",
        1,
    ],
)
async def test_an_avatar_url_that_is_no_https_is_refused_by_name(embedded: Product, phone: Phone, url: object) -> None:
    succeeded(await phone.login())
    refused(await put(phone, avatar_url=url), 400001, field="avatar_url")
    assert succeeded(await phone.me())["avatar_url"] is None


@pytest.mark.gen_test
async def test_fields_that_are_not_the_persons_to_change_are_ignored(server: Product, phones: Phones) -> None:
    mei, lan = phones(2)
    before = succeeded(await mei.login())["user"]
    other = succeeded(await lan.login())["user"]
    extra = {
        "id": other["id"],
        "user_id": other["id"],
        "phone": "13800138000",
        "openid": "o",
        "state": "x",
        "created_at": 1,
    }
    after = succeeded(await put(mei, nickname="n", **extra))
    assert after == {**{name: value for name, value in before.items() if name != "new"}, "nickname": "n"}
    assert succeeded(await lan.me())["nickname"] is None


@pytest.mark.gen_test
@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"nickname":"a","nickname":"b"}', b'{"nickname":"\\ud800"}'])
async def test_a_profile_that_is_no_object_is_refused(embedded: Product, phone: Phone, body: bytes) -> None:
    succeeded(await phone.login())
    refused(await phone.request("PUT", "/api/me", data=body, headers=phone.bearer), 400001)


@pytest.mark.gen_test
async def test_the_methods_of_me_are_named(embedded: Product, phone: Phone) -> None:
    answer = await phone.request("POST", "/api/me", headers=phone.bearer)
    refused(answer, 405001)
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "PUT", "DELETE"}


@pytest.mark.gen_test
async def test_a_person_gets_a_copy_of_everything_that_is_kept(server: Product, phones: Phones) -> None:
    mei, lan = phones(2)
    succeeded(await lan.login())
    before = int(time.time())
    user_id = succeeded(await mei.login())["user"]["id"]
    succeeded(await mei.logout())
    succeeded(await mei.login())
    succeeded(await put(mei, nickname="梅"))
    copy = succeeded(await mei.request("GET", "/api/me/export", headers=mei.bearer))
    assert set(copy) == {"user", "logins", "avatar", "held_avatar"}
    assert (copy["avatar"], copy["held_avatar"]) == (None, None)
    user = copy["user"]
    assert (user["id"], user["appid"], user["openid"]) == (user_id, APPID, await mei.openid())
    assert (user["nickname"], user["avatar_url"], user["phone"]) == ("梅", None, None)
    assert before <= user["created_at"] <= user["last_login_at"] <= int(time.time())
    reasons = [login["reason"] for login in copy["logins"]]
    assert sorted(reasons, key=str) == [None, "logged_out"]
    for login in copy["logins"]:
        assert (login["ip"], login["platform"]) == ("127.0.0.1", "android")
        assert (login["version"], login["environment"]) == ("12", "release")
        assert (login["ended_at"] is None) == (login["reason"] is None)
    assert "session_key" not in str(copy)
    assert mei.token not in str(copy)
    assert (await lan.openid()) not in str(copy)


@pytest.mark.gen_test
async def test_who_asks_to_be_erased_is_gone_everywhere_and_comes_back_as_somebody_new(
    server: Product, phones: Phones
) -> None:
    mei, lan = phones(2)
    succeeded(await lan.login())
    first = succeeded(await mei.login())["user"]["id"]
    succeeded(await put(mei, nickname="梅"))
    other = mei.token
    succeeded(await mei.login())
    assert succeeded(await mei.request("DELETE", "/api/me", headers=mei.bearer)) == {"erased": True}
    for token in (other, mei.token):
        mei.token = token
        for answer in (await mei.verify(), await mei.me(), await mei.logout()):
            refused(answer, 401002, reason="revoked")
    refused(await mei.request("DELETE", "/api/me", headers=mei.bearer), 401002, reason="revoked")
    again = succeeded(await mei.login())["user"]
    assert again["id"] != first
    assert (again["new"], again["nickname"]) == (True, None)
    copy = succeeded(await mei.request("GET", "/api/me/export", headers=mei.bearer))
    assert len(copy["logins"]) == 1
    succeeded(await lan.verify())
