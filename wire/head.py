"""The head of a request: its first line by Tornado's own rule, its fields by llhttp, the parser of Node.

llhttp reads the fields behind a first line of ours. It knows only the methods that it knows, and takes doubled blanks,
other protocols and no character beyond ASCII in a first line, all of which Tornado judges better.
"""

import re
from functools import lru_cache

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from tornado.httputil import HTTPInputError, RequestStartLine, parse_request_start_line

from wire.fields import Received, known_name

_FIRST_LINE = b"GET / HTTP/1.1\r\n"
# After one of these llhttp does not simply wait for the next head, so the next one gets a parser of its own.
_TURNING = frozenset(("Content-Length", "Transfer-Encoding", "Connection", "Upgrade", "Proxy-Connection", "Expect"))
_LONGEST_KEPT = 200
# A length that 64 bits cannot hold is for the door to refuse, like any other that is too much.
_UNCOUNTABLE = re.compile(rb"(\r\ncontent-length:[ \t]*)[0-9]{19,}(?=[ \t]*\r\n)", re.IGNORECASE)
_MOST = rb"\g<1>" + b"9" * 18


class Head:
    """Reads one head after the other on a connection."""

    def __init__(self) -> None:
        self._fields: dict[str, list[str]] = {}
        self._parser: HttpRequestParser | None = None

    def read(self, head: bytes) -> tuple[RequestStartLine, Received]:
        """A head with the empty line that ends it. Raises HTTPInputError for all that is not wholly clear.

        A line feed without its carriage return is such a thing: proxies differ in what they make of it (RFC 9112, 2.2).
        """
        if head.count(b"\n") != head.count(b"\r\n"):
            raise HTTPInputError("a line ends without a carriage return")
        first, _, lines = head.partition(b"\r\n")
        start_line = _often(first) if len(first) <= _LONGEST_KEPT else _start_line(first)
        self._fields = {}
        parser, self._parser = self._parser or HttpRequestParser(self), None
        try:
            parser.feed_data(_FIRST_LINE + lines)
        except HttpParserUpgrade:
            pass  # an offer that nobody takes up
        except HttpParserError as error:
            if "overflow" in str(error) and (countable := _UNCOUNTABLE.sub(_MOST, head)) != head:
                return self.read(countable)
            raise HTTPInputError(str(error)) from None
        plain = _TURNING.isdisjoint(self._fields)
        if plain:
            self._parser = parser
        return start_line, Received(self._fields, plain=plain)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by llhttp for each field."""
        known = _known(name)
        if known in self._fields:
            self._fields[known].append(_text(value))
        else:
            self._fields[known] = [_text(value)]


def _text(value: bytes) -> str:
    # llhttp leaves the blanks that stand after a value.
    return value.decode("latin-1").rstrip(" \t")


@lru_cache(1000)
def _known(name: bytes) -> str:
    return known_name(name.decode("latin-1"))


def _start_line(line: bytes) -> RequestStartLine:
    return parse_request_start_line(line.decode("latin-1"))


_often = lru_cache(1000)(_start_line)
