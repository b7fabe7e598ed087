"""What WeChat tells us about people, and what we do then: forget what was revoked, erase who is gone.

The message is on disk before WeChat is told that we have it; what is not done by then is done by this process or, if
that dies, by the next one that looks.
"""

import hashlib
import json
import logging
import re
from typing import TYPE_CHECKING

from actions.content import judge_avatar
from actions.deeds import Actor, written_down
from actions.people import erase
from actions.revocation import revoke_user
from actions.sessions import end_all_of
from settings import App
from stores.audit import AuditAway
from stores.errors import StoreTrouble
from stores.push_events import ENDS, PushEvent, PushEventsPage, State
from stores.scope import Scope
from stores.users import NoSuchUser, User
from wechat.answers import PASSES
from wechat.push import WITHIN, Message, Signed, check_address, read_push

if TYPE_CHECKING:
    from actions.backend import Backend

log = logging.getLogger("menshen.push")

WECHAT = Actor("wechat")
MODIFIED, REVOKE, CANCELLATION = EVENTS = (
    "user_info_modified",
    "user_authorization_revoke",
    "user_authorization_cancellation",
)
# WeChat's numbers of what a person revokes, as far as it is anything that we keep (WeChat: event_push/platform).
_OF_REVOKED = {"6": ("nickname", "avatar"), "8": ("phone",), "19": ("nickname",), "20": ("avatar",)}
MEDIA_CHECK = "wxa_media_check"
_OF_MODIFIED = ("nickname", "avatar")
_OPENID = re.compile(r"[\w-]{1,64}", re.ASCII)
_REVOKED = re.compile(r"[0-9]{1,4}", re.ASCII)
ANSWER_SECONDS = 3.0  # WeChat hangs up after five and sends it again
TRY_AGAIN_SECONDS = 60
_TRY_FOR_SECONDS = 30 * 86_400
_AT_ONCE = 20


class NoPushHere(Exception):
    """This mini program is not served, or its messages are not taken because no PUSH_TOKEN is set."""


async def answer_check(backend: "Backend", appid: str, signed: Signed) -> None:
    """WeChat's console asks whether the URL is ours. Passes, or raises NoPushHere, NotSigned."""
    check_address(signed, _token(_app(backend, appid)), backend.now())


async def take_in(backend: "Backend", appid: str, signed: Signed, body: bytes) -> None:
    """Takes a message; when this returns, WeChat may be told `success`. What we do not know is taken and forgotten.

    Raises NoPushHere, NotSigned, PushUnreadable, Unreadable, and then nothing happened; UsersAway, StoreFull, and then
    WeChat sends it again.
    """
    app, now = _app(backend, appid), backend.now()
    key = app.push_key.reveal() if app.push_key else None
    message = read_push(body, signed, token=_token(app), key=key, appid=appid, now=now)
    if message["Event"] not in (*EVENTS, MEDIA_CHECK):
        return
    if not {message["AppID"], message["appid"]} <= {"", appid}:
        log.warning("an event for another mini program came to %s and was left alone", appid)
        return
    if message["Event"] == MEDIA_CHECK:
        await _take_verdict(backend, appid, message)
        return
    event = await _event(backend, appid, message, now)
    if event is None or not await backend.push_events.add(event) or event.done_at is not None:
        return
    if not await backend.errands.begin(carry_out(backend, event), wait_seconds=ANSWER_SECONDS):
        log.warning("%s is still being done while WeChat gets its answer", event.name)


async def _take_verdict(backend: "Backend", appid: str, message: Message) -> None:
    """Does what WeChat says of a picture (mediaCheckAsync). What was not sealed could be anybody's word."""
    if message.sealed and message["trace_id"]:
        # An errcode tells that WeChat could not load it, and then there is no verdict that counts.
        passes = message["errcode"] in ("", "0") and message[f"{WITHIN}.suggest"] == PASSES
        await judge_avatar(backend, appid, message["trace_id"], passes=passes)


