"""The chunks of a body whose length nobody told before (RFC 9112, 7.1), read as strictly as Tornado reads them.

No extension and no trailer: nobody who asks us sends them, and parsers differ about them.
"""

import re

from tornado.httputil import HTTPInputError

_SIZE = re.compile(rb"[0-9a-fA-F]{1,15}")
_LONGEST_SIZE_LINE = 64


class Chunks:
    """Takes the bytes of the chunks from a buffer as they come."""

    def __init__(self) -> None:
        self._left = 0  # of the chunk at hand
        self._in_chunk = False
        self._last = False
        self.done = False

    def take(self, buffer: bytearray, most: int) -> bytes:
        """At most so much of the body as the buffer holds; what was read is gone from it. Raises HTTPInputError."""
        taken = bytearray()
        while len(taken) < most and not self.done:
            if self._left:
                part = buffer[: min(self._left, most - len(taken))]
                if not part:
                    break
                del buffer[: len(part)]
                taken += part
                self._left -= len(part)
            elif not self._line(buffer):
                break
        return bytes(taken)

    def _line(self, buffer: bytearray) -> bool:
        """Reads the line between two chunks; False when it is not here yet."""
        if self._in_chunk or self._last:
            if len(buffer) < 2:
                return False
            if buffer[:2] != b"\r\n":
                raise HTTPInputError("a chunk does not end where it should")
            del buffer[:2]
            self._in_chunk, self.done = False, self._last
            return True
        end = buffer.find(b"\r\n", 0, _LONGEST_SIZE_LINE)
        if end < 0:
            if len(buffer) >= _LONGEST_SIZE_LINE:
                raise HTTPInputError("a chunk's size is too long")
            return False
        size = bytes(buffer[:end])
        if not _SIZE.fullmatch(size):
            raise HTTPInputError("a chunk's size is no number")
        del buffer[: end + 2]
        self._left = int(size, 16)
        self._in_chunk, self._last = self._left > 0, self._left == 0
        return True
