"""Facts about each login: when, from where, with what, last seen, ended why. Written behind, in batches.

Truth about who is in stands in the session store; these rows are for people who look at lists. A phone never waits for
them, and losing the last moments of them loses no login and no revocation.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv6Address, ip_address
from typing import Any, Literal, TypeVar

import msgspec

from stores.behind import MOST_AT_ONCE, MOST_WAITING, Behind
from stores.db import Database, Query, Row, Script, Statement, load
from stores.errors import StoreTrouble, UsersAway
from stores.scope import Scope, within

__all__ = ["MOST_WAITING", "BadPlace", "Login", "Logins", "Order", "Page", "Place", "Sought", "sortable"]

SQL = load("logins.sql")
PEOPLE = load("users.sql")

T = TypeVar("T")
State = Literal["live", "ended", "any", "expired", "logged_out", "replaced", "revoked", "blocked"]
Order = Literal["created", "created_up", "seen", "seen_up"]

LOOKED_THROUGH = 3_000  # entries of an index that one page looks through at the most: about 30 ms of the slowest kind
FEW = 2_000  # logins of some people or of one network that are sorted in memory
_ROW_SECONDS = 5.0  # for another process to write down that a session began; it does so five times a second
_MOST_UNSURE = 1_000
_LAST_SECONDS, _LAST_LOOKS = 1.0, 10  # of a process that ends
_LAST_ID = b"\xff" * 32
_FAR = 2**53


class BadPlace(Exception):
    """That is no place in a list; nobody got it from one of ours."""


class Place(msgspec.Struct, frozen=True):
    """Where a page ended: the value that the list is sorted by, and the id that tells equal ones apart."""

    value: int
    id: bytes = b""

    def __str__(self) -> str:
        return f"{self.value:x}-{self.id.hex()}"

    @classmethod
    def of(cls, text: str, id_bytes: int = 32) -> "Place":
        """The place that an address of a page names. Raises BadPlace."""
        value, dash, rest = text.partition("-")
        try:
            place = cls(int(value, 16), bytes.fromhex(rest))
        except ValueError:
            raise BadPlace from None
        if not dash or str(place) != text or not 0 <= place.value <= _FAR or len(place.id) != id_bytes:
            raise BadPlace
        return place


class Login(msgspec.Struct, frozen=True):
    """One row, for ever keyed by the id of its session. Times are epoch seconds; unknown values are None."""

    id: bytes
    user_id: int
    appid: str
    ip: str | None
    platform: str | None
    version: str | None
    environment: str | None
    created_at: int
    seen_at: int
    ended_at: int | None = None
    reason: str | None = None
    epoch: int = 0
    address: bytes | None = None  # of `ip`, so that networks can be searched for
    device: str | None = None
    wechat: str | None = None


class Sought(msgspec.Struct, frozen=True):
    """Which logins a list shows. None asks for nothing in particular."""

    appids: Scope = None  # those that the operator may see; None for all
    user_ids: tuple[int, ...] | None = None
    addresses: tuple[bytes, bytes] | None = None  # the first and the last of a network
    version: str | None = None
    platform: str | None = None
    environment: str | None = None
    state: State = "any"
    oldest_live: int = 0  # a login of that moment or before has expired, whatever its row says
    oldest_use: int = 0  # the same for one that was last used then
    seen_from: int = 0
    created_from: int = 0
    created_to: int = _FAR

    def parameters(self) -> dict[str, Any]:
        """As the statements take them."""
        first, last = self.addresses or (None, None)
        return {
            **within(self.appids),
            "anybody": int(self.user_ids is None),
            "user_ids": list(self.user_ids or ()),
            "first_address": first,
            "last_address": last,
            "version": self.version,
            "platform": self.platform,
            "environment": self.environment,
            "state": self.state,
            "oldest_live": self.oldest_live,
            "oldest_use": self.oldest_use,
            "seen_from": self.seen_from,
            "created_from": self.created_from,
            "created_to": self.created_to,
        }


class Page(msgspec.Struct, frozen=True):
    """Some logins. `more` is where the next page begins, None at the end of the list.

    `looked_back_to` is set when the page is not full because enough entries were looked through: the list goes on, and
    so far it was looked through down (or up) to that moment.
    """

    logins: list[Login]
    more: Place | None = None
    looked_back_to: int | None = None


class _Way(msgspec.Struct, frozen=True):
    """An index to walk along: the statement that bounds the walk, one that gives a page of it, the entries' value."""

    window: Statement
    page: Statement
    exactly: Any


