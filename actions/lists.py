"""The lists that operators look at: sessions, people, logins and deeds, page by page, and one of each in detail.

A page follows an index from a place on and looks through a bounded number of entries, so it costs the same at any size;
one that had to stop early says how far it looked. Rows come from SQL; whether a session holds is asked of the session
store for each row shown, and what that says counts.
"""

import asyncio
import re
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from actions.backend import Backend
from actions.questions import FAR, AuditQuestion, LoginsQuestion, Question, UsersQuestion
from actions.search import Named, Search, people_named
from actions.sessions import AmbiguousSession, NoSuchSession, find_session
from stores.audit import Deeds, Entry
from stores.logins import BadPlace, Login, Page, Place, Sought
from stores.refused_logins import Refusals, RefusedLogin
from stores.scope import Scope
from stores.sessions import Reason, Session, SessionGone
from stores.users import NoSuchUser, User

PAGE = 50
MOST_ON_A_PAGE = 200
_MOST_HISTORY = 50
_MOST_DEEDS = 50
_WHOLE_ID = re.compile(r"[0-9a-f]{64}", re.ASCII)

SessionState = Literal["live"] | Reason


class SessionRow(msgspec.Struct, frozen=True):
    """A session as the lists show it. `user` is None when the person was erased, `session` when it holds no more."""

    login: Login
    user: User | None
    session: Session | None
    state: SessionState
    expires_in: int | None  # seconds, of one that holds

    @property
    def public_id(self) -> str:
        """What the session is called outside; nobody gets in with it."""
        return self.login.id.hex()


class SessionsPage(msgspec.Struct, frozen=True):
    """Some sessions. `more` is the `place` of the next page, None at the end of the list.

    `looked_back_to`, a moment in epoch seconds, is set when the page is not full because enough was looked through.
    `only_some`: the search names more than MOST_PEOPLE people, and only the sessions of some of them are listed.
    """

    rows: list[SessionRow]
    more: str | None = None
    looked_back_to: int | None = None
    only_some: bool = False


class UsersPage(msgspec.Struct, frozen=True):
    """Some people, the newest first; the rest as in SessionsPage."""

    rows: list[User]
    more: str | None = None
    looked_back_to: int | None = None
    only_some: bool = False


class Attempt(msgspec.Struct, frozen=True):
    """A login that succeeded, with `row`, or one that was refused, with `refused`."""

    at: int
    appid: str
    row: SessionRow | None = None
    refused: RefusedLogin | None = None


class LoginsPage(msgspec.Struct, frozen=True):
    """Some logins, the newest first; the rest as in SessionsPage."""

    rows: list[Attempt]
    more: str | None = None
    looked_back_to: int | None = None


class AuditPage(msgspec.Struct, frozen=True):
    """Some deeds, the newest first; the rest as in SessionsPage."""

    rows: list[Entry]
    more: str | None = None
    looked_back_to: int | None = None


class SessionDetail(msgspec.Struct, frozen=True):
    """One session, and what was done to it, the newest first."""

    row: SessionRow
    deeds: list[Entry]


class UserDetail(msgspec.Struct, frozen=True):
    """One person: the sessions that hold, the last logins, and what was done, the newest first of each."""

    user: User
    live: list[SessionRow]
    history: list[SessionRow]
    deeds: list[Entry]


async def sessions_page(
    backend: Backend, scope: Scope, question: Question, place: str | None = None, most: int = PAGE
) -> SessionsPage:
    """A page of sessions, from a place on that the page before gave.

    Who searches for the public id of a session finds it in whatever state it is. Raises BadPlace, UsersAway,
    SessionsAway.
    """
    most, start = _bounded(most), Place.of(place) if place else None
    await backend.logins.catch_up()
    search = question.search
    if search.public_id is not None:
        found = await backend.logins.beginning_with(search.public_id, most)
        return SessionsPage(await rows_of(backend, visible(found, scope)))
    named = await named_by(backend, scope, search)
    sought = sought_by(backend, scope, question, named)
    page = await backend.logins.page(sought, question.ordered, start, most)
    rows = await rows_of(backend, page.logins)
    more = str(page.more) if page.more else None
    return SessionsPage(rows, more, page.looked_back_to, named is not None and named.only_some)


