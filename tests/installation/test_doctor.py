"""`doctor` on an installation that is well, and on each fault planted around it: found, named, and with its remedy.

What it says about the stores stands in test_doctor_stores.py.
"""

import asyncio
import json
import os
import resource
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from authority import Authority, openssl
from children import free_port
from faults.asking import run
from findings import examined, named, odd_wechat, well
from operator_at import add
from phone import Network, Phone, WeChat
from product import APPID, APPSECRET, Product, Simulator
from servers import MariaDB, RedisServer
from shell import done
from small_disk import MIB, small_disk
from verdicts import succeeded

from stores.backups import FILE_NAME as BACKUP_NOTE
from stores.keys import FILE_NAME as KEYS

Make = Callable[..., Product]


@pytest.fixture(scope="module")
def installed(folder: Path, simulator: Simulator) -> Product:
    """An installation that no test changes, with nobody serving it."""
    settings = {"WECHAT_BASE": simulator.base, "APPID": APPID, "APPSECRET": APPSECRET}
    server = Product(folder / "examined", settings)
    server.start()
    server.stop()
    return server


@pytest.mark.gen_test
async def test_all_is_well_beside_a_running_server(make_server: Make, wechat: WeChat, tmp_path: Path) -> None:
    server = make_server(REQUIRE_TOTP=True)
    await add(server, "mei")
    await asyncio.to_thread(run, server, "backup", str(tmp_path / "copy.db"))
    found = await examined(server, status=0)
    by_check = {each["check"].split()[0]: each["level"] for each in found}
    wanted = ["files", "disk", "limits", "proxy", "backup", "wechat", "clock", "database", "sessions", "operators"]
    assert by_check.keys() == {*wanted, "audit"}
    assert {each["level"] for each in found if each["check"] not in ("limits", "disk")} == {"ok"}
    assert (await done(server, "doctor")).startswith("level\tcheck\tsays\tremedy\nok\t")
    assert await wechat.asked() == 2


@pytest.mark.gen_test
async def test_all_is_well_on_mariadb_and_redis(
    make_server: Make, mariadb: MariaDB, redis_server: RedisServer, wechat: WeChat
) -> None:
    server = make_server(DATABASE=mariadb.database(), SESSIONS=redis_server.url(), AUTO_UPGRADE=True, REQUIRE_TOTP=True)
    await add(server, "mei")
    found = await examined(server, status=0)
    well(found, "database", said="mariadb")
    well(found, "sessions", said="in Redis")
    assert {each["level"] for each in found if each["check"] not in ("limits", "disk")} == {"ok"}
    assert mariadb.password not in str(found)


WECHAT_FAULTS: list[tuple[str | int, str, str, str]] = [
    (40125, "fail", "errcode 40125", "AppSecret is wrong"),
    (40013, "fail", "errcode 40013", "AppID is wrong"),
    (40243, "fail", "errcode 40243", "unfreeze"),
    (50002, "fail", "errcode 50002", "see the notices in its console"),
    (45009, "warn", "errcode 45009", "in a minute"),
    ("html", "fail", "answered what it should not", "is this WeChat?"),
    ("stall_headers", "fail", "did not answer", "the way to WeChat"),
    ("latency", "warn", "answered in", "each login waits that long"),
]


@pytest.mark.gen_test
@pytest.mark.parametrize(("fault", "level", "said", "remedy"), WECHAT_FAULTS, ids=lambda each: str(each)[:12])
async def test_what_wechat_refuses_is_told_with_its_remedy(
    installed: Product, wechat: WeChat, fault: str | int, level: str, said: str, remedy: str
) -> None:
    await wechat.fault(fault, n=5, **({"seconds": 1.5} if fault == "latency" else {}))
    found = await examined(installed, status=1 if level == "fail" else 0)
    named(found, "wechat", level=level, said=said, remedy=remedy)


@pytest.mark.gen_test
async def test_an_address_that_is_not_on_wechat_s_list_is_named(installed: Product, wechat: WeChat) -> None:
    await wechat.fault(40164, n=5)
    found = await examined(installed, status=1)
    named(found, "wechat", level="fail", said="40164", remedy="to the IP whitelist")
    [remedy] = [each["remedy"] for each in found if each["check"].startswith("wechat")]
    assert any(part.count(".") == 3 or part.count(":") > 1 for part in remedy.split())