WAYS: Mapping[tuple[str, bool], tuple[Statement, Statement]] = {
    (along, direction == "down"): (SQL[f"window_{along}_{direction}"], SQL[f"page_{along}_{direction}"])
    for along in ("time", "live", "use", "user", "address", "version", "environment", "platform")
    for direction in ("down", "up")
}


class _End(msgspec.Struct, frozen=True):
    """An end of which it is not known yet that it is written down; `until` is when nobody looks any more."""

    reason: str
    at: int
    until: float  # time.monotonic()


class Logins:
    """The login rows. Notes are kept until `flush` has written them; reads raise UsersAway.

    A session may end here before the process that opened it has written down that it began. Such an end is noted until
    it has a row to stand in, or the session would look alive, and hold again in a Redis that forgot its end.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._behind = Behind(db, "logins", _together)
        self._unsure: dict[bytes, _End] = {}
        self._without_row: dict[bytes, _End] = {}  # those of them that were looked for in vain

    @property
    def lost(self) -> int:
        """Notes that were dropped because the database was away too long."""
        return self._behind.lost

    def opened(self, login: Login) -> None:
        """A session began."""
        row = (
            login.id,
            login.user_id,
            login.appid,
            login.epoch,
            login.ip,
            login.address,
            login.platform,
            login.version,
            login.environment,
            login.device,
            login.wechat,
            login.created_at,
            login.created_at,
        )
        self._behind.note(SQL["add_logins"](rows=[row]))

    def seen(self, ids: Iterable[bytes], at: int) -> None:
        """These sessions were used."""
        for some in _in_turns(ids):
            self._behind.note(SQL["note_seen"](ids=some, at=at))

    def ended(self, ids: Iterable[bytes], reason: str, at: int) -> None:
        """These sessions ended."""
        end = _End(reason, at, time.monotonic() + _ROW_SECONDS)
        for some in _in_turns(ids):
            self._behind.note(SQL["note_ended"](ids=some, reason=reason, at=at))
            if len(self._unsure) < _MOST_UNSURE:  # so many at once were found by their rows
                self._unsure |= dict.fromkeys(some, end)

    def restored(self, ids: Iterable[bytes]) -> None:
        """These sessions were revoked by mistake, and hold again."""
        for some in _in_turns(ids):
            for each in some:
                self._unsure.pop(each, None)
            self._behind.note(SQL["note_restored"](ids=some))

    async def flush(self) -> None:
        """Writes what waits. When the database is away the notes stay for the next time, up to a bound."""
        again, self._without_row = self._without_row, {}
        for each, end in again.items():
            if each in self._unsure:
                self._behind.note(SQL["note_ended"](ids=[each], reason=end.reason, at=end.at))
        await self._behind.flush()
        if self._unsure and self._behind.all_written:
            with contextlib.suppress(StoreTrouble):
                await self._look_for_rows(dict(self._unsure))

    async def _look_for_rows(self, ends: dict[bytes, _End]) -> None:
        rows = await self._db.read(SQL["logins_ended"](ids=list(ends)))
        written, now = {row[0] for row in rows}, time.monotonic()
        for each, end in ends.items():
            if each in written or end.until < now:
                self._unsure.pop(each, None)
            else:
                self._without_row[each] = end

    async def finish(self) -> None:
        """The last flush of a process, which waits a moment for rows that another has still to write."""
        await self.flush()
        for _ in range(_LAST_LOOKS):
            if not self._unsure or not self._db.answers:
                return
            await asyncio.sleep(_LAST_SECONDS / _LAST_LOOKS)
            await self.flush()

    async def catch_up(self) -> None:
        """Writes what waits if that is little: before a list is shown."""
        await self._behind.catch_up()

    async def find(self, ids: list[bytes]) -> dict[bytes, Login]:
        """The rows of these sessions, as far as they are written."""
        return {row[0]: Login(*row) for row in await self._db.read(SQL["logins_by_id"](ids=ids))} if ids else {}

    async def ended_since(self, since: int) -> AsyncIterator[list[tuple[bytes, str | None]]]:
        """Ids and reasons of what ended at that second or later, some at a time; also what waits to be written.

        Raises UsersAway, also when that cannot be written just now: an end that is left out would hold for nobody.
        """
        await self.flush()
        if not self._behind.all_written:
            raise UsersAway("what ended is not written down yet")
        rows = await self._db.browse(SQL["ends_from"](since=since, most=MOST_AT_ONCE))
        while rows:
            yield [(row[0], row[1]) for row in rows]
            last, _, ended_at, created_at = rows[-1]
            within = SQL["ends_within"](ended_at=ended_at, created_at=created_at, after_id=last, most=MOST_AT_ONCE)
            later = SQL["ends_from"](since=ended_at + 1, most=MOST_AT_ONCE)
            rows = await self._db.browse(within) or await self._db.browse(later)
        if self._unsure:
            yield [(each, end.reason) for each, end in self._unsure.items()]

    async def beginning_with(self, public_id: str, most: int = 2) -> list[Login]:
        """Rows whose id, written as hex, begins so; two are enough to know that it is ambiguous."""
        first = bytes.fromhex(public_id.ljust(64, "0"))
        last = bytes.fromhex(public_id.ljust(64, "f"))
        return _logins(await self._db.read(SQL["logins_between_ids"](first=first, last=last, most=most)))

    async def of_user(self, user_id: int, most: int) -> list[Login]:
        """One person's logins, the newest first."""
        return _logins(await self._db.read(SQL["logins_of_user"](user_id=user_id, most=most)))

    async def newest(self, most: int, before_at: int, before_id: bytes = _LAST_ID) -> list[Login]:
        """A page of all logins, the newest first, older than the place given."""
        return _logins(await self._db.read(SQL["logins_newest"](most=most, before_at=before_at, before_id=before_id)))

    async def page(self, sought: Sought, order: Order = "created", place: Place | None = None, most: int = 50) -> Page:
        """Some logins that fit, from a place on. Looks through a bounded number of entries, so it may give few.

        Sorted by use, it shows only logins that no end was noted of, unless they are of few people or one network.
        """
        for window, few, wanted in (
            (SQL["window_users"], SQL["few_users"], sought.user_ids),
            (SQL["window_network"], SQL["few_network"], sought.addresses),
        ):
            if wanted is not None and not await self._db.browse(_query(window, sought, window=FEW)):
                return await self._sorted_page(few, sought, order, place, most)
        return await self._walked_page(_way(sought, order), sought, order, place, most)

    async def _sorted_page(self, few: Statement, sought: Sought, order: Order, place: Place | None, most: int) -> Page:
        found = await self._db.browse(_query(few, sought))
        keys = [(seen_at if order.startswith("seen") else at, each) for each, at, seen_at in found]
        down = not order.endswith("_up")
        if place is not None:
            here = (place.value, place.id)
            keys = [key for key in keys if (key < here if down else key > here)]
        places = [Place(*key) for key in sorted(keys, reverse=down)]
        shown = places[:most]
        logins = await self.find([each.id for each in shown])
        return Page([logins[each.id] for each in shown if each.id in logins], shown[-1] if places[most:] else None)

    async def _walked_page(self, way: _Way, sought: Sought, order: Order, place: Place | None, most: int) -> Page:
        place = place or _beginning(sought, order)
        end = _end(sought, order)
        rows = await self._db.browse(_query(way.window, sought, way, place, end, window=LOOKED_THROUGH))
        stop = Place(*rows[0]) if rows else end
        found = _logins(await self._db.browse(_query(way.page, sought, way, place, stop, most=most + 1)))
        if found[most:]:
            last = found[most - 1]
            return Page(found[:most], Place(last.seen_at if order.startswith("seen") else last.created_at, last.id))
        return Page(found, stop, stop.value) if rows else Page(found)

    async def mask(self, user_id: int) -> None:
        """An erased person's addresses and devices go; the times stay, as the law on network logs asks."""

        def script() -> Script[None]:
            yield SQL["mask_logins_of_user"](user_id=user_id)

        await self.flush()
        await self._db.write(script, from_reserve=True)


