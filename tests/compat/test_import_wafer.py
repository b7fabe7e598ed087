"""`import wafer URL`: whoever holds a live skey of a Wafer server goes on with it; nothing dead comes back."""

import base64
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from backends import Backend
from phone import Answer, Phone
from product import APPID, Product
from servers import MariaDB
from shell import done, menshen

Phones = Callable[..., list[Phone]]
ZONE = ZoneInfo("Asia/Shanghai")
TABLES = {
    "wafer1": [
        "CREATE TABLE cAppinfo (appid VARCHAR(200) PRIMARY KEY, secret VARCHAR(300), login_duration INT DEFAULT 30, "
        "session_duration INT DEFAULT 2592000, qcloud_appid VARCHAR(300), ip VARCHAR(50))",
        "CREATE TABLE cSessionInfo (id INT AUTO_INCREMENT PRIMARY KEY, uuid VARCHAR(100), skey VARCHAR(100), "
        "create_time DATETIME, last_visit_time DATETIME, open_id VARCHAR(100), session_key VARCHAR(100), "
        "user_info VARCHAR(2048), KEY auth (uuid, skey), KEY weixin (open_id, session_key))",
    ],
    "wafer2": [
        "CREATE TABLE cSessionInfo (open_id VARCHAR(100) PRIMARY KEY, uuid VARCHAR(100), skey VARCHAR(100), "
        "create_time TIMESTAMP NULL, last_visit_time TIMESTAMP NULL, session_key VARCHAR(100), "
        "user_info VARCHAR(2048), KEY (skey))"
    ],
}


@dataclass(frozen=True)
class Held:
    """What one phone kept of its Wafer session."""

    openid: str
    uuid: str
    skey: str


class Wafer:
    """Another program's database."""

    def __init__(self, mariadb: MariaDB, generation: str) -> None:
        self.mariadb = mariadb
        self.generation = generation
        self.url = mariadb.database()
        self._name = self.url.rpartition("/")[2]
        for statement in TABLES[generation]:
            mariadb.query(statement, database=self._name)
        if generation == "wafer1":
            mariadb.query("INSERT INTO cAppinfo (appid, secret) VALUES (%s, 'x')", (APPID,), database=self._name)

    def add(self, openid: str, *, age: int = 60, nickname: str = "小美", **changed: str) -> Held:
        """Add a session that began, and was last used, `age` seconds ago."""
        info = json.dumps({"openId": openid, "nickName": nickname, "avatarUrl": "https://a.example/a.png"})
        held = Held(openid, secrets.token_hex(16), secrets.token_hex(20))
        row = {
            "open_id": openid,
            "uuid": held.uuid,
            "skey": held.skey,
            "session_key": base64.b64encode(secrets.token_bytes(16)).decode(),
            "user_info": base64.b64encode(info.encode()).decode() if self.generation == "wafer1" else info,
        } | changed
        at = time.time() - age
        moment = datetime.fromtimestamp(at, ZONE).strftime("%Y-%m-%d %H:%M:%S")
        value = "%s" if self.generation == "wafer1" else "FROM_UNIXTIME(%s)"
        names = ", ".join([*row, "create_time", "last_visit_time"])
        values = ", ".join(["%s"] * len(row) + [value] * 2)
        when = moment if self.generation == "wafer1" else str(int(at))
        sql = f"INSERT INTO cSessionInfo ({names}) VALUES ({values})"  # noqa: S608  # all its names stand above
        self.mariadb.query(sql, (*row.values(), when, when), database=self._name)
        return held

    def headers(self, held: Held) -> dict[str, str]:
        """What the phone goes on sending."""
        pair = {"X-WX-Id": held.uuid, "X-WX-Skey": held.skey}
        return pair if self.generation == "wafer1" else {"X-WX-Skey": held.skey}

    @property
    def path(self) -> str:
        """Where this generation asks who it is."""
        return "/user" if self.generation == "wafer1" else "/weapp/user"

    @property
    def words(self) -> list[str]:
        """The command that takes it over; Wafer 2 does not write down its appid."""
        return ["import", "wafer", self.url, *([] if self.generation == "wafer1" else ["--of-app", APPID])]


async def asked(phone: Phone, wafer: Wafer, held: Held) -> Answer:
    return await phone.request("GET", wafer.path, headers=wafer.headers(held))


