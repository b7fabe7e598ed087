"""WeChat's message push as a test sends it: signed and sealed here by other code than the product's own."""

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from Crypto.Cipher import AES
from Crypto.Util.Padding import pad
from phone import Answer, Network
from product import APPID, Product

TOKEN = "PushToken4Tests"
KEY = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
SERVICE = "oPlatformsOwnPushService0001"  # FromUserName: WeChat's service, never the person


def sha1(*parts: str) -> str:
    """The signature of these parts."""
    return hashlib.sha1("".join(sorted(parts)).encode()).hexdigest()  # noqa: S324  # WeChat's protocol


def sealed(message: bytes, appid: str = APPID, key: str = KEY) -> str:
    """A message as the field Encrypt holds it."""
    aes = base64.b64decode(key + "=")
    plain = secrets.token_bytes(16) + len(message).to_bytes(4, "big") + message + appid.encode()
    return base64.b64encode(AES.new(aes, AES.MODE_CBC, iv=aes[:16]).encrypt(pad(plain, 32))).decode()


def event(name: str, openid: str | None, **fields: object) -> dict[str, object]:
    """One of the events about people's authorisations."""
    found: dict[str, object] = {
        "ToUserName": "gh_870882ca4b1",
        "FromUserName": SERVICE,
        "CreateTime": int(time.time()),
        "MsgType": "event",
        "Event": name,
        "AppID": APPID,
        "OpenID": openid,
        **fields,
    }
    return {name: value for name, value in found.items() if value is not None}


def as_json(fields: Mapping[str, object]) -> bytes:
    """A message in JSON."""
    return json.dumps(fields).encode()


def as_xml(fields: Mapping[str, object]) -> bytes:
    """A message in XML, as WeChat writes it: texts in CDATA, numbers bare."""
    lines = [
        f"<{name}>{value}</{name}>" if isinstance(value, int) else f"<{name}><![CDATA[{value}]]></{name}>"
        for name, value in fields.items()
    ]
    return f"<xml>{''.join(lines)}</xml>".encode()


@dataclass
class Pusher:
    """WeChat, as far as it pushes to one server."""

    server: Product
    network: Network
    token: str = TOKEN
    appid: str = APPID

    async def send(
        self,
        body: bytes,
        parameters: Mapping[str, str],
        *,
        method: str = "POST",
        content_type: str = "application/json",
    ) -> Answer:
        """One request, exactly as told."""
        url = f"{self.server.base}/wechat/push/{self.appid}?{urlencode(parameters)}"
        headers = {"Content-Type": content_type} if body else {}
        return await self.network.ask(method, url, headers=headers, body=body)

    def signed(self, *, timestamp: int | None = None) -> dict[str, str]:
        """The parameters of an address."""
        at, nonce = str(int(time.time()) if timestamp is None else timestamp), str(secrets.randbelow(10**9))
        return {"signature": sha1(self.token, at, nonce), "timestamp": at, "nonce": nonce}

    async def plain(self, fields: Mapping[str, object]) -> Answer:
        """A message in plain mode."""
        return await self.send(as_json(fields), self.signed())

    async def secure(
        self, fields: Mapping[str, object], *, xml: bool = False, beside: Mapping[str, object] | None = None
    ) -> Answer:
        """A message in secure mode; with fields `beside` it, in compatible mode."""
        encrypted = sealed(as_xml(fields) if xml else as_json(fields))
        outer = {"ToUserName": "gh_870882ca4b1", **(beside or {}), "Encrypt": encrypted}
        body = as_xml(outer) if xml else as_json(outer)
        return await self.send(
            body, self.sealed_address(encrypted), content_type="text/xml" if xml else "application/json"
        )

    def sealed_address(self, encrypted: str) -> dict[str, str]:
        """The parameters of an address to which something encrypted is sent."""
        address = self.signed()
        signature = sha1(self.token, address["timestamp"], address["nonce"], encrypted)
        return {**address, "openid": SERVICE, "encrypt_type": "aes", "msg_signature": signature}


def taken(answer: Answer) -> None:
    """WeChat is told that we have it."""
    assert (answer.status, answer.body) == (200, b"success"), (answer.status, answer.body)
