"""Sessions in a Redis Cluster: 256 buckets, each a hash tag of its own with everything about the people in it.

A person's bucket follows from the user id, a session's from the first byte of its id, which is the token's hash. Tokens
are made so that both are the same: then a session, its indexes, its person's generation and the counters lie together,
and everything that must happen at once is one transaction, as on a single Redis. Where the two differ, as for a session
that was moved here, a signpost stands in the bucket of the id. It is written before the session and never changed, and
says nothing by itself about whether the session holds.
"""

import asyncio
import hashlib
import secrets
import string
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from msgspec.structs import replace

from settings import RedisUrl
from stores.errors import SessionsAway, StoreTrouble
from stores.records import Records
from stores.sessions.packed import HANDLE_BYTES, Packer, pointed, signpost
from stores.sessions.promise import (
    CLAIM_SECONDS,
    MEMORY_SECONDS,
    MOST_LISTED,
    PREFIX,
    Admission,
    Advice,
    Opened,
    Opening,
    Reason,
    Session,
    SessionGone,
)
from stores.sessions.redis_bucket import Found, RedisBucket
from stores.sessions.redis_cluster import BucketLink, ClusterNode, RedisCluster
from stores.sessions.redis_epochs import RedisEpochs
from stores.sessions.redis_keys import Keys
from stores.sessions.redis_link import Pipeline, at_each, in_turns, sure
from stores.sessions.redis_moving import begin_move, end_move
from stores.sessions.redis_recovery import RedisRecovery

BUCKETS = 256  # a constant of the data: under another number sessions would be looked for where they are not
_BASE64URL = string.ascii_letters + string.digits + "-_"
_TAILS = tuple((one + two).encode("ascii") for one in _BASE64URL for two in _BASE64URL)  # what a token may end with
_A_FEW = 200
_SWEPT_SECONDS = 15  # to look into all buckets costs some milliseconds; when there was nothing, the next look can wait


class _Bucket(RedisBucket):
    """All that lies under one hash tag."""

    def __init__(self, cluster: RedisCluster[Found], prefix: str, number: int, packer: Packer) -> None:
        tag = f"{prefix}:{number:02x}"
        self.link = BucketLink(cluster, tag)
        super().__init__(self.link, Keys(tag), packer)
        self.number = number

    @property
    def epochs(self) -> RedisEpochs:
        """The counters in this bucket."""
        return self._epochs

    @property
    def keys(self) -> Keys:
        """The names of its keys."""
        return self._keys

    async def look_up(self, session: bytes) -> Found:
        """What stands under this id, asked together with whatever else is asked of the same node in this turn."""
        found: Found = await self.link.node.lookup.get(bytes([self.number]) + session[:HANDLE_BYTES])
        return found

    def ask_for(self, handles: Sequence[bytes]) -> Callable[[Pipeline], object]:
        """The command that asks for these values, beside the counters."""
        keys = [self._keys.session(each) for each in handles]
        return lambda pipe: pipe.mget(self._keys.epochs, *keys)

    def read(self, answer: Any) -> list[Found]:
        """What that command was answered. Raises StoreTrouble."""
        [(raw, *values)] = sure([answer])
        epochs = self._epochs.read(raw)
        return [Found(epochs, value) for value in values]

    async def held(self, session: bytes, found: Found, now: int) -> Session:
        """The session that was found here. Raises SessionGone."""
        if found.value is None:
            raise SessionGone(await self._why_missing(session))
        return self._judge(session, found, now)

    async def claim(self, code_hash: bytes) -> bool:
        """Claims a login code; False when it was claimed before."""
        claim = (b"SET", self._keys.claim(code_hash), b"", b"NX", b"EX", CLAIM_SECONDS)
        raw, claimed = await self.link.ask((b"GET", self._keys.epochs), claim)
        try:
            self._epochs.read(raw)
        except SessionsAway:
            if claimed:
                await self.give_back(code_hash)
            raise
        return bool(claimed)

    async def point(self, sessions: Mapping[bytes, tuple[int, int]]) -> None:
        """Puts up a signpost for each of these ids: its bucket, and when the session can go on no longer."""
        pipe = self._client.pipeline(transaction=True)
        for session, (number, ends_at) in sessions.items():
            key = self._keys.session(session[:HANDLE_BYTES])
            pipe.set(key, signpost(number), exat=ends_at + MEMORY_SECONDS)
        await self._call(pipe.execute())

    async def end_again(self, ids: Sequence[bytes], reason: Reason) -> int:
        """Ends those that hold though they had ended; gives how many did."""
        return await self._end_again(ids, reason)


