"""What every verb needs: the stores, WeChat, the seal, and the few things that live as long as the process."""

import contextlib
import time
from dataclasses import dataclass, field

from actions.access_tokens import SharedTokens
from actions.active_sessions import ActiveSessions
from actions.alarms import Alarms
from actions.errands import Errands
from actions.flights import Flights
from actions.health import Health
from actions.key_resets import KeyResets
from actions.key_uses import KeyUses
from actions.lifetime import Lifetime
from actions.outcomes import Ration
from actions.outgoing import Outgoing
from actions.passwords import Passwords
from actions.pictures import Pictures
from actions.retention import Retention
from actions.unknown_tokens import UnknownTokens
from actions.uses import Uses
from settings import Settings
from stores.attempts import Attempts
from stores.audit import Audit
from stores.avatars import Avatars
from stores.db import Database
from stores.deliveries import Deliveries
from stores.epochs import Epochs
from stores.errors import StoreTrouble
from stores.figures import Figures
from stores.keys import Keys
from stores.logins import Logins
from stores.operators import Operators
from stores.push_events import PushEvents
from stores.refused_logins import RefusedLogins
from stores.service_keys import ServiceKeys
from stores.sessions import Sessions
from stores.users import Users
from wechat.client import WeChat
from wechat.crypto import Seal


@dataclass
class Backend:
    """Built once for a process and handed to every verb."""

    settings: Settings
    keys: Keys
    db: Database
    audit: Audit
    users: Users
    sessions: Sessions
    logins: Logins
    refused_logins: RefusedLogins
    figures: Figures
    operators: Operators
    attempts: Attempts
    epochs: Epochs
    wechat: WeChat
    access_tokens: SharedTokens
    key_resets: KeyResets
    seal: Seal
    lifetime: Lifetime
    unknown_tokens: UnknownTokens
    service_keys: ServiceKeys
    key_uses: KeyUses
    deliveries: Deliveries
    push_events: PushEvents
    avatars: Avatars
    uses: Uses
    active_sessions: ActiveSessions
    health: Health
    retention: Retention
    outgoing: Outgoing
    alarms: Alarms
    ration: Ration = field(default_factory=Ration)
    flights: Flights = field(default_factory=Flights)
    errands: Errands = field(default_factory=Errands)
    passwords: Passwords = field(default_factory=Passwords)
    pictures: Pictures = field(default_factory=Pictures)

    def now(self) -> int:
        """Epoch seconds."""
        return int(time.time())

    async def close(self) -> None:
        """Finishes what was begun and lets everything go, the outermost first."""
        await self.flights.land()
        await self.errands.land()
        await self.key_resets.close()
        await self.access_tokens.land()
        await self.wechat.close()
        await self.alarms.close()
        await self.outgoing.close()
        self.passwords.close()
        self.pictures.close()
        with contextlib.suppress(StoreTrouble):  # a store that is away must not keep the others from being let go
            await self.uses.flush(self.now())
        await self.logins.finish()
        await self.refused_logins.flush()
        await self.figures.flush()
        await self.service_keys.flush()
        await self.deliveries.flush()
        await self.sessions.close()
        await self.db.close()
