"""What every answer has in common: hosts, ids, headers, health, and the settings that change an answer's face."""

from collections.abc import Callable

import pytest
from backends import BACKENDS, Backend
from patience import until
from phone import Answer, Phone, WeChat
from product import Product
from rawsocket import Raw, exchange, request
from servers import MariaDB, RedisServer
from verdicts import REQUEST_ID, refused, succeeded

Phones = Callable[..., list[Phone]]


@pytest.mark.gen_test
async def test_the_process_says_that_it_lives(embedded: Product, phone: Phone) -> None:
    assert succeeded(await phone.request("GET", "/healthz")) == {}
    answer = await phone.request("HEAD", "/healthz")
    assert (answer.status, answer.body) == (200, b"")
    answer = await phone.request("POST", "/healthz")
    refused(answer, 405001)
    assert answer.headers["Allow"] == "GET, HEAD"


@pytest.mark.gen_test
async def test_the_server_says_that_it_is_ready(server: Product, phone: Phone) -> None:
    assert succeeded(await phone.request("GET", "/readyz")) == {"degraded": []}
    assert (await phone.request("HEAD", "/readyz")).status == 200


@pytest.mark.gen_test
async def test_without_the_session_store_the_server_lives_and_is_not_ready(
    make_server: Callable[..., Product], mariadb: MariaDB, redis_server: RedisServer, phones: Phones
) -> None:
    [phone] = phones(1, at=make_server(**Backend(BACKENDS[1], mariadb, redis_server).fresh()))
    redis_server.freeze()
    succeeded(await phone.request("GET", "/healthz"))
    refused(await phone.request("GET", "/readyz"), 503001)


@pytest.mark.gen_test
async def test_without_the_user_database_the_server_is_ready_but_degraded(
    make_server: Callable[..., Product], mariadb: MariaDB, redis_server: RedisServer, phones: Phones
) -> None:
    server = make_server(**Backend(BACKENDS[1], mariadb, redis_server).fresh())
    [mei] = phones(1, at=server)
    succeeded(await mei.login())
    mariadb.freeze()
    refused(await mei.me(), 503002)
    assert succeeded(await mei.request("GET", "/readyz")) == {"degraded": ["database"]}
    succeeded(await mei.verify())
    asked = await mei.wechat.asked()
    refused(await mei.login(), 503002)
    assert await mei.wechat.asked() == asked  # the code is not spent while its answer could not be used


@pytest.mark.gen_test
@pytest.mark.parametrize("given", ["abcdefgh", "ABC-123-def-456", "0" * 64])
async def test_a_good_request_id_is_kept(embedded: Product, phone: Phone, given: str) -> None:
    answer = await phone.request("GET", "/healthz", headers={"X-Request-Id": given})
    succeeded(answer)
    assert answer.headers["X-Request-Id"] == given
    await until(lambda: f"request {given}" in embedded.log())  # the line is written after the answer
    answer = await phone.request("POST", "/api/login", data=b" " * 17_000, headers={"X-Request-Id": given})
    refused(answer, 413001)
    assert answer.headers["X-Request-Id"] == given


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "given",
    ["", "short12", "x" * 65, "evil id here", "evil_id_here", 'evil"id"here', "<script>1</script>", "évil-id-here"],
)
async def test_a_request_id_that_could_forge_a_line_is_replaced(embedded: Product, given: str) -> None:
    answer = await exchange(embedded, request("GET", "/healthz", f"X-Request-Id: {given}"))
    succeeded(answer)
    assert answer.headers["X-Request-Id"] != given
    assert REQUEST_ID.fullmatch(answer.headers["X-Request-Id"])
    answer = await exchange(embedded, request("GET", "/healthz", f"X-Request-Id: {given}", "X-Request-Id: abcdefgh"))
    assert REQUEST_ID.fullmatch(answer.headers["X-Request-Id"])


@pytest.mark.gen_test
async def test_every_answer_has_an_id_of_its_own(embedded: Product, phone: Phone) -> None:
    ids = {(await phone.request("GET", "/healthz")).headers["X-Request-Id"] for _ in range(20)}
    assert len(ids) == 20


