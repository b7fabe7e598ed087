"""What operators do to sessions and people in the tests about undoing it."""

import pytest
from engines import House, ad_hoc, everybody_out, mark_of, now
from redis import Redis

from stores.sessions import ERASED
from stores.users import User

MEI, LAN = "operator:mei", "operator:lan"


async def end(house: House, *sessions: bytes, by: str | None = MEI) -> list[bytes]:
    """What an operator's revocation ended."""
    return [each.id for each in await house.sessions.end(sessions, "revoked", now(), by)]


async def restore(house: House, *sessions: bytes, by: str = MEI, at: int | None = None) -> list[bytes]:
    """What an operator's undo brought back."""
    return [each.id for each in await house.sessions.restore(sessions, by, at or now())]


async def block(house: House, user: User) -> None:
    """What an operator's block does."""
    blocked = await house.users.block(user.id, reason="spam", until=None)
    await house.sessions.bar(user.id, blocked.generation)
    await put_out(house, user)


async def erase(house: House, user: User) -> None:
    """What an erasure does."""
    await house.users.erase(user.id, mark=mark_of(user.appid, user.openid), now=now())
    await house.sessions.bar(user.id, ERASED)
    await put_out(house, user)


async def put_out(house: House, user: User) -> None:
    """What "revoke all of a user" does."""
    while await house.sessions.end_some(user.id, user.appid, "revoked", now()) is not None:
        pass


async def everybody(house: House, user: User) -> None:
    await everybody_out(house, user.appid)


async def kept_keys(house: House, request: pytest.FixtureRequest) -> int:
    """How many sealed keys of ended sessions somebody who reads the whole store would find."""
    if house.name == "redis":
        redis: Redis = request.getfixturevalue("redis")
        return len(list(redis.scan_iter(b"{menshen}x*")))
    rows = await house.db.read(ad_hoc("SELECT id FROM session WHERE reason IS NOT NULL AND sealed_key IS NOT NULL"))
    return len(rows)
