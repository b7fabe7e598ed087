"""A person's own sessions: seen, ended one by one, and never anybody else's."""

import asyncio
import time
from collections.abc import Callable

import pytest
from phone import Phone
from product import Product
from verdicts import id_of, refused, succeeded

Phones = Callable[..., list[Phone]]


async def logged_in(mei: Phone, times: int) -> list[str]:
    """Log in so often, and return the tokens."""
    tokens = []
    for _ in range(times):
        succeeded(await mei.login())
        tokens.append(mei.token)
    return tokens


async def statuses(mei: Phone, tokens: list[str]) -> list[int]:
    """Return what verify answers to each token."""
    found = []
    for token in tokens:
        headers = {"Authorization": f"Bearer {token}"}
        found.append((await mei.request("GET", "/api/verify", headers=headers)).status)
    return found


async def sessions_of(mei: Phone) -> list[dict[str, object]]:
    """Return the list as the person is told it."""
    body = succeeded(await mei.request("GET", "/api/me/sessions", headers=mei.bearer))
    assert list(body) == ["sessions"]
    return list(body["sessions"])


async def revoke(mei: Phone, public_id: str) -> object:
    """End one of the person's own sessions; return how many ended."""
    answer = await mei.request("POST", f"/api/me/sessions/{public_id}/revoke", headers=mei.bearer)
    return succeeded(answer)["ended"]


@pytest.mark.gen_test
async def test_a_person_sees_every_session_and_which_one_is_this(server: Product, phone: Phone) -> None:
    before = int(time.time())
    tokens = await logged_in(phone, 3)
    listed = await sessions_of(phone)
    assert {own["id"] for own in listed} == {id_of(token) for token in tokens}
    assert [own["id"] for own in listed if own["current"]] == [id_of(phone.token)]
    created = [own["created_at"] for own in listed]
    assert created == sorted(created, key=str, reverse=True)
    for own in listed:
        assert set(own) == {"id", "created_at", "last_seen_at", "expires_at", "platform", "ip", "current"}
        assert isinstance(own["created_at"], int)
        assert before <= own["created_at"] <= int(time.time())
        assert own["expires_at"] == own["created_at"] + 604_800
        assert isinstance(own["last_seen_at"], int)
        assert own["last_seen_at"] >= own["created_at"]
        assert (own["platform"], own["ip"]) == ("android", "127.0.0.1")


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("user_agent", "platform"),
    [
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) MicroMessenger/8.0.50", "ios"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) MicroMessenger/7.0.20 MiniProgramEnv/Windows", "windows"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) MicroMessenger/6.8.0 MiniProgramEnv/Mac", "mac"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 15_0 like Mac OS X) wechatdevtools/1.06 MicroMessenger/8.0.5", "devtools"),
        ("curl/8.0", None),
        ("<script>alert(1)</script>", None),
        ("x" * 7000, None),
        (None, None),
    ],
)
async def test_the_platform_is_guessed_from_known_words_alone(
    embedded: Product, phone: Phone, user_agent: str | None, platform: str | None
) -> None:
    headers = {"User-Agent": user_agent}
    answer = await phone.request("POST", "/api/login", json={"code": await phone.code()}, headers=headers)
    phone.token = succeeded(answer)["token"]
    embedded.never_logged.add(phone.token)
    [own] = await sessions_of(phone)
    assert own["platform"] == platform


@pytest.mark.gen_test
async def test_a_person_ends_one_session_and_the_others_live(server: Product, phone: Phone) -> None:
    tokens = await logged_in(phone, 3)
    assert await revoke(phone, id_of(tokens[0])) == 1
    assert await statuses(phone, tokens) == [401, 200, 200]
    phone.token, current = tokens[0], phone.token
    refused(await phone.verify(), 401002, reason="revoked")
    phone.token = current
    assert {own["id"] for own in await sessions_of(phone)} == {id_of(token) for token in tokens[1:]}


@pytest.mark.gen_test
async def test_eight_characters_of_an_id_are_enough_in_either_case(server: Product, phone: Phone) -> None:
    tokens = await logged_in(phone, 3)
    assert await revoke(phone, id_of(tokens[0])[:8]) == 1
    assert await revoke(phone, id_of(tokens[1])[:9].upper()) == 1
    assert await statuses(phone, tokens) == [401, 401, 200]


