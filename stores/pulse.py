"""Whether a store answers: every call tells, and while it does not, a probe asks again four times a second.

A login looks here before it spends the phone's code at WeChat, so an outage costs nobody a code but the first.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

PROBE_SECONDS = 0.25


class Pulse:
    """The state of one store, as its last call left it."""

    def __init__(self, name: str, ask: Callable[[], Awaitable[None]], trouble: type[Exception]) -> None:
        """`ask` returns when the store answers and raises `trouble` when it does not; `name` stands in the log."""
        self.beats = True
        self._name = name
        self._ask = ask
        self._trouble = trouble
        self._probe: asyncio.Task[None] | None = None
        self._log = logging.getLogger("menshen.store")

    def lost(self, why: str) -> None:
        """A call failed because the store is away."""
        if self.beats:
            self._log.error("%s is away: %s", self._name, why)
        self.beats = False
        if self._probe is None or self._probe.done():
            self._probe = asyncio.get_running_loop().create_task(self._watch())

    async def stop(self) -> None:
        """Ends the probe."""
        if self._probe is not None:
            self._probe.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._probe

    async def _watch(self) -> None:
        while not self.beats:
            # Asked at once first: one connection that was cut is no outage, and need not close the door for a moment.
            with contextlib.suppress(self._trouble):
                await self._ask()
                self.beats = True
            if not self.beats:
                await asyncio.sleep(PROBE_SECONDS)
        self._log.warning("%s answers again", self._name)
