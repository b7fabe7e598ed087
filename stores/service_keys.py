"""Keys of your other back ends: a random text of 256 bits each, of which only the SHA-256 is kept.

A key is looked for on every request, by its hash, so that a revoked one is dead on the next request everywhere. How
long that takes tells nobody anything: what is compared is a hash, and whoever guesses at keys cannot choose its bytes.
"""

import hashlib
import re
import secrets
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from stores.audit import Audit, Entry
from stores.behind import Behind
from stores.db import Database, Query, Row, Script, load
from stores.errors import UsersAway
from stores.shared_lookup import SharedLookup

SQL = load("service_keys.sql")

PREFIX = "msk_"  # scanners for leaked credentials can be taught it
_KEY = re.compile(PREFIX + r"[A-Za-z0-9_-]{43}", re.ASCII)
_SHOWN = len(PREFIX) + 6
USE_SECONDS = 60  # use is noted at most once a minute for each key
_MOST_REMEMBERED = 1_000


class NoSuchKey(Exception):
    """No service key has this number, or none of this hash."""


class KeyNameTaken(Exception):
    """Another key that was not revoked has this name."""


class ServiceKey(msgspec.Struct, frozen=True):
    """What is known of a key. Times are epoch seconds; None of `appids` is all of them, None of `paths` is none."""

    id: int
    start: str  # the first characters, by which people tell keys apart
    name: str
    note: str | None
    scopes: frozenset[str]
    appids: frozenset[str] | None
    paths: tuple[str, ...]
    created_at: int
    expires_at: int | None
    used_at: int | None
    revoked_at: int | None

    def holds(self, now: int) -> bool:
        """Whether it opens anything at `now`."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def serves(self, appid: str) -> bool:
        """Whether it reaches this mini program."""
        return self.appids is None or appid in self.appids


class NewKey(msgspec.Struct, frozen=True):
    """What a new key is to be."""

    name: str
    scopes: Iterable[str]
    note: str | None = None
    appids: Iterable[str] | None = None
    paths: Iterable[str] = ()
    expires_at: int | None = None


def new_key() -> str:
    """A key of 256 bits from the operating system."""
    return PREFIX + secrets.token_urlsafe(32)


def key_hash(text: str) -> bytes | None:
    """The 32 bytes under which a key is kept; None when no key of ours looks like that."""
    return hashlib.sha256(text.encode("ascii")).digest() if _KEY.fullmatch(text) else None


class ServiceKeys:
    """The keys of this installation. All calls raise UsersAway or StoreFull when the database does."""

    def __init__(self, db: Database, audit: Audit) -> None:
        self._db = db
        self._audit = audit
        self._behind = Behind(db, "uses of service keys")
        self._noted: dict[int, int] = {}
        self._known: SharedLookup[bytes, ServiceKey | None] = SharedLookup(self._look_up, UsersAway)

    async def find(self, hashed: bytes) -> ServiceKey:
        """The key of this hash, whether it holds or not. Raises NoSuchKey.

        One SELECT, which requests of the same moment share.
        """
        key = await self._known.get(hashed)
        if key is None:
            raise NoSuchKey
        return key

    async def _look_up(self, hashes: list[bytes]) -> list[ServiceKey | None]:
        found = _by_hash(await self._db.read(_keys(hashes)))
        return [found.get(each) for each in hashes]

    async def get(self, key_id: int) -> ServiceKey:
        """Raises NoSuchKey."""
        return _one(await self._db.read(SQL["key_by_id"](key_id=key_id)))

    async def all(self) -> list[ServiceKey]:
        """Every key, the newest first, also those that hold no longer."""
        return [_key(row) for row in await self._db.read(SQL["service_keys"]())]

    async def add(self, text: str, new: NewKey, entry: Entry) -> ServiceKey:
        """Keeps the hash of a new key, in one transaction with its audit row. Raises KeyNameTaken."""
        hashed = key_hash(text)
        if hashed is None:
            raise AssertionError("a key of our own making has our form")

        def script() -> Script[ServiceKey]:
            if (yield SQL["keys_called"](name=new.name)).rows:
                raise KeyNameTaken
            yield SQL["add_key"](
                hash=hashed,
                start=text[:_SHOWN],
                name=new.name,
                note=new.note,
                scopes=",".join(sorted(new.scopes)),
                scope=None if new.appids is None else ",".join(sorted(new.appids)),
                paths="\n".join(new.paths) or None,
                now=entry.at,
                expires_at=new.expires_at,
            )
            return _by_hash((yield _keys([hashed])).rows)[hashed]

        return await self._audit.with_deed(entry, script)

    async def revoke(self, key_id: int, entry: Entry) -> ServiceKey:
        """Dead from the next request on, with its audit row. Raises NoSuchKey, also for one that was revoked before."""

        def script() -> Script[ServiceKey]:
            if (yield SQL["revoke_key"](key_id=key_id, now=entry.at)).changed != 1:
                raise NoSuchKey
            return _one((yield SQL["key_by_id"](key_id=key_id)).rows)

        return await self._audit.with_deed(entry, script)

    def used(self, key: ServiceKey, now: int) -> None:
        """It opened something; written behind, at most once a minute."""
        if now - max(self._noted.get(key.id, 0), key.used_at or 0) < USE_SECONDS:
            return
        if len(self._noted) >= _MOST_REMEMBERED:
            self._noted.clear()
        self._noted[key.id] = now
        self._behind.note(SQL["note_key_used"](key_id=key.id, at=now))

    async def flush(self) -> None:
        """Writes what was noted."""
        await self._behind.flush()


def _one(rows: Iterable[Row]) -> ServiceKey:
    for row in rows:
        return _key(row)
    raise NoSuchKey


def _keys(hashes: Iterable[bytes]) -> Query:
    return SQL["keys_by_hash"](hashes=list(dict.fromkeys(hashes)))


def _by_hash(rows: Iterable[Row]) -> dict[bytes, ServiceKey]:
    return {hashed: _key(row) for hashed, *row in rows}


def _key(row: Sequence[Any]) -> ServiceKey:
    key_id, start, name, note, scopes, appids, paths, *times = row
    return ServiceKey(
        key_id,
        start,
        name,
        note,
        frozenset(scopes.split(",")),
        None if appids is None else frozenset(appids.split(",")),
        tuple(paths.split("\n")) if paths else (),
        *times,
    )
