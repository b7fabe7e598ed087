"""One login, one question: what is asked, when it is asked again, who is turned away, and which connection it takes."""

import asyncio
import json
import socket
from urllib.parse import parse_qs, urlsplit

import pytest
from odd_servers import (
    GOOD,
    SECRET,
    Answer,
    asking,
    busy,
    cut,
    daily,
    good,
    http,
    log_in,
    odd_server,
    on_a_loop,
    raw,
    refused,
    reset,
    silence,
    used,
    wechat,
    wechat_that_says,
)

from wechat.answers import Identity
from wechat.errors import (
    CodeRefused,
    CodeUsed,
    WeChatBusy,
    WeChatSilent,
    WeChatTrouble,
    WeChatUnreachable,
    WeChatUnusable,
)

pytestmark = pytest.mark.quick


# What is asked


@on_a_loop
async def test_one_get_carries_the_four_parameters_once_each_and_nothing_of_ours() -> None:
    async with wechat_that_says(good) as (server, client):
        await log_in(client, code="x&appid=other&secret=other#?+% ü")
        line, *headers = server.requests[0].split("\r\n")
    method, target, _version = line.split(" ")
    assert method == "GET"
    assert urlsplit(target).path == "/sns/jscode2session"
    assert parse_qs(urlsplit(target).query, strict_parsing=True) == {
        "appid": ["wx1"],
        "secret": [SECRET],
        "js_code": ["x&appid=other&secret=other#?+% ü"],
        "grant_type": ["authorization_code"],
    }
    names = {header.split(":")[0].lower() for header in headers if header}
    assert names <= {"host", "accept", "accept-encoding", "user-agent"}
    assert "aiohttp" not in server.requests[0]


@on_a_loop
async def test_no_proxy_of_the_environment_is_told_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    async with odd_server(good) as proxy, wechat_that_says(good) as (server, client):
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.base)
        monkeypatch.delenv("no_proxy", raising=False)
        await log_in(client)
        assert (len(proxy.requests), len(server.requests)) == (0, 1)


@on_a_loop
async def test_a_cookie_of_wechat_is_not_sent_back() -> None:
    async with wechat_that_says(http(b"{}", "200 OK", "Set-Cookie: a=b")) as (server, client):
        await log_in(client)
        await log_in(client)
        assert "cookie" not in server.requests[1].lower()


@on_a_loop
async def test_an_appid_that_is_not_ours_is_a_key_error_and_nobody_is_asked() -> None:
    async with wechat_that_says(good) as (server, client):
        with pytest.raises(KeyError):
            await log_in(client, appid="wx9")
        assert server.requests == []


# Asking once more, or not


@on_a_loop
async def test_busy_once_is_repeated_after_a_breath() -> None:
    async with wechat_that_says(busy, good) as (server, client):
        started = asyncio.get_running_loop().time()
        assert isinstance(await log_in(client), Identity)
        assert asyncio.get_running_loop().time() - started > 0.2
        assert len(server.requests) == 2


@on_a_loop
async def test_busy_shortly_before_the_deadline_is_not_repeated() -> None:
    async with wechat_that_says(busy, good) as (server, client):
        assert isinstance(await log_in(client, seconds=0.4), WeChatBusy)
        assert len(server.requests) == 1


AFTER_BUSY = {"used": (used, CodeUsed), "refused": (refused, CodeRefused), "busy": (busy, WeChatBusy)}


@pytest.mark.parametrize(("then", "kind"), AFTER_BUSY.values(), ids=AFTER_BUSY)
@on_a_loop
async def test_after_busy_the_second_answer_counts(then: Answer, kind: type[WeChatTrouble]) -> None:
    async with wechat_that_says(busy, then) as (server, client):
        trouble = await log_in(client)
        assert isinstance(trouble, kind)
        assert trouble.code_spent
        assert len(server.requests) == 2


@on_a_loop
async def test_a_quota_met_after_busy_does_not_promise_that_the_code_is_unspent() -> None:
    async with wechat_that_says(busy, daily) as (_server, client):
        trouble = await log_in(client)
        assert isinstance(trouble, WeChatBusy)
        assert (trouble.errcode, trouble.code_spent) == (45009, True)


