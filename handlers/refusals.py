"""The one table from what happened to what the phone is told: status, errcode, error, text, and what to do next.

WeChat's own numbers are kept where WeChat's answer about the person's code is the cause (40029, 40163, 40226). Ours are
six digits, the HTTP status times 1000 and a count, so that they explain themselves. `retry` is the field that keeps an
outage from becoming a storm of logins: `login` call wx.login again, `backoff` keep the token and come back, `fix` the
request is wrong, `never` it will not help.
"""

from typing import Literal

import msgspec
from msgspec.structs import replace

import actions
from actions import passwords, signing_in
from actions.content import ContentRefused
from actions.key_uses import TooManyCalls
from actions.pictures import NoPicture, PictureTooLarge, TooManyPictures
from actions.push import NoPushHere
from actions.questions import BadQuestion
from actions.service_keys import ScopeMissing, WrongKey
from stores.attempts import MustWait
from stores.audit import AuditAway
from stores.avatars import NoSuchAvatar
from stores.errors import SessionsAway, StoreAway, StoreFull, UsersAway
from stores.operators import LastAdmin, LinkGone, NoSuchOperator
from stores.sessions import SessionGone, TooManySessions
from stores.users import NoSuchUser, SignupClosed, UserBlocked
from wechat import errors as wechat
from wechat.calls import CannotRelay
from wechat.data import DataRefused
from wechat.push import NotSigned, PushUnreadable

Retry = Literal["login", "backoff", "fix", "never"]


class BadRequest(Exception):
    """The body is not a JSON object that we can read, or `field` is missing or of a wrong type."""

    def __init__(self, field: str | None = None) -> None:
        super().__init__(field)
        self.field = field


class TwoCarriers(Exception):
    """A token came in more than one place, or more than once."""


class TokenInQuery(Exception):
    """A token came in the URL, where logs and proxies would keep it (OWASP ASVS 14.2.1)."""


class NoToken(Exception):
    """No token came at all."""


class NoSuchResource(Exception):
    """Nothing lives at this path."""


class WrongMethod(Exception):
    """The path is right, the method is not."""


class BodyTooLarge(Exception):
    """The body is larger than this path takes."""


class WrongMediaType(Exception):
    """The body is of a type, charset or coding that this path does not take."""


class CrossOrigin(Exception):
    """A page of somebody else's sent the request (OWASP ASVS 3.5.1)."""


class RoleTooLow(Exception):
    """The operator's role does not reach this page or deed."""


class InsecureSignIn(Exception):
    """A password would have come over plain http from another machine."""


class TooManyStreams(Exception):
    """As many pages follow what happens as this process keeps up to date."""


class Misdirected(Exception):
    """The Host is none of ALLOWED_HOSTS."""


class Draining(Exception):
    """The process is about to end."""


class Refusal(msgspec.Struct, frozen=True):
    """One row of the table. `retry_after_seconds` stands in the header Retry-After; an exception's own wins."""

    status: int
    errcode: int
    errmsg: str
    error: str | None
    retry: Retry
    retry_after_seconds: int | None = None


def _invalid(errcode: int, errmsg: str, status: int = 400, retry: Retry = "fix") -> Refusal:
    return Refusal(status, errcode, errmsg, "invalid_request", retry)


def _unavailable(errcode: int, errmsg: str, retry_after_seconds: int = 1) -> Refusal:
    return Refusal(503, errcode, errmsg, "temporarily_unavailable", "backoff", retry_after_seconds)


UNEXPECTED = Refusal(500, 500001, "something went wrong here", "server_error", "backoff")

