"""Verify a token, log out, list and end a person's own: the verbs about who is in. Those of operators: revocation."""

import re
from collections.abc import Iterable

import msgspec

from actions.backend import Backend
from actions.webhooks import tell
from stores.logins import Login
from stores.sessions import Reason, Session, SessionGone, session_id

_REVOKING = ("revoked", "blocked")
_PUBLIC_ID = re.compile(r"[0-9a-f]{8,64}", re.ASCII)


class NoSuchSession(Exception):
    """No session of that public id, or none that the caller may know of."""


class AmbiguousSession(Exception):
    """The beginning of a public id fits several sessions: more of it is needed."""


class Verified(msgspec.Struct, frozen=True):
    """Whose token it is, and the seconds it has left."""

    session: Session
    expires_in: int


class Ended(msgspec.Struct, frozen=True):
    """What a revocation did."""

    sessions: int
    users: int


class OwnSession(msgspec.Struct, frozen=True):
    """A session as its own person sees it; `facts` is None for the moment before they are written."""

    session: Session
    facts: Login | None
    current: bool


async def verify(backend: Backend, token: str, address: str) -> Verified:
    """Whose token this is. Asks the session store about everything that has a token's form, and nothing else.

    `address` is where it came from. Raises SessionGone (`reason` only for a token that once was issued),
    TooManyUnknownTokens, SessionsAway.
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
    await end_these(backend, [verified.session.id], "logged_out")


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
    wanted = checked(public_id)
    live = await backend.sessions.live(mine.user_id, mine.appid, backend.now())
    fitting = [each.id for each in live if each.id.hex().startswith(wanted)]
    if len(fitting) > 1:
        raise AmbiguousSession
    if not fitting:
        await backend.logins.flush()
        ended_before = await backend.logins.beginning_with(wanted)
        if not any(login.user_id == mine.user_id for login in ended_before):
            raise NoSuchSession
    ended = await end_these(backend, fitting, "revoked")
    await _tell(backend, mine, ended.sessions)
    return ended


async def revoke_others(backend: Backend, mine: Session) -> Ended:
    """Ends every session of the person but this one."""
    ended = 0
    while True:
        live = await backend.sessions.live(mine.user_id, mine.appid, backend.now())
        others = [each.id for each in live if each.id != mine.id]
        if not others:
            await _tell(backend, mine, ended)
            return Ended(ended, 1 if ended else 0)
        ended += (await end_these(backend, others, "revoked")).sessions


async def _tell(backend: Backend, mine: Session, count: int) -> None:
    if count:
        await tell(backend, "session.revoked", mine.appid, user_id=mine.user_id, scope="own", count=count)


async def find_session(backend: Backend, public_id: str) -> Login:
    """The login of a public id or its beginning, live or not. Raises NoSuchSession, AmbiguousSession, UsersAway."""
    await backend.logins.flush()
    found = await backend.logins.beginning_with(checked(public_id))
    if len(found) > 1:
        raise AmbiguousSession
    if not found:
        raise NoSuchSession
    return found[0]


async def end_all_of(backend: Backend, user_id: int, appid: str, reason: Reason, *, reset_keys: bool = True) -> Ended:
    """Ends every session of one person, as part of another deed; some at a time, for nobody else shall wait.

    Without `reset_keys` their keys stay what they are at WeChat, whatever RESET_KEY_ON_REVOKE says.
    """
    count = 0
    while (ended := await backend.sessions.end_some(user_id, appid, reason, backend.now())) is not None:
        backend.logins.ended([session.id for session in ended], reason, backend.now())
        count += len(ended)
        if reset_keys and reason in _REVOKING:
            backend.key_resets.after(ended)
    return Ended(count, 1 if count else 0)


def checked(public_id: str) -> str:
    """A public id, or at least 8 characters of one. Raises NoSuchSession."""
    if not _PUBLIC_ID.fullmatch(public_id):
        raise NoSuchSession
    return public_id


async def end_these(backend: Backend, ids: Iterable[bytes], reason: Reason, *, undo_by: str | None = None) -> Ended:
    """Ends these sessions as part of another deed, and notes it in their facts."""
    now = backend.now()
    ended = await backend.sessions.end(ids, reason, now, undo_by)
    backend.logins.ended([session.id for session in ended], reason, now)
    if reason in _REVOKING:
        backend.key_resets.after(ended)
    return Ended(len(ended), len({session.user_id for session in ended}))
