"""The second door to the network: one POST to an address that the operator has set, and what came back.

No redirect is followed, no proxy of the environment is used, certificates are verified, and neither the time nor the
size of an answer is left to the other side (OWASP ASVS 12.3.2, 15.3.2).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from wechat.wire import verifying_context

if TYPE_CHECKING:
    import aiohttp

CONNECT_SECONDS = 3.0
WHOLE_SECONDS = 10.0
MOST_BODY_BYTES = 64 * 1024


class NotSent(Exception):
    """No answer came; the text says why, without the address, which may hold a key."""


class Reply(msgspec.Struct, frozen=True):
    """What came back; a longer body is cut."""

    status: int
    body: bytes


class Outgoing:
    """The connections of this process to whoever is told something."""

    def __init__(self, cafile: str | None = None) -> None:
        """`cafile` adds a private certificate authority to the known ones, for tests."""
        self._cafile = cafile
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Sends it once. Raises NotSent."""
        import aiohttp  # here, because most commands send nothing and a start is quicker without it

        try:
            # Raised below, outside the except block, because aiohttp's errors hold the URL.
            async with self._open().post(url, data=body, headers=headers, allow_redirects=False) as response:
                return Reply(response.status, await _body(response))
        except TimeoutError:
            why = "no answer in time"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            why = type(error).__name__
        raise NotSent(why)

    def _open(self) -> "aiohttp.ClientSession":
        """The one session, made at the first call because aiohttp wants a running loop for it."""
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=20, force_close=True, ssl=verifying_context(self._cafile)),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=WHOLE_SECONDS, sock_connect=CONNECT_SECONDS),
                headers={"Accept-Encoding": "identity", "User-Agent": "Menshen"},
                auto_decompress=False,
                trust_env=False,
            )
        return self._session

    async def close(self) -> None:
        """Lets go."""
        if self._session is not None:
            await self._session.close()


async def _body(response: "aiohttp.ClientResponse") -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) >= MOST_BODY_BYTES:
            break
    return bytes(body[:MOST_BODY_BYTES])
