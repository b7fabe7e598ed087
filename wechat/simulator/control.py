"""The `/_sim/` calls by which tests and developers play the phone, move the clock, order faults and read the log."""

import dataclasses
import ipaddress
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from tornado.iostream import IOStream

from wechat.simulator.answers import Reply
from wechat.simulator.endpoints import ENDPOINTS
from wechat.simulator.faults import ordered
from wechat.simulator.fields import BadControl, Fields, required
from wechat.simulator.phones import KINDS, NUMBER, handed_over
from wechat.simulator.pushes import Message, check_address, deliver, event_of, fetched, media_event, packed
from wechat.simulator.quotas import LIMITS
from wechat.simulator.stage import Stage
from wechat.simulator.state import DEFAULT_APPID, DEFAULT_SECRET, App, Person, World
from wechat.simulator.tokens import OVERLAP_SECONDS, force
from wechat.simulator.web import SimulatorHandler, stream_of

_APPID: Final = "wx[0-9a-z]{16}"
_SECRET: Final = "[!-~]+"  # noqa: S105  # a pattern
DOWNLOAD_FAILED: Final = -1008  # WeChat could not load the picture
_TEN_YEARS: Final = 315_360_000
_READ_ONLY: Final = frozenset({"log", "state"})
_JSON_TYPE: Final = "application/json; charset=utf-8"


class Desk(msgspec.Struct, frozen=True):
    """Where one control call is worked on: the simulator's parts and the caller's own connection."""

    stage: Stage
    caller: IOStream


def _login(desk: Desk, fields: Fields) -> dict[str, Any]:
    """Do what wx.login does on a phone: `{"appid"?, "user"}` gives `{"code"}`."""
    app, user = _known_app(desk, fields), _user(fields)
    fields.end()
    return {"code": desk.stage.world.log_in(app, user)}


def _person(desk: Desk, fields: Fields) -> dict[str, Any]:
    """Show a person and change what is given: `{"appid"?, "user", "blocked"?}`."""
    app, user, blocked = _known_app(desk, fields), _user(fields), fields.flag("blocked")
    fields.end()
    person = desk.stage.world.person(app.appid, user)
    if blocked is not None:
        person.blocked = blocked
    return _shown_person(app, person)


def _app(desk: Desk, fields: Fields) -> dict[str, Any]:
    """Make a mini program or change what is given; a new one has the default secret unless it is told another."""
    appid = fields.text("appid", pattern=_APPID) or DEFAULT_APPID
    given: dict[str, Any] = {
        "secret": fields.text("secret", 128, pattern=_SECRET),
        "bound_open_platform": fields.flag("bound_open_platform"),
        "minute_quota": fields.whole("minute_quota", 0, 1_000_000),
        "min_refresh_seconds": fields.whole("min_refresh_seconds", 0, _TEN_YEARS),
        "min_reset_seconds": fields.whole("min_reset_seconds", 0, _TEN_YEARS),
        "ip_whitelist": fields.text("ip_whitelist", 1_000, pattern="any|[0-9a-fA-F:.,]+"),
        "frozen": fields.flag("frozen"),
        "punished": fields.flag("punished"),
        "push_url": fields.text("push_url", 500, pattern="https?://[!-~]+"),
        "push_token": fields.text("push_token", 32, pattern="[0-9A-Za-z]+"),
        "push_key": fields.text("push_key", 43, shortest=43, pattern="[0-9A-Za-z]+"),
        "push_mode": fields.text("push_mode", pattern="plain|compatible|secure"),
        "push_format": fields.text("push_format", pattern="json|xml"),
    }
    fields.end()
    if given["push_url"] is not None and not _is_loopback(given["push_url"]):
        raise BadControl("push_url takes an address of this machine")
    apps = desk.stage.world.apps
    changes = {name: value for name, value in given.items() if value is not None}
    if changes.get("ip_whitelist") == "any":
        changes["ip_whitelist"] = None
    apps[appid] = dataclasses.replace(apps.get(appid, App(appid, DEFAULT_SECRET)), **changes)
    return _shown_app(apps[appid])