def _app(backend: "Backend", appid: str) -> App:
    for app in backend.settings.apps:
        if app.appid == appid and app.push_token is not None:
            return app
    raise NoPushHere


def _token(app: App) -> str:
    return app.push_token.reveal() if app.push_token else ""


async def _event(backend: "Backend", appid: str, message: Message, now: int) -> PushEvent | None:
    """The row for it. None for somebody we do not know, told in plain mode: that could be written without an end."""
    name, revoked = message["Event"], message["RevokeInfo"]
    # FromUserName is the same for all of these (WeChat's own service), so it does not tell two messages apart.
    told = [appid, name, message["OpenID"], message["CreateTime"], revoked, message.sealed]
    event_id = hashlib.sha256(json.dumps(told).encode("ascii")).digest()
    if name == REVOKE and _REVOKED.fullmatch(revoked):
        name = f"{name}:{revoked}"
    user = await _person(backend, appid, message["OpenID"])
    if user is not None:
        return PushEvent(event_id, appid, name, user.id, "begun" if message.sealed else "hint", now, None)
    state: State = "nobody" if message["OpenID"] else "ignored"
    return PushEvent(event_id, appid, name, None, state, now, now) if message.sealed else None


async def _person(backend: "Backend", appid: str, openid: str) -> User | None:
    if not _OPENID.fullmatch(openid):
        return None
    try:
        return await backend.users.find_openid(openid, [appid])
    except NoSuchUser:
        return None


async def carry_out(backend: "Backend", event: PushEvent) -> None:
    """Does what an event asks for, once; after a failure `resume` comes back to it. Raises nothing foreseen."""
    now = backend.now()
    try:
        if await backend.push_events.take(event.id, now, now - TRY_AGAIN_SECONDS):
            await _do(backend, event)
            await backend.push_events.finish(event, ENDS[event.state], backend.now())
    except (StoreTrouble, AuditAway) as trouble:
        log.error("%s could not be done and will be tried again: %s", event.name, trouble)
    except Exception:
        log.exception("%s went wrong and will be tried again", event.name)


async def resume(backend: "Backend") -> None:
    """Does what was begun and not finished, by whichever process. Raises UsersAway."""
    now = backend.now()
    left = await backend.push_events.unfinished(now - _TRY_FOR_SECONDS, now - TRY_AGAIN_SECONDS, _AT_ONCE)
    for event in left:
        await carry_out(backend, event)


async def _do(backend: "Backend", event: PushEvent) -> None:
    if event.user_id is None:
        return
    if event.state == "begun" and event.name == CANCELLATION:
        # Also when the row is gone: an earlier attempt may have ended before the sessions did.
        await erase(backend, WECHAT, event.user_id, event.appid, reason=event.event)
        return
    try:
        user = await backend.users.find(event.user_id)
    except NoSuchUser:
        return
    if event.state == "begun":
        await _forget(backend, event, user)
    elif event.name != MODIFIED:
        await revoke_user(backend, WECHAT, user, reason=event.event)


async def _forget(backend: "Backend", event: PushEvent, user: User) -> None:
    """Forgets the parts that an event is about. Who revoked anything also has to consent, so to log in, anew."""
    parts = _OF_MODIFIED if event.name == MODIFIED else _OF_REVOKED.get(event.revoked, ())
    if not parts:
        await revoke_user(backend, WECHAT, user, reason=event.event)
        return
    target = f"user:{user.id}"
    async with written_down(backend, WECHAT, "user.clear", target=target, appid=user.appid, reason=event.event):
        await backend.users.clear(user.id, parts)
        if event.name == REVOKE:
            await end_all_of(backend, user.id, user.appid, "revoked")


async def push_events_page(
    backend: "Backend", scope: Scope, place: tuple[int, bytes] | None, most: int
) -> tuple[PushEventsPage, dict[int, User]]:
    """A page of what WeChat told, with the people who are still here. Raises UsersAway."""
    page = await backend.push_events.page(scope, place, most)
    people = await backend.users.find_all([each.user_id for each in page.rows if each.user_id is not None])
    return page, people
