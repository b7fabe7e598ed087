"""Import: people with the ids that other tables know them by, and the sessions of a Wafer server, which go on to hold.

Both can be run again: what is there already stays as it is, and nothing that was ended, blocked or erased here
meanwhile comes back. Both can be run dry, and name every row that they refuse.
"""

import base64
import binascii
import csv
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from actions.backend import Backend
from actions.deeds import Actor, written_down
from actions.people import MOST_NICKNAME
from actions.texts import has_controls
from actions.wafer import foreign_token, is_foreign_skey, keep_profile
from stores.imports import Imports, Newcomer, WaferApp, WaferSession, WaferTables
from stores.logins import Login
from stores.sessions import Opening, PersonChanged, session_id
from stores.users import User, UserBlocked
from values import Confidential
from wechat.crypto import person_mark

HIGHEST_ID = 2**52  # a phone reads ids as doubles, and others must follow
SKEY_SECONDS = 7_200  # what Wafer 2's own servers are set to, from the last login
_DAY = 86_400
_A_FEW = 50
_COLUMNS = ("id", "openid", "unionid", "create_time", "nickname", "phone")

_IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,16}", re.ASCII)
_PHONE = re.compile(r"\+?[0-9]{6,20}", re.ASCII)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d)?", re.ASCII)
_FORMS = {"openid": _IDENTIFIER, "unionid": _IDENTIFIER, "phone": _PHONE}
_WIRE_ID = re.compile(r"[!-~]{1,100}", re.ASCII)


class NotAList(Exception):
    """The file has no header line with the columns that are needed, or is no CSV; its text says which."""


class NoWafer(Exception):
    """The database holds no Wafer sessions of one mini program; its text says what is missing."""


class RowRefused(Exception):
    """A row cannot be taken; its text says why."""


@dataclass
class Report:
    """What an import did, or would do; `refused` names each row and why."""

    added: int = 0
    there: int = 0
    over: int = 0  # sessions that had ended before
    refused: list[tuple[str, str]] = field(default_factory=list)


_WHY = {
    "other id": "this openid has another id here",
    "id taken": "somebody else has this id here",
    "erased": "somebody of this id was erased here",
    "blocked": "was blocked here when erased",
}


# People


async def import_users(
    backend: Backend, by: Actor, lines: Iterable[str], appid: str, zone: ZoneInfo, *, dry: bool
) -> Report:
    """Takes over the people in a CSV of one mini program, with their ids; times without a zone are in `zone`.

    Raises NotAList, AuditAway, UsersAway.
    """
    report = Report()
    people = list(_people(backend, lines, appid, zone, report))
    if dry:
        await _add_people(backend, people, report, dry=True)
        return report
    async with written_down(backend, by, "import.users", appid=appid, count=len(people)) as under_way:
        await _add_people(backend, people, report, dry=False)
        under_way.reached = report.added
        under_way.in_vain = report.added == 0
    return report


async def _add_people(backend: Backend, people: list[tuple[str, Newcomer]], report: Report, *, dry: bool) -> None:
    imports = Imports(backend.db)
    for start in range(0, len(people), _A_FEW):
        some = people[start : start + _A_FEW]
        outcomes = await imports.add([person for _, person in some], backend.now(), dry=dry)
        for (where, _), outcome in zip(some, outcomes, strict=True):
            if outcome == "added":
                report.added += 1
            elif outcome == "there already":
                report.there += 1
            else:
                report.refused.append((where, _WHY[outcome]))


def _people(
    backend: Backend, lines: Iterable[str], appid: str, zone: ZoneInfo, report: Report
) -> Iterator[tuple[str, Newcomer]]:
    """Every good row with the place where it stands; the others go into the report."""
    taken: set[int | str] = set()
    for where, fields in _rows(lines):
        try:
            person = _newcomer(backend, fields, appid, zone)
            _once(person, taken)
        except RowRefused as refused:
            report.refused.append((where, str(refused)))
        else:
            yield where, person


def _once(person: Newcomer, taken: set[int | str]) -> None:
    if taken & {person.id, person.openid}:
        raise RowRefused("its id or openid stands in the file twice")
    taken |= {person.id, person.openid}


