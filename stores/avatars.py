"""The pictures that people sent of themselves: one for each person, served under a random name that dies with it."""

import secrets
from dataclasses import dataclass

from stores.db import Database, Script, load

SQL = load("avatars.sql")
PATH = "/avatars/"
_NAME_BYTES = 24


class NoSuchAvatar(Exception):
    """Nobody's picture has this name, or no longer."""


class NobodyToShow(Exception):
    """The person was erased while the picture was on its way."""


@dataclass(frozen=True)
class Avatar:
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


@dataclass(frozen=True)
class AvatarFacts:
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
        """Raises NoSuchAvatar."""
        rows = await self._db.read(SQL["avatar_named"](name=name))
        if not rows:
            raise NoSuchAvatar
        user_id, name, kind, body, at = rows[0]
        return Avatar(user_id, name, kind, bytes(body), at)

    async def of(self, user_id: int) -> AvatarFacts | None:
        """What is kept of a person's picture, None without one."""
        rows = await self._db.read(SQL["avatar_of"](user_id=user_id))
        return AvatarFacts(*rows[0]) if rows else None

    async def keep(self, user_id: int, body: bytes, kind: str, now: int) -> Avatar:
        """Keeps a picture in the place of the one before, and shows it in the profile. Raises NobodyToShow.

        The name is new each time: what a browser has kept of the old picture never passes for the new one.
        """
        avatar = Avatar(user_id, secrets.token_urlsafe(_NAME_BYTES), kind, body, now)

        def script() -> Script[Avatar]:
            shown = yield SQL["point_to_avatar"](user_id=user_id, avatar_url=avatar.path)
            if not shown.changed:  # also locks the row, so that no erasure passes between the two
                raise NobodyToShow
            yield SQL["keep_avatar"](**avatar.__dict__)
            return avatar

        return await self._db.write(script)

    async def drop(self, user_id: int, name: str) -> None:
        """The picture of that name goes, and not one that came meanwhile; the profile is the caller's."""

        def script() -> Script[None]:
            yield SQL["drop_avatar_named"](user_id=user_id, name=name)

        await self._db.write(script)


def avatar_dropped(user_id: int) -> Script[None]:
    """Deletes a person's picture, within a transaction that makes the profile forget it."""
    yield SQL["drop_avatar"](user_id=user_id)
