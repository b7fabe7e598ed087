"""What other programs send is read, or refused in the parser's own words, and never a failure of ours."""

import io
import json
import string
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any
from xml.sax.saxutils import escape
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as some
from parsers import PARSERS, UNLIMITED
from phone import Phone
from product import APPID, Product
from rawsocket import exchange, request
from shell import settings_of
from tornado.ioloop import IOLoop
from verdicts import succeeded

import process
from actions import Actor, Backend
from actions.imports import NotAList, import_users
from actions.wafer import token_behind
from handlers.multipart import one_file
from handlers.refusals import BadRequest
from hostile.mutations import POISON
from stores.sessions import session_id
from stores.sessions.packed import HANDLE_BYTES, NotOurs, Packer, Stash
from wechat.push import MOST_FIELDS, MOST_NAME, MOST_TEXT, Unreadable, read_message

often = settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
texts = some.text(max_size=40)
poison = some.sampled_from(POISON)
names = some.text(string.ascii_letters, min_size=1, max_size=12)
UTC = ZoneInfo("UTC")


@some.composite
def broken(draw: Callable[..., Any], good: some.SearchStrategy[bytes]) -> bytes:
    """Something good, now and then with an accident in it."""
    body: bytes = draw(good)
    if draw(some.booleans()):
        at = draw(some.integers(0, len(body)))
        body = body[:at] + draw(poison | some.binary(max_size=6)) + body[at + draw(some.integers(0, 3)) :]
    return body


def in_xml(message: dict[str, str]) -> bytes:
    inside = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in message.items())
    return f"<xml>{inside}</xml>".encode("utf-8", "surrogatepass")


values = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | texts,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@often
@given(
    body=some.binary(max_size=200)
    | broken(some.dictionaries(texts, values, max_size=5).map(lambda each: json.dumps(each).encode()))
    | broken(some.dictionaries(names, texts, max_size=5).map(in_xml))
)
@example(body=b"<xml><![CDATA[")
@example(body=b"<xml><a>\x00</a></xml>")
@example(body='{"a":"\u2028"}'.encode())
def test_a_message_of_wechat_is_read_within_bounds_or_refused(body: bytes) -> None:
    try:
        found = read_message(body)
    except Unreadable:
        return
    assert len(found) <= MOST_FIELDS
    assert all(0 < len(name) <= MOST_NAME and len(text) <= MOST_TEXT for name, text in found.items())
    json.dumps(found, ensure_ascii=False).encode("utf-8")


TYPE = "multipart/form-data; boundary=xYz"
HEAD = b'--xYz\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'


@often
@given(content=some.binary(max_size=300))
@example(content=b"--xY\r\n--")
@example(content=b"\r\n\r\n")
def test_a_picture_comes_out_of_its_upload_as_it_went_in(content: bytes) -> None:
    assert one_file(TYPE, HEAD + content.replace(b"--xYz", b"") + b"\r\n--xYz--\r\n") == content.replace(b"--xYz", b"")


@often
@given(body=some.binary(max_size=200) | broken(some.binary(max_size=60).map(lambda each: HEAD + each + b"\r\n--xYz--")))
@example(body=HEAD * 9 + b"\r\n--xYz--")
def test_a_broken_upload_is_refused_or_gives_a_piece_of_itself(body: bytes) -> None:
    try:
        found = one_file(TYPE, body)
    except BadRequest:
        return
    assert found in body


@often
@given(
    kind=some.text(max_size=80)
    | some.text("boundary=; \"'x/multipart-", max_size=60).map("multipart/form-data;".__add__)
)
def test_any_content_type_of_an_upload_is_read_or_refused(kind: str) -> None:
    try:
        one_file(kind, HEAD + b"x\r\n--xYz--")
    except BadRequest:
        return


@often
@given(garbage=some.binary(max_size=120) | broken(some.just(Stash("mei", 1, 2, 3, b"v" * 80).packed())))
def test_what_redis_holds_is_a_session_of_ours_or_nothing(garbage: bytes) -> None:
    stash = Stash.unpacked(garbage)
    for value in (garbage, stash.value if stash else b""):
        with pytest.raises(NotOurs):
            Packer(b"k" * 32).unpack(b"h" * HANDLE_BYTES, value, stash.expires_at if stash else None)


@often
@given(skey=texts, wire=texts)
@example(skey="mps_" + "A" * 43, wire="")
@example(skey="0" * 40, wire=":")
def test_a_pair_of_wafer_is_a_token_of_nobody_unless_it_has_a_known_form(skey: str, wire: str) -> None:
    token = token_behind(skey, wire)
    assert token == token_behind(skey, wire)
    known = session_id(skey) is not None or (32 <= len(skey) <= 100 and skey.isascii())
    assert session_id(token) is None or known


@pytest.fixture
def stores(make_server: Callable[..., Product], io_loop: IOLoop) -> Iterator[Backend]:
    """The stores of a server that has made them and is gone."""
    server = make_server()
    server.stop()
    held = AsyncExitStack()
    yield io_loop.run_sync(lambda: held.enter_async_context(process.opened(settings_of(server))))
    io_loop.run_sync(held.aclose)


HEADER = "id,openid,unionid,create_time,nickname,phone\n"
cells = texts | some.sampled_from(
    ["1", "4503599627370497", "oMei", "0000-00-00 00:00:00", "=1+1", '"', '""', "\r", "\x00"]
)
rows = some.lists(some.lists(cells, min_size=5, max_size=7).map(",".join), max_size=6).map("\n".join)


@often
@given(text=rows.map(HEADER.__add__) | texts | some.text(HEADER, max_size=80))
@example(text=HEADER + "1,o,,9999-12-31 23:59:59,," + "n" * 200_000)
@example(text=HEADER + "١,o,,,,\n" + "9" * 5_000 + ",o,,,,")
def test_each_line_of_a_list_of_people_is_taken_or_named(stores: Backend, io_loop: IOLoop, text: str) -> None:
    lines = list(io.StringIO(text, newline=""))
    try:
        report = io_loop.run_sync(lambda: import_users(stores, Actor("shell:test"), lines, APPID, UTC, dry=True))
    except NotAList:
        return
    assert report.added + report.there + len(report.refused) <= len(lines)
    assert all(where.startswith("line ") and why for where, why in report.refused)


@pytest.mark.gen_test
@pytest.mark.parametrize("parser", PARSERS)
async def test_whatever_stands_in_the_headers_of_wafer_nobody_is_let_in_and_nothing_fails(
    make_server: Callable[..., Product], phones: Callable[..., list[Phone]], parser: str
) -> None:
    server = make_server(COMPAT="wafer1,wafer2", PARSER=parser, **UNLIMITED)
    [mei] = phones(1, at=server)
    succeeded(await mei.login())
    fit = [each for each in POISON if each.strip() and len(each) < 2_000 and not set(each) & set(b"\r\n\x00")]
    for value in (each.decode("latin-1") for each in fit):
        for path, *headers in (
            ("/login", f"X-WX-Code: {value}"),
            ("/weapp/login", f"X-WX-Code: {value}", f"X-WX-Encrypted-Data: {value}", f"X-WX-IV: {value}"),
            ("/user", f"X-WX-Id: {value}", f"X-WX-Skey: {value}"),
            ("/weapp/user", f"X-WX-Skey: {value}"),
            ("/weapp/user", f"X-WX-Skey: {mei.token}", f"X-WX-Skey: {value}"),
        ):
            answer = await exchange(server, request("GET", path, *headers))
            assert answer.status < 500, (path, value, answer.status)
            assert b'"code":0' not in answer.body, (path, value)
    succeeded(await mei.verify())