def _rows(lines: Iterable[str]) -> Iterator[tuple[str, dict[str, str] | None]]:
    """Each line of the CSV under its header, with its number; None for one that does not fit. Raises NotAList."""
    reader = csv.reader(lines, strict=True)
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        if missing := {"id", "openid"} - set(header):
            raise NotAList(f"the first line names no column {' and no column '.join(sorted(missing))}")
        if len(set(header)) != len(header) or set(header) - set(_COLUMNS):
            raise NotAList(f"the first line may name each of {', '.join(_COLUMNS)} once, and nothing else")
        for row in reader:
            if row:
                yield (
                    f"line {reader.line_num}",
                    dict(zip(header, row, strict=True)) if len(row) == len(header) else None,
                )
    except csv.Error:
        raise NotAList(f"line {reader.line_num} is no CSV") from None


def _newcomer(backend: Backend, fields: dict[str, str] | None, appid: str, zone: ZoneInfo) -> Newcomer:
    """The person in a line. Raises RowRefused."""
    if fields is None:
        raise RowRefused("it has not as many fields as the first line")
    values = {name: fields.get(name, "").strip() for name in _COLUMNS}
    number, nickname = values["id"], values["nickname"]
    if not _NUMBER.fullmatch(number) or not 0 < int(number) <= HIGHEST_ID:
        raise RowRefused("id is no whole number from 1 on")
    if not values["openid"]:
        raise RowRefused("openid is missing")
    for name, form in _FORMS.items():
        if values[name] and not form.fullmatch(values[name]):
            raise RowRefused(f"{name} has an impossible form")
    if len(nickname) > MOST_NICKNAME or has_controls(nickname):
        raise RowRefused(f"nickname is longer than {MOST_NICKNAME} characters, or has controls in it")
    return Newcomer(
        id=int(number),
        appid=appid,
        openid=values["openid"],
        unionid=values["unionid"] or None,
        nickname=nickname or None,
        phone=values["phone"] or None,
        created_at=_moment(values["create_time"], zone, backend.now()),
        mark=person_mark(backend.keys.person_mark, appid, values["openid"]),
    )


def _moment(text: str, zone: ZoneInfo, now: int) -> int:
    """Epoch seconds, or a date and time as MySQL writes them; nothing is now. Raises RowRefused."""
    if not text:
        return now
    if _NUMBER.fullmatch(text) and int(text) <= now:
        return int(text)
    try:
        if _MOMENT.fullmatch(text) and (at := int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp())) > 0:
            return min(at, now)
    except ValueError:
        pass  # 0000-00-00 and its kin
    raise RowRefused("create_time is neither epoch seconds nor like 2026-01-31 12:00:00")


# Sessions of Wafer


async def import_wafer(
    backend: Backend,
    by: Actor,
    tables: WaferTables,
    *,
    appid: str | None,
    zone: ZoneInfo,
    skey_seconds: int = SKEY_SECONDS,
    dry: bool,
) -> Report:
    """Takes over the sessions that still hold there: whoever has the skey goes on without a new login.

    `skey_seconds` is how long Wafer 2 lets an skey live. Raises NoWafer, AuditAway, UsersAway, SessionsAway.
    """
    apps = await tables.apps()
    taking = _Taking(backend, tables, _app(apps, appid), apps is not None, zone, skey_seconds)
    report = await taking.all(dry=True)
    if dry or not report.added:
        return report
    async with written_down(backend, by, "import.wafer", appid=taking.app.appid, count=report.added) as under_way:
        report = await taking.all(dry=False)
        under_way.reached = report.added
    return report


def _app(apps: list[WaferApp] | None, appid: str | None) -> WaferApp:
    """Whose sessions these are: Wafer's tables of sessions do not say it."""
    if apps is None:
        if appid is None:
            raise NoWafer("Wafer 2 does not write down its appid: name it with --of-app")
        return WaferApp(appid, 0, 0)
    if appid is None and len(apps) == 1:
        return apps[0]
    found = [app for app in apps if app.appid == appid]
    if not found:
        raise NoWafer("cAppinfo does not hold this mini program" if appid else "name the mini program with --of-app")
    return found[0]


class _Live(Confidential, frozen=True):
    """A session of Wafer's that may be taken over: what it will be here."""

    row: WaferSession
    id: bytes
    ends_at: int
    key: bytes


