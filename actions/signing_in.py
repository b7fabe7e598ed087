"""The verbs by which an operator proves himself: sign in, give the password again, sign out; and what slows a guesser.

Every proof goes through the same counters, whichever page asked for it (OWASP ASVS 6.3.1): a name that is locked is
locked everywhere. A browser that the operator has used before has a counter of its own, so that nobody can lock him out
from elsewhere.
"""

import contextlib
import hashlib
import logging
import re
import secrets
import unicodedata

import msgspec

from actions import totp
from actions.backend import Backend
from actions.deeds import Actor, entry_of
from actions.passwords import TooManyHashes
from actions.per_minute import limited_as
from stores.attempts import Counter
from stores.operators import Arrival, NoSuchOperator, Operator, OperatorSession, Proofs, SignedOut
from values import Confidential
from wechat.crypto import SealBroken

log = logging.getLogger("menshen")

CONFIRMED_SECONDS = 5 * 60
_DAY, _HOUR = 86_400, 3_600
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_MOST_NAME = 64


class SignInRefused(Exception):
    """Name, password or code is not right; which one is not told."""


class NeedsPassword(Exception):
    """This deed wants the password of the last five minutes."""


class WrongPassword(NeedsPassword):
    """The password that was given again is not right."""


class Browser(Confidential, frozen=True):
    """Where a proof comes from: the client's address, what the browser calls itself, and the cookies it has."""

    address: str
    device: str | None = None
    session: str | None = None  # the token of a session that ends with this sign-in
    known: str | None = None  # the token by which an operator's browser is known
    request_id: str | None = None


class SignedIn(Confidential, frozen=True):
    """Somebody is in: the tokens for the cookies. `known` is None when the browser has a good one already."""

    operator: Operator
    session: str
    known: str | None


class _Try(msgspec.Struct, frozen=True):
    """One attempt that is counted: on the counter of its own, and on those that it shares with others."""

    own: Counter
    shared: tuple[Counter, ...]
    slowed: bool


def new_secret() -> str:
    """A token of 256 bits for a cookie or a link."""
    return secrets.token_urlsafe(32)


def secret_id(token: str | None) -> bytes | None:
    """What is kept of a token, or None for what cannot be one."""
    return _id(token) if token and _TOKEN.fullmatch(token) else None


def plain_name(name: str) -> str:
    """A name as it is kept and looked up: small letters, in one form of Unicode."""
    return unicodedata.normalize("NFKC", name).strip().lower()


async def sign_in(backend: Backend, name: str, password: str, code: str, browser: Browser) -> SignedIn:
    """A new session for somebody who proves himself; an older one of the same browser ends.

    A name that does not exist costs the same work and gets the same answer (OWASP ASVS 6.3.8).
    Raises SignInRefused, MustWait, TooManyHashes.
    """
    operator = await _somebody(backend, plain_name(name))
    who, role = (f"operator:{operator.name}", operator.role) if operator else ("unknown", None)
    by = Actor(who, browser.address, browser.request_id, role)
    tried = await _count(backend, plain_name(name), operator, browser, by)
    proofs = await backend.operators.proofs(operator.id) if operator else Proofs(None, None)
    right = await _judge(backend, operator, password, proofs, tried)
    if not operator or not right or operator.state != "active" or not await _second(backend, operator, proofs, code):
        await backend.audit.add(entry_of(backend, by, "operator.signin_failed", "denied"))
        raise SignInRefused
    await backend.attempts.succeeded(tried.own, tried.shared)
    return await _let_in(backend, operator, browser, by)


async def confirm(
    backend: Backend, by: Actor, session: OperatorSession, operator: Operator, password: str, browser: Browser
) -> None:
    """The password, given again by somebody who is signed in. Raises WrongPassword, MustWait, TooManyHashes."""
    await prove(backend, by, operator, password, browser)
    await backend.operators.confirm(session.id, backend.now())


async def prove(backend: Backend, by: Actor, operator: Operator, password: str, browser: Browser) -> None:
    """Judges a password under the same counters as a sign-in. Raises WrongPassword, MustWait, TooManyHashes."""
    tried = await _count(backend, operator.name, operator, browser, by)
    proofs = await backend.operators.proofs(operator.id)
    if not await _judge(backend, operator, password, proofs, tried):
        await backend.audit.add(entry_of(backend, by, "operator.signin_failed", "denied"))
        raise WrongPassword
    await backend.attempts.succeeded(tried.own, tried.shared)


async def sign_out(backend: Backend, by: Actor, session: OperatorSession) -> None:
    """Ends the session on the server; the cookie is then good for nothing."""
    await backend.operators.end(session.id, session.operator_id, entry_of(backend, by, "operator.signout"))


async def session_of(backend: Backend, token: str | None) -> tuple[OperatorSession, Operator]:
    """The session of a cookie and its operator, as both are now. Raises SignedOut."""
    session = secret_id(token)
    if session is None:
        raise SignedOut
    return await backend.operators.session(session, backend.now())


