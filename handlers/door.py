"""The door: what is refused before any handler exists, and before a body is read.

Tornado would read a body of the wrong type or size first and answer with an empty 400. Here the headers are judged as
they arrive, so the phone gets our own answer, no "100 Continue" goes out for a body nobody wants, and none is kept.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal

from tornado.httputil import HTTPHeaders, HTTPMessageDelegate, HTTPServerRequest, RequestStartLine, ResponseStartLine
from tornado.routing import Router
from tornado.web import Application

from handlers.base import API_HEADERS, BODY_TYPE, Handler, Intake, encoded, request_id_of, sent_status
from handlers.callers import Addresses
from handlers.hot import Answering, HotRoad, Knock
from handlers.refusals import (
    BadRequest,
    BodyTooLarge,
    Misdirected,
    NoSuchResource,
    Refusal,
    WrongMediaType,
    envelope,
    headers,
    refusal,
)
from wire.fields import Received

# A body up to this size is read and dropped before it is refused, because a client that is still sending when we close
# may never see the answer. Of a larger one the answer goes out while it comes, and as much again is dropped before we
# hang up.
SWALLOWED_BYTES = 1024 * 1024
_NO_LIMIT = 2**62
Side = Literal["both", "public", "operators"]


class Door(Router):
    """Stands before the application: settles who calls, turns away what no handler should see."""

    def __init__(
        self,
        application: Application,
        addresses: Addresses,
        allowed_hosts: Sequence[str],
        api_status: str,
        hot: HotRoad,
        side: Side = "both",
    ) -> None:
        """`side` says whose listener this is: without one of their own, operators share the public one."""
        self._side = side
        self._application = application
        self._hot = hot
        self._addresses = addresses
        self._allowed_hosts = frozenset(_bare(host) for host in allowed_hosts)
        self._api_status = api_status

    def start_request(self, server_conn: object, request_conn: Any) -> HTTPMessageDelegate:
        """Called by the server for each request, before its headers are there."""
        return _Arriving(self, server_conn, request_conn)

    def by_application(self, server_conn: object, request_conn: Any) -> HTTPMessageDelegate:
        """What Tornado makes of a request; it asks `find_handler`."""
        return super().start_request(server_conn, request_conn)

    def kind(self, start_line: RequestStartLine) -> type[Answering] | None:
        """How a request for the hot road is answered that has no query."""
        return self._hot.kind(start_line.method, start_line.path)

    def find_handler(
        self, request: HTTPServerRequest, kind: type[Answering] | None = None, **kwargs: Any
    ) -> HTTPMessageDelegate:
        """Called by Tornado when the headers of a request are there; `kind` when it is known."""
        connection: Any = request.connection
        connection.set_max_body_size(_NO_LIMIT)  # Tornado's own limit answers with an empty 400; ours are below
        self._addresses.settle(request)
        if getattr(connection.stream, "bare_line_feed", False):
            # A proxy before us may have seen another request in the same bytes (OWASP ASVS 4.2.1).
            return self._refuse(request, BadRequest(), hang_up=True)
        if self._allowed_hosts and _bare(request.host_name) not in self._allowed_hosts:
            return self._refuse(request, Misdirected())
        if "%00" in request.path or not request.path.isprintable():
            return self._refuse(request, NoSuchResource())  # Tornado's file handler answers 500 to it
        if not _stands_on(self._side, request.path):
            return self._refuse(request, NoSuchResource())
        request.inside = self._side == "operators"  # type: ignore[attr-defined]  # read by handlers.metrics alone
        if kind := kind or self._hot.kind(request.method, request.path):
            answering = kind(self._hot, request)
            if not _has_body(request.headers):
                return answering
            return _Judging(request, answering, kind.handler.intake, self._refuse)
        delegate: Any = self._application.find_handler(request)
        handler = getattr(delegate, "handler_class", None)
        intake = handler.intake if isinstance(handler, type) and issubclass(handler, Handler) else Intake()
        return _Judging(request, delegate, intake, self._refuse)

    def _refuse(self, request: HTTPServerRequest, error: Exception, *, hang_up: bool = False) -> "_Refusing":
        row = refusal(error)
        if row is None:
            raise AssertionError("the door refuses only with rows of the table")
        return _Refusing(request, row, sent_status(row, self._api_status, request.path), hang_up=hang_up)


class _Arriving(HTTPMessageDelegate):
    """A request until its headers are there: then it is one for the hot road, or one that Tornado reads in full."""

    def __init__(self, door: Door, server_conn: object, request_conn: Any) -> None:
        self._door = door
        self._server_conn = server_conn
        self._request_conn = request_conn
        self._delegate: HTTPMessageDelegate | None = None

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        if isinstance(start_line, RequestStartLine) and (kind := self._door.kind(start_line)):
            self._delegate = self._door.find_handler(Knock(self._request_conn, start_line, headers), kind)
        else:
            self._delegate = self._door.by_application(self._server_conn, self._request_conn)
        return self._delegate.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        return self._delegate.data_received(chunk) if self._delegate else None

    def finish(self) -> None:
        if self._delegate:
            self._delegate.finish()

    def on_connection_close(self) -> None:
        if self._delegate:
            self._delegate.on_connection_close()


class _Judging(HTTPMessageDelegate):
    """Hands a request on to its handler unless its body is more than, or other than, the path takes."""

    def __init__(
        self,
        request: HTTPServerRequest,
        delegate: HTTPMessageDelegate,
        intake: Intake,
        refuse: Callable[[HTTPServerRequest, Exception], HTTPMessageDelegate],
    ) -> None:
        self._request = request
        self._refuse = refuse
        self._refused = False
        self._delegate = delegate
        self._intake = intake
        self._received = 0

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        if not _has_body(headers):
            headers.pop("Content-Type", None)  # judged only where there is a body; Tornado would try to parse nothing
        elif error := _unacceptable(headers, self._intake):
            self._turn_away(error)
        elif self._intake.read_by_handler:
            headers[BODY_TYPE] = headers.pop("Content-Type", "")
        return self._delegate.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        self._received += len(chunk)
        if self._received > self._intake.most_bytes and not self._refused:
            self._delegate.on_connection_close()  # the handler never began; this only lets go of what was gathered
            self._turn_away(BodyTooLarge())
        return self._delegate.data_received(chunk)

    def _turn_away(self, error: Exception) -> None:
        self._refused = True
        self._delegate = self._refuse(self._request, error)

    def finish(self) -> None:
        self._delegate.finish()

    def on_connection_close(self) -> None:
        self._delegate.on_connection_close()


class _Refusing(HTTPMessageDelegate):
    """Answers with a row of the table: at once when the body awaits our consent or is large, else after it."""

    def __init__(self, request: HTTPServerRequest, row: Refusal, status: int, *, hang_up: bool = False) -> None:
        """`status` is what goes out, which API_STATUS may make 200; `hang_up` trusts nothing that follows."""
        self._hang_up = hang_up
        self._request = request
        self._row = row
        self._status = status
        self._dropped_bytes = 0
        self._answered = False

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        length = headers.get("Content-Length", "0")
        if self._hang_up or "Expect" in headers or not length.isdigit() or int(length[:20]) > SWALLOWED_BYTES:
            self._answer(then_hang_up=True)
            self._connection.finish()  # before the body was read: Tornado hangs up after the answer
        return None

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        """Only a chunked body can turn out to be large when it is here; the others have told their size."""
        self._dropped_bytes += len(chunk)
        if self._dropped_bytes > SWALLOWED_BYTES and not self._answered:
            self._answer(then_hang_up=True)
        if self._dropped_bytes > 2 * SWALLOWED_BYTES:
            self._connection.finish()
        return None

    def finish(self) -> None:
        if not self._answered:
            self._answer()
        self._connection.finish()

    @property
    def _connection(self) -> Any:
        return self._request.connection

    def _answer(self, *, then_hang_up: bool = False) -> None:
        self._answered = True
        request_id = request_id_of(self._request)
        body = encoded(envelope(self._row, request_id)).encode("utf-8")
        fields = API_HEADERS | headers(self._row) | {"X-Request-Id": request_id, "Content-Length": str(len(body))}
        if then_hang_up:
            fields["Connection"] = "close"
        sent = b"" if self._request.method == "HEAD" else body
        self._connection.write_headers(ResponseStartLine("HTTP/1.1", self._status, ""), HTTPHeaders(fields), sent)


def _stands_on(side: Side, path: str) -> bool:
    """Whether a listener serves a path. Machines ask each whether it lives."""
    if side == "both" or path in ("/healthz", "/readyz"):
        return True
    first = path.split("/", 2)[1] if path.startswith("/") else ""
    return (first in ("admin", "metrics", "static")) == (side == "operators")


def _bare(host: str) -> str:
    """A host name as it is compared; Tornado leaves an IPv6 address in its brackets, people write it without."""
    return host.lower().removeprefix("[").removesuffix("]")


def _has_body(headers: HTTPHeaders) -> bool:
    if isinstance(headers, Received) and headers.plain:
        return False
    return "Transfer-Encoding" in headers or headers.get("Content-Length", "0") != "0"


def _unacceptable(headers: HTTPHeaders, intake: Intake) -> Exception | None:
    """What is wrong with a body, as far as its headers tell. Of several faults, the size counts first."""
    length = headers.get("Content-Length", "0")
    if length.isdigit() and int(length[:20]) > intake.most_bytes:
        return BodyTooLarge()
    if headers.get("Content-Encoding", "identity").lower() != "identity":
        return WrongMediaType()  # nothing is inflated, so nothing can be a bomb
    return None if _type_fits(headers.get("Content-Type", ""), intake) else WrongMediaType()


def _type_fits(content_type: str, intake: Intake) -> bool:
    if not intake.types:
        return True
    if not content_type:
        return intake.type_may_be_missing
    kind, _, parameters = content_type.partition(";")
    if kind.strip().lower() not in intake.types:
        return False
    charsets = [value.strip(' "').lower() for name, _, value in _parameters(parameters) if name == "charset"]
    return all(charset in ("utf-8", "utf8") for charset in charsets)


def _parameters(text: str) -> list[tuple[str, str, str]]:
    parts = [part.strip().partition("=") for part in text.split(";")]
    return [(name.strip().lower(), equals, value) for name, equals, value in parts]
