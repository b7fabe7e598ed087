"""What Menshen does, one async function for each verb; page, API and command line all say the same ones.

A verb knows no HTTP, no SQL and no Redis.
"""

from actions.access_tokens import SharedToken, access_token, refresh_access_token
from actions.apps import UnknownApp
from actions.backend import Backend
from actions.calling import CallFailed, CallsUsedUp
from actions.codes import CodeMalformed
from actions.decrypting import decrypt, has_signed
from actions.deeds import Actor, denied, noted
from actions.login import Caller, CodeSpent, LoggedIn, TooManyLogins, log_in
from actions.people import (
    Erased,
    InvalidBlock,
    InvalidNote,
    InvalidProfile,
    block,
    erase,
    export,
    find_user,
    note,
    rename,
    unblock,
)
from actions.phone import bind_phone
from actions.revocation import (
    BadSelection,
    Restored,
    revoke,
    revoke_everybody,
    revoke_matching,
    revoke_selection,
    revoke_user,
    undo,
)
from actions.session_keys import key_holds, reset_key
from actions.sessions import (
    AmbiguousSession,
    Ended,
    NoSuchSession,
    OwnSession,
    Verified,
    find_session,
    log_out,
    own_sessions,
    revoke_others,
    revoke_own,
    verify,
)
from actions.unknown_tokens import TooManyUnknownTokens
from actions.upkeep import Upkeep, tell_epochs

__all__ = [
    "Actor",
    "AmbiguousSession",
    "Backend",
    "BadSelection",
    "CallFailed",
    "Caller",
    "CallsUsedUp",
    "CodeMalformed",
    "CodeSpent",
    "Ended",
    "Erased",
    "InvalidBlock",
    "InvalidNote",
    "InvalidProfile",
    "LoggedIn",
    "NoSuchSession",
    "OwnSession",
    "Restored",
    "SharedToken",
    "TooManyLogins",
    "TooManyUnknownTokens",
    "UnknownApp",
    "Upkeep",
    "Verified",
    "access_token",
    "bind_phone",
    "block",
    "decrypt",
    "denied",
    "erase",
    "export",
    "find_session",
    "find_user",
    "has_signed",
    "key_holds",
    "log_in",
    "log_out",
    "note",
    "noted",
    "own_sessions",
    "refresh_access_token",
    "rename",
    "reset_key",
    "revoke",
    "revoke_everybody",
    "revoke_matching",
    "revoke_others",
    "revoke_own",
    "revoke_selection",
    "revoke_user",
    "tell_epochs",
    "unblock",
    "undo",
    "verify",
]
