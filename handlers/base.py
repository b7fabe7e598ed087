"""What every handler is made of: the envelope of the JSON API, its headers, and how an exception becomes an answer."""

import asyncio
import json
import logging
import os
import re
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

import msgspec
from tornado.httputil import HTTPServerRequest
from tornado.web import HTTPError, RequestHandler

from actions import Backend, InvalidProfile
from actions.content import ContentRefused
from handlers.body import JsonObject, read_object
from handlers.meter import NO_NUMBER, Meter
from handlers.refusals import (
    UNEXPECTED,
    BadRequest,
    NoSuchResource,
    Refusal,
    WrongMethod,
    envelope,
    headers,
    refusal,
)
from stores.sessions import SessionGone

log = logging.getLogger("menshen.http")
access = logging.getLogger("menshen.access")
T = TypeVar("T")

CLIENT_HUNG_UP = 499  # nginx's number for a client that did not wait for its answer; it is only logged, never sent

_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,64}", re.ASCII)

API_HEADERS = {
    "Content-Type": "application/json; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}

_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))

FORM = "application/x-www-form-urlencoded"
BODY_TYPE = "X-Menshen-Body-Type"  # the door sets it, whatever the client sent under this name


class Intake(msgspec.Struct, frozen=True):
    """What a path takes as a body; the door judges it before the body is read."""

    most_bytes: int = 16 * 1024
    types: tuple[str, ...] = ("application/json",)  # none named: any will do, the body is not read
    type_may_be_missing: bool = False
    read_by_handler: bool = False  # Tornado's readers of forms shall not see it; its type is in BODY_TYPE


@dataclass
class Traffic:
    """What is under way in this process, and whether it is about to end."""

    draining: bool = False
    begun: int = 0
    under_way: int = 0
    quiet: asyncio.Event = field(default_factory=asyncio.Event)
    meter: Meter = field(default_factory=Meter)

    def begin(self) -> None:
        """A request reached its handler."""
        self.begun += 1
        self.under_way += 1
        self.quiet.clear()

    def end(self) -> None:
        """Its answer is out."""
        self.under_way -= 1
        if not self.under_way:
            self.quiet.set()


class _Ids:
    """Random ids of 64 bits, fetched from the kernel many at a time: one by one they cost more than the rest of an id.

    They are no secrets and open nothing; random they are so that those of several processes never meet.
    """

    def __init__(self) -> None:
        self._ready: list[str] = []
        os.register_at_fork(after_in_child=self._ready.clear)  # a worker must not hand out its parent's

    def new(self) -> str:
        """An id that nobody had before."""
        if not self._ready:
            fresh = os.urandom(8 * 256).hex()
            self._ready.extend(fresh[start : start + 16] for start in range(0, len(fresh), 16))
        return self._ready.pop()


_ids = _Ids()


def request_id_of(request: HTTPServerRequest) -> str:
    """The id that a proxy gave the request, if it is one that cannot forge a log line; a new one otherwise."""
    given = request.headers.get("X-Request-Id", "")
    return given if given and _REQUEST_ID.fullmatch(given) else _ids.new()


class Handler(RequestHandler):
    """The root of all handlers."""

    intake: ClassVar[Intake] = Intake()
    backend: Backend
    request_id: str
    hung_up = False
    metered: ClassVar[str] = "other"  # under which name its answers are counted
    errcode: int | None = None  # of a refusal

    def initialize(self, backend: Backend, traffic: Traffic) -> None:
        """Called by Tornado for each request, with what `make_application` put into the routes."""
        self.backend = backend
        self.traffic = traffic
        traffic.begin()
        if traffic.draining:
            self.set_header("Connection", "close")

    def set_default_headers(self) -> None:
        """Called by Tornado before `initialize` and again before an error is written."""
        self.request_id = getattr(self, "request_id", None) or request_id_of(self.request)
        self.clear_header("Server")  # OWASP ASVS 13.4.6: no product, no version
        self.set_header("X-Request-Id", self.request_id)

    def put_headers(self, fields: Mapping[str, str]) -> None:
        """Sets each of them."""
        for name, value in fields.items():
            self.set_header(name, value)

    def set_refusal_headers(self, row: Refusal) -> None:
        """Sets those that go with a refusal."""
        self.put_headers(headers(row))
        if row.status == 405:
            self.set_header("Allow", self.allowed())

    def compute_etag(self) -> str | None:
        """No Etag: most answers hold something that must not be stored."""
        return None

    def on_finish(self) -> None:
        """Called by Tornado when the answer is out."""
        self.traffic.end()
        errcode = self.errcode if self.errcode is not None else 0 if self.get_status() < 400 else NO_NUMBER
        self.traffic.meter.answered(self.metered, errcode, self.request.request_time())

    def on_connection_close(self) -> None:
        """Called by Tornado when the client has hung up before it had its answer."""
        self.hung_up = True

    def log_exception(self, typ: Any, value: BaseException | None, tb: Any) -> None:
        """Logs what nobody foresaw, with the request's id and without its URL; refusals are no news."""
        if value is None or isinstance(value, HTTPError | asyncio.CancelledError) or refusal(value):
            return
        log_failure(value, self.request_id)

    @classmethod
    def allowed(cls) -> str:
        """The methods that this handler answers, for the header Allow."""
        unimplemented = RequestHandler._unimplemented_method
        return ", ".join(
            method for method in cls.SUPPORTED_METHODS if getattr(cls, method.lower()) is not unimplemented
        )


