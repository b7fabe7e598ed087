"""Verify a token, end sessions, list a person's own: the verbs about who is in."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from actions.backend import Backend
from actions.deeds import Actor, written_down
from stores.logins import Login
from stores.sessions import Reason, Session, SessionGone, session_id
from stores.users import User

_PUBLIC_ID = re.compile(r"[0-9a-f]{8,64}", re.ASCII)


class NoSuchSession(Exception):
    """No session of that public id, or none that the caller may know of."""


class AmbiguousSession(Exception):
    """The beginning of a public id fits several sessions: more of it is needed."""


@dataclass(frozen=True)
class Verified:
    """Whose token it is, and the seconds it has left."""

    session: Session
    expires_in: int


@dataclass(frozen=True)
class Ended:
    """What a revocation did."""

    sessions: int
    users: int


@dataclass(frozen=True)
class OwnSession:
    """A session as its own person sees it; `facts` is None for the moment before they are written."""

    session: Session
    facts: Login | None
    current: bool


async def verify(backend: Backend, token: str, address: str) -> Verified:
    """Whose token this is. Asks the session store about everything that has a token's form, and nothing else.

    Raises SessionGone (`reason` only for a token that once was issued), TooManyUnknownTokens, SessionsAway.
    """
    now = backend.now()
    try:
        session = await _find(backend, token, now)
    except SessionGone as gone:
        if gone.reason is None and token:  # an empty one is a phone before its first login, not a guess
            backend.unknown_tokens.count(address, now)
        raise
    backend.uses.note(session, now)
    return Verified(session, backend.lifetime.left(session, now))


async def _find(backend: Backend, token: str, now: int) -> Session:
    wanted = session_id(token)
    if wanted is None:
        raise SessionGone  # no store is asked about what cannot be a token
    return await backend.sessions.find(wanted, now)


async def log_out(backend: Backend, token: str, address: str) -> None:
    """Ends the session of this token, everywhere, before it returns. Raises as `verify` does."""
    verified = await verify(backend, token, address)
    await _end(backend, [verified.session.id], "logged_out")


async def own_sessions(backend: Backend, mine: Session) -> list[OwnSession]:
    """The sessions of the person of this session, the newest first. Raises SessionsAway, UsersAway."""
    live = await backend.sessions.live(mine.user_id, mine.appid, backend.now())
    await backend.logins.flush()
    facts = await backend.logins.find([each.id for each in live])
    found = [OwnSession(each, facts.get(each.id), each.id == mine.id) for each in live]
    return sorted(found, key=lambda own: (own.session.created_at, own.session.id), reverse=True)


async def revoke_own(backend: Backend, mine: Session, public_id: str) -> Ended:
    """Ends one of the person's own sessions, named by its public id or at least 8 characters of it.

    Raises NoSuchSession (also for somebody else's), AmbiguousSession.
    """
    wanted = _checked(public_id)
    live = await backend.sessions.live(mine.user_id, mine.appid, backend.now())
    fitting = [each.id for each in live if each.id.hex().startswith(wanted)]
    if len(fitting) > 1:
        raise AmbiguousSession
    if not fitting:
        await backend.logins.flush()
        ended_before = await backend.logins.beginning_with(wanted)
        if not any(login.user_id == mine.user_id for login in ended_before):
            raise NoSuchSession
    return await _end(backend, fitting, "revoked")


async def revoke_others(backend: Backend, mine: Session) -> Ended:
    """Ends every session of the person but this one."""
    ended = 0
    while True:
        live = await backend.sessions.live(mine.user_id, mine.appid, backend.now())
        others = [each.id for each in live if each.id != mine.id]
        if not others:
            return Ended(ended, 1 if ended else 0)
        ended += (await _end(backend, others, "revoked")).sessions


async def find_session(backend: Backend, public_id: str) -> Login:
    """The login of a public id or its beginning, live or not. Raises NoSuchSession, AmbiguousSession, UsersAway."""
    await backend.logins.flush()
    found = await backend.logins.beginning_with(_checked(public_id))
    if len(found) > 1:
        raise AmbiguousSession
    if not found:
        raise NoSuchSession
    return found[0]


async def revoke(backend: Backend, by: Actor, public_id: str, *, reason: str | None = None) -> Ended:
    """Ends one session. One that has ended already is no error and counts 0.

    Raises as `find_session` does, and AuditAway.
    """
    wanted = _checked(public_id)
    if len(wanted) < 64:  # a whole id needs no list to be looked up in
        wanted = (await find_session(backend, wanted)).id.hex()
    async with written_down(backend, by, "session.revoke", target=f"session:{wanted}", reason=reason):
        return await _end(backend, [bytes.fromhex(wanted)], "revoked")


async def revoke_user(backend: Backend, by: Actor, user: User, *, reason: str | None = None) -> Ended:
    """Ends every session of one person. Raises AuditAway."""
    async with written_down(backend, by, "user.revoke", target=f"user:{user.id}", appid=user.appid, reason=reason):
        return await end_all_of(backend, user.id, user.appid, "revoked")


async def end_all_of(backend: Backend, user_id: int, appid: str, reason: Reason) -> Ended:
    """Ends every session of one person, as part of another deed; some at a time, for nobody else shall wait."""
    count = 0
    while (ended := await backend.sessions.end_some(user_id, appid, reason, backend.now())) is not None:
        backend.logins.ended([session.id for session in ended], reason, backend.now())
        count += len(ended)
    return Ended(count, 1 if count else 0)


async def revoke_everybody(backend: Backend, by: Actor, *, reason: str | None = None) -> Ended:
    """Ends every session of every mini program, by one number each, at once at any size. Raises AuditAway.

    The number is raised in SQL first, so that it outlives a session store that forgets. Counts sessions; whose they
    were is not counted, because that would be a scan (`users` is 0).
    """
    appids = await backend.epochs.know(app.appid for app in backend.settings.apps)
    ended = sum([await backend.sessions.count(appid, backend.now()) for appid in appids])
    async with written_down(backend, by, "everybody.revoke", count=ended, reason=reason):
        for appid in appids:
            await backend.epochs.raise_for(appid)
        await backend.sessions.set_epochs(await backend.epochs.all())
    return Ended(ended, 0)


def _checked(public_id: str) -> str:
    if not _PUBLIC_ID.fullmatch(public_id):
        raise NoSuchSession
    return public_id


async def _end(backend: Backend, ids: Iterable[bytes], reason: Reason) -> Ended:
    now = backend.now()
    ended = await backend.sessions.end(ids, reason, now)
    backend.logins.ended([session.id for session in ended], reason, now)
    return Ended(len(ended), len({session.user_id for session in ended}))
