"""Whether the process lives, and whether it can serve: for load balancers and supervisors."""

from handlers.base import ApiHandler
from handlers.refusals import Draining


class Health(ApiHandler):
    """GET /healthz"""

    def get(self) -> None:
        """The loop runs. No store is touched, so a store's outage restarts nothing."""
        self.answer()

    head = get


class Ready(ApiHandler):
    """GET /readyz"""

    async def get(self) -> None:
        """503 while sessions cannot be verified, or while the process is about to end.

        A user database that is away or full is named, and no reason to send phones elsewhere: sessions still verify.
        """
        if self.traffic.draining:
            raise Draining
        await self.backend.sessions.ping()
        users = self.backend.users
        self.answer(degraded=["database"] * (not users.answers) + ["database_full"] * users.full)

    head = get
