"""Moving into a Redis, or a cluster: it must be empty, and while it is being filled nobody can serve from it.

In the place of the epochs then stands a word that no server takes for any, so all of them answer 503. Whoever finds
that word knows that nobody was ever served from what lies there, and may empty it.
"""

from collections.abc import Sequence

from stores.errors import NotEmpty
from stores.sessions.redis_epochs import HALF_MOVED, RedisEpochs
from stores.sessions.redis_link import RedisLink, at_each, sure


async def begin_move(places: Sequence[RedisEpochs], nodes: Sequence[RedisLink], pattern: bytes, *, again: bool) -> None:
    """Marks every place. With `again`, what an interrupted move left goes first. Raises NotEmpty, SessionsAway."""
    marks = [raw == HALF_MOVED for [raw] in sure(await at_each(places, lambda pipe, at: pipe.mget(at.keys.epochs)))]
    if any(marks) and not again:
        raise NotEmpty("a move into it was interrupted (--again empties it and begins anew)")
    own = {each.keys.epochs for each in places} if any(marks) else set()
    for node in nodes:
        async for keys in node.keys(pattern):
            if not any(marks):
                raise NotEmpty("it holds keys under KEY_PREFIX")
            await node.forget([key for key in keys if key not in own])
    sure(await at_each(places, lambda pipe, at: pipe.set(at.keys.epochs, HALF_MOVED)))


async def end_move(places: Sequence[RedisEpochs]) -> None:
    """Takes the marks away: everything is there. Raises SessionsAway."""
    sure(await at_each(places, lambda pipe, at: pipe.unlink(at.keys.epochs)))
