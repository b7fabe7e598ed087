"""The people of the dashboard: who they are, what they may, their sessions, and the links that let them in first.

A session, a link, a known browser and a recovery code are kept only as SHA-256 of what its holder has. Every deed that
changes an operator is one transaction with its audit row, and the last admin who can sign in stays one.
"""

from collections.abc import Iterable
from typing import Literal, get_args

import msgspec

from stores.audit import Audit, Entry
from stores.db import Database, Row, Script, all_of, load
from values import Confidential

SQL = load("operators.sql")

Role = Literal["viewer", "operator", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)  # from the least to the most

IDLE_SECONDS = 30 * 60
LONGEST_SECONDS = 12 * 3600
DEVICE_SECONDS = 90 * 86_400
_TOUCH_SECONDS = 60
_NO_SESSION = b""


class NoSuchOperator(Exception):
    """There is no operator of this name."""


class NameTaken(Exception):
    """Another operator has this name."""


class LastAdmin(Exception):
    """Without this one nobody could sign in who may do everything."""


class LinkGone(Exception):
    """The link was used, is too old, or never was."""


class SignedOut(Exception):
    """There is no such session, or it was unused too long, or its operator was disabled."""


class Operator(msgspec.Struct, frozen=True):
    """One person of the dashboard. `appids` are the mini programs he sees, None for all. Times are epoch seconds."""

    id: int
    name: str
    role: Role
    appids: frozenset[str] | None
    state: str  # "active" or "disabled"
    has_password: bool
    has_totp: bool
    language: str | None
    timezone: str | None
    created_at: int
    seen_at: int | None

    def may(self, role: Role) -> bool:
        """Whether he has this role or a greater one."""
        return ROLES.index(self.role) >= ROLES.index(role)


class OperatorSession(msgspec.Struct, frozen=True):
    """One browser that is signed in. `confirmed_at` is when the password was given last."""

    id: bytes
    operator_id: int
    created_at: int
    seen_at: int
    confirmed_at: int
    address: str | None
    device: str | None
    flash: str | None


class Proofs(Confidential, frozen=True):
    """What is known of an operator's password and second factor: a hash and a sealed secret."""

    password: str | None
    totp: bytes | None


class Arrival(msgspec.Struct, frozen=True):
    """A browser that signs in: the id of its new session, and the id under which it is known from now on, if it is new.

    `ends` is the session that its cookie held before, which ends with this.
    """

    session: bytes
    address: str | None
    device: str | None
    browser: bytes | None = None
    ends: OperatorSession | None = None


