"""Tornado as its guide shows it: a RequestHandler, redis-py, aiomysql and Tornado's own HTTP client."""

import asyncio
import hashlib
import json
import logging
import os
import re
import secrets
import time
from typing import Any
from urllib.parse import urlencode

import aiomysql
from redis import asyncio as aioredis
from tornado.httpclient import AsyncHTTPClient
from tornado.web import Application, RequestHandler

WEEK = 7 * 86_400
TOKEN = re.compile(r"Bearer (mps_[A-Za-z0-9_-]{43})", re.ASCII)
CODE = re.compile(r"[0-9A-Za-z_-]{1,128}", re.ASCII)
GONE = {"errcode": 401002, "errmsg": "session is not valid", "error": "invalid_token", "retry": "login"}
NO_TOKEN = {"errcode": 401001, "errmsg": "no token was sent", "retry": "login"}
FIND = "SELECT id, nickname, avatar_url, phone, created_at FROM user WHERE appid = %s AND openid = %s"
ADD = "INSERT IGNORE INTO user (appid, openid, created_at) VALUES (%s, %s, UNIX_TIMESTAMP())"


class Base(RequestHandler):
    """What both paths have."""

    def initialize(self, sessions: Any, users: Any) -> None:
        """Called by Tornado for each request."""
        self.sessions = sessions
        self.users = users

    def answer(self, body: dict[str, Any]) -> None:
        """JSON with the id of the request."""
        request_id = secrets.token_hex(8)
        self.set_status(200 if body["errcode"] == 0 else body["errcode"] // 1000)
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Request-Id", request_id)
        self.finish(body | {"request_id": request_id})


class Verify(Base):
    """GET /api/verify"""

    async def get(self) -> None:
        """Says whose token it is."""
        self.answer(await self._verified(self.request.headers.get("Authorization", "")))

    async def _verified(self, authorization: str) -> dict[str, Any]:
        if not authorization:
            return NO_TOKEN
        found = TOKEN.fullmatch(authorization)
        kept = await self.sessions.get(_key(found[1])) if found else None
        if kept is None:
            return GONE
        session = json.loads(kept)
        left = session["expires_at"] - int(time.time())
        told = {"user_id": session["user_id"], "appid": session["appid"], "expires_in": left}
        return {"errcode": 0, "errmsg": "ok"} | told


class Login(Base):
    """POST /api/login"""

    async def post(self) -> None:
        """Exchanges a code for a token."""
        code = json.loads(self.request.body).get("code")
        if not isinstance(code, str) or not CODE.fullmatch(code):
            self.answer({"errcode": 400003, "errmsg": "malformed code"})
            return
        identity = await _identified(code)
        user = await self._seen(identity["openid"])
        token, now = f"mps_{secrets.token_urlsafe(32)}", int(time.time())
        session = {"user_id": user["id"], "appid": os.environ["APPID"], "session_key": identity["session_key"]}
        session |= {"created_at": now, "expires_at": now + WEEK}
        await self.sessions.set(_key(token), json.dumps(session), ex=WEEK)
        self.answer({"errcode": 0, "errmsg": "ok", "token": token, "expires_in": WEEK, "user": user})

    async def _seen(self, openid: str) -> dict[str, Any]:
        who = (os.environ["APPID"], openid)
        async with self.users.acquire() as connection, connection.cursor(aiomysql.DictCursor) as cursor:
            await cursor.execute(FIND, who)
            if user := await cursor.fetchone():
                return dict(user) | {"new": False}
            await cursor.execute(ADD, who)
            await cursor.execute(FIND, who)
            return dict(await cursor.fetchone()) | {"new": True}


async def _identified(code: str) -> dict[str, Any]:
    asked = {"appid": os.environ["APPID"], "secret": os.environ["APPSECRET"], "js_code": code}
    query = urlencode(asked | {"grant_type": "authorization_code"})
    answer = await AsyncHTTPClient().fetch(f"{os.environ['WECHAT']}/sns/jscode2session?{query}")
    return dict(json.loads(answer.body))


def _key(token: str) -> str:
    return f"session:{hashlib.sha256(token.encode()).hexdigest()}"


async def main() -> None:
    """Serve until killed."""
    logging.getLogger("tornado.access").setLevel(logging.ERROR)
    AsyncHTTPClient.configure(None, max_clients=100)
    at = os.environ
    pool = await aiomysql.create_pool(
        host="127.0.0.1",
        port=int(at["MYSQL_PORT"]),
        user=at["MYSQL_USER"],
        password=at["MYSQL_PASSWORD"],
        db=at["MYSQL_DB"],
        autocommit=True,
        minsize=10,
        maxsize=10,
    )
    stores = {"sessions": aioredis.from_url(at["REDIS"]), "users": pool}
    Application([("/api/verify", Verify, stores), ("/api/login", Login, stores)]).listen(int(at["PORT"]), "127.0.0.1")
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
