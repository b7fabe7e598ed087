"""Whatever bytes come back in WeChat's name: a person, or a trouble that names who has to act; never anything else."""

import asyncio
import gzip
import json
import resource
import time

import pytest
from odd_servers import (
    GOOD,
    Answer,
    asking,
    cut,
    drip,
    endless,
    http,
    in_seconds,
    odd_server,
    on_a_loop,
    raw,
    reset,
    silence,
    wechat,
)

from wechat.answers import Identity
from wechat.errors import (
    CodeRefused,
    CodeUsed,
    UserHighRisk,
    WeChatBusy,
    WeChatMisconfigured,
    WeChatSilent,
    WeChatTrouble,
    WeChatUnusable,
)

pytestmark = pytest.mark.quick

RID = "668f2aa4-51c08c03-3d141241"


async def outcome(answer: Answer, seconds: float = 3.0, asked: int = 1) -> Identity | WeChatTrouble:
    """What one login comes to at a server that answers so, and that must have been asked so often."""
    async with odd_server(answer) as server, asking(server.base) as client:
        try:
            return await client.identify("wx1", "0code", address="192.0.2.1", deadline=in_seconds(seconds))
        except WeChatTrouble as trouble:
            return trouble
        finally:
            assert len(server.requests) == asked


def without(*names: str) -> dict[str, object]:
    return {name: value for name, value in GOOD.items() if name not in names}


GOOD_ANSWERS = {
    "the usual answer": wechat(**GOOD),
    "errcode 0 beside it": wechat(**GOOD, errcode=0, errmsg="ok"),
    "errcode 0 quoted": wechat(**GOOD, errcode="0"),
    "a null unionid": wechat(**GOOD, unionid=None),
    "fields of tomorrow": wechat(**GOOD, expires_in=7200, tomorrow={"a": [1]}),
    "escaped slashes": http(json.dumps(GOOD).replace("/", "\\/").encode()),
    "application/json": http(json.dumps(GOOD).encode(), "200 OK", "X-More: 1"),
    "a control character in errmsg": http(json.dumps(GOOD).encode()[:-1] + b', "errmsg": "o\x01k"}'),
    "until the end of the connection": raw(b"HTTP/1.1 200 OK\r\n\r\n" + json.dumps(GOOD).encode(), close=True),
    "in chunks": raw(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"".join(b"1\r\n%c\r\n" % byte for byte in json.dumps(GOOD).encode())
        + b"0\r\n\r\n"
    ),
    "behind an interim answer": raw(
        b"HTTP/1.1 103 Early Hints\r\nContent-Encoding: br\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(json.dumps(GOOD)), json.dumps(GOOD).encode())
    ),
    "with a field behind the body": raw(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"%x\r\n%b\r\n0\r\nContent-Encoding: br\r\n\r\n" % (len(json.dumps(GOOD)), json.dumps(GOOD).encode())
    ),
}


@pytest.mark.parametrize("answer", GOOD_ANSWERS.values(), ids=GOOD_ANSWERS)
@on_a_loop
async def test_wechats_answer_is_read_tolerantly(answer: Answer) -> None:
    person = await outcome(answer)
    assert isinstance(person, Identity), person
    assert (person.openid, person.unionid) == (GOOD["openid"], None)
    assert person.session_key.reveal().hex() == "1181e23b0e6feed3f81d2bf17a02a39b"


@on_a_loop
async def test_a_unionid_is_kept() -> None:
    person = await outcome(wechat(**GOOD, unionid="ocMvos6NjeKLIBqg5Mr9QjxrP1FA"))
    assert isinstance(person, Identity)
    assert person.unionid == "ocMvos6NjeKLIBqg5Mr9QjxrP1FA"


@pytest.mark.parametrize(
    ("errcode", "kind"),
    [(40029, CodeRefused), (41008, CodeRefused), (40163, CodeUsed), (40226, UserHighRisk), ("40029", CodeRefused)],
)
@on_a_loop
async def test_a_number_about_the_code_goes_to_the_phone(errcode: object, kind: type[WeChatTrouble]) -> None:
    trouble = await outcome(wechat(errcode=errcode, errmsg=f"invalid code, rid: {RID}"))
    assert isinstance(trouble, kind)
    assert (trouble.errcode, trouble.rid, trouble.code_spent) == (int(str(errcode)), RID, True)


@pytest.mark.parametrize("errcode", [45009, 45011])
@on_a_loop
async def test_a_quota_leaves_the_code_unspent_and_asks_for_a_minute(errcode: int) -> None:
    trouble = await outcome(wechat(errcode=errcode, errmsg="reach limit"))
    assert isinstance(trouble, WeChatBusy)
    assert (trouble.errcode, trouble.retry_after_seconds, trouble.code_spent) == (errcode, 60, False)