@dataclass
class _Taking:
    """One import from one database."""

    backend: Backend
    tables: WaferTables
    app: WaferApp
    first: bool  # whether the tables are those of Wafer 1
    zone: ZoneInfo
    skey_seconds: int

    async def all(self, *, dry: bool) -> Report:
        """Goes through every row once."""
        report = Report()
        after = ("", "")
        epoch = (await self.backend.epochs.all()).get(self.app.appid, 0)
        while rows := await self.tables.some(after, _A_FEW):
            after = rows[-1].openid, rows[-1].uuid
            live = [each for row in rows if (each := self._judged(row, report))]
            there = await self.backend.logins.find([each.id for each in live])
            for each in live:
                if each.id in there:
                    report.there += 1
                elif dry:
                    report.added += 1
                else:
                    await self._take(each, epoch, report)
        return report

    def _judged(self, row: WaferSession, report: Report) -> _Live | None:
        try:
            return self._live(row, report)
        except RowRefused as refused:
            report.refused.append((row.openid or "a row without openid", str(refused)))
            return None

    def _live(self, row: WaferSession, report: Report) -> _Live | None:
        """What the row will be here; None when it had ended there. Raises RowRefused."""
        if not _IDENTIFIER.fullmatch(row.openid):
            raise RowRefused("open_id has an impossible form")
        now = self.backend.now()
        ends_at = self._ends_at(row)
        if ends_at <= now:
            report.over += 1
            return None
        if not is_foreign_skey(row.skey) or (self.first and not _WIRE_ID.fullmatch(row.uuid)):
            raise RowRefused("its skey is shorter than 32 characters, or it has no uuid")
        wanted = session_id(foreign_token(row.skey, row.uuid if self.first else ""))
        if wanted is None:
            raise AssertionError("a token of our own making has our form")
        return _Live(row, wanted, min(ends_at, self.backend.lifetime.ends_at(now)), _session_key(row))

    def _ends_at(self, row: WaferSession) -> int:
        """When Wafer itself would have ended it. Raises RowRefused."""
        if row.created_at is None or row.visited_at is None:
            raise RowRefused("it has no times")
        if not self.first:
            return row.visited_at + self.skey_seconds
        created_at, visited_at = (self._local(at) for at in (row.created_at, row.visited_at))
        return min(created_at + self.app.login_days * _DAY, visited_at + self.app.idle_seconds)

    def _local(self, seconds: int) -> int:
        """Wafer 1 writes DATETIME, which has no zone: what was read as UTC is a clock on somebody's wall."""
        return int(datetime.fromtimestamp(seconds, UTC).replace(tzinfo=self.zone).timestamp())

    async def _take(self, live: _Live, epoch: int, report: Report) -> None:
        try:
            user = await self._person(live.row)
            await keep_profile(self.backend, user, _profile(live.row.user_info))
            await self._open(live, user, epoch)
        except (UserBlocked, PersonChanged):
            report.refused.append((live.row.openid, "is blocked here"))
        else:
            report.added += 1

    async def _person(self, row: WaferSession) -> User:
        mark = person_mark(self.backend.keys.person_mark, self.app.appid, row.openid)
        users, now = self.backend.users, self.backend.now()
        return (await users.see(self.app.appid, row.openid, None, mark=mark, now=now, signup=True)).user

    async def _open(self, live: _Live, user: User, epoch: int) -> None:
        """First the fact, then the session: were it the other way round, one that was ended could be brought back."""
        now = self.backend.now()
        expires_at = self.backend.lifetime.expires_at(live.ends_at, now)
        self.backend.logins.opened(Login(live.id, user.id, user.appid, None, None, None, None, now, now, epoch=epoch))
        await self.backend.logins.flush()
        opening = Opening(
            id=live.id,
            user_id=user.id,
            appid=user.appid,
            created_at=now,
            ends_at=live.ends_at,
            expires_at=expires_at,
            sealed_key=self.backend.seal.seal(live.key, live.id),
            generation=user.generation,
            limit=0,
            overflow="oldest",
        )
        await self.backend.sessions.open(opening, now)


def _session_key(row: WaferSession) -> bytes:
    try:
        key = base64.b64decode(row.session_key, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 16:
        raise RowRefused("its session_key is none of WeChat's")
    return key


def _profile(user_info: str) -> dict[str, object]:
    """What Wafer kept of wx.getUserInfo: JSON, which Wafer 1 puts into base64; nothing when it is neither."""
    try:
        text = user_info if user_info.lstrip().startswith("{") else base64.b64decode(user_info).decode("utf-8")
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