@pytest.mark.gen_test
async def test_a_wechat_that_nobody_reaches_fails(installed: Product) -> None:
    found = await examined(installed, status=1, WECHAT_BASE=f"http://127.0.0.1:{free_port()}")
    named(found, "wechat", level="fail", said="cannot be reached", remedy="firewall")
    well(found, "database", said="answers")


@pytest.mark.gen_test
async def test_somebody_between_here_and_wechat_is_told(installed: Product, tmp_path: Path) -> None:
    async with odd_wechat(0, Authority.made_in(tmp_path).server()) as port:
        found = await examined(installed, status=1, WECHAT_BASE=f"https://localhost:{port}")
    named(found, "wechat", level="fail", said="", remedy="is something in between")


@pytest.mark.gen_test
@pytest.mark.parametrize(("offset", "level", "status"), [(90, "warn", 0), (-4000, "fail", 1)])
async def test_a_clock_that_is_off_is_told(installed: Product, offset: int, level: str, status: int) -> None:
    async with odd_wechat(offset) as port:
        found = await examined(installed, status=status, WECHAT_BASE=f"http://127.0.0.1:{port}")
    named(found, "clock", level=level, said="off WeChat's", remedy="chrony")


@pytest.mark.gen_test
async def test_a_certificate_that_nobody_trusts_fails(installed: Product, wechat: WeChat, tmp_path: Path) -> None:
    key = ["-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem"]
    openssl(tmp_path, "req", "-x509", *key, "-subj", "/CN=localhost", "-days", "30", "-out", "cert.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    async with odd_wechat(0, context) as port:
        url = f"https://localhost:{port}"
        found = await examined(installed, status=1, PUBLIC_URL=url, TRUSTED_PROXIES="127.0.0.1/32")
    named(found, "certificate", level="fail", said="self-signed", remedy="with its whole chain")


@pytest.mark.gen_test
async def test_a_certificate_near_its_end_is_told(
    installed: Product, wechat: WeChat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority.made_in(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", authority.cafile)
    for days, level in ((3, "warn"), (60, "ok")):
        until = time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + days * 86_400))
        async with odd_wechat(0, authority.server(until=until)) as port:
            url = f"https://localhost:{port}"
            found = await examined(installed, status=0, PUBLIC_URL=url, TRUSTED_PROXIES="127.0.0.1/32")
        said, remedy = ("it ends in", "see why it is not renewed") if level == "warn" else ("good for", "")
        named(found, "certificate", level=level, said=said, remedy=remedy)


SETTINGS_FAULTS = [
    ({"PUBLIC_URL": "http://shop.example"}, "proxy", "fail", "TRUSTED_PROXIES does not", "set TRUSTED_PROXIES"),
    ({"ADDRESS": "::"}, "proxy", "warn", "without a proxy", "put nginx in front"),
    ({"INSECURE_SIGNIN": "true"}, "proxy", "warn", "operators may sign in over plain http", "INSECURE_SIGNIN off"),
    (
        {"PUBLIC_URL": "http://shop.example", "TRUSTED_PROXIES": "127.0.0.1/32"},
        *("proxy", "warn", "PUBLIC_URL is plain http", "use https"),
    ),
    ({"APPID": "", "APPSECRET": ""}, "wechat", "fail", "no mini program is set", "set APPID and APPSECRET"),
    ({"DATA_DIR": "elsewhere"}, "files", "fail", "there is no folder", "or set DATA_DIR"),
    (
        {"PUBLIC_URL": "https://127.0.0.1:9", "TRUSTED_PROXIES": "127.0.0.1/32"},
        *("certificate", "warn", "cannot be reached from here", "look at it from elsewhere"),
    ),
]


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("given", "check", "level", "said", "remedy"), SETTINGS_FAULTS, ids=lambda each: str(each)[:24]
)
async def test_a_setting_that_will_hurt_is_told(
    installed: Product, wechat: WeChat, given: dict[str, str], check: str, level: str, said: str, remedy: str
) -> None:
    found = await examined(installed, status=1 if level == "fail" else 0, **given)
    named(found, check, level=level, said=said, remedy=remedy)


