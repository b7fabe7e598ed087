"""The hot road: what phones ask all day is answered without a handler, /api/verify and /api/login.

Tornado's RequestHandler costs several times what a look-up does. Here its interfaces below handlers are used; what is
asked, refused, sent and logged is the same as elsewhere, by the same functions. tests/both_parsers holds it to that.
"""

import asyncio
import http.client
import json
import time
from collections.abc import Awaitable
from functools import lru_cache
from typing import Any, ClassVar

from tornado.httputil import (
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerRequest,
    RequestStartLine,
    ResponseStartLine,
    format_timestamp,
)

import actions
from actions import Backend, Verified
from handlers import compat
from handlers.base import (
    API_HEADERS,
    CLIENT_HUNG_UP,
    ApiHandler,
    Traffic,
    encoded,
    log_answer,
    log_failure,
    more_about,
    request_id_of,
    sent_status,
)
from handlers.body import read_object
from handlers.callers import address_of
from handlers.carriers import token_of
from handlers.miniprogram import Login, Verify, log_in
from handlers.refusals import UNEXPECTED, Refusal, envelope, headers, refusal
from wire.fields import Block, Ready


class HotRoad:
    """What all requests that are answered here have in common, and which they are."""

    def __init__(self, backend: Backend, traffic: Traffic) -> None:
        """A path that a dialect of COMPAT shares is left to its handler."""
        self.backend = backend
        self.traffic = traffic
        taken = {path for path, _ in compat.routes(backend.settings.compat)}
        self._kinds = {path: kind for path, kind in KINDS.items() if path not in taken}
        self._block = Block(API_HEADERS)
        self._block_at = -1

    def kind(self, method: str | None, path: str | None) -> "type[Answering] | None":
        """What answers such a request; None when a handler does."""
        kind = self._kinds.get(path or "")
        return kind if kind and method in kind.methods else None

    def block(self) -> Block:
        """The fields of every answer, with a Date that is written once a second."""
        now = int(time.time())
        if now != self._block_at:
            self._block, self._block_at = Block(API_HEADERS | {"Date": format_timestamp(now)}), now
        return self._block


class Answering(HTTPMessageDelegate):
    """One request: what its handler does for these methods."""

    methods: ClassVar[frozenset[str]]
    handler: ClassVar[type[ApiHandler]]

    def __init__(self, road: HotRoad, request: HTTPServerRequest) -> None:
        """`request` has its caller's address settled."""
        self._road = road
        self._request = request
        self._body: list[bytes] = []
        self._hung_up = False
        self._last = False
        self._task: asyncio.Task[None] | None = None

    async def answer(self, request_id: str) -> bytes:
        """The body of the answer; whatever this raises gets its row of the table, as from any handler."""
        raise NotImplementedError

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        """See HTTPMessageDelegate."""
        return None

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        """See HTTPMessageDelegate; the door has judged its type and counts its size."""
        self._body.append(chunk)
        return None

    def finish(self) -> None:
        """See HTTPMessageDelegate: the request is whole."""
        traffic = self._road.traffic
        traffic.begin()
        self._last = traffic.draining
        connection: Any = self._request.connection
        connection.set_close_callback(self.on_hang_up)
        self._task = asyncio.get_running_loop().create_task(self._serve())

    def on_connection_close(self) -> None:
        """See HTTPMessageDelegate: the request will never be whole."""
        self._body.clear()

    def on_hang_up(self) -> None:
        """Nobody waits for the answer any more."""
        self._hung_up = True

    async def _serve(self) -> None:
        request_id = request_id_of(self._request)
        try:
            body = await self.answer(request_id)
        except Exception as error:  # whatever it is, the phone gets its row of the table, as from any handler
            self._refuse(error, request_id)
        except asyncio.CancelledError:
            log_answer(self._request, CLIENT_HUNG_UP, request_id)
            raise
        else:
            self._send(200, 0, body, {"X-Request-Id": request_id})
        finally:
            self._road.traffic.end()

    def _refuse(self, error: Exception, request_id: str) -> None:
        settings, row = self._road.backend.settings, refusal(error)
        if row is None:
            log_failure(error, request_id)
            row = UNEXPECTED
        body = _refused(row, tuple(more_about(error, settings.session_reasons).items()), request_id)
        status = sent_status(row, settings.api_status, self._request.path)
        self._send(status, row.errcode, body, {"X-Request-Id": request_id} | headers(row))

    def _send(self, status: int, errcode: int, body: bytes, own: dict[str, str]) -> None:
        road, request = self._road, self._request
        connection: Any = request.connection
        fields = Ready(road.block(), own, len(body), last=self._last)
        connection.write_headers(_START_LINES[status], fields, b"" if request.method == "HEAD" else body)
        connection.finish()
        road.traffic.meter.answered(self.handler.metered, errcode, request.request_time())
        log_answer(request, CLIENT_HUNG_UP if self._hung_up else status, request_id=own["X-Request-Id"])


