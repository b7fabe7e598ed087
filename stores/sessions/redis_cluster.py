"""A Redis Cluster: which of its masters holds which keys, asked anew whenever one is away or says that it has moved.

Each master is a `RedisLink` of its own, with its connections, deadlines and name. redis-py's cluster client is not
used: it repeats and waits by itself, where a phone is better told to come back, and does not say which Redis answered.
"""

import asyncio
import binascii
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, Generic, TypeVar

from msgspec.structs import replace

from settings import RedisUrl
from stores.errors import SessionsAway, StoreTrouble
from stores.sessions.redis_link import CALL_SECONDS, Command, RedisLink
from stores.shared_lookup import SharedLookup

log = logging.getLogger("menshen.store")
T = TypeVar("T")
V = TypeVar("V")
Address = tuple[str, int]

SLOTS = 16_384
_PAUSE_SECONDS = 0.1
_LOOK_SECONDS = 0.5  # for a node that hangs; the next is asked then


def slot_of(tag: str) -> int:
    """The slot of all keys with this hash tag (Redis Cluster specification: CRC16 in its XMODEM form)."""
    return binascii.crc_hqx(tag.encode("ascii"), 0) % SLOTS


class ClusterNode(RedisLink, Generic[V]):
    """One master, and the look-ups that are on their way to it."""

    def __init__(
        self,
        where: RedisUrl,
        look_anew: Callable[[], None],
        ask: "Callable[[ClusterNode[V], list[bytes]], Awaitable[list[V | StoreTrouble]]]",
    ) -> None:
        super().__init__(where)
        self._look_anew = look_anew
        self.lookup: SharedLookup[bytes, V] = SharedLookup(partial(ask, self))

    def lost(self, why: str, *, elsewhere: bool) -> None:
        """See RedisLink.lost."""
        self._look_anew()
        if not elsewhere:
            super().lost(why, elsewhere=elsewhere)

    async def close(self) -> None:
        """See RedisLink.close."""
        await self.lookup.close()
        await super().close()


class _Asked(RedisLink):
    """A node that is asked once where everything is; when it is away, another is asked."""

    def lost(self, why: str, *, elsewhere: bool) -> None:
        """See RedisLink.lost."""


