"""People in a MariaDB that is down, frozen, read-only, crowded or locked: whoever is in stays in, codes are kept."""

import asyncio
import base64
import json
import os
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pymysql
import pytest
from backends import BACKENDS, Backend
from phone import Network, Phone, WeChat
from product import Product
from servers import MariaDB, RedisServer

from faults.asking import alive, ready, said, timed, unavailable, until
from faults.conftest import FaultyRedis
from faults.delaying import DelayingProxy

Phones = Callable[..., list[Phone]]
MakeServer = Callable[..., Product]
Ask = Callable[..., list[tuple[Any, ...]]]

AGAIN_SECONDS = 3.0
NO_SUCH_THREAD, TOO_MANY_CONNECTIONS = 1094, 1040
FROZEN_SECONDS = 6.0  # three times the 2 s after which a login must have given up


def database_of(product: Product) -> str:
    return product.settings["DATABASE"].rpartition("/")[2]


def is_degraded(network: Network, product: Product, parts: list[str]) -> Callable[[], Awaitable[bool]]:
    """Ask /readyz, which must stay 200 while only users cannot be looked up."""

    async def holds() -> bool:
        status, degraded = await ready(network, product)
        assert status == 200
        return bool(degraded == parts)

    return holds


@pytest.mark.gen_test
async def test_without_mariadb_whoever_is_in_stays_in_and_no_code_is_spent(
    on_mysql: Product, mariadb: MariaDB, phones: Phones, network: Network, wechat: WeChat
) -> None:
    mei, lan = phones(2, at=on_mysql)
    assert (await mei.login()).status == 200
    code = await lan.code()
    mariadb.stop()
    await until(is_degraded(network, on_mysql, ["database"]), seconds=15)
    asked = await wechat.asked()
    assert (await mei.verify()).status == 200
    for _ in range(3):
        assert unavailable(await lan.login(code=code), 503002)
    assert unavailable(await mei.me(), 503002)
    assert await wechat.asked() == asked
    assert await alive(network, on_mysql)
    assert (await mei.logout()).status == 200
    assert (await mei.verify()).status == 401
    mariadb.start()
    await until(is_degraded(network, on_mysql, []), seconds=AGAIN_SECONDS)
    assert (await lan.login(code=code)).status == 200


@pytest.mark.gen_test
async def test_a_frozen_mariadb_is_given_up_on_in_time_and_verifies_do_not_notice(
    on_mysql: Product, mariadb: MariaDB, phones: Phones, network: Network
) -> None:
    mei, *others = phones(13, at=on_mysql)
    assert (await mei.login()).status == 200
    mariadb.freeze()
    logins = [asyncio.ensure_future(timed(each.login())) for each in others]
    while not all(each.done() for each in logins):
        assert (await mei.verify()).status == 200
        await asyncio.sleep(0.05)
    for login in logins:
        answer, seconds = login.result()
        assert unavailable(answer, 503002, "login") or unavailable(answer, 503002)
        assert seconds <= FROZEN_SECONDS
    assert await ready(network, on_mysql) == (200, ["database"])
    for _ in range(20):
        assert unavailable(await others[0].login(), 503002)
    mariadb.thaw()
    await until(is_degraded(network, on_mysql, []), seconds=AGAIN_SECONDS)
    outcomes = await asyncio.gather(*(each.login() for each in others))
    assert [answer.status for answer in outcomes] == [200] * len(others)
    assert len(connections_of(mariadb.query, database_of(on_mysql))) <= 10


def open_files(product: Product) -> int:
    return len(list(Path(f"/proc/{product.pid}/fd").iterdir()))


@pytest.mark.gen_test
async def test_a_mariadb_that_swallows_everything_does_not_use_up_the_servers_files(
    make_server: MakeServer,
    mariadb: MariaDB,
    redis_that_fails: FaultyRedis,
    proxy_to: Callable[[int], DelayingProxy],
    phones: Phones,
    network: Network,
) -> None:
    proxy = proxy_to(mariadb.port)
    stores = Backend(BACKENDS[1], mariadb, redis_that_fails).fresh()
    stores["DATABASE"] = stores["DATABASE"].replace(f":{mariadb.port}/", f":{proxy.port}/")
    product = make_server(**stores)
    [mei] = phones(1, at=product)
    assert (await mei.login()).status == 200
    proxy.freeze()
    await asyncio.gather(*(each.login() for each in phones(10, at=product)))
    before = proxy.accepted
    files = open_files(product)

    async def asked_again() -> bool:
        return proxy.accepted >= before + 8

    async def no_more_than_before() -> bool:
        return open_files(product) <= files + 1

    await until(asked_again, seconds=60)
    await until(no_more_than_before, seconds=30)  # whoever asks just now has one open
    proxy.lose()
    await until(is_degraded(network, product, []), seconds=3 * AGAIN_SECONDS)
    assert (await phones(1, at=product)[0].login()).status == 200


