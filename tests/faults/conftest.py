"""Servers whose stores the tests of faults may break: a Redis of their own, and one Menshen on each kind of store."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from backends import BACKENDS, Backend
from children import Child
from product import APPID, APPSECRET, Product, Simulator
from servers import MariaDB, RedisServer

from faults.delaying import DelayingProxy

NO_LIMITS = {"LOGIN_LIMIT": 0, "UNKNOWN_TOKEN_LIMIT": 0}


class FaultyRedis(RedisServer):
    """A Redis that may forget everything, and that may take its time to read its data."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.options: list[str] = []

    def command(self) -> Sequence[str]:
        """Return the command line with the options of the test at hand."""
        return [*super().command(), *self.options]

    def remember(self) -> None:
        """Put the data of this moment aside, as a copy that lags behind has it; every write is in the file by now."""
        shutil.rmtree(self.folder / "aside", ignore_errors=True)
        shutil.copytree(self.folder / "appendonlydir", self.folder / "aside")

    def go_back(self) -> None:
        """Die, and start again with the data that were put aside."""
        self.kill()
        shutil.rmtree(self.folder / "appendonlydir")
        shutil.copytree(self.folder / "aside", self.folder / "appendonlydir")
        self.start()

    def forget(self) -> None:
        """Stop, lose all data, and start again."""
        self.stop()
        shutil.rmtree(self.folder / "appendonlydir")
        self.start()


def _at(simulator: Simulator) -> dict[str, object]:
    return {"WECHAT_BASE": simulator.base, "APPID": APPID, "APPSECRET": APPSECRET, **NO_LIMITS}


@pytest.fixture(scope="session")
def faulty_redis_server(folder: Path, children: list[Child]) -> FaultyRedis:
    """Start the Redis that only these tests use."""
    server = FaultyRedis(folder / "faulty-redis")
    children.append(server)
    server.start()
    return server


@pytest.fixture
def redis_that_fails(faulty_redis_server: FaultyRedis) -> Iterator[FaultyRedis]:
    """Give the test that Redis, and put back what it configured."""
    yield faulty_redis_server
    faulty_redis_server.options = []
    if faulty_redis_server.running:
        faulty_redis_server.thaw()
        with faulty_redis_server.client() as client:
            client.config_set("maxmemory", 0)
            client.replicaof("NO", "ONE")


@pytest.fixture(scope="session")
def _product_on_redis(
    folder: Path, children: list[Child], simulator: Simulator, faulty_redis_server: FaultyRedis
) -> Product:
    product = Product(folder / "faults-on-redis", {**_at(simulator), "SESSIONS": faulty_redis_server.url()})
    children.append(product)
    product.start()
    return product


@pytest.fixture
def on_redis(_product_on_redis: Product, redis_that_fails: FaultyRedis) -> Iterator[Product]:
    """Give the test a Menshen with its users in SQLite and its sessions in the Redis that fails."""
    yield _product_on_redis
    _product_on_redis.check_log()


@pytest.fixture(scope="session")
def _product_on_mysql(
    folder: Path, children: list[Child], simulator: Simulator, mariadb: MariaDB, faulty_redis_server: FaultyRedis
) -> Product:
    stores = Backend(BACKENDS[1], mariadb, faulty_redis_server).fresh()
    product = Product(folder / "faults-on-mysql", {**_at(simulator), **stores})
    children.append(product)
    product.start()
    return product


@pytest.fixture
def on_mysql(_product_on_mysql: Product) -> Iterator[Product]:
    """Give the test a Menshen with its users in MariaDB and its sessions in Redis."""
    yield _product_on_mysql
    _product_on_mysql.check_log()


@pytest.fixture
def proxy_to() -> Iterator[Callable[[int], DelayingProxy]]:
    """Put delaying proxies before ports of this machine."""
    made: list[DelayingProxy] = []

    def make(port: int) -> DelayingProxy:
        proxy = DelayingProxy(port)
        made.append(proxy)
        return proxy

    yield make
    for proxy in made:
        proxy.close()
