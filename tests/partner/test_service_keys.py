"""Keys of other back ends: what each opens, and that a revoked one opens nothing from the next request on."""

import asyncio
from collections.abc import Callable

import pytest
from operator_at import change
from other_side import BackEnd, back_end, rows_by
from phone import Network, Phone
from product import APPID, Product
from shell import done, menshen, settings_of

import process
from stores.service_keys import new_key

MakeServer = Callable[..., Product]


@pytest.mark.gen_test(timeout=60)
async def test_a_key_from_the_shell_works_until_it_is_revoked_and_not_once_more(
    server: Product, network: Network, phone: Phone
) -> None:
    await phone.login()
    key = await done(server, "key", "add", "shell-made", "--scope", "introspect,users", "--note", "for the shop")
    server.never_logged.add(key)
    assert key.startswith("msk_")
    assert len(key) == 47
    shop = BackEnd(server, network, key)
    assert (await shop.introspect(phone.token)).json["active"] is True
    listed = await done(server, "key", "list", "--json")
    assert key not in listed
    assert '"name": "shell-made"' in listed
    number = next(line for line in listed.splitlines() if "shell-made" in line).split('"id": ')[1].split(",")[0]
    assert await done(server, "key", "revoke", number) == "shell-made is revoked"
    for _ in range(3):
        refused = await shop.introspect(phone.token)
        assert (refused.status, refused.json["errcode"], refused.json["error"]) == (401, 401003, "invalid_client")
    again = await menshen(server, "key", "revoke", number)
    assert (again.returncode, again.stdout) == (1, "")


@pytest.mark.gen_test
async def test_the_audit_knows_who_made_and_who_revoked_a_key(server: Product) -> None:
    server.never_logged.add(await done(server, "key", "add", "audited", "--scope", "revoke"))
    async with process.opened(settings_of(server)) as backend:
        [key] = [each for each in await backend.service_keys.all() if each.name == "audited"]
        assert (sorted(key.scopes), key.appids, key.expires_at, key.used_at) == (["revoke"], None, None, None)
    await done(server, "key", "revoke", str(key.id))
    async with process.opened(settings_of(server)) as backend:
        rows = [row for row in await backend.audit.newest(20) if row.target == "key:audited"]
    assert [(row.deed, row.result, row.reason) for row in rows] == [
        ("key.revoke", "done", None),
        ("key.add", "done", "revoke"),
    ]
    assert all(row.actor.startswith("shell:") for row in rows)


@pytest.mark.gen_test
async def test_only_the_hash_of_a_key_is_kept(embedded: Product, network: Network) -> None:
    shop = await back_end(embedded, network, "kept-as-hash", "introspect")
    await shop.introspect("mps_" + "x" * 43)
    kept = b"".join(path.read_bytes() for path in embedded.data_dir.rglob("*") if path.is_file())
    assert b"kept-as-hash" in kept
    assert shop.key[:10].encode() in kept
    assert shop.key[:16].encode() not in kept


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer msk_short",
        pytest.param(f"Bearer {new_key()}", id="a key of nobody's"),
        "Basic bXNrXw==",
        "Bearer mps_" + "x" * 43,
    ],
)
async def test_without_a_good_key_nothing_is_told(
    embedded: Product, network: Network, phone: Phone, header: str | None
) -> None:
    await phone.login()
    headers = {"Content-Type": "application/x-www-form-urlencoded"} | (
        {} if header is None else {"Authorization": header}
    )
    body = f"token={phone.token}".encode()
    answer = await network.ask("POST", embedded.base + "/partner/introspect", headers=headers, body=body)
    assert (answer.status, answer.json["errcode"]) == (401, 401003)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert "active" not in answer.json


@pytest.mark.gen_test
async def test_a_session_token_and_an_operator_s_cookie_are_no_service_keys(
    embedded: Product, network: Network, phone: Phone
) -> None:
    await phone.login()
    pretender = BackEnd(embedded, network, phone.token)
    assert (await pretender.introspect(phone.token)).json["errcode"] == 401003
    form = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": "menshen-dev=" + "a" * 43}
    answer = await network.ask("POST", embedded.base + "/partner/introspect", headers=form, body=b"token=x")
    assert answer.json["errcode"] == 401003


@pytest.mark.gen_test
async def test_a_key_opens_only_what_it_is_for_and_a_deed_that_is_refused_is_written_down(
    server: Product, network: Network, phone: Phone
) -> None:
    user = (await phone.login()).json["user"]["id"]
    reader = await back_end(server, network, "reader", "introspect")
    doer = await back_end(server, network, "doer", "revoke")
    for path, body in (("revoke", {}), ("block", {"reason": "spam"})):
        answer = await reader.ask("POST", f"/partner/users/{user}/{path}", json_body=body)
        assert (answer.status, answer.json["errcode"], answer.json["retry"]) == (403, 403001, "never")
    assert (await reader.ask("GET", f"/partner/users/{user}")).json["errcode"] == 403001
    assert (await doer.introspect(phone.token)).json["errcode"] == 403001
    assert (await phone.verify()).status == 200
    rows = await rows_by(server, "key:reader")
    assert [(row.deed, row.result, row.target) for row in rows] == [
        ("user.revoke", "denied", f"user:{user}"),
        ("user.block", "denied", f"user:{user}"),
    ]