@pytest.mark.gen_test
async def test_the_first_login_after_idle_connections_were_killed_or_mariadb_restarted_works(
    on_mysql: Product, mariadb: MariaDB, phones: Phones, network: Network
) -> None:
    people = phones(4, at=on_mysql)
    for each in people:
        assert (await each.login()).status == 200
    await until(idle(mariadb, on_mysql), seconds=AGAIN_SECONDS)
    kill_connections(mariadb.query, database_of(on_mysql))
    assert (await people[0].login()).status == 200
    assert (await phones(1, at=on_mysql)[0].login()).status == 200
    mariadb.restart()
    await until(is_degraded(network, on_mysql, []), seconds=AGAIN_SECONDS)
    assert (await people[1].login()).status == 200
    assert (await phones(1, at=on_mysql)[0].login()).status == 200


def idle(mariadb: MariaDB, product: Product) -> Callable[[], Awaitable[bool]]:
    """Whether all is written that follows a login: the last of it is the day on which its person was seen."""

    async def found() -> bool:
        return not mariadb.query("SELECT id FROM user WHERE seen_day = 0", database=database_of(product))

    return found


def connections_of(root: Ask, database: str) -> list[int]:
    return [row[0] for row in root("SELECT id FROM information_schema.processlist WHERE db = %s", (database,))]


def kill_connections(root: Ask, database: str) -> None:
    for connection in connections_of(root, database):
        try:
            root(f"KILL {int(connection)}")
        except pymysql.err.OperationalError as error:
            if error.args[0] != NO_SUCH_THREAD:  # it has ended by itself
                raise


@contextmanager
def variable(mariadb: MariaDB, name: str, value: int) -> Iterator[None]:
    """Set a global variable of MariaDB and put the old value back."""
    [(_, before)] = mariadb.query(f"SHOW GLOBAL VARIABLES LIKE '{name}'")
    mariadb.query(f"SET GLOBAL {name} = {value}")
    try:
        yield
    finally:
        mariadb.query(f"SET GLOBAL {name} = {before}")


@pytest.mark.gen_test
async def test_a_read_only_mariadb_knows_its_people_and_takes_no_new_ones(
    on_mysql: Product, mariadb: MariaDB, phones: Phones, network: Network
) -> None:
    mei, lan = phones(2, at=on_mysql)
    assert (await mei.login()).status == 200
    with variable(mariadb, "read_only", 1):
        assert (await mei.login()).status == 200
        assert unavailable(await lan.login(), 503005, "login")
        body = {"nickname": "梅"}
        assert unavailable(await mei.request("PUT", "/api/me", json=body, headers=mei.bearer), 503005)
        assert (await mei.verify()).status == 200
        assert await ready(network, on_mysql) == (200, ["database_full"])
    assert (await lan.login()).status == 200
    assert await ready(network, on_mysql) == (200, [])


@pytest.mark.gen_test
async def test_a_crowded_mariadb_is_an_outage_of_logins_and_is_not_stormed(
    on_mysql: Product, mariadb: MariaDB, phones: Phones, network: Network
) -> None:
    mei, lan = phones(2, at=on_mysql)
    assert (await mei.login()).status == 200
    await until(idle(mariadb, on_mysql), seconds=AGAIN_SECONDS)
    with variable(mariadb, "max_connections", 10), ExitStack() as crowd:
        root = crowd.enter_context(rooted(mariadb))  # in before it is full

        async def taken_by_others() -> bool:
            """Whether none of ours is left; one that is comes back at once, so its place is taken before it can."""
            kill_connections(root, database_of(on_mysql))
            crowd_in(mariadb, crowd)
            return not connections_of(root, database_of(on_mysql))

        await until(taken_by_others, seconds=3 * AGAIN_SECONDS)
        assert unavailable(await lan.login(), 503002, "login")
        assert await ready(network, on_mysql) == (200, ["database"])
        refused = count(root, "Connection_errors_max_connections")
        _, seconds = await timed(asyncio.gather(*(keep_asking(lan) for _ in range(5))))
        assert (await mei.verify()).status == 200
        assert count(root, "Connection_errors_max_connections") - refused <= 10 * seconds + 10
    await until(is_degraded(network, on_mysql, []), seconds=AGAIN_SECONDS)
    assert (await lan.login()).status == 200


