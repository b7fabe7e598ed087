"""Who is in: one promise, two engines."""

from stores.sessions.promise import (
    CLAIM_SECONDS,
    ERASED,
    UNDO_SECONDS,
    Admission,
    Advice,
    Opened,
    Opening,
    PersonChanged,
    Reason,
    Session,
    SessionGone,
    Sessions,
    TooManySessions,
    new_token,
    session_id,
)

__all__ = [
    "CLAIM_SECONDS",
    "ERASED",
    "UNDO_SECONDS",
    "Admission",
    "Advice",
    "Opened",
    "Opening",
    "PersonChanged",
    "Reason",
    "Session",
    "SessionGone",
    "Sessions",
    "TooManySessions",
    "new_token",
    "session_id",
]
