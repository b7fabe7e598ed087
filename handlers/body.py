"""Reads a body: one JSON object, or the fields of a form, and nothing that two programs could read differently."""

from typing import Any
from urllib.parse import parse_qsl

import strict_json
from handlers.refusals import BadRequest

JsonObject = dict[str, Any]

_MOST_FIELDS = 50


def read_object(body: bytes) -> JsonObject:
    """The object in the body. Raises BadRequest for everything that is not one JSON object in UTF-8."""
    try:
        text = body.decode("utf-8")
        found = strict_json.read(text)
        if "\\u" in text:
            strict_json.encoded(found)  # nothing else can make half of a surrogate pair
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
        return strict_json.no_key_twice(pairs)
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
