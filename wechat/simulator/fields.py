"""The checked reading of a control call's JSON object: every mistake becomes one clear sentence."""

import json
import re
from typing import Any, TypeVar

Taken = TypeVar("Taken")


class BadControl(ValueError):
    """A control call that makes no sense; its text says why and is safe to show."""


class Fields:
    """The fields of one control call; each is taken once, and what is left over at the end is a mistake."""

    def __init__(self, body: bytes) -> None:
        self._left = _object(body) if body.strip() else {}

    def text(self, name: str, longest: int = 64, *, shortest: int = 1, pattern: str | None = None) -> str | None:
        """Take a string of `shortest` to `longest` characters that matches `pattern` whole, or None when absent."""
        value = self._left.pop(name, None)
        if value is None:
            return None
        if not isinstance(value, str) or not shortest <= len(value) <= longest or not _encodable(value):
            raise BadControl(f"{name} takes a string of {shortest} to {longest} characters")
        if pattern is not None and not re.fullmatch(pattern, value):
            raise BadControl(f"{name} must match {pattern}")
        return value

    def flag(self, name: str) -> bool | None:
        """Take true or false, or None when it is absent."""
        value = self._left.pop(name, None)
        if value is not None and not isinstance(value, bool):
            raise BadControl(f"{name} takes true or false")
        return value

    def whole(self, name: str, low: int, high: int) -> int | None:
        """Take a whole number from `low` to `high`, or None when it is absent."""
        value = self._left.pop(name, None)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high):
            raise BadControl(f"{name} takes a whole number from {low} to {high}")
        return value

    def number(self, name: str, low: float, high: float) -> float | None:
        """Take a number from `low` to `high`, or None when it is absent."""
        value = self._left.pop(name, None)
        if value is None:
            return None
        if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
            raise BadControl(f"{name} takes a number from {low} to {high}")
        return float(value)

    def word(self, name: str) -> str | None:
        """Take a string or a whole number, and give it as a string; None when it is absent."""
        value = self._left.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(self.whole(name, -(10**9), 10**9))
        return self.text(name)

    def end(self) -> None:
        """Refuse fields that nobody took: a misspelt name must not pass in silence."""
        if self._left:
            raise BadControl(f"unknown field: {', '.join(sorted(self._left))[:200]}")


def required(name: str, value: Taken | None) -> Taken:
    """Give `value`, or refuse the call when it is absent."""
    if value is None:
        raise BadControl(f"{name} is missing")
    return value


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise BadControl("the body must be one JSON object in UTF-8") from None
    if not isinstance(value, dict):
        raise BadControl("the body must be one JSON object in UTF-8")
    return value


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _encodable(text: str) -> bool:
    # JSON can spell half a surrogate pair; such a string cannot be written to any wire.
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
