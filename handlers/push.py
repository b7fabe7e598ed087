"""WeChat's message push: the console's check of our URL, and what it tells about people."""

from typing import ClassVar

from actions.push import answer_check, take_in
from handlers.base import ApiHandler, Intake
from handlers.refusals import BadRequest
from wechat.push import NotSigned, Signed, Unreadable

_MOST_PARAMETER = 256


class Push(ApiHandler):
    """GET and POST /wechat/push/APPID"""

    intake: ClassVar[Intake] = Intake(
        most_bytes=64 * 1024,
        types=("application/json", "text/xml", "application/xml", "text/plain"),
        type_may_be_missing=True,
    )

    async def get(self, appid: str) -> None:
        """Gives `echostr` back, bare, when the console that asks knows our token."""
        signed = Signed(self._parameter("timestamp"), self._parameter("nonce"), self._parameter("signature"))
        echo = self._parameter("echostr")
        await answer_check(self.backend, appid, signed)
        self._say(echo)

    async def post(self, appid: str) -> None:
        """Takes a message. `success` also for what we do not know, or WeChat would send it three times."""
        signed = Signed(
            self._parameter("timestamp"),
            self._parameter("nonce"),
            self._parameter("signature", missing=""),
            self._parameter("msg_signature", missing=""),
        )
        try:
            await take_in(self.backend, appid, signed, self.request.body)
        except Unreadable:
            raise BadRequest from None
        self._say("success")

    def _say(self, text: str) -> None:
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(text)

    def _parameter(self, name: str, missing: str | None = None) -> str:
        """A parameter of the address, once, short and in printable ASCII. Raises NotSigned."""
        values = self.request.query_arguments.get(name, [])
        if not values and missing is not None:
            return missing
        if len(values) != 1 or not 0 < len(values[0]) <= _MOST_PARAMETER:
            raise NotSigned
        text = values[0].decode("latin-1")
        if not text.isascii() or not text.isprintable():
            raise NotSigned
        return text
