"""How many unknown tokens an address may try: guessing is slowed down, neighbours behind the same address are not.

Only tokens that open nothing and never did are counted, after the look-up; so whoever holds a good token is served even
while somebody at the same address is throttled. Service keys that open nothing count with them.
"""

from actions.per_minute import PerMinute, TooMany, limited_as
from stores.sessions import Sessions


class TooManyUnknownTokens(TooMany):
    """This address has tried too many tokens that were never issued; `retry_after_seconds` until its next minute."""


class UnknownTokens(PerMinute):
    """The budget of each address in the minute at hand."""

    def __init__(self, sessions: Sessions, limit: int) -> None:
        """`limit` per address and minute, 0 for none."""
        super().__init__(sessions, "unknown", limit, TooManyUnknownTokens)

    def count(self, name: str, now: int) -> None:
        """One more from the address `name`. Raises TooManyUnknownTokens."""
        super().count(limited_as(name), now)