ABOUT_US = "40001 40002 40013 40125 40164 40243 41002 41004 43002 43003 48001 50002 50004 50007 89503 89506 89507"


@pytest.mark.parametrize("errcode", [int(number) for number in ABOUT_US.split()])
@on_a_loop
async def test_a_number_about_us_goes_to_the_operator(errcode: int) -> None:
    trouble = await outcome(wechat(errcode=errcode, errmsg=f"invalid appsecret rid: {RID}"))
    assert isinstance(trouble, WeChatMisconfigured)
    assert (trouble.errcode, trouble.rid) == (errcode, RID)


NAMED = {
    "invalid ip 116.25.45.231 ipv6 ::ffff:116.25.45.231, not in whitelist rid: x": "116.25.45.231",
    "invalid ip 116.25.45.231, not in whitelist": "116.25.45.231",
    "invalid ip 240e:3a1::7 ipv6 240e:3a1::7, not in whitelist": "240e:3a1::7",
    "invalid ip ::ffff:1.2.3.4 , not in whitelist": "1.2.3.4",
    "invalid ip 1.2.3.4": "1.2.3.4",
    "invalid ip 1.2.3.4.5, not in whitelist": None,
    "invalid ip 1.2.3.400, not in whitelist": None,
    "invalid ip 1.2.3.4<script>": None,
    "invalid ip 1.2.3.4/8, not": None,
    "invalid ip １.2.3.4, not": None,
    "invalid ip fe80::1%eth0, not": None,
    "your secret is invalid ip 1.2.3.4, not": None,
    "invalid ip , not in whitelist": None,
    "invalid ip " + "1" * 60_000: None,
}


@pytest.mark.parametrize("errmsg", NAMED, ids=lambda errmsg: errmsg[:40])
@on_a_loop
async def test_of_a_refused_address_the_address_alone_is_kept(errmsg: str) -> None:
    trouble = await outcome(wechat(errcode=40164, errmsg=errmsg))
    assert isinstance(trouble, WeChatMisconfigured)
    assert trouble.egress == NAMED[errmsg]
    assert "1.2.3.4" not in str(trouble)
    other = await outcome(wechat(errcode=40125, errmsg=errmsg))
    assert isinstance(other, WeChatMisconfigured)
    assert other.egress is None


@pytest.mark.parametrize("errmsg", [None, 17, ["invalid ip 1.2.3.4"], {}])
@on_a_loop
async def test_an_errmsg_that_is_no_text_names_no_address(errmsg: object) -> None:
    trouble = await outcome(wechat(errcode=40164, errmsg=errmsg))
    assert isinstance(trouble, WeChatMisconfigured)
    assert trouble.egress is None


