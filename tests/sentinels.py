"""A Redis with a copy, and three Sentinels that watch over them, as processes on loopback ports."""

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import redis
import redis.backoff
import redis.retry
from children import Child, free_port
from servers import program

MASTER = "main"
DOWN_AFTER_SECONDS = 1.0  # of silence, and the Sentinels, or the other nodes of a cluster, take a master for dead
SETTLE_SECONDS = 30.0


class Node(Child):
    """A Redis or a Sentinel that reads its settings from a file of its own, into which it may write."""

    def __init__(
        self, folder: Path, lines: Sequence[str], *words: str, user: str | None = None, password: str = ""
    ) -> None:
        super().__init__(folder)
        self.port = free_port()
        self._words = words
        self._user = user
        self._password = password
        self._config = folder / "node.conf"
        self._config.touch(mode=0o600)
        own = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f'dir "{folder}"',
            'save ""' if not words else "protected-mode no",
        ]
        self._config.write_text("\n".join([*own, *lines]) + "\n")

    def command(self) -> Sequence[str]:
        """Return the command line."""
        found = program("redis-server")
        assert found, "redis-server is not installed"
        return [found, str(self._config), *self._words]

    def client(self, *, timeout: float = 5.0) -> redis.Redis:
        """Return a synchronous client that waits no longer than ``timeout`` seconds and does not try twice."""
        return redis.Redis(
            host="127.0.0.1",
            port=self.port,
            username=self._user,
            password=self._password or None,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0),
        )

    def ready(self) -> bool:
        """Say whether it answers and has read its data by now."""
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.exceptions.ConnectionError:
            return False

    def about(self, section: str) -> dict[str, Any]:
        """Return a section of INFO; empty while it does not answer."""
        try:
            with self.client() as client:
                return dict(client.info(section))
        except redis.exceptions.RedisError:
            return {}


def tear_apart(master: Node, copy: Node) -> None:
    """The copy does not find back to its master."""
    with copy.client() as of_copy, master.client() as of_master:
        of_copy.config_set("masterauth", "no longer the password")
        of_master.execute_command("CLIENT", "KILL", "TYPE", "REPLICA")


def wait_for(settled: Callable[[], bool]) -> None:
    """Return when that is so."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while not settled():
        assert time.monotonic() < deadline, "they do not find together"
        time.sleep(0.1)


class Fleet:
    """Redises that are one store together."""

    nodes: Sequence[Node]

    def start(self) -> None:
        """Start all of them, and wait until they serve as one."""
        raise NotImplementedError

    def kill(self) -> None:
        """End all of them."""
        for each in self.nodes:
            each.kill()

    @contextmanager
    def running(self) -> Iterator[Self]:
        """They run in here, and none of them outlives it, not even when only some of them started."""
        try:
            self.start()
            yield self
        finally:
            self.kill()


class Watched(Fleet):
    """The two Redises and the three Sentinels."""

    def __init__(self, folder: Path) -> None:
        self._password = secrets.token_hex(12)
        lines = [
            f"requirepass {self._password}",
            f"masterauth {self._password}",
            "appendonly yes",
            "repl-diskless-sync-delay 0",
        ]
        self.master = Node(folder / "redis-0", lines, password=self._password)
        follows = [*lines, f"replicaof 127.0.0.1 {self.master.port}"]
        self.copy = Node(folder / "redis-1", follows, password=self._password)
        watching = [
            f"sentinel monitor {MASTER} 127.0.0.1 {self.master.port} 2",
            f"sentinel auth-pass {MASTER} {self._password}",
            f"sentinel down-after-milliseconds {MASTER} {int(DOWN_AFTER_SECONDS * 1_000)}",
            f"sentinel failover-timeout {MASTER} 3000",
        ]
        self.sentinels = [Node(folder / f"sentinel-{n}", watching, "--sentinel") for n in range(3)]
        self.nodes = [self.master, self.copy, *self.sentinels]

    def start(self) -> None:
        """Start all of them, and wait until the copy follows and the Sentinels know each other."""
        for each in self.nodes:
            each.start()
        wait_for(self.settled)

    def settled(self) -> bool:
        """Say whether the copy follows and every Sentinel knows of it and of the two others."""
        follows = self.copy.about("replication").get("master_link_status") == "up"
        seen = [each.about("sentinel").get("master0", {}) for each in self.sentinels]
        return follows and all((each.get("slaves"), each.get("sentinels")) == (1, 3) for each in seen)

    def copy_of(self, master: Node) -> Node:
        """Return the copy that follows this master."""
        assert master is self.master
        return self.copy

    def cut_off(self, master: Node) -> None:
        """From now on the copy lags behind: what the master acknowledges, it never hears of."""
        tear_apart(master, self.copy)

    def url(self) -> str:
        """Return the setting SESSIONS."""
        hosts = ",".join(f"127.0.0.1:{each.port}" for each in self.sentinels)
        return f"redis+sentinel://:{self._password}@{hosts}/{MASTER}"
