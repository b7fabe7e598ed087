"""Reads a body strictly, because Python's own reader is kinder than a boundary may be.

It takes NaN, keeps the last of two equal keys, and lets through halves of surrogate pairs that no database stores. Each
of these is a way to be read differently by two programs (OWASP ASVS 1.5.3, 15.3.5).
"""

import json
import math
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from handlers.refusals import BadRequest

JsonObject = dict[str, Any]

_MOST_FIELDS = 50


def read_object(body: bytes) -> JsonObject:
    """The object in the body. Raises BadRequest for everything that is not one JSON object in UTF-8."""
    try:
        text = body.decode("utf-8")
        found = json.loads(
            text,
            object_pairs_hook=_no_key_twice,
            parse_constant=_no_constant,
            parse_float=_finite,
        )
        if "\\u" in text:
            json.dumps(found, ensure_ascii=False).encode("utf-8")  # a lone surrogate cannot be encoded
    except (ValueError, RecursionError):
        raise BadRequest from None
    if not isinstance(found, dict):
        raise BadRequest
    return found


def read_form(text: bytes) -> JsonObject:
    """The fields of a form's body, or of a URL's query. Raises BadRequest for bad UTF-8 and for a field given twice."""
    try:
        pairs = parse_qsl(
            text.decode("ascii"), keep_blank_values=True, encoding="utf-8", errors="strict", max_num_fields=_MOST_FIELDS
        )
        return _no_key_twice(pairs)
    except ValueError:
        raise BadRequest from None


def text_field(body: JsonObject, name: str) -> str:
    """A field that must be there and be text. Raises BadRequest naming it; a number is never made into text."""
    value = body.get(name)
    if not isinstance(value, str):
        raise BadRequest(name)
    return value


def optional_text(body: JsonObject, name: str) -> str | None:
    """A field that may be missing or null, and is text otherwise. Raises BadRequest naming it."""
    return None if body.get(name) is None else text_field(body, name)


def _no_key_twice(pairs: list[tuple[str, Any]]) -> JsonObject:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _no_constant(_name: str) -> NoReturn:
    raise ValueError


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError
    return number
