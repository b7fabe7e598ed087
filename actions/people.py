"""The verbs about people: what is known of them, what they may change, keeping them out, forgetting them."""

from urllib.parse import urlsplit

import msgspec

from actions.avatars import is_wechats, own_path
from actions.backend import Backend
from actions.deeds import MOST_REASON, Actor, written_down
from actions.sessions import Ended, end_all_of
from actions.texts import has_controls
from actions.webhooks import event, named
from stores.avatars import Avatar, AvatarFacts
from stores.logins import Login
from stores.sessions import ERASED, Session
from stores.users import NoSuchUser, Profile, User
from wechat.crypto import person_mark

MOST_NICKNAME = 64
MOST_AVATAR_URL = 512
MOST_NOTE = 500
MOST_BLOCK_SECONDS = 10 * 366 * 86_400
_MOST_EXPORTED_LOGINS = 10_000
_HIGHEST_ID = 2**63 - 1


class InvalidProfile(Exception):
    """A part of the profile cannot be kept; `field` says which."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


class InvalidBlock(Exception):
    """The reason or the end of a block is not one; `field` says which."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


class InvalidNote(Exception):
    """A note about a person is too long, or holds controls."""


class Erased(msgspec.Struct, frozen=True):
    """The receipt of an erasure; `audit_n` is the number of its row, 0 when that stands only in the file."""

    user_id: int
    appid: str
    at: int
    sessions: int
    audit_n: int


class Copy(msgspec.Struct, frozen=True):
    """Everything that is kept about one person."""

    user: User
    logins: list[Login]
    avatar: AvatarFacts | None
    held: Avatar | None  # with CONTENT_CHECK: the picture that is not shown yet


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
    """Keeps what the person typed in; what is not named stays. Raises InvalidProfile, NoSuchUser.

    An avatar_url is somebody's https, or the path of the person's own picture here; any other lets that picture go.
    """
    check_nickname(changes)
    if "avatar_url" not in changes:
        return await backend.users.rename(user_id, changes)
    avatar_url = changes["avatar_url"]
    own = await backend.avatars.of(user_id)
    path = own_path(backend, avatar_url) if avatar_url else avatar_url
    stays = own is not None and path == own.path
    if stays:
        changes = {**changes, "avatar_url": path}
    elif avatar_url is not None and not _may_show(backend, avatar_url):
        raise InvalidProfile("avatar_url")
    renamed = await backend.users.rename(user_id, changes)
    await backend.avatars.drop(user_id, None if stays or own is None else own.name)
    return renamed


def check_nickname(changes: Profile) -> None:
    """Raises InvalidProfile when it cannot be one."""
    nickname = changes.get("nickname")
    if nickname is not None and not _good_nickname(nickname):
        raise InvalidProfile("nickname")


def _may_show(backend: Backend, url: str) -> bool:
    """Where pictures are checked, WeChat's own alone: what lies elsewhere may be another picture tomorrow."""
    return _good_avatar_url(url) and (not backend.settings.content_check or is_wechats(url))


def _good_nickname(nickname: str) -> bool:
    """At most 64 code points, none of them a control or half of a surrogate pair; joiners of emoji may stay."""
    return len(nickname) <= MOST_NICKNAME and not has_controls(nickname)


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
    happens in between leaves one behind. Raises InvalidBlock, NoSuchUser, AuditAway.
    """
    reason = reason.strip()
    if not 0 < len(reason) <= MOST_REASON or has_controls(reason):
        raise InvalidBlock("reason")
    if until is not None and not 0 < until - backend.now() <= MOST_BLOCK_SECONDS:
        raise InvalidBlock("until")
    async with written_down(backend, by, "user.block", target=f"user:{user.id}", appid=user.appid, reason=reason):
        blocked = await backend.users.block(
            user.id,
            reason=reason,
            until=until,
            also=lambda now: event(backend, "user.blocked", now.appid, **named(now), until=until),
        )
        await backend.sessions.bar(blocked.id, blocked.generation)
        return await end_all_of(backend, blocked.id, blocked.appid, "blocked")


async def unblock(backend: Backend, by: Actor, user: User) -> User:
    """Lets a person log in again; no old session comes back. Raises NoSuchUser, AuditAway."""
    async with written_down(backend, by, "user.unblock", target=f"user:{user.id}", appid=user.appid):
        return await backend.users.unblock(user.id)


async def note(backend: Backend, by: Actor, user: User, text: str) -> User:
    """Keeps what operators tell each other about a person; an empty text takes the note away. Gives the person now.

    The audit says that it was changed, not what it says: it goes with the person, and the audit stays.
    Raises InvalidNote, NoSuchUser, AuditAway.
    """
    text = text.strip()
    if len(text) > MOST_NOTE or has_controls(text):
        raise InvalidNote
    async with written_down(backend, by, "user.note", target=f"user:{user.id}", appid=user.appid):
        return await backend.users.note(user.id, text or None)


async def erase(backend: Backend, by: Actor, user_id: int, appid: str, *, reason: str | None = None) -> Erased:
    """Deletes what is known about a person and ends the sessions; may be repeated after a failure half-way.

    A block stays, under an HMAC. Times of logins stay, without addresses and devices. A later login makes a new id.
    Gives a receipt for the person who asked for it. Raises AuditAway.
    """
    target = f"user:{user_id}"
    async with written_down(backend, by, "user.erase", target=target, appid=appid, reason=reason) as under_way:
        try:
            user = await backend.users.find(user_id)
            mark = person_mark(backend.keys.person_mark, user.appid, user.openid)
            await backend.users.erase(
                user_id,
                mark=mark,
                now=backend.now(),
                also=lambda gone: event(backend, "user.erased", gone.appid, **named(gone), openid=gone.openid),
            )
        except NoSuchUser:
            pass  # an earlier attempt got this far; what follows may not have happened
        await backend.sessions.bar(user_id, ERASED)
        ended = await end_all_of(backend, user_id, appid, "revoked")
        await backend.logins.mask(user_id)
    return Erased(user_id, appid, backend.now(), ended.sessions, under_way.n)


async def export(backend: Backend, mine: Session) -> Copy:
    """A copy of everything kept about the person of this session. Raises NoSuchUser, UsersAway."""
    await backend.logins.flush()
    logins = await backend.logins.of_user(mine.user_id, _MOST_EXPORTED_LOGINS)
    user = await backend.users.find(mine.user_id)
    return Copy(user, logins, await backend.avatars.of(user.id), await backend.avatars.held_of(user.id))