def _rotate_secret(desk: Desk, fields: Fields) -> dict[str, Any]:
    """Do what "reset AppSecret" in WeChat's console does, and give the new one: `{"appid"?}`."""
    app = _known_app(desk, fields)
    fields.end()
    app.secret = desk.stage.world.dice.randbytes(16).hex()
    return {"secret": app.secret}


def _steal_token(desk: Desk, fields: Fields) -> dict[str, Any]:
    """Let another server get an access_token: `{"appid"?, "kind"?}`.

    `classic` (assumed) is a plain fetch, after which the classic one before lives 300 seconds; `stable` is a forced
    refresh, after which the stable one before is dead. The two kinds do not touch each other.
    """
    app = _known_app(desk, fields)
    kind = fields.text("kind", pattern="classic|stable") or "classic"
    fields.end()
    world = desk.stage.world
    if kind == "stable":
        force(world, app.appid)
    else:
        world.issue(app.appid, world.line(app.appid, "classic"), OVERLAP_SECONDS)
    return {"stolen": kind}


def _phone_tap(desk: Desk, fields: Fields) -> dict[str, Any]:
    """Do what a tap on a getPhoneNumber button does: `{"appid"?, "user", "number"?}` gives `{"code"}`."""
    app, user = _known_app(desk, fields), _user(fields)
    number = fields.text("number", 20, pattern="[+]?[0-9]+") or NUMBER
    fields.end()
    return {"code": desk.stage.world.tap_phone(desk.stage.world.person(app.appid, user), number)}


def _encrypt(desk: Desk, fields: Fields) -> dict[str, Any]:
    """Give what the phone gets encrypted: `{"appid"?, "user", "kind", "stale"?, "legacy"?}`."""
    app, user = _known_app(desk, fields), _user(fields)
    kind = required("kind", fields.text("kind", pattern="|".join(KINDS)))
    stale, legacy = bool(fields.flag("stale")), bool(fields.flag("legacy"))
    fields.end()
    person = desk.stage.world.person(app.appid, user)
    if not (person.previous_key if stale else person.session_key):
        raise BadControl("this person has no such session key yet; POST /_sim/login makes one")
    return dict(handed_over(desk.stage.world, app, person, kind, stale=stale, legacy=legacy))


def _expire_session(desk: Desk, fields: Fields) -> dict[str, Any]:
    """Let the session key of a person run out at WeChat: `{"appid"?, "user"}`."""
    app, user = _known_app(desk, fields), _user(fields)
    fields.end()
    desk.stage.world.person(app.appid, user).session_key_over = True
    return {"expired": True}


async def _revoke(desk: Desk, fields: Fields) -> dict[str, Any]:
    """Push an event about a person to the configured address, and give what was answered.

    `{"appid"?, "user", "event"?, "revoke_info"?, "again"?, "wrongly_signed"?}`; `again` sends the last one once more,
    signed anew.
    """
    app, user = _pushing_app(desk, fields), _user(fields)
    event = fields.text("event", pattern="[a-z_]+") or "user_authorization_revoke"
    revoke_info = fields.text("revoke_info", pattern="[0-9]+") or "1"
    again, wrongly_signed = fields.flag("again"), bool(fields.flag("wrongly_signed"))
    fields.end()
    world = desk.stage.world
    if not again or app.appid not in world.pushed:
        world.pushed[app.appid] = event_of(world, world.person(app.appid, user), event, revoke_info)
    return await _pushed(world, app, world.pushed[app.appid], wrongly_signed)


async def _pushed(world: World, app: App, message: Message, wrongly_signed: bool) -> dict[str, Any]:
    answers = await deliver(packed(world, app, message, wrongly_signed=wrongly_signed))
    last = answers[-1]
    return {"accepted": last["status"] == 200 and last["body"] in ("", "success"), "answers": answers}