@pytest.mark.gen_test
async def test_other_hosts_are_refused_with_421001(make_server: Callable[..., Product]) -> None:
    server = make_server(ALLOWED_HOSTS="login.example.com,127.0.0.1")
    for host in ("login.example.com", "LOGIN.example.com", "login.example.com:443", "127.0.0.1"):
        succeeded(await exchange(server, request("GET", "/healthz", host=host)))
    for host in ("evil.example", "login.example.com.evil.example", "evil.login.example.com", "", "localhost", "[::1]"):
        answer = await exchange(server, request("GET", "/healthz", host=host))
        if host:
            refused(answer, 421001)
        assert answer.status in {400, 421}, host
        assert b"evil" not in answer.body
    told = "X-Forwarded-Host: login.example.com"
    refused(await exchange(server, request("GET", "/healthz", told, host="evil.example")), 421001)
    refused(await exchange(server, request("POST", "/api/login", body=b"{}", host="evil.example")), 421001)


@pytest.mark.gen_test
@pytest.mark.parametrize("setting", ["::1", "[::1]"])
async def test_a_host_may_be_an_ipv6_address(make_server: Callable[..., Product], setting: str) -> None:
    server = make_server(ALLOWED_HOSTS=setting)
    for host in ("[::1]", "[::1]:8000"):
        succeeded(await exchange(server, request("GET", "/healthz", host=host)))
    refused(await exchange(server, request("GET", "/healthz", host="[::2]")), 421001)


@pytest.mark.gen_test
async def test_who_asks_only_for_the_head_of_a_refusal_gets_no_body(embedded: Product) -> None:
    raw = await Raw.to(embedded)
    await raw.say(request("HEAD", "/api/%00"), request("GET", "/healthz"))
    answer = await raw.hear(body=False)
    assert (answer.status, int(answer.headers["Content-Length"]) > 0) == (404, True)
    succeeded(await raw.hear())
    await raw.close()


@pytest.mark.gen_test
async def test_the_door_writes_its_json_as_every_handler_does(embedded: Product) -> None:
    given = "X-Request-Id: same-id-in-both"
    of_the_door = await exchange(embedded, request("GET", "/api/%00", given))
    of_a_handler = await exchange(embedded, request("GET", "/api/nothing", given))
    assert of_the_door.body == of_a_handler.body


@pytest.mark.gen_test
async def test_a_target_that_names_another_host_leads_nowhere(embedded: Product) -> None:
    for target in (
        "http://evil.example/healthz",
        "http://127.0.0.1/healthz",
        "evil.example:443",
        "//evil.example/healthz",
    ):
        answer = await exchange(embedded, request("GET", target))
        assert answer.status in {200, 400, 404}, target
        assert b"evil" not in answer.body
        assert "Location" not in answer.headers


@pytest.mark.gen_test
async def test_one_connection_carries_refusals_and_successes_in_order(embedded: Product, phone: Phone) -> None:
    succeeded(await phone.login())
    bearer = f"Authorization: Bearer {phone.token}"
    raw = await Raw.to(embedded)
    await raw.say(
        request("GET", "/api/verify", bearer),
        request("POST", "/api/login", "Content-Type: text/plain", body=b"x" * 100),
        request("GET", "/api/nothing"),
        request("POST", "/api/login", "Content-Type: application/json", body=b"y" * 20_000),
        request("GET", "/api/verify"),
        request("GET", "/api/verify", bearer),
    )
    succeeded(await raw.hear())
    for errcode in (415001, 404001, 413001, 401001):
        refused(await raw.hear(), errcode)
    succeeded(await raw.hear())
    await raw.close()


@pytest.mark.gen_test
async def test_the_front_page_is_one_line_without_a_version(embedded: Product, phone: Phone) -> None:
    answer = await phone.request("GET", "/")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert "Server" not in answer.headers
    assert b"ornado" not in answer.body
    refused_answer = await phone.request("POST", "/")
    assert refused_answer.status == 405
    assert "Server" not in refused_answer.headers
    assert b"ornado" not in refused_answer.body


