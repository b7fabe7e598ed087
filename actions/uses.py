"""Which sessions were used: gathered for a moment, each told to the stores at most once a minute."""

from actions.lifetime import NOTE_SECONDS, Lifetime
from stores.figures import Figures, day_of
from stores.logins import Logins
from stores.sessions import Session, Sessions


class Uses:
    """The uses of this process. Bounded by what one process can verify in a minute."""

    def __init__(self, sessions: Sessions, logins: Logins, lifetime: Lifetime, figures: Figures) -> None:
        self._sessions = sessions
        self._logins = logins
        self._lifetime = lifetime
        self._figures = figures
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
        self._count_people(used)
        if self._lifetime.moves:
            until = {session: self._lifetime.expires_at(session.ends_at, at) for session, at in used.items()}
            try:
                await self._sessions.touch(until, now)
            except BaseException:
                self._noted.difference_update(ids)
                raise

    def _count_people(self, used: dict[Session, int]) -> None:
        """Around midnight some were here yesterday and some today."""
        days: dict[int, tuple[int, set[int]]] = {}
        for session, at in used.items():
            days.setdefault(day_of(at), (at, set()))[1].add(session.user_id)
        for _, (at, people) in sorted(days.items()):
            self._figures.seen(people, at)