UNUSABLE = {
    "an unknown number": wechat(errcode=99999, errmsg="what"),
    "errcode null": wechat(**GOOD, errcode=None),
    "errcode true": wechat(**GOOD, errcode=True),
    "errcode a fraction": wechat(**GOOD, errcode=40029.0),
    "errcode a word": wechat(**GOOD, errcode="ok"),
    "errcode full-width digits": wechat(**GOOD, errcode="４００２９"),
    "errcode endless digits": http(b'{"errcode":' + b"9" * 5000 + b"}"),
    "nothing in it": wechat(),
    "only errcode 0": wechat(errcode=0, errmsg="ok"),
    "no openid": wechat(**without("openid")),
    "openid null": wechat(**GOOD | {"openid": None}),
    "openid a number": wechat(**GOOD | {"openid": 17}),
    "openid empty": wechat(**GOOD | {"openid": ""}),
    "openid of 65 characters": wechat(**GOOD | {"openid": "o" * 65}),
    "openid with NUL": wechat(**GOOD | {"openid": "oab\x00c"}),
    "openid with a line end": wechat(**GOOD | {"openid": str(GOOD["openid"]) + "\n"}),
    "openid with an emoji": wechat(**GOOD | {"openid": "o😀"}),
    "openid with a tag": wechat(**GOOD | {"openid": "<script>"}),
    "openid a lone surrogate": http(json.dumps(GOOD | {"openid": "\ud800"}).encode()),
    "unionid an object": wechat(**GOOD, unionid={}),
    "unionid empty": wechat(**GOOD, unionid=""),
    "unionid false": wechat(**GOOD, unionid=False),
    "no session_key": wechat(**without("session_key")),
    "session_key a list": wechat(**GOOD | {"session_key": [1]}),
    "session_key not base64": wechat(**GOOD | {"session_key": "EYHiOw5v7tP4HSvxegKj!!=="}),
    "session_key not ASCII": wechat(**GOOD | {"session_key": "密钥密钥"}),
    "session_key with a space in it": wechat(**GOOD | {"session_key": "EYHiOw5v7tP4 HSvxegKjmw=="}),
    "session_key of 15 bytes": wechat(**GOOD | {"session_key": "EYHiOw5v7tP4HSvxegKj"}),
    "session_key of 32 bytes": wechat(**GOOD | {"session_key": "A" * 43 + "="}),
    "HTML": http(b"<html>sorry</html>"),
    "an empty body": http(b""),
    "half a JSON": http(json.dumps(GOOD).encode()[:-9]),
    "two JSONs": http(json.dumps(GOOD).encode() * 2),
    "NaN": http(json.dumps(GOOD | {"expires_in": float("nan")}).encode()),
    "bad UTF-8": http(b'{"errmsg": "\xff", ' + json.dumps(GOOD).encode()[1:]),
    "a byte order mark": http(b"\xef\xbb\xbf" + json.dumps(GOOD).encode()),
    "UTF-16": http(json.dumps(GOOD).encode("utf-16")),
    "a list": http(json.dumps([GOOD]).encode()),
    "null": http(b"null"),
    "a string": http(b'"ok"'),
    "60,000 brackets": http(b"[" * 60_000),
    "a body of 70,000 bytes": http(json.dumps(GOOD | {"errmsg": "x" * 70_000}).encode()),
    "gzip nobody asked for": http(gzip.compress(json.dumps(GOOD).encode()), "200 OK", "Content-Encoding: gzip"),
    "a gzip bomb": http(gzip.compress(bytes(50_000_000)), "200 OK", "Content-Encoding: gzip"),
    "an unknown coding": http(json.dumps(GOOD).encode(), "200 OK", "Content-Encoding: x-odd"),
    "a redirect": http(b"", "302 Found", "Location: http://127.0.0.1:1/second"),
    "a permanent redirect": http(b"", "308 Permanent Redirect", "Location: /sns/jscode2session"),
    "204": raw(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "403": http(json.dumps(GOOD).encode(), "403 Forbidden"),
    "404": http(b"<html>", "404 Not Found"),
    "500": http(json.dumps(GOOD).encode(), "500 Internal Server Error"),
    "502": http(b"<html>", "502 Bad Gateway"),
    "503": http(b"<html>", "503 Service Unavailable", "Retry-After: 9"),
    "not HTTP": raw(b"SSH-2.0-OpenSSH_9\r\n", close=True),
    "a header of 9,000 bytes": http(json.dumps(GOOD).encode(), "200 OK", "X-Long: " + "x" * 9000),
    "200 headers": http(json.dumps(GOOD).encode(), "200 OK", *[f"X-{n}: 1" for n in range(200)]),
    "two lengths": http(json.dumps(GOOD).encode(), "200 OK", "Content-Length: 5"),
    "a cut body": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{", close=True),
    "a cut head": raw(b"HTTP/1.1 200 OK\r\nContent-Le", close=True),
    "a cut before the first byte": cut,
    "a reset": reset,
}


@pytest.mark.parametrize("answer", UNUSABLE.values(), ids=UNUSABLE)
@on_a_loop
async def test_an_unusable_answer_makes_nobody_a_person_and_is_not_asked_for_twice(answer: Answer) -> None:
    trouble = await outcome(answer)
    assert isinstance(trouble, WeChatUnusable), trouble
    assert trouble.code_spent


@on_a_loop
async def test_300_megabytes_are_not_read() -> None:
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    trouble = await outcome(endless)
    assert isinstance(trouble, WeChatUnusable)
    assert time.monotonic() - started < 3
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000  # KiB; the server's own share included


SILENT = {
    "nothing": silence,
    "half a head": raw(b"HTTP/1.1 200 OK\r\nConte"),
    "a head and no body": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n"),
    "a byte now and then": drip,
    "one 103 and no more": raw(b"HTTP/1.1 103 Early Hints\r\n\r\n"),
}


@pytest.mark.parametrize("answer", SILENT.values(), ids=SILENT)
@on_a_loop
async def test_silence_ends_at_the_deadline_and_the_code_may_be_spent(answer: Answer) -> None:
    started = asyncio.get_running_loop().time()
    trouble = await outcome(answer, seconds=0.4)
    assert isinstance(trouble, WeChatSilent)
    assert trouble.code_spent
    assert asyncio.get_running_loop().time() - started < 3 * 0.4


@on_a_loop
async def test_a_busy_wechat_is_asked_twice_and_then_left_alone() -> None:
    trouble = await outcome(wechat(errcode=-1, errmsg=f"system error, rid: {RID}"), asked=2)
    assert isinstance(trouble, WeChatBusy)
    assert (trouble.errcode, trouble.retry_after_seconds, trouble.code_spent) == (-1, 1, True)
