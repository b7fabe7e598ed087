"""Who is in: what every session engine promises, whether it keeps its word in Redis or in SQL.

- A session is found by the SHA-256 of its token, and by nothing that could be turned back into the token.
- When `end` has returned, no look-up anywhere finds the session again.
- A session holds only while its epoch equals the counter of its mini program, so that raising one number ends all.
- Opening writes the session and its place in every index together, or nothing that anybody could use.
- A store that is away is SessionsAway, never SessionGone: the phone must keep its token.
"""

import hashlib
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from values import Confidential

Reason = Literal["expired", "logged_out", "replaced", "revoked", "blocked"]
Overflow = Literal["oldest", "refuse"]

PREFIX = "mps_"  # scanners for leaked credentials can be taught it
_TOKEN = re.compile(PREFIX + r"[A-Za-z0-9_-]{43}", re.ASCII)

MEMORY_SECONDS = 86_400  # an ended session is told why it ended for a day
CLAIM_SECONDS = 600  # WeChat's codes live five minutes; remembered twice as long
TALLY_SECONDS = 60
UNDO_SECONDS = 60  # how long what is needed to bring a session back is kept
MOST_LISTED = 500  # of one person's sessions, the newest
ERASED = 2**53 - 1  # the generation of somebody who is no more, higher than any other and exact as a double


class SessionGone(Exception):
    """The token opens nothing. `reason` is None for a token that nobody can prove was ever issued."""

    def __init__(self, reason: Reason | None = None) -> None:
        super().__init__(reason)
        self.reason = reason


class TooManySessions(Exception):
    """The person has as many sessions as SESSIONS_PER_USER allows, and SESSIONS_OVERFLOW says refuse."""


class PersonChanged(Exception):
    """The person was blocked or erased while the login was under way: look again."""


def new_token() -> str:
    """A token of 256 bits from the operating system (OWASP ASVS 7.2.3 asks for 128)."""
    return PREFIX + secrets.token_urlsafe(32)


def session_id(token: str) -> bytes | None:
    """The 32 bytes under which a token's session is kept; None when no token of ours looks like that."""
    return hashlib.sha256(token.encode("ascii")).digest() if _TOKEN.fullmatch(token) else None


class Session(Confidential, frozen=True):
    """One login that holds. Times are epoch seconds.

    `ends_at` is the moment that no use can push back; `expires_at` is when it ends if it is not used again, which is
    the same unless sessions slide or idle out.
    """

    id: bytes
    user_id: int
    appid: str
    epoch: int
    created_at: int
    ends_at: int
    expires_at: int
    sealed_key: bytes


class Opening(Confidential, frozen=True):
    """What a new session is made of."""

    id: bytes
    user_id: int
    appid: str
    created_at: int
    ends_at: int
    expires_at: int
    sealed_key: bytes
    generation: int  # of the person, as read just before: a block since then refuses the session
    limit: int  # sessions a person may have, 0 for any number
    overflow: Overflow
    replaces: bytes | None = None  # the session that the phone logs in over: it ends, and does not count (ASVS 7.2.4)

    def in_epoch(self, epoch: int) -> Session:
        """The session that this opens when the counter of its mini program stands there."""
        return Session(
            self.id,
            self.user_id,
            self.appid,
            epoch,
            self.created_at,
            self.ends_at,
            self.expires_at,
            self.sealed_key,
        )


class Opened(msgspec.Struct, frozen=True):
    """A session that has begun, in the epoch of that moment, and the ids of those that were ended to make room."""

    session: Session
    replaced: list[bytes]


class Admission(msgspec.Struct, frozen=True):
    """What the session store says before WeChat is asked: whether the code is ours to ask about, and the tally."""

    claimed: bool
    tally: int


class Advice(str):
    """A sentence about a setting of the store that puts sessions at risk; `key` is its name in a table of words."""

    key: str
    value: str

    def __new__(cls, key: str, sentence: str, value: str = "") -> "Advice":
        """`value` is what the setting is now, where the words want to name it."""
        advice = super().__new__(cls, sentence)
        advice.key, advice.value = key, value
        return advice


