"""Counters behind the overview: added up in memory, written behind, read by index and never by a scan.

Each process adds what it saw to the same rows, so the sums are right whatever the number of processes. How many people
came by on a day is kept exactly and without a list of them: each person's row knows the day it was last seen on, and
when that day moves, one counter loses a person and another gains one.
"""

import asyncio
import contextlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping

import msgspec

from stores.db import Database, Query, Script, load
from stores.errors import StoreTrouble

SQL = load("figures.sql")

HOUR_SECONDS = 3_600
DAY_HOURS = 24
_CHINA_HOURS = 8  # WeChat's people live by China's clock, and the days of all counters have to be the same ones
MOST_KINDS = 50  # of versions, error numbers and the like in a day: what a phone sends must not fill the table
OTHER = "other"
UNTRUSTED_PROXY = "proxy.untrusted"  # of no mini program: requests with a forwarded address that nobody believed
MOST_REMEMBERED = 200_000  # people already told of today; a fuller memory is emptied and only asks again
_LONGEST_KIND = 40
_MOST_AT_ONCE = 500
_MOST_BATCHES = 4  # of people in one flush, so that the others who write get their turn

Key = tuple[str, str, int]  # appid, name, hour


class Figure(msgspec.Struct, frozen=True):
    """One counter as it stands. `hour` is epoch seconds // 3600, 0 where the counter has no time."""

    appid: str
    name: str
    hour: int
    n: int


def hour_of(at: int) -> int:
    """The hour of a moment in epoch seconds."""
    return at // HOUR_SECONDS


def day_of(at: int) -> int:
    """The number of the day of a moment, by China's clock."""
    return (at // HOUR_SECONDS + _CHINA_HOURS) // DAY_HOURS


def first_hour(day: int) -> int:
    """The hour at which a day begins, under which its counters stand."""
    return day * DAY_HOURS - _CHINA_HOURS


class Figures:
    """The counters of this process and what all processes wrote. Reads raise UsersAway."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._counts: Counter[Key] = Counter()
        self._kinds: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        self._kinds_day = 0
        self._seen: defaultdict[int, set[int]] = defaultdict(set)
        self._told: set[int] = set()
        self._told_day = 0
        self._one_flush = asyncio.Lock()

    def count(self, appid: str, name: str, at: int, n: int = 1) -> None:
        """So many more in the hour of `at`."""
        self._counts[appid, name, hour_of(at)] += n

    def count_day(self, appid: str, name: str, at: int, n: int = 1) -> None:
        """So many more on the day of `at`."""
        self._counts[appid, name, first_hour(day_of(at))] += n

    def kind(self, appid: str, family: str, kind: str, at: int) -> str:
        """The counter's name for one of many kinds, `version.12`; `version.other` for all beyond the fiftieth a day."""
        if day_of(at) != self._kinds_day:
            self._kinds_day = day_of(at)
            self._kinds.clear()
        if len(kind) > _LONGEST_KIND or not kind.isascii() or not kind.isprintable():
            return f"{family}.{OTHER}"
        known = self._kinds[appid, family]
        if kind not in known:
            if len(known) >= MOST_KINDS:
                return f"{family}.{OTHER}"
            known.add(kind)
        return f"{family}.{kind}"

    def seen(self, user_ids: Iterable[int], at: int) -> None:
        """These people logged in or used a session. Each costs the database at most one look a day and process."""
        day = day_of(at)
        if day > self._told_day or len(self._told) >= MOST_REMEMBERED:
            self._told_day, self._told = day, set()
        if day < self._told_day:
            return  # late news of yesterday: those people have been seen since, or will be told of by their next use
        fresh = set(user_ids) - self._told
        self._told |= fresh
        self._seen[day] |= fresh

    async def flush(self) -> None:
        """Writes what waits. What could not be written stays; after a cut its last moment may count twice."""
        if not self._db.answers:
            return
        async with self._one_flush:
            with contextlib.suppress(StoreTrouble):
                await self._write_counts()
                for _ in range(_MOST_BATCHES):
                    if not self._seen:
                        return
                    await self._write_some_seen()

    async def _write_counts(self) -> None:
        counts, self._counts = self._counts, Counter()
        try:
            if counts:
                await self._db.write(_additions(counts), durable=False)
        except BaseException:
            self._counts.update(counts)
            raise

    async def _write_some_seen(self) -> None:
        day = min(self._seen)
        waiting = self._seen[day]
        some = {waiting.pop() for _ in range(min(len(waiting), _MOST_AT_ONCE))}
        try:
            if some:
                await self._db.write(lambda: _see(sorted(some), day), durable=False)
        except BaseException:
            waiting |= some
            raise
        if not waiting:
            self._seen.pop(day, None)

    async def named(self, appids: list[str], names: list[str], hour: int) -> list[Figure]:
        """These counters from an hour on."""
        return await self._read(SQL["figures_named"](appids=appids, names=names, hour=hour))

    async def since(self, appids: list[str], hour: int) -> list[Figure]:
        """Every counter from an hour on; meant for a day."""
        return await self._read(SQL["figures_since"](appids=appids, hour=hour))

    async def at(self, appids: list[str], hours: list[int]) -> list[Figure]:
        """Every counter of these very hours."""
        return await self._read(SQL["figures_at"](appids=appids, hours=hours))

    async def _read(self, query: Query) -> list[Figure]:
        return [Figure(appid, name, hour, int(n)) for appid, name, hour, n in await self._db.browse(query)]


def user_added(appid: str, n: int = 1) -> Script[None]:
    """What belongs into the transaction of new people's rows: so many more."""
    yield SQL["add_figure"](appid=appid, name="users", hour=0, n=n)


def user_erased(user_id: int, appid: str) -> Script[None]:
    """What belongs into the transaction that erases a person, before the row goes and after it was locked."""
    found = yield SQL["seen_day_of"](user_id=user_id)
    yield SQL["take_figure"](appid=appid, name="users", hour=0, n=1)
    if found.rows and found.rows[0][0]:
        yield SQL["take_figure"](appid=appid, name="seen", hour=first_hour(found.rows[0][0]), n=1)


def _additions(counts: Mapping[Key, int]) -> Callable[[], Script[None]]:
    """In one order everywhere: processes that add to the same rows wait for each other instead of locking up."""

    def script() -> Script[None]:
        for (appid, name, hour), n in sorted(counts.items()):
            yield SQL["add_figure"](appid=appid, name=name, hour=hour, n=n)

    return script


def _see(user_ids: list[int], day: int) -> Script[None]:
    found = yield SQL["people_not_seen"](user_ids=user_ids, day=day)
    if not found.rows:
        return
    yield SQL["note_seen_day"](user_ids=[row[0] for row in found.rows], day=day)
    here, today = first_hour(day), Counter(row[1] for row in found.rows)
    before = Counter((row[1], row[2]) for row in found.rows if row[2])
    for appid, n in sorted(today.items()):
        yield SQL["add_figure"](appid=appid, name="dau", hour=here, n=n)
        yield SQL["add_figure"](appid=appid, name="seen", hour=here, n=n)
    for (appid, last), n in sorted(before.items()):
        yield SQL["take_figure"](appid=appid, name="seen", hour=first_hour(last), n=n)
