"""What Menshen does, one async function for each verb; page, API and command line all say the same ones.

A verb knows no HTTP, no SQL and no Redis.
"""

from actions.backend import Backend
from actions.deeds import Actor
from actions.login import Caller, CodeMalformed, CodeSpent, LoggedIn, TooManyLogins, UnknownApp, log_in
from actions.people import InvalidProfile, block, erase, export, find_user, rename, unblock
from actions.sessions import (
    AmbiguousSession,
    Ended,
    NoSuchSession,
    OwnSession,
    Verified,
    find_session,
    log_out,
    own_sessions,
    revoke,
    revoke_everybody,
    revoke_others,
    revoke_own,
    revoke_user,
    verify,
)
from actions.unknown_tokens import TooManyUnknownTokens
from actions.upkeep import Upkeep, tell_epochs

__all__ = [
    "Actor",
    "AmbiguousSession",
    "Backend",
    "Caller",
    "CodeMalformed",
    "CodeSpent",
    "Ended",
    "InvalidProfile",
    "LoggedIn",
    "NoSuchSession",
    "OwnSession",
    "TooManyLogins",
    "TooManyUnknownTokens",
    "UnknownApp",
    "Upkeep",
    "Verified",
    "block",
    "erase",
    "export",
    "find_session",
    "find_user",
    "log_in",
    "log_out",
    "own_sessions",
    "rename",
    "revoke",
    "revoke_everybody",
    "revoke_others",
    "revoke_own",
    "revoke_user",
    "tell_epochs",
    "unblock",
    "verify",
]
