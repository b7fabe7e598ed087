"""The session_keys that are made worthless at WeChat after a revocation, behind everybody's back and one by one."""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable

from actions.calling import CALL_SECONDS
from stores.errors import StoreTrouble
from stores.sessions import Session
from stores.users import NoSuchUser, Users
from wechat.client import WeChat
from wechat.crypto import Seal, SealBroken
from wechat.errors import WeChatMisconfigured, WeChatTrouble

log = logging.getLogger("menshen.session_keys")

MOST_WAITING = 1_000


async def reset_at_wechat(wechat: WeChat, appid: str, openid: str, key: bytes) -> bool:
    """Whether there was something to reset. Raises a WeChatTrouble when it certainly was not done."""
    deadline = asyncio.get_running_loop().time() + CALL_SECONDS
    try:
        return await wechat.calls.reset_key(appid, openid, key, deadline)
    except WeChatTrouble as trouble:
        if isinstance(trouble, WeChatMisconfigured) or not trouble.code_spent:
            raise
        return True


class KeyResets:
    """The keys that wait to be made worthless after a revocation: in the background, one after the other.

    What waits is lost when the process ends; the sessions themselves have ended long before.
    """

    def __init__(self, wechat: WeChat, users: Users, seal: Seal, wanted: bool) -> None:
        """`wanted` is the setting RESET_KEY_ON_REVOKE; without it nothing is done."""
        self._wechat = wechat
        self._users = users
        self._seal = seal
        self.wanted = wanted
        self._waiting: deque[Session] = deque()
        self._worker: asyncio.Task[None] | None = None

    def after(self, ended: Iterable[Session]) -> None:
        """Takes on the keys of sessions that were just revoked, one key for each person. Never waits, never raises."""
        if not self.wanted:
            return
        newest: dict[int, Session] = {}
        for session in sorted(ended, key=lambda each: each.created_at):
            newest[session.user_id] = session
        room = MOST_WAITING - len(self._waiting)
        if len(newest) > room:
            log.warning("%d session keys are not reset at WeChat: too many wait already", len(newest) - room)
        self._waiting.extend(list(newest.values())[:room])
        if self._waiting and (self._worker is None or self._worker.done()):
            self._worker = asyncio.ensure_future(self._work())

    async def close(self) -> None:
        """Lets the reset that is under way end, and forgets the others."""
        if self._waiting:
            log.warning("%d session keys were not reset at WeChat before the end", len(self._waiting))
        self._waiting.clear()
        if self._worker is not None:
            await self._worker

    async def _work(self) -> None:
        while self._waiting:
            session = self._waiting.popleft()
            try:
                openid = (await self._users.find(session.user_id)).openid
                key = self._seal.open(session.sealed_key, session.id)
                await reset_at_wechat(self._wechat, session.appid, openid, key)
            except (NoSuchUser, SealBroken):
                continue  # erased meanwhile, or no key of ours: there is nothing to reset
            except (WeChatTrouble, StoreTrouble) as trouble:
                log.warning("a session key was not reset at WeChat: %s", trouble)
            except Exception:
                log.exception("a session key was not reset at WeChat")
