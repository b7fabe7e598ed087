"""What can go wrong with WeChat: the kinds of faults, how one is ordered, and which request it meets.

An order is `{"kind", "path"?, "n"? (1) or "probability"?, "spend"?, …}`; the kinds and what their caller sees:

    45011, 40226, -1 … or busy   that number of WeChat's (busy is -1), in WeChat's form
    http_500 … http_NNN          that status with a gateway's HTML page
    empty  html  no_openid       HTTP 200 with no body, with a page, with {}
    string_errcode               the number of `errcode` (40029) in quotes
    redirect                     302 (or `status`) to /_sim/second_host, which counts who follows
    answer                       exactly `body`, with `status` and `content_type`
    close                        the connection is closed without an answer
    stall_headers                silence for `seconds` (30), then the connection is closed
    refuse                       from now on and for `seconds` (1) the port is closed, for the control calls too
  * latency                      the right answer after `seconds` (1)
  * stall_body                   headers and half of the right answer, silence for `seconds` (30), then a cut
  * drip                         the right answer, one byte of its body every `seconds` (0.2)
  * truncated  array  bad_utf8   half of the right answer; the answer in a list; with a byte that is not UTF-8
  * content_type                 the right answer as text/html (or `content_type`)
  * huge  gzip_bomb              the right answer with blanks behind it, up to `bytes` (10 MB; 50 MB packed by gzip)
  * lost                         the code is spent, then the connection is closed without an answer

Kinds with a star ask the real path first and so spend the code; the others leave it fresh unless `spend` is true.
Every kind that answers takes `seconds` and `jitter_seconds` too, and answers that much later.
"""

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from wechat.simulator.fields import BadControl, Fields, required

LONGEST_WAIT_SECONDS: Final = 60
FAULTS_KEPT: Final = 1_000
_BODY_CHARACTERS: Final = 2_000_000
_MEGABYTE: Final = 1_000_000

# Every kind that has a name of its own, and what it assumes where the order says nothing.
_KINDS: Final[Mapping[str, dict[str, Any]]] = {
    "busy": {"errcode": -1},
    "string_errcode": {"errcode": 40029},
    "empty": {},
    "html": {},
    "no_openid": {},
    "redirect": {"status": 302},
    "answer": {},
    "close": {},
    "stall_headers": {"seconds": 30.0},
    "refuse": {"seconds": 1.0},
    "latency": {"spend": True, "seconds": 1.0},
    "stall_body": {"spend": True, "seconds": 30.0},
    "drip": {"spend": True, "seconds": 0.2},
    "truncated": {"spend": True},
    "array": {"spend": True},
    "bad_utf8": {"spend": True},
    "content_type": {"spend": True},
    "huge": {"spend": True, "size_bytes": 10 * _MEGABYTE},
    "gzip_bomb": {"spend": True, "size_bytes": 50 * _MEGABYTE},
    "lost": {"spend": True},
}

_OPTIONS: Final[Mapping[str, Callable[[Fields], Any]]] = {
    "path": lambda fields: fields.text("path", 200),
    "times": lambda fields: fields.whole("n", 1, 1_000_000),
    "probability": lambda fields: fields.number("probability", 0.000_001, 1),
    "errcode": lambda fields: fields.whole("errcode", -(10**9), 10**9),
    "seconds": lambda fields: fields.number("seconds", 0, LONGEST_WAIT_SECONDS),
    "jitter_seconds": lambda fields: fields.number("jitter_seconds", 0, LONGEST_WAIT_SECONDS),
    "status": lambda fields: fields.whole("status", 200, 599),
    "content_type": lambda fields: fields.text("content_type", 200, pattern="[!-~]([ -~]*[!-~])?"),
    "body": lambda fields: fields.text("body", _BODY_CHARACTERS, shortest=0),
    "size_bytes": lambda fields: fields.whole("bytes", 0, 1000 * _MEGABYTE),
}


class Fault(msgspec.Struct, frozen=True):
    """One fault as it was ordered; `times` counts requests, `probability` (up to 1) is set for a standing fault."""

    kind: str
    path: str = "/sns/jscode2session"
    times: int | None = None
    probability: float | None = None
    spend: bool = False
    errcode: int | None = None
    seconds: float = 0.0
    jitter_seconds: float = 0.0
    status: int = 200
    content_type: str | None = None
    body: str = ""
    size_bytes: int = 0

    def shown(self) -> dict[str, Any]:
        """Give what a person at the simulator wants to see of it."""
        return {
            "path": self.path,
            "kind": self.kind,
            "n": self.times,
            "probability": self.probability,
            "seconds": self.seconds,
        }


def ordered(fields: Fields, paths: frozenset[str]) -> Fault:
    """Read one fault from a control call; it can meet the requests of one of `paths`.

    Raises BadControl with a sentence when the kind or the path is unknown or a value is out of range.
    """
    kind = required("kind", fields.word("kind"))
    assumed = _assumed(kind)
    given = {name: value for name, take in _OPTIONS.items() if (value := take(fields)) is not None}
    spend = fields.flag("spend") or assumed.get("spend", False)
    fields.end()
    if "times" in given and "probability" in given:
        raise BadControl("give n or probability, not both")
    if "probability" not in given:
        given.setdefault("times", 1)
    fault = Fault(kind, **(assumed | given | {"spend": spend}))
    if fault.path not in paths:
        raise BadControl(f"path takes one of: {', '.join(sorted(paths))}")
    return fault


def _assumed(kind: str) -> dict[str, Any]:
    if kind in _KINDS:
        return _KINDS[kind]
    if re.fullmatch(r"http_[2-5][0-9][0-9]", kind):
        return {"status": int(kind[5:])}
    if re.fullmatch(r"-?[0-9]{1,9}", kind):
        return {"errcode": int(kind)}
    raise BadControl(f"kind takes a number of WeChat's, http_NNN, or one of: {', '.join(_KINDS)}")


@dataclass(slots=True)
class _Waiting:
    fault: Fault
    left: int | None


class Faults:
    """The faults that wait for a request: first those with a count, in the order given, then the standing ones."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Take all faults back."""
        self._waiting: list[_Waiting] = []

    def order(self, fault: Fault) -> None:
        """Put one fault behind those that wait already; raises BadControl when there are too many."""
        if len(self._waiting) >= FAULTS_KEPT:
            raise BadControl(f"{FAULTS_KEPT} faults wait already; POST /_sim/reset takes them back")
        self._waiting.append(_Waiting(fault, fault.times))

    def meet(self, path: str, dice: random.Random) -> Fault | None:
        """Give the fault that the next request to `path` meets, and count it down."""
        here = [waiting for waiting in self._waiting if waiting.fault.path == path]
        for waiting in here:
            if waiting.left is not None:
                return self._count_down(waiting)
        return next((w.fault for w in here if w.fault.probability and dice.random() < w.fault.probability), None)

    def shown(self) -> list[dict[str, Any]]:
        """Give the waiting faults with what is left of their counts."""
        return [waiting.fault.shown() | {"n": waiting.left} for waiting in self._waiting]

    def _count_down(self, waiting: _Waiting) -> Fault:
        left = (waiting.left or 0) - 1
        waiting.left = left
        if left <= 0:
            self._waiting.remove(waiting)
        return waiting.fault
