"""What SQL keeps for good and a session store may have lost: the epochs, who is kept out, what ended."""

from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec

from stores.epochs import Epochs
from stores.logins import Logins
from stores.users import Users


class Records(msgspec.Struct, frozen=True):
    """Read when a session store came back poorer than it was. All calls raise UsersAway."""

    kept_epochs: Epochs
    logins: Logins
    users: Users

    async def epochs(self) -> Mapping[str, int]:
        """The counter of every mini program."""
        return await self.kept_epochs.all()

    def ends(self, since: int) -> AsyncIterator[Sequence[tuple[bytes, str | None]]]:
        """Ids and reasons of the sessions that ended at that second or later, some at a time.

        What this process itself has noted is among them; the notes of another may be some moments late.
        """
        return self.logins.ended_since(since)

    def blocks(self) -> AsyncIterator[Mapping[int, int]]:
        """The generation of everybody who is blocked, by user id, some at a time."""
        return self.users.blocked_generations()
