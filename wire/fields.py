"""Header fields that cost less than Tornado's: those of a request that a parser has judged, those of a ready answer."""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from tornado.httputil import HTTPHeaders


@lru_cache(1000)
def known_name(name: str) -> str:
    """A field's name in the one spelling under which it is kept: Http-Header-Case."""
    return "-".join([word.capitalize() for word in name.split("-")])


class Received(HTTPHeaders):
    """The fields of a request. The parser has judged names and values, so they are taken as they are."""

    def __init__(self, fields: dict[str, list[str]], *, plain: bool = False) -> None:
        """`fields` are under their known names; `plain` when none of them concerns the connection or a body."""
        self._fields = fields
        self.plain = plain

    def get(self, name: str, default: Any = None) -> Any:
        """See Mapping, whose own raises and catches a KeyError for each field that is not there."""
        values = self._fields.get(known_name(name))
        if values is None:
            return default
        return values[0] if len(values) == 1 else ",".join(values)

    def add(self, name: str, value: str, *, _chars_are_bytes: bool = True) -> None:
        """See HTTPHeaders."""
        self._fields.setdefault(known_name(name), []).append(value)

    def get_list(self, name: str) -> list[str]:
        """See HTTPHeaders."""
        return self._fields.get(known_name(name), [])

    def get_all(self) -> Iterable[tuple[str, str]]:
        """See HTTPHeaders."""
        return [(name, value) for name, values in self._fields.items() for value in values]

    def __getitem__(self, name: str) -> str:
        values = self._fields[known_name(name)]
        return values[0] if len(values) == 1 else ",".join(values)

    def __setitem__(self, name: str, value: str) -> None:
        self._fields[known_name(name)] = [value]

    def __delitem__(self, name: str) -> None:
        del self._fields[known_name(name)]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and known_name(name) in self._fields

    def __len__(self) -> int:
        return len(self._fields)

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def copy(self) -> "Received":
        """See HTTPHeaders."""
        return Received({name: list(values) for name, values in self._fields.items()})

    __copy__ = copy


class Block:
    """Fields that many answers have in common, written down once."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        """`fields` are ours, under their known names, without a line end in any of them."""
        self.fields = dict(fields)
        self.lines = lines(fields.items())


class Ready(HTTPHeaders):
    """A block and the few fields that only this answer has. To Tornado's own connection it is like any other."""

    def __init__(self, block: Block, own: dict[str, str], body_bytes: int, *, last: bool = False) -> None:
        """`own`, under known names, has none of the block's fields, and not those that the other two arguments make.

        `last` closes the connection.
        """
        self.body_bytes = body_bytes
        self.last = last
        self._block = block
        self._own = own
        own["Content-Length"] = str(body_bytes)
        if last:
            own["Connection"] = "close"

    def get(self, name: str, default: Any = None) -> Any:
        """See Mapping."""
        known = known_name(name)
        return self._own[known] if known in self._own else self._block.fields.get(known, default)

    def lines(self) -> bytes:
        """All of them as they go out."""
        return self._block.lines + lines(self._own.items())

    def get_all(self) -> Iterable[tuple[str, str]]:
        """See HTTPHeaders."""
        return [*self._block.fields.items(), *self._own.items()]

    def get_list(self, name: str) -> list[str]:
        """See HTTPHeaders."""
        return [self[name]] if name in self else []

    def add(self, name: str, value: str, *, _chars_are_bytes: bool = True) -> None:
        """A ready answer has each field once."""
        self[name] = value

    def __getitem__(self, name: str) -> str:
        known = known_name(name)
        return self._own[known] if known in self._own else self._block.fields[known]

    def __setitem__(self, name: str, value: str) -> None:
        if name in self._block.fields:
            raise ValueError(f"{name} stands in the block")
        self._own[known_name(name)] = value

    def __delitem__(self, name: str) -> None:
        del self._own[known_name(name)]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (known_name(name) in self._own or known_name(name) in self._block.fields)

    def __len__(self) -> int:
        return len(self._block.fields) + len(self._own)

    def __iter__(self) -> Iterator[str]:
        return iter([*self._block.fields, *self._own])

    def copy(self) -> "Ready":
        """See HTTPHeaders."""
        return Ready(self._block, dict(self._own), self.body_bytes, last=self.last)

    __copy__ = copy


def lines(fields: Iterable[tuple[str, str]]) -> bytes:
    """Fields as they go out, each with its line end. Raises ValueError for one that would begin a line of its own."""
    each = [f"{name}: {value}\r\n" for name, value in fields]
    text = "".join(each)
    if not text.count("\r") == text.count("\n") == len(each):
        raise ValueError("a header field holds a line end")
    return text.encode("latin-1")
