"""The example's mini program under Node, with a `wx` that behaves as documented, against the real server."""

import asyncio
import re
import secrets
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from odd_servers import http, odd_server
from phone import Network, WeChat
from product import ROOT, Product
from servers import RedisServer, program
from shell import done, settings_of

import actions
import process
from actions import Actor
from examples.mini_program import MakeMiniProgram, MiniProgram, Refused

EXAMPLE = ROOT / "examples" / "miniprogram"
LOGGED_OUT = "logged out"
MakeServer = Callable[..., Product]


def somebody() -> str:
    return f"person-{secrets.token_hex(6)}"


async def revoked(server: Product, wechat: WeChat, person: str) -> None:
    openid = (await wechat.user(person))["openid"]
    await done(server, "sessions", "revoke-user", openid)


async def blocked(server: Product, user_id: int) -> None:
    async with process.opened(settings_of(server)) as backend:
        await actions.block(backend, Actor("shell:test"), await backend.users.find(user_id), reason="spam")


async def verifies(network: Network, server: Product, token: str) -> bool:
    answer = await network.ask("GET", f"{server.base}/api/verify", headers={"Authorization": f"Bearer {token}"})
    return answer.status == 200


async def waiting(phone: MiniProgram, times: int) -> bool:
    return len(await phone.seen("waits")) == times


async def ended(phone: MiniProgram) -> bool:
    await phone.request("/api/verify")
    return bool(await phone.seen("ended"))


async def until(happened: Callable[[], Awaitable[bool]]) -> None:
    """Return when it has happened; the test's own time bounds it."""
    while not await happened():  # noqa: ASYNC110  # what is waited for is another process
        await asyncio.sleep(0.05)


class TestLoggingIn:
    @pytest.mark.gen_test
    async def test_the_first_request_logs_in_and_the_token_is_kept(
        self, server: Product, mini_program: MakeMiniProgram
    ) -> None:
        phone = await mini_program(server)
        me = await phone.request("/api/me")
        token = await phone.token()
        server.never_logged.add(token)
        assert re.fullmatch(r"mps_[\w-]{43}", token)
        await phone.do("restart")
        assert (await phone.request("/api/verify"))["user_id"] == me["id"]
        assert await phone.seen("logins") == 1

    @pytest.mark.gen_test
    async def test_requests_that_start_together_share_one_login(
        self, embedded: Product, mini_program: MakeMiniProgram, wechat: WeChat
    ) -> None:
        phone = await mini_program(embedded)
        answers = await phone.do("many", options={"url": "/api/me"}, times=10)
        assert len({answer["id"] for answer in answers}) == 1
        assert await phone.seen("logins") == 1
        assert await wechat.asked() == 1

    @pytest.mark.gen_test
    async def test_a_code_that_wechat_refuses_is_followed_by_one_fresh_one(
        self, embedded: Product, mini_program: MakeMiniProgram, wechat: WeChat
    ) -> None:
        phone = await mini_program(embedded)
        await wechat.fault(40029)
        assert (await phone.request("/api/me"))["errcode"] == 0
        assert await phone.seen("logins") == 2

    @pytest.mark.gen_test
    async def test_logging_in_that_keeps_failing_is_tried_once_a_minute(
        self, embedded: Product, mini_program: MakeMiniProgram, wechat: WeChat
    ) -> None:
        phone = await mini_program(embedded)
        await wechat.fault(40029, n=20)
        told = await phone.refused("/api/me")
        assert (told["errcode"], told["retry"]) == (40029, "login")
        for _ in range(5):
            told = await phone.refused("/api/me")
            assert told["retry"] == "backoff"
            assert 50 < told["retryAfterSeconds"] <= 90
        assert await phone.seen("logins") == 2
        for minutes in (1, 2, 3):
            await phone.do("later", seconds=91)
            await phone.do("manyTried", options={"url": "/api/me"}, times=10)
            assert await phone.seen("logins") == 2 + minutes
        await wechat.reset()
        await phone.do("later", seconds=91)
        assert (await phone.request("/api/me"))["errcode"] == 0
        await phone.do("logout")
        await wechat.fault(40029)
        assert (await phone.do("login"))["id"]  # what failed long ago is forgotten: a fresh code follows at once

    @pytest.mark.gen_test
    async def test_a_wx_login_that_fails_is_told_as_backoff(
        self, embedded: Product, mini_program: MakeMiniProgram
    ) -> None:
        phone = await mini_program(embedded)
        await phone.do("failingLogins", times=1)
        told = await phone.refused("/api/me")
        assert (told["retry"], told["status"], told["message"]) == ("backoff", 0, "login:fail")
        await phone.do("later", seconds=60)
        assert (await phone.request("/api/me"))["errcode"] == 0


