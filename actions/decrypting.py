"""What a phone hands over encrypted or signed with its session_key, opened and judged where the key is: here."""

from typing import TYPE_CHECKING, Any

from actions.calling import session_key_of
from stores.sessions import Session
from wechat.crypto import DataRefused, decrypted, is_signed

if TYPE_CHECKING:
    from actions.backend import Backend

_IDENTIFIERS = ("openId", "openid", "unionId", "unionid")


async def decrypt(backend: "Backend", session: Session, encrypted_data: str, iv: str) -> dict[str, Any]:
    """The object in a phone's encryptedData; openid and unionid are left out unless EXPOSE_OPENID gives them.

    Raises DataRefused (one for all causes), NoSuchUser, UsersAway.
    """
    user = await backend.users.find(session.user_id)
    key = session_key_of(backend, session)
    if key is None:
        raise DataRefused
    found = decrypted(key, encrypted_data, iv, appid=session.appid, openid=user.openid)
    if backend.settings.expose_openid:
        return found
    return {name: value for name, value in found.items() if name not in _IDENTIFIERS}


def has_signed(backend: "Backend", session: Session, raw_data: str, signature: str) -> bool:
    """Whether WeChat has signed this rawData for this login."""
    key = session_key_of(backend, session)
    return key is not None and is_signed(raw_data, signature, key)
