"""What every handler is made of: the envelope of the JSON API, its headers, and how an exception becomes an answer."""

import asyncio
import json
import logging
import re
import secrets
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from tornado.httputil import HTTPServerRequest
from tornado.web import HTTPError, RequestHandler

from actions import Backend, InvalidProfile
from handlers.body import JsonObject, read_object
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
T = TypeVar("T")

_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,64}", re.ASCII)

API_HEADERS = {
    "Content-Type": "application/json; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


@dataclass(frozen=True)
class Intake:
    """What a path takes as a body; the door judges it before the body is read."""

    most_bytes: int = 16 * 1024
    types: tuple[str, ...] = ("application/json",)  # none named: any will do, the body is not read
    type_may_be_missing: bool = False


@dataclass
class Traffic:
    """What is under way in this process, and whether it is about to end."""

    draining: bool = False
    under_way: int = 0
    quiet: asyncio.Event = field(default_factory=asyncio.Event)

    def begin(self) -> None:
        """A request reached its handler."""
        self.under_way += 1
        self.quiet.clear()

    def end(self) -> None:
        """Its answer is out."""
        self.under_way -= 1
        if not self.under_way:
            self.quiet.set()


def request_id_of(request: HTTPServerRequest) -> str:
    """The id that a proxy gave the request, if it is one that cannot forge a log line; a new one otherwise."""
    given = request.headers.get("X-Request-Id", "")
    return given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


class Handler(RequestHandler):
    """The root of all handlers."""

    intake: ClassVar[Intake] = Intake()
    backend: Backend
    request_id: str
    hung_up = False

    def initialize(self, backend: Backend, traffic: Traffic) -> None:
        """Called by Tornado for each request, with what server.py put into the routes."""
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

    def compute_etag(self) -> str | None:
        """No Etag: most answers hold something that must not be stored."""
        return None

    def on_finish(self) -> None:
        """Called by Tornado when the answer is out."""
        self.traffic.end()

    def on_connection_close(self) -> None:
        """Called by Tornado when the client has hung up before it had its answer."""
        self.hung_up = True

    def log_exception(self, typ: Any, value: BaseException | None, tb: Any) -> None:
        """Logs what nobody foresaw, with the request's id and without its URL; refusals are no news."""
        if value is None or isinstance(value, HTTPError | asyncio.CancelledError) or refusal(value):
            return
        told = {"request_id": self.request_id}
        log.error("request %s failed", self.request_id, exc_info=(type(value), value, tb), extra=told)

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
        for name, value in API_HEADERS.items():
            self.set_header(name, value)

    def answer(self, **fields: object) -> None:
        """Success, in WeChat's own form: errcode 0 and errmsg ok."""
        self._send({"errcode": 0, "errmsg": "ok", **fields, "request_id": self.request_id})

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Called by Tornado with the exception that ended a handler."""
        error = (kwargs.get("exc_info") or (None, None, None))[1]
        row = row_for(status_code, error)
        for name, value in headers(row).items():
            self.set_header(name, value)
        if row.status == 405:
            self.set_header("Allow", self.allowed())
        self.set_status(sent_status(row, self.backend.settings.api_status, self.request.path))
        self._send(envelope(row, self.request_id, **self._more(error)))

    def _send(self, body: dict[str, object]) -> None:
        self.finish(encoded(body))

    def _more(self, error: BaseException | None) -> dict[str, object]:
        """The field that is wrong, or why the session ended; nothing else of an exception is told."""
        more: dict[str, object] = {}
        if isinstance(error, BadRequest | InvalidProfile) and error.field:
            more["field"] = error.field
        if isinstance(error, SessionGone) and error.reason and self.backend.settings.session_reasons:
            more["reason"] = error.reason
        return more

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
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))


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
