"""Sessions whose keys lie together in Redis: a packed value each, sorted-set indexes, MULTI/EXEC where it matters.

No Lua: an ACL can then deny scripting. What a script would check beforehand is read in the same transaction and, if it
forbids the session, the session is taken out again before its token was told to anybody.
"""

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import msgspec

from stores.errors import SessionsAway, StoreFull, StoreTrouble
from stores.sessions.packed import HANDLE_BYTES, NotOurs, Packer, epitaph, tombstone
from stores.sessions.promise import (
    CLAIM_SECONDS,
    MEMORY_SECONDS,
    MOST_LISTED,
    TALLY_SECONDS,
    Admission,
    Opened,
    Opening,
    PersonChanged,
    Reason,
    Session,
    SessionGone,
    TooManySessions,
)
from stores.sessions.redis_epochs import RedisEpochs
from stores.sessions.redis_keys import Keys
from stores.sessions.redis_link import CALL_SECONDS, Command, Link, Pipeline
from stores.sessions.redis_undo import A_FEW as A_FEW_TO_UNDO
from stores.sessions.redis_undo import RedisUndo
from stores.shared_lookup import SharedLookup

log = logging.getLogger("menshen.store")

_A_FEW = 200
_REPEATS = 5
_MOVE_SECONDS = 10.0  # nobody waits for it but the person who moves
_REASON_SECONDS = 0.1  # why a session ended is a courtesy and must not make a verify late


class Found(msgspec.Struct, frozen=True):
    """One value of a shared look-up, with the epochs that were read beside it."""

    epochs: Mapping[str, int]
    value: bytes | None


class _Written(msgspec.Struct, frozen=True):
    """What the transaction that wrote a session saw."""

    epochs: Mapping[str, int]
    generation: int
    handles: list[bytes]  # from the person's last session within the limit on; what ends last comes first


