"""A proxy asks before it lets a request pass: Menshen's answer, and the site we ship in a real nginx."""

import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from nginx import Nginx, shipped
from other_side import Listener, saying
from phone import Answer, Network, Phone, WeChat
from product import APPID, Product
from servers import RedisServer

MakeServer = Callable[..., Product]
Phones = Callable[..., list[Phone]]
FORGED = {
    "X-WX-OPENID": "oForged",
    "X-WX-APPID": "wxforged",
    "X-WX-UNIONID": "uForged",
    "X-Menshen-User": "1",
    "X_WX_OPENID": "oForged",
    "x-menshen-user": "2",
}


MakeNginx = Callable[[int, int], Nginx]


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[MakeNginx]:
    """Start an nginx with our site: ``nginx(port_of_menshen, port_of_the_program)``."""
    made: list[Nginx] = []

    def make(menshen: int, behind: int) -> Nginx:
        site = shipped("forward-auth.conf", {"127.0.0.1:8000": menshen, "127.0.0.1:9000": behind})
        made.append(Nginx(tmp_path / "nginx", site))
        made[-1].start()
        return made[-1]

    yield make
    for each in made:
        each.stop()


@asynccontextmanager
async def your_program(status: int = 200, body: object = "yours") -> AsyncIterator[Listener]:
    """A program behind the proxy."""
    listener = Listener(saying(status, body))
    await listener.start()
    try:
        yield listener
    finally:
        await listener.stop()


async def with_bearer(network: Network, url: str, token: str, **headers: str) -> Answer:
    return await network.ask("GET", url, headers={"Authorization": f"Bearer {token}", **headers})


@pytest.mark.gen_test
async def test_it_is_off_unless_it_is_switched_on(embedded: Product, network: Network, phone: Phone) -> None:
    await phone.login()
    answer = await with_bearer(network, embedded.base + "/auth", phone.token)
    assert (answer.status, answer.json["errcode"]) == (404, 404001)


@pytest.mark.gen_test(timeout=60)
async def test_it_says_who_it_is_in_headers_and_never_answers_429(
    make_server: MakeServer, network: Network, phones: Phones, wechat: WeChat
) -> None:
    server = make_server(FORWARD_AUTH="true", UNKNOWN_TOKEN_LIMIT=3)
    [phone] = phones(1, at=server)
    await wechat.app(bound_open_platform=True)
    user = (await phone.login()).json["user"]["id"]
    answer = await with_bearer(network, server.base + "/auth", phone.token)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["X-WX-OPENID"] == await phone.openid()
    assert answer.headers["X-WX-APPID"] == APPID
    assert answer.headers["X-Menshen-User"] == str(user)
    assert answer.headers["X-WX-UNIONID"] == (await wechat.user(phone.name))["unionid"]
    for _ in range(10):
        refused = await with_bearer(network, server.base + "/auth", "mps_" + "x" * 43)
        assert (refused.status, refused.json["errcode"]) == (401, 401002)
    assert (await network.ask("GET", server.base + "/auth")).json["errcode"] == 401001
    assert (await with_bearer(network, server.base + "/auth?token=x", phone.token)).status == 400
    await phone.request("POST", "/api/logout", headers=phone.bearer)
    assert (await with_bearer(network, server.base + "/auth", phone.token)).status == 401