class TestEndedSessions:
    @pytest.mark.gen_test
    async def test_after_a_revocation_the_page_hears_why_and_the_person_is_logged_in_again(
        self, server: Product, mini_program: MakeMiniProgram, wechat: WeChat
    ) -> None:
        person = somebody()
        phone = await mini_program(server, person)
        me = await phone.request("/api/me")
        await revoked(server, wechat, person)
        answers = await phone.do("many", options={"url": "/api/me"}, times=10)
        assert {answer["id"] for answer in answers} == {me["id"]}
        assert await phone.seen("ended") == ["revoked"]
        assert await phone.seen("logins") == 2

    @pytest.mark.gen_test
    async def test_a_page_may_leave_it_to_the_person_to_log_in_again(
        self, embedded: Product, mini_program: MakeMiniProgram, wechat: WeChat
    ) -> None:
        person = somebody()
        phone = await mini_program(embedded, person)
        await phone.request("/api/me")
        await phone.do("decline")
        await revoked(embedded, wechat, person)
        assert (await phone.refused("/api/me"))["retry"] == "login"
        assert await phone.seen("logins") == 1
        await phone.do("login")
        assert (await phone.request("/api/me"))["errcode"] == 0

    @pytest.mark.gen_test
    async def test_a_session_that_another_phone_replaced_or_that_ran_out_says_so(
        self, make_server: MakeServer, mini_program: MakeMiniProgram
    ) -> None:
        product, person = make_server(SESSIONS_PER_USER=1, SESSION_SECONDS=2), somebody()
        old, new = await mini_program(product, person), await mini_program(product, person)
        await old.request("/api/me")
        await new.request("/api/me")
        await old.do("decline")
        await old.refused("/api/me")
        assert await old.seen("ended") == ["replaced"]
        await until(lambda: ended(new))
        assert await new.seen("ended") == ["expired"]

    @pytest.mark.gen_test
    async def test_somebody_who_is_kept_out_is_told_so_and_does_not_try_again_and_again(
        self, embedded: Product, mini_program: MakeMiniProgram
    ) -> None:
        phone = await mini_program(embedded)
        me = await phone.request("/api/me")
        await blocked(embedded, me["id"])
        for _ in range(5):
            told = await phone.refused("/api/me")
            assert (told["errcode"], told["retry"]) == (403003, "never")
        assert await phone.seen("ended") == ["blocked"]
        assert await phone.seen("logins") == 2

    @pytest.mark.gen_test
    async def test_a_server_that_refuses_what_it_just_gave_causes_no_storm(
        self, embedded: Product, mini_program: MakeMiniProgram
    ) -> None:
        given = http(b'{"errcode":0,"errmsg":"ok","token":"mps_x","user":{}}')
        taken = http(b'{"errcode":401002,"errmsg":"session is not valid","retry":"login"}', "401 Unauthorized")
        async with odd_server(given, taken, given, taken) as forgetful:
            phone = await mini_program(forgetful)
            for _ in range(10):
                await phone.refused("/api/me")
            assert len(forgetful.requests) == 4
        assert await phone.seen("logins") == 2


