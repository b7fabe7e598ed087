"""Connections to Redis: made with patience, and each knows which Redis it leads to.

A Redis names the past it goes on with (`master_replid` in INFO replication). It takes a new name when it starts and
when a replica becomes the master, which are the moments at which the last writes may be missing.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

from redis import asyncio as aioredis
from redis import exceptions
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel
from redis.backoff import NoBackoff

from settings import RedisUrl

_NAME = re.compile(rb"^master_replid:([0-9a-f]{40})\r?$", re.MULTILINE)
_MASTER = re.compile(rb"^role:master\r?$", re.MULTILINE)
_NOBODY = "?"
_SENTINEL_SECONDS = 0.5  # one that hangs; the next is asked then
_SILENCE_SECONDS = 2.0  # for what no call waits for any more: a handshake under way, redis-py's own UNWATCH
_CONNECTIONS = 16


def _name_in(about: Any) -> str:
    """The name in an answer to INFO replication; empty when there is none."""
    found = _NAME.search(about if isinstance(about, bytes) else b"")
    return found[1].decode("ascii") if found else ""


class _Asking:
    """Part of a connection: asks for the name whenever it is made, also when redis-py makes it anew by itself."""

    name = ""

    def __init__(self, *, learned: Callable[[str], None], **options: Any) -> None:
        super().__init__(**options)
        self._learned = learned

    async def on_connect_check_health(self: Any, check_health: bool = True) -> None:
        """Called by redis-py when the socket is open."""
        await super().on_connect_check_health(check_health)  # type: ignore[misc]  # the class beside this one has it
        await self.send_command("INFO", "replication", check_health=False)
        try:
            self.learn_from(await self.read_response(disable_decoding=True))
        except exceptions.NoPermissionError:
            self.learn_from(None)

    async def exchange(self: Any, packed: bytes, answers: int) -> list[Any]:
        """Sends commands that are packed already, and gives so many answers; an error that Redis tells is one of them.

        redis-py's own way costs a task for each write and a clock for each answer; the one deadline around all of it is
        the caller's. What is given up half-way closes the connection. Raises redis-py's ConnectionError.
        """
        try:
            self._writer.write(packed)
            await self._writer.drain()
            return [await self._parser.read_response(disable_decoding=True) for _ in range(answers)]
        except BaseException as error:
            await self.disconnect(nowait=True)
            if isinstance(error, OSError):
                raise exceptions.ConnectionError(type(error).__name__) from None
            raise

    def learn_from(self, about: Any) -> None:
        """Takes the name from an answer to INFO replication; None when Redis does not say."""
        self.name = _name_in(about)
        self._learned(self.name)


class _Connection(_Asking, aioredis.Connection):
    pass


class _SSLConnection(_Asking, aioredis.SSLConnection):
    pass


class _Following:
    """Part of a connection to the master behind Sentinels: asks them where it is, whenever the connection is made."""

    def __init__(self, *, where_is: Callable[[], Awaitable[tuple[str, int]]], **options: Any) -> None:
        super().__init__(**options)
        self._where_is = where_is

    async def _connect(self: Any) -> None:
        self.host, self.port = await self._where_is()
        await super()._connect()  # type: ignore[misc]  # the class beside this one has it

    def learn_from(self, about: Any) -> None:
        """Refuses one that is no master, or no longer: a Sentinel may be the last to know."""
        if isinstance(about, bytes) and not _MASTER.search(about):
            raise exceptions.ConnectionError("it is no master")
        super().learn_from(about)  # type: ignore[misc]  # the class beside this one has it


class _ConnectionToMaster(_Following, _Connection):
    pass


class _SSLConnectionToMaster(_Following, _SSLConnection):
    pass


_KINDS: dict[tuple[bool, bool], type[_Connection | _SSLConnection]] = {
    (False, False): _Connection,
    (True, False): _SSLConnection,
    (False, True): _ConnectionToMaster,
    (True, True): _SSLConnectionToMaster,
}


class _Sentinels:
    """The Sentinels of one master."""

    def __init__(self, where: RedisUrl) -> None:
        self._name = where.master
        options: dict[str, Any] = {
            "socket_timeout": _SENTINEL_SECONDS,
            "socket_connect_timeout": _SENTINEL_SECONDS,
            "retry": Retry(NoBackoff(), 0),
            "ssl": where.tls,
        }
        login = {"username": where.user or None, "password": where.password.reveal() or None}
        make: Any = Sentinel  # redis-py does not annotate it
        self._open = make(where.sentinels, sentinel_kwargs=options)
        self._locked = make(where.sentinels, sentinel_kwargs=options | login)

    async def where_is(self) -> tuple[str, int]:
        """Where the master is. The Sentinels are asked without a password, and with that of Redis if they want one."""
        try:
            host, port = await self._open.discover_master(self._name)
        except MasterNotFoundError:
            host, port = await self._locked.discover_master(self._name)
        return str(host), int(port)

    async def close(self) -> None:
        """Closes every connection to them."""
        for each in (*self._open.sentinels, *self._locked.sentinels):
            await each.aclose()


class PatientPool(aioredis.BlockingConnectionPool):
    """Lets a handshake go on when the call that began it has run out of time; the next call finds it done.

    AUTH, SELECT and the names that redis-py gives itself are a round trip each: a Redis 150 ms away would never be
    reached if every call that gave up took its half-made connection with it.
    """

    def __init__(self, sentinels: _Sentinels | None, **options: Any) -> None:
        super().__init__(learned=self._learn, **options)
        self._sentinels = sentinels
        self._handshakes: dict[Any, asyncio.Task[None]] = {}
        self._waiting = 0  # for a connection, in redis-py's own way
        self.name = ""  # of the Redis that was connected to last

    @classmethod
    def of(cls, where: RedisUrl) -> "PatientPool":
        """The pool for the Redis of that URL; nothing is connected yet."""
        sentinels = _Sentinels(where) if where.sentinels else None
        return cls(
            sentinels,
            **({} if sentinels is None else {"where_is": sentinels.where_is}),
            connection_class=_KINDS[where.tls, sentinels is not None],
            max_connections=_CONNECTIONS,
            timeout=_SILENCE_SECONDS,  # the wait for a connection falls under the deadline of the call too
            host=where.host,
            port=where.port,
            username=where.user or None,
            password=where.password.reveal() or None,
            db=where.db,
            protocol=2,
            socket_timeout=_SILENCE_SECONDS,  # the deadline of a call is ours, around the whole of it
            socket_connect_timeout=_SILENCE_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )

    async def lend(self) -> Any:
        """A connection to use; raises as `get_connection`, of which it is the short way while one is idle.

        redis-py takes two locks and fills in figures for each use, which is a twentieth of what a verify costs.
        """
        if self._waiting or not self._available_connections:
            return await self.get_connection()
        connection = self._available_connections.pop()
        self._in_use_connections.add(connection)
        try:
            await self.ensure_connection(connection)
        except BaseException:
            await self.release(connection)
            raise
        return connection

    async def take_back(self, connection: Any) -> None:
        """The short way of `release`: when nobody waits to be told of it."""
        if self._waiting or connection.should_reconnect():
            await self.release(connection)
        else:
            self._in_use_connections.remove(connection)
            self._available_connections.append(connection)

    async def get_connection(self, *args: Any, **options: Any) -> Any:
        """See BlockingConnectionPool."""
        self._waiting += 1
        try:
            return await super().get_connection(*args, **options)  # type: ignore[no-untyped-call]  # redis-py's
        finally:
            self._waiting -= 1

    async def ensure_connection(self, connection: Any) -> None:
        """Called by redis-py for each connection before it is used."""
        if connection not in self._handshakes:
            if connection.is_connected and connection.name == self.name:
                await super().ensure_connection(connection)
                return
            await connection.disconnect()  # it leads to a Redis of the past, when it leads anywhere
            self._begin(connection)
        handshake = self._handshakes[connection]
        try:
            await asyncio.shield(handshake)
        except asyncio.CancelledError:
            if not handshake.cancelled():
                raise
            raise exceptions.ConnectionError("given up") from None  # the pool was closed, and nobody else cancelled it

    async def give_up(self) -> None:
        """Cancels the handshakes under way, and lets go of the Sentinels."""
        handshakes = list(self._handshakes.values())
        for handshake in handshakes:
            handshake.cancel()
        await asyncio.gather(*handshakes, return_exceptions=True)
        if self._sentinels is not None:
            await self._sentinels.close()

    def look_anew(self) -> None:
        """Behind Sentinels: no connection is used again before it was seen to lead to the master."""
        if self._sentinels is not None:
            self.name = _NOBODY

    def _learn(self, name: str) -> None:
        self.name = name

    def _begin(self, connection: Any) -> None:
        handshake = asyncio.get_running_loop().create_task(super().ensure_connection(connection))
        self._handshakes[connection] = handshake
        handshake.add_done_callback(lambda done: self._ended(connection, done))

    def _ended(self, connection: Any, handshake: asyncio.Task[None]) -> None:
        del self._handshakes[connection]
        if not handshake.cancelled():
            handshake.exception()  # looked at here, so that asyncio does not complain when nobody waits any more
