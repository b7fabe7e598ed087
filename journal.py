"""How Menshen writes its log: one event is one line, to standard error, as text or as JSON.

What came from outside is escaped, so that no input can forge a second event or colour a terminal (OWASP ASVS 16.4.1),
and a line is cut at 4 KiB.
"""

import json
import logging
import re
import sys
import time
from typing import Literal

MOST_CHARACTERS = 4_096
# Controls, line and paragraph separators, and the marks that turn the direction of text.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]|[\ud800-\udfff]")


def start(log_format: Literal["text", "json"] | str, log_level: str) -> None:
    """Sets up the log of this process."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if log_format == "json" else _Text())
    logging.basicConfig(level=log_level.upper(), handlers=[handler], force=True)
    logging.raiseExceptions = False  # a full disk behind standard error must not end a request
    # Tornado's own access lines hold the query; asyncio's debug lines hold addresses of every connection.
    logging.getLogger("tornado.access").disabled = True
    for name in ("asyncio", "aiomysql", "aiohttp", "tornado.general"):
        logging.getLogger(name).setLevel(max(logging.INFO, logging.getLogger().level))


def escaped(text: str) -> str:
    """The text on one line, with everything that a terminal or a parser could take for more made visible."""
    visible = _UNSAFE.sub(lambda match: f"\\u{ord(match.group()):04x}", text)
    return visible if len(visible) <= MOST_CHARACTERS else visible[: MOST_CHARACTERS - 1] + "…"


class _Text(logging.Formatter):
    """2026-11-20T12:00:00Z WARNING menshen.store: the session store is away"""

    def format(self, record: logging.LogRecord) -> str:
        return escaped(f"{_when(record)} {record.levelname} {record.name}: {_what(record, self)}")


class _Json(logging.Formatter):
    """The same as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        message = _what(record, self)
        event = {"at": _when(record), "level": record.levelname, "logger": record.name}
        return json.dumps(event | {"message": message[: MOST_CHARACTERS - 200]}, ensure_ascii=True)


def _when(record: logging.LogRecord) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"


def _what(record: logging.LogRecord, formatter: logging.Formatter) -> str:
    message = record.getMessage()
    if record.exc_info:
        message += " | " + formatter.formatException(record.exc_info).replace("\n", " | ")
    return message
