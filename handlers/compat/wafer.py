"""COMPAT=wafer1, wafer2: Tencent's Wafer SDKs as phones have them, and the session server of Wafer 1's server SDKs.

One answer serves both generations: each reads its own half. The magic key stands only in answers to a login and in "not
logged in": an SDK drops its session wherever it sees it.
"""

import json
from typing import Any, ClassVar

import actions
from actions import LoggedIn
from actions.wafer import opened_profile, token_behind, wire_id
from handlers.base import Intake, error_in
from handlers.body import JsonObject, text_field
from handlers.carriers import wafer_values
from handlers.compat.dialect import DialectHandler
from handlers.pages import words_in
from handlers.refusals import BadRequest, Refusal
from handlers.wechat_data import MOST_DATA_BYTES
from stores.users import User

MAGIC = "F2C224D4-2BCE-4C64-AF9F-A6D872000D1A"

# Which sentence a person gets to read; any other number gets `other`.
_SENTENCES = {
    40029: "code",
    40163: "code",
    40226: "high_risk",
    400003: "code",
    401001: "session",
    401002: "session",
    403003: "blocked",
    403004: "closed",
    403005: "too_many",
}


class WaferHandler(DialectHandler):
    """What both generations of the SDK ask."""

    intake: ClassVar[Intake] = Intake(types=())  # all that counts stands in headers

    def sentence(self, row: Refusal) -> str:
        """What the SDK shows to the person, in the server's language."""
        words = vars(words_in(self.backend.settings.language).compat)
        return str(words[_SENTENCES.get(row.errcode, "other")])

    def one_value(self, name: str) -> str:
        """What the phone sends under this name, once; empty when it is missing. Raises BadRequest."""
        values = wafer_values(self.request, name, self.backend.settings.compat)
        if len(values) > 1:
            raise BadRequest(name)
        return values[0] if values else ""

    def user_info(self, user: User, profile: dict[str, Any] | None = None) -> dict[str, Any]:
        """The person as the SDKs know people. WeChat's answer about the code says who it is, whatever the profile."""
        found: dict[str, Any] = {"nickName": user.nickname or "", "avatarUrl": user.avatar_url or ""}
        found |= (profile or {}) | {"openId": user.openid}
        if self.backend.settings.expose_openid and user.unionid:
            found["unionId"] = user.unionid
        return found


class WaferLogin(WaferHandler):
    """GET and POST /login and /weapp/login"""

    metered = "login"

    async def get(self) -> None:
        """A session for the code in X-WX-Code; encryptedData that does not open loses the profile, never the login."""
        logged_in = await self.logged_in(self.one_value("X-WX-Code") or None)
        sealed, iv = self.one_value("X-WX-Encrypted-Data"), self.one_value("X-WX-IV")
        profile = await opened_profile(self.backend, logged_in, sealed, iv)
        self._send(self._told(logged_in, profile))

    post = get

    def _told(self, logged_in: LoggedIn, profile: dict[str, Any]) -> dict[str, object]:
        token = logged_in.token
        info = self.user_info(logged_in.user, profile)
        return {
            MAGIC: 1,
            "session": {"id": wire_id(token), "skey": token},
            "code": 0,
            "data": {"userinfo": info, "skey": token, "time": self.backend.now()},
            "token": token,
        }

    def refused(self, row: Refusal, error: BaseException | None) -> tuple[int, dict[str, object]]:
        """What both SDKs read as a login that was refused."""
        return 200, {MAGIC: 1, "code": -1, "error": "ERR_LOGIN_FAILED", "message": self.sentence(row)}


class WaferUser(WaferHandler):
    """GET and POST /user and /weapp/user"""

    async def get(self) -> None:
        """Who it is: `data.userInfo` for Wafer 1, `data` itself for Wafer 2."""
        info = self.user_info(await self.whose(self.carried()))
        self._send({"code": 0, "message": "ok", "data": {**info, "userInfo": info}})

    head = post = get

    def refused(self, row: Refusal, error: BaseException | None) -> tuple[int, dict[str, object]]:
        """The word to log in again, which both SDKs do by themselves, also when no session was sent at all."""
        if row.status != 401:
            return row.status, {"errcode": row.errcode, "errmsg": row.errmsg}
        return 200, {MAGIC: 1, "code": -1, "error": "ERR_INVALID_SESSION", "message": self.sentence(row)}


class BadInterface(BadRequest):
    """The call of a server SDK is not one; `code` is the session server's own number for what is wrong."""

    def __init__(self, code: int, meaning: str) -> None:
        super().__init__()
        self.code = code
        self.meaning = meaning


