"""The epochs as Redis holds them: read beside every look-up, and written without ever lowering one."""

import logging
from collections.abc import Callable, Mapping

from stores.errors import SessionsAway, StoreFull
from stores.sessions.packed import Told
from stores.sessions.redis_keys import Keys
from stores.sessions.redis_link import Conflict, Link

log = logging.getLogger("menshen.store")

HALF_MOVED = b"a move into it was interrupted"  # in the place of the epochs; see redis_moving.py
_REPEATS = 5
_MERGE_SECONDS = 2.0  # WATCH, look and write are three round trips, and no phone waits for them


class RedisEpochs:
    """The counters of all mini programs, by which everybody's session ends at once, in one place.

    Beside them stands the name of the Redis that was told them. Under another name it has started or taken over since:
    then nothing that it says about sessions counts before it was told what it may have lost.
    """

    def __init__(self, link: Link, keys: Keys) -> None:
        self.link = link
        self.keys = keys
        self.came_back_poorer: Callable[[], object] = lambda: None
        self.changed: Callable[[], object] = lambda: None
        self.last: Mapping[str, int] = {}  # as they were read last; to be compared only with what is read afterwards
        self._raw = b""
        self._name: str | None = None  # of the Redis that is believed
        self._told_by_us: str | None = None  # one that was too full to note that it was told

    def read(self, raw: bytes | None) -> Mapping[str, int]:
        """The counters in what Redis answered. Raises SessionsAway."""
        if not raw or raw != self._raw or self._name != self.link.name:
            told = Told.unpacked(raw)
            if not raw or told is None or not self.knows_all(told, self.link.name):
                self.came_back_poorer()
                raise SessionsAway("Redis came back and has still to be told what it may have lost")
            self._believe(self.link.name)
            self._raw, self.last = raw, told.epochs
        return self.last

    def knows_all(self, told: Told, name: str) -> bool:
        """Whether a Redis of that name was told these itself, and what it may have lost."""
        return name in (told.name, self._told_by_us)

    def _believe(self, name: str) -> None:
        if self._name not in (None, name):
            self.changed()
        self._name = name

    async def fetch(self) -> Mapping[str, int]:
        """The counters as they are now. Raises SessionsAway."""
        return self.read(await self.link.call(self.link.client.get(self.keys.epochs)))

    async def raise_to(self, epochs: Mapping[str, int], name: str) -> None:
        """Raises those that are lower, under the name of the Redis that was told all.

        Raises SessionsAway, and StoreFull when Redis then lets in nobody at all.
        """
        for _ in range(_REPEATS):
            try:
                if await self.link.call(self._merge(epochs, name), _MERGE_SECONDS):
                    return
            except StoreFull:
                if not epochs:
                    raise
                if not await self._make_room(epochs):
                    # Counters that are too low let in whom they should keep out; none at all let in nobody.
                    await self.link.call(self.link.client.unlink(self.keys.epochs))
                    raise
        raise SessionsAway("the epochs do not come to rest")

    async def was_told(self, name: str) -> None:
        """The Redis of that name has been told everything; one that is too full to note it is believed by us alone."""
        try:
            await self.raise_to({}, name)
        except StoreFull:
            self._told_by_us = name

    async def _merge(self, epochs: Mapping[str, int], name: str) -> bool:
        """False when another process changed them in between."""
        async with self.link.client.pipeline(transaction=True) as pipe:
            await pipe.watch(self.keys.epochs)
            [raw] = await pipe.mget(self.keys.epochs)  # GET would fail on a value of another type, MGET gives none
            if raw == HALF_MOVED:
                log.error("a move into this Redis was interrupted: 'move --again' begins anew, or SESSIONS is another")
                raise SessionsAway("a move into this Redis was interrupted")
            known = Told.unpacked(raw)
            before = dict(known.epochs if known else {})
            after = before | {appid: max(n, before.get(appid, 0)) for appid, n in epochs.items()}
            if known == Told(after, name):
                return True
            pipe.multi()
            pipe.set(self.keys.epochs, Told(after, name).packed())
            for appid, counter in after.items():
                for old in range(before.get(appid, 0), counter):
                    pipe.sadd(self.keys.outdated, self.keys.app(appid, old))
            try:
                await pipe.execute()
            except Conflict:
                return False
            return True

    async def _make_room(self, epochs: Mapping[str, int]) -> bool:
        """A full Redis takes no new counter, and putting everybody out must not fail: the old indexes go first.

        They would have been emptied by the sweep, which wipes sealed keys too; those now go when they expire.
        """
        indexes = [self.keys.app(appid, counter - 1) for appid, counter in epochs.items() if counter]
        return bool(indexes and await self.link.call(self.link.client.unlink(*indexes)))
