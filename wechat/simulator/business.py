"""The paths that want an access_token: session keys, phone numbers, and the check of a text."""

import hmac
from typing import Any, Final

from wechat.crypto import session_key_signature
from wechat.simulator.answers import Reply, api_success
from wechat.simulator.asking import Question, Refused
from wechat.simulator.state import CODE_SECONDS, Person, World, key_text
from wechat.simulator.tokens import appid_of_token

RISKY_TEXT: Final = "特3456书yuuo莞6543李zxcz蒜7782法fgnv级"  # with which WeChat's page shows a text that is refused


def checksession(world: World, question: Question) -> Reply:
    """Say whether a signature was made with the person's session key of now, as GET /wxa/checksession does."""
    person = _person(world, question)
    if person.session_key_over or not _fits(person, question):
        raise Refused(87009)
    return api_success({})


def resetusersessionkey(world: World, question: Question) -> Reply:
    """Replace the session key at once, as GET /wxa/resetusersessionkey does; it ends when the old one would have."""
    person = _person(world, question)
    if person.session_key_over or not person.session_key:
        raise Refused(87007)
    if not _fits(person, question):
        raise Refused(87009)
    if world.now() - person.reset_at < world.apps[person.appid].min_reset_seconds:
        raise Refused(45011)
    world.new_session_key(person)
    person.reset_at = world.now()
    return api_success({"openid": person.openid, "session_key": key_text(person.session_key)})


def getuserphonenumber(world: World, question: Question) -> Reply:
    """Give the number behind a tap on the button, once, as POST /wxa/business/getuserphonenumber does.

    Chosen here, because no page says it: a code of somebody else is 40003.
    """
    appid = appid_of_token(world, question)
    number = _number(world, appid, question.fields())
    country: Any = world.dice.choice((86, "86"))
    info = {"phoneNumber": number, "purePhoneNumber": number, "countryCode": country}
    return api_success({"phone_info": info | {"watermark": {"timestamp": world.now(), "appid": appid}}})


def check_text(world: World, question: Question) -> Reply:
    """Judge a text as POST /wxa/msg_sec_check does: WeChat's own example of a bad one is risky, all others pass."""
    appid_of_token(world, question)
    content = question.fields().get("content")
    if not isinstance(content, str):
        raise Refused(47001)
    risky = RISKY_TEXT in content
    result = {"suggest": "risky" if risky else "pass", "label": 20001 if risky else 100}
    return api_success({"result": result, "detail": [], "trace_id": world.request_id()})


def _person(world: World, question: Question) -> Person:
    appid = appid_of_token(world, question)
    if question.one("sig_method") != "hmac_sha256":
        raise Refused(87008)
    openid = question.one("openid")
    for person in world.people.values():
        if person.appid == appid and person.openid == openid:
            return person
    raise Refused(40003)


def _fits(person: Person, question: Question) -> bool:
    wanted = session_key_signature(person.session_key)
    return hmac.compare_digest(wanted.encode(), question.one("signature").encode())


def _number(world: World, appid: str, fields: dict[str, Any]) -> str:
    if not isinstance(fields.get("code"), str):
        raise Refused(47001)
    code = world.phone_codes.get(fields["code"])
    if code is None or code.used or world.now() - code.created_at > CODE_SECONDS:
        raise Refused(40029)
    if code.person.appid != appid:
        raise Refused(40013)
    if fields.get("openid") not in (None, code.person.openid):
        raise Refused(40003)
    code.used = True
    return code.number
