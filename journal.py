"""How Menshen writes its log: one event is one line, to standard error, as text or as JSON.

What came from outside is escaped, so that no input can forge a second event or colour a terminal (OWASP ASVS 16.4.1).
Tokens are masked whoever logs them, and a line is cut at 4 KiB.
"""

import json
import logging
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from itertools import accumulate, takewhile

MOST_BYTES = 4_096  # of a line, with its end: what one write to a pipe keeps together (PIPE_BUF)
MOST_A_MINUTE = 200  # lines of one place in the source, debug aside
_CUT = "…"
_COUNTS = "menshen.log"
_QUOTED = re.compile(r"(?s)\s*b?['\"].*")
# Controls, line and paragraph separators, and the marks that turn the direction of text.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]|[\ud800-\udfff]")
# Session tokens and service keys. Our own lines never name one, but Tornado quotes a header or a path that it cannot
# take, and people put tokens where no token belongs.
_TOKEN = re.compile(r"(mps_|msk_)[A-Za-z0-9_-]+")


def start(log_format: str, log_level: str) -> None:
    """Sets up the log of this process, as the settings LOG_FORMAT (`text` or `json`) and LOG_LEVEL say."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if log_format == "json" else _Text())
    handler.addFilter(_without_values)
    handler.addFilter(_Enough())
    logging.basicConfig(level=log_level.upper(), handlers=[handler], force=True)
    logging.raiseExceptions = False  # a full disk behind standard error must not end a request
    # Tornado's own access lines hold the query; asyncio's debug lines hold addresses of every connection.
    logging.getLogger("tornado.access").disabled = True
    for name in ("asyncio", "aiomysql", "aiohttp", "tornado.general"):
        logging.getLogger(name).setLevel(max(logging.INFO, logging.getLogger().level))


def escaped(text: str) -> str:
    """The text on one line, with everything that a terminal or a parser could take for more made visible."""
    return _UNSAFE.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def _without_values(record: logging.LogRecord) -> bool:
    """Tornado quotes the header it cannot read, which may be anybody's cookie: what is wrong is told without it."""
    if record.name == "tornado.general" and str(record.msg).startswith("Malformed HTTP message"):
        record.msg, record.args = _QUOTED.sub(" ***", record.getMessage(), count=1), ()
    return True


class _Enough(logging.Filter):
    """Lets a place in the source speak so often in a minute, then counts; the count is told when the minute is over.

    A flood of requests must not fill a disk (OWASP ASVS 16.4, logging). LOG_LEVEL=debug is for whoever wants it all.
    """

    def __init__(self) -> None:
        super().__init__()
        self._minute = 0
        self._said: Counter[tuple[str, int]] = Counter()
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Called by logging for each event."""
        if record.levelno < logging.INFO or record.name == _COUNTS:
            return True
        with self._lock:
            unsaid = self._turn(int(time.monotonic()) // 60)
            self._said[record.pathname, record.lineno] += 1
            speaks = self._said[record.pathname, record.lineno] <= MOST_A_MINUTE
        if unsaid:
            logging.getLogger(_COUNTS).warning("%d lines like others of the last minutes were left out", unsaid)
        return speaks

    def _turn(self, minute: int) -> int:
        if minute == self._minute:
            return 0
        unsaid = sum(max(0, times - MOST_A_MINUTE) for times in self._said.values())
        self._minute = minute
        self._said.clear()
        return unsaid


class _Text(logging.Formatter):
    """2026-11-20T12:00:00Z WARNING menshen.store: the session store is away"""

    def format(self, record: logging.LogRecord) -> str:
        line = escaped(f"{_when(record)} {record.levelname} {record.name}: {_what(record, self)}")
        return _within(MOST_BYTES - 1, line, lambda text: len(text.encode("utf-8")))


class _Json(logging.Formatter):
    """The same as one JSON object, with `request_id` where the event belongs to a request."""

    def format(self, record: logging.LogRecord) -> str:
        event = {"at": _when(record), "level": record.levelname, "logger": record.name}
        if request_id := getattr(record, "request_id", None):
            event["request_id"] = str(request_id)
        room = MOST_BYTES - 1 - len(json.dumps(event | {"message": ""}))
        return json.dumps(
            event | {"message": _within(room, _what(record, self), lambda text: len(json.dumps(text)) - 2)}
        )


def _when(record: logging.LogRecord) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"


def _what(record: logging.LogRecord, formatter: logging.Formatter) -> str:
    message = record.getMessage()
    if record.exc_info:
        message += " | " + formatter.formatException(record.exc_info).replace("\n", " | ")
    return _TOKEN.sub(r"\1***", message)


def _within(most_bytes: int, text: str, size_of: Callable[[str], int]) -> str:
    """The text, or as much of its beginning as fits with a mark of the cut. `size_of` gives bytes as they are sent."""
    if size_of(text) <= most_bytes:
        return text
    sizes = accumulate(map(size_of, text))
    kept = sum(1 for _ in takewhile(lambda size: size <= most_bytes - size_of(_CUT), sizes))
    return text[:kept] + _CUT
