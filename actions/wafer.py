"""What Tencent's Wafer SDKs call a session: the pair of `id` and `skey`, ours or one that was imported.

The skey of a session of ours is its token, the id its public id, so that both must match and nothing more is kept.
An skey of another server is 40 hexadecimal digits that were made by it. It stands for a token that only its holder can
work out; the import stores the hash of that token, and from then on every verb knows the session like any other.
"""

import base64
import contextlib
import hashlib
import re
from typing import Any

from actions.backend import Backend
from actions.login import LoggedIn
from actions.people import InvalidProfile, rename
from stores.errors import StoreTrouble
from stores.sessions import SessionGone, session_id
from stores.sessions.promise import PREFIX
from stores.users import NoSuchUser, Profile, User
from wechat.crypto import SealBroken
from wechat.data import DataRefused, decrypted

ANONYMOUS = "微信用户"  # what wx.getUserInfo has called everybody since April 2021

_FOREIGN_SKEY = re.compile(r"[0-9A-Za-z_-]{32,100}", re.ASCII)
_PROFILE = ("nickName", "avatarUrl", "gender", "language", "city", "province", "country", "watermark")


def token_behind(skey: str, wire_id: str = "") -> str:
    """The token that a Wafer client shows; a text that cannot be one when the id is another session's.

    `wire_id` is empty for Wafer 2, which knows only the skey.
    """
    ours = session_id(skey)
    if ours is not None:
        return skey if wire_id in ("", ours.hex()) else f"{wire_id}:{skey}"
    return foreign_token(skey, wire_id) if is_foreign_skey(skey) else f":{skey}"


def is_foreign_skey(skey: str) -> bool:
    """Whether another server's skey may be taken over: shorter ones could be guessed."""
    return _FOREIGN_SKEY.fullmatch(skey) is not None and session_id(skey) is None


def foreign_token(skey: str, wire_id: str) -> str:
    """The token for which another server's pair stands. The length in front keeps "ab"+"c" apart from "a"+"bc"."""
    pair = b"wafer:%d:%s%s" % (len(wire_id), wire_id.encode("utf-8"), skey.encode("utf-8"))
    return PREFIX + base64.urlsafe_b64encode(hashlib.sha256(pair).digest()).rstrip(b"=").decode("ascii")


def wire_id(token: str) -> str:
    """The id that goes with a token of ours as skey."""
    found = session_id(token)
    if found is None:
        raise AssertionError("a token of our own making has our form")
    return found.hex()


async def opened_profile(backend: Backend, logged_in: LoggedIn, encrypted_data: str, iv: str) -> dict[str, Any]:
    """What wx.getUserInfo sealed for us about the person who has just logged in; empty when it does not open.

    Who it is was said by WeChat's own answer about the code; data that does not fit it is dropped. A name and a picture
    are kept where the person has none. Raises nothing: a profile is never worth a login.
    """
    sealed_for = session_id(logged_in.token)
    if sealed_for is None or not encrypted_data:
        return {}
    user = logged_in.user
    try:
        session = await backend.sessions.find(sealed_for, backend.now())
        key = backend.seal.open(session.sealed_key, session.id)
        found = decrypted(key, encrypted_data, iv, appid=user.appid, openid=user.openid)
    except (DataRefused, SealBroken, SessionGone, StoreTrouble):
        return {}
    profile = {name: found[name] for name in _PROFILE if name in found}
    await keep_profile(backend, user, profile)
    return profile


async def keep_profile(backend: Backend, user: User, profile: dict[str, Any]) -> None:
    """Keeps the name and the picture of a Wafer profile where the person has none. Raises nothing."""
    changes: Profile = {}
    nickname, avatar_url = profile.get("nickName"), profile.get("avatarUrl")
    if user.nickname is None and isinstance(nickname, str) and nickname not in ("", ANONYMOUS):
        changes["nickname"] = nickname
    if user.avatar_url is None and isinstance(avatar_url, str) and avatar_url and changes:
        changes["avatar_url"] = avatar_url  # the picture of the anonymous is everybody's
    if changes:
        with contextlib.suppress(InvalidProfile, NoSuchUser, StoreTrouble):
            await rename(backend, user.id, changes)
