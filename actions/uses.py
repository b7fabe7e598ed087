"""Which sessions were used: gathered for a moment, each told to the stores at most once a minute."""

from actions.lifetime import NOTE_SECONDS, Lifetime
from stores.logins import Logins
from stores.sessions import Session, Sessions


class Uses:
    """The uses of this process. Bounded by what one process can verify in a minute."""

    def __init__(self, sessions: Sessions, logins: Logins, lifetime: Lifetime) -> None:
        self._sessions = sessions
        self._logins = logins
        self._lifetime = lifetime
        self._minute = 0
        self._noted: set[bytes] = set()
        self._waiting: dict[Session, int] = {}

    def note(self, session: Session, now: int) -> None:
        """This session was used just now. Costs a set look-up; nothing is asked of any store."""
        minute = now // NOTE_SECONDS
        if minute != self._minute:
            self._minute, self._noted = minute, set()
        if session.id not in self._noted:
            self._noted.add(session.id)
            self._waiting[session] = now

    async def flush(self, now: int) -> None:
        """Tells the stores. Raises SessionsAway, StoreFull; what could not be told is told by the next use."""
        used, self._waiting = self._waiting, {}
        if not used:
            return
        ids = [session.id for session in used]
        self._logins.seen(ids, now)
        if self._lifetime.moves:
            until = {session: self._lifetime.expires_at(session.ends_at, at) for session, at in used.items()}
            try:
                await self._sessions.touch(until, now)
            except BaseException:
                self._noted.difference_update(ids)
                raise
