"""What an operator typed into the search field: recognised by its form, and turned into people where it names some."""

import re
from ipaddress import ip_network

import msgspec

from actions.backend import Backend
from stores.logins import sortable
from stores.scope import Scope
from stores.users import User

MOST_PEOPLE = 200  # whom a name may stand for; more of them are not looked for
MOST_SEARCH = 128
_PUBLIC_ID = re.compile(r"[0-9a-fA-F]{8,64}", re.ASCII)
_OPENID = re.compile(r"(?:(wx[0-9a-z]{16}):)?(o[A-Za-z0-9_-]{27})", re.ASCII)
_NAMED_OPENID = re.compile(r"(wx[0-9a-z]{16}):([A-Za-z0-9_-]{1,64})", re.ASCII)
_HIGHEST_ID = 2**63 - 1


class Search(msgspec.Struct, frozen=True):
    """What a search looks for. Four digits are a person's number and the end of a phone number: both are looked for.

    - 8 to 64 hexadecimal digits with a letter among them, or too many for a number: how a session's public id begins
    - digits: a person's number
    - an IPv4 or IPv6 address or network
    - `o…` of 28 characters, or `APPID:OPENID`: an openid
    - anything else: how a nickname begins
    """

    public_id: str | None = None
    user_id: int | None = None
    phone_tail: str | None = None
    addresses: tuple[bytes, bytes] | None = None
    openid: str | None = None
    appid: str | None = None  # in which the openid is somebody
    nickname: str | None = None

    @property
    def names_people(self) -> bool:
        """Whether somebody has to be looked for first."""
        return any(each is not None for each in (self.user_id, self.phone_tail, self.openid, self.nickname))

    @classmethod
    def of(cls, text: str) -> "Search":
        """What the text looks for; nothing in particular when it is empty."""
        if not text:
            return cls()
        if text.isascii() and text.isdigit() and len(text) <= 19:
            return cls(user_id=min(int(text), _HIGHEST_ID), phone_tail=text if len(text) == 4 else None)
        if _PUBLIC_ID.fullmatch(text):
            return cls(public_id=text.lower())
        if network := _network(text):
            return cls(addresses=network)
        if found := _OPENID.fullmatch(text) or _NAMED_OPENID.fullmatch(text):
            return cls(openid=found[2], appid=found[1])
        return cls(nickname=text)


def _network(text: str) -> tuple[bytes, bytes] | None:
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        return None
    first, last = sortable(str(network.network_address)), sortable(str(network.broadcast_address))
    return (first, last) if first is not None and last is not None else None


class Named(msgspec.Struct, frozen=True):
    """The people whom a search names, by their numbers; `only_some` when there are more than are looked for."""

    users: dict[int, User]
    only_some: bool


async def people_named(backend: Backend, scope: Scope, search: Search) -> Named:
    """Everybody whom the operator may see and the search names, at most MOST_PEOPLE. Raises UsersAway."""
    found: dict[int, User] = {}
    if search.user_id is not None:
        found |= await backend.users.find_all([search.user_id])
    if search.phone_tail is not None:
        found |= await backend.users.with_phone(search.phone_tail, scope, MOST_PEOPLE + 1)
    if search.openid is not None:
        found |= await backend.users.of_openid(search.openid, await _appids(backend, scope, search))
    if search.nickname is not None:
        found |= await backend.users.called(search.nickname, scope, MOST_PEOPLE + 1)
    seen = {user_id: user for user_id, user in found.items() if scope is None or user.appid in scope}
    newest = sorted(seen, reverse=True)[:MOST_PEOPLE]
    return Named({user_id: seen[user_id] for user_id in newest}, len(seen) > MOST_PEOPLE)


async def _appids(backend: Backend, scope: Scope, search: Search) -> list[str]:
    allowed = list(scope) if scope is not None else list(await backend.epochs.all())
    return [appid for appid in allowed if search.appid in (None, appid)]
