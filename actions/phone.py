"""A phone number that WeChat vouches for: the code of a getPhoneNumber button becomes the person's number.

Only this way a number gets here. One in a phone's encryptedData could be forged by whoever holds the session_key.
"""

from typing import TYPE_CHECKING

from actions.calling import CallFailed, call_deadline, count_call
from actions.codes import checked_code
from stores.errors import StoreTrouble
from stores.sessions import Session
from stores.users import User
from wechat.errors import PhoneCodeRefused, WeChatMisconfigured, WeChatTrouble

if TYPE_CHECKING:
    from actions.backend import Backend


async def bind_phone(backend: "Backend", session: Session, code: str) -> User:
    """Keeps the number behind `code` for the person of this session; gives the person now.

    Raises CodeMalformed, CallsUsedUp, NoSuchUser, PhoneCodeRefused, WeChatMisconfigured, CallFailed, UsersAway,
    SessionsAway.
    """
    checked_code(code)
    await count_call(backend, session)
    user = await backend.users.find(session.user_id)
    return await phone_of(backend, user, code, call_deadline())


async def phone_of(backend: "Backend", user: User, code: str, deadline: float) -> User:
    """Asks WeChat and keeps the number; see `bind_phone`. `deadline` is by the running loop's clock."""
    try:
        phone = await backend.wechat.calls.phone_number(user.appid, code, user.openid, deadline)
    except (PhoneCodeRefused, WeChatMisconfigured):
        raise
    except WeChatTrouble as failed:
        # A code that WeChat may have seen is gone, and the person has to tap the button again.
        raise CallFailed(failed, "fix" if failed.code_spent else "backoff") from None
    try:
        return await backend.users.set_phone(user.id, phone.number)
    except StoreTrouble as failed:
        raise CallFailed(failed, "fix") from None
