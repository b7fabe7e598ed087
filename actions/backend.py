"""What every verb needs: the stores, WeChat, the seal, and the few things that live as long as the process."""

import contextlib
import time
from dataclasses import dataclass, field

from actions.flights import Flights
from actions.lifetime import Lifetime
from actions.unknown_tokens import UnknownTokens
from actions.uses import Uses
from settings import Settings
from stores.audit import Audit
from stores.db import Database
from stores.epochs import Epochs
from stores.errors import StoreTrouble
from stores.keys import Keys
from stores.logins import Logins
from stores.sessions import Sessions
from stores.users import Users
from wechat.client import WeChat
from wechat.crypto import Seal


@dataclass
class Backend:
    """Built once by server.py and handed to every verb."""

    settings: Settings
    keys: Keys
    db: Database
    audit: Audit
    users: Users
    sessions: Sessions
    logins: Logins
    epochs: Epochs
    wechat: WeChat
    seal: Seal
    lifetime: Lifetime
    unknown_tokens: UnknownTokens
    uses: Uses
    flights: Flights = field(default_factory=Flights)

    def now(self) -> int:
        """Epoch seconds."""
        return int(time.time())

    async def close(self) -> None:
        """Finishes what was begun and lets everything go, the outermost first."""
        await self.flights.land()
        await self.wechat.close()
        with contextlib.suppress(StoreTrouble):  # a store that is away must not keep the others from being let go
            await self.uses.flush(self.now())
        await self.logins.flush()
        await self.sessions.close()
        await self.db.close()
