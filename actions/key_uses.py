"""How often each service key may be used in a minute: a back end that has gone wild must not starve the phones."""

from actions.per_minute import PerMinute, TooMany
from stores.sessions import Sessions


class TooManyCalls(TooMany):
    """This key was used too often in this minute; `retry_after_seconds` until the next."""


class KeyUses(PerMinute):
    """The budget of each key in the minute at hand."""

    def __init__(self, sessions: Sessions, limit: int) -> None:
        """`limit` per key and minute, 0 for none."""
        super().__init__(sessions, "key", limit, TooManyCalls)