@pytest.mark.gen_test
async def test_a_proxy_that_speaks_for_phones_and_is_not_trusted_is_told(
    make_server: Make, wechat: WeChat, network: Network
) -> None:
    server = make_server()
    forwarded = {"X-Forwarded-For": "203.0.113.7"}
    succeeded(await Phone(server, wechat, network).login())
    well(await examined(server, status=0), "proxy")
    await network.ask("GET", f"{server.base}/healthz", headers=forwarded)
    server.stop()  # which writes the counters
    found = await examined(server, status=1)
    named(found, "proxy", level="fail", said="1 request of the last day", remedy="TRUSTED_PROXIES=127.0.0.1/32")
    well(await examined(server, status=0, TRUSTED_PROXIES="127.0.0.1/32"), "proxy")


@pytest.mark.gen_test
async def test_files_that_others_can_read_are_named_with_the_command_that_mends_them(
    make_server: Make, wechat: WeChat
) -> None:
    server = make_server()
    (server.data_dir / "audit.log").chmod(0o644)
    (server.data_dir / KEYS).chmod(0o640)
    server.data_dir.chmod(0o755)
    found = await examined(server, status=1)
    assert {each["remedy"] for each in found if each["check"] == "files"} == {
        f"chmod 600 {server.data_dir / 'audit.log'}",
        f"chmod 600 {server.data_dir / KEYS}",
        f"chmod 700 {server.data_dir}",
    }
    named(found, "keys", level="fail", said="can be read by others", remedy="chmod 600")


@pytest.mark.gen_test
async def test_keys_that_are_gone_and_data_that_is_gone_are_told(make_server: Make, wechat: WeChat) -> None:
    server = make_server()
    server.stop()
    os.rename(server.data_dir / KEYS, server.folder / KEYS)
    found = await examined(server, status=1)
    named(found, "keys", level="fail", said="no keys in", remedy="keys.json")
    os.rename(server.folder / KEYS, server.data_dir / KEYS)
    os.rename(server.data_dir / "menshen.db", server.folder / "gone.db")
    named(await examined(server, status=1), "database", level="fail", said="there is no", remedy="or set DATA_DIR")
    assert "menshen.db" not in os.listdir(server.data_dir)


@pytest.mark.gen_test
async def test_no_backup_an_old_one_and_one_that_is_gone_are_warnings(
    make_server: Make, wechat: WeChat, tmp_path: Path
) -> None:
    server = make_server()
    named(await examined(server, status=0), "backup", level="warn", said="no backup", remedy="every night")
    note = server.data_dir / BACKUP_NOTE
    for days, said, remedy in ((3, "3.0 days old", "why the nightly"), (1, "gone from there", "a safe place")):
        note.write_text(json.dumps({"at": int(time.time() - days * 86_400), "file": str(tmp_path / "x"), "bytes": 1}))
        named(await examined(server, status=0), "backup", level="warn", said=said, remedy=remedy)


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("size", "level", "remedy"), [(32, "fail", "make room now"), (600, "warn", "a larger disk")], ids=["32", "600"]
)
async def test_a_disk_that_is_about_to_be_full_is_told(
    make_server: Make, wechat: WeChat, tmp_path: Path, size: int, level: str, remedy: str
) -> None:
    with small_disk(tmp_path, size * MIB):
        server = make_server(DATA_DIR=tmp_path / "data")
        server.stop()
        found = await examined(server, status=1 if level == "fail" else 0)
    named(found, "disk", level=level, said="MiB free", remedy=remedy)


@pytest.fixture
def few_files() -> Iterator[None]:
    """Let this process, and what it starts, open few files meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.gen_test
async def test_a_user_who_may_open_few_files_is_told(installed: Product, wechat: WeChat, few_files: None) -> None:
    found = await examined(installed, status=0)
    named(found, "limits", level="warn", said="may open 1024 files", remedy="LimitNOFILE=")
