"""What operators do about sessions: end one, several, a person's, all that a filter fits, everybody's; take it back."""

from collections.abc import AsyncIterator, Collection, Sequence

import msgspec

from actions.backend import Backend
from actions.deeds import Actor, written_down
from actions.sessions import Ended, checked, end_all_of, end_these, find_session
from actions.webhooks import tell
from stores.errors import StoreTrouble
from stores.sessions import Session
from stores.users import User

MOST_CHOSEN = 500
_SHOWN = 8  # characters of a public id, as lists show them
_MOST_NAMED = 19  # of a selection, in its row of the audit
_AT_ONCE = 200


class BadSelection(Exception):
    """Nothing was chosen, or more than MOST_CHOSEN at once, or something that is no session's public id."""


class Restored(msgspec.Struct, frozen=True):
    """What an undo brought back; less than was asked for when some of it could not come back any more."""

    sessions: int
    users: int


async def revoke(
    backend: Backend, by: Actor, public_id: str, *, reason: str | None = None, undoable: bool = False
) -> Ended:
    """Ends one session. One that has ended already is no error, counts 0, and the audit says so.

    With `undoable` the same actor may take it back within a minute. Raises as `find_session` does, and AuditAway.
    """
    wanted = checked(public_id)
    if len(wanted) < 64:  # a whole id needs no list to be looked up in
        wanted = (await find_session(backend, wanted)).id.hex()
    ids = [bytes.fromhex(wanted)]
    live = await _live(backend, ids)
    async with written_down(
        backend,
        by,
        "session.revoke",
        result=_result(live),
        target=f"session:{wanted}",
        appid=_appid(live),
        reason=reason,
    ):
        ended = await end_these(backend, ids, "revoked", undo_by=_undo_by(backend, by) if undoable else None)
    await _tell(backend, "session", _appid(live), ended, user_id=live[0].user_id if live else None)
    return ended


async def revoke_selection(backend: Backend, by: Actor, ids: Sequence[str], *, reason: str | None = None) -> Ended:
    """Ends the sessions of these whole public ids; the same actor may take it back within a minute.

    Raises BadSelection, AuditAway.
    """
    chosen = _chosen(ids)
    live = await _live(backend, chosen)
    async with written_down(
        backend,
        by,
        "selection.revoke",
        result=_result(live),
        target=_named(chosen),
        appid=_appid(live),
        count=len(chosen) if live is None else len(live),
        reason=reason,
    ):
        ended = await end_these(backend, chosen, "revoked", undo_by=_undo_by(backend, by))
    await _tell(backend, "selection", _appid(live), ended)
    return ended


async def revoke_user(backend: Backend, by: Actor, user: User, *, reason: str | None = None) -> Ended:
    """Ends every session of one person; it cannot be taken back. Raises AuditAway."""
    async with written_down(backend, by, "user.revoke", target=f"user:{user.id}", appid=user.appid, reason=reason):
        ended = await end_all_of(backend, user.id, user.appid, "revoked")
    await _tell(backend, "user", user.appid, ended, user_id=user.id)
    return ended


async def revoke_matching(
    backend: Backend,
    by: Actor,
    description: str,
    batches: AsyncIterator[Sequence[bytes]],
    count: int,
    *,
    reason: str | None = None,
) -> Ended:
    """Ends what a filter fits, batch by batch; it cannot be taken back.

    `description` says which filter, `count` how many the dry run found. When a store fails half-way, the second row of
    the audit says how many had been ended by then. Raises AuditAway, and what the batches raise.
    """
    ended, people = 0, set[int]()
    async with written_down(
        backend, by, "filter.revoke", target=f"filter:{description}", count=count, reason=reason
    ) as under_way:
        under_way.reached = 0
        async for batch in batches:
            for start in range(0, len(batch), _AT_ONCE):
                now = backend.now()
                done = await backend.sessions.end(batch[start : start + _AT_ONCE], "revoked", now)
                backend.logins.ended([session.id for session in done], "revoked", now)
                backend.key_resets.after(done)
                people |= {session.user_id for session in done}
                under_way.reached = ended = ended + len(done)
    done_all = Ended(ended, len(people))
    await _tell(backend, "filter", None, done_all)
    return done_all


