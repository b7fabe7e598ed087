"""The paths that the real WeChat has, with its order of checks."""

import secrets
from collections.abc import Callable, Mapping
from typing import Final

from wechat.simulator.answers import PHONE_PATH, Reply, sns_success
from wechat.simulator.asking import Question, Refused
from wechat.simulator.business import checkencryptedmsg, checksession, getuserphonenumber, resetusersessionkey
from wechat.simulator.content import media_check_async, msg_sec_check
from wechat.simulator.own_calls import clear_quota, rid_get
from wechat.simulator.state import CODE_SECONDS, App, LoginCode, World
from wechat.simulator.tokens import stable_token, token


def jscode2session(world: World, question: Question) -> Reply:
    """Redeem a code of wx.login as GET /sns/jscode2session does (WeChat: code2Session).

    Only the query counts; a body is not read. Between the check of a code and its marking nothing waits, so of
    two parallel calls exactly one succeeds. The documentation leaves open, and here is chosen: grant_type is
    judged after the secret, 40125 and 45011 leave the code fresh, and a used code answers 40163 for ever.
    """
    app = _app(world, question)
    code = _code(world, app, question.one("js_code"))
    fields = {"session_key": code.session_key_text(), "openid": code.person.openid}
    if app.bound_open_platform:
        fields["unionid"] = code.person.unionid
    return sns_success(world, fields)


ENDPOINTS: Final[Mapping[str, Callable[[World, Question], Reply]]] = {
    "/sns/jscode2session": jscode2session,
    "/cgi-bin/token": token,
    "/cgi-bin/stable_token": stable_token,
    "/wxa/checksession": checksession,
    "/wxa/resetusersessionkey": resetusersessionkey,
    PHONE_PATH: getuserphonenumber,
    "/wxa/business/checkencryptedmsg": checkencryptedmsg,
    "/wxa/msg_sec_check": msg_sec_check,
    "/wxa/media_check_async": media_check_async,
    "/cgi-bin/clear_quota": clear_quota,
    "/cgi-bin/openapi/rid/get": rid_get,
}


def _app(world: World, question: Question) -> App:
    for name, errcode in (("appid", 41002), ("secret", 41004), ("js_code", 41008)):
        if not question.one(name):
            raise Refused(errcode)
    app = world.apps.get(question.one("appid"))
    if app is None:
        raise Refused(40013)
    if not secrets.compare_digest(question.one("secret").encode(), app.secret.encode()):
        raise Refused(40125)
    if question.one("grant_type") != "authorization_code":
        raise Refused(40002)
    return app


def _code(world: World, app: App, text: str) -> LoginCode:
    code = world.codes.get(text)
    if code is None:
        raise Refused(40029)
    if code.person.appid != app.appid:
        # WeChat counts a code that was refused as used: people report 40029 first and 40163 the second time.
        code.state = "refused"
        raise Refused(40029)
    if code.state != "fresh":
        raise Refused(40163)
    if world.now() - code.created_at > CODE_SECONDS:
        raise Refused(40029)
    if not world.within_quota(code.person, app):
        raise Refused(45011)
    code.state = "used"
    if code.person.blocked:
        raise Refused(40226)
    return code
