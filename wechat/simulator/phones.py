"""What a phone is given by WeChat itself and hands on to a server: data encrypted or signed with its session key."""

import base64
import hashlib
import json
from typing import Any, Final

from wechat.data import encrypted, raw_data_signature
from wechat.simulator.state import App, Person, SealedPhone, World, remember

KINDS: Final = ("userinfo", "profile", "phone", "group")
GREY_AVATAR: Final = "https://thirdwx.qlogo.cn/mmopen/vi_32/grey/132"
ANONYMOUS: Final = "微信用户"
NUMBER: Final = "13800138000"


def handed_over(world: World, app: App, person: Person, kind: str, *, stale: bool, legacy: bool) -> dict[str, str]:
    """Give encryptedData and iv of a kind, and rawData with its signature where the phone gets them.

    `stale` takes the session key before the present one, `legacy` the name and picture that old versions still got.
    """
    key = person.previous_key if stale else person.session_key
    told = _told(app, person, kind, legacy)
    watermark = {"watermark": {"timestamp": world.now(), "appid": app.appid}}
    secret = {"openId": person.openid} if kind == "userinfo" else {}
    if kind == "userinfo" and app.bound_open_platform:
        secret["unionId"] = person.unionid
    iv = world.dice.randbytes(16)
    found = {"encryptedData": encrypted(key, _json(secret | told | watermark), iv), "iv": _base64(iv)}
    if kind == "phone":
        digest = hashlib.sha256(found["encryptedData"].encode("ascii")).hexdigest()
        remember(world.sealed_phones, digest, SealedPhone(app.appid, world.now()))
    if kind in ("userinfo", "profile"):
        raw = _json(told).decode()
        found |= {"rawData": raw, "signature": raw_data_signature(raw, key)}
    return found


def _told(app: App, person: Person, kind: str, legacy: bool) -> dict[str, Any]:
    if kind == "phone":
        return {"phoneNumber": NUMBER, "purePhoneNumber": NUMBER, "countryCode": "86"}
    if kind == "group":
        return {"opengid": f"tG{app.appid[2:]}{'0' * 10}"}
    return {
        "nickName": person.user if legacy else ANONYMOUS,
        "gender": 0,
        "language": "",
        "city": "",
        "province": "",
        "country": "",
        "avatarUrl": GREY_AVATAR,
    }


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")
