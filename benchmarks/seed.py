"""Fills the stores that the settings name with people and sessions: a million of them, to see how everything behaves.

It writes past the product's own code, in bulk; nothing must run on the stores meanwhile. Every session's token can be
worked out again, see `token_of`, so stores that were filled this way are for trying things out and for nothing else.
"""

import argparse
import asyncio
import base64
import hashlib
import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pymysql
import redis

import process
from settings import MysqlUrl, RedisUrl, Settings, SqliteUrl, load
from stores.keys import load_keys, make_keys
from stores.logins import sortable
from stores.sessions import Session, session_id
from stores.sessions.packed import HANDLE_BYTES, Packer, tombstone
from stores.sessions.promise import PREFIX
from stores.sessions.redis_keys import Keys

APPIDS = ("wx00000000000000a1", "wx00000000000000b2", "wx00000000000000c3")
_A_BATCH = 10_000
_DAY = 86_400
_WEEK = 7 * _DAY
_SHARES = (80, 17, 3)  # in a hundred people, of each mini program
_PLATFORMS = (("android", 58), ("ios", 36), ("windows", 3), ("harmony", 2), ("devtools", 1))
_VERSIONS = (("127", 61), ("126", 24), ("125", 9), ("120", 4), ("98", 2))
_ENVIRONMENTS = (("release", 97), ("develop", 2), ("devtools", 1))
_DEVICES = ("Pixel 7, Android 14", "V2324A, Android 14", "2211133C, Android 13", "iPhone, iOS 17.4", "iPhone, iOS 16.6")
_WECHATS = ("8.0.50.2701", "8.0.49", "8.0.47.2560", "8.0.44")
_NAMES = ("小明", "阿强", "Mei", "Wang Fang", "静静", "李雷", "Han", "晚风", "=1+1", "Doctor Li", "张三", "云朵")
_REASONS = ("logged_out", "replaced", "revoked", "blocked")

USER = "id, appid, openid, unionid, nickname, phone, create_time, last_login_time, state, blocked_until, block_reason"
SESSION = "id, user_id, appid, epoch, created_at, ends_at, expires_at, opened_us, sealed_key, reason"
LOGIN = (
    "id, user_id, appid, epoch, ip, address, platform, version, environment, device, wechat, created_at, seen_at, "
    "ended_at, reason"
)
REFUSED = "at, appid, errcode, ip, platform, version, environment"
TABLES = {"user": USER, "session": SESSION, "login": LOGIN, "refused_login": REFUSED}


@dataclass(frozen=True)
class Size:
    """How much there is to be; a fifth of the sessions besides has ended already."""

    users: int
    sessions: int

    @property
    def logins(self) -> int:
        """Those that hold and those that ended."""
        return self.sessions + self.sessions // 5


def token_of(n: int) -> str:
    """The token of the n-th session. Those below the number of sessions hold."""
    digest = hashlib.sha256(b"a seed, not a secret %d" % n).digest()
    return PREFIX + base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def id_of(n: int) -> bytes:
    """The id of the n-th session."""
    found = session_id(token_of(n))
    if found is None:
        raise AssertionError("a token of our own making has our form")
    return found


def users(size: Size, now: int) -> Iterator[tuple[Any, ...]]:
    """The rows of `user`, their numbers from 1 on."""
    dice = random.Random(1)
    for n in range(1, size.users + 1):
        openid = "o" + base64.urlsafe_b64encode(hashlib.sha256(b"person %d" % n).digest())[:27].decode("ascii")
        created = now - 365 * _DAY + (360 * _DAY * n) // size.users
        blocked = dice.random() < 0.002
        yield (
            n,
            _app_of(n),
            openid,
            None,
            f"{dice.choice(_NAMES)}{dice.randrange(1000)}" if dice.random() < 0.6 else None,
            f"1{dice.randrange(3, 10)}{dice.randrange(10**9):09d}" if dice.random() < 0.4 else None,
            created,
            now - dice.randrange(_WEEK),
            "blocked" if blocked else "active",
            None,
            "seen at another's phone" if blocked else None,
        )


def _app_of(user_id: int) -> str:
    place = (user_id * 2_654_435_761) % 2**32 % 100  # Knuth's multiplicative hash: the same for a person each time
    return APPIDS[0 if place < _SHARES[0] else 1 if place < _SHARES[0] + _SHARES[1] else 2]


