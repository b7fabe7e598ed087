"""WeChat is asked only over TLS that proves it is WeChat, and with few handshakes; nothing switches the proof off."""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from authority import Authority, openssl
from odd_servers import GOOD, SECRET, asking, chain, in_seconds, odd_server, on_a_loop, wechat

from wechat import wire
from wechat.errors import WeChatMisconfigured, WeChatTrouble, WeChatUnreachable

pytestmark = pytest.mark.quick


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.made_in(tmp_path_factory.mktemp("ca"))


async def refusal(base: str, cafile: str | None) -> WeChatTrouble:
    async with asking(base, cafile=cafile) as client:
        with pytest.raises(WeChatTrouble) as trouble:
            await client.identify("wx1", "0code", address="192.0.2.1", deadline=in_seconds(3))
        assert chain(trouble.value) == [trouble.value]  # what lies below may know the question
        return trouble.value


@on_a_loop
async def test_a_certificate_of_a_known_authority_is_accepted(authority: Authority) -> None:
    server = odd_server(wechat(**GOOD), tls=authority.server())
    async with server as saw, asking(saw.base, cafile=authority.cafile) as client:
        person = await client.identify("wx1", "0code", address="192.0.2.1", deadline=in_seconds(3))
    assert person.openid == GOOD["openid"]


Context = Callable[[Authority], ssl.SSLContext]
REFUSED: dict[str, tuple[Context, bool, str]] = {
    "for another name": (lambda authority: authority.server("evil.example"), True, "Hostname mismatch"),
    "expired": (
        lambda authority: authority.server(since="20200101000000Z", until="20200201000000Z"),
        True,
        "certificate has expired",
    ),
    "of tomorrow": (
        lambda authority: authority.server(since="20900101000000Z", until="20910101000000Z"),
        True,
        "not yet valid",
    ),
    "of an unknown authority": (lambda authority: authority.server(), False, "unable to get local issuer certificate"),
}


@pytest.mark.parametrize(("context", "trusted", "why"), REFUSED.values(), ids=REFUSED)
@on_a_loop
async def test_a_certificate_that_proves_nothing_ends_the_question_before_it_is_sent(
    authority: Authority, context: Context, trusted: bool, why: str
) -> None:
    async with odd_server(wechat(**GOOD), tls=context(authority)) as server:
        trouble = await refusal(server.base, authority.cafile if trusted else None)
        assert isinstance(trouble, WeChatMisconfigured)
        assert (trouble.errcode, trouble.code_spent) == (None, False)
        assert why in trouble.why
        assert server.requests == []


@on_a_loop
async def test_a_self_signed_certificate_is_refused(tmp_path: Path) -> None:
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "key.pem"]
    names = ["-addext", "subjectAltName=DNS:localhost"]
    openssl(tmp_path, "req", "-x509", *key, "-subj", "/CN=localhost", *names, "-days", "1", "-out", "cert.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    async with odd_server(wechat(**GOOD), tls=context) as server:
        trouble = await refusal(server.base, None)
        assert isinstance(trouble, WeChatMisconfigured)
        assert "self-signed" in trouble.why
        assert server.requests == []


@on_a_loop
async def test_tls_1_1_is_not_spoken(authority: Authority) -> None:
    context = authority.server()
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    async with odd_server(wechat(**GOOD), tls=context) as server:
        trouble = await refusal(server.base, authority.cafile)
        assert isinstance(trouble, WeChatMisconfigured | WeChatUnreachable)  # the server may hang up without an alert
        assert not trouble.code_spent
        assert server.requests == []


@on_a_loop
async def test_a_server_that_speaks_no_tls_is_told_nothing(authority: Authority) -> None:
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        heard.append(await reader.read(10_000))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        trouble = await refusal(f"https://localhost:{server.sockets[0].getsockname()[1]}", authority.cafile)
    assert isinstance(trouble, WeChatMisconfigured)
    assert not trouble.code_spent
    assert heard
    assert not any(SECRET.encode() in words for words in heard)


@on_a_loop
async def test_a_handshake_cut_in_the_middle_is_the_networks_fault_and_tried_once_more(authority: Authority) -> None:
    connections: list[asyncio.StreamWriter] = []

    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        trouble = await refusal(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", authority.cafile)
    assert isinstance(trouble, WeChatUnreachable)
    assert not trouble.code_spent
    assert len(connections) == 2


@on_a_loop
async def test_a_handshake_that_hangs_ends_at_the_deadline_with_nothing_sent(authority: Authority) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    async with server, asking(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}") as client:
        started = asyncio.get_running_loop().time()
        with pytest.raises(WeChatUnreachable) as trouble:
            await client.identify("wx1", "0code", address="192.0.2.1", deadline=in_seconds(0.4))
        assert not trouble.value.code_spent
        assert asyncio.get_running_loop().time() - started < 3 * 0.4


@on_a_loop
async def test_two_hundred_logins_need_no_more_handshakes_than_ask_at_once(authority: Authority) -> None:
    async with odd_server(wechat(**GOOD), tls=authority.server()) as server:
        async with asking(server.base, cafile=authority.cafile) as client:
            for _ in range(40):
                logins = (
                    client.identify("wx1", "0code", address="192.0.2.1", deadline=in_seconds(3)) for _ in range(5)
                )
                await asyncio.gather(*logins)
        assert len(server.requests) == 200
        assert server.connections <= 5


@on_a_loop
async def test_roots_that_cannot_be_read_refuse_and_the_next_question_reads_them_anew(
    authority: Authority, tmp_path: Path
) -> None:
    later = tmp_path / "ca.pem"
    server = odd_server(wechat(**GOOD), tls=authority.server())
    async with server as saw, asking(saw.base, cafile=str(later)) as client:
        await client.open()
        with pytest.raises(WeChatUnreachable, match="roots of TLS") as trouble:
            await client.identify("wx1", "0code", address="192.0.2.1", deadline=in_seconds(3))
        assert not trouble.value.code_spent
        later.symlink_to(authority.cafile)
        person = await client.identify("wx1", "0code", address="192.0.2.1", deadline=in_seconds(3))
    assert person.openid == GOOD["openid"]


def test_a_machine_without_roots_of_its_own_has_those_that_come_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    monkeypatch.setenv("SSL_CERT_DIR", "/nowhere")
    assert ssl.create_default_context().get_ca_certs() == []
    assert len(wire.verifying_context().get_ca_certs()) > 50


def test_there_is_one_such_proof_for_all_that_goes_out() -> None:
    root = Path(wire.__file__).parent.parent
    rooms = (root, *(root / name for name in ("actions", "handlers", "stores", "wechat", "wire")))
    makers = [path.name for room in rooms for path in room.glob("*.py") if "create_default_context" in path.read_text()]
    assert makers == ["wire.py"]
