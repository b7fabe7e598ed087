"""Look-ups that begin in one turn of the event loop share one round trip; nothing is kept for the next turn.

A driver's cost per command is paid once a turn instead of once a request. As nothing is cached, a revocation shows in
the very next look-up. Where a trip costs more than waiting for it, those who come while one is under way can share the
next.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence, Sized
from functools import partial
from typing import Generic, TypeVar

from stores.errors import SessionsAway, StoreTrouble

K = TypeVar("K")
V = TypeVar("V")

MOST_IN_ONE_TRIP = 512
MOST_WAITING = 5_000


class SharedLookup(Generic[K, V]):
    """`get(key)` for many callers at once, `ask(keys)` for the store once a turn."""

    def __init__(
        self,
        ask: Callable[[list[K]], Awaitable[Sequence[V | StoreTrouble]]],
        trouble: type[StoreTrouble] = SessionsAway,
        most: int = MOST_IN_ONE_TRIP,
        patience: float = 0.0,
    ) -> None:
        """`ask` gives one value for each key, in order, or raises for all of them; it keeps a deadline of its own.

        A StoreTrouble among the values is raised for whoever asked for that key. `trouble` is what is raised here when
        too many wait and when the look-up is closed; `most` is how many keys `ask` gets at once. While a trip is under
        way the next one waits for it, for `patience` seconds at the most.
        """
        self._ask = ask
        self._trouble = trouble
        self._most = most
        self._patience = patience
        self._turn: list[tuple[K, asyncio.Future[V]]] = []
        self._late: asyncio.TimerHandle | None = None  # when a turn that waits for a trip leaves without it
        self._trips: set[asyncio.Task[None]] = set()  # the loop itself keeps only weak references to tasks
        self._unanswered = 0

    async def get(self, key: K) -> V:
        """The store's value for the key, asked after this call. Raises `trouble` and what `ask` raises."""
        if self._unanswered >= MOST_WAITING:
            raise self._trouble("too many look-ups are waiting")
        answer: asyncio.Future[V] = asyncio.get_running_loop().create_future()
        if not self._turn:
            self._prepare()
        self._turn.append((key, answer))
        self._unanswered += 1
        try:
            return await answer
        finally:
            self._unanswered -= 1

    async def close(self) -> None:
        """Cancels the trips under way; whoever waits for one gets `trouble`."""
        if self._late is not None:
            self._leave()
        for trip in self._trips:
            trip.cancel()
        await asyncio.gather(*self._trips, return_exceptions=True)

    def _prepare(self) -> None:
        if self._patience and self._trips:
            self._late = asyncio.get_running_loop().call_later(self._patience, self._leave)
        else:
            asyncio.get_running_loop().call_soon(self._leave)

    def _leave(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
        waiting, self._turn = self._turn, []
        for start in range(0, len(waiting), self._most):
            passengers = waiting[start : start + self._most]
            trip = asyncio.get_running_loop().create_task(self._travel(passengers))
            self._trips.add(trip)
            trip.add_done_callback(partial(self._ended, passengers))

    async def _travel(self, passengers: list[tuple[K, asyncio.Future[V]]]) -> None:
        values: Sequence[V | Exception]
        try:
            values = await self._ask([key for key, _ in passengers])
        except Exception as error:  # whatever it is, it belongs to those who wait and must not be lost in a task
            values = [error] * len(passengers)
        if len(values) != len(passengers):
            values = self._given_up(passengers)
        _tell(passengers, values)

    def _ended(self, passengers: list[tuple[K, asyncio.Future[V]]], trip: asyncio.Task[None]) -> None:
        self._trips.discard(trip)
        if trip.cancelled():  # be it before it began: a waiter that is never told would hang for ever
            _tell(passengers, self._given_up(passengers))
        if self._late is not None and not self._trips:
            self._leave()

    def _given_up(self, passengers: Sized) -> list[StoreTrouble]:
        return [self._trouble("the look-up was given up")] * len(passengers)


def _tell(passengers: list[tuple[K, asyncio.Future[V]]], values: Sequence[V | Exception]) -> None:
    for (_, answer), value in zip(passengers, values, strict=True):
        if answer.done():  # told before, or its caller went away
            continue
        if isinstance(value, Exception):
            answer.set_exception(value)
        else:
            answer.set_result(value)