@contextmanager
def rooted(mariadb: MariaDB) -> Iterator[Ask]:
    """Ask as root over one connection that stays open."""
    connection = pymysql.connect(unix_socket=f"{mariadb.folder}/socket", user="root", autocommit=True)

    def ask(sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(sql, values)
            return list(cursor.fetchall())

    try:
        yield ask
    finally:
        connection.close()


async def keep_asking(phone: Phone) -> None:
    for _ in range(30):
        assert unavailable(await phone.login(), 503002)
        await asyncio.sleep(0.03)


def crowd_in(mariadb: MariaDB, crowd: ExitStack) -> None:
    """Take every connection that MariaDB still gives to its users."""
    while True:
        try:
            connection = pymysql.connect(
                host="127.0.0.1", port=mariadb.port, user=mariadb.user, password=mariadb.password
            )
        except pymysql.err.OperationalError as error:
            if error.args[0] != TOO_MANY_CONNECTIONS:
                raise
            return
        crowd.callback(connection.close)


def count(root: Ask, name: str) -> int:
    return int(root(f"SHOW GLOBAL STATUS LIKE '{name}'")[0][1])


@contextmanager
def locked_people(mariadb: MariaDB, database: str) -> Iterator[None]:
    """Hold a lock on every person and every gap between them, as a clumsy migration would."""
    connection = pymysql.connect(unix_socket=f"{mariadb.folder}/socket", user="root", database=database)
    try:
        with connection.cursor() as cursor:
            for _ in range(10):
                try:
                    cursor.execute("SELECT id FROM user FOR UPDATE")
                    break
                except pymysql.OperationalError:  # the server's own notes were faster: MariaDB undoes one of two
                    connection.rollback()
            else:
                raise AssertionError("the lock was not to be had")
            yield
            connection.rollback()
    finally:
        connection.close()


@pytest.mark.gen_test
async def test_a_first_login_waits_for_a_short_lock_and_gives_a_long_one_up(
    on_mysql: Product, mariadb: MariaDB, phones: Phones, network: Network
) -> None:
    mei, lan = phones(2, at=on_mysql)
    with locked_people(mariadb, database_of(on_mysql)):
        waiting = asyncio.ensure_future(mei.login())
        await asyncio.sleep(0.4)
        assert not waiting.done()
    assert (await waiting).status == 200
    with locked_people(mariadb, database_of(on_mysql)):
        answer, seconds = await timed(lan.login())
        assert unavailable(answer, 503002, "login")
        assert seconds <= FROZEN_SECONDS
        assert (await mei.verify()).status == 200
    await until(is_degraded(network, on_mysql, []), seconds=AGAIN_SECONDS)
    assert (await lan.login()).status == 200


@pytest.mark.gen_test
async def test_a_lock_that_mariadb_itself_gives_up_is_waited_for_again(
    make_server: MakeServer, mariadb: MariaDB, redis_that_fails: FaultyRedis, phones: Phones
) -> None:
    with variable(mariadb, "innodb_lock_wait_timeout", 0):  # at once: error 1205 for whoever meets a lock
        product = make_server(**Backend(BACKENDS[1], mariadb, redis_that_fails).fresh())
        [mei] = phones(1, at=product)
        with locked_people(mariadb, database_of(product)):
            assert unavailable(await mei.login(), 503002, "login")
        await until(lambda: _logs_in(mei), seconds=AGAIN_SECONDS)


async def _logs_in(phone: Phone) -> bool:
    return (await phone.login()).status == 200


NAMES = [
    "🧧👨‍👩‍👧‍👦 新年快乐",
    "‏עברית\u200f",
    "Z̸̡a̵l̴g̷o̶",
    "梅 \U0001f1e8\U0001f1f3 兰",
    "' OR 1=1 --",
    "\\'; DROP TABLE user; --",
    "%_%",
    "0x27",
    "%(openid)s :openid {0} $1",
    "\\",
]


@pytest.mark.gen_test
@pytest.mark.parametrize("name", NAMES)
async def test_a_nickname_comes_back_exactly_as_it_went(on_mysql: Product, phones: Phones, name: str) -> None:
    mei, lan = phones(2, at=on_mysql)
    assert (await mei.login()).status == 200
    assert (await lan.login()).status == 200
    answer = await mei.request("PUT", "/api/me", json={"nickname": name}, headers=mei.bearer)
    assert answer.status == 200
    assert (await mei.me()).json["nickname"] == name
    assert (await lan.me()).json["nickname"] is None


@pytest.mark.gen_test
@pytest.mark.parametrize("text", ["' OR 1=1 --", "\\'; DROP TABLE user; --", "%", "1;SELECT SLEEP(9)", "\x00"])
async def test_sql_in_a_field_is_only_text(on_mysql: Product, phones: Phones, text: str) -> None:
    mei = phones(1, at=on_mysql)[0]
    assert said(await mei.login(code=text)) == (400, 400003, "fix")
    assert said(await mei.login(appid=text)) == (400, 400004, "fix")
    answer = await mei.request("POST", "/api/verify", json={"token": text})
    assert said(answer) == (401, 401002, "login")
    assert (await mei.login()).status == 200


@pytest.mark.gen_test
async def test_openids_that_differ_only_in_case_are_two_people(
    on_mysql: Product, phones: Phones, wechat: WeChat
) -> None:
    ids = [await as_openid(wechat, phones(1, at=on_mysql)[0], openid) for openid in ("oA_case", "oa_case", "oA_case")]
    assert ids[0] == ids[2] != ids[1]


async def as_openid(wechat: WeChat, phone: Phone, openid: str) -> Any:
    """Log in as a person of that very openid; return our number of them."""
    body = {"openid": openid, "session_key": base64.b64encode(os.urandom(16)).decode()}
    await wechat.fault("answer", body=json.dumps(body), spend=True)
    return (await phone.login()).json["user"]["id"]


@pytest.mark.gen_test
async def test_a_server_starts_without_its_stores_and_serves_once_they_come(
    make_server: MakeServer, mariadb: MariaDB, redis_that_fails: FaultyRedis, phones: Phones, network: Network
) -> None:
    product = make_server(**Backend(BACKENDS[1], mariadb, redis_that_fails).fresh())
    [mei] = phones(1, at=product)
    assert (await mei.login()).status == 200
    product.stop()
    mariadb.kill()
    redis_that_fails.stop()
    product.start()
    assert await alive(network, product)
    assert (await ready(network, product))[0] == 503
    assert unavailable(await mei.verify(), 503001)
    assert unavailable(await mei.login(), 503001)
    redis_that_fails.start()
    for _ in range(10):  # only SQL knows what a Redis that was started anew may have forgotten: not 200, and not 401
        assert unavailable(await mei.verify(), 503001)
        await asyncio.sleep(0.1)
    mariadb.start()
    await until(lambda: _is_in(mei), seconds=AGAIN_SECONDS)
    await until(is_degraded(network, product, []), seconds=AGAIN_SECONDS)
    assert (await mei.login()).status == 200


@pytest.mark.gen_test
async def test_a_server_that_starts_while_users_are_away_knows_who_is_in(
    make_server: MakeServer, mariadb: MariaDB, redis_server: RedisServer, phones: Phones, network: Network
) -> None:
    product = make_server(**Backend(BACKENDS[1], mariadb, redis_server).fresh())
    [mei] = phones(1, at=product)
    assert (await mei.login()).status == 200
    product.stop()
    mariadb.kill()
    product.start()
    await until(lambda: _is_in(mei), seconds=AGAIN_SECONDS)
    assert await ready(network, product) == (200, ["database"])
    assert unavailable(await mei.login(), 503002)
    assert not re.search("Traceback", product.log())


async def _is_in(phone: Phone) -> bool:
    return (await phone.verify()).status == 200
