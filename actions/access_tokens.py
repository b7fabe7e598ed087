"""The access_token that every process shares: got from WeChat by one of them, kept sealed, renewed a little early.

WeChat asks for one central place that fetches tokens, since every fetch of the classic kind kills the one before. We
use its stable kind, which gives everybody the same token, and still ask but once: the row in SQL is the central place,
and a conditional UPDATE in it the lock. No login ever comes here; a phone number does.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING

from actions.apps import one_of_ours
from actions.deeds import Actor, written_down
from stores.access_tokens import AccessTokens, KeptToken
from stores.errors import StoreTrouble
from values import Confidential
from wechat.answers import FreshToken
from wechat.client import WeChat
from wechat.crypto import Seal, SealBroken
from wechat.errors import WeChatBusy, WeChatTrouble

if TYPE_CHECKING:
    from actions.backend import Backend

# WeChat gives a new stable token in the last 300 s of the old one, and both hold until that one's end.
RENEW_SECONDS = 240
_JITTER_SECONDS = 60
_NEW_SECONDS = 30  # what WeChat has just given is what it has, however little of its life is left
_SAME_SECONDS = 5  # WeChat refuses a token and gives it all the same: it is not asked again so soon
_REMEMBERED_SECONDS = 60  # without a look at the store
_CLAIM_SECONDS = 8
_FETCH_SECONDS = 4.0
_PAUSE_SECONDS = 5  # after a failure, for every process
_LOOK_SECONDS = 0.1


class SharedToken(Confidential, frozen=True):
    """An access_token and the seconds it has left."""

    token: str
    expires_in: int


class _Known(Confidential, frozen=True):
    """A token as this process remembers it; `look_at` is when the store is asked again (epoch seconds)."""

    token: str
    expires_at: int
    look_at: int


class SharedTokens:
    """The access_tokens as one process sees them. What it raises: WeChatTroubles, UsersAway, StoreFull, KeyError."""

    def __init__(self, kept: AccessTokens, seal: Seal, wechat: WeChat, now: Callable[[], int]) -> None:
        """`now` gives epoch seconds."""
        self._kept = kept
        self._seal = seal
        self._wechat = wechat
        self._now = now
        self._name = secrets.token_hex(8)  # of this process, in the store's lock
        self._renew_at = RENEW_SECONDS - secrets.randbelow(_JITTER_SECONDS)
        self._known: dict[str, _Known] = {}
        self._same: dict[str, tuple[str, int]] = {}  # what was refused and is still all that WeChat gives, and when
        self._under_way: dict[tuple[str, str | None], asyncio.Task[_Known]] = {}

    async def token(self, appid: str, deadline: float) -> str:
        """One that should be good; see wechat.calls.Tokens. `deadline` is by the running loop's clock."""
        return (await self._current(appid, deadline)).token

    async def shared(self, appid: str, deadline: float) -> SharedToken:
        """The token with the time it has left."""
        known = await self._current(appid, deadline)
        return SharedToken(known.token, known.expires_at - self._now())

    async def newer(self, appid: str, refused: str, deadline: float) -> str:
        """The one to try after WeChat refused that one.

        It is another process's newer one if there is one, else WeChat is asked once. Never forced: that would kill the
        token under every other server of this mini program, and two such servers would do it to each other for ever.
        """
        known = self._known.get(appid)
        if known is not None and known.token == refused:
            del self._known[appid]
        same, at = self._same.get(appid, ("", 0))
        if same == refused and self._now() - at < _SAME_SECONDS:
            return refused
        found = await self._once(appid, refused, deadline)
        if found.token == refused:
            self._same[appid] = refused, self._now()
        return found.token

    async def forced(self, appid: str) -> bool:
        """Gets a new one from WeChat, and the old one dies; False when WeChat still gives the old one."""
        until = self._now() + _CLAIM_SECONDS
        while self._now() <= until:
            old = await self._kept.find(appid)
            new = await self._fetched(old, force=True)
            if new is not None:
                self._known[appid] = new
                return new.token != self._opened(old)
            await asyncio.sleep(_LOOK_SECONDS)
        raise WeChatBusy(_PAUSE_SECONDS, why="another process is getting an access_token", code_spent=False)

    async def land(self) -> None:
        """Waits until what is under way has come to its end."""
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    async def _current(self, appid: str, deadline: float) -> _Known:
        known = self._known.get(appid)
        if known is not None and self._now() < known.look_at:
            return known
        try:
            return await self._once(appid, None, deadline)
        except StoreTrouble:
            if known is not None and self._now() < known.expires_at:
                return known
            raise

    async def _once(self, appid: str, refused: str | None, deadline: float) -> _Known:
        """Renews it, begun by whoever comes first and awaited by all; it goes on when one of them leaves."""
        key = appid, refused
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.ensure_future(self._remembered(appid, refused))
            self._under_way[key] = task
            task.add_done_callback(lambda done: self._done(key, done))
        try:
            async with asyncio.timeout_at(deadline):
                return await asyncio.shield(task)
        except TimeoutError:
            pass
        raise WeChatBusy(1, why="no access_token in time", code_spent=False)

    def _done(self, key: tuple[str, str | None], task: "asyncio.Task[_Known]") -> None:
        del self._under_way[key]
        if not task.cancelled():
            task.exception()  # looked at here, so that asyncio does not complain when nobody is left to see it

    async def _remembered(self, appid: str, refused: str | None) -> _Known:
        known = await self._renewed(appid, refused)
        self._known[appid] = known
        return known

    async def _renewed(self, appid: str, refused: str | None) -> _Known:
        """The kept one while it is good, else a new one, whoever of all processes gets it."""
        until = self._now() + _CLAIM_SECONDS
        while True:
            row, now = await self._kept.find(appid), self._now()
            token = self._opened(row)
            good = token is not None and token != refused and row.left(now) > 0
            if token is not None and good and (row.left(now) > self._renew_at or self._is_new(row, now)):
                return self._as_known(token, row)
            if row.refreshing_until <= now:
                found = await self._fetched_or(row, token if good else None)
                if found is not None:
                    return found
            elif token is not None and good:
                return self._as_known(token, row)  # somebody is at it, and this one lasts that long
            elif row.refresher is None or now > until:
                raise WeChatBusy(_PAUSE_SECONDS, why="no access_token could be had a moment ago", code_spent=False)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _fetched_or(self, row: KeptToken, old: str | None) -> _Known | None:
        """A new one; the old one while that is good and WeChat gives none. None when another process is quicker."""
        try:
            return await self._fetched(row)
        except WeChatTrouble:
            if old is None:
                raise
            return self._as_known(old, row)

    async def _fetched(self, row: KeptToken, *, force: bool = False) -> _Known | None:
        """A new one from WeChat in the place of `row`, if this process gets the claim."""
        appid, now = row.appid, self._now()
        if not await self._kept.claim(row, self._name, now, now + _CLAIM_SECONDS):
            return None
        try:
            deadline = asyncio.get_running_loop().time() + _FETCH_SECONDS
            fresh = await self._wechat.fresh_token(appid, deadline, force=force)
        except BaseException:
            with contextlib.suppress(StoreTrouble):  # the claim runs out by itself
                await self._kept.give_up(appid, self._name, self._now() + _PAUSE_SECONDS)
            raise
        return await self._keep(appid, fresh)

    async def _keep(self, appid: str, fresh: FreshToken) -> _Known:
        now = self._now()
        expires_at = now + fresh.expires_in
        sealed = self._seal.seal(fresh.token.encode("ascii"), _bound_to(appid))
        await self._kept.keep(appid, self._name, sealed, now, expires_at)
        return self._as_known(fresh.token, KeptToken(appid, sealed, now, expires_at))

    def _is_new(self, row: KeptToken, now: int) -> bool:
        """Whether WeChat gave it a moment ago; what it gave is what it has."""
        return row.fetched_at is not None and now - row.fetched_at < _NEW_SECONDS

    def _as_known(self, token: str, row: KeptToken) -> _Known:
        now, expires_at = self._now(), row.expires_at or 0
        soon = expires_at - self._renew_at
        return _Known(token, expires_at, min(now + _REMEMBERED_SECONDS, soon if soon > now else now + 1, expires_at))

    def _opened(self, row: KeptToken) -> str | None:
        """The token; None when there is none, or it was sealed with a key that this server does not have."""
        if not row.sealed:
            return None
        try:
            return self._seal.open(row.sealed, _bound_to(row.appid)).decode("ascii")
        except SealBroken:
            return None


def _bound_to(appid: str) -> bytes:
    return b"access_token:" + appid.encode("ascii")


async def access_token(backend: "Backend", appid: str, deadline: float) -> SharedToken:
    """The shared access_token of one of our mini programs; `deadline` is by the running loop's clock.

    Raises UnknownApp, WeChatTroubles, UsersAway, StoreFull.
    """
    return await backend.access_tokens.shared(one_of_ours(backend, appid), deadline)


async def refresh_access_token(backend: "Backend", by: Actor, appid: str, *, reason: str | None = None) -> bool:
    """Replaces the access_token because it has leaked; False when WeChat, asked too often, gives the old one still.

    Raises UnknownApp, AuditAway, WeChatTroubles, UsersAway, StoreFull.
    """
    one_of_ours(backend, appid)
    async with written_down(backend, by, "access_token.refresh", appid=appid, reason=reason) as under_way:
        changed = await backend.access_tokens.forced(appid)
        under_way.in_vain = not changed
    return changed
