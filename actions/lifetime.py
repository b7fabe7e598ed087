"""How long a session lives: from the login, from its last use, and at the very longest."""

import msgspec

from settings import Settings
from stores.sessions import Session

NOTE_SECONDS = 60  # use is noted at most once a minute for each session


class Lifetime(msgspec.Struct, frozen=True):
    """The rules of one server, in seconds. 7 days stay within NIST SP 800-63B's 30 days between logins (AAL1)."""

    seconds: int
    sliding: bool
    max_seconds: int
    idle_seconds: int

    @classmethod
    def of(cls, settings: Settings) -> "Lifetime":
        """The rules that the settings make."""
        return cls(
            settings.session_seconds,
            settings.session_sliding,
            settings.session_max_seconds,
            settings.session_idle_seconds,
        )

    @property
    def moves(self) -> bool:
        """Whether use changes when a session expires."""
        return self.sliding or self.idle_seconds > 0

    @property
    def longest_seconds(self) -> int:
        """How long after its login a session can hold at the most."""
        return max(self.seconds, self.max_seconds) if self.sliding else self.seconds

    @property
    def longest_unused_seconds(self) -> int:
        """How long after its last noted use a session can hold at the most."""
        return self.expires_at(self.longest_seconds, 0) + NOTE_SECONDS

    def ends_at(self, created_at: int) -> int:
        """The moment that no use can push back."""
        return created_at + self.longest_seconds

    def expires_at(self, ends_at: int, used_at: int) -> int:
        """When a session that was used at `used_at` expires, if it is not used again.

        The idle limit gets a minute on top, because a use within the minute of the last note is not noted.
        """
        limits = [ends_at]
        if self.sliding:
            limits.append(used_at + self.seconds)
        if self.idle_seconds:
            limits.append(used_at + self.idle_seconds + NOTE_SECONDS)
        return min(limits)

    def left(self, session: Session, now: int) -> int:
        """Seconds that a session used just now has left; exact to the minute where use moves its end."""
        return self.expires_at(session.ends_at, now) - now