class RedisBucket:
    """Sessions whose keys share one hash tag: the part of the promise that is about sessions and people."""

    def __init__(self, link: Link, keys: Keys, packer: Packer) -> None:
        self._link = link
        self._keys = keys
        self._packer = packer
        self._epochs = RedisEpochs(link, keys)
        self._undo = RedisUndo(link, keys, packer, self._epochs)
        self._lookup: SharedLookup[bytes, Found] = SharedLookup(self._ask)
        self._indexed: SharedLookup[bytes, bool] = SharedLookup(self._ask_indexes)

    @property
    def _client(self) -> Any:
        return self._link.client

    async def ping(self) -> None:
        """See Sessions.ping."""
        await self._epochs.fetch()

    async def stop(self) -> None:
        """Ends what is under way."""
        await self._lookup.close()
        await self._indexed.close()

    # Before a login

    async def admit(self, code_hash: bytes, tally: str) -> Admission:
        """See Sessions.admit."""
        raw, claimed, total, _ = await self._link.ask(
            (b"GET", self._keys.epochs),
            (b"SET", self._keys.claim(code_hash), b"", b"NX", b"EX", CLAIM_SECONDS),
            *self._tally(tally, 1),
        )
        try:
            self._epochs.read(raw)
        except SessionsAway:
            if claimed:
                await self.give_back(code_hash)
            raise
        return Admission(bool(claimed), int(total))

    async def give_back(self, code_hash: bytes) -> None:
        """See Sessions.give_back."""
        await self._call(self._client.delete(self._keys.claim(code_hash)))

    async def add_tallies(self, tallies: Mapping[str, int]) -> dict[str, int]:
        """See Sessions.add_tallies."""
        answers = await self._link.ask(*chain.from_iterable(self._tally(name, n) for name, n in tallies.items()))
        return {name: int(total) for name, total in zip(tallies, answers[::2], strict=True)}

    def _tally(self, name: str, n: int) -> tuple[Command, Command]:
        key = self._keys.tally(name)
        return (b"INCRBY", key, n), (b"EXPIRE", key, 2 * TALLY_SECONDS)

    # A session begins

    async def open(self, opening: Opening, now: int) -> Opened:
        """See Sessions.open."""
        replaced = []
        if opening.replaces:
            replaced = await self.end([opening.replaces], "replaced", now)
        epochs = self._epochs.last
        for _ in range(_REPEATS):
            session = opening.in_epoch(epochs.get(opening.appid, 0))
            written = await self._write(session, opening, now)
            epochs = written.epochs
            if written.generation > opening.generation:
                await self._take_out(session)
                raise PersonChanged
            if epochs.get(opening.appid, 0) == session.epoch:
                replaced += await self._make_room(session, opening, written.handles, now)
                return Opened(session, [each.id for each in replaced])
            await self._take_out(session)  # everybody was put out just now; this login came after that
        raise SessionsAway("the epochs do not come to rest")

    async def _write(self, session: Session, opening: Opening, now: int) -> _Written:
        app, user = self._keys.indexes(session)
        handle = session.id[:HANDLE_BYTES]
        score: float = session.expires_at
        if opening.limit:
            # Tells sessions of one second apart, so that the oldest is the oldest; it costs 12 bytes in Redis.
            score += min(max(time.time() - session.created_at, 0), 0.999)
        until = session.ends_at + MEMORY_SECONDS
        commands: list[Command] = [
            (b"GET", self._keys.epochs),
            (b"ZSCORE", self._keys.generations, session.user_id),
            (b"SET", self._keys.session(handle), self._packer.pack(session), b"EXAT", session.expires_at),
            (b"ZADD", app, score, handle),
            (b"ZREMRANGEBYSCORE", user, b"-inf", now - MEMORY_SECONDS),
            (b"ZADD", user, score, handle),
            (b"EXPIREAT", user, until, b"NX"),
            (b"EXPIREAT", user, until, b"GT"),  # GT alone does nothing to a key without an end
        ]
        if opening.limit:
            within = (b"BYSCORE", b"REV", b"LIMIT", opening.limit - 1, _A_FEW)
            commands.append((b"ZRANGE", user, b"+inf", now, *within))
        raw, generation, *_, last = await self._link.ask_at_once(*commands)
        if raw is None:
            await self._take_out(session)
        return _Written(self._epochs.read(raw), int(generation or 0), last if opening.limit else [])

    async def _make_room(self, session: Session, opening: Opening, last: list[bytes], now: int) -> list[Session]:
        """Ends what is over the limit. When logins race, each counts all that came before it, so N are left.

        `last` begins with the last one within the limit. It makes room too when the new session stands behind it,
        which a shorter SESSION_SECONDS can bring about: a login never ends itself.
        """
        handle = session.id[:HANDLE_BYTES]
        excess = [each for each in last if each != handle] if handle in last[1:] else last[1:]
        if excess and opening.overflow == "refuse":
            await self._take_out(session)
            raise TooManySessions
        return await self._end_handles(excess, "replaced", now)

    async def _take_out(self, session: Session) -> None:
        """A session whose token nobody was told goes without a trace."""
        handle = session.id[:HANDLE_BYTES]
        pipe = self._client.pipeline(transaction=True)
        pipe.delete(self._keys.session(handle))
        for index in self._keys.indexes(session):
            pipe.zrem(index, handle)
        await self._call(pipe.execute())

    async def bar(self, user_id: int, generation: int) -> None:
        """See Sessions.bar. GT: of two blocks at once the higher generation stays."""
        await self._call(self._client.zadd(self._keys.generations, {user_id: generation}, gt=True))

    # A session is looked up

    async def find(self, session: bytes, now: int) -> Session:
        """See Sessions.find."""
        found = await self._lookup.get(session)
        if found.value is None:
            raise SessionGone(await self._why_missing(session))
        return self._judge(session, found, now)

    def _judge(self, session: bytes, found: Found, now: int) -> Session:
        """The session that was found under this id, if it holds. Raises SessionGone."""
        if reason := epitaph(found.value or b""):
            raise SessionGone(reason)
        try:
            held = self._packer.unpack(session[:HANDLE_BYTES], found.value or b"")
        except NotOurs:
            log.error("a value in Redis is not a session of ours; it is not believed")
            raise SessionGone from None
        if held.id != session:
            raise SessionGone
        if held.epoch != found.epochs.get(held.appid, 0):
            raise SessionGone("revoked")
        if held.ends_at <= now:
            raise SessionGone("expired")
        return held

    async def _ask(self, ids: list[bytes]) -> list[Found]:
        keys = [self._keys.session(each[:HANDLE_BYTES]) for each in ids]
        [[raw, *values]] = await self._link.ask_alone((b"MGET", self._keys.epochs, *keys))
        epochs = self._epochs.read(raw)
        return [Found(epochs, value) for value in values]

    async def _why_missing(self, session: bytes) -> Reason | None:
        """`expired` when the session still stands in an index; its value went by itself."""
        try:
            return "expired" if await self._indexed.get(session) else None
        except StoreTrouble:
            return None

    async def _ask_indexes(self, ids: list[bytes]) -> list[bool]:
        """Whether each of them stands in the index of a mini program."""
        handles = [each[:HANDLE_BYTES] for each in ids]
        indexes = [self._keys.app(appid, counter) for appid, counter in self._epochs.last.items()]
        commands = [(b"ZMSCORE", index, *handles) for index in indexes]
        of_apps = await self._link.ask_alone(*commands, seconds=_REASON_SECONDS)
        return [any(scores[n] is not None for scores in of_apps) for n in range(len(ids))]

    async def holding(self, ids: list[bytes], now: int) -> dict[bytes, Session]:
        """See Sessions.holding."""
        found: dict[bytes, Session] = {}
        for start in range(0, len(ids), _A_FEW):
            some = ids[start : start + _A_FEW]
            values = await self._values([each[:HANDLE_BYTES] for each in some])
            epochs = self._epochs.last
            for each, value in zip(some, values, strict=True):
                held = self._unpacked(each[:HANDLE_BYTES], value)
                if held and held.id == each and held.ends_at > now and held.epoch == epochs.get(held.appid, 0):
                    found[each] = held
        return found

    async def live(self, user_id: int, appid: str, now: int, most: int = MOST_LISTED) -> list[Session]:
        """See Sessions.live."""
        epoch = (await self._epochs.fetch()).get(appid, 0)
        index = self._keys.user(user_id, epoch)
        newest = self._client.zrange(index, "+inf", now, desc=True, byscore=True, offset=0, num=most, withscores=True)
        scored = await self._call(newest)
        values = await self._values([handle for handle, _ in scored])
        found = [
            self._unpacked(handle, value, int(score)) for (handle, score), value in zip(scored, values, strict=True)
        ]
        return [each for each in found if each and each.ends_at > now and each.epoch == epoch]

    async def count(self, appid: str, now: int) -> int:
        """See Sessions.count."""
        epoch = (await self._epochs.fetch()).get(appid, 0)
        return int(await self._call(self._client.zcount(self._keys.app(appid, epoch), now, "+inf")))

    async def _values(self, handles: Sequence[bytes]) -> list[bytes | None]:
        if not handles:
            return []
        keys = [self._keys.session(each) for each in handles]
        [[raw, *values]] = await self._link.ask_alone((b"MGET", self._keys.epochs, *keys))
        self._epochs.read(raw)
        return list(values)

    def _unpacked(self, handle: bytes, value: bytes | None, expires_at: int | None = None) -> Session | None:
        """The session, or None for what is missing, ended or not ours."""
        if value is None:
            return None
        try:
            return self._packer.unpack(handle, value, expires_at)
        except NotOurs:
            return None

    # A session ends, or goes on

    async def end(
        self, sessions: Iterable[bytes], reason: Reason, now: int, undo_by: str | None = None
    ) -> list[Session]:
        """See Sessions.end."""
        ids = set(sessions)
        if undo_by is None:
            return await self._end_ids(ids, reason, now)
        ended = []
        for some in _in_turns(ids, A_FEW_TO_UNDO):
            done = await self._undo.end(some, reason, now, undo_by)
            ended += await self._end_ids(some, reason, now) if done is None else done
        return ended

    async def restore(self, sessions: Iterable[bytes], by: str, now: int) -> list[Session]:
        """See Sessions.restore."""
        returned = []
        for some in _in_turns(set(sessions), A_FEW_TO_UNDO):
            returned += await self._undo.restore(some, now, by)
        return returned

    async def _end_ids(self, ids: set[bytes], reason: Reason, now: int) -> list[Session]:
        return await self._end_handles([each[:HANDLE_BYTES] for each in ids], reason, now, only=ids)

    async def end_some(self, user_id: int, appid: str, reason: Reason, now: int) -> list[Session] | None:
        """See Sessions.end_some. Goes through the whole index, whatever it says of times: the values decide."""
        index = self._keys.user(user_id, (await self._epochs.fetch()).get(appid, 0))
        members = await self._call(self._client.zrange(index, 0, _A_FEW - 1))
        if not members:
            return None
        ended = await self._end_handles([each[-HANDLE_BYTES:] for each in members], reason, now)
        await self._call(self._client.zrem(index, *members))  # those too whose session had gone by itself
        return ended

    async def _end_handles(
        self, handles: Sequence[bytes], reason: Reason, now: int, only: set[bytes] | None = None
    ) -> list[Session]:
        ended: list[Session] = []
        for start in range(0, len(handles), _A_FEW):
            some = handles[start : start + _A_FEW]
            values = dict(zip(some, await self._values(some), strict=True))
            values |= await self._forbid_return([each for each, value in values.items() if epitaph(value or b"")])
            held = {}
            for handle, value in values.items():
                session = self._unpacked(handle, value)
                if session and (only is None or session.id in only):
                    held[session] = value
            ended += await self._end_held(held, reason, now)
        return ended

    async def _end_again(self, ids: Sequence[bytes], reason: Reason) -> int:
        """Ends those that hold though they had ended. What has not come back is let alone, with what may undo it."""
        values = await self._call(self._client.mget([self._keys.session(each[:HANDLE_BYTES]) for each in ids]))
        found = [(self._unpacked(each[:HANDLE_BYTES], value), value) for each, value in zip(ids, values, strict=True)]
        held = {session: value for session, value in found if session and session.id in ids}
        await self._end_held(held, reason, now=0)
        return len(held)

    async def _forbid_return(self, handles: Sequence[bytes]) -> dict[bytes, bytes | None]:
        """Nothing brings these back any more; gives what stands there now, for one may have come back just before."""
        if not handles:
            return {}
        try:
            *_, values = await self._call(self._forbidding(handles, transaction=True).execute())
        except StoreFull:  # then nobody can have stashed anything in between either
            *_, values = await self._call(self._forbidding(handles, transaction=False).execute())
        return dict(zip(handles, values, strict=True))

    def _forbidding(self, handles: Sequence[bytes], *, transaction: bool) -> Pipeline:
        pipe = self._client.pipeline(transaction=transaction)
        pipe.unlink(*map(self._keys.stash, handles))
        pipe.mget(*map(self._keys.session, handles))
        return pipe

    async def _end_held(self, held: Mapping[Session, bytes | None], reason: Reason, now: int) -> list[Session]:
        """Puts a tombstone in the place of each; of two who end the same session, one is told that it held."""
        if not held:
            return []
        try:
            replaced = await self._replace(held, reason)
        except StoreFull:
            # A full Redis refuses the tombstone but not the deletion: the session must end, its reason is forgotten.
            replaced = await self._delete(held)
        epochs = self._epochs.last
        return [
            session
            for session, was_there in zip(held, replaced, strict=True)
            if was_there and session.ends_at > now and session.epoch == epochs.get(session.appid, 0)
        ]

    async def _replace(self, held: Mapping[Session, bytes | None], reason: Reason) -> list[bool]:
        pipe = self._client.pipeline(transaction=True)
        for session in held:
            key = self._keys.session(session.id[:HANDLE_BYTES])
            pipe.set(key, tombstone(reason), xx=True, get=True, ex=MEMORY_SECONDS)
            self._leave_nothing(pipe, session)
        answers = await self._call(pipe.execute())
        return [before == value for before, value in zip(answers[::4], held.values(), strict=True)]

    async def _delete(self, held: Mapping[Session, bytes | None]) -> list[bool]:
        pipe = self._client.pipeline(transaction=False)  # a full Redis lets nothing be queued in MULTI, not even DEL
        for session in held:
            pipe.delete(self._keys.session(session.id[:HANDLE_BYTES]))
            self._leave_nothing(pipe, session)
        answers = await self._call(pipe.execute())
        return [bool(deleted) for deleted in answers[::4]]

    def _leave_nothing(self, pipe: Pipeline, session: Session) -> None:
        """Takes it out of its indexes, and what would bring it back, if somebody ended it so just now: 3 commands."""
        pipe.unlink(self._keys.stash(session.id[:HANDLE_BYTES]))
        for index in self._keys.indexes(session):
            pipe.zrem(index, session.id[:HANDLE_BYTES])

    async def touch(self, used: Mapping[Session, int], now: int) -> None:
        """See Sessions.touch. Only lifetimes move: writing the value could revive a session ended a moment ago.

        All or nothing: a full Redis would extend the value and refuse the index, and nobody would find the session.
        """
        pipe = self._client.pipeline(transaction=True)
        for session, until in used.items():
            handle = session.id[:HANDLE_BYTES]
            pipe.expireat(self._keys.session(handle), until, gt=True)
            for index in self._keys.indexes(session):
                pipe.zadd(index, {handle: until}, xx=True, gt=True)
        await self._call(pipe.execute())

    # All of them go elsewhere, or come from there

    async def every(self, now: int) -> AsyncIterator[list[Session]]:
        """All sessions that hold, a few at a time, each with the end that its index knows."""
        for appid, counter in (await self._epochs.fetch()).items():
            index, start = self._keys.app(appid, counter), 0
            while scored := await self._call(self._client.zrange(index, start, start + _A_FEW - 1, withscores=True)):
                values = await self._values([handle for handle, _ in scored])
                found = [
                    self._unpacked(handle, value, int(score))
                    for (handle, score), value in zip(scored, values, strict=True)
                ]
                yield [each for each in found if each and each.expires_at > now and each.epoch == counter]
                start += _A_FEW

    async def adopt(self, sessions: Sequence[Session], now: int) -> None:
        """See Sessions.adopt."""
        pipe = self._client.pipeline(transaction=True)
        for session in sessions:
            handle = session.id[:HANDLE_BYTES]
            app, user = self._keys.indexes(session)
            pipe.set(self._keys.session(handle), self._packer.pack(session), exat=session.expires_at)
            pipe.zadd(app, {handle: session.expires_at})
            pipe.zadd(user, {handle: session.expires_at})
            pipe.expireat(user, session.ends_at + MEMORY_SECONDS, nx=True)
            pipe.expireat(user, session.ends_at + MEMORY_SECONDS, gt=True)
        if sessions:
            await self._call(pipe.execute(), _MOVE_SECONDS)

    # What is over is forgotten

    async def sweep(self, now: int) -> int:
        """See Sessions.sweep."""
        epochs = await self._epochs.fetch()
        swept = await self._empty_outdated(now)
        for appid, counter in epochs.items():
            index = self._keys.app(appid, counter)
            before = now - MEMORY_SECONDS
            old = await self._call(self._client.zrange(index, "-inf", before, byscore=True, offset=0, num=_A_FEW))
            if old:
                await self._call(self._client.zrem(index, *old))
            swept += len(old)
        return swept

    async def _empty_outdated(self, now: int) -> int:
        """A few sessions of an epoch gone by: their sealed keys go now, not when they would have expired."""
        index = await self._call(self._client.srandmember(self._keys.outdated))
        if index is None:
            return 0
        handles = await self._call(self._client.zrange(index, 0, _A_FEW - 1))
        if not handles:
            await self._call(self._client.srem(self._keys.outdated, index))
            return 0
        await self._end_handles(handles, "revoked", now)
        await self._call(self._client.zrem(index, *handles))
        return len(handles)

    async def _call(self, answer: Awaitable[Any], seconds: float = CALL_SECONDS) -> Any:
        return await self._link.call(answer, seconds)


def _in_turns(ids: Iterable[bytes], most: int) -> Iterator[set[bytes]]:
    waiting = list(ids)
    for start in range(0, len(waiting), most):
        yield set(waiting[start : start + most])
