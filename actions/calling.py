"""Calls to WeChat on a person's behalf, after the login: how long they may take, how many, and what to do after one."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from actions.per_minute import WINDOW_SECONDS
from stores.errors import StoreTrouble
from stores.sessions import Session
from wechat.crypto import SealBroken
from wechat.errors import NotSeenLately, WeChatMisconfigured, WeChatTrouble

if TYPE_CHECKING:
    from actions.backend import Backend

CALL_SECONDS = 4.0  # WeChat interrupts a request 5 s after the mini program went to the background
CALLS_PER_MINUTE = 30  # of one person; each may cost one of the mini program's calls at WeChat


class CallsUsedUp(Exception):
    """This person has asked for too many calls to WeChat in this minute; `retry_after_seconds` until the next."""

    errcode = 429001

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__()
        self.retry_after_seconds = retry_after_seconds


class CallFailed(Exception):
    """A call that led nowhere: `cause` says why. The session is as good as before, so `retry` never says login."""

    def __init__(self, cause: WeChatTrouble | StoreTrouble, retry: Literal["backoff", "fix"]) -> None:
        super().__init__()
        self.cause = cause
        self.retry = retry


@contextlib.contextmanager
def asking() -> Iterator[None]:
    """Around a call that may be made again as it was: what goes wrong is CallFailed with `backoff`.

    But for WeChatMisconfigured, which waits for the operator, and NotSeenLately, after which the phone logs in.
    """
    try:
        yield
    except (WeChatMisconfigured, NotSeenLately):
        raise
    except WeChatTrouble as failed:
        raise CallFailed(failed, "backoff") from None


def call_deadline() -> float:
    """When a call that begins now has to be over, by the running loop's clock."""
    return asyncio.get_running_loop().time() + CALL_SECONDS


async def count_call(backend: "Backend", session: Session) -> None:
    """Counts one call of this person. Raises CallsUsedUp, SessionsAway."""
    now = backend.now()
    tally = f"call:{session.user_id}:{now // WINDOW_SECONDS}"
    if (await backend.sessions.add_tallies({tally: 1}))[tally] > CALLS_PER_MINUTE:
        raise CallsUsedUp(WINDOW_SECONDS - now % WINDOW_SECONDS)


def session_key_of(backend: "Backend", session: Session) -> bytes | None:
    """The session_key of this login, never to leave this server; None where there is none or it does not open."""
    try:
        return backend.seal.open(session.sealed_key, session.id)
    except SealBroken:
        return None
