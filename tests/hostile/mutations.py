"""Requests that were good and had an accident: the same accidents for the same seed, thrown at a running server."""

import asyncio
import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from phone import Door

SEED = 20_261_121
AT_ONCE = 48
PATIENCE_SECONDS = 0.25  # for what waits for the rest of a request that never comes
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")

# What has broken parsers before.
POISON = [
    *(bytes([each]) for each in (0, 9, 10, 11, 13, 32, 34, 37, 39, 44, 47, 58, 59, 61, 64, 92, 127, 128, 255)),
    *(b"%00", b"%0d%0a", b"%ff", b"%", b"%zz", b"%u0041", b"..%2f", b"/../", b"//", b"\\..\\", b"%2e%2e/", b";x=1"),
    *(b"\r\n", b"\r", b"\n", b"\r\n\r\n", b"\r\n ", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf0\x9f\xa7\xa7", b"\xef\xbb\xbf"),
    *(b"{", b"}", b"[" * 500, b'{"a":' * 200, b"NaN", b"1e999", b"9" * 5000, b'"\\ud800"', b"null", b"true", b'"'),
    *(b"' OR 1=1 --", b"*", b"_", b"sess:*", b"${7*7}", b"{{7*7}}", b"<script>", b"=1+1", b"\x1b[31m", b"A" * 9000),
    *(b"Transfer-Encoding: chunked\r\n", b"Content-Length: 0\r\n", b"Content-Length: -1\r\n"),
    *(b"Expect: 100-continue\r\n", b"Accept-Language: ;q=x\r\n"),
    *(b"Host: evil.example\r\n", b"Origin: http://[\r\n", b"Content-Encoding: gzip\r\n", b"Range: bytes=0-1,5-\r\n"),
    *(b"Cookie: a=b; a=c; =; ;;\r\n", b"If-None-Match: \"\r\n", b"If-Modified-Since: x\r\n"),
    *(b"X-Forwarded-For: 1.2.3.4, ::1%eth0, unknown\r\n", b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n"),
]  # fmt: skip

_GETS = [
    *("/", "/healthz", "/readyz", "/api/verify", "/api/me", "/api/me/sessions", "/api/me/export", "/auth", "/nothing"),
    *("/static/admin.css", "/static/../settings.py", "/avatars/" + "a" * 32, "/openapi.json", "/api/decrypt"),
    *("/admin", "/admin/", "/admin/signin?next=/admin/users", "/admin/setup?link=abc", "/admin/me", "/admin/settings"),
    *("/admin/sessions?q=mei&order=created&limit=50&after=AAAA", "/admin/sessions?ip=10.0.0.0/8&from=2026-01-01"),
    *("/admin/users?state=blocked&q=o1", "/admin/users/1", "/admin/logins?result=40029&at=zz", "/admin/audit?deed=x"),
    *("/admin/sessions/" + "ab" * 32, "/admin/operators", "/admin/keys", "/admin/events", "/admin/deliveries"),
]
_POSTS = [
    ("/api/login", "application/json", b'{"code":"0a1b2c3d4e5f60718293a4b5c6d7e8f9","appid":"wx0000000000000001"}'),
    ("/api/login", "application/json", b'{"code":"x","nickname":"\xe6\xa2\x85","list":[1,2,{"a":null}],"n":-1.5e3}'),
    ("/api/verify", "application/json", b'{"token":"mps_0123456789012345678901234567890123456789012"}'),
    ("/api/logout", "application/json", b"{}"),
    ("/api/decrypt", "application/json", b'{"encryptedData":"AAAAAAAAAAAAAAAAAAAAAA==","iv":"AAAAAAAA"}'),
    ("/partner/introspect", "application/x-www-form-urlencoded", b"token=mps_abc&token_type_hint=access_token"),
    ("/wechat/push/wx0000000000000001?signature=a&nonce=2", "text/xml", b"<xml><Encrypt>AA</Encrypt></xml>"),
    ("/admin/signin", "application/x-www-form-urlencoded", b"name=mei&password=secret&form=abcdef&next=%2Fadmin%2F"),
    ("/admin/setup", "application/x-www-form-urlencoded", b"link=abc&password=one&again=two"),
    ("/admin/sessions/revoke", "application/x-www-form-urlencoded", b"id=ab&id=cd&reason=theft&form=00"),
    ("/admin/users/1/block", "application/x-www-form-urlencoded", b"reason=x&until=2026-11-21T10%3A00&form=00"),
    ("/admin/me/tastes", "application/x-www-form-urlencoded", b"language=zh_CN&timezone=Asia%2FShanghai&form=00"),
]  # fmt: skip


@dataclass
class Report:
    """What came back: how often which status, and the requests that ended in a 5xx."""

    statuses: Counter[int] = field(default_factory=Counter)
    silent: int = 0
    failures: list[bytes] = field(default_factory=list)


def good_requests(host: str, token: str, cookies: Mapping[str, str]) -> list[bytes]:
    """Requests of a phone that is in, and of an operator who is."""
    phone = f"Authorization: Bearer {token}\r\nUser-Agent: MicroMessenger/8.0.50\r\nX-Request-Id: 0123456789abcdef\r\n"
    cookie = "Cookie: " + "; ".join(f"{name}={value}" for name, value in cookies.items()) + "\r\n" if cookies else ""
    operator = f"{cookie}Accept-Language: zh-CN,en;q=0.5\r\nOrigin: http://{host}\r\n"

    def made(method: str, target: str, body: bytes = b"", kind: str = "") -> bytes:
        who = operator if "/admin" in target else phone
        head = f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{'' if target == '/api/logout' else who}"
        if kind:
            head += f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        return f"{head}Connection: close\r\n\r\n".encode() + body

    return [
        *(made("GET", target) for target in _GETS),
        *(made("POST", target, body, kind) for target, kind, body in _POSTS),
        made("HEAD", "/api/verify"),
        made("OPTIONS", "/api/login"),
        made("PUT", "/api/me", b'{"nickname":"mei"}', "application/json"),
        made("DELETE", "/api/nothing"),
    ]


def mutations(good: list[bytes], number: int, seed: int = SEED) -> Iterator[bytes]:
    """Yield as many broken requests as asked for; most have one accident, some up to four."""
    dice = random.Random(seed)  # noqa: S311  # the same accidents each time is the point
    for n in range(number):
        broken = bytearray(good[n % len(good)])
        for _ in range(dice.choice((1, 1, 1, 2, 2, 4))):
            dice.choice(_ACCIDENTS)(broken, dice)
        yield bytes(broken)


def _flip(text: bytearray, dice: random.Random) -> None:
    if text:
        text[dice.randrange(len(text))] ^= 1 << dice.randrange(8)


def _insert(text: bytearray, dice: random.Random) -> None:
    at = dice.randrange(len(text) + 1)
    text[at:at] = dice.choice(POISON)


def _line(text: bytearray, dice: random.Random) -> None:
    """Put poison where a header begins, so that it is read as one."""
    begins = [found.end() for found in re.finditer(rb"\r\n(?=[A-Za-z])", text)]
    at = dice.choice(begins) if begins else 0
    text[at:at] = dice.choice(POISON)


def _cut(text: bytearray, dice: random.Random) -> None:
    start = dice.randrange(len(text) + 1)
    del text[start : start + dice.randrange(1, 40)]


def _repeat(text: bytearray, dice: random.Random) -> None:
    start = dice.randrange(len(text) + 1)
    piece = bytes(text[start : start + dice.randrange(1, 60)])
    text[start:start] = piece * dice.choice((1, 2, 30))


def _swap(text: bytearray, dice: random.Random) -> None:
    words = re.split(rb"([ :/?&=;,\"]+)", bytes(text))
    one, other = dice.randrange(len(words)), dice.randrange(len(words))
    words[one], words[other] = words[other], words[one]
    text[:] = b"".join(words)


_ACCIDENTS = [_flip, _insert, _insert, _line, _cut, _repeat, _swap]


async def throw(door: Door, broken: Iterator[bytes], *, at_once: int = AT_ONCE) -> Report:
    """Send each on a connection of its own, so many at once, and count what comes back."""
    report = Report()
    port = urlsplit(door.base).port
    assert port is not None

    async def thrower() -> None:
        for request in broken:
            answered = await _asked(port, request)
            found = [int(status) for status in _STATUS.findall(answered)]
            report.statuses.update(found)
            report.silent += not found
            if any(status >= 500 for status in found):
                report.failures.append(request)

    await asyncio.gather(*(thrower() for _ in range(at_once)))
    return report


async def _asked(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    heard = bytearray()
    try:
        writer.write(request)
        async with asyncio.timeout(PATIENCE_SECONDS) as patience:
            while piece := await reader.read(65_536):
                heard += piece
                patience.reschedule(asyncio.get_running_loop().time() + PATIENCE_SECONDS)
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.transport.abort()
    return bytes(heard)


def resident_bytes(pid: int) -> int:
    """Return how much memory a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
