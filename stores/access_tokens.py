"""WeChat's access_tokens: one for each mini program, sealed, shared by all processes; one at a time renews it."""

from stores.db import Database, Script, all_of, load
from values import Confidential

SQL = load("access_tokens.sql")


class KeptToken(Confidential, frozen=True):
    """What is kept for one mini program. Times are epoch seconds; `sealed` is None before the first one."""

    appid: str
    sealed: bytes | None = None
    fetched_at: int | None = None
    expires_at: int | None = None
    refresher: str | None = None
    refreshing_until: int = 0

    def left(self, now: int) -> int:
        """The seconds it is good for."""
        return max(0, (self.expires_at or 0) - now) if self.sealed else 0


class AccessTokens:
    """The access_tokens of every mini program. All calls raise UsersAway or StoreFull when the database does."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def find(self, appid: str) -> KeptToken:
        """What is kept, or an empty one."""
        rows = await self._db.read(SQL["access_token"](appid=appid))
        return KeptToken(*rows[0]) if rows else KeptToken(appid)

    async def claim(self, seen: KeptToken, refresher: str, now: int, until: int) -> bool:
        """Takes it on to get a new one in the place of `seen`, until a moment at the latest.

        False when somebody else is at it, has just failed, or has got it since.
        """

        def script() -> Script[bool]:
            if seen.fetched_at is None and seen.refreshing_until == 0:
                yield SQL["make_access_token"](appid=seen.appid)
            claimed = yield SQL["claim_access_token"](
                appid=seen.appid, refresher=refresher, now=now, until=until, seen=seen.sealed or b""
            )
            return claimed.changed == 1

        return await self._db.write(script)

    async def keep(self, appid: str, refresher: str, sealed: bytes, now: int, expires_at: int) -> bool:
        """Keeps the new one; False when the claim had run out and somebody else has taken it."""
        kept = SQL["keep_access_token"](appid=appid, refresher=refresher, sealed=sealed, now=now, expires_at=expires_at)
        return await self._db.write(all_of(kept)) == 1

    async def give_up(self, appid: str, refresher: str, until: int) -> None:
        """There is no new one; nobody claims it again before `until`."""
        given_up = SQL["give_access_token_up"](appid=appid, refresher=refresher, until=until)
        await self._db.write(all_of(given_up), durable=False)