async def users_page(
    backend: Backend, scope: Scope, question: UsersQuestion, place: str | None = None, most: int = PAGE
) -> UsersPage:
    """A page of people, the newest first. A search for an address or a session finds nobody. Raises BadPlace."""
    most, before = _bounded(most), Place.of(place, 0).value if place else 2**62
    now, within = backend.now(), _within(scope, question.app)
    first, last = question.created
    if question.q:
        named = await people_named(backend, within, question.search)
        fitting = [
            user
            for user in named.users.values()
            if user.id < before and first <= user.created_at <= last and _in_state(user, question, now)
        ]
        more = str(Place(fitting[most - 1].id)) if fitting[most:] else None
        return UsersPage(fitting[:most], more, None, named.only_some)
    page = await backend.users.page(within, question.state, question.created, now, before, most)
    return UsersPage(page.users, str(Place(page.more)) if page.more else None, page.looked_back_to)


def _in_state(user: User, question: UsersQuestion, now: int) -> bool:
    return question.state == "any" or (question.state == "blocked") == user.blocked(now)


async def logins_page(
    backend: Backend, scope: Scope, question: LoginsQuestion, place: str | None = None, most: int = PAGE
) -> LoginsPage:
    """A page of logins, the newest first: those that succeeded and those that were refused. Raises BadPlace."""
    most, start = _bounded(most), _merged_place(place)
    within = _within(scope, question.app)
    await backend.logins.catch_up()
    succeeded, refused = Page([]), Refusals([])
    if question.result != "refused" and question.errcode is None:
        succeeded = await _succeeded(backend, within, question, start, most)
    if question.result != "succeeded":
        refused = await _refused(backend, within, question, start, most)
    return await _merged(backend, succeeded, refused, most)


async def _succeeded(backend: Backend, within: Scope, question: LoginsQuestion, start: Place | None, most: int) -> Page:
    place = None
    if start is not None:  # of one second, those that succeeded come first
        place = Place(start.value, start.id[1:] if start.id[0] else b"")
    first, last = question.created
    sought = Sought(appids=within, platform=question.platform, created_from=first, created_to=last)
    return await backend.logins.page(sought, "created", place, most)


async def _refused(
    backend: Backend, within: Scope, question: LoginsQuestion, start: Place | None, most: int
) -> Refusals:
    place = None
    if start is not None:
        place = (start.value, 2**62 if start.id[0] else int.from_bytes(start.id[1:], "big"))
    await backend.refused_logins.catch_up()
    return await backend.refused_logins.page(
        within, question.errcode, question.platform, *question.created, place, most
    )


async def _merged(backend: Backend, succeeded: Page, refused: Refusals, most: int) -> LoginsPage:
    """One list of the two. Where one of them stopped, the other goes no further, or rows would be left out."""
    stops = [_key(1, succeeded.more.value, succeeded.more.id)] if succeeded.more else []
    stops += [_key(0, refused.more[0], refused.more[1].to_bytes(32, "big"))] if refused.more else []
    stop = max(stops, default=None)
    rows = {_key(1, row.login.created_at, row.login.id): row for row in await rows_of(backend, succeeded.logins)}
    attempts = {key: Attempt(row.login.created_at, row.login.appid, row=row) for key, row in rows.items()}
    for each in refused.rows:
        attempts[_key(0, each.at, each.id.to_bytes(32, "big"))] = Attempt(each.at, each.appid, refused=each)
    keys = sorted((key for key in attempts if stop is None or key >= stop), reverse=True)
    shown = [attempts[key] for key in keys[:most]]
    if keys[most:]:
        return LoginsPage(shown, str(_merged_at(keys[most - 1])))
    if stop is None:
        return LoginsPage(shown)
    stopped_early = succeeded.looked_back_to is not None or refused.looked_back_to is not None
    return LoginsPage(shown, str(_merged_at(stop)), stop[0] if stopped_early and len(shown) < most else None)


