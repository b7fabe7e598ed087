"""Logins under way, by code: a second request with the same code joins the first instead of spending the code again.

A flight outlives the request that began it. When nobody is left to receive the token, the flight says so at its end and
its session is ended: a token that nobody holds should not be listed as somebody.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actions.login import LoggedIn

Route = Callable[["Flight"], Awaitable["LoggedIn"]]


@dataclass(eq=False)
class Flight:
    """One login under way. `passengers` counts the requests that wait for its token."""

    passengers: int = 0


class Flights:
    """The logins of this process."""

    def __init__(self) -> None:
        self._under_way: dict[tuple[str, str], tuple[Flight, asyncio.Task[LoggedIn]]] = {}

    async def join(self, appid: str, code: str, route: Route) -> "LoggedIn":
        """The outcome of the flight for this code, begun with `route` if there is none yet."""
        key = appid, code
        if key not in self._under_way:
            flight = Flight()
            task = asyncio.ensure_future(route(flight))
            task.add_done_callback(lambda done: self._landed(key, done))
            self._under_way[key] = flight, task
        flight, task = self._under_way[key]
        flight.passengers += 1
        try:
            # Shielded: when one phone hangs up, the others still get their token.
            return await asyncio.shield(task)
        finally:
            flight.passengers -= 1

    async def land(self) -> None:
        """Waits until every login under way has come to its end."""
        await asyncio.gather(*(task for _, task in self._under_way.values()), return_exceptions=True)

    def _landed(self, key: tuple[str, str], task: asyncio.Task["LoggedIn"]) -> None:
        del self._under_way[key]
        if not task.cancelled():
            task.exception()  # looked at here, so that asyncio does not complain when nobody is left to see it
