"""Answers that are written down once go out in one piece, and nothing can follow them on their connection."""

import asyncio

import pytest
from tornado.httputil import HTTPOutputError, RequestStartLine, ResponseStartLine

from wire.exchange import Context, Exchange
from wire.fields import Block, Ready, Received

OK = ResponseStartLine("", 200, "OK")


class Wire:
    """A connection that keeps what is sent."""

    closed = False
    context = Context("192.0.2.1")

    def __init__(self) -> None:
        self.sent = b""
        self.aborted = False

    def send(self, data: bytes) -> "asyncio.Future[None]":
        self.sent += data
        return asyncio.get_running_loop().create_future()

    def answered(self) -> None:
        pass

    def abort(self) -> None:
        self.aborted = True


def exchange(wire: Wire, version: str = "HTTP/1.1", method: str = "GET", connection: str = "") -> Exchange:
    fields = {"Connection": [connection]} if connection else {}
    asked = RequestStartLine(method, "/", version)
    return Exchange(wire, asked, Received(fields, plain=not fields), body_seconds=10.0)


def ready(body: bytes, *, last: bool = False) -> Ready:
    return Ready(Block({"Server": "a"}), {"X-Request-Id": "b"}, len(body), last=last)


@pytest.mark.quick
@pytest.mark.gen_test
async def test_it_goes_out_in_one_piece_and_whoever_writes_more_loses_the_connection() -> None:
    wire = Wire()
    asked = exchange(wire)
    asked.write_headers(OK, ready(b"{}"), b"{}")
    assert wire.sent == b"HTTP/1.1 200 OK\r\nServer: a\r\nX-Request-Id: b\r\nContent-Length: 2\r\n\r\n{}"
    with pytest.raises(HTTPOutputError):
        asked.write(b"{}")
    assert (wire.aborted, wire.sent.count(b"{}")) == (True, 1)


@pytest.mark.quick
@pytest.mark.gen_test
async def test_a_body_of_another_length_is_no_whole_answer() -> None:
    wire = Wire()
    with pytest.raises(HTTPOutputError):
        exchange(wire).write_headers(OK, ready(b"{}"), b"{} ")
    assert (wire.aborted, wire.sent) == (True, b"")


@pytest.mark.quick
@pytest.mark.gen_test
async def test_what_concerns_the_connection_is_said() -> None:
    said = []
    for version, connection, last in (
        ("HTTP/1.1", "", False),
        ("HTTP/1.1", "", True),
        ("HTTP/1.1", "close", False),
        ("HTTP/1.0", "", False),
        ("HTTP/1.0", "keep-alive", False),
    ):
        wire = Wire()
        asked = exchange(wire, version, connection=connection)
        asked.write_headers(OK, ready(b"{}", last=last), b"{}")
        said.append((asked.hangs_up, wire.sent.partition(b"\r\nConnection: ")[2].partition(b"\r\n")[0]))
    assert said == [(False, b""), (True, b"close"), (True, b"close"), (True, b""), (False, b"Keep-Alive")]
    wire = Wire()
    exchange(wire, method="HEAD").write_headers(OK, ready(b"{}"), b"")
    assert wire.sent.endswith(b"Content-Length: 2\r\n\r\n")
