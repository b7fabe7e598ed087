"""The list of what WeChat was asked, without a single secret in it, so that a test can count the calls."""

import weakref
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

REQUESTS_KEPT: Final = 10_000
PATHS_COUNTED: Final = 1_000
_PARAMETERS: Final = (
    "appid",
    "secret",
    "js_code",
    "grant_type",
    "access_token",
    "openid",
    "signature",
    "sig_method",
)


@dataclass(slots=True)
class Asked:
    """One request to a path of WeChat's.

    `errcode` is 0 for a success and null when no plain answer was given; `fault` names the fault that met it;
    `parameters` says how often each name stood in the query, never what it held.
    """

    path: str
    method: str
    appid: str | None
    at: int
    parameters: dict[str, int]
    errcode: int | None = None
    fault: str | None = None


class Ledger:
    """Counts of all requests since the last reset, and the newest 10,000 of them."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything; a connection that is still open counts anew when it asks again."""
        self.counts: Counter[str] = Counter()
        self.requests: deque[Asked] = deque(maxlen=REQUESTS_KEPT)
        self.connections = 0
        self.redirected = 0
        self._streams: weakref.WeakSet[Any] = weakref.WeakSet()

    def note(self, path: str, method: str, query: Mapping[str, Sequence[bytes]], stream: object, at: int) -> Asked:
        """Write down one request as it arrives (`at` in epoch seconds), and give the row to complete later."""
        path = path[:200]
        self.counts[path if path in self.counts or len(self.counts) < PATHS_COUNTED else "other"] += 1
        if stream not in self._streams:
            self._streams.add(stream)
            self.connections += 1
        appid = query["appid"][0].decode("utf-8", "replace")[:64] if query.get("appid") else None
        asked = Asked(path, method, appid, at, _parameters(query))
        self.requests.append(asked)
        return asked

    def report(self) -> dict[str, Any]:
        """Give everything as plain JSON values, the oldest request first."""
        return {
            "counts": dict(self.counts),
            "connections": self.connections,
            "redirected": self.redirected,
            "requests": [asdict(asked) for asked in self.requests],
        }


def _parameters(query: Mapping[str, Sequence[bytes]]) -> dict[str, int]:
    # A name that is not WeChat's is only counted: with a broken escape it could be a piece of the secret.
    counted: Counter[str] = Counter()
    for name, values in query.items():
        counted[name if name in _PARAMETERS else "other"] += len(values)
    return dict(counted)
