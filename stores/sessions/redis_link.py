"""The connection to Redis: short deadlines, no silent repeats, and the driver's errors in our own words.

redis-py by itself would try for most of a minute before it admits that Redis hangs. Here every call has one deadline
for everything, the wait for a connection included, and what failed is not repeated: the phone keeps its token and comes
back. A call given up half-way closes its connection, so that no later call can read its answer.
"""

import asyncio
import logging
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

# aioredis cannot be imported since Python 3.11 and is abandoned; redis.asyncio is its official successor.
from redis import asyncio as aioredis
from redis import exceptions

from settings import RedisUrl
from stores.errors import SessionsAway, StoreFull, StoreTrouble, WrongCredentials
from stores.pulse import Pulse
from stores.sessions.promise import Advice
from stores.sessions.redis_pool import PatientPool

log = logging.getLogger("menshen.store")
T = TypeVar("T")
Pipeline = (
    Any  # redis-py's own annotations mix the answers of its two clients; what comes back is checked where it is read
)

Conflict = exceptions.WatchError  # a watched key changed: nothing was written, look again

CALL_SECONDS = 0.4  # with the rest of a request this keeps a verify under 600 ms while Redis is frozen
_LONGEST_SECONDS = 2.0  # for a call in a burst, while Redis answers others
_OLDEST = (7, 0)  # EXPIREAT … GT
_HOPELESS = (exceptions.AuthenticationError, exceptions.NoPermissionError)


class RedisLink:
    """One Redis, and whether it answers."""

    def __init__(self, where: RedisUrl) -> None:
        self._where = where
        self._pool = PatientPool.of(where)
        self.client: Any = aioredis.Redis(connection_pool=self._pool)
        self.pulse = Pulse("the session store", self._ping, StoreTrouble)
        self._answers = 0

    async def start(self) -> None:
        """Asks once. Raises WrongCredentials; a Redis that is merely away will be asked again."""
        try:
            async with asyncio.timeout(CALL_SECONDS * 3):
                await self.client.ping()
        except _HOPELESS:
            raise WrongCredentials("Redis refuses the user name or password in SESSIONS") from None
        except (exceptions.RedisError, OSError):
            log.warning("starting without the session store; nobody can be let in before it answers")

    @property
    def name(self) -> str:
        """Which past the Redis that answered last goes on with; empty when it does not say.

        It changes with every restart and every fail-over, so with everything that can lose a write.
        """
        return self._pool.name

    async def ask_name(self) -> str:
        """The name as it is now; connections that know an older one are made anew. Raises SessionsAway."""
        self._pool.name = await self.call(self._ask_name())
        return self._pool.name

    async def _ask_name(self) -> str:
        try:
            return str((await self.client.info("replication")).get("master_replid", ""))
        except exceptions.NoPermissionError:
            return ""

    async def call(self, answer: Awaitable[T], seconds: float = CALL_SECONDS) -> T:
        """What Redis answers, given up after `seconds` of silence. Raises SessionsAway, StoreFull."""
        with self.troubles():
            found = await self._patiently(asyncio.ensure_future(answer), seconds)
        self.pulse.beats = True
        self._answers += 1
        return found

    async def _patiently(self, task: "asyncio.Future[T]", seconds: float) -> T:
        """Waits in two halves, and on while other calls are answered: a burst of ours is no outage of Redis's.

        In two halves, because a loop that was held up finds the clock run out before it has looked at the socket.
        """
        give_up_at = asyncio.get_running_loop().time() + max(seconds, _LONGEST_SECONDS)
        silent_halves = 0
        try:
            while silent_halves < 2 and asyncio.get_running_loop().time() < give_up_at:
                heard = self._answers
                await asyncio.wait({task}, timeout=seconds / 2)
                if task.done():
                    return task.result()
                silent_halves = silent_halves + 1 if heard == self._answers else 0
            raise TimeoutError
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            elif not task.cancelled():
                task.exception()  # looked at also when we were cancelled at that moment, or asyncio complains

    @contextmanager
    def troubles(self) -> Iterator[None]:
        """Turns what the driver raises into SessionsAway or StoreFull; its texts are dropped, they may quote values."""
        try:
            yield
        except (exceptions.OutOfMemoryError, exceptions.ReadOnlyError) as error:
            if isinstance(error, exceptions.ReadOnlyError):
                self._pool.look_anew()
            raise StoreFull(type(error).__name__) from None
        except (exceptions.RedisError, OSError) as error:  # OSError holds TimeoutError too
            refused = isinstance(error, exceptions.ResponseError)
            did = "refused a command" if refused else "does not answer"
            why = f"Redis at {self._where.address} {did} ({type(error).__name__})"
            if refused:
                log.error("Redis refused a command: %s", str(error).split(" ", 1)[0])
            else:
                self.pulse.lost(why)
            raise SessionsAway(why) from None

    async def advice(self) -> list[Advice]:
        """What in Redis's own configuration puts sessions at risk, in sentences."""
        try:
            about = await self.call(self.client.info())
        except StoreTrouble:
            return []  # an ACL may deny INFO; then there is nothing to say
        return list(_risks(about, self._where))

    async def close(self) -> None:
        """Closes every connection."""
        await self.pulse.stop()
        await self.client.aclose()
        await self._pool.give_up()
        await self._pool.disconnect()

    async def _ping(self) -> None:
        await self.call(self.client.ping())


def _risks(about: dict[str, Any], where: RedisUrl) -> Iterator[Advice]:
    version = tuple(int(part) for part in str(about.get("redis_version", "0.0")).split(".")[:2])
    if version < _OLDEST:
        found = str(about.get("redis_version"))
        yield Advice("redis_too_old", f"Redis {found} is too old: 7.0 or newer is needed", found)
    if not about.get("aof_enabled"):
        sentence = "Redis has appendonly off: a restart of Redis can log everybody out. Set appendonly yes"
        yield Advice("redis_not_persistent", sentence)
    if about.get("maxmemory_policy", "noeviction") != "noeviction":
        policy = str(about["maxmemory_policy"])
        yield Advice(
            "redis_evicts", f"Redis has maxmemory-policy {policy}, which logs people out. Set noeviction", policy
        )
    hosts = [where.host, *(host for host, _ in where.sentinels)]
    if not where.password and not all(host.startswith("127.") or host in ("localhost", "::1") for host in hosts):
        sentence = "Redis is asked without a password on an address that is not this machine's own"
        yield Advice("redis_open", sentence)
