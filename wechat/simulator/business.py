"""The paths that want an access_token and know a person: session keys and phone numbers."""

import hmac
import re
from typing import Any, Final

from wechat.data import session_key_signature
from wechat.simulator.answers import Reply, api_success
from wechat.simulator.asking import Question, Refused
from wechat.simulator.state import CODE_SECONDS, Person, World, key_text
from wechat.simulator.tokens import appid_of_token

SEALED_SECONDS: Final = 3 * 86_400
_SHA256: Final = re.compile(r"[0-9a-f]{64}", re.ASCII | re.IGNORECASE)


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


def checkencryptedmsg(world: World, question: Question) -> Reply:
    """Say whether WeChat has encrypted a phone number these three days, as POST /wxa/business/checkencryptedmsg does.

    Asked is the SHA-256 of encryptedData in hex, in a form or in JSON. Chosen here, because no page says it: the hash
    is over the base64 text as the phone hands it on. `vaild` is WeChat's spelling.
    """
    appid = appid_of_token(world, question)
    asked = question.form_or_fields().get("encrypted_msg_hash")
    if not isinstance(asked, str) or not _SHA256.fullmatch(asked):
        raise Refused(40097)
    found = world.sealed_phones.get(asked.lower())
    if found is None or found.appid != appid or world.now() - found.created_at > SEALED_SECONDS:
        raise Refused(1)
    return api_success({"vaild": True, "create_time": found.created_at})


def _person(world: World, question: Question) -> Person:
    appid = appid_of_token(world, question)
    if question.one("sig_method") != "hmac_sha256":
        raise Refused(87008)
    person = world.of_openid(question.one("openid"))
    if person is None or person.appid != appid:
        raise Refused(40003)
    return person


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
