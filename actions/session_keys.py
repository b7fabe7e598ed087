"""The session_key at WeChat: whether it still is the phone's, and making it worthless after a leak or a revocation."""

from typing import TYPE_CHECKING

import msgspec

from actions.calling import asking, call_deadline, count_call, session_key_of
from actions.deeds import Actor, written_down
from actions.key_resets import reset_at_wechat
from actions.sessions import Ended, NoSuchSession, end_all_of, find_session
from stores.sessions import Session

if TYPE_CHECKING:
    from actions.backend import Backend


class Reset(msgspec.Struct, frozen=True):
    """What a reset did. `worthless_before` says that WeChat did not know the key any more."""

    ended: Ended
    worthless_before: bool


async def key_holds(backend: "Backend", session: Session) -> bool:
    """Whether the session_key of this login is still the phone's (WeChat: checkSessionKey).

    Raises CallsUsedUp, NoSuchUser, WeChatMisconfigured, CallFailed, UsersAway, SessionsAway.
    """
    await count_call(backend, session)
    user = await backend.users.find(session.user_id)
    key = session_key_of(backend, session)
    if key is None:
        return False
    with asking():
        return await backend.wechat.calls.key_holds(session.appid, user.openid, key, call_deadline())


async def reset_key(backend: "Backend", by: Actor, public_id: str, *, reason: str | None = None) -> Reset:
    """Makes the session_key of a live session worthless at WeChat, and ends all sessions of its person.

    The key is one for all of them, and without it what a phone hands over encrypted or signed can no longer be trusted;
    so the phone has to log in, and gets a new one. When WeChat's answer is lost the key is taken for reset. It cannot
    be taken back. Raises NoSuchSession (also for one that has ended), AmbiguousSession, NoSuchUser, AuditAway, a
    WeChatTrouble when nothing was done, UsersAway, SessionsAway.
    """
    login = await find_session(backend, public_id)
    session = (await backend.sessions.holding([login.id], backend.now())).get(login.id)
    if session is None:
        raise NoSuchSession
    user = await backend.users.find(session.user_id)
    target = f"session:{session.id.hex()}"
    async with written_down(backend, by, "session.reset_key", target=target, appid=session.appid, reason=reason):
        key = session_key_of(backend, session)
        known = key is not None and await reset_at_wechat(backend.wechat, session.appid, user.openid, key)
        ended = await end_all_of(backend, user.id, user.appid, "revoked", reset_keys=False)
    return Reset(ended, not known)
