"""The verbs about keys of your other back ends: who they are, what each may do, and for which mini programs."""

import re
from collections.abc import Collection

from actions.backend import Backend
from actions.deeds import Actor, entry_of
from actions.texts import has_controls
from stores.audit import Entry
from stores.service_keys import NewKey, NoSuchKey, ServiceKey, key_hash, new_key
from values import Confidential

SCOPES = ("introspect", "users", "revoke", "block", "relay", "access-token", "metrics")
MOST_NOTE = 200
MOST_PATHS = 50
LONGEST_SECONDS = 10 * 366 * 86_400
_MOST_PATHS_TEXT, _MOST_APPIDS_TEXT = 4_000, 2_000  # as wide as their columns
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,31}", re.ASCII)
_PATH = re.compile(r"/[A-Za-z0-9_.~/-]{0,199}", re.ASCII)


class WrongKey(Exception):
    """No service key was sent, or one that opens nothing: unknown, revoked or too old."""


class ScopeMissing(Exception):
    """The key is good, and this is not what it is for; `key` is which."""

    def __init__(self, key: ServiceKey) -> None:
        super().__init__(key.name)
        self.key = key


class KeyRefused(Exception):
    """A key like that cannot be made; `field` says what is wrong with it."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


class AddedKey(Confidential, frozen=True):
    """A new key, with its text, which nobody can show a second time."""

    key: ServiceKey
    text: str


async def add_key(
    backend: Backend,
    by: Actor,
    name: str,
    scopes: Collection[str],
    *,
    note: str | None = None,
    appids: Collection[str] | None = None,
    paths: Collection[str] = (),
    expires_at: int | None = None,
) -> AddedKey:
    """Makes a key; it holds from now on. `paths` are the beginnings of WeChat's paths that a relay takes.

    Raises KeyRefused, KeyNameTaken.
    """
    note = (note or "").strip() or None
    _check(backend, name, scopes, note, appids, paths, expires_at)
    text = new_key()
    new = NewKey(name, set(scopes), note, appids, tuple(dict.fromkeys(paths)), expires_at)
    entry = _entry(backend, by, "key.add", name, ",".join(sorted(set(scopes))))
    return AddedKey(await backend.service_keys.add(text, new, entry), text)


def _check(
    backend: Backend,
    name: str,
    scopes: Collection[str],
    note: str | None,
    appids: Collection[str] | None,
    paths: Collection[str],
    expires_at: int | None,
) -> None:
    """Raises KeyRefused for the first thing that is wrong."""
    faults = {
        "name": not _NAME.fullmatch(name),
        "scope": not scopes or not set(scopes) <= set(SCOPES),
        "note": note is not None and (len(note) > MOST_NOTE or has_controls(note)),
        "apps": appids is not None and (not appids or len(",".join(appids)) > _MOST_APPIDS_TEXT),
        "paths": not _good_paths(paths) or ("relay" in scopes) != bool(paths),
        "expires": expires_at is not None and not 0 < expires_at - backend.now() <= LONGEST_SECONDS,
    }
    for field, wrong in faults.items():
        if wrong:
            raise KeyRefused(field)


def _good_paths(paths: Collection[str]) -> bool:
    """Beginnings of paths without steps that lead elsewhere."""
    if len(paths) > MOST_PATHS or len("\n".join(paths)) > _MOST_PATHS_TEXT:
        return False
    return all(_PATH.fullmatch(path) and not {".", "..", ""} & set(path[1:].split("/")[:-1]) for path in paths)


async def revoke_key(backend: Backend, by: Actor, key_id: int) -> ServiceKey:
    """Dead from the next request on, in every process. Raises NoSuchKey."""
    key = await backend.service_keys.get(key_id)
    if key.revoked_at is not None:
        raise NoSuchKey
    return await backend.service_keys.revoke(key_id, _entry(backend, by, "key.revoke", key.name))


async def caller_with(backend: Backend, text: str | None, scope: str, address: str) -> ServiceKey:
    """The key of a request, which must have this scope. Asks the database each time.

    Raises WrongKey, ScopeMissing, TooManyCalls, TooManyUnknownTokens (too many wrong keys of one address), UsersAway.
    """
    now = backend.now()
    try:
        key = await _find(backend, text or "", now)
    except NoSuchKey:
        if text:
            backend.unknown_tokens.count(address, now)
        raise WrongKey from None
    backend.key_uses.count(str(key.id), now)
    backend.service_keys.used(key, now)
    if scope not in key.scopes:
        raise ScopeMissing(key)
    return key


async def _find(backend: Backend, text: str, now: int) -> ServiceKey:
    hashed = key_hash(text)
    if hashed is None:
        raise NoSuchKey  # the database is not asked about what cannot be a key
    key = await backend.service_keys.find(hashed)
    if not key.holds(now):
        raise NoSuchKey
    return key


def _entry(backend: Backend, by: Actor, deed: str, name: str, reason: str | None = None) -> Entry:
    return entry_of(backend, by, deed, target=f"key:{name}", reason=reason)
