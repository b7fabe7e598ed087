"""MySQL and MariaDB through aiomysql, with a deadline on every call and a fair queue for connections.

aiomysql has no time limit on a query and lets late-comers overtake at its pool; both are made good here. A connection
on which anything went wrong is closed, never reused: its next answer could belong to the call before.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiomysql
import pymysql

from settings import MysqlUrl
from stores.db.promise import BROWSE_SECONDS, MOST_BROWSING, READ_SECONDS, WRITE_SECONDS, Script, T
from stores.db.schema import NEWEST, UPKEEP, check_version
from stores.db.statements import Dialect, Query, Result, Row, history
from stores.errors import StoreFull, StoreTrouble, UsersAway, UsersRefuse, WrongCredentials, WrongSchema
from stores.pulse import Pulse

log = logging.getLogger("menshen.store")

_CONNECTIONS = 10
_FOR_LISTS = 3  # of them, so that logins always find one
_MOST_WAITING = 2_000
_AT_ONCE = 8  # rows of a list that are decoded in one turn of the loop: about a third of a millisecond
_REPEATABLE = {1205, 1213}  # lock wait timeout, deadlock: the transaction was undone whole
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.01, 0.1  # before a repeat, so that whoever was in the way is done
_REFUSES_TO_WRITE = {1021, 1114, 1290, 1836, 3100}  # disk full, table full, read-only in its three ways
_WRONG_CREDENTIALS = {1044, 1045, 1698}
_CLIENT_SIDE = 2000  # errors from here on are the driver's own: no server, no connection, no answer
_NO_SUCH_DATABASE = 1049
_NO_SUCH_TABLE = 1146
_THERE_ALREADY = {1060, 1061}  # MySQL 8 has no ADD COLUMN IF NOT EXISTS
_ABOUT = (
    *("version", "transaction_isolation", "tx_isolation", "character_set_database"),
    *("innodb_flush_log_at_trx_commit", "sync_binlog", "log_bin", "read_only"),
)
_UPGRADE_LOCK = "menshen_upgrade"
# A value that does not fit is an error, not cut; notes ("table exists already") are no news and stay on the server.
_SESSION = "SET SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION', time_zone = '+00:00', sql_notes = 0"


class Mysql:
    """The engine for a MySQL or MariaDB server. One instance belongs to one event loop."""

    dialect: Dialect = "mysql"

    def __init__(self, where: MysqlUrl) -> None:
        self._where = where
        self._free: list[Any] = []  # connections, the one that was used last at the end
        self._used: set[Any] = set()
        self._turns = asyncio.Semaphore(_CONNECTIONS)
        self._waiting = 0
        self.full = False
        self._answered = 0  # calls that the server did
        self._lists = asyncio.Semaphore(_FOR_LISTS)
        self._browsing = 0
        self._pulse = Pulse("the user database", self.ping, StoreTrouble)

    @property
    def answers(self) -> bool:
        """Whether the last call got an answer."""
        return self._pulse.beats

    async def start(self) -> None:
        """Connects. Raises WrongSchema or WrongCredentials; a server that is merely away will be asked again."""
        try:
            await self.ping()
        except (WrongSchema, WrongCredentials):
            raise
        except StoreTrouble:
            log.warning("starting without the user database; logins wait for it")

    async def ping(self) -> None:
        """Returns when the server answers and its schema is of our version."""
        async with self._connection(READ_SECONDS) as connection:
            check_version(await _version(connection))

    async def about(self) -> dict[str, str]:
        """See Database.about."""
        async with self._connection(READ_SECONDS) as connection:
            names = {"names": _ABOUT}
            found = await _run(connection, "SHOW VARIABLES WHERE Variable_name IN %(names)s", names)
            status = await _run(connection, "SHOW STATUS LIKE 'Ssl_cipher'", {})
        return {str(name).lower(): str(value).lower() for name, value in (*found.rows, *status.rows)}

    async def upgrade(self) -> list[int]:
        """Applies every version that is missing; one starter at a time, and safe to repeat after an interruption."""
        async with self._connection(READ_SECONDS):
            pass  # it answers: the patience below is for the work, not for a server that hangs
        async with self._connection(300) as connection:
            lock = await _run(connection, "SELECT GET_LOCK(%(name)s, 60)", {"name": _UPGRADE_LOCK})
            if lock.rows[0][0] != 1:
                raise UsersAway("another process is upgrading the schema, and has been for a minute")
            found = await _version(connection)
            if found > NEWEST:
                check_version(found)
            missing = {number: parts for number, parts in history("mysql").items() if number > found}
            for number, parts in missing.items():
                for part in parts:
                    await _run_again(connection, part)
                await _ask(connection, UPKEEP["note_version"](version=number, now=int(time.time())))
            await connection.commit()
            await _run(connection, "SELECT RELEASE_LOCK(%(name)s)", {"name": _UPGRADE_LOCK})
            return list(missing)

    async def read(self, query: Query) -> list[Row]:
        """See Database.read."""
        async with self._connection(READ_SECONDS) as connection:
            return list((await _ask(connection, query)).rows)

    async def browse(self, query: Query) -> list[Row]:
        """See Database.browse. A list that takes too long is no sign that the server is away."""
        if self._browsing >= MOST_BROWSING:
            raise UsersAway("too many lists are waiting")
        self._browsing += 1
        try:
            async with asyncio.timeout(BROWSE_SECONDS), self._lists, self._connection(2 * BROWSE_SECONDS) as connection:
                return await _ask_in_pieces(connection, query)
        except TimeoutError:
            raise UsersAway("a list took too long") from None
        finally:
            self._browsing -= 1

    async def write(self, make: Callable[[], Script[T]], *, durable: bool = True, from_reserve: bool = False) -> T:
        """See Database.write. Whether a commit is on disk is for innodb_flush_log_at_trx_commit to say.

        There is no reserve: that server's disk is not ours.
        """
        async with self._connection(WRITE_SECONDS) as connection:
            pause = _FIRST_PAUSE_SECONDS
            while True:  # until the time for the call is over
                try:
                    outcome = await _transaction(connection, make())
                except pymysql.MySQLError as error:
                    if error.args[0] not in _REPEATABLE:
                        raise
                    await connection.rollback()
                else:
                    self.full = False
                    return outcome
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def close(self) -> None:
        """Closes every connection."""
        await self._pulse.stop()
        for connection in (*self._free, *self._used):
            connection.close()
        self._free.clear()

    @asynccontextmanager
    async def _connection(self, seconds: float) -> AsyncIterator[Any]:
        """One connection in its turn, for at most `seconds` with the waiting; driver errors leave as our own."""
        if self._waiting >= _MOST_WAITING:
            raise UsersAway("too many calls are waiting")
        self._waiting += 1
        answered = self._answered
        try:
            async with asyncio.timeout(seconds), self._turns, self._borrowed() as connection:
                yield connection
        except (OSError, EOFError, pymysql.MySQLError) as error:  # OSError holds TimeoutError too
            raise self._trouble(error, alone=self._answered == answered) from None
        else:
            self._answered += 1
            self._pulse.beats = True
        finally:
            self._waiting -= 1

    @asynccontextmanager
    async def _borrowed(self) -> AsyncIterator[Any]:
        """A connection for one who has a turn: there are no more of them than turns."""
        connection = self._kept() or await self._connected()
        self._used.add(connection)
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        else:
            self._free.append(connection)
        finally:
            self._used.discard(connection)

    def _kept(self) -> Any:
        """A connection that was used before and that nobody has closed; None when there is none."""
        while self._free:
            connection = self._free.pop()
            reader = connection._reader
            # MySQL 8 says good-bye with a packet before it closes a connection, so that its end has not been read yet.
            if not (connection.closed or reader.at_eof() or reader.exception() or reader.eof_received):
                return connection
            connection.close()
        return None

    async def _connected(self) -> Any:
        return await aiomysql.connect(
            host=self._where.host,
            port=self._where.port,
            user=self._where.user,
            password=self._where.password.reveal(),
            db=self._where.name,
            charset="utf8mb4",
            autocommit=True,
            # None: asyncio.wait_for, which would count it, swallows a cancellation that comes together with the
            # connection (Python 3.11), and the call goes on without a limit. `_connection` counts for all of it.
            connect_timeout=None,
            init_command=_SESSION,
        )

    def _trouble(self, error: OSError | EOFError | pymysql.MySQLError, *, alone: bool) -> StoreTrouble:
        """Our word for an error of the driver, whose own text may quote values and is dropped.

        `alone` says that no other call has been answered meanwhile. A call that is late while others are answered stood
        in a queue, for a lock or for its turn, and is no reason to refuse logins as during an outage.
        """
        code = error.args[0] if isinstance(error, pymysql.MySQLError) and error.args else 0
        did = "did not do it" if 0 < code < _CLIENT_SIDE else "does not answer"
        why = f"MySQL at {self._where.address} {did} ({code or type(error).__name__})"
        if code in _REFUSES_TO_WRITE:
            self.full = True
            return StoreFull(why)
        if code in _REPEATABLE or (isinstance(error, TimeoutError) and not alone):
            log.warning("%s", why)
            return UsersAway(why)
        self._pulse.lost(why)
        if code in _WRONG_CREDENTIALS:
            return UsersRefuse("MySQL refuses the user name or password in DATABASE")
        if code == _NO_SUCH_DATABASE:
            return WrongSchema("DATABASE names a database that does not exist: create it first")
        return UsersAway(why)


async def _run(connection: Any, text: str, values: Any) -> Result:
    async with connection.cursor() as cursor:
        await cursor.execute(text, values or None)
        rows = await cursor.fetchall() if cursor.description else ()
        return Result(rows, max(cursor.rowcount, 0))


async def _run_again(connection: Any, part: str) -> None:
    """A statement of an upgrade that may have been interrupted: the column or index may be there already."""
    try:
        await _run(connection, part, {})
    except pymysql.MySQLError as error:
        if error.args[0] not in _THERE_ALREADY:
            raise


async def _ask(connection: Any, query: Query) -> Result:
    text, values = query.bound("mysql")
    return await _run(connection, text, values)


async def _ask_in_pieces(connection: Any, query: Query) -> list[Row]:
    """The rows, read a few at a time: the driver decodes in Python, and a page in one piece would hold up the loop.

    After trouble the cursor is not read to its end: the connection is closed.
    """
    text, values = query.bound("mysql")
    rows = list[Row]()
    cursor = await connection.cursor(aiomysql.SSCursor)
    await cursor.execute(text, values or None)
    while some := await cursor.fetchmany(_AT_ONCE):
        rows += some
        await asyncio.sleep(0)
    await cursor.close()
    return rows


async def _transaction(connection: Any, script: Script[T]) -> T:
    await connection.begin()
    try:
        query = next(script)
        while True:
            query = script.send(await _ask(connection, query))
    except StopIteration as end:
        await connection.commit()
        value: T = end.value
        return value


async def _version(connection: Any) -> int:
    try:
        return int((await _ask(connection, UPKEEP["schema_version"]())).rows[0][0])
    except pymysql.MySQLError as error:
        if error.args[0] == _NO_SUCH_TABLE:
            return 0
        raise