def logins(size: Size, now: int) -> Iterator[tuple[Any, ...]]:
    """The rows of `login`; those that ended come last."""
    dice = random.Random(2)
    for n in range(size.logins):
        user_id = 1 + dice.randrange(size.users)
        ended = n >= size.sessions
        created = now - dice.randrange(60, 60 * _DAY if ended else _WEEK - 3_600)
        seen = min(now, created + dice.randrange(_WEEK // 2))
        ip = _address(dice)
        yield (
            id_of(n),
            user_id,
            _app_of(user_id),
            0,
            ip,
            sortable(ip),
            _one_of(dice, _PLATFORMS),
            _one_of(dice, _VERSIONS),
            _one_of(dice, _ENVIRONMENTS),
            dice.choice(_DEVICES),
            dice.choice(_WECHATS),
            created,
            seen,
            seen if ended else None,
            dice.choice(_REASONS) if ended else None,
        )


def _address(dice: random.Random) -> str:
    """Most phones share few addresses of their carrier's, as they do in life."""
    if dice.random() < 0.1:
        return f"2001:db8:{dice.randrange(2**16):x}::{dice.randrange(1, 2**16):x}"
    return (
        f"{dice.choice((36, 111, 117, 183, 223))}.{dice.randrange(20)}.{dice.randrange(250)}.{dice.randrange(1, 250)}"
    )


def _one_of(dice: random.Random, kinds: Sequence[tuple[str, int]]) -> str:
    return dice.choices([name for name, _ in kinds], [share for _, share in kinds])[0]


def sessions(size: Size, now: int) -> Iterator[Session]:
    """The sessions that hold."""
    sealed = bytes(45)  # opens nothing: no WeChat ever issued a key for it
    for row in islice(logins(size, now), size.sessions):
        created = row[11]
        yield Session(row[0], row[1], row[2], row[3], created, created + _WEEK, created + _WEEK, sealed)


def refused(size: Size, now: int) -> Iterator[tuple[Any, ...]]:
    """The rows of `refused_login`, a fiftieth of the logins."""
    dice = random.Random(3)
    for _ in range(size.logins // 50):
        errcode = _one_of(dice, (("40029", 50), ("40163", 35), ("40226", 3), ("403003", 7), ("504001", 5)))
        kinds = (_one_of(dice, each) for each in (_PLATFORMS, _VERSIONS, _ENVIRONMENTS))
        yield now - dice.randrange(60 * _DAY), dice.choice(APPIDS), int(errcode), _address(dice), *kinds


def rows_of(size: Size, now: int, *, with_sessions: bool) -> Iterator[tuple[str, Iterator[tuple[Any, ...]]]]:
    """Every table with its rows."""
    yield "user", users(size, now)
    yield "login", logins(size, now)
    yield "refused_login", refused(size, now)
    if with_sessions:
        yield (
            "session",
            (
                (s.id, s.user_id, s.appid, s.epoch, s.created_at, s.ends_at, s.expires_at, 0, s.sealed_key, None)
                for s in sessions(size, now)
            ),
        )


def fill_sqlite(where: SqliteUrl, size: Size, now: int) -> None:
    """All of it into the file. Indexes are made anew afterwards, which is much quicker than keeping them."""
    connection = sqlite3.connect(where.path, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    for table, rows in rows_of(size, now, with_sessions=True):
        found = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name = ?", (table,)
        ).fetchall()
        connection.execute("BEGIN")
        for name, _ in found:
            connection.execute(f"DROP INDEX {name}")
        marks = ", ".join("?" * (TABLES[table].count(",") + 1))
        connection.executemany(f"INSERT INTO {table} ({TABLES[table]}) VALUES ({marks})", rows)
        for _, made_by in found:
            connection.execute(made_by)
        connection.execute("COMMIT")
        print(f"filled {table}", flush=True)
    _finish(connection.execute)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def fill_mysql(where: MysqlUrl, size: Size, now: int, *, with_sessions: bool) -> None:
    """The same into MySQL or MariaDB."""
    connection = pymysql.connect(
        host=where.host,
        port=where.port,
        user=where.user,
        password=where.password.reveal(),
        database=where.name,
        charset="utf8mb4",
    )
    cursor = connection.cursor()
    cursor.execute("SET unique_checks = 0")
    for table, rows in rows_of(size, now, with_sessions=with_sessions):
        keys = _mysql_keys(cursor, table)
        if keys:
            cursor.execute(f"ALTER TABLE {table} " + ", ".join(f"DROP INDEX {name}" for name in keys))
        marks = ", ".join(["%s"] * (TABLES[table].count(",") + 1))
        while batch := list(islice(rows, _A_BATCH)):
            cursor.executemany(f"INSERT INTO {table} ({TABLES[table]}) VALUES ({marks})", batch)
            connection.commit()
        if keys:
            cursor.execute(f"ALTER TABLE {table} " + ", ".join(f"ADD INDEX {n} ({c})" for n, c in keys.items()))
        print(f"filled {table}", flush=True)
    _finish(cursor.execute)
    for table in TABLES:
        cursor.execute(f"ANALYZE TABLE {table}")
    connection.commit()
    connection.close()


def _mysql_keys(cursor: Any, table: str) -> dict[str, str]:
    cursor.execute(
        "SELECT index_name, GROUP_CONCAT(column_name ORDER BY seq_in_index) FROM information_schema.statistics "
        "WHERE table_schema = DATABASE() AND table_name = %s AND non_unique = 1 GROUP BY index_name",
        (table,),
    )
    return dict(cursor.fetchall())


def _finish(execute: Callable[..., Any]) -> None:
    """What the product would have counted meanwhile."""
    execute("DELETE FROM figure WHERE name = 'users' AND hour = 0")
    execute("INSERT INTO figure (appid, name, hour, n) SELECT appid, 'users', 0, COUNT(*) FROM user GROUP BY appid")


def fill_redis(settings: Settings, where: RedisUrl, size: Size, now: int) -> None:
    """The sessions into Redis, as the product packs them, and a few tombstones."""
    packer, names = Packer(load_keys(settings.data_dir).session_mark), Keys(settings.key_prefix)
    client = redis.Redis(where.host, where.port, where.db, where.password.reveal() or None, username=where.user or None)
    living = sessions(size, now)
    while batch := list(islice(living, _A_BATCH)):
        pipe = client.pipeline(transaction=False)
        for session in batch:
            handle, (app, user) = session.id[:HANDLE_BYTES], names.indexes(session)
            pipe.set(names.session(handle), packer.pack(session), exat=session.expires_at)
            pipe.zadd(app, {handle: session.expires_at})
            pipe.zadd(user, {handle: session.expires_at})
            pipe.expireat(user, session.ends_at + _DAY)
        pipe.execute()
    pipe = client.pipeline(transaction=False)
    for n in range(size.sessions, min(size.logins, size.sessions + 1_000)):
        pipe.set(names.session(id_of(n)[:HANDLE_BYTES]), tombstone("revoked"), ex=_DAY)
    pipe.execute()
    client.close()
    print("filled Redis", flush=True)


async def _prepare(settings: Settings) -> None:
    await process.upgrade(settings)
    async with process.opened(settings) as backend:
        if await backend.users.find_all([1]):
            raise SystemExit("there are people in this database already; fill an empty one")
        counters = await backend.epochs.know([*APPIDS, *(app.appid for app in settings.apps)])
        await backend.sessions.set_epochs(counters)


def fill(settings: Settings, size: Size) -> None:
    """Fills the stores of these settings, which are brought up to date first."""
    make_keys(settings.data_dir)
    asyncio.run(_prepare(settings))
    now = int(time.time())
    if isinstance(settings.database, SqliteUrl):
        fill_sqlite(settings.database, size, now)
    else:
        fill_mysql(settings.database, size, now, with_sessions=not isinstance(settings.sessions, RedisUrl))
    if isinstance(settings.sessions, RedisUrl):
        fill_redis(settings, settings.sessions, size, now)


def main() -> None:
    """Reads the settings as `serve` does, from the environment and the file in DATA_DIR."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=400_000)
    options = parser.parse_args()
    started = time.monotonic()
    fill(load({}, os.environ, None).settings, Size(options.users, options.sessions))
    print(f"{options.sessions} sessions of {options.users} people in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