class RedisCluster(Generic[V]):
    """The masters of a cluster, as it last said that they are."""

    def __init__(
        self, where: RedisUrl, ask: Callable[[ClusterNode[V], list[bytes]], Awaitable[list[V | StoreTrouble]]]
    ) -> None:
        """`ask` is what a node's shared look-up asks it."""
        self._where = where
        self._ask = ask
        self._nodes: dict[Address, ClusterNode[V]] = {}
        self._ranges: list[tuple[int, int, ClusterNode[V]]] = []
        self._homes: dict[int, ClusterNode[V]] = {}
        self._known: deque[Address] = deque(where.nodes)
        self._look: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()

    @property
    def nodes(self) -> list[ClusterNode[V]]:
        """The masters that hold anything."""
        return list(self._nodes.values())

    @property
    def whole(self) -> bool:
        """Whether every slot has a master, and all of them answered when they were last asked."""
        covered = sum(end - start + 1 for start, end, _ in self._ranges)
        return covered == SLOTS and all(node.pulse.beats for node in self._nodes.values())

    async def start(self) -> None:
        """Learns where everything is. Raises WrongCredentials; a cluster that is away will be asked again."""
        await self._find_out()
        if not self._nodes:
            asked = RedisLink(self._at(self._known[0]))  # which has the words for it
            await asked.start()
            await asked.close()
        await asyncio.gather(*(each.start() for each in self.nodes))

    def node_of(self, slot: int) -> ClusterNode[V]:
        """The master that holds this slot. Raises SessionsAway."""
        if slot not in self._homes:
            for start, end, node in self._ranges:
                if start <= slot <= end:
                    self._homes[slot] = node
                    return node
            self.look_anew()
            raise SessionsAway("no node of the Redis Cluster is known to have the keys")
        return self._homes[slot]

    def look_anew(self) -> None:
        """Asks the cluster where everything is now, once at a time."""
        if self._look is None or self._look.done():
            self._look = asyncio.get_running_loop().create_task(self._look_again())

    async def close(self) -> None:
        """Lets go of all nodes."""
        if self._look is not None:
            self._look.cancel()
            await asyncio.gather(self._look, return_exceptions=True)
        await asyncio.gather(*self._leaving, *(each.close() for each in self.nodes), return_exceptions=True)

    async def _look_again(self) -> None:
        await self._find_out()
        await asyncio.sleep(_PAUSE_SECONDS)

    async def _find_out(self) -> None:
        """Each time another node is asked first: one that was cut off from the rest may be the last to know."""
        for address in list(self._known):
            self._known.rotate(-1)
            with suppress(StoreTrouble):
                self._settle(await self._ranges_from(address))
                return

    async def _ranges_from(self, address: Address) -> list[tuple[int, int, list[Address]]]:
        """What one node says: the first and last slot of each range, and who has it, the master first."""
        link = _Asked(self._at(address))
        try:
            said = await link.call(link.client.execute_command("CLUSTER SLOTS"), _LOOK_SECONDS)
        finally:
            await link.close()
        return list(_read(said, address))

    def _at(self, address: Address) -> RedisUrl:
        return replace(self._where, host=address[0], port=address[1], nodes=())

    def _settle(self, ranges: list[tuple[int, int, list[Address]]]) -> None:
        masters = {addresses[0] for _, _, addresses in ranges}
        if self._nodes and masters != self._nodes.keys():
            log.warning(
                "the masters of the Redis Cluster are now %s", ", ".join(f"{h}:{n}" for h, n in sorted(masters))
            )
        for gone in self._nodes.keys() - masters:
            closing = asyncio.get_running_loop().create_task(self._nodes.pop(gone).close())
            self._leaving.add(closing)
            closing.add_done_callback(self._leaving.discard)
        for new in masters - self._nodes.keys():
            self._nodes[new] = ClusterNode(self._at(new), self.look_anew, self._ask)
        self._ranges = [(start, end, self._nodes[addresses[0]]) for start, end, addresses in ranges]
        self._homes = {}
        everybody = {each for _, _, addresses in ranges for each in addresses}
        self._known = deque(dict.fromkeys([*self._known, *self._where.nodes, *everybody]))
        for each in set(self._known) - everybody - set(self._where.nodes):
            self._known.remove(each)


class BucketLink:
    """The way to the keys of one hash tag, wherever they are at the moment."""

    def __init__(self, cluster: RedisCluster[Any], tag: str) -> None:
        self._node_of = cluster.node_of
        self._slot = slot_of(tag)

    @property
    def node(self) -> ClusterNode[Any]:
        """See Link.node."""
        return self._node_of(self._slot)

    @property
    def client(self) -> Any:
        """See Link.client."""
        return self.node.client

    @property
    def name(self) -> str:
        """See Link.name."""
        return self.node.name

    async def call(self, answer: Awaitable[T], seconds: float = CALL_SECONDS) -> T:
        """See Link.call."""
        return await self.node.call(answer, seconds)

    async def ask(self, *commands: Command) -> list[Any]:
        """See Link.ask."""
        return await self.node.ask(*commands)

    async def ask_at_once(self, *commands: Command) -> list[Any]:
        """See Link.ask_at_once."""
        return await self.node.ask_at_once(*commands)

    async def ask_alone(self, *commands: Command, seconds: float = CALL_SECONDS) -> list[Any]:
        """See Link.ask_alone."""
        return await self.node.ask_alone(*commands, seconds=seconds)


def _read(said: Any, asked: Address) -> Iterator[tuple[int, int, list[Address]]]:
    for start, end, *nodes in said:
        addresses = []
        for host, port, *_ in nodes:
            name = host.decode("ascii") if isinstance(host, bytes) else host
            addresses.append((str(name) if name and name != "?" else asked[0], int(port)))
        if addresses:
            yield int(start), int(end), addresses
