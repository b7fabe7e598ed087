"""Sessions in one Redis, alone or behind Sentinels: all of them are one bucket."""

from collections.abc import Mapping

from stores.records import Records
from stores.sessions.packed import Packer
from stores.sessions.promise import Advice, new_token
from stores.sessions.redis_bucket import RedisBucket
from stores.sessions.redis_keys import Keys
from stores.sessions.redis_link import RedisLink
from stores.sessions.redis_moving import begin_move, end_move
from stores.sessions.redis_recovery import RedisRecovery


class RedisSessions(RedisBucket):
    """The promise, kept in one Redis (alone, or the master that a name leads to)."""

    def __init__(self, link: RedisLink, keys: Keys, packer: Packer, records: Records) -> None:
        """`records` is what SQL keeps for good, for a Redis that may have lost it."""
        super().__init__(link, keys, packer)
        self._node = link
        self._records = records
        self._recovery = RedisRecovery([self._epochs], lambda _: self._epochs, records, self._end_again)

    async def start(self) -> None:
        """See Sessions.start."""
        await self._node.start()
        await self._recovery.begin()

    async def advice(self) -> list[Advice]:
        """See Sessions.advice."""
        return await self._node.advice()

    def new_token(self, user_id: int) -> str:
        """See Sessions.new_token."""
        del user_id
        return new_token()

    async def set_epochs(self, epochs: Mapping[str, int]) -> None:
        """See Sessions.set_epochs."""
        await self._recovery.push(epochs)

    async def begin_move(self, *, again: bool) -> None:
        """See redis_moving.begin_move; where anything lies already, a session ended elsewhere since would revive."""
        await begin_move([self._epochs], [self._node], self._keys.everything, again=again)

    async def end_move(self, epochs: Mapping[str, int]) -> None:
        """All sessions are here: from now on they count."""
        await end_move([self._epochs])
        await self.set_epochs(epochs)

    async def close(self) -> None:
        """See Sessions.close."""
        await self._recovery.stop()
        await self.stop()
        await self._node.close()
