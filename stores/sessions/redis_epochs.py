"""The epochs as Redis holds them: read beside every look-up, and told anew to a Redis that came back poorer."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping

from stores.errors import SessionsAway, StoreFull, StoreTrouble
from stores.sessions.packed import read_epochs
from stores.sessions.redis_keys import Keys
from stores.sessions.redis_link import Conflict, RedisLink

log = logging.getLogger("menshen.store")

_REPEATS = 5
_PAUSE_SECONDS = 0.25
_MERGE_SECONDS = 2.0  # WATCH, look and write are three round trips, and no phone waits for them


class RedisEpochs:
    """The counters of all mini programs, by which everybody's session ends at once."""

    def __init__(self, link: RedisLink, keys: Keys, all_epochs: Callable[[], Awaitable[Mapping[str, int]]]) -> None:
        """`all_epochs` reads the counters from where they are kept for good."""
        self._link = link
        self._keys = keys
        self._all_epochs = all_epochs
        self._raw = b""
        self._reminder: asyncio.Task[None] | None = None
        self.last: Mapping[str, int] = {}  # as they were read last; to be compared only with what is read afterwards

    def read(self, raw: bytes | None) -> Mapping[str, int]:
        """The counters in what Redis answered. Raises SessionsAway.

        A Redis without them came back empty or poorer: nothing it says about sessions counts until it was told them.
        """
        if not raw or raw != self._raw:
            counters = read_epochs(raw)
            if not raw or counters is None:
                self._remind()
                raise SessionsAway("Redis came back without its epochs")
            self._raw, self.last = raw, counters
        return self.last

    async def fetch(self) -> Mapping[str, int]:
        """The counters as they are now. Raises SessionsAway."""
        return self.read(await self._link.call(self._link.client.get(self._keys.epochs)))

    async def push(self, epochs: Mapping[str, int]) -> None:
        """Raises those that are lower. Raises SessionsAway, and StoreFull when Redis then lets in nobody at all."""
        for _ in range(_REPEATS):
            try:
                if await self._link.call(self._merge(epochs), _MERGE_SECONDS):
                    return
            except StoreFull:
                if not await self._make_room(epochs):
                    # Counters that are too low let in whom they should keep out; none at all let in nobody.
                    await self._link.call(self._link.client.unlink(self._keys.epochs))
                    raise
        raise SessionsAway("the epochs do not come to rest")

    async def stop(self) -> None:
        """Ends what is under way."""
        if self._reminder is not None:
            self._reminder.cancel()
            await asyncio.gather(self._reminder, return_exceptions=True)

    async def _merge(self, epochs: Mapping[str, int]) -> bool:
        """False when another process changed them in between."""
        async with self._link.client.pipeline(transaction=True) as pipe:
            await pipe.watch(self._keys.epochs)
            [raw] = await pipe.mget(self._keys.epochs)  # GET would fail on a value of another type, MGET gives none
            known = read_epochs(raw)
            before = dict(known or {})
            after = before | {appid: max(n, before.get(appid, 0)) for appid, n in epochs.items()}
            if known is not None and after == before:
                return True
            pipe.multi()
            pipe.set(self._keys.epochs, json.dumps(after, sort_keys=True).encode("ascii"))
            for appid, counter in after.items():
                for old in range(before.get(appid, 0), counter):
                    pipe.sadd(self._keys.outdated, self._keys.app(appid, old))
            try:
                await pipe.execute()
            except Conflict:
                return False
            return True

    async def _make_room(self, epochs: Mapping[str, int]) -> bool:
        """A full Redis takes no new counter, and putting everybody out must not fail: the old indexes go first.

        They would have been emptied by the sweep, which wipes sealed keys too; those now go when they expire.
        """
        indexes = [self._keys.app(appid, counter - 1) for appid, counter in epochs.items() if counter]
        return bool(indexes and await self._link.call(self._link.client.unlink(*indexes)))

    def _remind(self) -> None:
        """Tells Redis again, once at a time."""
        if self._reminder is None or self._reminder.done():
            self._reminder = asyncio.get_running_loop().create_task(self._tell())

    async def _tell(self) -> None:
        try:
            await self.push(await self._all_epochs())
            log.warning("the session store had lost its epochs and was told them again")
        except StoreTrouble:
            await asyncio.sleep(_PAUSE_SECONDS)
