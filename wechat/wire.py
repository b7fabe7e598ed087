"""The way to WeChat: one request at a time, honest about what was sent and what came back."""

import asyncio
import logging
import ssl
from collections.abc import Sequence
from typing import TYPE_CHECKING

import certifi
import msgspec

from values import Confidential
from wechat.answers import Reply
from wechat.errors import WeChatMisconfigured, WeChatSilent, WeChatTrouble, WeChatUnreachable, WeChatUnusable

if TYPE_CHECKING:
    from wechat.connections import Connections

MOST_BODY_BYTES = 64 * 1024

logger = logging.getLogger("menshen.wechat")


class Question(Confidential, frozen=True):
    """One HTTP request to WeChat. `whole` asks for the body of any status, not only of 200."""

    method: str
    path: str
    query: Sequence[tuple[str, str]]
    body: bytes | None = None
    content_type: str = "application/json"
    most_bytes: int = MOST_BODY_BYTES
    whole: bool = False


class Ending(msgspec.Struct, frozen=True):
    """How a request ended; `unsent` says that no byte of it left us and that it may be tried once more."""

    outcome: Reply | WeChatTrouble
    unsent: bool = False


class Wire:
    """The connections of one process to one WeChat, opened when the first of them is needed or told to be.

    The roots of TLS take their time to load, which verifies need not wait for, nor commands at all.
    """

    def __init__(self, base: str, cafile: str | None = None) -> None:
        """`base` is scheme and host; `cafile` adds a private certificate authority to the known ones, for tests."""
        self._to = (base.rstrip("/"), cafile)
        self._connections: Connections | None = None
        self._opening: asyncio.Task[Connections] | None = None

    async def open(self) -> "Connections":
        """Loads what the first question needs, in a thread, so that nobody else waits for it.

        Raises OSError when the roots of TLS cannot be read; the next one who asks tries it anew.
        """
        if self._connections is not None:
            return self._connections
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
        return await asyncio.shield(self._opening)  # shielded: others may wait for it as well

    async def ask(self, question: Question, deadline: float) -> Ending:
        """One request, `deadline` by the running loop's clock; troubles are given, not raised."""
        try:
            connections = self._connections or await self.open()
        except OSError:
            return Ending(WeChatUnreachable("the roots of TLS cannot be read"))
        return await connections.ask(question, deadline)

    async def close(self) -> None:
        """Closes the kept connections; questions still under way end as WeChatUnusable."""
        if self._connections is not None:
            await self._connections.close()

    async def _open(self) -> "Connections":
        try:
            self._connections = await asyncio.to_thread(_connections, *self._to)
        finally:
            self._opening = None
        return self._connections


def _connections(base: str, cafile: str | None) -> "Connections":
    from wechat.connections import Connections

    return Connections(base, cafile)


def verifying_context(cafile: str | None = None) -> ssl.SSLContext:
    """TLS 1.2 or later, certificates verified against the system's roots, certifi's, and those in `cafile`.

    A bundled OpenSSL looks for roots where its builder kept them, and finds none on many systems; certifi's are along.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(certifi.where())
    if cafile is not None:
        context.load_verify_locations(cafile)
    return context


def log_trouble(appid: str, trouble: WeChatTrouble) -> None:
    """One line for what an operator should know; what a phone did wrong is only counted."""
    if isinstance(trouble, WeChatMisconfigured):
        logger.error("app %s: %s", appid, trouble)
    elif isinstance(trouble, WeChatUnusable | WeChatUnreachable | WeChatSilent):
        logger.warning("app %s: %s", appid, trouble)
