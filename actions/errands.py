"""Work that goes on after the answer it belongs to: begun within a request, finished before the process ends."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class Errands:
    """Those of one process. What goes wrong in one is the errand's own to tell."""

    def __init__(self) -> None:
        self._under_way: set[asyncio.Task[None]] = set()  # the loop itself keeps only weak references to tasks

    async def begin(self, work: Coroutine[Any, Any, None], *, wait_seconds: float) -> bool:
        """Begins it and waits a while; says whether it came to its end. A caller that hangs up does not stop it."""
        task = asyncio.get_running_loop().create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        done, _ = await asyncio.wait([task], timeout=wait_seconds)
        return bool(done)

    async def land(self) -> None:
        """Waits until all of them have come to their end."""
        await asyncio.gather(*self._under_way, return_exceptions=True)