@on_a_loop
async def test_a_wechat_that_goes_away_after_busy_leaves_the_code_perhaps_spent() -> None:
    async def busy_and_gone(writer: asyncio.StreamWriter) -> None:
        await http(b'{"errcode":-1}', "200 OK", "Connection: close")(writer)
        server.shut()

    async with wechat_that_says(busy_and_gone) as (server, client):
        trouble = await log_in(client)
        assert isinstance(trouble, WeChatBusy)
        assert trouble.code_spent
        assert len(server.requests) == 1


@pytest.mark.parametrize("end", [cut, reset, raw(b"HTTP/1.1 20", close=True)], ids=["cut", "reset", "half a line"])
@on_a_loop
async def test_a_question_cut_on_a_kept_connection_is_never_sent_again(end: Answer) -> None:
    async with wechat_that_says(good, good, end, good) as (server, client):
        assert isinstance(await log_in(client), Identity)
        assert isinstance(await log_in(client), Identity)
        trouble = await log_in(client)
        assert isinstance(trouble, WeChatUnusable)
        assert trouble.code_spent
        assert len(server.requests) == 3
        assert server.connections == 1


@on_a_loop
async def test_a_kept_connection_that_wechat_closed_in_the_meantime_costs_nobody_a_login() -> None:
    async def good_and_close(writer: asyncio.StreamWriter) -> None:
        await good(writer)
        asyncio.get_running_loop().call_later(0.05, writer.close)

    async with wechat_that_says(good_and_close) as (server, client):
        for _ in range(3):
            assert isinstance(await log_in(client), Identity)
            await asyncio.sleep(0.15)
        assert (len(server.requests), server.connections) == (3, 3)


@on_a_loop
async def test_a_refused_connection_is_tried_once_more_and_finds_the_wechat_that_came_back() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]

    async def come_back() -> asyncio.Server:
        await asyncio.sleep(0.1)

        async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await good(writer)
            writer.close()

        return await asyncio.start_server(answer, "127.0.0.1", port)

    async with asking(f"http://127.0.0.1:{port}") as client:
        outcome, server = await asyncio.gather(log_in(client), come_back())
    server.close()
    assert isinstance(outcome, Identity)


@pytest.mark.parametrize("seconds", [3.0, 0.2])
@on_a_loop
async def test_nobody_at_home_is_unreachable_with_the_code_unspent(seconds: float) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    async with asking(f"http://127.0.0.1:{port}") as client:
        trouble = await log_in(client, seconds=seconds)
    assert isinstance(trouble, WeChatUnreachable)
    assert (trouble.code_spent, trouble.why) == (False, "ECONNREFUSED")


@on_a_loop
async def test_a_name_without_an_address_is_unreachable() -> None:
    async with asking("http://nobody.invalid") as client:
        trouble = await log_in(client)
    assert isinstance(trouble, WeChatUnreachable)
    assert not trouble.code_spent


@on_a_loop
async def test_a_port_that_takes_no_connection_is_unreachable_by_the_deadline() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]  # they fill the queue of connections nobody accepts
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        async with asking(f"http://127.0.0.1:{full.getsockname()[1]}") as client:
            started = asyncio.get_running_loop().time()
            trouble = await log_in(client, seconds=0.4)
            assert asyncio.get_running_loop().time() - started < 3 * 0.4
        for one in waiting:
            one.close()
    assert isinstance(trouble, WeChatUnreachable)
    assert not trouble.code_spent


@on_a_loop
async def test_a_deadline_that_has_passed_sends_nothing() -> None:
    async with wechat_that_says(good) as (server, client):
        trouble = await log_in(client, seconds=-1)
        assert isinstance(trouble, WeChatUnreachable)
        assert not trouble.code_spent
        assert server.requests == []


# The cap