class Tokens(Confidential, frozen=True):
    """What a browser that arrives is given: a session, and a proof of being known when it had no good one."""

    session: str
    known: str | None
    arrival: Arrival


async def tokens_for(backend: Backend, operator: Operator | None, browser: Browser) -> Tokens:
    """New tokens for a browser; `operator` is None for the first one, who has no id yet."""
    session = new_secret()
    known = None if operator and await _knows(backend, operator, browser) else new_secret()
    ends = None
    with contextlib.suppress(SignedOut):
        ends, _ = await session_of(backend, browser.session)
    device = browser.device[:200] if browser.device else None
    arrival = Arrival(_id(session), browser.address, device, _id(known) if known else None, ends)
    return Tokens(session, known, arrival)


async def _let_in(backend: Backend, operator: Operator, browser: Browser, by: Actor) -> SignedIn:
    tokens = await tokens_for(backend, operator, browser)
    try:
        await backend.operators.open(operator, tokens.arrival, entry_of(backend, by, "operator.signin"))
    except SignedOut:
        raise SignInRefused from None
    return SignedIn(operator, tokens.session, tokens.known)


async def _somebody(backend: Backend, name: str) -> Operator | None:
    try:
        return await backend.operators.find_name(name) if 0 < len(name) <= _MOST_NAME else None
    except NoSuchOperator:
        return None


async def _count(backend: Backend, name: str, operator: Operator | None, browser: Browser, by: Actor) -> _Try:
    """Counts a try before it is judged. Raises MustWait."""
    no_others: tuple[Counter, ...] = ()
    if operator and browser.known and await _knows(backend, operator, browser):
        own, shared = _counter("browser", browser.known, _NAME), no_others
    else:
        own, shared = _counter("name", name, _NAME), _shared(browser)
    slowed = await backend.attempts.reserve([own, *shared], backend.now())
    if slowed:
        backend.alarms.attacked(backend.now())
        await backend.audit.add(entry_of(backend, by, "operator.locked", "denied"))
    return _Try(own, shared, slowed)


async def _judge(backend: Backend, operator: Operator | None, password: str, proofs: Proofs, tried: _Try) -> bool:
    """Whether the password is right; a nobody's never is."""
    hashed = proofs.password
    try:
        right = await backend.passwords.check(password, hashed)
    except TooManyHashes:
        await backend.attempts.give_back([tried.own, *tried.shared])
        raise
    if right and operator and hashed and backend.passwords.is_outdated(hashed):
        await backend.operators.rehash(operator, hashed, await backend.passwords.hash(password))
    return right


async def _second(backend: Backend, operator: Operator, proofs: Proofs, code: str) -> bool:
    """Whether the second factor is right, or none is set up. Each code is good once (OWASP ASVS 6.5.1)."""
    if proofs.totp is None:
        return True
    step = _step_of(backend, operator, proofs.totp, code)
    if step is not None:
        return await backend.operators.use_totp_step(operator.id, step)
    return bool(code) and await backend.operators.use_recovery_code(operator.id, totp.recovery_id(operator.id, code))


def _step_of(backend: Backend, operator: Operator, sealed: bytes, code: str) -> int | None:
    try:
        secret = backend.seal.open(sealed, totp_binding(operator))
    except SealBroken:
        log.error("the second factor of operator %s does not open with our keys; recovery codes do", operator.name)
        return None
    return totp.step_of(secret, code, backend.now())


def totp_binding(operator: Operator) -> bytes:
    """What a sealed second factor belongs to; in another operator's row it does not open."""
    return f"totp:{operator.id}".encode("ascii")


async def _knows(backend: Backend, operator: Operator, browser: Browser) -> bool:
    known = secret_id(browser.known)
    return known is not None and await backend.operators.knows(operator.id, known, backend.now())


def _id(token: str) -> bytes:
    return hashlib.sha256(token.encode("ascii")).digest()


class _Patience(msgspec.Struct, frozen=True):
    free: int
    first_seconds: int
    longest_seconds: int
    forgotten_after_seconds: int


# Five failures, then half a minute that doubles up to an hour: about a dozen guesses in the first hour, one an hour
# from then on. An address may serve a whole office, and everybody together come from everywhere.
_NAME = _Patience(5, 30, _HOUR, _DAY)
_ADDRESS = _Patience(20, 30, _HOUR, _HOUR)
_EVERYBODY = _Patience(200, 5, 5, 600)


def _shared(browser: Browser) -> tuple[Counter, ...]:
    return (_counter("address", limited_as(browser.address), _ADDRESS), _counter("everybody", "", _EVERYBODY))


def _counter(kind: str, what: str, patience: _Patience) -> Counter:
    """Names are hashed: the table must not keep what somebody typed into the wrong field."""
    counted = hashlib.sha256(f"{kind}:{what}".encode()).digest()
    return Counter(
        counted, patience.free, patience.first_seconds, patience.longest_seconds, patience.forgotten_after_seconds
    )