class ApiHandler(Handler):
    """A handler of the JSON API. It takes no cookie, so there is nothing a foreign page could ride on."""

    def set_default_headers(self) -> None:
        """See Handler."""
        super().set_default_headers()
        self.put_headers(API_HEADERS)

    def answer(self, **fields: object) -> None:
        """Success, in WeChat's own form: errcode 0 and errmsg ok."""
        self._send({"errcode": 0, "errmsg": "ok", **fields, "request_id": self.request_id})

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Called by Tornado with the exception that ended a handler."""
        error = error_in(kwargs)
        row = row_for(status_code, error)
        self.errcode = row.errcode
        self.set_refusal_headers(row)
        self.set_status(sent_status(row, self.backend.settings.api_status, self.request.path))
        self._send(envelope(row, self.request_id, **more_about(error, self.backend.settings.session_reasons)))

    def _send(self, body: dict[str, object]) -> None:
        self.finish(encoded(body))

    @property
    def is_form(self) -> bool:
        """Whether the body says that it is a form."""
        return self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower() == FORM

    def body(self) -> JsonObject:
        """The JSON object of the body. Raises BadRequest."""
        return read_object(self.request.body)

    async def unless_hung_up(self, work: Awaitable[T]) -> T:
        """Does the work, and gives it up when the phone closes the connection meanwhile."""
        self._work = asyncio.ensure_future(work)
        return await self._work

    def on_connection_close(self) -> None:
        """Called by Tornado when the phone has hung up before it had its answer."""
        super().on_connection_close()
        work = getattr(self, "_work", None)
        if work is not None:
            work.cancel()


def error_in(kwargs: Mapping[str, Any]) -> BaseException | None:
    """The exception that Tornado hands to `write_error`, None for a refusal of its own."""
    return (kwargs.get("exc_info") or (None, None, None))[1]


def more_about(error: BaseException | None, session_reasons: bool) -> dict[str, object]:
    """The field that is wrong, or why the session ended (SESSION_REASONS); nothing else of an exception is told."""
    more: dict[str, object] = {}
    if isinstance(error, BadRequest | InvalidProfile | ContentRefused) and error.field:
        more["field"] = error.field
    if isinstance(error, SessionGone) and error.reason and session_reasons:
        more["reason"] = error.reason
    return more


def log_failure(error: BaseException, request_id: str) -> None:
    """Logs what nobody foresaw, with the request's id and without its URL."""
    told = {"request_id": request_id}
    log.error("request %s failed", request_id, exc_info=(type(error), error, error.__traceback__), extra=told)


def log_answer(request: HTTPServerRequest, status: int, request_id: str) -> None:
    """One line per request: never the query, which may hold what somebody should not have put there."""
    level = logging.WARNING if status >= 500 else logging.DEBUG
    if not access.isEnabledFor(level):
        return
    access.log(
        level,
        "%s %s %d %.1f ms from %s, request %s",
        request.method,
        request.path,
        status,
        1000 * request.request_time(),
        request.remote_ip,
        request_id,
        extra={"request_id": request_id},
    )


def row_for(status_code: int, error: BaseException | None) -> Refusal:
    """The table's row for an exception, and for Tornado's own refusals the row of the same status."""
    if error is not None and (found := refusal(error)):
        return found
    if status_code == 404:
        return refusal(NoSuchResource()) or UNEXPECTED
    if status_code == 405:
        return refusal(WrongMethod()) or UNEXPECTED
    if 400 <= status_code < 500:
        return _BAD_REQUEST
    return UNEXPECTED


def encoded(body: dict[str, object]) -> str:
    """A body of ours as JSON, in the one way in which handlers and the door write it."""
    return _JSON.encode(body)


def sent_status(row: Refusal, api_status: str, path: str) -> int:
    """API_STATUS=wechat: PC WeChat was reported to hide a 401 from the mini program; 429 and 5xx stay for proxies.

    Only the API is meant: a browser, a load balancer or a monitor elsewhere needs the real status.
    """
    for_phones = path == "/api" or path.startswith("/api/")
    hidden = api_status == "wechat" and for_phones and 400 <= row.status < 500 and row.status != 429
    return 200 if hidden else row.status


_BAD_REQUEST = Refusal(400, 400001, "the request cannot be read", "invalid_request", "fix")


class NotFound(ApiHandler):
    """Where no route leads."""

    intake = Intake(types=())

    def prepare(self) -> None:
        """Refuses every method alike."""
        raise NoSuchResource
