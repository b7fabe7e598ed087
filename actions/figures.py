"""The overview: who is here, how logins went, what WeChat and the stores are doing, and what an operator should mend.

Everything comes from counters and indexes, so it costs the same at a million sessions. What cannot be known just now,
as a store is away, is None and never a zero.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from actions.backend import Backend
from actions.health import Standing
from stores.errors import StoreTrouble
from stores.figures import HOUR_SECONDS, OTHER, Figure, day_of, first_hour, hour_of
from wechat.answers import MISCONFIGURED
from wechat.state import Misconfiguration

HOURS, DAYS, SPLIT_DAYS = 24, 30, 7
MOST_PARTS = 12  # of a split; the rest is summed up as "other"
_REFUSED_CODE = 40029
_TLS = 502001  # WeChat was not asked, because it could not prove to be WeChat
_ENOUGH_TO_TELL = 20  # refused codes in two hours, with no login among them, are no longer a few clumsy phones
_BY_DAY = ["day.login", "day.new", "day.refused", "dau", "seen"]


class Slot(msgspec.Struct, frozen=True):
    """One hour or day of the charts; `at` is the epoch second it begins at. `people` is known for days only."""

    at: int
    logins: int
    refused: int
    new: int
    people: int | None = None


class Part(msgspec.Struct, frozen=True):
    """One part of a split: what, how many logins, and its share of all of them in percent."""

    name: str
    n: int
    percent: float


class Refused(msgspec.Struct, frozen=True):
    """How often logins were refused for one reason; `errcode` is None for all the rare ones together."""

    errcode: int | None
    n: int


class Numbers(msgspec.Struct, frozen=True):
    """What the counters say. Days begin at midnight in China; `today` is not over yet."""

    users: int
    new_today: int
    new_yesterday: int
    new_week: int
    new_week_before: int
    dau: int
    wau: int
    mau: int
    hours: tuple[Slot, ...]
    days: tuple[Slot, ...]
    refused: tuple[Refused, ...]
    platforms: tuple[Part, ...]
    versions: tuple[Part, ...]
    environments: tuple[Part, ...]


class Talk(msgspec.Struct, frozen=True):
    """One mini program's talk with WeChat.

    The percentiles, the breaker and `refused` are this process's own; `calls` and `mean_ms` are those of all processes
    in 24 hours, None while the counters cannot be read.
    """

    appid: str
    p50_ms: int | None
    p95_ms: int | None
    calls: int | None
    mean_ms: int | None
    breaker_open: bool
    refused: Misconfiguration | None


class Concern(msgspec.Struct, frozen=True):
    """Something to mend: `key` names the sentence, `values` are for its gaps."""

    key: str
    values: Mapping[str, str | int]


class Overview(msgspec.Struct, frozen=True):
    """Everything on the page; `active` and `numbers` are None while their store is away."""

    at: int
    active: int | None
    numbers: Numbers | None
    wechat: tuple[Talk, ...]
    stores: tuple[Standing, ...]
    warnings: tuple[Concern, ...]


async def overview(backend: Backend, appids: list[str], now: int, *, misled: bool = False) -> Overview:
    """The overview of these mini programs; needs no store to answer. `misled`: a proxy speaks for phones untrusted."""
    if not backend.health.stores:
        await backend.health.look(now)
    active = await backend.active_sessions.count(appids, now)
    if active is None:
        backend.health.note("sessions", answers=False, now=now)
    try:
        counted = await _read(backend, appids, now)
    except StoreTrouble:
        counted = None
        backend.health.note("database", answers=False, now=now)
    talks = tuple(_talk(backend, appid, counted) for appid in appids)
    warnings = [*_of_stores(backend), *_of_wechat(talks, counted, now), *_of_this_server(backend, misled)]
    numbers = counted.numbers(now) if counted else None
    return Overview(now, active, numbers, talks, backend.health.stores, tuple(warnings))


class _Counted(msgspec.Struct, frozen=True):
    """The counters as they were read: summed up over the mini programs; of each one lately and in 24 hours."""

    users: int
    days: Counter[tuple[str, int]]
    hours: Counter[tuple[str, int]]
    split: Counter[str]
    lately: Mapping[str, Counter[str]]
    by_app: Mapping[str, Counter[str]]

    def numbers(self, now: int) -> Numbers:
        """The figures that people look at."""
        today = day_of(now)
        new = [self.days["day.new", first_hour(today - back)] for back in range(2 * SPLIT_DAYS)]
        seen = [self.days["seen", first_hour(today - back)] for back in range(DAYS)]
        return Numbers(
            users=self.users,
            new_today=new[0],
            new_yesterday=new[1],
            new_week=sum(new[:SPLIT_DAYS]),
            new_week_before=sum(new[SPLIT_DAYS:]),
            dau=seen[0],
            wau=sum(seen[:SPLIT_DAYS]),
            mau=sum(seen),
            hours=tuple(self._hour(hour_of(now) - back) for back in reversed(range(HOURS))),
            days=tuple(self._day(today - back) for back in reversed(range(DAYS))),
            refused=self._refused(),
            platforms=self._parts("platform"),
            versions=self._parts("version"),
            environments=self._parts("environment"),
        )

    def _hour(self, hour: int) -> Slot:
        logins, refused, new = (self.hours[name, hour] for name in ("login", "refused", "new"))
        return Slot(hour * HOUR_SECONDS, logins, refused, new)

    def _day(self, day: int) -> Slot:
        hour = first_hour(day)
        logins, refused, new = (self.days[f"day.{name}", hour] for name in ("login", "refused", "new"))
        return Slot(hour * HOUR_SECONDS, logins, refused, new, self.days["dau", hour])

    def _refused(self) -> tuple[Refused, ...]:
        sums: Counter[str] = Counter()
        for (name, _), n in self.hours.items():
            if name.startswith("refused."):
                sums[name.removeprefix("refused.")] += n
        return tuple(Refused(None if kind == OTHER else int(kind), n) for kind, n in _largest(sums))

    def _parts(self, family: str) -> tuple[Part, ...]:
        start = f"{family}."
        sums = Counter({name.removeprefix(start): n for name, n in self.split.items() if name.startswith(start)})
        whole = sum(sums.values())
        return tuple(Part(name, n, round(100 * n / whole, 1)) for name, n in _largest(sums))


async def _read(backend: Backend, appids: list[str], now: int) -> _Counted:
    """Four questions. Raises UsersAway, StoreFull."""
    figures, today = backend.figures, day_of(now)
    days = await figures.named(appids, _BY_DAY, first_hour(today - DAYS + 1))
    hours = await figures.since(appids, hour_of(now) - HOURS + 1)
    split = await figures.at(appids, [first_hour(today - back) for back in range(SPLIT_DAYS)])
    users = await figures.named(appids, ["users"], 0)
    return _Counted(
        sum(each.n for each in users),
        _by_hour(days),
        _by_hour(hours),
        _by_name(split),
        _by_app(appids, (each for each in hours if each.hour >= hour_of(now) - 1)),
        _by_app(appids, hours),
    )


def _by_name(figures: Iterable[Figure]) -> Counter[str]:
    sums: Counter[str] = Counter()
    for each in figures:
        sums[each.name] += each.n
    return sums


def _by_app(appids: Iterable[str], figures: Iterable[Figure]) -> Mapping[str, Counter[str]]:
    sums: dict[str, Counter[str]] = {appid: Counter() for appid in appids}
    for each in figures:
        sums[each.appid][each.name] += each.n
    return sums


def _by_hour(figures: Iterable[Figure]) -> Counter[tuple[str, int]]:
    sums: Counter[tuple[str, int]] = Counter()
    for each in figures:
        sums[each.name, each.hour] += each.n
    return sums


def _largest(sums: Counter[str]) -> list[tuple[str, int]]:
    """The largest first, all rare ones together at the end."""
    rest = sums.pop(OTHER, 0)
    ranked = sorted(((kind, n) for kind, n in sums.items() if n > 0), key=lambda pair: (-pair[1], pair[0]))
    rest += sum(n for _, n in ranked[MOST_PARTS:])
    return ranked[:MOST_PARTS] + ([(OTHER, rest)] if rest else [])


def _talk(backend: Backend, appid: str, counted: _Counted | None) -> Talk:
    state = backend.wechat.state(appid)
    calls = mean = None
    if counted:
        calls = counted.by_app[appid]["wechat.calls"]
        mean = round(counted.by_app[appid]["wechat.ms"] / calls) if calls else None
    return Talk(appid, state.p50_ms, state.p95_ms, calls, mean, state.breaker_open, state.refused)


def _of_stores(backend: Backend) -> Iterable[Concern]:
    for store in backend.health.stores:
        if not store.answers:
            yield Concern("store_away", {"store": store.name, "since": store.since})
    if backend.db.full:
        yield Concern("database_full", {})
    for advice in backend.health.advice:
        yield Concern(advice.key, {"value": advice.value})


def _of_wechat(talks: Iterable[Talk], counted: _Counted | None, now: int) -> Iterable[Concern]:
    for talk in talks:
        if talk.refused:
            errcode, egress = talk.refused.errcode, talk.refused.egress
            yield _config_refused(talk.appid, _TLS if errcode is None else errcode, egress, talk.refused.at)
        elif counted:
            yield from _told_by_others(talk.appid, counted, hour_of(now))
        if talk.breaker_open:
            yield Concern("breaker_open", {"appid": talk.appid})


def _told_by_others(appid: str, counted: _Counted, hour: int) -> Iterable[Concern]:
    """What the counters of all processes say of the hour gone by and this one; one login in them, and all is well."""
    lately = counted.lately[appid]
    if lately["login"]:
        return
    if lately[f"refused.{_REFUSED_CODE}"] >= _ENOUGH_TO_TELL:
        yield Concern("codes_refused", {"appid": appid, "n": lately[f"refused.{_REFUSED_CODE}"]})
    for errcode in (*sorted(MISCONFIGURED), _TLS):
        if lately[f"refused.{errcode}"]:
            yield _config_refused(appid, errcode, None, hour * HOUR_SECONDS)
            return


def _config_refused(appid: str, errcode: int, egress: str | None, at: int) -> Concern:
    return Concern("config_refused", {"appid": appid, "errcode": errcode, "egress": egress or "", "at": at})


def _of_this_server(backend: Backend, misled: bool) -> Iterable[Concern]:
    if misled:
        yield Concern("proxy_not_trusted", {})
    if lost := backend.logins.lost + backend.refused_logins.lost:
        yield Concern("notes_lost", {"n": lost})
    if not backend.audit.file_takes:
        yield Concern("audit_file_away", {})
