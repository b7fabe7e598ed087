"""Commands that share a round trip to Redis: each asker gets its own answers, and nobody another's trouble."""

import asyncio
from collections.abc import Iterator

import pytest
from engines import redis_url
from servers import RedisServer
from tornado.ioloop import IOLoop

from stores.errors import SessionsAway, StoreFull
from stores.sessions.redis_link import RedisLink

pytest_plugins = ["store_fixtures"]

KEY, WORD = b"{menshen}tcount", b"{menshen}tword"


@pytest.fixture
def link(redis_server: RedisServer, redis_database: int, io_loop: IOLoop) -> Iterator[RedisLink]:
    with redis_server.client(redis_database) as client:
        client.flushdb()
        client.set(WORD, "a word")
    link = RedisLink(redis_url(redis_server, redis_database, "admin"))
    io_loop.run_sync(link.start)
    yield link
    io_loop.run_sync(link.close)


def reads(redis_server: RedisServer) -> int:
    """How often Redis has found something on a socket."""
    with redis_server.client() as client:
        return int(client.info("stats")["total_reads_processed"])


@pytest.mark.gen_test
async def test_fifty_who_ask_in_one_turn_share_a_trip_and_each_gets_its_own_answers(
    link: RedisLink, redis_server: RedisServer
) -> None:
    await link.ask((b"SET", KEY, 0))
    before = reads(redis_server)
    found = await asyncio.gather(*(link.ask((b"INCRBY", KEY, 1), (b"ECHO", b"%d" % n)) for n in range(50)))
    assert reads(redis_server) - before < 10
    assert [count for count, _ in found] == list(range(1, 51))
    assert [word for _, word in found] == [b"%d" % n for n in range(50)]


@pytest.mark.gen_test
async def test_more_than_share_a_trip_are_all_answered(link: RedisLink) -> None:
    found = await asyncio.gather(*(link.ask_at_once((b"INCRBY", KEY, 1), (b"ECHO", b"%d" % n)) for n in range(300)))
    assert sorted(count for count, _ in found) == list(range(1, 301))
    assert [word for _, word in found] == [b"%d" % n for n in range(300)]


@pytest.mark.gen_test
async def test_what_redis_refuses_one_asker_is_nothing_to_the_others(link: RedisLink) -> None:
    wrong = (b"INCRBY", WORD, 1)
    found = await asyncio.gather(
        link.ask((b"INCRBY", KEY, 1)),
        link.ask(wrong, (b"INCRBY", KEY, 1)),
        link.ask_at_once((b"INCRBY", KEY, 1), wrong),
        link.ask_at_once((b"NO-SUCH-COMMAND",), (b"INCRBY", KEY, 100)),
        link.ask_at_once((b"INCRBY", KEY, 1)),
        return_exceptions=True,
    )
    assert found[0] == [1]
    assert all(isinstance(each, SessionsAway) for each in found[1:4])
    assert found[4] == [4], "what cannot be understood takes its whole transaction with it"
    assert link.pulse.beats


@pytest.mark.gen_test
async def test_a_full_redis_is_told_of_in_a_transaction_too(link: RedisLink, redis_server: RedisServer) -> None:
    with redis_server.client() as admin:
        admin.config_set("maxmemory", "1")
        try:
            ended = await asyncio.gather(
                link.ask((b"SET", KEY, 1)),
                link.ask_at_once((b"SET", KEY, 1)),
                link.ask((b"GET", WORD)),
                return_exceptions=True,
            )
        finally:
            admin.config_set("maxmemory", "0")
    assert [type(each) for each in ended[:2]] == [StoreFull, StoreFull]
    assert ended[2] == [b"a word"]


@pytest.mark.gen_test
async def test_who_does_not_wait_takes_the_answer_from_nobody(link: RedisLink) -> None:
    asked = [asyncio.ensure_future(link.ask((b"ECHO", b"%d" % n))) for n in range(10)]
    await asyncio.sleep(0)
    asked[3].cancel()
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(found.pop(3), asyncio.CancelledError)
    assert found == [[b"%d" % n] for n in range(10) if n != 3]
    assert await link.ask((b"ECHO", b"next")) == [b"next"]


@pytest.mark.gen_test
async def test_a_connection_that_redis_cut_is_made_anew(link: RedisLink, redis_server: RedisServer) -> None:
    await link.ask((b"ECHO", b"first"))
    with redis_server.client() as admin:
        admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    for _ in range(50):  # the first may still find the connection open
        try:
            found = await link.ask_alone((b"ECHO", b"second"))
            break
        except SessionsAway:
            await asyncio.sleep(0.1)
    assert found == [b"second"]


@pytest.mark.gen_test
async def test_trips_and_commands_of_redis_py_share_the_connections_and_none_waits_for_ever(link: RedisLink) -> None:
    async def trip(n: int) -> bytes:
        [word] = await link.ask_alone((b"ECHO", b"%d" % n))
        return bytes(word)

    async def command(n: int) -> bytes:
        return bytes(await link.call(link.client.echo(b"%d" % n)))

    for _ in range(5):  # first the connections are made, then they are there
        found = await asyncio.gather(*((trip if n % 2 else command)(n) for n in range(100)))
        assert found == [b"%d" % n for n in range(100)]