def _key(kind: int, at: int, row_id: bytes) -> tuple[int, bytes]:
    return at, bytes([kind]) + row_id


def _merged_at(key: tuple[int, bytes]) -> Place:
    return Place(*key)


def _merged_place(place: str | None) -> Place | None:
    if not place:
        return None
    found = Place.of(place, 33)
    if found.id[0] > 1 or (not found.id[0] and int.from_bytes(found.id[1:], "big") > FAR):
        raise BadPlace
    return found


async def audit_page(
    backend: Backend, scope: Scope, question: AuditQuestion, place: str | None = None, most: int = PAGE
) -> AuditPage:
    """A page of deeds, the newest first; an operator of some appids sees those of theirs alone. Raises BadPlace."""
    deeds = Deeds(
        appids=_within(scope, question.app),
        actor=question.actor,
        deed=question.deed,
        result=question.result,
        target=question.target,
        at_from=question.created[0],
        at_to=question.created[1],
    )
    before = Place.of(place, 0).value if place else 2**62
    page = await backend.audit.page(deeds, before, _bounded(most))
    return AuditPage(page.entries, str(Place(page.more)) if page.more else None, page.looked_back_to)


async def session_detail(backend: Backend, scope: Scope, public_id: str) -> SessionDetail:
    """One session by its public id or its beginning. Raises NoSuchSession (also for one of another mini program),
    AmbiguousSession, UsersAway, SessionsAway."""
    try:
        login = await find_session(backend, public_id)
    except AmbiguousSession:
        if scope is None:
            raise
        raise NoSuchSession from None  # whose sessions begin alike is not this operator's to know
    if not visible([login], scope):
        raise NoSuchSession
    [row] = await rows_of(backend, [login])
    return SessionDetail(row, await _done_to(backend, f"session:{row.public_id}"))


async def sessions_chosen(backend: Backend, scope: Scope, public_ids: Sequence[str]) -> list[SessionRow]:
    """The sessions of these whole public ids, in their order. Raises NoSuchSession (also for one that may not be seen),
    UsersAway, SessionsAway."""
    if not all(_WHOLE_ID.fullmatch(each) for each in public_ids):
        raise NoSuchSession
    await backend.logins.catch_up()
    ids = [bytes.fromhex(each) for each in dict.fromkeys(public_ids)]
    facts = await backend.logins.find(ids)
    found = visible([facts[each] for each in ids if each in facts], scope)
    if len(found) < len(ids):
        raise NoSuchSession
    return await rows_of(backend, found)


async def user_detail(backend: Backend, scope: Scope, user_id: int) -> UserDetail:
    """One person. Raises NoSuchUser (also for one of another mini program), UsersAway, SessionsAway."""
    user = await backend.users.find(user_id)
    if scope is not None and user.appid not in scope:
        raise NoSuchUser
    await backend.logins.flush()
    held = await backend.sessions.live(user.id, user.appid, backend.now())
    facts = await backend.logins.find([each.id for each in held])
    live = await rows_of(backend, [facts.get(each.id) or _facts_of(each) for each in held])
    history = await rows_of(backend, await backend.logins.of_user(user_id, _MOST_HISTORY))
    live.sort(key=lambda row: (row.login.created_at, row.login.id), reverse=True)
    return UserDetail(user, live, history, await _done_to(backend, f"user:{user_id}"))


