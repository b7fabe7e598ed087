"""The verbs about operators: who may come, what each may do, and how each comes by a password and a second factor."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from actions import totp
from actions.backend import Backend
from actions.deeds import Actor, entry_of
from actions.passwords import check_password
from actions.signing_in import Browser, SignedIn, new_secret, plain_name, prove, secret_id, tokens_for, totp_binding
from stores.audit import Entry
from stores.operators import LinkGone, Operator, OperatorSession, Role
from values import Confidential

LINK_SECONDS = 3600
_NAME = re.compile(r"[^\W_][\w.@-]{0,31}")


class OperatorNameRefused(Exception):
    """This cannot be an operator's name: 1 to 32 letters, digits and . _ - @, the first a letter or a digit."""


class WrongTimezone(Exception):
    """There is no time zone of this name."""


class WrongCode(Exception):
    """The code is not the one that the new second factor shows now."""


class Invited(Confidential, frozen=True):
    """An operator who has to set a password; `link` is the token of the link that lets him, for an hour."""

    operator: Operator
    link: str


class Welcome(msgspec.Struct, frozen=True):
    """Whose link somebody has opened: an operator's, or None for the first one's."""

    operator: Operator | None


async def offer_first_link(backend: Backend) -> str | None:
    """A link that makes the first operator, in the place of any older one; None when there is an operator."""
    link = new_secret()
    offered = await backend.operators.offer_first(_id(link), backend.now() + LINK_SECONDS)
    return link if offered else None


async def invite_operator(
    backend: Backend, by: Actor, name: str, role: Role, appids: Iterable[str] | None = None
) -> Invited:
    """A new operator with a link to set a password. Raises OperatorNameRefused, NameTaken."""
    plain = _good_name(name)
    link = new_secret()
    entry = _entry(backend, by, "operator.add", plain, role)
    until = backend.now() + LINK_SECONDS
    return Invited(await backend.operators.add(plain, role, appids, entry, link=(_id(link), until)), link)


async def add_operator(
    backend: Backend, by: Actor, name: str, role: Role, password: str, appids: Iterable[str] | None = None
) -> Operator:
    """A new operator with a password. Raises OperatorNameRefused, PasswordRefused, NameTaken."""
    plain = _good_name(name)
    check_password(password, plain)
    hashed = await backend.passwords.hash(password)
    entry = _entry(backend, by, "operator.add", plain, role)
    return await backend.operators.add(plain, role, appids, entry, password=hashed)


async def change_role(
    backend: Backend, by: Actor, name: str, role: Role, appids: Iterable[str] | None = None
) -> Operator:
    """What he may do from his next click on; `appids` None is every mini program. Raises NoSuchOperator, LastAdmin."""
    plain = plain_name(name)
    return await backend.operators.change_role(plain, role, appids, _entry(backend, by, "operator.role", plain, role))


async def disable_operator(backend: Backend, by: Actor, name: str) -> Operator:
    """Puts him out at once, everywhere. Raises NoSuchOperator, LastAdmin."""
    plain = plain_name(name)
    return await backend.operators.disable(plain, _entry(backend, by, "operator.disable", plain))


async def enable_operator(backend: Backend, by: Actor, name: str) -> Operator:
    """Lets him sign in again. Raises NoSuchOperator."""
    plain = plain_name(name)
    return await backend.operators.enable(plain, _entry(backend, by, "operator.enable", plain))


async def reset_operator(backend: Backend, by: Actor, name: str) -> Invited:
    """A link in the place of password, second factor, sessions and known browsers. Raises NoSuchOperator."""
    plain = plain_name(name)
    link = new_secret()
    until = backend.now() + LINK_SECONDS
    entry = _entry(backend, by, "operator.reset", plain)
    return Invited(await backend.operators.reset(plain, (_id(link), until), entry), link)


async def open_link(backend: Backend, link: str | None) -> Welcome:
    """Whose link it is; it stays good. Raises LinkGone."""
    found = secret_id(link)
    if found is None:
        raise LinkGone
    return Welcome(await backend.operators.link_of(found, backend.now()))


async def set_up(backend: Backend, link: str | None, name: str, password: str, browser: Browser) -> SignedIn:
    """Uses a link up: sets the password, and the name of the first operator; gives a session.

    Raises LinkGone, OperatorNameRefused, PasswordRefused, TooManyHashes.
    """
    operator = (await open_link(backend, link)).operator
    plain = operator.name if operator else _good_name(name)
    check_password(password, plain)
    hashed = await backend.passwords.hash(password)
    tokens = await tokens_for(backend, None, browser)
    role: Role = operator.role if operator else "admin"
    by = Actor(f"operator:{plain}", browser.address, browser.request_id, role)
    if operator:
        entry = _entry(backend, by, "operator.password", plain)
        here = await backend.operators.set_up(_id(link), operator, hashed, tokens.arrival, entry)
    else:
        entry = _entry(backend, by, "operator.add", plain, role)
        here = await backend.operators.found(_id(link), plain, hashed, tokens.arrival, entry)
    return SignedIn(here, tokens.session, tokens.known)