async def _media_result(desk: Desk, fields: Fields) -> dict[str, Any]:
    """Push WeChat's verdict on a picture, the newest unless one is named, and give what was answered.

    `{"trace_id"?, "suggest"?, "errcode"?, "wrongly_signed"?}`; `suggest` is pass (assumed), review or risky. An address
    of this machine is loaded first, as WeChat does, and when that fails the errcode is -1008.
    """
    world = desk.stage.world
    trace_id = fields.text("trace_id") or next(reversed(world.media_checks), "")
    suggest = fields.text("suggest", pattern="pass|review|risky") or "pass"
    errcode, wrongly_signed = fields.whole("errcode", -(10**9), 10**9), bool(fields.flag("wrongly_signed"))
    fields.end()
    check = world.media_checks.get(trace_id)
    if check is None:
        raise BadControl("no picture waits for a verdict, or none with this trace_id")
    app = _able_to_push(world.apps[check.appid])
    status = await fetched(check.media_url) if _is_loopback(check.media_url) else 200
    if errcode is None:
        errcode = 0 if status == 200 else DOWNLOAD_FAILED
    message = media_event(world, check, suggest, errcode)
    return {"trace_id": trace_id, "errcode": errcode} | await _pushed(world, app, message, wrongly_signed)


async def _push_check(desk: Desk, fields: Fields) -> dict[str, Any]:
    """Let the configured address prove itself, as when it is saved in WeChat's console: `{"appid"?}`."""
    app, wrongly_signed = _pushing_app(desk, fields), bool(fields.flag("wrongly_signed"))
    fields.end()
    return await check_address(desk.stage.world, app, wrongly_signed=wrongly_signed)


def _quota(desk: Desk, fields: Fields) -> dict[str, Any]:
    """Change how often each mini program may ask a path: `{"path", "minute"?, "day"?}`; 0 is no limit."""
    path = required("path", fields.text("path", pattern="|".join(map(re.escape, LIMITS))))
    minute, day = fields.whole("minute", 0, 10**9), fields.whole("day", 0, 10**9)
    fields.end()
    return msgspec.structs.asdict(desk.stage.world.quotas.limit(path, minute or 0, day or 0))


def _clock(desk: Desk, fields: Fields) -> dict[str, Any]:
    """Move the clock: `{"advance": seconds}`, forward or (negative) back."""
    advance = required("advance", fields.whole("advance", -_TEN_YEARS, _TEN_YEARS))
    fields.end()
    world = desk.stage.world
    world.clock_offset_seconds += advance
    return {"now": world.now(), "clock_offset_seconds": world.clock_offset_seconds}


def _fault(desk: Desk, fields: Fields) -> dict[str, Any]:
    """Order a fault; the kinds and their options stand in `faults.py`."""
    fault = ordered(fields, frozenset(ENDPOINTS))
    if fault.kind == "refuse":
        desk.stage.port.refuse(fault.seconds, keep=desk.caller)
    else:
        desk.stage.faults.order(fault)
    return fault.shown()


def _log(desk: Desk, fields: Fields) -> dict[str, Any]:
    """Give what WeChat's paths were asked since the last reset."""
    fields.end()
    return desk.stage.ledger.report()


def _state(desk: Desk, fields: Fields) -> dict[str, Any]:
    """Give the world without its secrets: apps, numbers of people and codes, the clock, faults, who waits."""
    fields.end()
    world = desk.stage.world
    return {
        "now": world.now(),
        "clock_offset_seconds": world.clock_offset_seconds,
        "apps": [_shown_app(app) for app in world.apps.values()],
        "people": len(world.people),
        "codes": world.code_states(),
        "phone_codes": len(world.phone_codes),
        "access_tokens": len(world.issued),
        "media_checks": [msgspec.structs.asdict(check) for check in world.media_checks.values()],
        "faults": desk.stage.faults.shown(),
        "waiting": len(desk.stage.waits),
    }


