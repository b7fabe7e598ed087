"""Bringing back, in Redis, what was ended by mistake a moment ago.

Both ways are one WATCH, a few looks and one MULTI: the phone knows its token already, so a session that may not come
back must not hold even for the moment it would take to take it out again.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

from stores.errors import SessionsAway, StoreFull
from stores.sessions.packed import HANDLE_BYTES, NotOurs, Packer, Stash, epitaph, tombstone
from stores.sessions.promise import MEMORY_SECONDS, UNDO_SECONDS, Reason, Session
from stores.sessions.redis_epochs import RedisEpochs
from stores.sessions.redis_keys import Keys
from stores.sessions.redis_link import Conflict, Link, Pipeline

T = TypeVar("T")

A_FEW = 50  # a touch of any of them, once a minute each, makes the whole look again
_REPEATS = 5
_SECONDS = 2.0  # half a dozen round trips, and no phone waits for them


class RedisUndo:
    """Ends sessions so that they can be brought back, and brings them back; at most A_FEW in one call."""

    def __init__(self, link: Link, keys: Keys, packer: Packer, epochs: RedisEpochs) -> None:
        self._link = link
        self._keys = keys
        self._packer = packer
        self._epochs = epochs

    async def end(self, ids: Collection[bytes], reason: Reason, now: int, by: str) -> list[Session] | None:
        """Ends these for now; gives those that held. None when a full or busy Redis does not take what undoing needs.

        In the latter case nothing was ended.
        """
        try:
            return await self._until_at_rest(lambda pipe: self._end(pipe, ids, reason, now, by))
        except StoreFull:
            return None

    async def restore(self, ids: Collection[bytes], now: int, by: str) -> list[Session]:
        """See Sessions.restore. Raises SessionsAway, and StoreFull when nothing came back."""
        returned = await self._until_at_rest(lambda pipe: self._restore(pipe, ids, now, by))
        if returned is None:
            raise SessionsAway("the sessions to bring back do not come to rest")
        return returned

    async def _until_at_rest(self, step: Callable[[Pipeline], Awaitable[T]]) -> T | None:
        """What the step did, once nobody wrote in between what it had read; None when somebody always did."""

        async def once() -> tuple[bool, T | None]:
            async with self._link.client.pipeline(transaction=True) as pipe:
                try:
                    return True, await step(pipe)
                except Conflict:
                    return False, None

        for _ in range(_REPEATS):
            at_rest, done = await self._link.call(once(), _SECONDS)
            if at_rest:
                return done
        return None

    async def _end(self, pipe: Pipeline, ids: Collection[bytes], reason: Reason, now: int, by: str) -> list[Session]:
        values, stashes = await self._look(pipe, ids)
        held = [each for each in map(self._unpacked, values, values.values()) if each and each.id in ids]
        ends = await self._ends(pipe, held)
        generations = await self._generations(pipe, held)
        pipe.multi()
        for handle, stash in stashes.items():
            if stash and stash.by != by:
                pipe.unlink(self._keys.stash(handle))
        for session in held:
            handle = session.id[:HANDLE_BYTES]
            value, until = values[handle] or b"", now + UNDO_SECONDS
            stash = Stash(by, generations[session.user_id], until, ends[session], value)
            app, user = self._keys.indexes(session)
            pipe.set(self._keys.stash(handle), stash.packed(), ex=UNDO_SECONDS)
            pipe.set(self._keys.session(handle), tombstone(reason), ex=MEMORY_SECONDS)
            pipe.zrem(app, handle)
            pipe.zrem(user, handle)
            pipe.zadd(user, {self._keys.stashed(handle): now - UNDO_SECONDS})
        await pipe.execute()
        epochs = self._epochs.last
        return [each for each in held if each.ends_at > now and each.epoch == epochs.get(each.appid, 0)]

    async def _restore(self, pipe: Pipeline, ids: Collection[bytes], now: int, by: str) -> list[Session]:
        await pipe.watch(self._keys.epochs, self._keys.generations)
        values, stashes = await self._look(pipe, ids)
        epochs, found = self._epochs.last, dict[Session, Stash]()
        for handle, stash in stashes.items():
            if stash is None or stash.by != by or min(stash.until, stash.expires_at) <= now:
                continue
            session = self._unpacked(handle, stash.value, stash.expires_at)
            if session and session.id in ids and session.epoch == epochs.get(session.appid, 0):
                found[session] = stash
        generations = await self._generations(pipe, list(found))
        welcome = [
            session
            for session, stash in found.items()
            if stash.generation == generations[session.user_id] and epitaph(values[session.id[:HANDLE_BYTES]] or b"")
        ]
        pipe.multi()
        for session in welcome:
            self._put_back(pipe, session, found[session])
        await pipe.execute()
        return welcome

    def _put_back(self, pipe: Pipeline, session: Session, stash: Stash) -> None:
        handle = session.id[:HANDLE_BYTES]
        app, user = self._keys.indexes(session)
        pipe.set(self._keys.session(handle), stash.value, exat=stash.expires_at)
        pipe.unlink(self._keys.stash(handle))
        pipe.zadd(app, {handle: stash.expires_at})
        pipe.zrem(user, self._keys.stashed(handle))
        pipe.zadd(user, {handle: stash.expires_at})
        pipe.expireat(user, session.ends_at + MEMORY_SECONDS, nx=True)
        pipe.expireat(user, session.ends_at + MEMORY_SECONDS, gt=True)

    async def _look(
        self, pipe: Pipeline, ids: Collection[bytes]
    ) -> tuple[Mapping[bytes, bytes | None], Mapping[bytes, Stash | None]]:
        """What stands under each handle, and what waits beside it, watched from now on. Raises SessionsAway."""
        handles = list(dict.fromkeys(each[:HANDLE_BYTES] for each in ids))
        keys = [key(each) for key in (self._keys.session, self._keys.stash) for each in handles]
        await pipe.watch(*keys)
        raw, *found = await pipe.mget(self._keys.epochs, *keys)
        self._epochs.read(raw)
        values, stashes = found[: len(handles)], found[len(handles) :]
        return (
            dict(zip(handles, values, strict=True)),
            {handle: Stash.unpacked(stash) for handle, stash in zip(handles, stashes, strict=True)},
        )

    async def _ends(self, pipe: Pipeline, sessions: Sequence[Session]) -> dict[Session, int]:
        """When each would expire without further use."""
        ends = {}
        for index in {self._keys.indexes(each)[0] for each in sessions}:
            of_app = [each for each in sessions if self._keys.indexes(each)[0] == index]
            scores = await pipe.zmscore(index, [each.id[:HANDLE_BYTES] for each in of_app])
            for session, score in zip(of_app, scores, strict=True):
                ends[session] = int(score or session.ends_at)
        return ends

    async def _generations(self, pipe: Pipeline, sessions: Sequence[Session]) -> dict[int, int]:
        people: list[Any] = list({each.user_id for each in sessions})
        if not people:
            return {}
        scores = await pipe.zmscore(self._keys.generations, people)
        return {user_id: int(score or 0) for user_id, score in zip(people, scores, strict=True)}

    def _unpacked(self, handle: bytes, value: bytes | None, expires_at: int | None = None) -> Session | None:
        try:
            return self._packer.unpack(handle, value or b"", expires_at)
        except NotOurs:
            return None
