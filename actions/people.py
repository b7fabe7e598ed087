"""The verbs about people: what is known of them, what they may change, keeping them out, forgetting them."""

import unicodedata
from dataclasses import dataclass
from urllib.parse import urlsplit

from actions.backend import Backend
from actions.deeds import Actor, written_down
from actions.sessions import Ended, end_all_of
from stores.logins import Login
from stores.sessions import ERASED, Session
from stores.users import NoSuchUser, Profile, User
from wechat.crypto import person_mark

MOST_NICKNAME = 64
MOST_AVATAR_URL = 512
_MOST_EXPORTED_LOGINS = 10_000
_HIGHEST_ID = 2**63 - 1


class InvalidProfile(Exception):
    """A part of the profile cannot be kept; `field` says which."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


@dataclass(frozen=True)
class Copy:
    """Everything that is kept about one person."""

    user: User
    logins: list[Login]


async def find_user(backend: Backend, name: str) -> User:
    """The person an operator names: digits are an id, `APPID:OPENID` or an openid otherwise.

    Raises NoSuchUser, AmbiguousUser, UsersAway.
    """
    if name.isascii() and name.isdigit():
        return await backend.users.find(_id(name))
    appid, _, openid = name.rpartition(":")
    appids = [appid] if appid else list(await backend.epochs.all())
    return await backend.users.find_openid(openid, appids)


def _id(digits: str) -> int:
    if len(digits) > 19 or int(digits) > _HIGHEST_ID:
        raise NoSuchUser
    return int(digits)


async def rename(backend: Backend, user_id: int, changes: Profile) -> User:
    """Keeps what the person typed in; what is not named stays. Raises InvalidProfile, NoSuchUser."""
    nickname, avatar_url = changes.get("nickname"), changes.get("avatar_url")
    if nickname is not None and not _good_nickname(nickname):
        raise InvalidProfile("nickname")
    if avatar_url is not None and not _good_avatar_url(avatar_url):
        raise InvalidProfile("avatar_url")
    return await backend.users.rename(user_id, changes)


def _good_nickname(nickname: str) -> bool:
    """At most 64 code points, none of them a control or half of a surrogate pair; joiners of emoji may stay."""
    return len(nickname) <= MOST_NICKNAME and not any(
        unicodedata.category(character) in ("Cc", "Cs") for character in nickname
    )


def _good_avatar_url(url: str) -> bool:
    """https, so that no page of an operator's loads anything over plain http or runs a script from it."""
    if len(url) > MOST_AVATAR_URL or not url.isascii() or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" and bool(parts.hostname)
    except ValueError:
        return False


async def block(backend: Backend, by: Actor, user: User, *, reason: str, until: int | None = None) -> Ended:
    """Keeps a person out from now on, until `until` (epoch seconds) or for good.

    First the fact, in SQL; then no login that began before can open a session; then the sessions end. So nothing that
    happens in between leaves one behind. Raises NoSuchUser, AuditAway.
    """
    async with written_down(backend, by, "user.block", target=f"user:{user.id}", appid=user.appid, reason=reason):
        blocked = await backend.users.block(user.id, reason=reason, until=until)
        await backend.sessions.bar(blocked.id, blocked.generation)
        return await end_all_of(backend, blocked.id, blocked.appid, "blocked")


async def unblock(backend: Backend, by: Actor, user: User) -> User:
    """Lets a person log in again; no old session comes back. Raises NoSuchUser, AuditAway."""
    async with written_down(backend, by, "user.unblock", target=f"user:{user.id}", appid=user.appid):
        return await backend.users.unblock(user.id)


async def erase(backend: Backend, by: Actor, user_id: int, appid: str) -> Ended:
    """Deletes what is known about a person and ends the sessions; may be repeated after a failure half-way.

    A block stays, under an HMAC. Times of logins stay, without addresses and devices. A later login makes a new id.
    Raises AuditAway.
    """
    async with written_down(backend, by, "user.erase", target=f"user:{user_id}", appid=appid):
        try:
            user = await backend.users.find(user_id)
            mark = person_mark(backend.keys.person_mark, user.appid, user.openid)
            await backend.users.erase(user_id, mark=mark, now=backend.now())
        except NoSuchUser:
            pass  # an earlier attempt got this far; what follows may not have happened
        await backend.sessions.bar(user_id, ERASED)
        ended = await end_all_of(backend, user_id, appid, "revoked")
        await backend.logins.mask(user_id)
    return ended


async def export(backend: Backend, mine: Session) -> Copy:
    """A copy of everything kept about the person of this session. Raises NoSuchUser, UsersAway."""
    await backend.logins.flush()
    logins = await backend.logins.of_user(mine.user_id, _MOST_EXPORTED_LOGINS)
    return Copy(await backend.users.find(mine.user_id), logins)