def _facts_of(session: Session) -> Login:
    """What is known of a session whose login is not written yet, or no more."""
    at = session.created_at
    return Login(session.id, session.user_id, session.appid, None, None, None, None, at, at, epoch=session.epoch)


async def _done_to(backend: Backend, target: str) -> list[Entry]:
    return (await backend.audit.page(Deeds(target=target), most=_MOST_DEEDS)).entries


def sought_by(backend: Backend, scope: Scope, question: Question, named: Named | None) -> Sought:
    """Which logins fit the question. What cannot live by today's settings is not taken for live."""
    now, lifetime = backend.now(), backend.lifetime
    return Sought(
        appids=_within(scope, question.app),
        user_ids=None if named is None else tuple(named.users),
        addresses=question.search.addresses,
        version=question.version,
        platform=question.platform,
        environment=question.environment,
        state=question.state,
        oldest_live=max(now - lifetime.longest_seconds, 0),
        oldest_use=max(now - lifetime.longest_unused_seconds, 0),
        seen_from=0 if question.seen_within is None else max(now - question.seen_within, 0),
        created_from=question.created[0],
        created_to=question.created[1],
    )


async def named_by(backend: Backend, scope: Scope, search: Search) -> Named | None:
    """Whom a search names; None when it names nobody in particular. Raises UsersAway."""
    return await people_named(backend, scope, search) if search.names_people else None


async def rows_of(backend: Backend, logins: Sequence[Login]) -> list[SessionRow]:
    """The rows with their people, and with the truth about whether each holds. Raises UsersAway, SessionsAway."""
    if not logins:
        return []
    now = backend.now()
    held, users = await asyncio.gather(
        backend.sessions.holding([login.id for login in logins], now),
        backend.users.find_all(list({login.user_id for login in logins})),
    )
    reasons = await _reasons(backend, [login for login in logins if login.id not in held and not login.ended_at], now)
    return [
        _row(backend, login, users.get(login.user_id), held.get(login.id), reasons.get(login.id), now)
        for login in logins
    ]


def _row(
    backend: Backend, login: Login, user: User | None, session: Session | None, reason: Reason | None, now: int
) -> SessionRow:
    if session is not None:
        unused_until = backend.lifetime.expires_at(session.ends_at, max(login.seen_at, session.created_at))
        return SessionRow(login, user, session, "live", max(min(session.expires_at, unused_until) - now, 0))
    return SessionRow(login, user, None, reason or _noted(login), None)


def _noted(login: Login) -> Reason:
    """Why a session ended, as its row says; an end that nobody noted the cause of was somebody's doing."""
    known: tuple[Reason, ...] = ("logged_out", "replaced", "blocked", "expired")
    return next((reason for reason in known if reason == login.reason), "revoked")


async def _reasons(backend: Backend, logins: list[Login], now: int) -> dict[bytes, Reason]:
    """Why these do not hold, though their rows name no end: the session store remembers for a day, time tells after."""
    if not logins:
        return {}
    counters = await backend.epochs.all()
    told = await asyncio.gather(*(_reason(backend, login.id, now) for login in logins))
    return {
        login.id: reason or ("revoked" if login.epoch < counters.get(login.appid, 0) else "expired")
        for login, reason in zip(logins, told, strict=True)
    }


async def _reason(backend: Backend, session_id: bytes, now: int) -> Reason | None:
    try:
        await backend.sessions.find(session_id, now)
    except SessionGone as gone:
        return gone.reason
    return None


def _within(scope: Scope, app: str | None) -> Scope:
    """What may be seen and is asked for; an appid that may not be seen leaves nothing, as one that nobody knows."""
    if app is None:
        return scope
    return (app,) if scope is None or app in scope else ()


def visible(logins: Iterable[Login], scope: Scope) -> list[Login]:
    """Those that the operator may see."""
    return [login for login in logins if scope is None or login.appid in scope]


def _bounded(most: int) -> int:
    return min(max(most, 1), MOST_ON_A_PAGE)