class Verifying(Answering):
    """GET, HEAD and POST /api/verify."""

    methods = frozenset(("GET", "HEAD", "POST"))
    handler = Verify

    async def answer(self, request_id: str) -> bytes:
        """See Answering."""
        posted = self._request.method == "POST" and self._body
        body = read_object(b"".join(self._body)) if posted else None
        token = token_of(self._request, body, self._road.backend.settings.compat)
        verified = await actions.verify(self._road.backend, token, address_of(self._request))
        return _success(verified, request_id)


class LoggingIn(Answering):
    """POST /api/login. When nobody waits any more the login is given up, unless others have joined it."""

    methods = frozenset(("POST",))
    handler = Login

    async def answer(self, request_id: str) -> bytes:
        """See Answering."""
        told = await log_in(self._road.backend, self._request, read_object(b"".join(self._body)))
        return encoded({"errcode": 0, "errmsg": "ok", **told, "request_id": request_id}).encode("utf-8")

    def on_hang_up(self) -> None:
        """See Answering."""
        super().on_hang_up()
        if self._task is not None:
            self._task.cancel()


KINDS: dict[str, type[Answering]] = {"/api/verify": Verifying, "/api/login": LoggingIn}


class Knock(HTTPServerRequest):
    """A request for the hot road, without a query: only what that and the door look at.

    Raises HTTPInputError for a Host that Tornado would not have.
    """

    query = ""
    _finish_time = None

    def __init__(self, connection: Any, start_line: RequestStartLine, headers: HTTPHeaders) -> None:
        # The base class would parse a query that is not there, and again what it has found out about the Host.
        self.method, self.uri, self.version = start_line
        self.path = start_line.path
        self.headers = headers
        self.connection = connection
        self.remote_ip = connection.context.remote_ip
        self.protocol = connection.context.protocol
        self.host_name = _host_name(headers.get("Host"), start_line.version)
        self.arguments, self.query_arguments = {}, {}
        self._start_time = time.time()


@lru_cache(1000)
def _host_name(host: str | None, version: str) -> str:
    """As Tornado finds it. Raises HTTPInputError."""
    fields = HTTPHeaders() if host is None else HTTPHeaders({"Host": host})
    return HTTPServerRequest(start_line=RequestStartLine("GET", "/", version), headers=fields).host_name


@lru_cache(1000)
def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _success(verified: Verified, request_id: str) -> bytes:
    """What `ApiHandler.answer` would write; the text of a request id needs no escapes."""
    session = verified.session
    text = (
        f'{{"errcode":0,"errmsg":"ok","user_id":{session.user_id},"appid":{_quoted(session.appid)},'
        f'"expires_in":{verified.expires_in},"request_id":"{request_id}"}}'
    )
    return text.encode("utf-8")


def _refused(row: Refusal, more: tuple[tuple[str, object], ...], request_id: str) -> bytes:
    return f'{_unnumbered(row, more)}{request_id}"}}'.encode()


@lru_cache(1000)
def _unnumbered(row: Refusal, more: tuple[tuple[str, object], ...]) -> str:
    """A refusal's body up to its request id, which stands last."""
    return encoded(envelope(row, "", **dict(more))).removesuffix('"}')


_START_LINES = {code: ResponseStartLine("", code, reason) for code, reason in http.client.responses.items()}
