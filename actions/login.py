"""Log in: a code from wx.login becomes a person, a session and a token, or says exactly why not.

The order of work makes the answers honest. Whatever can refuse without spending the phone's code comes before WeChat is
asked; whatever fails afterwards says "call wx.login again", because WeChat's codes work once.
"""

import asyncio
import contextlib
import hashlib

import msgspec
from msgspec.structs import replace

from actions.apps import one_of_ours
from actions.backend import Backend
from actions.calling import CallFailed
from actions.codes import CodeMalformed, checked_code
from actions.flights import Flight
from actions.outcomes import note_answer, note_login, note_refusal
from actions.per_minute import WINDOW_SECONDS, limited_as
from actions.phone import phone_of
from actions.webhooks import event, named
from stores.errors import SessionsAway, StoreTrouble, UsersAway
from stores.logins import Login, sortable
from stores.sessions import Opening, PersonChanged, Session, session_id
from stores.users import NoSuchUser, Seen, User
from values import Confidential
from wechat.answers import Identity
from wechat.crypto import person_mark
from wechat.errors import CodeUsed, WeChatSilent, WeChatTrouble

LOGIN_SECONDS = 4.0  # WeChat interrupts a request 5 s after the mini program went to the background
_KEPT_FOR_STORES_SECONDS = 0.5
_LOOKS_AT_THE_PERSON = 3


class TooManyLogins(Exception):
    """This address has begun too many logins in this minute; `retry_after_seconds` until the next."""

    errcode = 429001

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__()
        self.retry_after_seconds = retry_after_seconds


class CodeSpent(Exception):
    """A store failed after WeChat had been asked: `cause` says which, and the phone needs a new code."""

    def __init__(self, cause: StoreTrouble) -> None:
        super().__init__()
        self.cause = cause


class Caller(msgspec.Struct, frozen=True):
    """Who asks, as far as the request tells; none of it is proof of anything. `address` is an IP address."""

    address: str
    platform: str | None = None
    version: str | None = None
    environment: str | None = None
    device: str | None = None
    wechat: str | None = None  # the version of WeChat itself

    @property
    def limited_as(self) -> str:
        """What limits count: the address, or the /64 that one IPv6 customer has to himself."""
        return limited_as(self.address)


class LoggedIn(Confidential, frozen=True):
    """What the phone gets: its token, the seconds it lives, and the person."""

    token: str
    expires_in: int
    user: User
    new: bool
    phone_trouble: Exception | None = None


async def log_in(
    backend: Backend,
    *,
    code: str,
    appid: str | None,
    caller: Caller,
    replaces: str | None = None,
    phone_code: str | None = None,
) -> LoggedIn:
    """Exchanges a code of wx.login for a token. `replaces` is a token the phone still holds; it ends.

    `phone_code` is that of a getPhoneNumber button: the number is kept after the session has begun, and when that
    fails the login succeeds all the same and `phone_trouble` says why.

    Raises CodeMalformed, UnknownApp, TooManyLogins, WeChatTrouble and its kinds, SessionsAway, UsersAway, StoreFull,
    CodeSpent, UserBlocked, SignupClosed, TooManySessions.
    """
    checked_code(code)
    named = one_of_ours(backend, appid)
    old = session_id(replaces) if replaces else None

    async def route(flight: Flight) -> LoggedIn:
        try:
            logged_in = await _fly(backend, flight, named, code, caller, old, phone_code)
        except Exception as refused:
            note_refusal(backend, named, caller, refused)
            raise
        note_login(backend, named, caller, logged_in)
        return logged_in

    return await backend.flights.join(named, code, route)


async def _fly(
    backend: Backend,
    flight: Flight,
    appid: str,
    code: str,
    caller: Caller,
    old: bytes | None,
    phone_code: str | None,
) -> LoggedIn:
    deadline = asyncio.get_running_loop().time() + LOGIN_SECONDS
    await _claim(backend, appid, code, caller)
    identity = await _identify(backend, appid, code, caller, deadline)
    try:
        async with asyncio.timeout_at(deadline):
            logged_in = await _open(backend, appid, identity, caller, old)
    except TimeoutError:
        raise CodeSpent(UsersAway("the login took too long")) from None
    except StoreTrouble as trouble:
        raise CodeSpent(trouble) from None
    if phone_code is not None and flight.passengers:
        logged_in = await _with_phone(backend, logged_in, phone_code, deadline)
    if not flight.passengers:
        await _give_up(backend, logged_in)
    return logged_in


async def _with_phone(backend: Backend, logged_in: LoggedIn, phone_code: str, deadline: float) -> LoggedIn:
    """The login with the phone number, or with the reason why there is none; it never fails for its sake."""
    trouble: Exception
    try:
        async with asyncio.timeout_at(deadline):
            user = await phone_of(backend, logged_in.user, checked_code(phone_code), deadline)
        return replace(logged_in, user=user)
    except TimeoutError:
        trouble = CallFailed(WeChatSilent(), "fix")
    except (CodeMalformed, CallFailed, WeChatTrouble, StoreTrouble, NoSuchUser) as failed:
        trouble = failed
    return replace(logged_in, phone_trouble=trouble)


