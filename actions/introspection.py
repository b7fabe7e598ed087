"""Whose token is it: what your other back ends and your proxy ask, answered by the session store each time."""

from collections.abc import Sequence

import msgspec

from actions.backend import Backend
from stores.sessions import Session, SessionGone, session_id
from stores.users import NoSuchUser, User

MOST_TOKENS = 500


class Active(msgspec.Struct, frozen=True):
    """A token that holds: its session, its person, and when it ends if it is not used again (epoch seconds)."""

    session: Session
    user: User
    expires_at: int


async def introspect(backend: Backend, token: str, appids: frozenset[str] | None = None) -> Active | None:
    """Who a token belongs to; None for every one that opens nothing, or nothing in these mini programs, all alike.

    Asking counts as a use of the session, as a verify does: somebody is being served. Raises SessionsAway, UsersAway.
    """
    now = backend.now()
    wanted = session_id(token)
    if wanted is None:
        return None
    try:
        session = await backend.sessions.find(wanted, now)
        if appids is not None and session.appid not in appids:
            return None
        user = await backend.users.find(session.user_id)
    except (SessionGone, NoSuchUser):
        return None
    backend.uses.note(session, now)
    return Active(session, user, now + backend.lifetime.left(session, now))


async def introspect_all(
    backend: Backend, tokens: Sequence[str], appids: frozenset[str] | None = None
) -> list[Active | None]:
    """The same for many at once, in their order: one look-up of sessions, one of people, and no use is noted.

    Raises SessionsAway, UsersAway.
    """
    now = backend.now()
    ids = [session_id(token) for token in tokens]
    wanted = list(dict.fromkeys(each for each in ids if each is not None))
    found = await backend.sessions.holding(wanted, now) if wanted else {}
    live = {key: each for key, each in found.items() if appids is None or each.appid in appids}
    people = await backend.users.find_all(sorted({session.user_id for session in live.values()}))
    active = {
        key: Active(session, people[session.user_id], session.expires_at)
        for key, session in live.items()
        if session.user_id in people
    }
    return [active.get(each) if each is not None else None for each in ids]
