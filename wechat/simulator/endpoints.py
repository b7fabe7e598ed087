"""The paths that the real WeChat has, with its order of checks, and what stands in for all its other paths."""

import secrets
from collections.abc import Callable, Mapping
from typing import Final

from wechat.simulator.answers import Reply, sns_error, sns_success
from wechat.simulator.state import CODE_SECONDS, App, LoginCode, World

Query = Mapping[str, list[bytes]]


class _Refused(Exception):
    def __init__(self, errcode: int) -> None:
        super().__init__(errcode)
        self.errcode = errcode


def jscode2session(world: World, query: Query) -> Reply:
    """Redeem a code of wx.login as GET /sns/jscode2session does (WeChat: code2Session).

    Only the query counts; a body is not read. Between the check of a code and its marking nothing waits, so of
    two parallel calls exactly one succeeds. The documentation leaves open, and here is chosen: grant_type is
    judged after the secret, 40125 and 45011 leave the code fresh, and a used code answers 40163 for ever.
    """
    try:
        app = _app(world, query)
        code = _code(world, app, _one(query, "js_code"))
    except _Refused as refused:
        return sns_error(world, refused.errcode)
    fields = {"session_key": code.session_key_text(), "openid": code.person.openid}
    if app.bound_open_platform:
        fields["unionid"] = code.person.unionid
    return sns_success(world, fields)


ENDPOINTS: Final[Mapping[str, Callable[[World, Query], Reply]]] = {"/sns/jscode2session": jscode2session}


def _app(world: World, query: Query) -> App:
    for name, errcode in (("appid", 41002), ("secret", 41004), ("js_code", 41008)):
        if not _one(query, name):
            raise _Refused(errcode)
    app = world.apps.get(_one(query, "appid"))
    if app is None:
        raise _Refused(40013)
    if not secrets.compare_digest(_one(query, "secret").encode(), app.secret.encode()):
        raise _Refused(40125)
    if _one(query, "grant_type") != "authorization_code":
        raise _Refused(40002)
    return app


def _code(world: World, app: App, text: str) -> LoginCode:
    code = world.codes.get(text)
    if code is None:
        raise _Refused(40029)
    if code.person.appid != app.appid:
        # WeChat counts a code that was refused as used: people report 40029 first and 40163 the second time.
        code.state = "refused"
        raise _Refused(40029)
    if code.state != "fresh":
        raise _Refused(40163)
    if world.now() - code.created_at > CODE_SECONDS:
        raise _Refused(40029)
    if not world.within_quota(code.person, app):
        raise _Refused(45011)
    code.state = "used"
    if code.person.blocked:
        raise _Refused(40226)
    return code


def _one(query: Query, name: str) -> str:
    """Give the first value of a parameter, or an empty string, which WeChat takes for a missing one."""
    values = query.get(name)
    return values[0].decode("utf-8", "replace") if values else ""
