"""What is done to a picture in the thread of actions/pictures.py: the one room that loads Pillow, at its first one.

A server that never sees one does without its ten MiB.
"""

import io

from PIL import Image, ImageOps

from actions.pictures import FORMATS, MAGIC, MOST_PIXELS, SIDE, NoPicture, PictureTooLarge

_QUALITY = 88

# Pillow's own bound warns at one size and raises at twice that; ours is judged from the header, before any decoding.
Image.MAX_IMAGE_PIXELS = None


def made_small(body: bytes) -> bytes:
    """See Pictures.small."""
    if not body.startswith(MAGIC):
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
