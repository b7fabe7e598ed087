"""What goes on in the background: notes are written, counts are shared, epochs are repeated, the dead are forgotten."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from actions.backend import Backend
from stores.errors import StoreTrouble

log = logging.getLogger("menshen.upkeep")

BEHIND_SECONDS = 0.2
EPOCHS_SECONDS = 5.0
SWEEP_SECONDS = 1.0
SWEEPS_AT_ONCE = 10  # of a few hundred each: as many as may expire in a second
_PAUSE_AFTER_A_DEFECT_SECONDS = 5.0


class Upkeep:
    """The background tasks of one process."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begins; needs a running loop."""
        steps: list[tuple[str, Callable[[], Awaitable[object]], float]] = [
            ("notes", self._write_behind, BEHIND_SECONDS),
            ("epochs", self._repeat_epochs, EPOCHS_SECONDS),
            ("sweep", self._sweep, SWEEP_SECONDS),
        ]
        self._tasks = [asyncio.ensure_future(_again_and_again(*step)) for step in steps]

    async def stop(self) -> None:
        """Ends; what is still to be written is for Backend.close."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _write_behind(self) -> None:
        try:
            await self._backend.uses.flush(self._backend.now())
            await self._backend.unknown_tokens.flush()
        finally:
            await self._backend.logins.flush()

    async def _repeat_epochs(self) -> None:
        await tell_epochs(self._backend)

    async def _sweep(self) -> None:
        for _ in range(SWEEPS_AT_ONCE):
            if not await self._backend.sessions.sweep(self._backend.now()):
                return


async def tell_epochs(backend: Backend) -> None:
    """Notes which mini programs are served, and tells the session store all counters.

    A session store that came back poorer learns again that everybody was put out. Raises UsersAway, SessionsAway.
    """
    known = await backend.epochs.know(app.appid for app in backend.settings.apps)
    await backend.sessions.set_epochs(known)


async def _again_and_again(name: str, step: Callable[[], Awaitable[object]], seconds: float) -> None:
    """Runs the step every so often; a store that is away is waited for, a defect is logged and slowed down."""
    while True:
        await asyncio.sleep(seconds)
        try:
            await step()
        except StoreTrouble:
            continue
        except Exception:
            log.exception("the background task %r went wrong and will be tried again", name)
            await asyncio.sleep(_PAUSE_AFTER_A_DEFECT_SECONDS)
