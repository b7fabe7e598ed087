"""The pictures that people sent of themselves: one for each person, served under a random name that dies with it.

Beside it there may be one that is held until WeChat lets it pass; nobody but WeChat is told its name.
"""

import secrets

import msgspec
from msgspec.structs import asdict

from stores.db import Database, Row, Script, all_of, load

SQL = load("avatars.sql")
PATH = "/avatars/"
_NAME_BYTES = 24


class NoSuchAvatar(Exception):
    """Nobody's picture has this name, or no longer."""


class NobodyToShow(Exception):
    """The person was erased while the picture was on its way."""


class Avatar(msgspec.Struct, frozen=True):
    """One picture. `kind` is its media type; `at` is when it came, in epoch seconds."""

    user_id: int
    name: str
    kind: str
    body: bytes
    at: int

    @property
    def path(self) -> str:
        """Where it is served."""
        return PATH + self.name


class AvatarFacts(msgspec.Struct, frozen=True):
    """What is kept of a person's picture, without the picture."""

    name: str
    kind: str
    size_bytes: int
    at: int

    @property
    def path(self) -> str:
        """Where it is served."""
        return PATH + self.name


class Avatars:
    """The pictures. All calls raise UsersAway or StoreFull when the database does."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def named(self, name: str) -> Avatar:
        """A picture that is shown, or held. Raises NoSuchAvatar."""
        rows = await self._db.read(SQL["avatar_named"](name=name))
        if not rows:
            raise NoSuchAvatar
        return _avatar(rows[0])

    async def of(self, user_id: int) -> AvatarFacts | None:
        """What is kept of a person's picture, None without one."""
        rows = await self._db.read(SQL["avatar_of"](user_id=user_id))
        return AvatarFacts(*rows[0]) if rows else None

    async def held_of(self, user_id: int) -> Avatar | None:
        """The picture of a person that is not shown yet, None without one."""
        rows = await self._db.read(SQL["held_avatar_of"](user_id=user_id))
        return _avatar(rows[0]) if rows else None

    async def keep(self, user_id: int, body: bytes, kind: str, now: int) -> Avatar:
        """Keeps a picture in the place of the one before, and shows it in the profile. Raises NobodyToShow.

        The name is new each time: what a browser has kept of the old picture never passes for the new one.
        """
        avatar = Avatar(user_id, secrets.token_urlsafe(_NAME_BYTES), kind, body, now)

        def script() -> Script[Avatar]:
            if not (yield from _show(avatar)):
                raise NobodyToShow
            return avatar

        return await self._db.write(script)

    async def drop(self, user_id: int, name: str | None) -> None:
        """The picture of that name goes, and not one that came meanwhile; with it what is held.

        The profile is the caller's.
        """

        def script() -> Script[None]:
            if name is not None:
                yield SQL["drop_avatar_named"](user_id=user_id, name=name)
            yield SQL["drop_held_avatar"](user_id=user_id)

        await self._db.write(script)

    async def hold(self, user_id: int, body: bytes, kind: str, now: int) -> Avatar:
        """Keeps a picture that is not shown yet, in the place of one held before."""
        avatar = Avatar(user_id, secrets.token_urlsafe(_NAME_BYTES), kind, body, now)
        await self._db.write(all_of(SQL["hold_avatar"](**asdict(avatar))))
        return avatar

    async def expect(self, held: Avatar, trace_id: str) -> None:
        """Notes by what WeChat's verdict on it will be known."""
        await self._db.write(all_of(SQL["expect_verdict"](user_id=held.user_id, name=held.name, trace_id=trace_id)))

    async def judge(self, appid: str, trace_id: str, *, passes: bool) -> int | None:
        """Shows the held picture that a verdict is about, or lets it go; gives whose it is, None if nobody holds it."""

        def script() -> Script[int | None]:
            found = yield SQL["awaiting_verdict"](appid=appid, trace_id=trace_id)
            if not found.rows:
                return None
            held = _avatar(found.rows[0])
            dropped = yield SQL["drop_held_avatar_named"](user_id=held.user_id, name=held.name)
            if not dropped.changed:  # another process has heard the same
                return None
            if passes:
                yield from _show(held)
            return held.user_id

        return await self._db.write(script)

    async def drop_held(self, held: Avatar) -> None:
        """It goes, and not another that came meanwhile."""
        await self._db.write(all_of(SQL["drop_held_avatar_named"](user_id=held.user_id, name=held.name)))

    async def forget_held(self, before: int) -> None:
        """Those from before a moment go."""
        await self._db.write(all_of(SQL["forget_held_avatars"](before=before)))


def _show(avatar: Avatar) -> Script[bool]:
    """Keeps a picture as the person's; false when there is no such person."""
    shown = yield SQL["point_to_avatar"](user_id=avatar.user_id, avatar_url=avatar.path)
    if shown.changed:  # also locks the row, so that no erasure passes between the two
        yield SQL["keep_avatar"](**asdict(avatar))
    return bool(shown.changed)


def _avatar(row: Row) -> Avatar:
    user_id, name, kind, body, at = row
    return Avatar(user_id, name, kind, bytes(body), at)


def avatar_dropped(user_id: int) -> Script[None]:
    """Deletes a person's pictures, within a transaction that makes the profile forget it."""
    yield SQL["drop_avatar"](user_id=user_id)
    yield SQL["drop_held_avatar"](user_id=user_id)
