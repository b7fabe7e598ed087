"""What a mini program on a phone asks: log in, verify, log out, its own profile and sessions."""

import base64
from typing import Any

from tornado.httputil import HTTPServerRequest

import actions
from actions import Actor, Backend, OwnSession, Verified
from actions.avatars import public_address
from actions.content import change_profile
from handlers.base import ApiHandler, Intake
from handlers.body import JsonObject, optional_text, text_field
from handlers.callers import address_of, caller_of
from handlers.carriers import bearer, token_of
from handlers.refusals import UNEXPECTED, refusal
from stores.avatars import Avatar, AvatarFacts
from stores.users import Profile, User


def masked(phone: str | None) -> str | None:
    """A phone number with its middle hidden: 138****8000."""
    return None if phone is None else f"{phone[:3]}****{phone[-4:]}"


class PersonHandler(ApiHandler):
    """A handler for somebody who is logged in."""

    async def verified(self, token: str | None = None) -> Verified:
        """The session of the request's token; see actions.verify for what it raises."""
        given = self.carried() if token is None else token  # an empty token is a token too
        return await actions.verify(self.backend, given, address_of(self.request))

    def carried(self, body: JsonObject | None = None) -> str:
        """The request's token, wherever COMPAT lets it stand; `body` is given where it may hold one."""
        return token_of(self.request, body, self.backend.settings.compat)


def profile(backend: Backend, user: User) -> dict[str, Any]:
    """A person as their own phone sees them; never the session_key, the openid only by EXPOSE_OPENID."""
    found: dict[str, Any] = {
        "id": user.id,
        "nickname": user.nickname,
        "avatar_url": public_address(backend, user.avatar_url),
        "phone": masked(user.phone),
        "created_at": user.created_at,
    }
    if backend.settings.expose_openid:
        found |= {"openid": user.openid, "unionid": user.unionid}
    return found


async def log_in(backend: Backend, request: HTTPServerRequest, body: JsonObject) -> dict[str, Any]:
    """What a phone is told that asks POST /api/login with this body. Raises BadRequest and as actions.log_in."""
    logged_in = await actions.log_in(
        backend,
        code=text_field(body, "code"),
        appid=optional_text(body, "appid"),
        caller=caller_of(request),
        replaces=bearer(request, backend.settings.compat),
        phone_code=optional_text(body, "phone_code"),
    )
    told: dict[str, Any] = {
        "token": logged_in.token,
        "expires_in": logged_in.expires_in,
        "user": profile(backend, logged_in.user) | {"new": logged_in.new},
    }
    if logged_in.phone_trouble is not None:
        row = refusal(logged_in.phone_trouble) or UNEXPECTED
        told["phone_error"] = {"errcode": row.errcode, "errmsg": row.errmsg}
    return told


class Login(PersonHandler):
    """POST /api/login; handlers/hot.py answers it, unless a dialect of COMPAT shares the path."""

    metered = "login"

    async def post(self) -> None:
        """Exchanges the code of wx.login for a token."""
        self.answer(**await self.unless_hung_up(log_in(self.backend, self.request, self.body())))


class TokenHandler(PersonHandler):
    """A handler whose POST takes the token in the header or in its body."""

    intake = Intake(type_may_be_missing=True)

    def token(self) -> str:
        """The request's token, wherever it may stand here."""
        body: JsonObject | None = self.body() if self.request.body else None
        return self.carried(body)


class Verify(TokenHandler):
    """GET and POST /api/verify: the hot road, one look-up and nothing else."""

    metered = "verify"

    async def get(self) -> None:
        """Says whose token it is."""
        self._tell(await self.verified())

    head = get

    async def post(self) -> None:
        """The same, with the token in the header or as `token` in the body."""
        self._tell(await self.verified(self.token()))

    def _tell(self, verified: Verified) -> None:
        session = verified.session
        self.answer(user_id=session.user_id, appid=session.appid, expires_in=verified.expires_in)


class Logout(TokenHandler):
    """POST /api/logout"""

    async def post(self) -> None:
        """Ends the session; when this answers, no server accepts the token any more."""
        await actions.log_out(self.backend, self.token(), address_of(self.request))
        self.answer()


