"""What each address of the API takes and gives, in the words of JSON Schema; handlers/openapi.py makes the document.

A field that is added to a body or to an answer is added here and in docs/api.md; tests/api/test_openapi.py asks the
running server whether it is so.
"""

from typing import Any, Literal

import msgspec
from msgspec.structs import replace

Schema = dict[str, Any]
Carrier = Literal["nobody", "phone", "phone if it has one", "proxy", "back end"]

JSON, FORM, TEXT = "application/json", "application/x-www-form-urlencoded", "text/plain"

STRING: Schema = {"type": "string"}
TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
BOOLEAN: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
SECONDS: Schema = {"type": "integer", "minimum": 0, "description": "seconds"}
MOMENT: Schema = {"type": "integer", "description": "seconds since 1970"}
MOMENT_OR_NULL: Schema = {"type": ["integer", "null"], "description": "seconds since 1970"}
USER_ID: Schema = {"type": "integer", "minimum": 1}
SESSION_ID: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "SHA-256 of the token, in hex"}
PHONE: Schema = {"type": ["string", "null"], "description": "with its middle hidden: 138****8000"}
LOGIN_CODE: Schema = {"type": "string", "pattern": "^[0-9A-Za-z_-]{1,128}$", "description": "what wx.login gave"}
PHONE_CODE: Schema = {
    "type": "string",
    "pattern": "^[0-9A-Za-z_-]{1,128}$",
    "description": "what the getPhoneNumber button gave",
}