async def _give_up(backend: Backend, logged_in: LoggedIn) -> None:
    """Nobody is left to receive the token: its session ends, and whoever joins while it does is told a new code."""
    nobodys = session_id(logged_in.token)
    if nobodys is not None:
        with contextlib.suppress(StoreTrouble):
            await backend.sessions.end([nobodys], "replaced", backend.now())
        backend.logins.ended([nobodys], "replaced", backend.now())
    raise CodeUsed(40163, why="nobody was left to receive its token")


def _code_hash(appid: str, code: str) -> bytes:
    return hashlib.sha256(f"{appid}:{code}".encode("ascii")).digest()


async def _claim(backend: Backend, appid: str, code: str, caller: Caller) -> None:
    """One round trip to the session store: it answers, the address is within its limit, the code is ours to spend."""
    now = backend.now()
    code_hash = _code_hash(appid, code)
    admission = await backend.sessions.admit(code_hash, f"login:{caller.limited_as}:{now // WINDOW_SECONDS}")
    limit = backend.settings.login_limit
    if limit and admission.tally > limit:
        if admission.claimed:
            await backend.sessions.give_back(code_hash)
        raise TooManyLogins(WINDOW_SECONDS - now % WINDOW_SECONDS)
    if not admission.claimed:
        raise CodeUsed(40163, why="our own memory of it")
    if not backend.users.answers:
        await backend.sessions.give_back(code_hash)
        raise UsersAway("the user database did not answer a moment ago")


async def _identify(backend: Backend, appid: str, code: str, caller: Caller, deadline: float) -> Identity:
    clock = asyncio.get_running_loop().time
    started = clock()
    try:
        identity = await backend.wechat.identify(
            appid, code, address=caller.limited_as, deadline=deadline - _KEPT_FOR_STORES_SECONDS
        )
    except WeChatTrouble as trouble:
        note_answer(backend, appid, trouble, clock() - started)
        if not trouble.code_spent:
            await _give_back(backend, appid, code)
        raise
    note_answer(backend, appid, None, clock() - started)
    return identity


async def _give_back(backend: Backend, appid: str, code: str) -> None:
    try:
        await backend.sessions.give_back(_code_hash(appid, code))
    except StoreTrouble:
        return  # the phone is told to come back with a new code anyway; the claim runs out by itself


async def _open(backend: Backend, appid: str, identity: Identity, caller: Caller, old: bytes | None) -> LoggedIn:
    """The person's row and the session. Looks again when the person was blocked or erased in between."""
    new = False
    for _ in range(_LOOKS_AT_THE_PERSON):
        seen = await _see(backend, appid, identity)
        new = new or seen.new
        try:
            return await _open_session(backend, Seen(seen.user, new), identity, caller, old)
        except PersonChanged:
            continue
    raise SessionsAway("the person does not come to rest")


async def _see(backend: Backend, appid: str, identity: Identity) -> Seen:
    return await backend.users.see(
        appid,
        identity.openid,
        identity.unionid,
        mark=person_mark(backend.keys.person_mark, appid, identity.openid),
        now=backend.now(),
        signup=backend.settings.signup == "open",
        also=lambda new: event(backend, "login.first", new.appid, **named(new)),
    )


async def _open_session(
    backend: Backend, seen: Seen, identity: Identity, caller: Caller, old: bytes | None
) -> LoggedIn:
    token = backend.sessions.new_token(seen.user.id)
    opening = _opening(backend, seen.user, token, identity, old)
    opened = await backend.sessions.open(opening, opening.created_at)
    backend.logins.opened(_facts(opened.session, caller))
    backend.logins.ended(opened.replaced, "replaced", opening.created_at)
    return LoggedIn(token, opening.expires_at - opening.created_at, seen.user, seen.new)


def _opening(backend: Backend, user: User, token: str, identity: Identity, old: bytes | None) -> Opening:
    now = backend.now()
    new_id = session_id(token)
    if new_id is None:
        raise AssertionError("a token of our own making has our form")
    ends_at = backend.lifetime.ends_at(now)
    return Opening(
        id=new_id,
        user_id=user.id,
        appid=user.appid,
        created_at=now,
        ends_at=ends_at,
        expires_at=backend.lifetime.expires_at(ends_at, now),
        sealed_key=backend.seal.seal(identity.session_key.reveal(), new_id),
        generation=user.generation,
        limit=backend.settings.sessions_per_user,
        overflow="refuse" if backend.settings.sessions_overflow == "refuse" else "oldest",
        replaces=old,
    )


def _facts(session: Session, caller: Caller) -> Login:
    return Login(
        id=session.id,
        user_id=session.user_id,
        appid=session.appid,
        ip=caller.address,
        platform=caller.platform,
        version=caller.version,
        environment=caller.environment,
        created_at=session.created_at,
        seen_at=session.created_at,
        epoch=session.epoch,
        address=sortable(caller.address),
        device=caller.device,
        wechat=caller.wechat,
    )
