"""Alarms: told once and once more when it is over, each robot in its own protocol, by mail too."""

import asyncio
import base64
import hashlib
import hmac
import json
import socketserver
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest
from operator_at import Operator
from other_side import Listener, saying
from phone import Network, Phone
from product import APPID, Product

from actions.alarms import AGAIN_SECONDS, Alarms, Memory
from actions.health import Health
from actions.outgoing import Outgoing
from actions.robots import DingTalk, Feishu, Mail, NotTold, WeCom
from addresses import MailUrl
from values import Secret

MakeServer = Callable[..., Product]
SIGNED = "SEC0123456789abcdef"


@asynccontextmanager
async def robot(status: int, body: object) -> AsyncIterator[tuple[Listener, Outgoing]]:
    """A robot that answers so, and connections to it."""
    listener, outgoing = Listener(saying(status, body)), Outgoing()
    await listener.start()
    try:
        yield listener, outgoing
    finally:
        await outgoing.close()
        await listener.stop()


def mac(key: str, data: str) -> str:
    return base64.b64encode(hmac.new(key.encode(), data.encode(), hashlib.sha256).digest()).decode()


@pytest.mark.gen_test
async def test_wecom_gets_its_text() -> None:
    async with robot(200, {"errcode": 0, "errmsg": "ok"}) as (listener, outgoing):
        await WeCom(outgoing, Secret(f"{listener.base}/cgi-bin/webhook/send?key=k-1")).tell("门神：出事了")
        [heard] = listener.heard
        assert heard.path == "/cgi-bin/webhook/send?key=k-1"
        assert heard.json == {"msgtype": "text", "text": {"content": "门神：出事了"}}
        assert heard.headers["Content-Type"].startswith("application/json")


@pytest.mark.gen_test
async def test_dingtalk_gets_its_signature_in_the_url() -> None:
    async with robot(200, {"errcode": 0, "errmsg": "ok"}) as (listener, outgoing):
        await DingTalk(outgoing, Secret(f"{listener.base}/robot/send?access_token=t"), Secret(SIGNED)).tell("trouble")
        [heard] = listener.heard
        asked = {name: values[0] for name, values in parse_qs(urlsplit(heard.path).query).items()}
        assert asked["access_token"] == "t"
        assert abs(int(asked["timestamp"]) / 1000 - time.time()) < 60
        assert asked["sign"] == mac(SIGNED, f"{asked['timestamp']}\n{SIGNED}")
        assert heard.json == {"msgtype": "text", "text": {"content": "trouble"}}


@pytest.mark.gen_test
async def test_feishu_gets_its_signature_in_the_body() -> None:
    async with robot(200, {"code": 0, "msg": "success", "data": {}}) as (listener, outgoing):
        await Feishu(outgoing, Secret(f"{listener.base}/open-apis/bot/v2/hook/x"), Secret(SIGNED)).tell("trouble")
        [heard] = listener.heard
        body = heard.json
        assert (body["msg_type"], body["content"]) == ("text", {"text": "trouble"})
        assert body["sign"] == mac(f"{body['timestamp']}\n{SIGNED}", "")


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, {"errcode": 310000, "errmsg": "sign not match"}),
        (200, {}),
        (200, "ok"),
        (200, {"errcode": False}),
        (302, {}),
    ],
)
async def test_only_the_robot_s_own_word_counts_as_told(status: int, body: object) -> None:
    async with robot(status, body) as (listener, outgoing):
        url = f"{listener.base}/send?key=the-key-of-the-group"
        with pytest.raises(NotTold) as refused:
            await WeCom(outgoing, Secret(url)).tell("trouble")
        assert "the-key" not in str(refused.value)
    with pytest.raises(NotTold) as refused:
        await WeCom(outgoing := Outgoing(), Secret(url)).tell("trouble")
    await outgoing.close()
    assert "the-key" not in str(refused.value)


class MailServer(socketserver.ThreadingTCPServer):
    """Takes mail as RFC 5321 has it, without TLS, which only a server on this machine may be asked for."""

    allow_reuse_address = True

    def __init__(self) -> None:
        self.mails: list[str] = []
        super().__init__(("127.0.0.1", 0), _Mailbox)


