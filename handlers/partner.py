"""What your other back ends ask, each with a service key: who is it, put out, keep out, and WeChat's own API."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any, ClassVar

import actions
from actions import Actor
from actions.access_tokens import access_token
from actions.apps import one_of_ours
from actions.introspection import MOST_TOKENS, Active, introspect, introspect_all
from actions.service_keys import ScopeMissing, caller_with
from handlers.base import FORM, ApiHandler, Intake
from handlers.body import JsonObject, optional_text, text_field
from handlers.callers import address_of
from handlers.carriers import bearer
from handlers.miniprogram import masked
from handlers.refusals import BadRequest, NoSuchResource, TwoCarriers
from stores.service_keys import ServiceKey
from stores.users import NoSuchUser, User

_RELAY_SECONDS = 10.0


class PartnerHandler(ApiHandler):
    """A handler for another back end. `scope` is what its key must be for; a deed that is refused is written down."""

    scope: ClassVar[str]
    deed: ClassVar[str | None] = None

    async def key(self, target: str = "") -> ServiceKey:
        """The key of the request; see actions.service_keys.caller_with for what it raises."""
        text = bearer(self.request)
        try:
            key = await caller_with(self.backend, text, self.scope, address_of(self.request))
        except ScopeMissing as missing:
            if self.deed:
                await actions.denied(self.backend, self.by(missing.key), self.deed, target=target)
            raise
        return key

    def by(self, key: ServiceKey) -> Actor:
        """Who does what is done here, for the audit."""
        return Actor(f"key:{key.name}", self.request.remote_ip, self.request_id)


class Introspect(PartnerHandler):
    """POST /partner/introspect (RFC 7662)"""

    intake = Intake(most_bytes=64 * 1024, types=("application/json", FORM))
    scope = "introspect"

    async def post(self) -> None:
        """Says of one token, or of up to 500, whether it is active and whose it is; never why it is not."""
        key = await self.key()
        one, many = self._asked()
        if one is not None:
            self._tell(_told(await introspect(self.backend, one, key.appids)))
        else:
            self._tell([_told(each) for each in await introspect_all(self.backend, many, key.appids)])

    def _asked(self) -> tuple[str | None, list[str]]:
        if self.is_form:
            return self._from_form(), []
        body = self.body()
        if "tokens" not in body:
            return text_field(body, "token"), []
        tokens = body["tokens"]
        if "token" in body:
            raise TwoCarriers
        if not isinstance(tokens, list) or not all(isinstance(each, str) for each in tokens):
            raise BadRequest("tokens")
        if len(tokens) > MOST_TOKENS:
            raise BadRequest("tokens")
        return None, tokens

    def _from_form(self) -> str:
        values = self.request.body_arguments.get("token", [])
        if len(values) > 1:
            raise TwoCarriers
        if not values:
            raise BadRequest("token")
        return values[0].decode("utf-8", "replace")  # what is no ASCII is no token of ours either

    def _tell(self, found: object) -> None:
        self.finish(json.dumps(found, separators=(",", ":")))


def _told(active: Active | None) -> dict[str, object]:
    if active is None:
        return {"active": False}
    session, user = active.session, active.user
    return {
        "active": True,
        "sub": str(user.id),
        "appid": user.appid,
        "openid": user.openid,
        "unionid": user.unionid,
        "iat": session.created_at,
        "exp": active.expires_at,
        "person": None if user.person is None else str(user.person),
    }


class AboutPersonHandler(PartnerHandler):
    """A handler about one person: an id of ours, or APPID:OPENID."""

    async def person(self, key: ServiceKey, name: str) -> User:
        """Whoever is called so, in a mini program that the key reaches. Raises NoSuchResource."""
        if not name.isascii() or not (name.isdigit() or all(name.partition(":"))):
            raise NoSuchResource
        try:
            user = await actions.find_user(self.backend, name)
        except NoSuchUser:
            raise NoSuchResource from None
        if key.serves(user.appid):
            return user
        if self.deed:
            await actions.denied(self.backend, self.by(key), self.deed, target=f"user:{user.id}", appid=user.appid)
        raise NoSuchResource

    def optional_body(self) -> JsonObject:
        """The JSON object of the body, an empty one when nothing was sent."""
        return self.body() if self.request.body else {}


class Person(AboutPersonHandler):
    """GET /partner/users/ID"""

    scope = "users"

    async def get(self, name: str) -> None:
        """The person as kept, the phone number masked."""
        user = await self.person(await self.key(), name)
        self.answer(**_person(user, self.backend.now()))

    head = get


def _person(user: User, now: int) -> dict[str, Any]:
    blocked = user.blocked(now)
    return {
        "id": user.id,
        "appid": user.appid,
        "openid": user.openid,
        "unionid": user.unionid,
        "nickname": user.nickname,
        "avatar_url": user.avatar_url,
        "phone": masked(user.phone),
        "created_at": user.created_at,
        "last_login_at": user.last_login_at,
        "blocked": blocked,
        "blocked_until": user.blocked_until if blocked else None,
        "person": user.person,
    }


class RevokePerson(AboutPersonHandler):
    """POST /partner/users/ID/revoke"""

    intake = Intake(type_may_be_missing=True)
    scope = "revoke"
    deed = "user.revoke"

    async def post(self, name: str) -> None:
        """Ends every session of the person; `reason` is for the audit and may be left out."""
        key = await self.key(f"user:{name}")
        reason = optional_text(self.optional_body(), "reason")
        ended = await actions.revoke_user(self.backend, self.by(key), await self.person(key, name), reason=reason)
        self.answer(ended=ended.sessions)


class BlockPerson(AboutPersonHandler):
    """POST /partner/users/ID/block"""

    scope = "block"
    deed = "user.block"

    async def post(self, name: str) -> None:
        """Keeps the person out until `until` (epoch seconds, for good when it is missing or null)."""
        key = await self.key(f"user:{name}")
        body = self.body()
        reason, until = text_field(body, "reason"), body.get("until")
        if until is not None and (not isinstance(until, int) or isinstance(until, bool)):
            raise BadRequest("until")
        user = await self.person(key, name)
        ended = await actions.block(self.backend, self.by(key), user, reason=reason, until=until)
        self.answer(ended=ended.sessions)


class Relay(PartnerHandler):
    """GET and POST /partner/wechat/APPID/PATH…"""

    intake = Intake(most_bytes=1024 * 1024, type_may_be_missing=True)
    scope = "relay"

    async def get(self, appid: str, path: str) -> None:
        """Passes the call on to WeChat with the access_token added, and WeChat's answer back as it came.

        Of the request's headers only the type of its body goes along, of the answer's likewise.
        """
        key = await self.key()
        if not key.serves(appid):
            raise NoSuchResource
        if not _among(f"/{path}", key.paths):
            raise ScopeMissing(key)
        relayed = await self.backend.wechat.calls.relay(
            one_of_ours(self.backend, appid),
            self.request.method or "",
            path,
            self._query(),
            self.request.body or None,
            self.request.headers.get("Content-Type", "application/json"),
            asyncio.get_running_loop().time() + _RELAY_SECONDS,
        )
        self.set_status(relayed.status)
        self.set_header("Content-Type", relayed.content_type)
        self.finish(relayed.body)

    post = get

    def _query(self) -> list[tuple[str, str]]:
        found = self.request.query_arguments
        try:
            return [(name, value.decode("utf-8")) for name, values in found.items() for value in values]
        except UnicodeDecodeError:
            raise BadRequest from None


def _among(path: str, beginnings: Sequence[str]) -> bool:
    """Whether a path begins so, one whole step at a time: `/wxa/msg` is no beginning of `/wxa/msg_sec_check`."""
    return any(path == each or path.startswith(each.removesuffix("/") + "/") for each in beginnings)


class AccessToken(PartnerHandler):
    """GET /partner/access-token"""

    scope = "access-token"

    async def get(self) -> None:
        """The access_token that all processes share; `appid` may be left out where there is one mini program."""
        key = await self.key()
        appids = self.request.query_arguments.get("appid", [])
        if len(appids) > 1:
            raise BadRequest("appid")
        appid = one_of_ours(self.backend, appids[0].decode("utf-8", "replace") if appids else None)
        if not key.serves(appid):
            raise NoSuchResource
        shared = await access_token(self.backend, appid, asyncio.get_running_loop().time() + _RELAY_SECONDS)
        self.answer(access_token=shared.token, expires_in=shared.expires_in)
