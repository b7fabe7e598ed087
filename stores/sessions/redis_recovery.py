"""What Redis is told from SQL: the epochs again and again, and, when it came back poorer, all that it may have lost.

Copies lag behind their master and a log is written to disk after the answer, so a Redis that restarted or took over may
have lost a revocation that was acknowledged. The facts in SQL have it.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, get_args

import msgspec

from stores.errors import SessionsAway, StoreFull, StoreTrouble
from stores.records import Records
from stores.sessions.packed import Told
from stores.sessions.promise import MEMORY_SECONDS, Reason
from stores.sessions.redis_epochs import RedisEpochs
from stores.sessions.redis_link import Pipeline, RedisLink, at_each, in_turns, sure

log = logging.getLogger("menshen.store")

_REASONS: dict[str | None, Reason] = {each: each for each in get_args(Reason)}
_PAUSE_SECONDS = 0.25
_MARGIN_SECONDS = 60  # clocks of several machines, and an end that was under way when the mark was written
_AGAIN_SECONDS = 120  # facts of other processes that were late, and ends that a master on its way out had taken
_BEFORE_SECONDS = 300  # how long such a master may have gone on before anybody noticed


class _Seen(msgspec.Struct, frozen=True, eq=False):
    """What one place knows, and the name of the Redis that it lies in."""

    place: RedisEpochs
    name: str
    told: Told | None

    def poorer(self) -> bool:
        """Whether that Redis may have lost something since it was told."""
        return self.told is None or not self.place.knows_all(self.told, self.name)

    def lacks(self, epochs: Mapping[str, int]) -> bool:
        """Whether one of these is higher there, or unknown."""
        known = self.told.epochs if self.told else {}
        return any(known.get(appid, -1) < n for appid, n in epochs.items())


class RedisRecovery:
    """Keeps each place of a Redis, or of a cluster of them, as strict as SQL is."""

    def __init__(
        self,
        places: Sequence[RedisEpochs],
        place_of: Callable[[int], RedisEpochs],
        records: Records,
        end_again: Callable[[Sequence[bytes], Reason], Awaitable[int]],
    ) -> None:
        """`place_of` says where a user's sessions are; `end_again` ends those of these that hold, and counts them."""
        self._places = places
        self._place_of = place_of
        self._records = records
        self._end_again = end_again
        self._again_from = 0
        self._again_until = 0
        self._reminder: asyncio.Task[None] | None = None
        for each in places:
            each.came_back_poorer = self._remind
            each.changed = self._expect_latecomers

    async def begin(self) -> None:
        """The first time in this process; a store that is away is told later."""
        try:
            await self.push(await self._records.epochs())
        except StoreTrouble:
            log.warning("the session store could not be told the epochs yet")

    async def push(self, epochs: Mapping[str, int]) -> None:
        """Raises those that are lower, everywhere, and tells a Redis that may have lost something all of it.

        Places that cannot be reached do not keep the others waiting. Raises SessionsAway, UsersAway, and StoreFull when
        Redis then lets in nobody at all.
        """
        seen, troubles = await self._look()
        poorer = [each for each in seen if each.poorer()]
        await in_turns(
            each.place.raise_to(epochs, each.told.name)
            for each in seen
            if each.told is not None and not each.poorer() and each.lacks(epochs)
        )
        ended = await (self._tell(poorer, epochs) if poorer else self._tell_latecomers())
        if ended:
            log.warning("%d sessions that had ended held again in the session store and were ended once more", ended)
        await self._mark([each.place for each in seen])
        sure(troubles)

    async def stop(self) -> None:
        """Ends what is under way."""
        if self._reminder is not None:
            self._reminder.cancel()
            await asyncio.gather(self._reminder, return_exceptions=True)

    async def _look(self) -> tuple[list[_Seen], list[StoreTrouble]]:
        """What each place knows; beside it the troubles with those that did not say."""
        names: dict[RedisLink, Any] = {}
        for place in self._places:
            try:
                names.setdefault(place.link.node, None)
            except SessionsAway:
                continue  # it is met again below

        async def ask_name(node: RedisLink) -> None:
            try:
                names[node] = await node.ask_name()
            except StoreTrouble as trouble:
                names[node] = trouble

        await asyncio.gather(*map(ask_name, names))
        answers = await at_each(self._places, lambda pipe, place: pipe.mget(place.keys.epochs))
        seen, troubles = [], []
        for place, answer in zip(self._places, answers, strict=True):
            if isinstance(answer, StoreTrouble):
                troubles.append(answer)
                continue
            name = names.get(place.link.node)
            if isinstance(name, str):
                seen.append(_Seen(place, name, Told.unpacked(answer[0])))
            else:
                troubles.append(name or SessionsAway("a part of the Redis Cluster moved just now"))
        return seen, troubles

    async def _tell(self, poorer: Sequence[_Seen], epochs: Mapping[str, int]) -> int:
        """Tells these all that they may have lost since they were marked; gives how many sessions ended once more."""
        places = [each.place for each in poorer]
        async for generations in self._records.blocks():
            await self._bar(places, generations)
        marks = sure(await at_each(places, lambda pipe, place: pipe.mget(place.keys.written)))
        blank = {each for each, [raw] in zip(poorer, marks, strict=True) if raw is None and each.told is None}
        marked = [_moment(raw) for each, [raw] in zip(poorer, marks, strict=True) if each not in blank]
        ended = await self._end_since(min(marked) - _MARGIN_SECONDS) if marked else 0
        wanted = {**epochs, **await self._records.epochs()}

        async def tell(each: _Seen) -> None:
            if each.told is None:
                await each.place.raise_to(wanted, each.name)
                return
            if each.lacks(wanted):
                await each.place.raise_to(wanted, each.told.name)
            await each.place.was_told(each.name)

        written = await self._write_first(blank, wanted)
        await in_turns(tell(each) for each in poorer if each not in written)
        log.warning("the session store has started or taken over; it was told the epochs and what had ended")
        return ended

    async def _write_first(self, blank: Collection[_Seen], wanted: Mapping[str, int]) -> set[_Seen]:
        """Writes the counters where there is nothing at all yet; gives those where nobody else was faster."""
        of_places = {each.place: each for each in blank}

        def write(pipe: Pipeline, at: RedisEpochs) -> None:
            pipe.set(at.keys.epochs, Told(wanted, of_places[at].name).packed(), nx=True)

        answers = await at_each(list(of_places), write)
        return {each for each, answer in zip(of_places.values(), answers, strict=True) if answer is True}

    async def _bar(self, places: Sequence[RedisEpochs], generations: Mapping[int, int]) -> None:
        of_places: dict[RedisEpochs, dict[int, int]] = {}
        for user_id, generation in generations.items():
            of_places.setdefault(self._place_of(user_id), {})[user_id] = generation
        barring = [each for each in places if each in of_places]
        answers = await at_each(barring, lambda pipe, at: pipe.zadd(at.keys.generations, of_places[at], gt=True))
        sure([each for each in answers if not isinstance(each, StoreFull)])  # full, it takes nobody in either

    async def _mark(self, places: Sequence[RedisEpochs]) -> None:
        """Leaves in Redis how far it has come. A full Redis, or a copy, keeps the older mark, which is as good."""
        answers = await at_each(places, lambda pipe, place: pipe.set(place.keys.written, _now()))
        sure([each for each in answers if not isinstance(each, StoreFull)])

    def _expect_latecomers(self) -> None:
        """Redis changed under this process: for a while there may be more to tell."""
        self._again_from, self._again_until = _now() - _BEFORE_SECONDS, _now() + _AGAIN_SECONDS

    async def _tell_latecomers(self) -> int:
        """Tells Redis of ends that came into SQL after it had been told; gives how many sessions ended once more."""
        began = _now()
        if began > self._again_until:
            return 0
        ended = await self._end_since(self._again_from)
        self._again_from = began - _MARGIN_SECONDS
        return ended

    async def _end_since(self, since: int) -> int:
        ended = 0
        async for some in self._records.ends(since):
            for reason in {reason for _, reason in some}:
                ids = [each for each, why in some if why == reason]
                ended += await self._end_again(ids, _REASONS.get(reason, "revoked"))
        return ended

    def _remind(self) -> None:
        """Tells Redis again, once at a time."""
        if self._reminder is None or self._reminder.done():
            self._reminder = asyncio.get_running_loop().create_task(self._tell_all())

    async def _tell_all(self) -> None:
        try:
            await self.push(await self._records.epochs())
        except StoreTrouble:
            await asyncio.sleep(_PAUSE_SECONDS)


def _moment(mark: bytes | None) -> int:
    return int(mark) if mark and mark.isdigit() else _now() - MEMORY_SECONDS


def _now() -> int:
    return int(time.time())