class Sessions(Protocol):
    """The promise. Every call raises SessionsAway or StoreFull in bounded time; `now` is always epoch seconds."""

    async def start(self) -> None:
        """Connects. Raises WrongCredentials; a store that is merely away is no error."""

    async def ping(self) -> None:
        """Returns when the store can serve a verify."""

    async def advice(self) -> list[Advice]:
        """Sentences about settings of the store that put sessions at risk; empty when all is well."""

    async def admit(self, code_hash: bytes, tally: str) -> Admission:
        """One round trip before a login: the store answers, the code is claimed, and one more is added to the tally."""

    async def give_back(self, code_hash: bytes) -> None:
        """Undoes the claim: WeChat was not asked, the code is still good."""

    async def add_tallies(self, tallies: Mapping[str, int]) -> dict[str, int]:
        """Adds to several tallies of this minute; gives where each stands now."""

    def new_token(self, user_id: int) -> str:
        """A token for a new session of this person; where people lie apart, one whose session lies beside theirs."""

    async def open(self, opening: Opening, now: int) -> Opened:
        """Begins a session; gives it, and the ids of those that were ended to make room.

        Raises TooManySessions, PersonChanged.
        """

    async def find(self, session: bytes, now: int) -> Session:
        """The session of this id, asked of the store each time. Raises SessionGone."""

    async def end(
        self, sessions: Iterable[bytes], reason: Reason, now: int, undo_by: str | None = None
    ) -> list[Session]:
        """Ends these; gives those that held until now. Ids of nothing, or of what had ended before, are passed over.

        With `undo_by` that one may bring them back for UNDO_SECONDS, and the sealed keys wait as long. Whoever ends a
        session again, be it for another's sake or without `undo_by`, ends that too. A full store ends them for good.
        """

    async def restore(self, sessions: Iterable[bytes], by: str, now: int) -> list[Session]:
        """Brings back those that `by` ended with `undo_by` within UNDO_SECONDS; gives those that hold again.

        Each has the end that it had. Never one that would have expired meanwhile, whose epoch is over, whose person was
        blocked or erased since, or that was ended again: of a restore and any of these at the same time, the restore
        loses. SESSIONS_PER_USER is not asked: a person who logged in meanwhile may have more for a while.
        """

    async def bar(self, user_id: int, generation: int) -> None:
        """From here on no login that read an older generation of this person can open a session.

        Nor can a session of theirs that was ended before be brought back.
        """

    async def end_some(self, user_id: int, appid: str, reason: Reason, now: int) -> list[Session] | None:
        """Ends a few hundred of a person's sessions; gives those that held. None when there are none left.

        When it has given None, nothing that had been ended before can be brought back either.
        """

    async def holding(self, ids: list[bytes], now: int) -> dict[bytes, Session]:
        """Those of these sessions that hold, asked of the store in one go: the truth for the rows of a list."""

    async def live(self, user_id: int, appid: str, now: int, most: int = MOST_LISTED) -> list[Session]:
        """A person's sessions that hold, the one that ends last at the top."""

    async def count(self, appid: str, now: int) -> int:
        """How many sessions hold in one mini program."""

    async def touch(self, used: Mapping[Session, int], now: int) -> None:
        """Use was seen: each session lives at least until the moment given, unless it has ended. Never revives one."""

    async def set_epochs(self, epochs: Mapping[str, int]) -> None:
        """Makes these counters hold, unless higher ones already do; every session of a lower one is over."""

    async def adopt(self, sessions: Sequence[Session], now: int) -> None:
        """Takes over sessions that hold elsewhere, each as it is. Nobody may be served meanwhile."""

    async def sweep(self, now: int) -> int:
        """Forgets a few hundred of what ended more than a day ago; gives how many. Call again until it gives 0."""

    async def close(self) -> None:
        """Lets go."""