class Me(PersonHandler):
    """GET, PUT and DELETE /api/me"""

    async def get(self) -> None:
        """The person's own profile."""
        verified = await self.verified()
        self.answer(**profile(self.backend, await self.backend.users.find(verified.session.user_id)))

    head = get

    async def put(self) -> None:
        """Changes nickname or avatar_url; a field that is left out stays, null clears it, others are ignored."""
        verified = await self.verified()
        body = self.body()
        changes: Profile = {}
        if "nickname" in body:
            changes["nickname"] = optional_text(body, "nickname")
        if "avatar_url" in body:
            changes["avatar_url"] = optional_text(body, "avatar_url")
        self.answer(**profile(self.backend, await change_profile(self.backend, verified.session, changes)))

    async def delete(self) -> None:
        """Erases the person's data and ends every session (Personal Information Protection Law, article 47)."""
        session = (await self.verified()).session
        by = Actor(f"person:{session.user_id}", self.request.remote_ip, self.request_id)
        await actions.erase(self.backend, by, session.user_id, session.appid)
        self.answer(erased=True)


class Export(PersonHandler):
    """GET /api/me/export"""

    async def get(self) -> None:
        """A copy of everything kept about the person (Personal Information Protection Law, article 45)."""
        copy = await actions.export(self.backend, (await self.verified()).session)
        user = copy.user
        self.answer(
            user={
                "id": user.id,
                "appid": user.appid,
                "openid": user.openid,
                "unionid": user.unionid,
                "nickname": user.nickname,
                "avatar_url": user.avatar_url,
                "phone": user.phone,
                "created_at": user.created_at,
                "last_login_at": user.last_login_at,
            },
            avatar=_picture(copy.avatar),
            held_avatar=_held_picture(copy.held),
            logins=[
                {
                    "id": login.id.hex(),
                    "ip": login.ip,
                    "platform": login.platform,
                    "version": login.version,
                    "environment": login.environment,
                    "created_at": login.created_at,
                    "last_seen_at": login.seen_at,
                    "ended_at": login.ended_at,
                    "reason": login.reason,
                }
                for login in copy.logins
            ],
        )

    head = get


def _picture(facts: AvatarFacts | None) -> dict[str, Any] | None:
    if facts is None:
        return None
    return {"path": facts.path, "type": facts.kind, "bytes": facts.size_bytes, "created_at": facts.at}


def _held_picture(held: Avatar | None) -> dict[str, Any] | None:
    """The picture itself: under an address others could see what WeChat has not let pass."""
    if held is None:
        return None
    return {"type": held.kind, "base64": base64.b64encode(held.body).decode("ascii"), "created_at": held.at}


class MySessions(PersonHandler):
    """GET /api/me/sessions"""

    async def get(self) -> None:
        """The person's own sessions, the newest first."""
        own = await actions.own_sessions(self.backend, (await self.verified()).session)
        self.answer(sessions=[_shown(each) for each in own])

    head = get


def _shown(own: OwnSession) -> dict[str, Any]:
    session, facts = own.session, own.facts
    return {
        "id": session.id.hex(),
        "created_at": session.created_at,
        "last_seen_at": facts.seen_at if facts else session.created_at,
        "expires_at": session.expires_at,
        "platform": facts.platform if facts else None,
        "ip": facts.ip if facts else None,
        "current": own.current,
    }


class RevokeMine(PersonHandler):
    """POST /api/me/sessions/ID/revoke"""

    async def post(self, public_id: str) -> None:
        """Ends one of the person's own sessions."""
        session = (await self.verified()).session
        ended = await actions.revoke_own(self.backend, session, public_id.lower())
        self.answer(ended=ended.sessions)


class RevokeOthers(PersonHandler):
    """POST /api/me/sessions/revoke-others"""

    async def post(self) -> None:
        """Ends every session of the person but this one."""
        ended = await actions.revoke_others(self.backend, (await self.verified()).session)
        self.answer(ended=ended.sessions)
