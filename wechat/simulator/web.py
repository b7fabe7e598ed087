"""HTTP around the simulated paths: reading the query, meeting faults, answering without Tornado's own marks."""

import asyncio
import logging
from contextlib import suppress
from types import TracebackType
from typing import cast

from tornado.http1connection import HTTP1Connection
from tornado.httputil import HTTPServerRequest
from tornado.iostream import IOStream, StreamClosedError
from tornado.web import HTTPError, RequestHandler

from wechat.simulator.answers import Reply, error, html_page, sns_success
from wechat.simulator.asking import Question, Refused
from wechat.simulator.edits import wrong_answer
from wechat.simulator.endpoints import ENDPOINTS
from wechat.simulator.faults import Fault
from wechat.simulator.ledger import Asked
from wechat.simulator.own_calls import note_refused
from wechat.simulator.stage import Stage
from wechat.simulator.wire import WIRES, Wire

log = logging.getLogger("menshen.simulator")


def stream_of(request: HTTPServerRequest) -> IOStream:
    """Give the connection on which `request` came."""
    return cast(HTTP1Connection, request.connection).stream


def write_access_log(handler: RequestHandler) -> None:
    """Log method, path and status only: Tornado's own line would print the query, where the AppSecret travels."""
    log.debug("%s %s %d", handler.request.method, handler.request.path, handler.get_status())


class SimulatorHandler(RequestHandler):
    """What all handlers of the simulator have in common."""

    stage: Stage

    def initialize(self, stage: Stage) -> None:
        """Take the parts of the simulator that this request belongs to."""
        self.stage = stage

    def set_default_headers(self) -> None:
        """Take Tornado's name out of the answer: callers shall not be able to tell the simulator from WeChat."""
        self.clear_header("Server")

    def compute_etag(self) -> str | None:
        """Send no ETag, as WeChat sends none, and so never a 304."""
        return None

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Log a failure of the simulator without the request's query, which Tornado would print."""
        if not isinstance(value, HTTPError) and typ is not None and value is not None:
            log.error("the simulator failed on %s", self.request.path, exc_info=(typ, value, tb))

    async def send(self, reply: Reply) -> None:
        """Answer with `reply`."""
        self.set_status(reply.status)
        self.set_header("Content-Type", reply.content_type)
        for name, value in reply.headers:
            self.set_header(name, value)
        if reply.status in (204, 304):
            self.clear_header("Content-Type")
        with suppress(StreamClosedError):  # a caller who has left is no failure of ours
            await self.finish(None if reply.status in (204, 304) else reply.body)


class WeChatHandler(SimulatorHandler):
    """Any path that is WeChat's: written down, met by its fault if one waits, and answered."""

    def initialize(self, stage: Stage) -> None:
        """Take the parts of the simulator, and watch for the caller leaving."""
        super().initialize(stage)
        self.gone = asyncio.Event()

    def on_connection_close(self) -> None:
        """Note that the caller has left, so that nothing waits for it."""
        self.gone.set()

    async def get(self) -> None:
        """Answer, unless a fault comes in between."""
        request, stage = self.request, self.stage
        asked = stage.ledger.note(
            request.path, request.method or "", request.query_arguments, stream_of(request), stage.world.now()
        )
        fault = stage.faults.meet(request.path, stage.world.dice)
        if fault is not None:
            await self._suffer(fault, asked)
        else:
            await self._answer(self._right(), asked)

    @property
    def _question(self) -> Question:
        at = self.request
        return Question(at.path, at.method or "", at.query_arguments, at.body, at.remote_ip or "")

    async def post(self) -> None:
        """Answer as to a GET; whether the body counts is the path's own affair."""
        await self.get()

    def _right(self) -> Reply:
        endpoint = ENDPOINTS.get(self.request.path)
        if endpoint is None:
            return html_page(404, "404 Not Found")
        try:
            return endpoint(self.stage.world, self._question)
        except Refused as refused:
            return error(self.stage.world, refused.errcode, self.request.path, refused.text)

    async def _suffer(self, fault: Fault, asked: Asked) -> None:
        asked.fault = fault.kind
        right = self._right() if fault.spend else None
        if fault.kind in WIRES:
            wire = Wire(self.detach(), self.gone, self.stage.waits)
            await wire.play(fault, right)
            return
        seconds = fault.seconds + self.stage.world.dice.uniform(0, fault.jitter_seconds)
        if seconds:
            await self.stage.waits.wait(self.gone, seconds)
        await self._answer(wrong_answer(self.stage.world, fault, right), asked)

    async def _answer(self, reply: Reply, asked: Asked) -> None:
        asked.errcode = reply.errcode
        note_refused(self.stage.world, self._question, reply)
        await self.send(reply)


class SecondHost(SimulatorHandler):
    """Where a redirect leads: whoever follows it is counted, and gets an answer that looks like a login."""

    async def get(self) -> None:
        """Count the caller and answer with a person who does not exist."""
        self.stage.ledger.redirected += 1
        await self.send(
            sns_success(self.stage.world, {"session_key": "c2Vjb25kIGhvc3Qga2V5cw==", "openid": "o" + "2" * 27})
        )

    async def post(self) -> None:
        """Answer as to a GET."""
        await self.get()
