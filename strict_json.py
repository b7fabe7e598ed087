"""JSON read strictly, because Python's own reader is kinder than a boundary may be.

It takes NaN and keeps the last of two equal keys, each a way to be read differently by two programs, and lets through
halves of surrogate pairs, which no database stores (OWASP ASVS 1.5.3, 15.3.5).
"""

import json
import math
from typing import Any, NoReturn


def read(text: str) -> Any:
    """What the text says. Raises ValueError, and RecursionError for what is nested too deep for Python."""
    return _READER.decode(text)


def encoded(found: object) -> bytes:
    """The same as UTF-8; for a half of a surrogate pair in it raises ValueError, and RecursionError as above."""
    return json.dumps(found, ensure_ascii=False).encode("utf-8")


def no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The pairs by key. Raises ValueError for two with one key."""
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


_READER = json.JSONDecoder(object_pairs_hook=no_key_twice, parse_constant=_no_constant, parse_float=_finite)
