"""What the bench stands on: private stores filled alike for everybody, WeChat, and the contestants."""

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pymysql
from children import Child, free_port
from operator_at import make_operator, name_of
from phone import Network
from product import APPSECRET, ROOT, Product
from servers import MariaDB, RedisServer
from shell import settings_of

import process
from actions import Actor
from actions.service_keys import add_key
from benchmarks.bench.contestants import (
    PEERS,
    Addresses,
    Express,
    Fastify,
    Menshen,
    Peer,
    Php,
    PhpTutorial,
    PlainTornado,
)
from benchmarks.bench.load import LOAD_CORE
from benchmarks.seed import APPIDS, Size, token_of, users

APPID = APPIDS[0]
WEEK = 7 * 86_400
_ALL = 10_000_000  # the limits count, and let this load pass

_USER = """CREATE TABLE user (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  appid VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  openid VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  nickname VARCHAR(64), avatar_url VARCHAR(512), phone VARCHAR(32), created_at BIGINT NOT NULL,
  UNIQUE KEY user_by_openid (appid, openid)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4"""


class BesideLoad(RedisServer):
    """A Redis that takes nothing from the server's core, and syncs its file once a second, as Redis does by itself."""

    def command(self) -> Sequence[str]:
        """See Child."""
        return ["taskset", "-c", LOAD_CORE, *super().command(), "--appendfsync", "everysec"]


class MariaBesideLoad(MariaDB):
    """A MariaDB that takes nothing from the server's core."""

    def command(self) -> Sequence[str]:
        """See Child."""
        return ["taskset", "-c", LOAD_CORE, *super().command()]


class WeChatBesideLoad(Child):
    """See peers/wechat.py."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = free_port()

    @property
    def base(self) -> str:
        """The base URL, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> Sequence[str]:
        """See Child."""
        return ["taskset", "-c", LOAD_CORE, sys.executable, str(PEERS / "wechat.py"), str(self.port)]

    def environment(self) -> Mapping[str, str]:
        """See Child."""
        return os.environ | {"PYTHONPATH": str(ROOT)}

    def ready(self) -> bool:
        """See Child."""
        return "ready" in self.log_since_start()


@dataclass(frozen=True)
class Contestant:
    """One server that is measured."""

    name: str
    server: Product | Peer


@dataclass(frozen=True)
class Pass:
    """What opens the paths that only Menshen has."""

    cookie: str
    key: str


