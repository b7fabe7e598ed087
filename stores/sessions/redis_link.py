"""The connection to Redis: short deadlines, no silent repeats, and the driver's errors in our own words.

redis-py by itself would try for most of a minute before it admits that Redis hangs. Here every call has one deadline
for everything, the wait for a connection included, and what failed is not repeated: the phone keeps its token and comes
back. A call given up half-way closes its connection, so that no later call can read its answer.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any, Protocol, TypeVar

import hiredis

# aioredis cannot be imported since Python 3.11 and is abandoned; redis.asyncio is its official successor.
from redis import asyncio as aioredis
from redis import exceptions

from settings import RedisUrl
from stores.errors import SessionsAway, StoreFull, StoreTrouble, WrongCredentials
from stores.pulse import Pulse
from stores.sessions.promise import Advice
from stores.sessions.redis_pool import PatientPool
from stores.shared_lookup import SharedLookup

log = logging.getLogger("menshen.store")
T = TypeVar("T")
Pipeline = (
    Any  # redis-py's own annotations mix the answers of its two clients; what comes back is checked where it is read
)
Command = tuple[bytes | int | float, ...]
_packed: Callable[[Command], bytes] = hiredis.pack_command  # type: ignore[assignment]  # its stub wants one word

Conflict = exceptions.WatchError  # a watched key changed: nothing was written, look again

# What a node of a cluster says of keys that are not, or not yet, or no longer, its own.
_ELSEWHERE = (exceptions.AskError, exceptions.TryAgainError, exceptions.ClusterDownError)

CALL_SECONDS = 0.4  # with the rest of a request this keeps a verify under 600 ms while Redis is frozen
_LONGEST_SECONDS = 2.0  # for a call in a burst, while Redis answers others
_OLDEST = (7, 0)  # EXPIREAT … GT
_HOPELESS = (exceptions.AuthenticationError, exceptions.NoPermissionError)
_IN_ONE_TRIP = 64  # commands whose answers are read in one go; a loop that reads hundreds answers nobody meanwhile
_MOST_ASKERS = 64  # who share a trip
_AT_A_TIME = 16


class Link(Protocol):
    """The way to the Redis that holds certain keys, which in a cluster may change."""

    @property
    def node(self) -> "RedisLink":
        """That Redis. Raises SessionsAway when nobody knows which it is."""

    @property
    def client(self) -> Any:
        """Its client, for the moment. Raises SessionsAway."""

    @property
    def name(self) -> str:
        """See RedisLink.name."""

    async def call(self, answer: Awaitable[T], seconds: float = CALL_SECONDS) -> T:
        """See RedisLink.call."""

    async def ask(self, *commands: Command) -> list[Any]:
        """See RedisLink.ask."""

    async def ask_at_once(self, *commands: Command) -> list[Any]:
        """See RedisLink.ask_at_once."""

    async def ask_alone(self, *commands: Command, seconds: float = CALL_SECONDS) -> list[Any]:
        """See RedisLink.ask_alone."""


class Place(Protocol):
    """Keys that lie together."""

    @property
    def link(self) -> Link:
        """The way there."""


P = TypeVar("P", bound=Place)


class RedisLink:
    """One Redis, and whether it answers."""

    def __init__(self, where: RedisUrl) -> None:
        self._where = where
        self._pool = PatientPool.of(where)
        self.client: Any = aioredis.Redis(connection_pool=self._pool)
        self.pulse = Pulse("the session store", self._ping, StoreTrouble)
        self._answers = 0
        self._trips: SharedLookup[tuple[Command, ...], list[Any]] = SharedLookup(self._travel, most=_MOST_ASKERS)

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
    def node(self) -> "RedisLink":
        """See Link.node."""
        return self

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

    async def ask(self, *commands: Command) -> list[Any]:
        """What Redis answers to these commands; whoever asks in this turn of the loop shares the round trip.

        Raises SessionsAway, StoreFull: the first error that was among the answers.
        """
        with self.troubles():
            return _without_errors(await self._trips.get(commands))

    async def ask_at_once(self, *commands: Command) -> list[Any]:
        """The same in MULTI/EXEC: all of them happen together, or none."""
        with self.troubles():
            *queued, answers = await self._trips.get(((b"MULTI",), *commands, (b"EXEC",)))
            _without_errors([*queued, answers])
            return _without_errors(answers)

    async def ask_alone(self, *commands: Command, seconds: float = CALL_SECONDS) -> list[Any]:
        """The same in a round trip of its own, for what has been gathered already; given up after `seconds`."""
        [answers] = await self._travel([commands], seconds)
        with self.troubles():
            return _without_errors(answers)

    async def _travel(self, askers: list[tuple[Command, ...]], seconds: float = CALL_SECONDS) -> list[list[Any]]:
        packed = b"".join(_packed(command) for commands in askers for command in commands)
        answers = iter(await self.call(self._exchange(packed, sum(map(len, askers))), seconds))
        return [list(islice(answers, len(commands))) for commands in askers]

    async def _exchange(self, packed: bytes, answers: int) -> list[Any]:
        connection = await self._pool.lend()
        try:
            return list(await connection.exchange(packed, answers))
        finally:
            await self._pool.take_back(connection)

    async def each(self, commands: Sequence[Callable[[Pipeline], object]]) -> list[Any]:
        """What Redis answers to each of these, in few trips; a StoreTrouble in the place of what it did not answer."""
        answers: list[Any] = []
        for start in range(0, len(commands), _IN_ONE_TRIP):
            some = commands[start : start + _IN_ONE_TRIP]
            pipe = self.client.pipeline(transaction=False)
            for add in some:
                add(pipe)
            try:
                answers += map(self._in_our_words, await self.call(pipe.execute(raise_on_error=False)))
            except StoreTrouble as trouble:
                answers += [trouble] * len(some)
        return answers

    def _in_our_words(self, answer: Any) -> Any:
        if not isinstance(answer, Exception):
            return answer
        try:
            with self.troubles():
                raise answer
        except StoreTrouble as trouble:
            return trouble

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
            elsewhere = isinstance(error, _ELSEWHERE)
            refused = isinstance(error, exceptions.ResponseError) and not elsewhere
            did = "refused a command" if refused else "is not the one to ask" if elsewhere else "does not answer"
            why = f"Redis at {self._where.address} {did} ({type(error).__name__})"
            if refused:
                log.error("Redis refused a command: %s", str(error).split(" ", 1)[0])
            else:
                self.lost(why, elsewhere=elsewhere)
            raise SessionsAway(why) from None

    def lost(self, why: str, *, elsewhere: bool) -> None:
        """A call failed because Redis is away, or because in a cluster another node is to be asked."""
        del elsewhere
        self.pulse.lost(why)

    async def keys(self, pattern: bytes) -> AsyncIterator[list[bytes]]:
        """All keys of this pattern, some at a time, never none.

        A walk over all keys, which no request may cost: only the command `move` asks this, before any server.
        """
        cursor = None
        while cursor != 0:
            cursor, found = await self.call(self.client.scan(cursor or 0, match=pattern, count=1_000))
            if found:
                yield found

    async def forget(self, keys: Sequence[bytes]) -> None:
        """These go."""
        sure(await self.each([partial(_unlink, key=key) for key in keys]))

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
        await self._trips.close()
        await self.client.aclose()
        await self._pool.give_up()
        await self._pool.disconnect()

    async def _ping(self) -> None:
        await self.call(self.client.ping())


def _unlink(pipe: Pipeline, key: bytes) -> None:
    pipe.unlink(key)


async def at_each(places: Sequence[P], add: Callable[[Pipeline, P], object]) -> list[Any]:
    """What the one command that `add` gives a pipeline is answered at each place, asked of all nodes at once.

    A StoreTrouble stands in the place of an answer that did not come.
    """
    answers: list[Any] = [None] * len(places)
    of_nodes: dict[RedisLink, list[int]] = {}
    for n, place in enumerate(places):
        try:
            of_nodes.setdefault(place.link.node, []).append(n)
        except SessionsAway as away:
            answers[n] = away

    async def ask(node: RedisLink, numbers: list[int]) -> None:
        commands = [lambda pipe, place=places[n]: add(pipe, place) for n in numbers]
        for n, answer in zip(numbers, await node.each(commands), strict=True):
            answers[n] = answer

    await asyncio.gather(*(ask(*each) for each in of_nodes.items()))
    return answers


def sure(answers: list[Any]) -> list[Any]:
    """The answers of `at_each`. Raises the first StoreTrouble among them."""
    for each in answers:
        if isinstance(each, StoreTrouble):
            raise each
    return answers


async def in_turns(work: Iterable[Awaitable[T]]) -> list[T]:
    """What all of these give, some under way at a time. When one failed, raises what it did, after all have ended."""
    turns = asyncio.Semaphore(_AT_A_TIME)

    async def in_turn(each: Awaitable[T]) -> T:
        async with turns:
            return await each

    ended = await asyncio.gather(*map(in_turn, work), return_exceptions=True)
    for each in ended:
        if isinstance(each, BaseException):
            raise each
    return [each for each in ended if not isinstance(each, BaseException)]


def _without_errors(answers: list[Any]) -> list[Any]:
    for each in answers:
        if isinstance(each, Exception):
            raise each
    return answers


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
