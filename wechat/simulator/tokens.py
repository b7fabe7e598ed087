"""The two ways to an access_token, which do not know each other, and what is said about a bad one."""

import re
import secrets
from collections.abc import Mapping
from typing import Any, Final

from wechat.simulator.answers import Reply, api_success
from wechat.simulator.asking import Question, Refused
from wechat.simulator.state import App, World

OVERLAP_SECONDS: Final = 300
FORCED_A_DAY: Final = 20
FORCED_APART_SECONDS: Final = 30
_TOKEN: Final = re.compile(r"[0-9]{2}_[A-Za-z0-9_-]{100,500}", re.ASCII)


def token(world: World, question: Question) -> Reply:
    """Make a new token at each call, as GET /cgi-bin/token does; the one before lives five minutes more."""
    given = {name: question.one(name) for name in ("appid", "secret", "grant_type")}
    app = _entitled(world, given, question.address)
    world.quotas.count(app.appid, question.path, world.now())
    made = world.issue(app.appid, world.line(app.appid, "classic"), OVERLAP_SECONDS)
    return api_success({"access_token": made, "expires_in": world.issued[made].ends_at - world.now()}, errcode=False)


def stable_token(world: World, question: Question) -> Reply:
    """Give the same token as long as it is good for five minutes, as POST /cgi-bin/stable_token does.

    Chosen here, because no page says it: a body that is no JSON object is 47001, a 21st forced refresh 45009.
    """
    if question.method != "POST":
        raise Refused(43002)
    fields = question.fields() if question.body else {}
    app = _entitled(world, fields, question.address)
    world.quotas.count(app.appid, question.path, world.now())
    made = _stable(world, app, fields.get("force_refresh") is True)
    return api_success({"access_token": made, "expires_in": world.issued[made].ends_at - world.now()}, errcode=False)


def appid_of_token(world: World, question: Question) -> str:
    """Give the mini program whose access_token came along, and count the question. Raises Refused."""
    given = question.one("access_token")
    if not given:
        raise Refused(41001)
    if not _TOKEN.fullmatch(given):
        raise Refused(40014)
    known = world.issued.get(given)
    if known is None or (known.ends_at <= world.now() and known.replaced):
        raise Refused(40001)
    if known.ends_at <= world.now():
        raise Refused(42001)
    world.quotas.count(known.appid, question.path, world.now())
    return known.appid


def force(world: World, appid: str) -> str:
    """Make a new stable token and kill the one before, as somebody else's forced refresh does."""
    return world.issue(appid, world.line(appid, "stable"), 0)


def _stable(world: World, app: App, forced: bool) -> str:
    line, now = world.line(app.appid, "stable"), world.now()
    known = world.issued.get(line.current)
    if forced and known is not None and now - line.forced_at >= FORCED_APART_SECONDS:
        if line.forced_today >= FORCED_A_DAY:
            raise Refused(45009)
        line.forced_today, line.forced_at = line.forced_today + 1, now
        return world.issue(app.appid, line, 0)
    if known is None or known.ends_at - now < OVERLAP_SECONDS:
        return world.issue(app.appid, line, OVERLAP_SECONDS)
    return line.current


def _entitled(world: World, fields: Mapping[str, Any], address: str) -> App:
    """Give the mini program that may have a token, in WeChat's order of checks. Raises Refused."""
    app = world.apps.get(_given(fields, "appid", 41002))
    if app is None:
        raise Refused(40013)
    secret = _given(fields, "secret", 41004)
    if not secrets.compare_digest(secret.encode("utf-8", "replace"), app.secret.encode()):
        raise Refused(40125)
    if app.ip_whitelist is not None and address not in app.ip_whitelist.split(","):
        raise Refused(40164, f"invalid ip {address} ipv6 ::ffff:{address}, not in whitelist")
    if app.frozen:
        raise Refused(40243)
    if app.punished:
        raise Refused(50004)
    if fields.get("grant_type") != "client_credential":
        raise Refused(40002)
    return app


def _given(fields: Mapping[str, Any], name: str, errcode: int) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise Refused(errcode)
    return value
