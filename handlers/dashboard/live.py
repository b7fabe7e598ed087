"""Server-sent events: the overview and the list of sessions follow what happens, as long as somebody looks at them."""

import asyncio
import contextlib
import json
from typing import ClassVar

from msgspec.structs import asdict
from tornado.iostream import StreamClosedError

from actions import signing_in
from actions.live import happening
from handlers.base import Intake
from handlers.operator_page import OperatorPage
from handlers.refusals import TooManyStreams
from stores.errors import StoreTrouble
from stores.operators import SignedOut

LOOK_SECONDS = 2.0
QUIET_SECONDS = 15.0  # a proxy that hears nothing for a minute hangs up
LONGEST_SECONDS = 600.0  # then the browser comes back by itself, and is judged anew
MOST_STREAMS = 50  # of one process


class Live(OperatorPage):
    """GET /admin/live"""

    intake: ClassVar[Intake] = Intake(types=())
    is_use = False  # an open page is nobody at work: it must not keep a session from its idle end
    _open: ClassVar[set["Live"]] = set()

    async def get(self) -> None:
        """An event with the figures whenever one of them has changed. Ends when the operator is signed out."""
        if len(self._open) >= MOST_STREAMS:
            raise TooManyStreams
        self._open.add(self)
        self.set_header("Content-Type", "text/event-stream; charset=utf-8")
        self.set_header("X-Accel-Buffering", "no")  # nginx would keep events back
        try:
            with contextlib.suppress(StreamClosedError, SignedOut, StoreTrouble):
                await self._follow()
        finally:
            self._open.discard(self)

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        ends, quiet_since, told = loop.time() + LONGEST_SECONDS, loop.time(), ""
        while loop.time() < ends and not (self.hung_up or self.traffic.draining):
            await signing_in.session_of(self.backend, self.cookie(""))
            figures = json.dumps(asdict(await happening(self.backend, self.appids, self.backend.now())))
            if figures != told:
                await self._send(f"data: {figures}\n\n")
                told, quiet_since = figures, loop.time()
            elif loop.time() - quiet_since > QUIET_SECONDS:
                await self._send(": still here\n\n")
                quiet_since = loop.time()
            await asyncio.sleep(LOOK_SECONDS)

    async def _send(self, text: str) -> None:
        self.write(text)
        await self.flush()
