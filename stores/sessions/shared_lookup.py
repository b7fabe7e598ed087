"""Look-ups that begin in one turn of the event loop share one round trip; nothing is kept for the next turn.

A driver's cost per command is paid once a turn instead of once a request. As nothing is cached, a revocation shows in
the very next look-up.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from stores.errors import SessionsAway

V = TypeVar("V")

MOST_IN_ONE_TRIP = 512
MOST_WAITING = 5_000


class SharedLookup(Generic[V]):
    """`get(key)` for many callers at once, `ask(keys)` for the store once a turn."""

    def __init__(self, ask: Callable[[list[bytes]], Awaitable[list[V]]]) -> None:
        """`ask` gives one value for each key, in order, or raises for all of them; it keeps a deadline of its own."""
        self._ask = ask
        self._turn: list[tuple[bytes, asyncio.Future[V]]] = []
        self._trips: set[asyncio.Task[None]] = set()  # the loop itself keeps only weak references to tasks
        self._unanswered = 0

    async def get(self, key: bytes) -> V:
        """The store's value for the key, asked after this call. Raises SessionsAway and what `ask` raises."""
        if self._unanswered >= MOST_WAITING:
            raise SessionsAway("too many look-ups are waiting")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[V] = loop.create_future()
        if not self._turn:
            loop.call_soon(self._leave)
        self._turn.append((key, answer))
        self._unanswered += 1
        try:
            return await answer
        finally:
            self._unanswered -= 1

    async def close(self) -> None:
        """Cancels the trips under way; whoever waits for one gets SessionsAway."""
        for trip in self._trips:
            trip.cancel()
        await asyncio.gather(*self._trips, return_exceptions=True)

    def _leave(self) -> None:
        waiting, self._turn = self._turn, []
        for start in range(0, len(waiting), MOST_IN_ONE_TRIP):
            trip = asyncio.get_running_loop().create_task(self._travel(waiting[start : start + MOST_IN_ONE_TRIP]))
            self._trips.add(trip)
            trip.add_done_callback(self._trips.discard)

    async def _travel(self, passengers: list[tuple[bytes, asyncio.Future[V]]]) -> None:
        failure: Exception = SessionsAway("the look-up was given up")
        values: list[V] = []
        try:
            values = await self._ask([key for key, _ in passengers])
        except Exception as error:  # whatever it is, it belongs to those who wait and must not be lost in a task
            failure = error
        finally:
            # Also when this task is cancelled: a waiter that is never told would hang for ever.
            _tell(passengers, values, failure)


def _tell(passengers: list[tuple[bytes, asyncio.Future[V]]], values: list[V], failure: Exception) -> None:
    answered = len(values) == len(passengers)
    for n, (_, answer) in enumerate(passengers):
        if answer.done():  # its caller went away
            continue
        if answered:
            answer.set_result(values[n])
        else:
            answer.set_exception(failure)