async def change_password(
    backend: Backend, by: Actor, session: OperatorSession, operator: Operator, old: str, new: str, browser: Browser
) -> None:
    """His own; every other session of his ends. Raises PasswordRefused, WrongPassword, MustWait, TooManyHashes."""
    check_password(new, operator.name)
    await prove(backend, by, operator, old, browser)
    hashed = await backend.passwords.hash(new)
    entry = _entry(backend, by, "operator.password", operator.name)
    await backend.operators.set_password(operator, hashed, session.id, entry)


async def own_operator_sessions(backend: Backend, operator: Operator) -> list[OperatorSession]:
    """Where he is signed in, the place used last at the top."""
    return await backend.operators.sessions(operator.id, backend.now())


async def end_operator_session(backend: Backend, by: Actor, operator: Operator, session: bytes) -> bool:
    """Signs one of his browsers out; gives whether it was signed in."""
    return await backend.operators.end(session, operator.id, _entry(backend, by, "operator.signout", operator.name))


async def end_other_operator_sessions(backend: Backend, by: Actor, operator: Operator, session: bytes) -> int:
    """Signs all of his browsers out but the one of this session; gives how many."""
    entry = _entry(backend, by, "operator.signout", operator.name, "others")
    return await backend.operators.end_others(session, operator.id, entry)


def begin_totp(backend: Backend, session: OperatorSession) -> tuple[bytes, str]:
    """A new secret for an authenticator app, and the same sealed for a form, good only in this session."""
    secret = totp.new_secret()
    return secret, backend.seal.seal(secret, _enrolment(session)).hex()


def resume_totp(backend: Backend, session: OperatorSession, sealed: str) -> bytes:
    """The secret that the form brings back. Raises SealBroken, ValueError."""
    return backend.seal.open(bytes.fromhex(sealed), _enrolment(session))


async def turn_totp_on(backend: Backend, by: Actor, operator: Operator, secret: bytes, code: str) -> list[str]:
    """From now on his sign-in wants a code; gives the recovery codes, which are shown once. Raises WrongCode."""
    step = totp.step_of(secret, code, backend.now())
    if step is None:
        raise WrongCode
    codes = totp.new_recovery_codes()
    sealed = backend.seal.seal(secret, totp_binding(operator))
    entry = _entry(backend, by, "operator.totp_on", operator.name)
    ids = [totp.recovery_id(operator.id, each) for each in codes]
    await backend.operators.set_totp(operator, sealed, entry, step=step, codes=ids)
    return codes


async def turn_totp_off(backend: Backend, by: Actor, operator: Operator) -> None:
    """From now on the password is enough; the recovery codes are void."""
    await backend.operators.set_totp(operator, None, _entry(backend, by, "operator.totp_off", operator.name))


async def set_tastes(backend: Backend, operator: Operator, language: str | None, timezone: str | None) -> None:
    """The language and time zone of his pages; None is what the server would choose. Raises WrongTimezone."""
    if timezone is not None:
        zone_of(timezone)
    await backend.operators.set_tastes(operator.id, language, timezone)


def zone_of(name: str) -> ZoneInfo:
    """The time zone of this name, as `Asia/Shanghai`. Raises WrongTimezone."""
    if len(name) > 64 or not re.fullmatch(r"[A-Za-z0-9_+\-]+(/[A-Za-z0-9_+\-]+)*", name, re.ASCII):
        raise WrongTimezone
    try:
        zone = ZoneInfo(name)
        datetime.now(UTC).astimezone(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise WrongTimezone from None
    return zone


def _good_name(name: str) -> str:
    plain = plain_name(name)
    if not _NAME.fullmatch(plain):
        raise OperatorNameRefused
    return plain


def _id(link: str | None) -> bytes:
    found = secret_id(link)
    if found is None:
        raise LinkGone
    return found


def _enrolment(session: OperatorSession) -> bytes:
    return b"totp enrolment:" + session.id


def _entry(backend: Backend, by: Actor, deed: str, name: str, reason: str | None = None) -> Entry:
    return entry_of(backend, by, deed, target=f"operator:{name}", reason=reason)