class Operators:
    """The operators of this installation. All calls raise UsersAway or StoreFull when the database does."""

    def __init__(self, db: Database, audit: Audit) -> None:
        self._db = db
        self._audit = audit

    # Who there is

    async def any(self) -> bool:
        """Whether there is an operator at all."""
        return bool(await self._db.read(SQL["any_operator"]()))

    async def all(self) -> list[Operator]:
        """Every operator, by name."""
        return [_operator(row) for row in await self._db.read(SQL["operators"]())]

    async def find_name(self, name: str) -> Operator:
        """Raises NoSuchOperator."""
        rows = await self._db.read(SQL["operator_by_name"](name=name))
        if not rows:
            raise NoSuchOperator
        return _operator(rows[0])

    async def find(self, operator_id: int) -> Operator:
        """Raises NoSuchOperator."""
        rows = await self._db.read(SQL["operator_by_id"](operator_id=operator_id))
        if not rows:
            raise NoSuchOperator
        return _operator(rows[0])

    async def proofs(self, operator_id: int) -> Proofs:
        """What he proves himself with. Raises NoSuchOperator."""
        rows = await self._db.read(SQL["secrets_of"](operator_id=operator_id))
        if not rows:
            raise NoSuchOperator
        return Proofs(*rows[0])

    # Deeds, each one transaction with its audit row

    async def add(
        self,
        name: str,
        role: Role,
        appids: Iterable[str] | None,
        entry: Entry,
        *,
        password: str | None = None,
        link: tuple[bytes, int] | None = None,
    ) -> Operator:
        """A new operator with the hash of a password, or with a link (its id and its end) to set one.

        Raises NameTaken.
        """

        def script() -> Script[Operator]:
            yield from _add(name, role, appids, password, entry.at)
            operator = yield from _locked(name)
            if link:
                yield SQL["add_link"](id=link[0], operator_id=operator.id, expires_at=link[1])
            return operator

        return await self._audit.with_deed(entry, script)

    async def change_role(self, name: str, role: Role, appids: Iterable[str] | None, entry: Entry) -> Operator:
        """What he may do from the next request on, and where. Raises NoSuchOperator, LastAdmin."""

        def script() -> Script[Operator]:
            stays_admin = role == "admin" and appids is None
            operator = yield from (_locked(name) if stays_admin else _not_the_last_admin(name))
            yield SQL["set_role"](operator_id=operator.id, role=role, scope=_as_text(appids))
            return (yield from _locked(name))

        return await self._audit.with_deed(entry, script)

    async def disable(self, name: str, entry: Entry) -> Operator:
        """Ends all that he could get in by, at once. Raises NoSuchOperator, LastAdmin."""

        def script() -> Script[Operator]:
            operator = yield from _not_the_last_admin(name)
            yield SQL["set_state"](operator_id=operator.id, state="disabled")
            yield from _shut_out(operator)
            return (yield from _locked(name))

        return await self._audit.with_deed(entry, script)

    async def enable(self, name: str, entry: Entry) -> Operator:
        """Lets him sign in again, with the password he had. Raises NoSuchOperator."""

        def script() -> Script[Operator]:
            operator = yield from _locked(name)
            yield SQL["set_state"](operator_id=operator.id, state="active")
            return (yield from _locked(name))

        return await self._audit.with_deed(entry, script)

    async def reset(self, name: str, link: tuple[bytes, int], entry: Entry) -> Operator:
        """Takes password, second factor, sessions and known browsers away; the link sets a new password.

        Raises NoSuchOperator.
        """

        def script() -> Script[Operator]:
            operator = yield from _locked(name)
            yield SQL["set_password"](operator_id=operator.id, password=None, now=entry.at)
            yield from _set_totp(operator, None, 0, ())
            yield from _shut_out(operator)
            yield SQL["add_link"](id=link[0], operator_id=operator.id, expires_at=link[1])
            return (yield from _locked(name))

        return await self._audit.with_deed(entry, script)

    async def set_password(self, operator: Operator, password: str, keep: bytes, entry: Entry) -> None:
        """A new hash; all his sessions but `keep` end, and links to set another are void."""
        changed = all_of(
            SQL["set_password"](operator_id=operator.id, password=password, now=entry.at),
            SQL["end_operator_sessions"](operator_id=operator.id, id=keep),
            SQL["drop_links"](operator_id=operator.id),
        )
        await self._audit.with_deed(entry, changed)

    async def rehash(self, operator: Operator, before: str, after: str) -> None:
        """The same password under stronger parameters; a password that was changed meanwhile stays."""
        rehashed = all_of(SQL["rehash_password"](operator_id=operator.id, before=before, password=after))
        await self._db.write(rehashed, from_reserve=True)

    async def set_totp(
        self, operator: Operator, totp: bytes | None, entry: Entry, *, step: int = 0, codes: Iterable[bytes] = ()
    ) -> None:
        """A sealed second factor with the step that proved it and the ids of its recovery codes, or none."""
        await self._audit.with_deed(entry, lambda: _set_totp(operator, totp, step, codes))

    async def set_tastes(self, operator_id: int, language: str | None, timezone: str | None) -> None:
        """The language and time zone of his pages; None is what the server would choose."""
        chosen = all_of(SQL["set_tastes"](operator_id=operator_id, language=language, timezone=timezone))
        await self._db.write(chosen, from_reserve=True)

    # The second factor

    async def use_totp_step(self, operator_id: int, step: int) -> bool:
        """Whether a code of this step was not used yet; it is from now on."""
        used = all_of(SQL["use_totp_step"](operator_id=operator_id, step=step))
        return await self._db.write(used, from_reserve=True) == 1

    async def use_recovery_code(self, operator_id: int, code: bytes) -> bool:
        """Whether this was one of his recovery codes; it is none from now on."""
        used = all_of(SQL["use_recovery_code"](id=code, operator_id=operator_id))
        return await self._db.write(used, from_reserve=True) == 1

    async def recovery_codes_left(self, operator_id: int) -> int:
        """How many recovery codes he has not used."""
        [[left]] = await self._db.read(SQL["count_recovery_codes"](operator_id=operator_id))
        return int(left)

    # Links

    async def offer_first(self, link: bytes, expires_at: int) -> bool:
        """Makes this the one link for the first operator; False when there is an operator already."""

        def script() -> Script[bool]:
            if (yield SQL["any_operator"]()).rows:
                return False
            yield SQL["drop_first_links"]()
            yield SQL["add_link"](id=link, operator_id=None, expires_at=expires_at)
            return True

        return await self._db.write(script, from_reserve=True)

    async def link_of(self, link: bytes, now: int) -> Operator | None:
        """Whom a link lets in; None stands for the first operator, who has no name yet. Raises LinkGone."""
        rows = await self._db.read(SQL["find_link"](id=link, now=now))
        if not rows:
            raise LinkGone
        if rows[0][0] is None:
            return None
        return await self.find(rows[0][0])

    async def found(self, link: bytes, name: str, password: str, arrival: Arrival, entry: Entry) -> Operator:
        """The first operator, an admin of everything, signed in. Raises LinkGone when there is one already."""

        def script() -> Script[Operator]:
            yield from _take(link, entry.at)
            if (yield SQL["any_operator"]()).rows:
                raise LinkGone
            yield from _add(name, "admin", None, password, entry.at)
            operator = yield from _locked(name)
            yield from _arrive(operator, arrival, entry.at)
            return operator

        return await self._audit.with_deed(entry, script)

    async def set_up(self, link: bytes, operator: Operator, password: str, arrival: Arrival, entry: Entry) -> Operator:
        """His new password by a link, signed in; every other session of his ends. Raises LinkGone."""

        def script() -> Script[Operator]:
            now = yield from _locked(operator.name)
            if now.state != "active":
                raise LinkGone
            yield from _take(link, entry.at)
            yield SQL["set_password"](operator_id=operator.id, password=password, now=entry.at)
            yield from _shut_out(operator)
            yield from _arrive(operator, arrival, entry.at)
            return now

        return await self._audit.with_deed(entry, script)

    # Sessions

    async def open(self, operator: Operator, arrival: Arrival, entry: Entry) -> None:
        """A session for somebody who has proved himself. Raises SignedOut when he was disabled meanwhile."""

        def script() -> Script[None]:
            if (yield from _locked(operator.name)).state != "active":
                raise SignedOut
            yield from _arrive(operator, arrival, entry.at)

        await self._audit.with_deed(entry, script)

    async def session(self, session: bytes, now: int) -> tuple[OperatorSession, Operator]:
        """The session and its operator, in one read. Raises SignedOut."""
        rows = await self._db.read(SQL["operator_session"](id=session, **_since(now)))
        if not rows:
            raise SignedOut
        return OperatorSession(*rows[0][:8]), _operator(rows[0][8:])

    async def sessions(self, operator_id: int, now: int) -> list[OperatorSession]:
        """His sessions that hold, the one used last at the top."""
        rows = await self._db.read(SQL["operator_sessions"](operator_id=operator_id, **_since(now)))
        return [OperatorSession(*row) for row in rows]

    async def touch(self, session: OperatorSession, now: int) -> None:
        """Notes that it is used, at most once a minute."""
        if now - session.seen_at < _TOUCH_SECONDS:
            return
        touched = all_of(
            SQL["touch_operator_session"](id=session.id, now=now),
            SQL["note_operator_seen"](operator_id=session.operator_id, now=now),
        )
        await self._db.write(touched, durable=False, from_reserve=True)

    async def confirm(self, session: bytes, now: int) -> None:
        """Notes that the password was given again."""
        await self._db.write(all_of(SQL["confirm_operator_session"](id=session, now=now)), from_reserve=True)

    async def end(self, session: bytes, operator_id: int, entry: Entry) -> bool:
        """Ends one session of his; gives whether there was one."""
        ended = all_of(SQL["end_operator_session"](id=session, operator_id=operator_id))
        return await self._audit.with_deed(entry, ended) == 1

    async def end_others(self, session: bytes, operator_id: int, entry: Entry) -> int:
        """Ends all sessions of his but this one; gives how many."""
        ended = all_of(SQL["end_operator_sessions"](operator_id=operator_id, id=session))
        return await self._audit.with_deed(entry, ended)

    async def set_flash(self, session: bytes, flash: str) -> None:
        """What the next page of this session is to say."""
        await self._db.write(all_of(SQL["set_flash"](id=session, flash=flash)), durable=False, from_reserve=True)

    async def clear_flash(self, session: bytes, flash: str) -> None:
        """It was said; what was left to say meanwhile stays."""
        await self._db.write(all_of(SQL["clear_flash"](id=session, flash=flash)), durable=False, from_reserve=True)

    async def knows(self, operator_id: int, browser: bytes, now: int) -> bool:
        """Whether he signed in with this browser within 90 days."""
        asked = SQL["find_device"](id=browser, operator_id=operator_id, since=now - DEVICE_SECONDS)
        return bool(await self._db.read(asked))

    async def sweep(self, now: int) -> None:
        """Forgets sessions, links and browsers of which the time is over."""
        swept = all_of(
            SQL["sweep_operator_sessions"](idle_since=now - IDLE_SECONDS),
            SQL["sweep_links"](now=now),
            SQL["sweep_devices"](since=now - DEVICE_SECONDS),
        )
        await self._db.write(swept, durable=False, from_reserve=True)