def sortable(ip: str | None) -> bytes | None:
    """16 bytes in the order of addresses, IPv4 among them as RFC 4291 maps it; None for what is no address."""
    try:
        address = ip_address(ip or "")
    except ValueError:
        return None
    return address.packed if isinstance(address, IPv6Address) else b"\x00" * 10 + b"\xff\xff" + address.packed


def _way(sought: Sought, order: Order) -> _Way:
    """The index that leaves the fewest entries to look through: the narrower what it is about, the earlier it comes."""
    narrow: list[tuple[str, Any]] = [
        ("user", _only(sought.user_ids)),
        ("address", _only(sought.addresses)),
        ("version", sought.version),
        ("environment", sought.environment if sought.environment != "release" else None),
        ("platform", sought.platform),
    ]
    name, exactly = next((each for each in narrow if each[1] is not None), ("live", None))
    if order.startswith("seen"):
        name = "use"
    elif exactly is None and sought.state != "live":
        name = "time"
    return _Way(*WAYS[name, not order.endswith("_up")], exactly)


def _only(some: Sequence[T] | None) -> T | None:
    """The one value that all of them are."""
    return some[0] if some and len(set(some)) == 1 else None


def _beginning(sought: Sought, order: Order) -> Place:
    if order == "created":
        return Place(sought.created_to, b"\xff" * 33)  # after every id of that second
    if order == "created_up":
        return Place(_oldest(sought, sought.oldest_live, sought.created_from), b"")
    return Place(_oldest(sought, sought.oldest_use, sought.seen_from), b"") if order == "seen_up" else Place(_FAR)


