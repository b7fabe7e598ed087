"""A MySQL user that may do what serving needs, and nothing else: not even a stolen password changes the audit.

Every server of the suite whose people are in MariaDB is this user (`MariaDB.served`).
"""

import re
from collections.abc import Callable
from urllib.parse import urlsplit

import pymysql
import pytest
from backends import BACKENDS, Backend
from operator_at import make_operator
from phone import Network, Phone
from product import ROOT, Product
from servers import GRANTS, SERVING
from shell import done
from verdicts import id_of, refused, succeeded

Phones = Callable[..., list[Phone]]
Make = Callable[..., Product]
SCHEMA = (ROOT / "sql" / "schema.sql").read_text("utf-8")


@pytest.mark.quick
def test_the_file_names_every_table_once() -> None:
    granted = re.findall(r" ON menshen\.(\w+) TO ", GRANTS)
    assert sorted(granted) == sorted(set(re.findall(r"CREATE TABLE IF NOT EXISTS (\w+)", SCHEMA)))


@pytest.mark.gen_test
@pytest.mark.parametrize("backend", [BACKENDS[1]], indirect=True)
async def test_a_server_with_these_rights_does_everything_and_cannot_change_the_audit(
    make_server: Make, backend: Backend, phones: Phones, network: Network
) -> None:
    server = make_server(**backend.fresh())
    where = urlsplit(server.settings["DATABASE"])
    assert where.username == SERVING
    [mei, bob] = phones(2, at=server)
    logged_in = succeeded(await mei.login())
    user, session = logged_in["user"]["id"], id_of(logged_in["token"])
    succeeded(await bob.login())
    admin = await make_operator(server, network)
    sure = {"sure": "yes", "reason": "test", "remark": ""}
    ended = await admin.post(f"/admin/sessions/{session}/revoke", sure)
    assert "Ended 1 session" in ended.text
    refused(await mei.verify(), 401002, reason="revoked")
    blocked = await admin.post(
        f"/admin/users/{user}/block", {"sure": "yes", "reason": "test", "remark": "", "until": ""}
    )
    assert "Blocked 1 person" in blocked.text
    for path in ("/admin/", "/admin/sessions", "/admin/users", "/admin/logins", "/admin/audit", "/admin/apps"):
        assert (await admin.get(path)).status == 200
    erased = await bob.request("DELETE", "/api/me", headers=bob.bearer)
    succeeded(erased)
    assert "the chain holds" in await done(server, "audit", "verify")
    thief = pymysql.connect(
        host="127.0.0.1",
        port=where.port or 0,
        user=where.username,
        password=where.password or "",
        database=where.path[1:],
    )
    with thief.cursor() as cursor:
        for statement in (
            "UPDATE audit SET actor = 'nobody'",
            "DELETE FROM audit",
            "TRUNCATE TABLE audit",
            "DROP TABLE audit",
            "ALTER TABLE audit ADD COLUMN x INTEGER",
            "DELETE FROM audit_head",
            "CREATE TABLE mine (n INTEGER)",
        ):
            with pytest.raises(pymysql.MySQLError) as denied:
                cursor.execute(statement)
            assert denied.value.args[0] == 1142, statement
    thief.close()
