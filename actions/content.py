"""What people write and show about themselves: WeChat's own check stands before it where CONTENT_CHECK is set.

Only what WeChat lets pass is kept and shown. What it calls risky is refused, and so is what it would have a human look
at, since a profile can do without either. While WeChat cannot be asked, nothing is kept: the profile waits, the login
and the session do not.
"""

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

import msgspec

from actions.avatars import keep_avatar, public_address
from actions.calling import asking, call_deadline, count_call
from actions.people import check_nickname, rename
from actions.pictures import KIND
from stores.avatars import Avatar
from stores.errors import StoreTrouble
from stores.sessions import Session
from stores.users import Profile, User

if TYPE_CHECKING:
    from actions.backend import Backend

log = logging.getLogger("menshen.content")

HELD_SECONDS = 1_800  # WeChat promises its verdict within half an hour
# WeChat's verdict may be here before we have written down what it will be known by.
_LOOKS = 3
_LOOK_SECONDS = 0.5


class ContentRefused(Exception):
    """WeChat does not let a text pass; `field` says which."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


class Sent(msgspec.Struct, frozen=True):
    """A person who has sent a picture. `checking` says that it is held until WeChat lets it pass."""

    user: User
    checking: bool


async def change_profile(backend: "Backend", mine: Session, changes: Profile) -> User:
    """Keeps what the person typed in, as `rename` does, if WeChat lets a new nickname pass; gives the person now.

    Raises ContentRefused, NotSeenLately, CallsUsedUp, WeChatMisconfigured, CallFailed, and what `rename` raises.
    """
    check_nickname(changes)
    nickname = changes.get("nickname")
    if backend.settings.content_check and nickname and nickname.strip():
        await _check_nickname(backend, mine, nickname)
    return await rename(backend, mine.user_id, changes)


async def _check_nickname(backend: "Backend", mine: Session, nickname: str) -> None:
    user = await backend.users.find(mine.user_id)
    if user.nickname == nickname:
        return
    await count_call(backend, mine)
    with asking():
        passes = await backend.wechat.calls.text_passes(user.appid, user.openid, nickname, call_deadline())
    if not passes:
        log.info("WeChat does not let a nickname of user %d pass", user.id)
        raise ContentRefused("nickname")


async def take_avatar(backend: "Backend", mine: Session, body: bytes) -> Sent:
    """Keeps a picture; where CONTENT_CHECK is set it is held instead, and shown when WeChat lets it pass.

    Until then the picture before it stays. Raises NotSeenLately, CallsUsedUp, WeChatMisconfigured, CallFailed, and what
    `keep_avatar` raises.
    """
    if not backend.settings.content_check:
        return Sent(await keep_avatar(backend, mine, body), checking=False)
    await count_call(backend, mine)
    small = await backend.pictures.small(body)
    user = await backend.users.find(mine.user_id)
    held = await backend.avatars.hold(user.id, small, KIND, backend.now())
    try:
        with asking():
            trace_id = await _ask_about(backend, user, held)
    except Exception:
        with contextlib.suppress(StoreTrouble):  # it goes by itself when its time is over
            await backend.avatars.drop_held(held)
        raise
    await backend.avatars.expect(held, trace_id)
    return Sent(user, checking=True)


async def _ask_about(backend: "Backend", user: User, held: Avatar) -> str:
    url = public_address(backend, held.path) or ""
    return await backend.wechat.calls.check_picture(user.appid, user.openid, url, call_deadline())


async def judge_avatar(backend: "Backend", appid: str, trace_id: str, *, passes: bool) -> None:
    """Does what WeChat says of a held picture: it is shown, or goes. One that nobody holds any more is forgotten.

    Raises UsersAway, StoreFull.
    """
    for look in range(_LOOKS):
        await asyncio.sleep(_LOOK_SECONDS if look else 0)
        judged = await backend.avatars.judge(appid, trace_id, passes=passes)
        if judged is not None:
            log.info("WeChat %s a picture of user %d pass", "lets" if passes else "does not let", judged)
            return


async def forget_held(backend: "Backend") -> None:
    """Lets pictures go about which WeChat has not said a word in time. Raises UsersAway, StoreFull."""
    await backend.avatars.forget_held(backend.now() - HELD_SECONDS)
