"""Each deed of an operator is one row that says who, from where, in which request, what, to whom and why."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest
from at_work import MakeServer, Phones, arrive, newest, rows, rows_of, statuses, sure, with_password
from backends import BACKENDS, Backend
from operator_at import PASSWORD, Operator, make_operator
from phone import Network, Phone
from product import APPID, Product
from servers import MariaDB, RedisServer
from shell import settings_of

import process
from stores.audit import FILE_NAME, Entry

ADDRESS = "127.0.0.9"


class Clerk(Operator):
    """An operator whose requests have ids that the test knows."""

    async def does(self, path: str, fields: dict[str, str], request_id: str) -> int:
        """Send one form; gives the status."""
        form = (await self.get("/admin/me")).form_token
        answer = await self.ask("POST", path, {**fields, "form": form}, headers={"X-Request-Id": request_id})
        assert answer.headers["X-Request-Id"] == request_id
        return answer.status


async def clerk(server: Product, network: Network) -> Clerk:
    admin = await make_operator(server, network)
    here = Clerk(server, network, address=ADDRESS)
    here.name, here.cookies = admin.name, admin.cookies
    return here


@pytest.mark.gen_test(timeout=60)
async def test_each_deed_is_one_row_with_everything_in_it(server: Product, network: Network, phone: Phone) -> None:
    admin = await clerk(server, network)
    user, session = await arrive(phone)
    person, one = f"user:{user}", f"session:{session}"
    told = {"remark": "because"}
    deeds: list[tuple[str, dict[str, str], tuple[str, str | None, str | None, int | None, str | None]]] = [
        (f"/admin/users/{user}/note", {"note": "a secret thought"}, ("user.note", person, APPID, None, None)),
        (f"/admin/sessions/{session}/revoke", sure(**told), ("session.revoke", one, APPID, None, "test: because")),
        ("/admin/undo", {"id": session}, ("session.undo", one, None, 1, None)),
        ("/admin/sessions/revoke", sure(id=session), ("selection.revoke", one, APPID, 1, "test")),
        (f"/admin/users/{user}/revoke", sure(**told), ("user.revoke", person, APPID, None, "test: because")),
        (f"/admin/users/{user}/block", sure(**told), ("user.block", person, APPID, None, "test: because")),
        (f"/admin/users/{user}/unblock", sure(), ("user.unblock", person, APPID, None, None)),
        ("/admin/sessions/export", {"q": "nobody"}, ("sessions.export", "filter:q=nobody", None, None, None)),
        ("/admin/users/export", {"q": "nobody"}, ("users.export", "filter:q=nobody", None, None, None)),
        ("/admin/audit/export", with_password(), ("audit.export", None, None, None, "test")),
        (f"/admin/users/{user}/erase", with_password(), ("user.erase", person, APPID, None, None)),
    ]
    for n, (path, fields, (deed, target, appid, count, reason)) in enumerate(deeds):
        before = (await newest(server)).n
        request_id = f"request-{n:04d}"
        assert await admin.does(path, fields, request_id) in (200, 303), path
        after = [row for row in await rows(server, 10) if row.n > before]
        wanted = ("operator:" + admin.name, ADDRESS, request_id, deed, "done", target, appid, count, reason, None)
        assert len(after) == 1, (path, after)
        row = after[0]
        found = (row.actor, row.address, row.request_id, row.deed, row.result, row.target, row.appid, row.count)
        assert (*found, row.reason, row.concerns) == wanted, path
        assert row.role == "admin", path
        assert "a secret thought" not in str(row)
    async with process.opened(settings_of(server)) as stores:
        assert await stores.audit.verify() >= len(deeds)


@pytest.mark.gen_test(timeout=60)
async def test_each_deed_on_an_operator_is_one_row(server: Product, network: Network) -> None:
    admin = await clerk(server, network)
    colleague = await make_operator(server, network, "viewer")
    async with process.opened(settings_of(server)) as stores:
        number = (await stores.operators.find_name(colleague.name)).id
    name = f"{colleague.name}-2"
    base, him = f"/admin/operators/{number}", f"operator:{colleague.name}"
    granted = with_password(role="operator", all_apps="yes")
    deeds: list[tuple[str, dict[str, str], tuple[str, str, str | None]]] = [
        ("/admin/operators", {**granted, "name": name}, ("operator.add", f"operator:{name}", "operator")),
        (base, granted, ("operator.role", him, "operator")),
        (f"{base}/disable", with_password(), ("operator.disable", him, None)),
        (f"{base}/enable", with_password(), ("operator.enable", him, None)),
        (f"{base}/reset", with_password(), ("operator.reset", him, None)),
    ]
    for n, (path, fields, (deed, target, reason)) in enumerate(deeds):
        before = (await newest(server)).n
        assert await admin.does(path, fields, f"operator-{n:04d}") in (200, 303), path
        [row] = [row for row in await rows(server, 10) if row.n > before]
        assert (row.actor, row.address, row.request_id) == (f"operator:{admin.name}", ADDRESS, f"operator-{n:04d}")
        assert (row.deed, row.result, row.target, row.reason, row.role) == (deed, "done", target, reason, "admin")
    assert (await colleague.ask("GET", "/admin/")).status == 303


@pytest.mark.gen_test
async def test_the_audits_page_shows_what_happened_in_words(server: Product, network: Network, phone: Phone) -> None:
    admin, viewer = await make_operator(server, network), await make_operator(server, network, "viewer")
    user, session = await arrive(phone)
    await admin.post(f"/admin/sessions/{session}/revoke", sure("lost_phone", remark="he called"))
    await admin.post(f"/admin/sessions/{session}/revoke", sure())
    await viewer.post(f"/admin/users/{user}/block", sure())
    page = await admin.get(f"/admin/audit?actor=operator:{admin.name}")
    assert "lost or stolen phone · he called" in page.text
    assert "had ended" in page.text
    assert f"operator:{admin.name}</a> <small>Admin</small>" in page.text
    page = await admin.get(f"/admin/audit?actor=operator:{viewer.name}&result=denied")
    assert f"operator:{viewer.name}</a> <small>Viewer</small>" in page.text
    assert f"/admin/users/{user}/block" in page.text
    assert "a deed above the role" in page.text
    page = await admin.get(f"/admin/audit?target=session:{session}")
    assert "lost or stolen phone" in page.text


@pytest.mark.gen_test
async def test_a_reason_with_lines_and_formulas_is_one_line_of_text(
    embedded: Product, network: Network, phone: Phone
) -> None:
    admin = await make_operator(embedded, network)
    user, _ = await arrive(phone)
    for remark in ("two\r\nlines", "a\x00b", "\x1b[31m", "tab\there"):
        assert (await admin.post(f"/admin/users/{user}/revoke", sure(remark=remark))).status == 400
    assert await rows_of(embedded, admin) == []
    await admin.post(f"/admin/users/{user}/revoke", sure("other", remark="=1+1 <b>\u2028x"))
    [row] = await rows_of(embedded, admin)
    assert row.reason == "other: =1+1 <b>\u2028x"
    [line] = [line for line in (embedded.data_dir / FILE_NAME).read_text().split("\n") if str(row.request_id) in line]
    assert "\\u2028x" in line


@contextlib.contextmanager
def file_away(server: Product) -> Iterator[None]:
    """A folder where the file of the audit should be."""
    path: Path = server.data_dir / FILE_NAME
    aside = path.with_suffix(".aside")
    path.rename(aside)
    path.mkdir()
    yield
    path.rmdir()
    aside.rename(path)


@contextlib.contextmanager
def sqlite_away(server: Product) -> Iterator[None]:
    """Another program that writes to the database and does not end."""
    other = sqlite3.connect(server.data_dir / "menshen.db", isolation_level=None, timeout=10)
    other.execute("BEGIN IMMEDIATE")
    yield
    other.rollback()
    other.close()


@contextlib.contextmanager
def chain_locked(mariadb: MariaDB, server: Product) -> Iterator[None]:
    """A transaction that holds the head of the chain and does not end."""
    database = server.settings["DATABASE"].rpartition("/")[2]
    other = pymysql.connect(unix_socket=f"{mariadb.folder}/socket", user="root", database=database)
    with other.cursor() as cursor:
        cursor.execute("SELECT n FROM audit_head FOR UPDATE")
        yield
    other.rollback()
    other.close()


async def no_deed_is_done(admin: Operator, phone: Phone, user: int, session: str, form: str) -> None:
    for path in (f"/admin/sessions/{session}/revoke", f"/admin/users/{user}/block", "/admin/everybody"):
        page = await admin.post(path, sure(**({"password": PASSWORD} if path == "/admin/everybody" else {})), form=form)
        assert page.status == 503, path
        assert "so nothing was done" in page.text, path
        assert await statuses([phone]) == [200], path
    page = await admin.post("/admin/users/export", {}, form=form)
    assert page.status == 503
    assert "Content-Disposition" not in page.answer.headers


async def done_again(server: Product, admin: Operator, phone: Phone, user: int, before: list[Entry]) -> None:
    """With one sink the deed is done, and nothing of before happened later."""
    assert [row for row in await rows_of(server, admin) if row.result == "done"] == before
    async with process.opened(settings_of(server)) as stores:
        assert (await stores.users.find(user)).state == "active"
    assert await statuses([phone]) == [200]
    assert (await admin.post(f"/admin/users/{user}/revoke", sure())).status == 200
    assert await statuses([phone]) == [401]


@pytest.mark.gen_test(timeout=90)
async def test_when_neither_the_database_nor_the_file_takes_a_row_nothing_is_done_and_phones_go_on_in_mariadb(
    make_server: MakeServer, mariadb: MariaDB, redis_server: RedisServer, network: Network, phones: Phones
) -> None:
    server = make_server(**Backend(BACKENDS[1], mariadb, redis_server).fresh(), LOGIN_LIMIT=0)
    admin = await make_operator(server, network)
    mei, newcomer = phones(2, at=server)
    user, session = await arrive(mei)
    before = [row for row in await rows_of(server, admin) if row.result == "done"]
    form = (await admin.get("/admin/me")).form_token
    with file_away(server), chain_locked(mariadb, server):
        page = await admin.post(f"/admin/sessions/{session}/revoke", sure(), form=form)
        assert (page.status, "The audit cannot be written" in page.text) == (503, True)
        await no_deed_is_done(admin, mei, user, session, form)
        await arrive(newcomer)
        assert await statuses([mei, newcomer]) == [200, 200]
    await done_again(server, admin, mei, user, before)


@pytest.mark.gen_test(timeout=90)
async def test_when_neither_sink_takes_a_row_nothing_is_done_and_phones_go_on_in_sqlite(
    make_server: MakeServer, network: Network, phones: Phones
) -> None:
    server = make_server(LOGIN_LIMIT=0)
    admin = await make_operator(server, network)
    [mei] = phones(1, at=server)
    user, session = await arrive(mei)
    assert (await admin.get(f"/admin/sessions/{session}")).status == 200  # so it stands in the database by now
    before = [row for row in await rows_of(server, admin) if row.result == "done"]
    form = (await admin.get("/admin/me")).form_token
    with file_away(server), sqlite_away(server):
        await no_deed_is_done(admin, mei, user, session, form)
    await done_again(server, admin, mei, user, before)


@pytest.mark.gen_test
async def test_one_sink_is_enough(make_server: MakeServer, network: Network, phones: Phones) -> None:
    server = make_server(LOGIN_LIMIT=0)
    admin = await make_operator(server, network)
    [mei] = phones(1, at=server)
    _, session = await arrive(mei)
    with file_away(server):
        page = await admin.post(f"/admin/sessions/{session}/revoke", sure())
        assert "Ended 1 session" in page.text
    assert await statuses([mei]) == [401]
    [row] = await rows_of(server, admin)
    assert (row.deed, row.result) == ("session.revoke", "done")
