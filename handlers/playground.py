"""The playground of `serve --dev`: a drawn phone to click through login, verify and logout, and what it does."""

import re
from typing import ClassVar

from tornado.httputil import HTTPServerRequest

from actions import Backend
from handlers.base import ApiHandler, Intake, Traffic
from handlers.body import text_field
from handlers.pages import PageHandler, refuse_cross_origin, words_in
from handlers.refusals import BadRequest, NoSuchResource
from settings import VERSION, is_loopback
from wechat.simulator import Simulator

LONGEST_NAME = 64  # what the simulator's own control takes

_HOST = re.compile(r"[A-Za-z0-9.\-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?", re.ASCII)


class Playground(PageHandler):
    """GET / with --dev"""

    intake: ClassVar[Intake] = Intake(types=())

    def prepare(self) -> None:
        """Only for this machine's own browser, like the simulator behind its buttons."""
        _only_for_this_machine(self.request)

    def get(self) -> None:
        """The page; without JavaScript it shows the same steps as commands."""
        settings = self.backend.settings
        self.show(
            "playground.html",
            base=self._base(),
            simulator=settings.wechat_base,
            appid=settings.apps[0].appid,
            longest_name=LONGEST_NAME,
            script_words=vars(words_in(self.language).script),
            version=VERSION,
        )

    head = get

    def _base(self) -> str:
        """The address this page was asked at, for commands to copy: a Host with anything odd in it is not repeated."""
        host = self.request.host
        if not _HOST.fullmatch(host):
            host = f"127.0.0.1:{self.backend.settings.port}"
        return f"{self.request.protocol}://{host}"


class WxLogin(ApiHandler):
    """POST /playground/wx-login"""

    def initialize(  # type: ignore[override]  # the route passes one thing more
        self, backend: Backend, traffic: Traffic, simulator: Simulator
    ) -> None:
        """See Handler; the simulator is the one in this process."""
        super().initialize(backend, traffic)
        self.simulator = simulator

    def prepare(self) -> None:
        """Only for this machine's own browser, and only for the page in it."""
        _only_for_this_machine(self.request)
        refuse_cross_origin(self.request)

    def post(self) -> None:
        """Does what wx.login does on a phone: `{"user"}`, any name up to 64 characters, gives `{"code"}`."""
        user = text_field(self.body(), "user")
        if not 0 < len(user) <= LONGEST_NAME:
            raise BadRequest("user")
        self.answer(code=self.simulator.wx_login(self.backend.settings.apps[0].appid, user))


def _only_for_this_machine(request: HTTPServerRequest) -> None:
    """`--lan` opens the API to a phone, not the playground and the simulator's control. Raises NoSuchResource."""
    if not is_loopback(request.remote_ip or ""):
        raise NoSuchResource
