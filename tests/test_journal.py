"""What the log may hold: one line for one event, of bounded size, without a token, whoever wrote it."""

import json
import subprocess
import sys

import pytest
from product import ROOT

pytestmark = pytest.mark.quick

TOKEN = "mps_Pq5xv0-yYb3Tn8Zr_kLw2Hd7CfJ1Se6MgUa9XiOoEDN"
KEY = "msk_9fH2kLq-Zx7_Wv3"
FORMATS = pytest.mark.parametrize("log_format", ["text", "json"])


def logged(log_format: str, deed: str) -> list[bytes]:
    """Let a process of its own log, and return its lines."""
    program = (
        f"import logging, journal\njournal.start({log_format!r}, 'debug')\nlog = logging.getLogger('menshen.test')\n"
    )
    done = subprocess.run([sys.executable, "-c", program + deed], cwd=ROOT, capture_output=True, timeout=60, check=True)
    assert done.stdout == b""
    return done.stderr.splitlines()


@FORMATS
@pytest.mark.parametrize(
    "deed",
    [
        f"log.info('Invalid header value %r', 'Bearer {TOKEN}\\0')",
        f"log.debug('GET /api/verify/{TOKEN}?key={KEY} 404')",
        f"logging.getLogger('tornado.general').warning('{TOKEN}')",
        f"try:\n    raise ValueError('{TOKEN} {KEY}')\nexcept ValueError:\n    log.exception('oops')",
    ],
)
def test_a_token_that_anybody_logs_is_masked(log_format: str, deed: str) -> None:
    [line] = logged(log_format, deed)
    assert b"mps_***" in line
    for secret in (TOKEN, KEY):
        assert secret[4:10].encode() not in line


@FORMATS
@pytest.mark.parametrize("text", ["门" * 9_000, "x" * 9_000, "🧧" * 9_000, "\\u202e" * 9_000, "x" + "é" * 9_000])
def test_a_line_is_at_most_4_kib_of_bytes(log_format: str, text: str) -> None:
    [line] = logged(log_format, f'log.error("%s", "{text}")')
    assert 4_000 < len(line) + 1 <= 4_096
    message = json.loads(line)["message"] if log_format == "json" else line.decode("utf-8")
    assert message.endswith("…")


@FORMATS
def test_a_text_from_outside_is_one_line(log_format: str) -> None:
    [line] = logged(log_format, r"log.error('a\nb\r\u2028c\x1b[31m\ud800')")
    assert line.isascii()
    assert b"\x1b" not in line


def test_a_json_line_names_its_request_where_it_has_one() -> None:
    one, other = logged("json", "log.info('a', extra={'request_id': 'abcdefgh'})\nlog.info('b')")
    assert json.loads(one)["request_id"] == "abcdefgh"
    assert "request_id" not in json.loads(other)


FLOOD = "for n in range(1_000):\n    log.{level}('%d', n)\n"
NEXT_MINUTE = "journal.time.monotonic = lambda now=journal.time.monotonic(): now + 61\n"


@FORMATS
@pytest.mark.parametrize("level", ["info", "warning", "error"])
def test_a_place_that_speaks_too_often_is_counted_instead(log_format: str, level: str) -> None:
    lines = logged(
        log_format, FLOOD.format(level=level) + "log.error('another place')\n" + NEXT_MINUTE + "log.info('late')"
    )
    assert len(lines) == 200 + 1 + 1 + 1
    assert b"another place" in lines[200]
    assert b"800 lines like others of the last minutes were left out" in lines[201]
    assert b"late" in lines[202]


def test_whoever_asks_for_everything_gets_everything() -> None:
    assert len(logged("text", FLOOD.format(level="debug"))) == 1_000


@FORMATS
def test_a_header_that_tornado_cannot_read_is_not_repeated(log_format: str) -> None:
    told = "logging.getLogger('tornado.general').info('Malformed HTTP message from %s: %s', '10.0.0.1', {!r})"
    for text in ("Invalid header value 'session=abc'", 'Malformed: b"Basic abc"', "bad\n'abc'\nabc"):
        [line] = logged(log_format, told.format(text))
        assert b"10.0.0.1" in line
        assert b"abc" not in line
