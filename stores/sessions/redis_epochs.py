"""The epochs as Redis holds them: read beside every look-up, and told anew to a Redis that came back poorer."""

import asyncio
import logging
from collections.abc import Mapping

from stores.errors import SessionsAway, StoreFull, StoreTrouble
from stores.records import Records
from stores.sessions.packed import Told
from stores.sessions.redis_keys import Keys
from stores.sessions.redis_link import Conflict, RedisLink
from stores.sessions.redis_recovery import RedisRecovery

log = logging.getLogger("menshen.store")

_REPEATS = 5
_PAUSE_SECONDS = 0.25
_MERGE_SECONDS = 2.0  # WATCH, look and write are three round trips, and no phone waits for them


class RedisEpochs:
    """The counters of all mini programs, by which everybody's session ends at once.

    Beside them stands the name of the Redis that was told them. Under another name it has started or taken over since:
    then nothing that it says about sessions counts before it was told what it may have lost.
    """

    def __init__(self, link: RedisLink, keys: Keys, records: Records, recovery: RedisRecovery) -> None:
        self._link = link
        self._keys = keys
        self._records = records
        self._recovery = recovery
        self._raw = b""
        self._name: str | None = None  # of the Redis that is believed
        self._told_by_us: str | None = None  # one that was too full to note that it was told
        self._reminder: asyncio.Task[None] | None = None
        self.last: Mapping[str, int] = {}  # as they were read last; to be compared only with what is read afterwards

    def read(self, raw: bytes | None) -> Mapping[str, int]:
        """The counters in what Redis answered. Raises SessionsAway."""
        if not raw or raw != self._raw or self._name != self._link.name:
            told = Told.unpacked(raw)
            if not raw or told is None or not self._knows_all(told, self._link.name):
                self._remind()
                raise SessionsAway("Redis came back and has still to be told what it may have lost")
            self._believe(self._link.name)
            self._raw, self.last = raw, told.epochs
        return self.last

    def _knows_all(self, told: Told, name: str) -> bool:
        return name in (told.name, self._told_by_us)

    def _believe(self, name: str) -> None:
        if self._name not in (None, name):
            self._recovery.expect_latecomers()
        self._name = name

    async def fetch(self) -> Mapping[str, int]:
        """The counters as they are now. Raises SessionsAway."""
        return self.read(await self._link.call(self._link.client.get(self._keys.epochs)))

    async def push(self, epochs: Mapping[str, int]) -> None:
        """Raises those that are lower, and tells a Redis that may have lost something all of it.

        Raises SessionsAway, UsersAway, and StoreFull when Redis then lets in nobody at all.
        """
        name = await self._link.ask_name()
        [raw] = await self._link.call(self._link.client.mget(self._keys.epochs))
        told = Told.unpacked(raw)
        if told is not None and self._knows_all(told, name):
            await self._raise(epochs, told.name)
            ended = await self._recovery.tell_latecomers()
        else:
            ended = await self._recovery.tell(empty=told is None)
            kept = await self._records.epochs()
            await self._raise({**epochs, **kept}, "" if told is None else told.name)
            try:
                await self._raise({}, name)
            except StoreFull:
                self._told_by_us = name
            log.warning("the session store has started or taken over; it was told the epochs and what had ended")
        if ended:
            log.warning("%d sessions that had ended held again in the session store and were ended once more", ended)
        await self._recovery.mark()

    async def _raise(self, epochs: Mapping[str, int], name: str) -> None:
        for _ in range(_REPEATS):
            try:
                if await self._link.call(self._merge(epochs, name), _MERGE_SECONDS):
                    return
            except StoreFull:
                if not epochs:
                    raise
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

    async def _merge(self, epochs: Mapping[str, int], name: str) -> bool:
        """False when another process changed them in between."""
        async with self._link.client.pipeline(transaction=True) as pipe:
            await pipe.watch(self._keys.epochs)
            [raw] = await pipe.mget(self._keys.epochs)  # GET would fail on a value of another type, MGET gives none
            known = Told.unpacked(raw)
            before = dict(known.epochs if known else {})
            after = before | {appid: max(n, before.get(appid, 0)) for appid, n in epochs.items()}
            if known == Told(after, name):
                return True
            pipe.multi()
            pipe.set(self._keys.epochs, Told(after, name).packed())
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
            await self.push(await self._records.epochs())
        except StoreTrouble:
            await asyncio.sleep(_PAUSE_SECONDS)
