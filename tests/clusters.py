"""A Redis Cluster of three masters with a copy each, as processes on loopback ports."""

import os
import re
import secrets
import subprocess
from collections.abc import Sequence
from pathlib import Path

from children import free_port
from sentinels import DOWN_AFTER_SECONDS, Fleet, Node, tear_apart, wait_for
from servers import USERS, program

MASTERS = 3


class SixNodes(Fleet):
    """The six Redises; the product gets the user of deploy/redis/users.acl, the tests get its owner."""

    def __init__(self, folder: Path) -> None:
        self._password = secrets.token_hex(12)
        folder.mkdir(parents=True, exist_ok=True)
        users = folder / "users.acl"
        users.touch(mode=0o600)
        users.write_text(re.sub("PASSWORD-OF-[A-Z]+", self._password, USERS.read_text("ascii")))
        lines = [
            f'aclfile "{users}"',
            "masteruser admin",
            f"masterauth {self._password}",
            "appendonly yes",
            "repl-diskless-sync-delay 0",
            "cluster-enabled yes",
            "cluster-config-file cluster.conf",
            f"cluster-node-timeout {int(DOWN_AFTER_SECONDS * 1_000)}",
            "cluster-require-full-coverage no",
        ]
        self.nodes = [
            Node(folder / f"node-{n}", [*lines, f"cluster-port {free_port()}"], user="admin", password=self._password)
            for n in range(2 * MASTERS)
        ]

    def start(self) -> None:
        """Start all of them, make them one cluster, and wait until it serves and its copies follow."""
        for each in self.nodes:
            each.start()
        addresses = [f"127.0.0.1:{each.port}" for each in self.nodes]
        self._tool("create", *addresses, "--cluster-replicas", "1", "--cluster-yes")
        wait_for(self.settled)

    def _tool(self, *words: str) -> None:
        tool = program("redis-cli")
        assert tool, "redis-cli is not installed"
        done = subprocess.run(
            [tool, "--user", "admin", "--cluster", *words],
            env={**os.environ, "REDISCLI_AUTH": self._password},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def reshard(self, slots: int) -> None:
        """Move that many slots, with what is in them, from one master to another."""
        giver, taker, *_ = [_id_of(each) for each in self.masters]
        at = f"127.0.0.1:{self.nodes[0].port}"
        ends = ["--cluster-from", giver, "--cluster-to", taker]
        self._tool("reshard", at, *ends, "--cluster-slots", str(slots), "--cluster-yes")

    @property
    def masters(self) -> list[Node]:
        """Those that are masters at this moment."""
        return [each for each in self.nodes if each.about("replication").get("role") == "master"]

    @property
    def master(self) -> Node:
        """One of them."""
        return self.masters[0]

    def copy_of(self, master: Node) -> Node:
        """Return the copy that follows this master."""
        return next(each for each in self.nodes if each.about("replication").get("master_port") == master.port)

    def settled(self) -> bool:
        """Say whether every node answers, knows all slots to be served, and every copy follows."""
        about = [each.about("replication") for each in self.nodes]
        copies = [each for each in about if each.get("role") == "slave"]
        return (
            len(copies) == MASTERS
            and all(each.get("master_link_status") == "up" for each in copies)
            and all(_says_ok(each) for each in self.nodes)
        )

    def cut_off(self, master: Node) -> None:
        """From now on its copy lags behind: what this master acknowledges, it never hears of."""
        tear_apart(master, self.copy_of(master))

    def size(self) -> int:
        """How many keys there are."""
        sizes = []
        for each in self.masters:
            with each.client() as client:
                sizes.append(int(client.dbsize()))
        return sum(sizes)

    def flush(self) -> None:
        """Forget everything."""
        for each in self.masters:
            with each.client() as client:
                client.flushall()

    def url(self, nodes: Sequence[Node] | None = None, user: str = "menshen") -> str:
        """Return the setting SESSIONS, which names these nodes, or all of them."""
        hosts = ",".join(f"127.0.0.1:{each.port}" for each in nodes or self.nodes)
        return f"redis+cluster://{user}:{self._password}@{hosts}/"


def _id_of(node: Node) -> str:
    with node.client() as client:
        found = client.execute_command("CLUSTER MYID")
    return found.decode("ascii") if isinstance(found, bytes) else str(found)


def _says_ok(node: Node) -> bool:
    with node.client() as client:
        said = client.execute_command("CLUSTER INFO")
    return (said["cluster_state"], said["cluster_slots_ok"]) == ("ok", "16384")
