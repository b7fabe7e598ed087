"""What a Redis that came back poorer is told again: who is kept out, and which sessions had ended.

Copies lag behind their master and a log is written to disk after the answer, so a Redis that restarted or took over may
have lost a revocation that was acknowledged. The facts in SQL have it.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import get_args

from stores.errors import StoreFull
from stores.records import Records
from stores.sessions.promise import MEMORY_SECONDS, Reason
from stores.sessions.redis_keys import Keys
from stores.sessions.redis_link import RedisLink

_REASONS: dict[str | None, Reason] = {each: each for each in get_args(Reason)}
_MARGIN_SECONDS = 60  # clocks of several machines, and an end that was under way when the mark was written
_AGAIN_SECONDS = 120  # facts of other processes that were late, and ends that a master on its way out had taken
_BEFORE_SECONDS = 300  # how long such a master may have gone on before anybody noticed


class RedisRecovery:
    """Ends again, in Redis, what SQL says has ended."""

    def __init__(
        self,
        link: RedisLink,
        keys: Keys,
        records: Records,
        end_again: Callable[[Sequence[bytes], Reason], Awaitable[int]],
    ) -> None:
        """`end_again` ends those of these sessions that hold, and says how many they were."""
        self._link = link
        self._keys = keys
        self._records = records
        self._end_again = end_again
        self._again_from = 0
        self._again_until = 0

    async def mark(self) -> None:
        """Leaves in Redis how far it has come. A full Redis, or a copy, keeps the older mark, which is as good."""
        with suppress(StoreFull):
            await self._link.call(self._link.client.set(self._keys.written, _now()))

    async def tell(self, *, empty: bool) -> int:
        """Tells Redis all that it may have lost since it was marked; gives how many sessions ended once more.

        `empty` says that it does not know the epochs either; without a mark there is no session in it then.
        Raises SessionsAway, UsersAway.
        """
        async for generations in self._records.blocks():
            with suppress(StoreFull):  # then it takes nobody in either
                await self._link.call(self._link.client.zadd(self._keys.generations, dict(generations), gt=True))
        [raw] = await self._link.call(self._link.client.mget(self._keys.written))
        if raw is None and empty:
            return 0
        marked = int(raw) if raw and raw.isdigit() else _now() - MEMORY_SECONDS
        return await self._end_since(marked - _MARGIN_SECONDS)

    def expect_latecomers(self) -> None:
        """Redis changed under this process: for a while `tell_latecomers` has something to do."""
        self._again_from, self._again_until = _now() - _BEFORE_SECONDS, _now() + _AGAIN_SECONDS

    async def tell_latecomers(self) -> int:
        """Tells Redis of ends that came into SQL after it had been told; gives how many sessions ended once more."""
        began = _now()
        if began > self._again_until:
            return 0
        ended = await self._end_since(self._again_from)
        self._again_from = began - _MARGIN_SECONDS
        return ended

    async def _end_since(self, since: int) -> int:
        ended = 0
        async for some in self._records.ends(since):
            for reason in {reason for _, reason in some}:
                ids = [each for each, why in some if why == reason]
                ended += await self._end_again(ids, _REASONS.get(reason, "revoked"))
        return ended


def _now() -> int:
    return int(time.time())
