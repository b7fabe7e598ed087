"""Pictures from strangers: only what a decoder has read and written anew is kept, small, without anything beside it.

Whatever a file calls itself, its first bytes decide; what the picture says of where and with what it was taken is lost
on purpose.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor

FORMATS = ("PNG", "JPEG", "WEBP")
KIND = "image/jpeg"
MOST_PIXELS = 16_000_000  # at four bytes each what one thread may hold; a phone's own pictures are below it
SIDE = 512
_MOST_WAITING = 16
MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF")


class NoPicture(Exception):
    """The bytes are no PNG, JPEG or WebP that can be read."""


class PictureTooLarge(Exception):
    """A small file that would unfold to more than MOST_PIXELS."""


class TooManyPictures(Exception):
    """More pictures wait than this process takes on."""

    retry_after_seconds = 5


class Pictures:
    """Makes pictures small, one at a time, in a thread, so that no phone's verify waits for somebody's face."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="picture")
        self._waiting = 0

    async def small(self, body: bytes) -> bytes:
        """The picture as a JPEG of at most 512 x 512. Raises NoPicture, PictureTooLarge, TooManyPictures."""
        if self._waiting >= _MOST_WAITING:
            raise TooManyPictures
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, _made_small, body)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Lets the thread end."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def _made_small(body: bytes) -> bytes:
    from actions.pixels import made_small  # in the thread: loading it takes as long as a thousand verifies

    return made_small(body)
