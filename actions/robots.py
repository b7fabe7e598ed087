"""How each kind of group robot, and a mail server, takes a message: its JSON, its signature, its word for yes."""

import asyncio
import base64
import hashlib
import hmac
import json
import smtplib
import time
from collections.abc import Mapping
from email.message import EmailMessage
from typing import Any, Protocol
from urllib.parse import quote_plus

import msgspec

from actions.outgoing import NotSent, Outgoing
from settings import MailUrl, Secret, Settings, is_loopback
from wechat.wire import verifying_context

MAIL_SECONDS = 10.0
_JSON: Mapping[str, str] = {"Content-Type": "application/json; charset=utf-8"}


class NotTold(Exception):
    """A message was not taken; the text says why, without an address."""


class Channel(Protocol):
    """Somebody who can be told something."""

    @property
    def name(self) -> str:
        """What the log calls it."""

    async def tell(self, text: str) -> None:
        """Raises NotTold."""


class WeCom(msgspec.Struct, frozen=True):
    """A group robot of WeCom; its URL holds its key."""

    outgoing: Outgoing
    url: Secret
    name: str = "WeCom"

    async def tell(self, text: str) -> None:
        """See Channel."""
        body = {"msgtype": "text", "text": {"content": text}}
        await _post(self.outgoing, self.url.reveal(), body, "errcode")


class DingTalk(msgspec.Struct, frozen=True):
    """A group robot of DingTalk; with a secret the URL is signed for an hour."""

    outgoing: Outgoing
    url: Secret
    secret: Secret | None = None
    name: str = "DingTalk"

    async def tell(self, text: str) -> None:
        """See Channel."""
        url = self.url.reveal()
        if self.secret:
            at = str(time.time_ns() // 1_000_000)
            mark = _mac(self.secret.reveal().encode(), f"{at}\n{self.secret.reveal()}".encode())
            url += f"{'&' if '?' in url else '?'}timestamp={at}&sign={quote_plus(mark)}"
        await _post(self.outgoing, url, {"msgtype": "text", "text": {"content": text}}, "errcode")


class Feishu(msgspec.Struct, frozen=True):
    """A group robot of Feishu; with a secret, time and secret are the key of an HMAC of nothing, which goes along."""

    outgoing: Outgoing
    url: Secret
    secret: Secret | None = None
    name: str = "Feishu"

    async def tell(self, text: str) -> None:
        """See Channel."""
        body: dict[str, Any] = {"msg_type": "text", "content": {"text": text}}
        if self.secret:
            at = str(int(time.time()))
            body |= {"timestamp": at, "sign": _mac(f"{at}\n{self.secret.reveal()}".encode(), b"")}
        await _post(self.outgoing, self.url.reveal(), body, "code")


class Mail(msgspec.Struct, frozen=True):
    """A mail server. Other than on this machine nothing goes to it without TLS."""

    server: MailUrl
    sender: str
    to: tuple[str, ...]
    cafile: str | None = None
    name: str = "mail"

    async def tell(self, text: str) -> None:
        """See Channel; smtplib waits, so it waits in a thread."""
        try:
            await asyncio.to_thread(self._send, text)
        except (OSError, smtplib.SMTPException, ValueError) as error:
            raise NotTold(type(error).__name__) from None  # its text may quote what the server was told

    def _send(self, text: str) -> None:
        message = EmailMessage()
        message["Subject"] = text[:120]
        message["From"] = self.sender
        message["To"] = ", ".join(self.to)
        message.set_content(text + "\n")
        with self._connection() as smtp:
            if self.server.user:
                smtp.login(self.server.user, self.server.password.reveal())
            smtp.send_message(message)

    def _connection(self) -> smtplib.SMTP:
        host, port = self.server.host, self.server.port
        context = verifying_context(self.cafile)
        if self.server.tls:
            return smtplib.SMTP_SSL(host, port, timeout=MAIL_SECONDS, context=context)
        smtp = smtplib.SMTP(host, port, timeout=MAIL_SECONDS)
        if not is_loopback(host):
            smtp.starttls(context=context)  # raises when the server has none: then nothing is sent
        return smtp


def channels(settings: Settings, outgoing: Outgoing) -> list[Channel]:
    """Everybody whom the settings name."""
    at = settings
    found: list[Channel] = []
    if at.alarm_wecom_url:
        found.append(WeCom(outgoing, at.alarm_wecom_url))
    if at.alarm_dingtalk_url:
        found.append(DingTalk(outgoing, at.alarm_dingtalk_url, at.alarm_dingtalk_secret))
    if at.alarm_feishu_url:
        found.append(Feishu(outgoing, at.alarm_feishu_url, at.alarm_feishu_secret))
    if at.alarm_mail_server and at.alarm_mail_from:
        found.append(Mail(at.alarm_mail_server, at.alarm_mail_from, at.alarm_mail_to))
    return found


async def _post(outgoing: Outgoing, url: str, body: Mapping[str, object], word: str) -> None:
    """Sends JSON; the answer is JSON of which the field `word` is 0. Raises NotTold."""
    try:
        reply = await outgoing.post(url, json.dumps(body, ensure_ascii=False).encode("utf-8"), _JSON)
    except NotSent as why:
        raise NotTold(str(why)) from None
    try:
        said = json.loads(reply.body)
    except ValueError:
        said = None
    code = said.get(word) if isinstance(said, dict) else None
    if reply.status != 200 or code != 0 or isinstance(code, bool):
        raise NotTold(f"status {reply.status}, {word} {code if isinstance(code, int) else 'missing'}")


def _mac(key: bytes, data: bytes) -> str:
    return base64.b64encode(hmac.new(key, data, hashlib.sha256).digest()).decode("ascii")