class ClusterSessions:
    """The promise, kept in a Redis Cluster."""

    def __init__(self, where: RedisUrl, prefix: str, packer: Packer, records: Records) -> None:
        """`records` is what SQL keeps for good, for a Redis that may have lost it."""
        self._cluster: RedisCluster[Found] = RedisCluster(where, self._ask)
        self._everything = Keys(prefix).everything.replace(b"}*", b":*")
        self._buckets = [_Bucket(self._cluster, prefix, n, packer) for n in range(BUCKETS)]
        self._places = [each.epochs for each in self._buckets]
        self._swept = 0
        self._recovery = RedisRecovery(self._places, lambda user: self._places[_home(user)], records, self._end_again)

    async def start(self) -> None:
        """See Sessions.start."""
        await self._cluster.start()
        await self._recovery.begin()

    async def ping(self) -> None:
        """See Sessions.ping. While one master is away, the sessions of the others are verified as ever."""
        nodes: dict[ClusterNode[Found], _Bucket] = {}
        for each in self._buckets:
            with suppress(SessionsAway):
                nodes.setdefault(each.link.node, each)
        asked = await asyncio.gather(*(each.ping() for each in nodes.values()), return_exceptions=True)
        if None not in asked:
            raise next((each for each in asked if each), SessionsAway("no node of the Redis Cluster is known"))

    async def advice(self) -> list[Advice]:
        """See Sessions.advice."""
        said = await asyncio.gather(*(each.advice() for each in self._cluster.nodes))
        return list({each.key: each for some in said for each in some}.values())

    async def close(self) -> None:
        """See Sessions.close."""
        await self._recovery.stop()
        await asyncio.gather(*(each.stop() for each in self._buckets))
        await self._cluster.close()

    # Before a login

    async def admit(self, code_hash: bytes, tally: str) -> Admission:
        """See Sessions.admit. No code is spent while a part is away, for it may be the part where the person is."""
        if not self._cluster.whole:
            self._cluster.look_anew()
            raise SessionsAway("a part of the Redis Cluster is away")
        claiming = self._buckets[code_hash[0]].claim(code_hash)
        claimed, tallies = await asyncio.gather(claiming, self.add_tallies({tally: 1}), return_exceptions=True)
        if isinstance(claimed, BaseException):
            raise claimed
        if isinstance(tallies, BaseException):
            await self.give_back(code_hash)
            raise tallies
        return Admission(claimed, tallies[tally])

    async def give_back(self, code_hash: bytes) -> None:
        """See Sessions.give_back."""
        await self._buckets[code_hash[0]].give_back(code_hash)

    async def add_tallies(self, tallies: Mapping[str, int]) -> dict[str, int]:
        """See Sessions.add_tallies."""
        of_buckets: dict[_Bucket, dict[str, int]] = {}
        for name, n in tallies.items():
            of_buckets.setdefault(self._buckets[zlib.crc32(name.encode("utf-8")) % BUCKETS], {})[name] = n
        totals: dict[str, int] = {}
        for some in await in_turns(bucket.add_tallies(counts) for bucket, counts in of_buckets.items()):
            totals |= some
        return totals

    # A session begins

    def new_token(self, user_id: int) -> str:
        """See Sessions.new_token. Some 256 tails are tried; 246 bits are left that nobody can guess."""
        home = _home(user_id)
        while True:
            head = (PREFIX + secrets.token_urlsafe(31)[:41]).encode("ascii")
            for tail in _TAILS:
                if hashlib.sha256(head + tail).digest()[0] == home:
                    return (head + tail).decode("ascii")

    async def open(self, opening: Opening, now: int) -> Opened:
        """See Sessions.open."""
        replaced = await self.end([opening.replaces], "replaced", now) if opening.replaces else []
        home = _home(opening.user_id)
        if opening.id[0] != home:
            await self._buckets[opening.id[0]].point({opening.id: (home, opening.ends_at)})
        opened = await self._buckets[home].open(replace(opening, replaces=None), now)
        return Opened(opened.session, [*(each.id for each in replaced), *opened.replaced])

    async def bar(self, user_id: int, generation: int) -> None:
        """See Sessions.bar."""
        await self._buckets[_home(user_id)].bar(user_id, generation)

    # A session is looked up

    async def find(self, session: bytes, now: int) -> Session:
        """See Sessions.find."""
        bucket, found = await self._look_up(session)
        return await bucket.held(session, found, now)

    async def _look_up(self, session: bytes) -> tuple[_Bucket, Found]:
        """What stands under this id, and the bucket that has it."""
        bucket = self._buckets[session[0]]
        found = await bucket.look_up(session)
        number = pointed(found.value)
        if number is None:
            return bucket, found
        return self._buckets[number], await self._buckets[number].look_up(session)

    async def _ask(self, node: ClusterNode[Found], wanted: list[bytes]) -> list[Found | StoreTrouble]:
        """What one node has for these, each the number of a bucket and a handle in it."""
        of_buckets: dict[_Bucket, list[int]] = {}
        for n, each in enumerate(wanted):
            of_buckets.setdefault(self._buckets[each[0]], []).append(n)
        commands = [bucket.ask_for([wanted[n][1:] for n in some]) for bucket, some in of_buckets.items()]
        found: list[Found | StoreTrouble] = [SessionsAway()] * len(wanted)
        for (bucket, some), answer in zip(of_buckets.items(), await node.each(commands), strict=True):
            try:
                here: Sequence[Found | StoreTrouble] = bucket.read(answer)
            except StoreTrouble as trouble:
                here = [trouble] * len(some)
            for n, one in zip(some, here, strict=True):
                found[n] = one
        return found

    async def holding(self, ids: list[bytes], now: int) -> dict[bytes, Session]:
        """See Sessions.holding."""
        found: dict[bytes, Session] = {}
        for start in range(0, len(ids), _A_FEW):
            some = ids[start : start + _A_FEW]
            held = await asyncio.gather(*(self._held(each, now) for each in some))
            found |= {each.id: each for each in held if each}
        return found

    async def _held(self, session: bytes, now: int) -> Session | None:
        bucket, found = await self._look_up(session)
        try:
            return await bucket.held(session, found, now) if found.value else None
        except SessionGone:
            return None

    async def live(self, user_id: int, appid: str, now: int, most: int = MOST_LISTED) -> list[Session]:
        """See Sessions.live."""
        return await self._buckets[_home(user_id)].live(user_id, appid, now, most)

    async def count(self, appid: str, now: int) -> int:
        """See Sessions.count."""
        return sum(await self._counts(appid, now, "+inf"))

    async def _counts(self, appid: str, least: int | str, most: int | str) -> list[int]:
        """How many sessions in each bucket expire between these two."""
        raws = sure(await at_each(self._buckets, lambda pipe, at: pipe.get(at.keys.epochs)))
        epochs = {at: at.epochs.read(raw) for at, raw in zip(self._buckets, raws, strict=True)}
        indexes = {at: at.keys.app(appid, known.get(appid, 0)) for at, known in epochs.items()}
        return sure(await at_each(self._buckets, lambda pipe, at: pipe.zcount(indexes[at], least, most)))

    # A session ends, or goes on

    async def end(
        self, sessions: Iterable[bytes], reason: Reason, now: int, undo_by: str | None = None
    ) -> list[Session]:
        """See Sessions.end."""
        homes = await self._homes(sessions)
        ended = await in_turns(bucket.end(some, reason, now, undo_by) for bucket, some in homes.items())
        return [each for some in ended for each in some]

    async def restore(self, sessions: Iterable[bytes], by: str, now: int) -> list[Session]:
        """See Sessions.restore."""
        homes = await self._homes(sessions)
        returned = await in_turns(bucket.restore(some, by, now) for bucket, some in homes.items())
        return [each for some in returned for each in some]

    async def end_some(self, user_id: int, appid: str, reason: Reason, now: int) -> list[Session] | None:
        """See Sessions.end_some."""
        return await self._buckets[_home(user_id)].end_some(user_id, appid, reason, now)

    async def touch(self, used: Mapping[Session, int], now: int) -> None:
        """See Sessions.touch."""
        of_buckets: dict[_Bucket, dict[Session, int]] = {}
        for session, until in used.items():
            of_buckets.setdefault(self._buckets[_home(session.user_id)], {})[session] = until
        await in_turns(bucket.touch(some, now) for bucket, some in of_buckets.items())

    async def set_epochs(self, epochs: Mapping[str, int]) -> None:
        """See Sessions.set_epochs."""
        await self._recovery.push(epochs)

    async def _homes(self, sessions: Iterable[bytes]) -> dict[_Bucket, list[bytes]]:
        """The bucket that has each of these, by the signposts as they stand."""
        ids, homes = list(dict.fromkeys(sessions)), dict[_Bucket, list[bytes]]()
        for start in range(0, len(ids), _A_FEW):
            some = ids[start : start + _A_FEW]
            for each, (bucket, _) in zip(some, await asyncio.gather(*map(self._look_up, some)), strict=True):
                homes.setdefault(bucket, []).append(each)
        return homes

    async def _end_again(self, ids: Sequence[bytes], reason: Reason) -> int:
        """As `end`, but for buckets that still have to be told, and so do not say what they hold."""
        of_buckets: dict[_Bucket, list[bytes]] = {}
        for each in ids:
            of_buckets.setdefault(self._buckets[each[0]], []).append(each)
        buckets = list(of_buckets)
        answers = sure(
            await at_each(buckets, lambda pipe, at: at.ask_for([each[:HANDLE_BYTES] for each in of_buckets[at]])(pipe))
        )
        homes: dict[_Bucket, list[bytes]] = {}
        for bucket, (_, *values) in zip(buckets, answers, strict=True):
            for each, value in zip(of_buckets[bucket], values, strict=True):
                number = pointed(value)
                if value is not None:
                    homes.setdefault(bucket if number is None else self._buckets[number], []).append(each)
        return sum(await in_turns(bucket.end_again(some, reason) for bucket, some in homes.items()))

    # All of them go elsewhere, or come from there

    async def begin_move(self, *, again: bool) -> None:
        """See redis_moving.begin_move."""
        await self._cluster.start()
        await begin_move(self._places, self._cluster.nodes, self._everything, again=again)

    async def end_move(self, epochs: Mapping[str, int]) -> None:
        """All sessions are here: from now on they count."""
        await end_move(self._places)
        await self.set_epochs(epochs)

    async def every(self, now: int) -> AsyncIterator[list[Session]]:
        """All sessions that hold, a few at a time, each with the end that its index knows."""
        for bucket in self._buckets:
            async for some in bucket.every(now):
                yield some

    async def adopt(self, sessions: Sequence[Session], now: int) -> None:
        """See Sessions.adopt."""
        posts: dict[_Bucket, dict[bytes, tuple[int, int]]] = {}
        homes: dict[_Bucket, list[Session]] = {}
        for each in sessions:
            home = _home(each.user_id)
            homes.setdefault(self._buckets[home], []).append(each)
            if each.id[0] != home:
                posts.setdefault(self._buckets[each.id[0]], {})[each.id] = (home, each.ends_at)
        await in_turns(bucket.point(some) for bucket, some in posts.items())
        await in_turns(bucket.adopt(some, now) for bucket, some in homes.items())

    # What is over is forgotten

    async def sweep(self, now: int) -> int:
        """See Sessions.sweep."""
        if now < self._swept + _SWEPT_SECONDS:
            return 0
        outdated = sure(await at_each(self._buckets, lambda pipe, at: pipe.srandmember(at.keys.outdated)))
        full = {each for each, there in zip(self._buckets, outdated, strict=True) if there}
        for appid in self._buckets[0].epochs.last:
            old = await self._counts(appid, "-inf", now - MEMORY_SECONDS)
            full |= {each for each, n in zip(self._buckets, old, strict=True) if n}
        if not full:
            self._swept = now
        return sum(await in_turns(each.sweep(now) for each in full))


def _home(user_id: int) -> int:
    """The bucket of a person; CRC-32, because ids that several databases deal out share their last bits."""
    return zlib.crc32(b"%d" % user_id) % BUCKETS