@pytest.mark.gen_test
async def test_ending_it_again_ends_nothing_and_is_no_error(server: Product, phone: Phone) -> None:
    tokens = await logged_in(phone, 2)
    assert await revoke(phone, id_of(tokens[0])) == 1
    assert await revoke(phone, id_of(tokens[0])) == 0
    assert await revoke(phone, id_of(tokens[0])[:12]) == 0


@pytest.mark.gen_test
async def test_a_person_may_end_the_very_session_that_asks(server: Product, phone: Phone) -> None:
    succeeded(await phone.login())
    assert await revoke(phone, id_of(phone.token)) == 1
    refused(await phone.verify(), 401002, reason="revoked")


@pytest.mark.gen_test
async def test_somebody_elses_session_is_not_found_and_lives(server: Product, phones: Phones) -> None:
    mei, lan = phones(2)
    succeeded(await mei.login())
    succeeded(await lan.login())
    stranger = id_of(lan.token)
    for public_id in (stranger, stranger[:8], stranger.upper(), "0" * 64, "0" * 8):
        answer = await mei.request("POST", f"/api/me/sessions/{public_id}/revoke", headers=mei.bearer)
        refused(answer, 404001)
    succeeded(await lan.verify())
    # Also when it has ended: nobody learns of others' sessions that they were there.
    succeeded(await lan.logout())
    refused(await mei.request("POST", f"/api/me/sessions/{stranger}/revoke", headers=mei.bearer), 404001)


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "public_id", ["0" * 7, "0" * 65, "g" * 8, "*", "..%2f..", "' OR 1=1", "%00", "mps_" + "A" * 43]
)
async def test_what_is_no_id_is_not_found(embedded: Product, phone: Phone, public_id: str) -> None:
    succeeded(await phone.login())
    refused(await phone.request("POST", f"/api/me/sessions/{public_id}/revoke", headers=phone.bearer), 404001)


@pytest.mark.gen_test
async def test_revoke_others_ends_all_but_this_one(server: Product, phones: Phones) -> None:
    mei, lan = phones(2)
    tokens = await logged_in(mei, 4)
    succeeded(await lan.login())
    path = "/api/me/sessions/revoke-others"
    assert succeeded(await mei.request("POST", path, headers=mei.bearer)) == {"ended": 3}
    assert succeeded(await mei.request("POST", path, headers=mei.bearer)) == {"ended": 0}
    assert await statuses(mei, tokens) == [401, 401, 401, 200]
    assert len(await sessions_of(mei)) == 1
    succeeded(await lan.verify())


@pytest.mark.gen_test
async def test_two_who_end_the_same_session_are_told_once_that_it_ended(server: Product, phone: Phone) -> None:
    tokens = await logged_in(phone, 2)
    ended = await asyncio.gather(*(revoke(phone, id_of(tokens[0])) for _ in range(10)))
    assert sum(int(str(each)) for each in ended) == 1


@pytest.mark.gen_test
async def test_a_dead_token_sees_and_ends_nothing(server: Product, phone: Phone) -> None:
    tokens = await logged_in(phone, 2)
    succeeded(await phone.logout())
    for method, path in (
        ("GET", "/api/me/sessions"),
        ("POST", "/api/me/sessions/revoke-others"),
        ("POST", f"/api/me/sessions/{id_of(tokens[0])}/revoke"),
    ):
        refused(await phone.request(method, path, headers=phone.bearer), 401002, reason="logged_out")
    assert await statuses(phone, tokens) == [200, 401]


@pytest.mark.gen_test
async def test_deeds_are_posts_and_a_get_changes_nothing(embedded: Product, phone: Phone) -> None:
    tokens = await logged_in(phone, 2)
    for path in ("/api/me/sessions/revoke-others", f"/api/me/sessions/{id_of(tokens[0])}/revoke", "/api/logout"):
        for method in ("GET", "PUT", "DELETE"):
            answer = await phone.request(method, path, headers=phone.bearer)
            refused(answer, 405001)
            assert answer.headers["Allow"] == "POST"
    assert await statuses(phone, tokens) == [200, 200]