TABLE: dict[type[Exception], Refusal] = {
    BadRequest: _invalid(400001, "body must be a JSON object with the fields of the right type"),
    actions.InvalidProfile: _invalid(400001, "body must be a JSON object with the fields of the right type"),
    actions.InvalidBlock: _invalid(400001, "a block needs a reason, and an end within ten years if it has one"),
    actions.InvalidNote: _invalid(400001, "a note is one line of at most 500 characters"),
    BadQuestion: _invalid(400001, "a filter has a value that it cannot have"),
    actions.BadSelection: _invalid(400001, "from 1 to 500 sessions can be chosen at once"),
    actions.AmbiguousSession: _invalid(400001, "the beginning of the id fits more than one session"),
    TwoCarriers: _invalid(400002, "token was sent in more than one place"),
    actions.CodeMalformed: _invalid(400003, "code has an impossible form"),
    actions.UnknownApp: _invalid(400004, "appid is unknown or missing"),
    TokenInQuery: _invalid(400005, "token is not accepted in the URL"),
    ContentRefused: _invalid(400007, "WeChat does not let this pass: choose something else"),
    wechat.NotSeenLately: _invalid(
        400008, "WeChat has not seen this user lately: log in, then try again", retry="login"
    ),
    DataRefused: _invalid(400006, "the data is not acceptable: log in, then fetch it anew"),
    wechat.PhoneCodeRefused: Refusal(
        400, 40029, "phone code is invalid or has expired: tap the button again", "invalid_grant", "fix"
    ),
    wechat.CodeRefused: Refusal(400, 40029, "code is invalid or has expired", "invalid_grant", "login"),
    wechat.CodeUsed: Refusal(400, 40163, "code was used before", "invalid_grant", "login"),
    NoToken: Refusal(401, 401001, "no token was sent", None, "login"),
    SessionGone: Refusal(401, 401002, "session is not valid", "invalid_token", "login"),
    NoSuchUser: Refusal(401, 401002, "session is not valid", "invalid_token", "login"),
    WrongKey: Refusal(401, 401003, "the service key is not valid", "invalid_client", "fix"),
    CannotRelay: Refusal(403, 403001, "this path of WeChat's is not passed on", "insufficient_scope", "never"),
    ScopeMissing: Refusal(403, 403001, "the service key is not for this", "insufficient_scope", "never"),
    RoleTooLow: Refusal(403, 403001, "your role does not allow this", "insufficient_scope", "never"),
    CrossOrigin: Refusal(403, 403002, "the request came from another site's page", "cross_origin", "never"),
    UserBlocked: Refusal(403, 403003, "this user may not log in", "access_denied", "never"),
    SignupClosed: Refusal(403, 403004, "new users are not accepted", "access_denied", "never"),
    TooManySessions: Refusal(403, 403005, "this user has too many sessions", "access_denied", "never"),
    InsecureSignIn: Refusal(403, 403006, "operators sign in over https", "access_denied", "fix"),
    signing_in.NeedsPassword: Refusal(403, 403007, "the password is needed again", "access_denied", "fix"),
    LastAdmin: Refusal(403, 403008, "the last admin stays one", "access_denied", "never"),
    NotSigned: Refusal(403, 403009, "the signature does not hold", "access_denied", "fix"),
    PushUnreadable: Refusal(403, 403009, "the signature does not hold", "access_denied", "fix"),
    wechat.UserHighRisk: Refusal(403, 40226, "WeChat does not let this user log in", "access_denied", "never"),
    NoSuchResource: Refusal(404, 404001, "no such resource", "not_found", "fix"),
    actions.NoSuchSession: Refusal(404, 404001, "no such resource", "not_found", "fix"),
    NoPushHere: Refusal(404, 404001, "no such resource", "not_found", "fix"),
    NoSuchAvatar: Refusal(404, 404001, "no such resource", "not_found", "fix"),
    NoSuchOperator: Refusal(404, 404001, "no such resource", "not_found", "fix"),
    LinkGone: Refusal(404, 404001, "no such resource", "not_found", "fix"),
    WrongMethod: _invalid(405001, "method is not allowed here", 405),
    BodyTooLarge: _invalid(413001, "body is too large", 413),
    PictureTooLarge: _invalid(413001, "body is too large", 413),
    WrongMediaType: _invalid(415001, "content type or encoding is not accepted here", 415),
    NoPicture: _invalid(415001, "content type or encoding is not accepted here", 415),
    Misdirected: Refusal(421, 421001, "this host is not served here", "misdirected", "fix"),
    actions.TooManyLogins: Refusal(429, 429001, "too many requests from this address", "slow_down", "backoff"),
    actions.TooManyUnknownTokens: Refusal(429, 429001, "too many requests from this address", "slow_down", "backoff"),
    TooManyCalls: Refusal(429, 429001, "too many requests with this service key", "slow_down", "backoff"),
    TooManyPictures: Refusal(429, 429001, "too many requests from this address", "slow_down", "backoff"),
    actions.CallsUsedUp: Refusal(429, 429001, "too many requests of this user", "slow_down", "backoff"),
    TooManyStreams: Refusal(429, 429001, "too many requests from this address", "slow_down", "backoff", 5),
    MustWait: Refusal(429, 429002, "too many attempts to sign in", "slow_down", "backoff"),
    passwords.TooManyHashes: Refusal(429, 429002, "too many attempts to sign in", "slow_down", "backoff"),
    wechat.WeChatMisconfigured: Refusal(502, 502001, "login is misconfigured", "upstream_config", "backoff"),
    wechat.WeChatUnusable: Refusal(502, 502002, "WeChat's answer was unusable", "upstream_invalid", "login"),
    SessionsAway: _unavailable(503001, "sessions cannot be looked up now"),
    StoreAway: _unavailable(503001, "sessions cannot be looked up now"),
    UsersAway: _unavailable(503002, "users cannot be looked up now"),
    wechat.WeChatBusy: _unavailable(503003, "WeChat cannot be asked now"),
    wechat.WeChatUnreachable: _unavailable(503003, "WeChat cannot be asked now"),
    Draining: _unavailable(503004, "the server is about to restart"),
    StoreFull: _unavailable(503005, "nothing new can be stored now", 5),
    AuditAway: _unavailable(503006, "the audit cannot be written", 5),
    wechat.WeChatSilent: Refusal(504, 504001, "WeChat did not answer in time", "upstream_timeout", "login"),
}


def refusal(error: BaseException) -> Refusal | None:
    """The row for an exception, by its class or the nearest one above; None when nobody foresaw it."""
    if isinstance(error, actions.CodeSpent):
        # Whatever is down: the phone's code is gone, so "keep what you have" would leave it with nothing.
        return replace(refusal(error.cause) or UNEXPECTED, retry="login")
    if isinstance(error, actions.CallFailed):
        return replace(refusal(error.cause) or UNEXPECTED, retry=error.retry)
    for kind in type(error).__mro__:
        if found := TABLE.get(kind):
            seconds = getattr(error, "retry_after_seconds", None)
            return found if seconds is None else replace(found, retry_after_seconds=seconds)
    return None


def envelope(row: Refusal, request_id: str, **more: object) -> dict[str, object]:
    """The JSON body of a refusal. `more` may name the field or the reason; never input, never an exception's text."""
    body: dict[str, object] = {"errcode": row.errcode, "errmsg": row.errmsg}
    if row.error is not None:
        body["error"] = row.error
    return body | more | {"retry": row.retry, "request_id": request_id}


def headers(row: Refusal) -> dict[str, str]:
    """The headers that go with a refusal (RFC 6750 section 3 for 401, RFC 9110 for Retry-After)."""
    found = {}
    if row.retry_after_seconds is not None:
        found["Retry-After"] = str(row.retry_after_seconds)
    if row.status == 401:
        found["WWW-Authenticate"] = f'Bearer error="{row.error}"' if row.error else "Bearer"
    return found