def _reset(desk: Desk, fields: Fields) -> dict[str, Any]:
    """Put everything back to the first moment, faults and waiting requests included."""
    fields.end()
    desk.stage.reset()
    return {"reset": True}


_Shown = dict[str, Any]
_DEEDS: Final[Mapping[str, Callable[[Desk, Fields], _Shown | Awaitable[_Shown]]]] = {
    "app": _app,
    "clock": _clock,
    "encrypt": _encrypt,
    "expire_session": _expire_session,
    "fault": _fault,
    "log": _log,
    "login": _login,
    "media_result": _media_result,
    "phone_tap": _phone_tap,
    "push_check": _push_check,
    "quota": _quota,
    "reset": _reset,
    "revoke": _revoke,
    "rotate_secret": _rotate_secret,
    "state": _state,
    "steal_token": _steal_token,
    "user": _person,
}


class ControlHandler(SimulatorHandler):
    """One call to `/_sim/WORD`: JSON in, JSON out, and 400 with `{"error": sentence}` for what makes no sense.

    A `refuse` fault closes this very port: until it opens again the control calls are unreachable too.
    """

    async def get(self, word: str) -> None:
        """Answer the calls that only read."""
        if word in _DEEDS and word not in _READ_ONLY:
            self.set_header("Allow", "POST")
            await self._say({"error": f"/_sim/{word} takes POST with a JSON object"}, 405)
        else:
            await self._work(word)

    async def post(self, word: str) -> None:
        """Answer any call."""
        await self._work(word)

    async def _work(self, word: str) -> None:
        if not _from_here(self.request.host, self.request.headers.get("Origin")):
            await self._say({"error": "control calls are for programs and pages of this machine"}, 403)
            return
        deed = _DEEDS.get(word)
        if deed is None:
            await self._say({"error": f"there is no such call; there are: {', '.join(_DEEDS)}"}, 404)
            return
        caller = stream_of(self.request)
        try:
            outcome = deed(Desk(self.stage, caller), Fields(self.request.body))
            if isinstance(outcome, Awaitable):
                outcome = await outcome
        except BadControl as wrong:
            await self._say({"error": str(wrong)}, 400)
            return
        await self._say(outcome, 200)
        if self.stage.port.refusing:
            caller.close()

    async def _say(self, value: Mapping[str, Any], status: int) -> None:
        await self.send(Reply(json.dumps(value).encode(), status=status, content_type=_JSON_TYPE))


def _known_app(desk: Desk, fields: Fields) -> App:
    app = desk.stage.world.apps.get(fields.text("appid") or DEFAULT_APPID)
    if app is None:
        raise BadControl("there is no app with this appid; POST /_sim/app makes one")
    return app


def _pushing_app(desk: Desk, fields: Fields) -> App:
    return _able_to_push(_known_app(desk, fields))


def _able_to_push(app: App) -> App:
    if app.push_url is None or not app.push_token or (app.push_mode != "plain" and not app.push_key):
        raise BadControl("push_url, push_token and (but in plain mode) push_key are set by POST /_sim/app first")
    return app


def _user(fields: Fields) -> str:
    return required("user", fields.text("user"))


def _shown_person(app: App, person: Person) -> dict[str, Any]:
    return {
        "appid": person.appid,
        "user": person.user,
        "openid": person.openid,
        "unionid": person.unionid if app.bound_open_platform else None,
        "blocked": person.blocked,
    }


def _shown_app(app: App) -> dict[str, Any]:
    return {
        name: value
        for name, value in dataclasses.asdict(app).items()
        if name not in ("secret", "push_token", "push_key")
    }


def _from_here(host: str, origin: str | None) -> bool:
    # A web page that a developer visits can reach loopback too, by a plain form or by DNS rebinding; then Origin or
    # Host carries the page's own name. Programs send no Origin.
    return _is_loopback(f"//{host}") and (origin is None or _is_loopback(origin))


def _is_loopback(url: str) -> bool:
    try:
        name = urlsplit(url).hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