@pytest.mark.gen_test
@pytest.mark.parametrize("generation", ["wafer1", "wafer2"])
async def test_a_live_skey_goes_on_to_work_and_what_was_put_out_stays_out(
    make_server: Callable[..., Product], phones: Phones, backend: Backend, mariadb: MariaDB, generation: str
) -> None:
    server = make_server(COMPAT="wafer1,wafer2", **backend.fresh())
    [mei, lan] = phones(2, at=server)
    wafer = Wafer(mariadb, generation)
    kept, lost = wafer.add(await mei.openid()), wafer.add(await lan.openid(), nickname="微信用户")
    over = wafer.add("oLongAgo", age=40 * 86_400)
    server.never_logged |= {held.skey for held in (kept, lost, over)}
    assert await done(server, *wafer.words, "--dry-run") == (
        "would import 2 sessions, 0 were there already, 1 had ended before, 0 refused"
    )
    assert (await asked(mei, wafer, kept)).json["error"] == "ERR_INVALID_SESSION"
    assert await done(server, *wafer.words) == (
        "imported 2 sessions, 0 were there already, 1 had ended before, 0 refused"
    )
    known = await asked(mei, wafer, kept)
    info = known.json["data"]["userInfo"]
    assert (info["openId"], info["nickName"]) == (await mei.openid(), "小美")
    assert (await asked(lan, wafer, lost)).json["data"]["nickName"] == ""
    assert (await asked(mei, wafer, over)).json["error"] == "ERR_INVALID_SESSION"

    await lan.login()
    revoked = await lan.request("POST", "/api/me/sessions/revoke-others", headers=lan.bearer)
    assert revoked.json["ended"] == 1
    assert await done(server, *wafer.words) == (
        "imported 0 sessions, 2 were there already, 1 had ended before, 0 refused"
    )
    assert (await asked(lan, wafer, lost)).json["error"] == "ERR_INVALID_SESSION"
    assert (await asked(mei, wafer, kept)).json["code"] == 0


@pytest.mark.gen_test
async def test_the_pair_of_wafer_1_must_match_and_opens_our_own_paths_too(
    make_server: Callable[..., Product], phones: Phones, mariadb: MariaDB
) -> None:
    server = make_server(COMPAT="wafer1")
    [mei] = phones(1, at=server)
    wafer = Wafer(mariadb, "wafer1")
    held, other = wafer.add(await mei.openid()), wafer.add("oOther")
    await done(server, *wafer.words)
    assert (await mei.request("GET", "/api/verify", headers=wafer.headers(held))).json["errcode"] == 0
    for headers in (
        {"X-WX-Id": other.uuid, "X-WX-Skey": held.skey},
        {"X-WX-Skey": held.skey},
        {"X-WX-Id": held.uuid, "X-WX-Skey": other.skey},
        {"X-WX-Id": held.uuid, "X-WX-Skey": held.skey.upper()},
    ):
        assert (await mei.request("GET", "/api/verify", headers=headers)).json["errcode"] == 401002


@pytest.mark.gen_test
async def test_rows_that_cannot_be_taken_are_named(
    make_server: Callable[..., Product], phones: Phones, mariadb: MariaDB
) -> None:
    server = make_server(COMPAT="wafer1")
    [blocked] = phones(1, at=server)
    await blocked.login()
    wafer = Wafer(mariadb, "wafer1")
    for n in range(60):  # more than one page of what is read at once
        wafer.add(f"oGood{n:03}")
    wafer.add("oShort", skey="1234")
    wafer.add("oKeyless", session_key="none")
    wafer.add("o';--")
    finished = await menshen(server, *wafer.words)
    assert finished.returncode == 1
    assert set(finished.stdout.splitlines()) == {
        "row\trefused",
        "oShort\tits skey is shorter than 32 characters, or it has no uuid",
        "oKeyless\tits session_key is none of WeChat's",
        "o';--\topen_id has an impossible form",
        "imported 60 sessions, 0 were there already, 3 refused",
    }


@pytest.mark.gen_test
async def test_a_database_that_is_none_of_wafer_s_is_told_in_one_line(embedded: Product, mariadb: MariaDB) -> None:
    for url, says in (
        ("sqlite", "the database of Wafer is given as mysql://user:password@host:3306/name"),
        ("mysql://nobody:wrong@127.0.0.1:1/x", "does not answer"),
        (mariadb.database(), "Wafer 2 does not write down its appid"),
    ):
        finished = await menshen(embedded, "import", "wafer", url)
        assert (finished.returncode, finished.stdout, finished.stderr.count("\n")) == (1, "", 1), finished.stderr
        assert says in finished.stderr
