"""COMPAT=tutorials: what the clients of the five best-known tutorials send, and the answers that they wait for.

Their servers gave out the session_key, hashes of the clock as tokens, or texts where JSON was awaited. Here every token
is one of ours, and the shapes are those that the clients can read.
"""

from actions import LoggedIn
from handlers.compat.dialect import DialectHandler
from handlers.miniprogram import Login
from handlers.refusals import BadRequest, NoToken, Refusal, TwoCarriers, WrongMediaType, WrongMethod


class LoginPhp(DialectHandler):
    """POST /login.php, of the tutorial with PHP and Redis: a code logs in, a token asks whose it is."""

    metered = "login"

    async def post(self) -> None:
        """`{"token"}` for a code; who it is for a token."""
        body = self.body()
        if "code" not in body:
            user = self.described(await self.whose(self.carried(body)))
            # Its text does not say where the reader looks for the user: here, and under a name of its own.
            self._send({"errcode": 0, "errmsg": "ok", **user, "user": user})
            return
        if "token" in body:
            raise TwoCarriers
        self._send({"token": (await self.logged_in(body["code"])).token})

    def refused(self, row: Refusal, error: BaseException | None) -> tuple[int, dict[str, object]]:
        """WeChat's pair under 200; a token that opens nothing has the tutorial's own number."""
        if row.status == 401:
            return 200, {"errcode": 40001, "errmsg": "user not logged in"}
        return 200, {"errcode": row.errcode, "errmsg": row.errmsg}


class SessionLogin(DialectHandler, Login):
    """GET and POST /api/login with `wxCode`, of the tutorial with PHP's sessions; without it, our own login."""

    spoken = False  # whether the request has turned out to be the tutorial's

    async def get(self) -> None:
        """A login whose code stands in the URL."""
        if "wxCode" not in self.query():
            raise WrongMethod
        await self._speak(self.query())

    async def post(self) -> None:
        """The same with `wxCode` in the body or the URL; a body with `code` is our own login."""
        body = self.body()
        in_url = {name: value for name, value in self.query().items() if name == "wxCode"}
        if "wxCode" in body or in_url:
            if body.keys() & in_url.keys():
                raise BadRequest("wxCode")
            await self._speak(body | in_url)
        elif self.is_form:
            raise WrongMediaType
        else:
            await Login.post(self)

    async def _speak(self, fields: dict[str, object]) -> None:
        if "code" in fields:
            raise BadRequest("code")
        self.spoken = True
        logged_in = await self.logged_in(fields["wxCode"])
        self._send({"session3rd": logged_in.token, "openid": logged_in.user.openid})

    def refused(self, row: Refusal, error: BaseException | None) -> tuple[int, dict[str, object]]:
        """The tutorial's word for no, and why."""
        return 200, {"msg": "fail", "errcode": row.errcode, "errmsg": row.errmsg}

    def write_error(self, status_code: int, **kwargs: object) -> None:
        """See DialectHandler; what was no dialect's request gets our own answer."""
        if self.spoken:
            DialectHandler.write_error(self, status_code, **kwargs)
        else:
            Login.write_error(self, status_code, **kwargs)


class SessionFunction(DialectHandler):
    """GET and POST /api/function, of the same: whether the session holds."""

    async def get(self) -> None:
        """`success` while it does."""
        await self.verified(self.presented())
        self._send({"msg": "success"})

    head = post = get

    def refused(self, row: Refusal, error: BaseException | None) -> tuple[int, dict[str, object]]:
        """The tutorial's word for no."""
        return 200, {"msg": "fail"}


class _Node(DialectHandler):
    def refused(self, row: Refusal, error: BaseException | None) -> tuple[int, dict[str, object]]:
        """The tutorial leaves its errors open; these are ours in short, with the real status."""
        return row.status, {"errcode": row.errcode, "errmsg": row.errmsg}


class NodeLogin(_Node):
    """GET /wx/onlogin, of the tutorial with Node and Express."""

    metered = "login"

    async def get(self) -> None:
        """`{"sessionid"}` for a code."""
        self._send({"sessionid": (await self.logged_in(self.query().get("code"))).token})


class NodeProducts(_Node):
    """GET and POST /wx/products/list, of the same: its example of a page for those who are logged in."""

    async def get(self) -> None:
        """Whose session it is; there are no products here."""
        verified = await self.verified(self.presented())
        self._send({"errcode": 0, "errmsg": "ok", "user_id": verified.session.user_id})

    head = post = get


class _Yii(DialectHandler):
    said: str

    def put_out(self, data: dict[str, object]) -> None:
        """An answer as that tutorial's Output writes it."""
        self._send({"success": True, "code": "0", "msg": "成功", "data": data})

    def refused(self, row: Refusal, error: BaseException | None) -> tuple[int, dict[str, object]]:
        """The same for a refusal."""
        return 200, {"success": False, "code": "1", "msg": self.said, "data": None}


class YiiLogin(_Yii):
    """GET /user/wechat-login, of the tutorial with Yii."""

    metered = "login"
    said = "获取openid出错。"

    async def get(self) -> None:
        """The openid and a token for a code."""
        logged_in = await self.logged_in(self.query().get("code"))
        self.put_out({"openid": logged_in.user.openid, "token": logged_in.token})


class YiiInfo(_Yii):
    """GET and POST /user/info, of the same."""

    said = "登录已失效。"

    async def get(self) -> None:
        """Who it is."""
        self.put_out(self.described(await self.whose(self.presented())))

    head = post = get


class ThinkLogin(DialectHandler):
    """POST /api/user/login, of the tutorial with ThinkPHP."""

    metered = "login"

    async def post(self) -> None:
        """A token and the user for a code."""
        self._send(self._told(await self.logged_in(self.body().get("code") or None)))

    def _told(self, logged_in: LoggedIn) -> dict[str, object]:
        return {"token": logged_in.token, "user": self.described(logged_in.user)}

    def refused(self, row: Refusal, error: BaseException | None) -> tuple[int, dict[str, object]]:
        """400 whatever it was, as there; the text is WeChat's place in that tutorial, and ours here."""
        missing = isinstance(error, BadRequest) and error.field == "code"
        return 400, {"error": "缺少 code" if missing else row.errmsg}


class ThinkInfo(DialectHandler):
    """GET and POST /api/user/info, of the same."""

    async def get(self) -> None:
        """Who it is: as it is, and as `user`, for the tutorial does not say which."""
        user = self.described(await self.whose(self.presented()))
        self._send({**user, "user": user})

    head = post = get

    def refused(self, row: Refusal, error: BaseException | None) -> tuple[int, dict[str, object]]:
        """Two kinds of 401: nobody, and nobody any more."""
        if row.status != 401:
            return row.status, {"error": row.errmsg}
        return 401, {"error": "未登录" if isinstance(error, NoToken) else "登录已失效"}