# The session server's own numbers.
_NOT_JSON = (1009, "REQUEST_IS_NOT_JSON")
_NO_INTERFACE = (1002, "NO_INTERFACENAME_PARA")
_NO_PARA = (1011, "NO_PARA")
_WRONG_PARA = (1003, "PARA_ERR")
_UNKNOWN_INTERFACE = (1010, "INTERFACENAME_PARA_ERR")
_NO_APPID = (1012, "NO_APPID")
_CODE = (40029, "WEIXIN_CODE_ERR")
_AUTH_FAIL = (60012, "AUTH_FAIL")
_DECRYPT_FAIL = (60021, "DECRYPT_FAIL")
_BY_ERRCODE = {
    40029: _CODE,
    40163: _CODE,
    400003: _CODE,
    400004: _NO_APPID,
    400006: _DECRYPT_FAIL,
    401001: _AUTH_FAIL,
    401002: _AUTH_FAIL,
}


class MinaAuth(WaferHandler):
    """POST /mina_auth/, for the business servers of Wafer 1: they pass on what the phone has sent them."""

    intake: ClassVar[Intake] = Intake(most_bytes=MOST_DATA_BYTES, type_may_be_missing=True)

    async def post(self) -> None:
        """`qcloud.cam.id_skey` logs in, `…auth` says whose session it is, `…decrypt` opens data; no more is offered."""
        name, para = self._call()
        if name == "qcloud.cam.id_skey":
            await self._log_in(para)
        elif name == "qcloud.cam.auth":
            await self._check(para)
        elif name == "qcloud.cam.decrypt":
            await self._decrypt(para)
        else:
            raise BadInterface(*_UNKNOWN_INTERFACE)

    def _call(self) -> tuple[str, JsonObject]:
        try:
            body = self.body()
        except BadRequest:
            raise BadInterface(*_NOT_JSON) from None
        interface = body.get("interface")
        if not isinstance(interface, dict) or not isinstance(interface.get("interfaceName"), str):
            raise BadInterface(*_NO_INTERFACE)
        if not isinstance(interface.get("para"), dict):
            raise BadInterface(*_NO_PARA)
        return interface["interfaceName"], interface["para"]

    async def _log_in(self, para: JsonObject) -> None:
        logged_in = await self.logged_in(text_field(para, "code"))
        sealed, iv = (str(para.get(name) or "") for name in ("encrypt_data", "iv"))
        profile = await opened_profile(self.backend, logged_in, sealed, iv)
        self._return(
            "NEW_SESSION_SUCCESS",
            {
                "id": wire_id(logged_in.token),
                "skey": logged_in.token,
                "user_info": self.user_info(logged_in.user, profile),
                "duration": logged_in.expires_in,
            },
        )

    async def _check(self, para: JsonObject) -> None:
        token = token_behind(text_field(para, "skey"), text_field(para, "id"))
        self._return("AUTH_SUCCESS", {"user_info": self.user_info(await self.whose(token))})

    async def _decrypt(self, para: JsonObject) -> None:
        """The data as text. Without an `iv` it is never opened: the oldest way took the key, and so gave it away."""
        token = token_behind(text_field(para, "skey"), text_field(para, "id"))
        session = (await self.verified(token)).session
        sealed, iv = text_field(para, "encrypt_data"), str(para.get("iv") or "")
        found = await actions.decrypt(self.backend, session, sealed, iv, openid_too=True)
        self._return("DECRYPT_SUCCESS", json.dumps(found, ensure_ascii=False))

    def _return(self, meaning: str, data: object, code: int = 0) -> None:
        self._send(_returned(code, meaning, data))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """See DialectHandler."""
        error = error_in(kwargs)
        if isinstance(error, BadInterface):
            self.set_status(200)
            self._return(error.meaning, "", error.code)
        else:
            super().write_error(status_code, **kwargs)

    def refused(self, row: Refusal, error: BaseException | None) -> tuple[int, dict[str, object]]:
        """The session server's number, which the SDKs turn into the phone's errors; always a text as message."""
        usual = _WRONG_PARA if row.errcode == 400001 else (row.errcode, self.sentence(row))
        code, meaning = _BY_ERRCODE.get(row.errcode, usual)
        return 200, _returned(code, meaning, "")


def _returned(code: int, meaning: str, data: object) -> dict[str, object]:
    return {"returnCode": code, "returnMessage": meaning, "returnData": data, "version": 1, "componentName": "MA"}