@pytest.mark.gen_test
async def test_a_key_for_other_mini_programs_finds_nothing_of_this_one(
    server: Product, network: Network, phone: Phone
) -> None:
    user = (await phone.login()).json["user"]["id"]
    elsewhere = {"appids": ["wx00000000000000ff"]}
    other = await back_end(server, network, "elsewhere", "introspect", "users", "revoke", **elsewhere)
    assert (await other.introspect(phone.token)).json == {"active": False}
    many = await other.ask("POST", "/partner/introspect", json_body={"tokens": [phone.token]})
    assert many.json == [{"active": False}]
    for method, path in (("GET", f"{user}"), ("POST", f"{user}/revoke"), ("GET", f"{APPID}:{await phone.openid()}")):
        assert (await other.ask(method, f"/partner/users/{path}")).json["errcode"] == 404001
    assert (await phone.verify()).status == 200
    assert [row.result for row in await rows_by(server, "key:elsewhere")] == ["denied"]


@pytest.mark.gen_test
async def test_a_key_past_its_time_opens_nothing(server: Product, network: Network, phone: Phone) -> None:
    await phone.login()
    shop = await back_end(server, network, "short-lived", "introspect")
    assert (await shop.introspect(phone.token)).status == 200
    await change(server, "UPDATE service_key SET expires_at = 1 WHERE id = :id", id=shop.number)
    assert (await shop.introspect(phone.token)).json["errcode"] == 401003


@pytest.mark.gen_test
async def test_the_use_of_a_key_is_noted(embedded: Product, network: Network) -> None:
    shop = await back_end(embedded, network, "noted", "introspect")
    await shop.introspect("x")
    async with process.opened(settings_of(embedded)) as backend:
        for _ in range(200):
            key = await backend.service_keys.get(shop.number)
            if key.used_at is not None:
                break
            await asyncio.sleep(0.02)
        assert key.used_at is not None
        assert key.used_at >= key.created_at


@pytest.mark.gen_test
async def test_a_key_has_its_own_limit_and_other_keys_keep_theirs(make_server: MakeServer, network: Network) -> None:
    server = make_server(KEY_LIMIT=5)
    wild = await back_end(server, network, "wild", "introspect")
    calm = await back_end(server, network, "calm", "introspect")
    statuses = [(await wild.introspect("x")).status for _ in range(12)]
    assert 429 in statuses
    assert set(statuses) == {200, 429}
    refused = await wild.introspect("x")
    assert (refused.status, refused.json["errcode"], refused.json["retry"]) == (429, 429001, "backoff")
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert (await calm.introspect("x")).status == 200


@pytest.mark.gen_test
async def test_whoever_guesses_at_keys_is_slowed_down_and_a_good_key_beside_him_is_not(
    make_server: MakeServer, network: Network
) -> None:
    server = make_server(UNKNOWN_TOKEN_LIMIT=5)
    good = await back_end(server, network, "good", "introspect")
    guesser = BackEnd(server, network, "")
    statuses = []
    for _ in range(12):
        guesser.key = new_key()
        statuses.append((await guesser.introspect("x")).status)
    assert statuses[0] == 401
    assert statuses[-1] == 429
    assert (await good.introspect("x")).status == 200


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["Ümlaut", "--scope", "users"], "a name has 1 to 32"),
        (["a", "--scope", "everything"], "--scope takes"),
        (["a", "--scope", ""], "--scope takes"),
        (["a", "--scope", "relay"], "--paths belongs"),
        (["a", "--scope", "users", "--paths", "/wxa/"], "--paths belongs"),
        (["a", "--scope", "relay", "--paths", "/wxa/../cgi-bin/"], "--paths belongs"),
        (["a", "--scope", "relay", "--paths", "wxa"], "--paths belongs"),
        (["a", "--scope", "users", "--days", "0"], "--days takes"),
        (["a", "--scope", "users", "--note", "two\nlines"], "a note is one line"),
        (["a", "--scope", "users", "--apps", "wx00000000000000ff"], "this mini program is not known"),
    ],
)
async def test_a_key_that_cannot_be_is_refused_in_one_line(embedded: Product, words: list[str], says: str) -> None:
    refused = await menshen(embedded, "key", "add", *words)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith(says)
    assert refused.stderr.count("\n") == 1


@pytest.mark.gen_test
async def test_two_keys_that_hold_never_have_one_name(embedded: Product) -> None:
    embedded.never_logged.add(await done(embedded, "key", "add", "twice", "--scope", "users"))
    second = await menshen(embedded, "key", "add", "twice", "--scope", "users")
    assert second.returncode == 1
    assert "there is a key of this name" in second.stderr
