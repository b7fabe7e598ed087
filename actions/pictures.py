"""Pictures from strangers: only what a decoder has read and written anew is kept, small, without anything beside it.

The one room that imports Pillow. Whatever a file calls itself, its first bytes decide; what the picture says of where
and with what it was taken is lost on purpose.
"""

import asyncio
import io
from concurrent.futures import ThreadPoolExecutor

from PIL import Image, ImageOps

FORMATS = ("PNG", "JPEG", "WEBP")
KIND = "image/jpeg"
MOST_PIXELS = 16_000_000  # at four bytes each what one thread may hold; a phone's own pictures are below it
SIDE = 512
_QUALITY = 88
_MOST_WAITING = 16
_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF")

# Pillow's own bound warns at one size and raises at twice that; ours is judged from the header, before any decoding.
Image.MAX_IMAGE_PIXELS = None


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
            return await asyncio.get_running_loop().run_in_executor(self._thread, made_small, body)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Lets the thread end."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def made_small(body: bytes) -> bytes:
    """See Pictures.small."""
    if not body.startswith(_MAGIC):
        raise NoPicture
    try:
        with Image.open(io.BytesIO(body), formats=FORMATS) as picture:
            _check_size(picture)
            picture.draft("RGB", (SIDE, SIDE))  # a JPEG is decoded no larger than needed
            return _written_anew(picture)
    except PictureTooLarge:
        raise
    except Exception:  # decoders of broken files raise whatever they like: OSError, SyntaxError, struct.error, …
        raise NoPicture from None


def _check_size(picture: Image.Image) -> None:
    if picture.width * picture.height > MOST_PIXELS:
        raise PictureTooLarge


def _written_anew(picture: Image.Image) -> bytes:
    """Upright, small, on white where one could see through it, and with nothing but its pixels."""
    upright = ImageOps.exif_transpose(picture)
    upright.thumbnail((SIDE, SIDE))
    with_alpha = upright.convert("RGBA")
    plain = Image.new("RGB", with_alpha.size, "white")
    plain.paste(with_alpha, mask=with_alpha.getchannel("A"))
    written = io.BytesIO()
    plain.save(written, "JPEG", quality=_QUALITY)
    return written.getvalue()
