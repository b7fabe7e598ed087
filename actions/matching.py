"""Everything that fits a question, not one page of it: what a revocation by filter would end, and what it then ends."""

import time
from collections.abc import AsyncIterator

import msgspec
from msgspec.structs import replace

from actions.backend import Backend
from actions.lists import SessionRow, named_by, rows_of, sought_by, visible
from actions.questions import Question
from stores.logins import Login
from stores.scope import Scope
from stores.sessions import Session

MOST_COUNTED = 100_000
PREVIEW_SECONDS = 3.0
_SAMPLE = 10
_AT_ONCE = 200  # few enough that a verify in between waits for milliseconds
_YEAR = 365 * 86_400  # the longest life that SESSION_SECONDS takes


class Preview(msgspec.Struct, frozen=True):
    """What fits now. When it is not `whole` there is more: counting stopped at MOST_COUNTED or took too long.

    `only_some`: the search names more people than are looked for, and the sessions of the others are not meant.
    """

    sessions: int
    users: int
    sample: list[SessionRow]
    whole: bool
    only_some: bool = False


async def preview(
    backend: Backend,
    scope: Scope,
    question: Question,
    most: int = MOST_COUNTED,
    seconds: float = PREVIEW_SECONDS,
) -> Preview:
    """Counts the sessions that hold and fit, and their people, and shows the first few. Raises as `ids_matching`."""
    deadline = time.monotonic() + seconds
    sessions, people, first = 0, set[int](), list[Login]()
    whole = True
    async for logins, held in _matching(backend, scope, question):
        first += [login for login in logins if login.id in held][: _SAMPLE - len(first)]
        sessions += len(held)
        people |= {session.user_id for session in held.values()}
        if sessions > most or time.monotonic() > deadline:
            whole = False
            break
    named = await named_by(backend, scope, question.search)
    only_some = named is not None and named.only_some
    return Preview(min(sessions, most), len(people), await rows_of(backend, first), whole, only_some)


async def ids_matching(backend: Backend, scope: Scope, question: Question) -> AsyncIterator[list[bytes]]:
    """The ids of all sessions that hold and fit, a few hundred at a time, whatever the number.

    Sessions that begin meanwhile are not among them. Raises UsersAway, SessionsAway, wherever it stands then.
    """
    async for _, held in _matching(backend, scope, question):
        if held:
            yield list(held)


async def _matching(
    backend: Backend, scope: Scope, question: Question
) -> AsyncIterator[tuple[list[Login], dict[bytes, Session]]]:
    """Step by step the logins that may hold, and those of them that the session store says do."""
    await backend.logins.flush()
    search = question.search
    if search.public_id is not None:
        found = await backend.logins.beginning_with(search.public_id, _AT_ONCE)
        seen = visible(found, scope)
        yield seen, await _held(backend, seen)
        return
    if question.state not in ("live", "any"):
        return
    named = await named_by(backend, scope, search)
    # A list may leave out what today's settings say has expired; here the session store alone decides.
    now, fitting = backend.now(), sought_by(backend, scope, question, named)
    sought = replace(
        fitting,
        state="live",
        oldest_live=max(now - _YEAR, 0),
        oldest_use=0,
        created_to=min(fitting.created_to, now),
    )
    place = None
    while True:
        page = await backend.logins.page(sought, "created", place, _AT_ONCE)
        yield page.logins, await _held(backend, page.logins)
        if page.more is None:
            return
        place = page.more


async def _held(backend: Backend, logins: list[Login]) -> dict[bytes, Session]:
    return await backend.sessions.holding([login.id for login in logins], backend.now())
