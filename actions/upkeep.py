"""What goes on in the background: notes are written, counts are shared, epochs are repeated, the dead are forgotten."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from actions import webhooks
from actions.backend import Backend
from actions.content import forget_held
from actions.push import resume
from stores.errors import StoreTrouble

log = logging.getLogger("menshen.upkeep")

BEHIND_SECONDS = 0.2
EPOCHS_SECONDS = 5.0
SWEEP_SECONDS = 1.0
OPERATORS_SECONDS = 60.0
HEALTH_SECONDS = 5.0
RETENTION_SECONDS = 5.0
PUSH_SECONDS = 5.0
HELD_SECONDS = 30.0
WEBHOOK_SECONDS = 0.5
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
            ("operators", self._sweep_operators, OPERATORS_SECONDS),
            ("health", self._look_at_the_stores, HEALTH_SECONDS),
            ("retention", self._let_go, RETENTION_SECONDS),
            ("push", self._finish_events, PUSH_SECONDS),
            ("held pictures", self._forget_held, HELD_SECONDS),
            ("alarms", self._look_for_trouble, HEALTH_SECONDS),
            ("webhooks", self._deliver, WEBHOOK_SECONDS),
            ("old webhooks", self._forget_deliveries, OPERATORS_SECONDS),
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
            await self._backend.key_uses.flush()
        finally:
            await self._backend.logins.flush()
            await self._backend.refused_logins.flush()
            await self._backend.figures.flush()
            await self._backend.service_keys.flush()
            await self._backend.deliveries.flush()

    async def _repeat_epochs(self) -> None:
        await tell_epochs(self._backend)

    async def _sweep_operators(self) -> None:
        """What stands in the way of guessers and lets operators in is forgotten when its time is over."""
        await self._backend.operators.sweep(self._backend.now())
        await self._backend.attempts.sweep(self._backend.now())

    async def _sweep(self) -> None:
        for _ in range(SWEEPS_AT_ONCE):
            if not await self._backend.sessions.sweep(self._backend.now()):
                return

    async def _let_go(self) -> None:
        await self._backend.retention.step(self._backend.now())

    async def _look_for_trouble(self) -> None:
        await self._backend.alarms.look(self._backend)

    async def _deliver(self) -> None:
        await webhooks.deliver(self._backend)

    async def _forget_deliveries(self) -> None:
        await webhooks.forget(self._backend)

    async def _finish_events(self) -> None:
        """What WeChat told and a store that was away, or a process that died, did not let us do."""
        await resume(self._backend)

    async def _forget_held(self) -> None:
        await forget_held(self._backend)

    async def _look_at_the_stores(self) -> None:
        await self._backend.health.look(self._backend.now())


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
