"""How each login ended, counted for the overview; a refusal is also written down for the list of refused logins."""

from typing import TYPE_CHECKING

from stores.errors import SessionsAway, StoreFull, UsersAway
from stores.refused_logins import RefusedLogin
from stores.sessions import TooManySessions
from stores.users import SignupClosed, UserBlocked
from wechat.errors import (
    WeChatBusy,
    WeChatMisconfigured,
    WeChatSilent,
    WeChatTrouble,
    WeChatUnreachable,
    WeChatUnusable,
)
from wechat.state import was_sent

if TYPE_CHECKING:
    from actions.backend import Backend
    from actions.login import Caller, LoggedIn

UNEXPECTED = 500001
MOST_A_MINUTE = 600
_HIGHEST = 9_999_999  # WeChat's numbers have five digits, ours six; any longer one is a name we would keep for nobody
_OURS: dict[type[Exception], int] = {
    UserBlocked: 403003,
    SignupClosed: 403004,
    TooManySessions: 403005,
    WeChatMisconfigured: 502001,
    WeChatUnusable: 502002,
    SessionsAway: 503001,
    UsersAway: 503002,
    WeChatBusy: 503003,
    WeChatUnreachable: 503003,
    StoreFull: 503005,
    WeChatSilent: 504001,
}


class Ration:
    """How many refusals this process writes down in a minute; who guesses codes all day must not fill the disk."""

    def __init__(self) -> None:
        self._minute = 0
        self._taken = 0

    def take(self, now: int) -> bool:
        """Whether one more may be written down; those beyond are only counted."""
        if now // 60 != self._minute:
            self._minute, self._taken = now // 60, 0
        self._taken += 1
        return self._taken <= MOST_A_MINUTE


def errcode_of(refused: BaseException) -> int:
    """The number under which operators find a refusal: WeChat's own where it gave one, else the phone's answer's."""
    errcode = getattr(refused, "errcode", None)
    if isinstance(errcode, int) and abs(errcode) <= _HIGHEST:
        return errcode
    cause = getattr(refused, "cause", refused)
    return next((_OURS[kind] for kind in type(cause).__mro__ if kind in _OURS), UNEXPECTED)


def note_login(backend: "Backend", appid: str, caller: "Caller", logged_in: "LoggedIn") -> None:
    """A phone got its token."""
    figures, now = backend.figures, backend.now()
    for name in ("login", "new") if logged_in.new else ("login",):
        figures.count(appid, name, now)
        figures.count_day(appid, f"day.{name}", now)
    figures.seen([logged_in.user.id], now)
    parts = {"platform": caller.platform, "version": caller.version, "environment": caller.environment}
    for family, kind in parts.items():
        figures.count_day(appid, figures.kind(appid, family, kind or "unknown", now), now)


def note_refusal(backend: "Backend", appid: str, caller: "Caller", refused: Exception) -> None:
    """A phone did not get one."""
    figures, now = backend.figures, backend.now()
    errcode = errcode_of(refused)
    figures.count(appid, "refused", now)
    figures.count_day(appid, "day.refused", now)
    figures.count(appid, figures.kind(appid, "refused", str(errcode), now), now)
    if backend.ration.take(now):
        backend.refused_logins.note(
            RefusedLogin(0, now, appid, errcode, caller.address, caller.platform, caller.version, caller.environment)
        )


def note_answer(backend: "Backend", appid: str, refused: WeChatTrouble | None, seconds: float) -> None:
    """WeChat was asked; what was never sent says nothing about how long WeChat takes."""
    if refused is not None and not was_sent(refused):
        return
    backend.figures.count(appid, "wechat.calls", backend.now())
    backend.figures.count(appid, "wechat.ms", backend.now(), round(seconds * 1000))
