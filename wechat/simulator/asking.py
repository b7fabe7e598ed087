"""What a path of the simulated WeChat is asked, and how it says no."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from values import Confidential


class Question(Confidential, frozen=True):
    """One request as far as a path looks at it; `address` is the caller's."""

    path: str
    method: str
    query: Mapping[str, list[bytes]]
    body: bytes
    address: str

    def one(self, name: str) -> str:
        """Give the first value of a parameter, or an empty string, which WeChat takes for a missing one."""
        values = self.query.get(name)
        return values[0].decode("utf-8", "replace") if values else ""

    def fields(self) -> dict[str, Any]:
        """Give the JSON object of the body. Raises Refused: 44002 for an empty body, 47001 for anything else."""
        if not self.body:
            raise Refused(44002)
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            raise Refused(47001) from None
        if not isinstance(found, dict):
            raise Refused(47001)
        return found

    def form_or_fields(self) -> Mapping[str, Any]:
        """Give the fields of a body that may be a form too; else as `fields`."""
        if not self.body or self.body.lstrip()[:1] == b"{":
            return self.fields()
        return dict(parse_qsl(self.body.decode("utf-8", "replace")))


class Refused(Exception):
    """WeChat says no with this number; `text` is set where the usual one does not do."""

    def __init__(self, errcode: int, text: str | None = None) -> None:
        super().__init__(errcode)
        self.errcode = errcode
        self.text = text