def _operator(row: Row) -> Operator:
    number, name, role, appids, state, has_password, has_totp, *rest = row
    known = None if appids is None else frozenset(each for each in appids.split(",") if each)
    return Operator(number, name, role, known, state, bool(has_password), bool(has_totp), *rest)


def _as_text(appids: Iterable[str] | None) -> str | None:
    return None if appids is None else ",".join(sorted(appids))


def _since(now: int) -> dict[str, int]:
    return {"idle_since": now - IDLE_SECONDS, "born_since": now - LONGEST_SECONDS}


def _locked(name: str) -> Script[Operator]:
    found = yield SQL["lock_operator"](name=name)
    if not found.rows:
        raise NoSuchOperator
    return _operator(found.rows[0])


def _not_the_last_admin(name: str) -> Script[Operator]:
    """Locks all admins before the one it is about: two of them who remove each other wait here, and one is told no."""
    able = yield SQL["able_admins"]()
    operator = yield from _locked(name)
    if [row[0] for row in able.rows] == [operator.id]:
        raise LastAdmin
    return operator


def _add(name: str, role: Role, appids: Iterable[str] | None, password: str | None, now: int) -> Script[None]:
    added = yield SQL["add_operator"](name=name, role=role, scope=_as_text(appids), now=now)
    if added.changed != 1:
        raise NameTaken
    if password is not None:
        operator = yield from _locked(name)
        yield SQL["set_password"](operator_id=operator.id, password=password, now=now)


