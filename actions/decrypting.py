"""What a phone hands over encrypted or signed with its session_key, opened and judged where the key is: here."""

from typing import TYPE_CHECKING, Any

from actions.calling import session_key_of
from stores.sessions import Session
from wechat.data import DataRefused, decrypted, is_signed

if TYPE_CHECKING:
    from actions.backend import Backend

_OPENID, _UNIONID = ("openId", "openid"), ("unionId", "unionid")


async def decrypt(
    backend: "Backend", session: Session, encrypted_data: str, iv: str, *, openid_too: bool = False
) -> dict[str, Any]:
    """The object in a phone's encryptedData; openid and unionid are left out unless EXPOSE_OPENID gives them.

    With `openid_too` the openid stays all the same, as in the answers of a dialect.
    Raises DataRefused (one for all causes), NoSuchUser, UsersAway.
    """
    user = await backend.users.find(session.user_id)
    key = session_key_of(backend, session)
    if key is None:
        raise DataRefused
    found = decrypted(key, encrypted_data, iv, appid=session.appid, openid=user.openid)
    if backend.settings.expose_openid:
        return found
    hidden = _UNIONID if openid_too else _OPENID + _UNIONID
    return {name: value for name, value in found.items() if name not in hidden}


def has_signed(backend: "Backend", session: Session, raw_data: str, signature: str) -> bool:
    """Whether WeChat has signed this rawData for this login."""
    key = session_key_of(backend, session)
    return key is not None and is_signed(raw_data, signature, key)
