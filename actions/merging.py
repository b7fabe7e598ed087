"""One person across mini programs: WeChat's unionid says who is one, and an operator says that we act on it.

A merge names all those users by one number, `person`, the smallest id among them, which other back ends may be told.
Nothing else changes: sessions, profiles, blocks and erasure stay each user's own.
"""

from typing import TYPE_CHECKING

import msgspec

from actions.deeds import Actor, written_down
from stores.scope import Scope
from stores.users import User

if TYPE_CHECKING:
    from actions.backend import Backend


class NothingToMerge(Exception):
    """Nobody else is known under the person's unionid, or the person has none."""


async def same_person(backend: "Backend", scope: Scope, user: User) -> list[User]:
    """The others of the person's unionid whom the operator may see, the oldest first. Raises UsersAway."""
    return [other for other in await backend.users.same_unionid(user, scope) if other.id != user.id]


class Member(msgspec.Struct, frozen=True):
    """One of the users who are one person, and how many sessions of theirs hold."""

    user: User
    sessions: int


async def members(backend: "Backend", scope: Scope, user: User) -> list[Member]:
    """The user and the others of that unionid whom the operator may see. Raises UsersAway, SessionsAway."""
    group = [user, *await same_person(backend, scope, user)]
    return [Member(each, len(await backend.sessions.live(each.id, each.appid, backend.now()))) for each in group]


async def merge(backend: "Backend", by: Actor, scope: Scope, user: User) -> list[User]:
    """Declares the user and the others of that unionid one person; gives all of them as they are now.

    Only those whom the operator may see are touched. Raises NothingToMerge, UsersAway, AuditAway.
    """
    others = await same_person(backend, scope, user)
    if not others:
        raise NothingToMerge
    target, count = f"user:{user.id}", 1 + len(others)
    async with written_down(backend, by, "user.merge", target=target, appid=user.appid, count=count) as under_way:
        merged = await backend.users.merge(user, scope)
        under_way.reached = len(merged)
        return merged


async def split(backend: "Backend", by: Actor, scope: Scope, user: User) -> list[User]:
    """Takes a merge back; gives all of them as they are now. Raises NothingToMerge, UsersAway, AuditAway."""
    group = [each for each in await backend.users.same_unionid(user, scope) if each.person is not None]
    if not group:
        raise NothingToMerge
    target, count = f"user:{user.id}", len(group)
    async with written_down(backend, by, "user.split", target=target, appid=user.appid, count=count) as under_way:
        parted = await backend.users.split(user, scope)
        under_way.reached = len(parted)
        return parted