class TestOutages:
    @pytest.mark.gen_test
    async def test_a_redis_that_is_away_costs_nobody_the_token(
        self, make_server: MakeServer, mini_program: MakeMiniProgram, own_redis: RedisServer, network: Network
    ) -> None:
        product = make_server(SESSIONS=own_redis.url())
        phone = await mini_program(product)
        await phone.request("/api/me")
        token = await phone.token()
        own_redis.stop()
        told = await phone.refused("/api/verify")
        assert (told["status"], told["errcode"], told["retry"]) == (503, 503001, "backoff")
        waits = await phone.seen("waits")
        assert len(waits) == 2
        assert all(1000 <= each <= 1500 for each in waits)  # Retry-After: 1, and up to half of it more
        await phone.do("holdWaits")
        again = asyncio.create_task(phone.request("/api/verify"))
        await until(lambda: waiting(phone, 3))
        own_redis.start()
        await until(lambda: verifies(network, product, token))
        await phone.do("letGo")
        assert (await again)["errcode"] == 0
        assert await phone.token() == token
        assert await phone.seen("logins") == 1
        assert await phone.seen("ended") == []

    @pytest.mark.gen_test
    async def test_while_nobody_can_log_in_wx_login_is_called_twice_and_then_once_a_minute(
        self, make_server: MakeServer, mini_program: MakeMiniProgram, own_redis: RedisServer
    ) -> None:
        phone = await mini_program(make_server(SESSIONS=own_redis.url()))
        own_redis.stop()
        for _ in range(3):
            told = await phone.do("manyTried", options={"url": "/api/me"}, times=10)
            assert {each["retry"] for each in told} == {"backoff"}
        assert await phone.seen("logins") == 2
        await phone.do("later", seconds=91)
        await phone.refused("/api/me")
        assert await phone.seen("logins") == 3

    @pytest.mark.gen_test
    async def test_answers_of_others_in_between_are_no_success_and_no_reason_to_log_in(
        self, embedded: Product, mini_program: MakeMiniProgram
    ) -> None:
        answers = [
            http(b"<h1>401 from a proxy</h1>", "401 Unauthorized"),
            http(b"<h1>Welcome to our Wi-Fi</h1>"),
            http(b"null"),
            http(b'{"retry":"surely"}', "502 Bad Gateway"),
            http(b"{}", "503 Service Unavailable", "Retry-After: 3600"),
        ]
        async with odd_server(*answers) as in_between:
            phone = await mini_program(in_between)
            await phone.do("store", token="mps_kept")
            for status in (401, 200, 200, 502, 503):
                told = await phone.refused("/api/me")
                assert (told["status"], told["retry"]) == (status, "backoff")
            assert told["retryAfterSeconds"] == 3600
            assert await phone.token() == "mps_kept"
            assert await phone.seen("logins") == 0
            assert await phone.seen("waits") == []
        told = await phone.refused("/api/me")
        assert (told["status"], told["retry"]) == (0, "backoff")

    @pytest.mark.gen_test
    async def test_retry_after_is_read_however_the_phone_spells_it(
        self, embedded: Product, mini_program: MakeMiniProgram
    ) -> None:
        busy = http(b'{"errcode":429001,"retry":"backoff"}', "429 Too Many Requests", "retry-after: 4")
        async with odd_server(busy) as server:
            phone = await mini_program(server, TITLE_CASE="yes")
            await phone.do("store", token="mps_kept")
            await phone.refused("/api/me")
            assert [4 <= each / 1000 <= 6 for each in await phone.seen("waits")] == [True, True]


class TestOnAPc:
    @pytest.mark.gen_test
    async def test_with_api_status_wechat_a_revocation_is_noticed(
        self, make_server: MakeServer, mini_program: MakeMiniProgram, wechat: WeChat
    ) -> None:
        product, person = make_server(API_STATUS="wechat"), somebody()
        phone = await mini_program(product, person, PC="yes")
        await phone.request("/api/me")
        await revoked(product, wechat, person)
        assert (await phone.request("/api/me"))["errcode"] == 0
        assert await phone.seen("ended") == ["revoked"]

    @pytest.mark.gen_test
    async def test_without_it_a_hidden_401_is_taken_for_a_lost_network_and_causes_no_storm(
        self, embedded: Product, mini_program: MakeMiniProgram, wechat: WeChat
    ) -> None:
        person = somebody()
        phone = await mini_program(embedded, person, PC="yes")
        await phone.request("/api/me")
        await revoked(embedded, wechat, person)
        told = await phone.refused("/api/me")
        assert (told["status"], told["retry"]) == (0, "backoff")
        assert await phone.seen("logins") == 1