def _set_totp(operator: Operator, totp: bytes | None, step: int, codes: Iterable[bytes]) -> Script[None]:
    yield SQL["set_totp"](operator_id=operator.id, totp=totp, step=step)
    yield SQL["drop_recovery_codes"](operator_id=operator.id)
    for code in codes:
        yield SQL["add_recovery_code"](id=code, operator_id=operator.id)


def _shut_out(operator: Operator) -> Script[None]:
    yield SQL["end_operator_sessions"](operator_id=operator.id, id=_NO_SESSION)
    yield SQL["drop_links"](operator_id=operator.id)
    yield SQL["drop_devices"](operator_id=operator.id)


def _take(link: bytes, now: int) -> Script[None]:
    taken = yield SQL["take_link"](id=link, now=now)
    if taken.changed != 1:
        raise LinkGone


def _arrive(operator: Operator, arrival: Arrival, now: int) -> Script[None]:
    if arrival.ends:
        yield SQL["end_operator_session"](id=arrival.ends.id, operator_id=arrival.ends.operator_id)
    yield SQL["open_operator_session"](
        id=arrival.session, operator_id=operator.id, now=now, address=arrival.address, device=arrival.device
    )
    yield SQL["note_operator_seen"](operator_id=operator.id, now=now)
    if arrival.browser:
        yield SQL["add_device"](id=arrival.browser, operator_id=operator.id, now=now)