class Stage:
    """Everything that was started; it ends with `clear`."""

    def __init__(self, folder: Path, size: Size) -> None:
        self.folder = folder
        self.size = size
        self._children: list[Child] = []
        self.redis = BesideLoad(folder / "redis")
        self.mariadb = MariaBesideLoad(folder / "mariadb")
        self.wechat = WeChatBesideLoad(folder / "wechat")
        for store in (self.redis, self.mariadb, self.wechat):
            self.start(store)

    def start(self, child: Child) -> None:
        """Start a child that ends with the stage."""
        self._children.append(child)
        child.start()

    def clear(self) -> None:
        """End all of it."""
        for child in reversed(self._children):
            child.kill()

    def settings(self, **settings: object) -> dict[str, object]:
        """Those of a server in production, but for limits that one address can reach."""
        own = {"WECHAT_BASE": self.wechat.base, "APPID": APPID, "APPSECRET": APPSECRET, "LOG_LEVEL": "info"}
        limits = {"LOGIN_LIMIT": _ALL, "UNKNOWN_TOKEN_LIMIT": _ALL, "KEY_LIMIT": _ALL}
        return own | limits | settings

    def on_stores(self) -> dict[str, object]:
        """The settings that lead to a database of MariaDB and one of Redis that nobody has used."""
        return {"DATABASE": self.mariadb.database(), "SESSIONS": self.redis.url()}

    def menshen(self, name: str, size: Size, **settings: object) -> Menshen:
        """A Menshen that is not started yet, on stores that are filled."""
        server = Menshen(self.folder / name, self.settings(**settings))
        filled(server, size)
        return server

    def twin(self, one: Menshen, name: str, **settings: object) -> Menshen:
        """The same with other settings: on a copy of its file, or on the same stores with the same keys."""
        twin = Menshen(self.folder / name, {**one.settings, "DATA_DIR": self.folder / name / "data", **settings})
        shutil.copytree(one.data_dir, twin.data_dir)
        return twin

    def ours(self) -> list[Contestant]:
        """Menshen on both kinds of stores and with both parsers, running."""
        on_stores = self.menshen("stores", self.size, PARSER="llhttp", **self.on_stores())
        embedded = self.menshen("embedded", self.size, PARSER="llhttp")
        servers = {
            "Menshen, MySQL + Redis, llhttp": on_stores,
            "Menshen, MySQL + Redis, Tornado's parser": self.twin(on_stores, "stores-tornado", PARSER="tornado"),
            "Menshen, embedded, llhttp": embedded,
            "Menshen, embedded, Tornado's parser": self.twin(embedded, "embedded-tornado", PARSER="tornado"),
        }
        for server in servers.values():
            self.start(server)
        return [Contestant(*pair) for pair in servers.items()]

    def peers(self, names: Sequence[str]) -> list[Contestant]:
        """The peers of these names, running, on stores of their own that hold the same people and tokens."""
        # They have keys of their own making, which the product's user of Redis may not touch: they come as its owner.
        redis = self.redis.url().replace("//menshen:", "//admin:")
        addresses = Addresses(redis, self.mariadb.database(), self.wechat.base, APPID)
        self._fill(addresses)
        found = []
        for name in names:
            peer = KINDS[name](self.folder / name.replace(" ", "-"), addresses)
            self.start(peer)
            found.append(Contestant(name, peer))
        return found

    def _fill(self, addresses: Addresses) -> None:
        at = addresses.environment()
        connection = pymysql.connect(
            host="127.0.0.1",
            port=int(at["MYSQL_PORT"]),
            user=at["MYSQL_USER"],
            password=at["MYSQL_PASSWORD"],
            database=at["MYSQL_DB"],
            autocommit=True,
        )
        with connection, connection.cursor() as cursor:
            cursor.execute(_USER)
            people = [(APPID, openid, int(time.time())) for openid in self.openids()]
            cursor.executemany("INSERT INTO user (appid, openid, created_at) VALUES (%s, %s, %s)", people)
        ends_at = int(time.time()) + WEEK
        with self.redis.client(int(at["REDIS_DB"])) as client:
            pipe = client.pipeline(transaction=False)
            for n, token in enumerate(self.tokens()):
                session = {"user_id": n + 1, "appid": APPID, "session_key": "HyVFkGl5F5OQWJZZaNzBBg=="}
                session |= {"created_at": ends_at - WEEK, "expires_at": ends_at}
                pipe.set(f"session:{hashlib.sha256(token.encode()).hexdigest()}", json.dumps(session), ex=WEEK)
            pipe.execute()

    def openids(self) -> list[str]:
        """The people of our mini program who were there before and may log in, as everybody's database has them."""
        return [row[2] for row in users(self.size, int(time.time())) if row[1] == APPID and row[8] == "active"]

    def tokens(self) -> list[str]:
        """Some tokens that hold."""
        return [token_of(n) for n in range(min(1_000, self.size.sessions))]

    def strangers(self) -> list[str]:
        """Texts with the form of a token that never were one."""
        return [token_of(n) for n in range(10**9, 10**9 + 1_000)]


KINDS: dict[str, type[Peer]] = {
    "Fastify 5": Fastify,
    "Express 5": Express,
    "PHP tutorial": PhpTutorial,
    "PHP, connections kept": Php,
    "plain Tornado": PlainTornado,
}


def filled(server: Product, size: Size) -> None:
    """Fill the stores of a server that is not running."""
    command = [sys.executable, "-m", "benchmarks.seed", f"--sessions={size.sessions}", f"--users={size.users}"]
    environment = {**server.environment(), "PYTHONPATH": str(ROOT)}
    subprocess.run(command, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)  # noqa: S603  # our own words


def passed(server: Product) -> Pass:
    """An operator signed in, and a service key."""
    return asyncio.run(_passed(server))


async def _passed(server: Product) -> Pass:
    network = Network()
    try:
        operator = await make_operator(server, network)
        async with process.opened(settings_of(server)) as backend:
            added = await add_key(backend, Actor("shell:bench"), name_of(), ["introspect"])
    finally:
        await network.close()
    return Pass("; ".join(f"{name}={value}" for name, value in operator.cookies.items()), added.text)