def _end(sought: Sought, order: Order) -> Place:
    if order == "created":
        return Place(_oldest(sought, sought.oldest_live, sought.created_from), b"")
    if order == "seen":
        return Place(_oldest(sought, sought.oldest_use, sought.seen_from), b"")
    return Place(sought.created_to if order == "created_up" else _FAR, _LAST_ID)


def _oldest(sought: Sought, oldest_live: int, wanted_from: int) -> int:
    """What is too old to be live need not be looked through by who asks for the living."""
    return max(wanted_from, oldest_live) if sought.state == "live" else wanted_from


def _query(
    statement: Statement,
    sought: Sought,
    way: _Way | None = None,
    place: Place | None = None,
    stop: Place | None = None,
    **bounds: int,
) -> Query:
    """The statement with those of all these parameters that it takes: a driver refuses none, SQLite wants all."""
    parameters = sought.parameters() | bounds
    if way is not None and place is not None and stop is not None:
        parameters |= {"value": place.value, "id": place.id, "stop": stop.value, "stop_id": stop.id}
        parameters["exactly"] = way.exactly
    return statement(**parameters)


def _together(notes: list[Query]) -> Iterator[Query]:
    """Those about sessions that began come first and in few statements: no other note can be older than its session."""
    rows = [row for note in notes if note.statement is SQL["add_logins"] for row in note.parameters["rows"]]
    if rows:
        # First what writes to the persons' rows: `mask_strays` reads them, and in MySQL whoever reads and then writes
        # is in a deadlock with whoever else waits to write.
        last = {user_id: at for at, user_id in sorted((row[-1], row[1]) for row in rows)}
        for at in sorted(set(last.values())):
            yield PEOPLE["note_last_logins"](ids=sorted(each for each in last if last[each] == at), at=at)
        yield SQL["add_logins"](rows=rows)
        yield SQL["mask_strays"](ids=[row[0] for row in rows])
    yield from (note for note in notes if note.statement is not SQL["add_logins"])


def _in_turns(ids: Iterable[bytes]) -> Iterator[list[bytes]]:
    wanted = list(ids)
    for start in range(0, len(wanted), MOST_AT_ONCE):
        yield wanted[start : start + MOST_AT_ONCE]


def _logins(rows: list[Row]) -> list[Login]:
    return [Login(*row) for row in rows]
