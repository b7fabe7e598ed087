"""Reads the body of `wx.uploadFile`: multipart/form-data (RFC 7578) with one file in it, and nothing looser than that.

Tornado's own reader is switched off for every path (it had CVE-2025-67726 and its kin); this one takes a few parts,
short headers and CRLF alone, copies the file once and never looks for anything a second time.
"""

import re

from handlers.refusals import BadRequest

MOST_PARTS = 8
MOST_HEADER_BYTES = 1024
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]", re.ASCII)
_HAS_FILE_NAME = re.compile(rb";\s*filename\*?\s*=", re.IGNORECASE)


def one_file(content_type: str, body: bytes) -> bytes:
    """The content of the one file in it; fields beside it are not looked at. Raises BadRequest."""
    files = [content for disposition, content in _parts(_boundary(content_type), body) if _is_file(disposition)]
    if len(files) != 1:
        raise BadRequest("file")
    return files[0]


def _boundary(content_type: str) -> bytes:
    _, *parameters = (part.strip().partition("=") for part in content_type.split(";"))
    named = [value.strip('"') for name, _, value in parameters if name.strip().lower() == "boundary"]
    if len(named) != 1 or not _BOUNDARY.fullmatch(named[0]):
        raise BadRequest
    return named[0].encode("ascii")


def _parts(boundary: bytes, body: bytes) -> list[tuple[bytes, bytes]]:
    """Each part's Content-Disposition and content."""
    first, between = b"--" + boundary + b"\r\n", b"\r\n--" + boundary
    if not body.startswith(first):
        raise BadRequest
    pieces = body[len(first) :].split(between, MOST_PARTS + 1)
    # The last boundary has two dashes, and nothing but an end of line comes after it.
    if len(pieces) < 2 or len(pieces) > MOST_PARTS + 1 or pieces[-1] not in (b"--", b"--\r\n"):
        raise BadRequest
    rest = [piece.removeprefix(b"\r\n") for piece in pieces[1:-1]]
    if any(len(bare) == len(piece) for bare, piece in zip(rest, pieces[1:-1], strict=True)):
        raise BadRequest
    return [_part(piece) for piece in (pieces[0], *rest)]


def _part(piece: bytes) -> tuple[bytes, bytes]:
    headers, blank, content = piece.partition(b"\r\n\r\n")
    if not blank or len(headers) > MOST_HEADER_BYTES:
        raise BadRequest
    lines = [line.partition(b":") for line in headers.split(b"\r\n")]
    named = [value.strip() for name, _, value in lines if name.strip().lower() == b"content-disposition"]
    if len(named) != 1 or not named[0].lower().startswith(b"form-data"):
        raise BadRequest
    return named[0], content


def _is_file(disposition: bytes) -> bool:
    return bool(_HAS_FILE_NAME.search(disposition))