class _Mailbox(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        while line := self.rfile.readline().strip():
            word = line[:4].upper()
            if word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                text = b""
                while (part := self.rfile.readline()) != b".\r\n":
                    text += part
                assert isinstance(self.server, MailServer)
                self.server.mails.append(text.decode())
            elif word == b"QUIT":
                self.wfile.write(b"221 bye\r\n")
                return
            self.wfile.write(b"250 ok\r\n")


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    with MailServer() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()


@pytest.mark.gen_test
async def test_a_mail_goes_to_everybody_named(mail_server: MailServer) -> None:
    where = MailUrl("127.0.0.1", mail_server.server_address[1], "", Secret(""), tls=False)
    await Mail(where, "menshen@example.com", ("a@example.com", "b@example.com")).tell("[Menshen x] The disk is full")
    [mail] = mail_server.mails
    assert "Subject: [Menshen x] The disk is full" in mail
    assert "To: a@example.com, b@example.com" in mail
    assert "From: menshen@example.com" in mail


@pytest.mark.gen_test
async def test_a_password_never_goes_to_a_mail_server_without_tls(mail_server: MailServer) -> None:
    where = MailUrl("localhost.localdomain.invalid", mail_server.server_address[1], "me", Secret("pw"), tls=False)
    with pytest.raises(NotTold):
        await Mail(where, "menshen@example.com", ("a@example.com",)).tell("trouble")
    assert mail_server.mails == []


def test_a_cause_is_told_once_an_hour_and_its_end_only_if_its_beginning_was(tmp_path: Path) -> None:
    mine, other = Memory(tmp_path / "alarms.json"), Memory(tmp_path / "alarms.json")
    assert mine.begin("disk", 10_000)
    assert not other.begin("disk", 10_005)
    assert not mine.begin("disk", 10_000 + AGAIN_SECONDS - 1)
    assert other.begin("disk", 10_000 + AGAIN_SECONDS)
    assert mine.going_on() == {"disk"}
    assert mine.end("disk")
    assert not other.end("disk")
    # Back within the hour: neither this nor its end is told.
    assert not mine.begin("disk", 10_100 + AGAIN_SECONDS)
    assert not other.end("disk")
    assert mine.begin("sessions", 10_100 + AGAIN_SECONDS)


@pytest.mark.parametrize("spoilt", ["", "no json", "[]", '{"disk": 1}'])
def test_a_memory_that_cannot_be_read_does_not_keep_an_alarm_back(tmp_path: Path, spoilt: str) -> None:
    path = tmp_path / "alarms.json"
    path.write_text(spoilt)
    memory = Memory(path)
    assert memory.begin("disk", 10_000)
    assert not memory.begin("disk", 10_001)
    gone = Memory(tmp_path / "nowhere" / "alarms.json")
    assert gone.begin("disk", 10_000)
    assert not gone.begin("disk", 10_001)
    assert gone.end("disk")


@pytest.mark.gen_test(timeout=90)
async def test_a_secret_that_wechat_refuses_and_guesses_at_operators_are_told_to_everybody(
    make_server: MakeServer, network: Network, phones: Callable[..., list[Phone]], mail_server: MailServer
) -> None:
    async with robot(200, {"errcode": 0, "code": 0}) as (listener, _):
        server = make_server(
            APPSECRET="not-the-secret-of-the-simulator!",
            ALARM_WECOM_URL=f"{listener.base}/wecom",
            ALARM_FEISHU_URL=f"{listener.base}/feishu",
            ALARM_MAIL_SERVER=f"smtp://127.0.0.1:{mail_server.server_address[1]}",
            ALARM_MAIL_FROM="menshen@example.com",
            ALARM_MAIL_TO="ops@example.com",
            LANGUAGE="en",
            PUBLIC_URL="https://login.example.com",
        )
        [phone] = phones(1, at=server)
        await phone.login()
        await listener.waits_for(2, seconds=20)
        assert sorted(each.path for each in listener.heard) == ["/feishu", "/wecom"]
        [wecom] = [each.json["text"]["content"] for each in listener.heard if each.path == "/wecom"]
        assert wecom.startswith("[Menshen https://login.example.com] WeChat refuses the configuration of ")
        assert APPID in wecom
        guesser = Operator(server, network)
        for _ in range(6):
            await guesser.sign_in("nobody-there", "wrong-password-wrong")
        await listener.waits_for(4, seconds=20)
        said = json.dumps([each.json for each in listener.heard[2:]])
        assert "guesses at operators' passwords" in said
        async with asyncio.timeout(10):
            while len(mail_server.mails) < 2:  # noqa: ASYNC110  # the mail server lives in a thread
                await asyncio.sleep(0.05)


@pytest.mark.gen_test(timeout=60)
async def test_a_store_that_is_away_for_a_minute_is_told_and_so_is_its_return(tmp_path: Path) -> None:
    async with robot(200, {"errcode": 0}) as (listener, outgoing):
        health = Health(None, None)  # type: ignore[arg-type]  # only noted at, never asked to look
        backend = SimpleNamespace(
            db=SimpleNamespace(full=False), now=lambda: 1_000_000, settings=SimpleNamespace(apps=()), health=health
        )
        alarms = Alarms(tmp_path, [WeCom(outgoing, Secret(listener.base))], "zh_CN", "甲")
        health.note("sessions", answers=False, now=1_000_000 - 59)
        await alarms.look(backend)  # type: ignore[arg-type]  # what a look needs of a backend
        assert listener.heard == []
        health.note("sessions", answers=True, now=1_000_000)
        health.note("sessions", answers=False, now=1_000_000 - 60)
        for _ in range(3):
            await alarms.look(backend)  # type: ignore[arg-type]  # as above
        health.note("sessions", answers=True, now=1_000_000)
        await listener.waits_for(1)
        await alarms.look(backend)  # type: ignore[arg-type]  # as above
        await alarms.look(backend)  # type: ignore[arg-type]  # as above
        await listener.waits_for(2)
        await alarms.close()
        told = [each.json["text"]["content"] for each in listener.heard]
        assert told == ["[Menshen 甲] 会话存储已有一分钟没有响应。", "[Menshen 甲] 会话存储已恢复响应。"]


@pytest.mark.gen_test
async def test_a_disk_that_is_nearly_full_is_told_and_its_relief_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with robot(200, {"errcode": 0}) as (listener, outgoing):
        backend = SimpleNamespace(now=lambda: 1_000_000, settings=SimpleNamespace(apps=()))
        backend.health, backend.db = SimpleNamespace(stores=()), SimpleNamespace(full=False)
        alarms = Alarms(tmp_path, [WeCom(outgoing, Secret(listener.base))], "en", "x")
        for free in (400 * 2**20, 190 * 2**20, 190 * 2**20, 2**33):
            usage = SimpleNamespace(total=2**40, used=0, free=free)
            monkeypatch.setattr("actions.alarms.shutil.disk_usage", lambda _path, usage=usage: usage)
            await alarms.look(backend)  # type: ignore[arg-type]  # what a look needs of a backend
            await asyncio.sleep(0.1)
        await listener.waits_for(2)
        await alarms.close()
        told = [each.json["text"]["content"] for each in listener.heard]
        assert told == ["[Menshen x] The disk is nearly full: 190 MiB.", "[Menshen x] The disk has room again."]