@on_a_loop
async def test_over_the_cap_a_login_is_refused_at_once_and_nothing_queues() -> None:
    async with wechat_that_says(silence, open_logins=20) as (server, client):
        waiting = [asyncio.create_task(log_in(client, seconds=2.0)) for _ in range(20)]
        await server.until_asked(20)
        assert client.waiting == 20
        over = await asyncio.gather(*(log_in(client) for _ in range(20)))
        assert not any(each.done() for each in waiting)  # nobody was kept until one of them went
        assert all(isinstance(trouble, WeChatBusy) and not trouble.code_spent for trouble in over)
        assert len(server.requests) == 20
        assert all(isinstance(trouble, WeChatSilent) for trouble in await asyncio.gather(*waiting))
        assert client.waiting == 0


@on_a_loop
async def test_a_caller_who_goes_away_frees_the_place() -> None:
    async with wechat_that_says(silence, good, open_logins=1) as (server, client):
        gone = asyncio.create_task(log_in(client))
        await server.until_asked(1)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert client.waiting == 0
        assert isinstance(await log_in(client), Identity)


# Connections


@on_a_loop
async def test_two_hundred_logins_in_a_row_share_one_connection() -> None:
    async with wechat_that_says(good) as (server, client):
        for _ in range(200):
            assert isinstance(await log_in(client), Identity)
        assert (len(server.requests), server.connections) == (200, 1)


@on_a_loop
async def test_a_connection_is_not_used_again_after_an_unusable_answer() -> None:
    late = http(b'{"openid": "somebody-else"}')

    async def two_answers(writer: asyncio.StreamWriter) -> None:
        await http(b"oops")(writer)
        await late(writer)

    async with wechat_that_says(two_answers, good) as (_server, client):
        assert isinstance(await log_in(client), WeChatUnusable)
        await asyncio.sleep(0.05)
        person = await log_in(client)
        assert isinstance(person, Identity)
        assert person.openid == GOOD["openid"]


@on_a_loop
async def test_an_answer_that_nobody_asked_for_is_nobodys() -> None:
    second = json.dumps(GOOD | {"openid": "o-somebody-else"}).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b"
    first = json.dumps(GOOD).encode()
    two_at_once = raw(head % (len(first), first) + head % (len(second), second))
    async with wechat_that_says(two_at_once, good) as (server, client):
        for _ in range(2):
            person = await log_in(client)
            assert isinstance(person, Identity)
            assert person.openid == GOOD["openid"]
        assert server.connections == 2


@on_a_loop
async def test_a_connection_that_was_idle_for_long_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wechat.connections.IDLE_SECONDS", 0.2)
    async with wechat_that_says(good) as (server, client):
        for _ in range(2):
            assert isinstance(await log_in(client), Identity)
        assert server.connections == 1
        await asyncio.sleep(0.5)
        assert all(writer.is_closing() or writer.transport.is_closing() for writer in server.writers)
        assert isinstance(await log_in(client), Identity)
        assert server.connections == 2


@on_a_loop
async def test_an_address_that_does_not_answer_costs_a_moment_and_no_login(monkeypatch: pytest.MonkeyPatch) -> None:
    async with wechat_that_says(good) as (server, _):
        port = urlsplit(server.base).port or 0
        with socket.socket() as full:
            full.bind(("127.0.0.2", port))
            full.listen(0)
            waiting = [socket.socket() for _ in range(4)]  # they fill the queue of connections nobody accepts
            for one in waiting:
                one.setblocking(False)
                one.connect_ex(full.getsockname())
            found = [
                (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))
                for address in ("127.0.0.2", "127.0.0.1")
            ]
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_named: found)
            async with asking(f"http://wechat.invalid:{port}") as client:
                assert isinstance(await log_in(client), Identity)
            for one in waiting:
                one.close()


@on_a_loop
async def test_an_answer_that_comes_too_late_never_reaches_the_next_person() -> None:
    async def late(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.3)
        await wechat(**GOOD | {"openid": "o-the-first-person"})(writer)

    async with wechat_that_says(late, wechat(**GOOD | {"openid": "o-the-second-person"})) as (_server, client):
        assert isinstance(await log_in(client, seconds=0.1), WeChatSilent)
        await asyncio.sleep(0.3)
        person = await log_in(client)
        assert isinstance(person, Identity)
        assert person.openid == "o-the-second-person"