@pytest.mark.gen_test(timeout=60)
async def test_through_nginx_the_program_is_told_who_it_is_and_no_client_can_say_so_itself(
    make_server: MakeServer, network: Network, phones: Phones, nginx: MakeNginx
) -> None:
    server = make_server(FORWARD_AUTH="true", TRUSTED_PROXIES="127.0.0.1/32")
    async with your_program() as behind:
        site = nginx(server.port, behind.port)
        [phone] = phones(1, at=server)
        user = (await phone.login()).json["user"]["id"]
        answer = await with_bearer(network, f"{site.base}/orders?page=2", phone.token, **FORGED)
        assert (answer.status, answer.json) == (200, "yours")
        [heard] = behind.heard
        told = {name.lower(): value for name, value in heard.headers.items()}
        assert heard.path == "/orders?page=2"
        assert told["x-wx-openid"] == await phone.openid()
        assert told["x-wx-appid"] == APPID
        assert told["x-menshen-user"] == str(user)
        assert "x-wx-unionid" not in told
        assert "forged" not in str(heard.headers).lower()
        assert "x_wx_openid" not in told
        posted = await network.ask("POST", f"{site.base}/orders", headers=phone.bearer, body=b"x" * 5_000)
        assert posted.status == 200
        assert behind.heard[1].body == b"x" * 5_000


@pytest.mark.gen_test(timeout=60)
async def test_through_nginx_whoever_is_not_logged_in_gets_our_own_401(
    make_server: MakeServer, network: Network, phones: Phones, nginx: MakeNginx
) -> None:
    server = make_server(FORWARD_AUTH="true", TRUSTED_PROXIES="127.0.0.1/32")
    async with your_program() as behind:
        site = nginx(server.port, behind.port)
        without = await network.ask("GET", f"{site.base}/orders", headers=FORGED)
        unknown = await with_bearer(network, f"{site.base}/orders", "mps_" + "x" * 43)
        for answer, errcode in ((without, 401001), (unknown, 401002)):
            assert answer.status == 401
            assert answer.headers["Content-Type"].startswith("application/json")
            assert (answer.json["errcode"], answer.json["retry"]) == (errcode, "login")
            assert re.fullmatch(r"[0-9a-f]{16}", answer.json["request_id"])
            assert "Bearer" in answer.headers["WWW-Authenticate"]
        assert behind.heard == []
        for path in ("/_menshen_auth", "/auth", "/admin/", "/partner/introspect"):
            assert (await network.ask("GET", site.base + path)).status in (401, 404), path
        site.never_logged = server.never_logged
        [phone] = phones(1, at=site)
        assert (await phone.login()).status == 200
        await phone.request("POST", "/api/logout", headers=phone.bearer)
        assert (await with_bearer(network, f"{site.base}/orders", phone.token)).status == 401


@pytest.mark.gen_test(timeout=90)
async def test_through_nginx_an_outage_is_503_and_keeps_the_phone_from_logging_in_again(
    make_server: MakeServer,
    network: Network,
    phones: Phones,
    nginx: MakeNginx,
    redis_server: RedisServer,
) -> None:
    server = make_server(FORWARD_AUTH="true", TRUSTED_PROXIES="127.0.0.1/32", SESSIONS=redis_server.url())
    async with your_program() as behind:
        site = nginx(server.port, behind.port)
        [phone] = phones(1, at=server)
        await phone.login()
        redis_server.freeze()
        try:
            store_away = await with_bearer(network, f"{site.base}/orders", phone.token)
        finally:
            redis_server.thaw()
        server.kill()
        all_away = await with_bearer(network, f"{site.base}/orders", phone.token)
        for answer in (store_away, all_away):
            assert answer.status == 503
            assert (answer.json["errcode"], answer.json["retry"]) == (503001, "backoff")
            assert int(answer.headers["Retry-After"]) >= 1
        assert behind.heard == []


@pytest.mark.gen_test(timeout=60)
@pytest.mark.parametrize("status", [401, 403, 404, 500, 503])
async def test_through_nginx_what_the_program_itself_answers_goes_through_as_it_is(
    make_server: MakeServer, network: Network, phones: Phones, nginx: MakeNginx, status: int
) -> None:
    server = make_server(FORWARD_AUTH="true")
    async with your_program(status, {"own": status}) as behind:
        site = nginx(server.port, behind.port)
        [phone] = phones(1, at=server)
        await phone.login()
        answer = await with_bearer(network, f"{site.base}/orders", phone.token)
        assert (answer.status, answer.json) == (status, {"own": status})