@pytest.mark.gen_test
async def test_api_status_wechat_sends_refusals_as_200_and_outages_as_they_are(
    make_server: Callable[..., Product], phones: Phones, wechat: WeChat
) -> None:
    server = make_server(API_STATUS="wechat", LOGIN_LIMIT=7, SIGNUP="closed")
    [mei] = phones(1, at=server)

    async def log_in(code: object) -> Answer:
        return await mei.request("POST", "/api/login", json={"code": code})

    refused(await log_in(1), 400001, sent_as=200, field="code")
    refused(await log_in("?"), 400003, sent_as=200)
    refused(await log_in(await mei.code()), 403004, sent_as=200)
    refused(await log_in("a" * 32), 40029, sent_as=200)
    refused(await mei.request("GET", "/api/me"), 401001, sent_as=200)
    mei.token = "mps_" + "0" * 43
    refused(await mei.verify(), 401002, sent_as=200)
    refused(await mei.request("GET", "/api/login"), 405001, sent_as=200)
    refused(await mei.request("GET", "/api/verify?token=x"), 400005, sent_as=200)
    await wechat.fault("busy", n=2)
    refused(await log_in(await mei.code()), 503003)
    answers = [await log_in(await mei.code()) for _ in range(16)]
    assert [answer.json["errcode"] for answer in answers if answer.status == 429]
    refused(next(answer for answer in answers if answer.status == 429), 429001)
    succeeded(await mei.request("GET", "/healthz"))


@pytest.fixture(scope="module")
def like_wechat(file_server: Callable[..., Product]) -> Product:
    """A server that sends its refusals as WeChat does."""
    return file_server(API_STATUS="wechat", ALLOWED_HOSTS="127.0.0.1")


@pytest.mark.gen_test
async def test_api_status_wechat_holds_for_what_the_door_refuses(like_wechat: Product, phones: Phones) -> None:
    [mei] = phones(1, at=like_wechat)
    refused(await mei.request("POST", "/api/login", data=b" " * 17_000), 413001, sent_as=200)
    headers = {"Content-Type": "text/plain"}
    refused(await mei.request("POST", "/api/login", data=b"x", headers=headers), 415001, sent_as=200)


@pytest.mark.gen_test
async def test_api_status_wechat_concerns_the_api_alone(like_wechat: Product) -> None:
    refused(await exchange(like_wechat, request("POST", "/healthz")), 405001)
    refused(await exchange(like_wechat, request("GET", "/healthz", host="evil.example")), 421001)
    refused(await exchange(like_wechat, request("GET", "/static/page.css", host="evil.example")), 421001)
    refused(await exchange(like_wechat, request("GET", "/static/%00")), 404001)
    refused(await exchange(like_wechat, request("GET", "/api/verify", host="evil.example")), 421001, sent_as=200)
    refused(await exchange(like_wechat, request("GET", "/api")), 404001, sent_as=200)
    assert (await exchange(like_wechat, request("GET", "/apiary"))).status == 404


@pytest.mark.gen_test
async def test_with_signup_closed_strangers_are_refused_and_the_known_come_in(
    make_server: Callable[..., Product], backend: Backend, phones: Phones
) -> None:
    stores = backend.fresh()
    server = make_server(**stores)
    [mei] = phones(1, at=server)
    known = succeeded(await mei.login())["user"]["id"]
    server.stop()
    closed = make_server(DATA_DIR=server.data_dir, SIGNUP="closed", **stores)
    [stranger] = phones(1, at=closed)
    mei.server = closed
    for _ in range(2):
        refused(await stranger.login(), 403004)
    body = succeeded(await mei.login())
    assert (body["user"]["id"], body["user"]["new"]) == (known, False)


@pytest.mark.gen_test
async def test_openid_and_unionid_are_told_only_when_a_setting_says_so(
    make_server: Callable[..., Product], embedded: Product, phones: Phones, wechat: WeChat
) -> None:
    await wechat.app(bound_open_platform=True)
    open_server = make_server(EXPOSE_OPENID="true")
    [mei] = phones(1, at=open_server)
    [lan] = phones(1)
    about = await wechat.user(mei.name)
    assert about["unionid"]
    for user in (succeeded(await mei.login())["user"], succeeded(await mei.me())):
        assert (user["openid"], user["unionid"]) == (about["openid"], about["unionid"])
    for answer in (await lan.login(), await lan.me(), await lan.verify(), await mei.verify()):
        succeeded(answer)
        assert b"openid" not in answer.body
        assert b"unionid" not in answer.body
    for answer in (await mei.login(), await mei.me(), await lan.login(), await lan.me()):
        assert b"session_key" not in answer.body


@pytest.mark.gen_test
async def test_wechats_high_risk_people_are_refused_for_good_and_kept_nowhere(
    server: Product, phone: Phone, wechat: WeChat
) -> None:
    await wechat.user(phone.name, blocked=True)
    refused(await phone.login(), 40226)
    await wechat.user(phone.name, blocked=False)
    assert succeeded(await phone.login())["user"]["new"] is True