def fields(optional: tuple[str, ...] = (), /, **properties: Schema) -> Schema:
    """An object with these fields, all of which are always there but for the optional ones."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, **({"required": required} if required else {})}


def list_of(items: Schema, **more: Any) -> Schema:
    """An array of them."""
    return {"type": "array", "items": items, **more}


def named(name: str) -> Schema:
    """One of SCHEMAS, by reference."""
    return {"$ref": f"#/components/schemas/{name}"}


_PROFILE: dict[str, Schema] = {
    "id": USER_ID,
    "nickname": TEXT_OR_NULL,
    "avatar_url": TEXT_OR_NULL,
    "phone": PHONE,
    "created_at": MOMENT,
    "openid": STRING | {"description": "only with EXPOSE_OPENID"},
    "unionid": TEXT_OR_NULL | {"description": "only with EXPOSE_OPENID"},
}
_EXPOSED = ("openid", "unionid")
_NUMBER: Schema = {"type": "string", "pattern": "^[0-9]+$"}
_MERGED: Schema = {"description": "the same for all users whom an operator has merged; null for others"}
_WHERE: dict[str, Schema] = {"ip": TEXT_OR_NULL, "platform": TEXT_OR_NULL}

SCHEMAS: dict[str, Schema] = {
    "Profile": fields(_EXPOSED, **_PROFILE),
    "LoggedIn": fields(_EXPOSED, **_PROFILE, new=BOOLEAN | {"description": "whether this login made the user"}),
    "Session": fields(
        id=SESSION_ID, created_at=MOMENT, last_seen_at=MOMENT, expires_at=MOMENT, **_WHERE, current=BOOLEAN
    ),
    "KeptUser": fields(
        id=USER_ID,
        appid=STRING,
        openid=STRING,
        unionid=TEXT_OR_NULL,
        nickname=TEXT_OR_NULL,
        avatar_url=TEXT_OR_NULL,
        phone=TEXT_OR_NULL,
        created_at=MOMENT,
        last_login_at=MOMENT_OR_NULL,
    ),
    "KeptLogin": fields(
        id=SESSION_ID,
        **_WHERE,
        version=TEXT_OR_NULL,
        environment=TEXT_OR_NULL,
        created_at=MOMENT,
        last_seen_at=MOMENT,
        ended_at=MOMENT_OR_NULL,
        reason=TEXT_OR_NULL,
    ),
    "KeptAvatar": fields(path=STRING, type=STRING, bytes=COUNT, created_at=MOMENT),
    "HeldAvatar": fields(type=STRING, base64={"type": "string", "contentEncoding": "base64"}, created_at=MOMENT),
    # RFC 7662 section 2.2; of a token that opens nothing nobody is told more than that.
    "Introspection": {
        "oneOf": [
            fields(
                active={"const": True},
                sub=_NUMBER | {"description": "the user's id"},
                appid=STRING,
                openid=STRING,
                unionid=TEXT_OR_NULL,
                iat=MOMENT,
                exp=MOMENT,
                person=TEXT_OR_NULL | {"pattern": "^[0-9]+$"} | _MERGED,
            ),
            fields(active={"const": False}) | {"additionalProperties": False},
        ]
    },
}


class Answer(msgspec.Struct, frozen=True):
    """A success: the fields beside errcode, errmsg and request_id, or a `bare` body of some media types, or no body."""

    fields: Schema | None = None
    bare: dict[str, Schema] = msgspec.field(default_factory=dict)
    status: int = 200
    headers: tuple[str, ...] = ()


class Operation(msgspec.Struct, frozen=True):
    """One method of one path. `refusals` are errcodes of handlers/refusals.py besides those that `carrier` brings."""

    summary: str
    answer: Answer
    carrier: Carrier = "phone"
    body: dict[str, Schema] = msgspec.field(default_factory=dict)  # by media type; none: it takes no body
    body_required: bool = True
    query: dict[str, Schema] = msgspec.field(default_factory=dict)
    query_required: tuple[str, ...] = ()
    refusals: tuple[int, ...] = ()


def _told(**properties: Schema) -> Answer:
    return Answer(fields(**properties))


_USERS_AWAY, _GONE = 503002, 404001
_STORE_FULL = 503005
_ASKS_WECHAT = (502001, 502002, 503003, 504001)
_OF_CONTENT = (400008, *_ASKS_WECHAT)  # with CONTENT_CHECK
_TOKEN_IN_BODY = {JSON: fields(("token",), token=STRING)}
_VERIFIED = _told(user_id=USER_ID, appid=STRING, expires_in=SECONDS)
_OWN_PROFILE = Answer(named("Profile"))
_ENDED = _told(ended=COUNT)
_NICKNAME = TEXT_OR_NULL | {"maxLength": 64, "description": "without control characters; null clears it"}
_AVATAR_URL = TEXT_OR_NULL | {"maxLength": 512, "description": "https, or a path of ours; null clears it"}
_REASON = TEXT_OR_NULL | {"description": "for the audit"}
_PUSH_SIGNED: dict[str, Schema] = dict.fromkeys(("timestamp", "nonce", "signature"), STRING)

_RELAYED = Operation(
    "Passes a call on to WeChat with the access_token added; parameters, status and body pass as they are",
    Answer(bare={"*/*": {}}),
    carrier="back end",
    refusals=(400001, 400004, _GONE, *_ASKS_WECHAT),
)

# By the method and the path, whose braces say what the groups of the route's pattern are called.
OPERATIONS: dict[str, Operation] = {
    "POST /api/login": Operation(
        "Exchanges the code of wx.login for a token; the session of a token that comes along ends",
        Answer(
            fields(
                ("phone_error",),
                token={"type": "string", "pattern": "^mps_[A-Za-z0-9_-]{43}$"},
                expires_in=SECONDS,
                user=named("LoggedIn"),
                phone_error=fields(errcode={"type": "integer"}, errmsg=STRING)
                | {"description": "why the phone number could not be bound; the login itself has succeeded"},
            )
        ),
        carrier="phone if it has one",
        body={JSON: fields(("appid", "phone_code"), code=LOGIN_CODE, appid=TEXT_OR_NULL, phone_code=TEXT_OR_NULL)},
        refusals=(400003, 400004, 40029, 40163, 403003, 403004, 403005, 40226, _USERS_AWAY, _STORE_FULL, *_ASKS_WECHAT),
    ),
    "GET /api/verify": Operation("Says whose token it is", _VERIFIED),
    "POST /api/verify": Operation(
        "The same, with the token in the header or in the body",
        _VERIFIED,
        carrier="phone if it has one",
        body=_TOKEN_IN_BODY,
        body_required=False,
        refusals=(401001, 401002),
    ),
    "POST /api/logout": Operation(
        "Ends the session; when this has answered, no process accepts the token",
        _told(),
        carrier="phone if it has one",
        body=_TOKEN_IN_BODY,
        body_required=False,
        refusals=(401001, 401002, _STORE_FULL),
    ),
    "GET /api/me": Operation("The person's own profile", _OWN_PROFILE, refusals=(_USERS_AWAY,)),
    "PUT /api/me": Operation(
        "Changes nickname or avatar_url; what is left out stays",
        _OWN_PROFILE,
        body={JSON: fields(("nickname", "avatar_url"), nickname=_NICKNAME, avatar_url=_AVATAR_URL)},
        refusals=(*_OF_CONTENT, 400007, _USERS_AWAY, _STORE_FULL),
    ),
    "DELETE /api/me": Operation(
        "Erases the person's data and ends every session", _told(erased={"const": True}), refusals=(_USERS_AWAY, 503006)
    ),
    "POST /api/me/avatar": Operation(
        "Keeps a picture (PNG, JPEG or WebP, at most 1 MiB) as the person's",
        Answer(
            fields(
                (*_EXPOSED, "checking"),
                **_PROFILE,
                checking={"const": True, "description": "with CONTENT_CHECK: shown when WeChat lets it pass"},
            )
        ),
        body={"multipart/form-data": fields(file={"type": "string", "contentMediaType": "application/octet-stream"})},
        refusals=(*_OF_CONTENT, _USERS_AWAY, _STORE_FULL),
    ),
    "GET /avatars/{name}": Operation(
        "A person's picture",
        Answer(bare={"image/jpeg": {}}),
        carrier="nobody",
        refusals=(_GONE, _USERS_AWAY),
    ),
    "GET /api/me/export": Operation(
        "A copy of everything that is kept about the person",
        _told(
            user=named("KeptUser"),
            logins=list_of(named("KeptLogin"), maxItems=10_000),
            avatar={"oneOf": [named("KeptAvatar"), {"type": "null"}]},
            held_avatar={"oneOf": [named("HeldAvatar"), {"type": "null"}]},
        ),
        refusals=(_USERS_AWAY,),
    ),
    "GET /api/me/sessions": Operation(
        "The person's own sessions, the newest first",
        _told(sessions=list_of(named("Session"))),
        refusals=(_USERS_AWAY,),
    ),
    "POST /api/me/sessions/revoke-others": Operation("Ends every session of the person but this one", _ENDED),
    "POST /api/me/sessions/{id}/revoke": Operation("Ends one of the person's own sessions", _ENDED, refusals=(_GONE,)),
    "POST /api/phone": Operation(
        "Binds the phone number that WeChat has for a code",
        _told(phone=PHONE),
        body={JSON: fields(code=PHONE_CODE)},
        refusals=(400003, 40029, _USERS_AWAY, _STORE_FULL, *_ASKS_WECHAT),
    ),
    "POST /api/decrypt": Operation(
        "Decrypts what WeChat has encrypted for this session",
        _told(data={"type": "object"}),
        body={JSON: fields(encryptedData=STRING, iv=STRING)},
        refusals=(400006, _USERS_AWAY),
    ),
    "POST /api/signature": Operation(
        "Says whether WeChat has signed rawData for this session",
        _told(valid=BOOLEAN),
        body={JSON: fields(rawData=STRING, signature=STRING)},
    ),
    "POST /api/session-key/check": Operation(
        "Asks WeChat whether the session_key is still the phone's",
        _told(valid=BOOLEAN),
        refusals=(_USERS_AWAY, *_ASKS_WECHAT),
    ),
    "POST /partner/introspect": Operation(
        "Says of one token (RFC 7662), or of up to 500, whether it is active and whose it is",
        Answer(bare={JSON: {"anyOf": [named("Introspection"), list_of(named("Introspection"), maxItems=500)]}}),
        carrier="back end",
        body={
            FORM: fields(("token_type_hint",), token=STRING, token_type_hint=STRING),
            JSON: {"oneOf": [fields(token=STRING), fields(tokens=list_of(STRING, maxItems=500))]},
        },
        refusals=(503001,),
    ),
    "GET /partner/users/{user}": Operation(
        "A person, by id or by APPID:OPENID",
        Answer(
            fields(
                **{name: each for name, each in _PROFILE.items() if name not in _EXPOSED},
                appid=STRING,
                openid=STRING,
                unionid=TEXT_OR_NULL,
                last_login_at=MOMENT_OR_NULL,
                blocked=BOOLEAN,
                blocked_until=MOMENT_OR_NULL,
                person={"type": ["integer", "null"], "minimum": 1} | _MERGED,
            )
        ),
        carrier="back end",
        refusals=(_GONE,),
    ),
    "POST /partner/users/{user}/revoke": Operation(
        "Ends every session of a person",
        _ENDED,
        carrier="back end",
        body={JSON: fields(("reason",), reason=_REASON)},
        body_required=False,
        refusals=(_GONE, 503001, 503006),
    ),
    "POST /partner/users/{user}/block": Operation(
        "Keeps a person out, for good or until a moment, and ends every session",
        _ENDED,
        carrier="back end",
        body={JSON: fields(("until",), reason=STRING, until=MOMENT_OR_NULL)},
        refusals=(_GONE, 503001, 503006),
    ),
    "GET /partner/wechat/{appid}/{path}": _RELAYED,
    "POST /partner/wechat/{appid}/{path}": replace(
        _RELAYED,
        body={JSON: {}, FORM: {"type": "object"}, "multipart/form-data": {"type": "object"}},
        body_required=False,
    ),
    "GET /partner/access-token": Operation(
        "The access_token that all processes share, and how long it still holds",
        _told(access_token=STRING, expires_in=SECONDS),
        carrier="back end",
        query={"appid": STRING | {"description": "needed where there are several mini programs"}},
        refusals=(400001, 400004, _GONE, *_ASKS_WECHAT),
    ),
    "GET /auth": Operation(
        "For a proxy, with FORWARD_AUTH: lets a request pass and says whose it is",
        Answer(status=204, headers=("X-WX-OPENID", "X-WX-APPID", "X-WX-UNIONID", "X-Menshen-User")),
        carrier="proxy",
        refusals=(_GONE, _USERS_AWAY),
    ),
    "GET /wechat/push/{appid}": Operation(
        "WeChat's console checks the URL of the message push",
        Answer(bare={TEXT: STRING}),
        carrier="nobody",
        query=_PUSH_SIGNED | {"echostr": STRING},
        query_required=(*_PUSH_SIGNED, "echostr"),
        refusals=(403009, _GONE),
    ),
    "POST /wechat/push/{appid}": Operation(
        "WeChat pushes a message, plain or encrypted, as JSON or XML",
        Answer(bare={TEXT: {"const": "success"}}),
        carrier="nobody",
        body={JSON: {"type": "object"}, "text/xml": STRING, "application/xml": STRING, TEXT: STRING},
        query=_PUSH_SIGNED | {"msg_signature": STRING, "openid": STRING, "encrypt_type": STRING},
        query_required=("timestamp", "nonce"),
        refusals=(403009, _GONE, 503001, _USERS_AWAY, _STORE_FULL),
    ),
    "GET /healthz": Operation("The process lives; no store is touched", _told(), carrier="nobody"),
    "GET /readyz": Operation(
        "Whether sessions can be verified; `degraded` names what else is away or full",
        _told(degraded=list_of({"enum": ["database", "database_full"]})),
        carrier="nobody",
        refusals=(503001, 503004),
    ),
    "GET /metrics": Operation(
        "Counts and times for Prometheus, of all workers together",
        Answer(bare={"text/plain": {"type": "string"}}),
        carrier="back end",
    ),
    "GET /openapi.json": Operation("This description", Answer(bare={JSON: {"type": "object"}}), carrier="nobody"),
}