async def revoke_everybody(
    backend: Backend, by: Actor, *, reason: str | None = None, appids: Collection[str] | None = None
) -> Ended:
    """Ends every session of every mini program, or of these, by one number each, at once at any size. Raises AuditAway.

    The number is raised in SQL first, so that it outlives a session store that forgets. Counts sessions; whose they
    were is not counted, because that would be a scan (`users` is 0).
    """
    known = await backend.epochs.know(app.appid for app in backend.settings.apps)
    wanted = [appid for appid in known if appids is None or appid in appids]
    ended = sum([await backend.sessions.count(appid, backend.now()) for appid in wanted])
    async with written_down(
        backend,
        by,
        "everybody.revoke",
        target=None if appids is None else f"apps:{','.join(wanted)}",
        appid=wanted[0] if appids is not None and len(wanted) == 1 else None,
        count=ended,
        reason=reason,
    ):
        for appid in wanted:
            await backend.epochs.raise_for(appid, backend.now())
        await backend.sessions.set_epochs(await backend.epochs.all())
    alone = wanted[0] if len(wanted) == 1 else None
    await tell(backend, "session.revoked", alone, scope="everybody", count=ended, appids=wanted)
    return Ended(ended, 0)


async def undo(backend: Backend, by: Actor, ids: Sequence[str]) -> Restored:
    """Brings back what the same actor revoked within the last minute, as far as it still may come back.

    Only `revoke` with `undoable` and `revoke_selection` can be taken back. When nothing comes back, the audit says that
    it failed. Raises BadSelection, AuditAway.
    """
    chosen = _chosen(ids)
    async with written_down(backend, by, "session.undo", target=_named(chosen), count=len(chosen)) as under_way:
        returned = await backend.sessions.restore(chosen, _name(by), backend.now())
        await backend.logins.flush()  # that they ended, before that they hold again
        backend.logins.restored([session.id for session in returned])
        await backend.logins.flush()  # a session store that restarts now asks these rows what to end again
        under_way.reached, under_way.in_vain = len(returned), not returned
    return Restored(len(returned), len({session.user_id for session in returned}))


async def _tell(backend: Backend, scope: str, appid: str | None, ended: Ended, *, user_id: int | None = None) -> None:
    """One event for the whole deed, as the audit has one row; none when nothing had been left to end."""
    if ended.sessions:
        await tell(backend, "session.revoked", appid, user_id=user_id, scope=scope, count=ended.sessions)


def _name(by: Actor) -> str:
    """Whose undo it is, as long as the stores keep it."""
    return by.name[:80]


def _undo_by(backend: Backend, by: Actor) -> str | None:
    """Who may take it back; nobody where the key is reset at WeChat, because that cannot be."""
    return None if backend.key_resets.wanted else _name(by)


def _chosen(ids: Sequence[str]) -> list[bytes]:
    wanted = list(dict.fromkeys(ids))
    if not 0 < len(wanted) <= MOST_CHOSEN or any(len(each) != 64 for each in wanted):
        raise BadSelection
    return [bytes.fromhex(checked(each)) for each in wanted]


def _named(ids: Sequence[bytes]) -> str:
    """The target of a deed on several sessions, short enough for its column."""
    if len(ids) == 1:
        return f"session:{ids[0].hex()}"
    more = f" and {len(ids) - _MOST_NAMED} more" if len(ids) > _MOST_NAMED else ""
    return f"sessions:{','.join(each.hex()[:_SHOWN] for each in ids[:_MOST_NAMED])}{more}"


async def _live(backend: Backend, ids: list[bytes]) -> list[Session] | None:
    """Those that hold; None while the session store cannot say, which the deed itself will then tell."""
    try:
        return list((await backend.sessions.holding(ids, backend.now())).values())
    except StoreTrouble:
        return None


def _appid(live: list[Session] | None) -> str | None:
    """The mini program that all of them are of."""
    appids = {session.appid for session in live or ()}
    return appids.pop() if len(appids) == 1 else None


def _result(live: list[Session] | None) -> str:
    return "already ended" if live == [] else "done"