class TestLoggingOut:
    @pytest.mark.gen_test
    async def test_after_it_nothing_logs_in_until_the_person_does(
        self, server: Product, mini_program: MakeMiniProgram
    ) -> None:
        phone = await mini_program(server)
        me = await phone.request("/api/me")
        token = await phone.token()
        await phone.do("logout")
        assert await phone.token() == LOGGED_OUT
        await phone.do("restart")
        told = await phone.refused("/api/me")
        assert (told["message"], told["retry"]) == (LOGGED_OUT, "login")
        assert (await phone.do("login"))["id"] == me["id"]
        assert await phone.token() not in (token, LOGGED_OUT)
        await phone.do("store", token=token)
        await phone.request("/api/me")
        assert await phone.seen("ended") == ["logged_out"]

    @pytest.mark.gen_test
    async def test_one_that_failed_is_told_and_the_token_is_kept(
        self, make_server: MakeServer, mini_program: MakeMiniProgram, own_redis: RedisServer
    ) -> None:
        phone = await mini_program(make_server(SESSIONS=own_redis.url()))
        await phone.request("/api/me")
        token = await phone.token()
        own_redis.stop()
        with pytest.raises(Refused) as refused:
            await phone.do("logout")
        assert refused.value.told["errcode"] == 503001
        assert await phone.token() == token

    @pytest.mark.gen_test
    async def test_the_token_goes_to_no_address_that_is_not_trusted(
        self, embedded: Product, mini_program: MakeMiniProgram
    ) -> None:
        phone = await mini_program(embedded)
        for url in ("http://127.0.0.1:9/shopping", "http://127.0.0.1:9/", "https://shop.example.com/"):
            assert "is not for" in (await phone.refused(url))["message"]
        before = await phone.seen("requests")
        assert (await phone.refused("http://127.0.0.1:9/shop/cart"))["status"] == 0  # nobody listens there
        assert await phone.seen("requests") == before + 1


class TestThePage:
    @pytest.mark.gen_test
    async def test_it_shows_who_and_where_and_logs_out_and_in_again(
        self, embedded: Product, mini_program: MakeMiniProgram
    ) -> None:
        person = somebody()
        other, phone = await mini_program(embedded, person), await mini_program(embedded, person)
        me = await other.request("/api/me")
        data = await phone.do("openPage")
        assert data["me"]["id"] == me["id"]
        assert sorted(each["current"] for each in data["sessions"]) == [False, True]
        [elsewhere] = [each["id"] for each in data["sessions"] if not each["current"]]
        data = await phone.do("tap", handler="revoke", dataset={"id": elsewhere})
        assert [each["current"] for each in data["sessions"]] == [True]
        await other.request("/api/me")
        assert await other.seen("ended") == ["revoked"]
        data = await phone.do("tap", handler="logout")
        assert (data["me"], data["loggedOut"]) == (None, True)
        data = await phone.do("tap", handler="login")
        assert data["me"]["id"] == me["id"]
        await blocked(embedded, me["id"])
        data = await phone.do("tap", handler="refresh")
        assert data["message"] == "你的账号已被停用"
        assert await phone.do("toasts") == ["你的账号已被停用"]

    def test_every_tap_has_its_handler_and_every_page_its_files(self) -> None:
        page = EXAMPLE / "pages" / "index" / "index"
        handlers = re.findall(r'bind\w+="(\w+)"', page.with_suffix(".wxml").read_text("utf-8"))
        assert set(handlers) == {"login", "logout", "refresh", "revoke"}
        code = page.with_suffix(".js").read_text("utf-8")
        assert [name for name in handlers if f"  {name}(" not in code] == []
        assert '"pages/index/index"' in (EXAMPLE / "app.json").read_text("utf-8")

    def test_it_is_what_wechat_s_own_typings_allow(self, node_packages: Path) -> None:
        options = [
            "--allowJs",
            "--checkJs",
            "--noEmit",
            "--target",
            "es2017",
            "--lib",
            "es2017",
            "--module",
            "commonjs",
        ]
        types = ["--typeRoots", str(node_packages), "--types", "miniprogram-api-typings"]
        files = [str(EXAMPLE / name) for name in ("menshen.js", "config.js", "app.js", "pages/index/index.js")]
        command = [str(program("node")), str(node_packages / "typescript" / "bin" / "tsc"), *options, *types, *files]
        checked = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert checked.returncode == 0, checked.stdout
        assert len((EXAMPLE / "menshen.js").read_text("utf-8").splitlines()) <= 200
