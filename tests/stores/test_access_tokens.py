"""The shared access_token: eight servers on one store ask WeChat once, renew it early, and never in a loop."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest
from odd_servers import App, Hidden, in_seconds
from simulated import simulated

from actions.access_tokens import SharedTokens
from settings import MysqlUrl, SqliteUrl
from stores.access_tokens import AccessTokens
from stores.db import open_database
from wechat.client import WeChat
from wechat.crypto import Seal
from wechat.errors import WeChatBusy, WeChatMisconfigured, WeChatTrouble
from wechat.simulator import DEFAULT_APPID, DEFAULT_SECRET

pytest_plugins = ["store_fixtures"]
pytestmark = pytest.mark.gen_test(timeout=60)

PATH = "/cgi-bin/stable_token"
APPID = DEFAULT_APPID
KEY = bytes(range(32))
Control = Callable[..., Awaitable[dict[str, object]]]


@pytest.fixture(
    params=[pytest.param("sqlite_file", marks=pytest.mark.quick), "empty_mariadb"], ids=["sqlite", "mariadb"]
)
def where(request: pytest.FixtureRequest) -> SqliteUrl | MysqlUrl:
    """Where the store is, empty."""
    found: SqliteUrl | MysqlUrl = request.getfixturevalue(request.param)
    return found


class Clock:
    """The epoch as servers and WeChat see it; a test moves both."""

    ahead = 0

    def __call__(self) -> int:
        return int(time.time()) + self.ahead


@dataclass
class Room:
    """Some servers on one store, in front of one WeChat."""

    servers: list[SharedTokens]
    kept: AccessTokens
    control: Control
    clock: Clock

    async def asked(self) -> int:
        """How often WeChat was asked for a token."""
        counts = (await self.control("log"))["counts"]
        assert isinstance(counts, dict)
        return int(counts.get(PATH, 0))

    async def all_ask(self) -> list[str]:
        """What every server has when they all want it at once."""
        return await asyncio.gather(*(each.token(APPID, in_seconds(10)) for each in self.servers))

    async def pass_by(self, seconds: int) -> None:
        """Let that much time go by, for everybody."""
        self.clock.ahead += seconds
        await self.control("clock", advance=seconds)


@asynccontextmanager
async def room(where: SqliteUrl | MysqlUrl, servers: int = 8, key: bytes = KEY) -> AsyncIterator[Room]:
    """That many servers, each with its own connections to the store and to WeChat."""
    async with simulated() as wechat, AsyncExitStack() as stack:
        clock, made = Clock(), []
        for _ in range(servers):
            db = open_database(where)
            await db.start()
            stack.push_async_callback(db.close)
            client = WeChat(wechat.base, {APPID: App(Hidden(DEFAULT_SECRET))}, 10)
            stack.push_async_callback(client.close)
            made.append(SharedTokens(AccessTokens(db), Seal({1: key}, 1), client, clock))
        for each in made:
            stack.push_async_callback(each.land)
        yield Room(made, AccessTokens(db), wechat.control, clock)


async def test_eight_servers_that_want_it_at_once_ask_wechat_once(where: SqliteUrl | MysqlUrl) -> None:
    async with room(where) as here:
        first = [token for _ in range(3) for token in await here.all_ask()]
        assert len(set(first)) == 1
        assert await here.asked() == 1


async def test_a_hundred_calls_in_one_server_share_one_question(where: SqliteUrl | MysqlUrl) -> None:
    async with room(where, 1) as here:
        tokens = await asyncio.gather(*(here.servers[0].token(APPID, in_seconds(10)) for _ in range(100)))
        assert len(set(tokens)) == 1
        assert await here.asked() == 1


async def test_eight_servers_renew_it_once_before_its_end_and_the_old_one_still_works_then(
    where: SqliteUrl | MysqlUrl,
) -> None:
    async with room(where) as here:
        [old] = set(await here.all_ask())
        await here.pass_by(7_200 - 301)
        assert set(await here.all_ask()) == {old}
        assert await here.asked() == 1
        await here.pass_by(301 - 150)
        tokens = await here.all_ask()
        tokens += await here.all_ask()
        assert len(set(tokens) - {old}) == 1
        assert await here.asked() == 2


async def test_one_that_is_over_is_replaced_by_one_question_of_eight_servers(where: SqliteUrl | MysqlUrl) -> None:
    async with room(where) as here:
        [old] = set(await here.all_ask())
        await here.pass_by(7_201)
        [new] = set(await here.all_ask())
        assert new != old
        assert await here.asked() == 2


async def test_after_somebody_else_s_forced_refresh_eight_servers_ask_once(where: SqliteUrl | MysqlUrl) -> None:
    async with room(where) as here:
        [old] = set(await here.all_ask())
        await here.control("steal_token", kind="stable")
        newer = await asyncio.gather(*(each.newer(APPID, old, in_seconds(10)) for each in here.servers))
        assert len(set(newer)) == 1
        assert newer[0] != old
        assert await here.asked() == 2


async def test_a_classic_token_fetched_elsewhere_leaves_ours_alone(where: SqliteUrl | MysqlUrl) -> None:
    async with room(where, 2) as here:
        [old] = set(await here.all_ask())
        await here.control("steal_token")
        await here.pass_by(400)
        assert set(await here.all_ask()) == {old}


async def test_one_that_is_refused_and_given_all_the_same_is_not_asked_for_again_at_once(
    where: SqliteUrl | MysqlUrl,
) -> None:
    async with room(where, 1) as here:
        server = here.servers[0]
        token = await server.token(APPID, in_seconds(10))
        for _ in range(10):
            assert await server.newer(APPID, token, in_seconds(10)) == token
        assert await here.asked() <= 4  # once at first, once now, and again only after seconds


async def test_a_forced_refresh_kills_the_old_one_and_is_heard_of_by_every_server(where: SqliteUrl | MysqlUrl) -> None:
    async with room(where) as here:
        [old] = set(await here.all_ask())
        assert await here.servers[0].forced(APPID)
        newer = await asyncio.gather(*(each.newer(APPID, old, in_seconds(10)) for each in here.servers))
        assert set(newer) == {await here.servers[0].token(APPID, in_seconds(10))}
        assert old not in newer
        assert await here.asked() == 2
        assert not await here.servers[1].forced(APPID)  # WeChat allows it every thirty seconds


async def test_while_wechat_is_away_a_good_token_serves_on_and_without_one_there_is_a_clear_word(
    where: SqliteUrl | MysqlUrl,
) -> None:
    async with room(where) as here:
        await here.control("fault", kind="busy", path=PATH, probability=1)
        outcomes = await asyncio.gather(
            *(each.token(APPID, in_seconds(10)) for each in here.servers), return_exceptions=True
        )
        assert {type(each) for each in outcomes} == {WeChatBusy}
        assert await here.asked() == 1
        await here.control("reset")
        await here.pass_by(10)
        [old] = set(await here.all_ask())
        await here.control("fault", kind="http_500", path=PATH, probability=1)
        await here.pass_by(7_200 - 120)
        assert set(await here.all_ask()) == {old}
        assert await here.asked() == 2


@pytest.mark.parametrize(
    ("kind", "trouble"),
    [("40164", WeChatMisconfigured), ("40125", WeChatMisconfigured), ("45009", WeChatBusy), ("html", WeChatTrouble)],
)
async def test_what_wechat_refuses_reaches_whoever_asked(
    where: SqliteUrl | MysqlUrl, kind: str, trouble: type[WeChatTrouble]
) -> None:
    async with room(where, 1) as here:
        await here.control("fault", kind=kind, path=PATH)
        with pytest.raises(trouble) as told:
            await here.servers[0].token(APPID, in_seconds(10))
        assert DEFAULT_SECRET not in str(told.value)


async def test_a_server_that_dies_while_it_is_at_it_holds_the_others_up_for_seconds_only(
    where: SqliteUrl | MysqlUrl,
) -> None:
    async with room(where, 2) as here:
        empty, now = await here.kept.find(APPID), here.clock()
        assert await here.kept.claim(empty, "a server that died", now, now + 2)
        assert not await here.kept.claim(empty, "another", now, now + 2)
        assert len(set(await here.all_ask())) == 1
        assert await here.asked() == 1
        assert not await here.kept.keep(APPID, "a server that died", b"late", now, now + 7_200)


async def test_the_token_lies_sealed_in_the_store_and_opens_with_our_key_alone(where: SqliteUrl | MysqlUrl) -> None:
    async with room(where, 1) as here:
        token = await here.servers[0].token(APPID, in_seconds(10))
        row = await here.kept.find(APPID)
        assert row.sealed is not None
        assert token.encode() not in row.sealed
        assert 7_100 < row.left(here.clock()) <= 7_200
        assert token not in repr(row)
        assert token not in repr(await here.servers[0].shared(APPID, in_seconds(10)))
    async with room(where, 1, key=KEY[::-1]) as stranger:
        assert await stranger.servers[0].token(APPID, in_seconds(10)) != token
        assert await stranger.asked() == 1


async def test_a_caller_that_has_no_time_left_is_told_so_and_the_answer_serves_the_next(
    where: SqliteUrl | MysqlUrl,
) -> None:
    async with room(where, 1) as here:
        await here.control("fault", kind="latency", path=PATH, seconds=0.5)
        with pytest.raises(WeChatBusy):
            await here.servers[0].token(APPID, in_seconds(0.1))
        assert await here.servers[0].token(APPID, in_seconds(10))
        assert await here.asked() == 1
