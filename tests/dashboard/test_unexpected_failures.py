"""What nobody foresaw is a 500 that names the request and tells nothing else, and one line of the log that tells all.

Provoked where the server cannot expect it: in its own tables, behind its back.
"""

import contextlib
import json
import re
import sqlite3

import pytest
from at_work import MakeServer, Phones
from operator_at import Operator, make_operator
from phone import Network
from product import Product

TOKEN = "mps_" + "A1b2C3d4E5f" * 4  # of the form of a token, which somebody put where none belongs
ID = "5f1c5f1c-unexpected"
LANGUAGES = {
    "en": ("Something went wrong here. Please try again in a moment.", "name this request:"),
    "zh": ("服务器出了点问题，请稍后再试。", "请提供这个请求编号："),
}


TAGS = {"en": "en", "zh": "zh-CN"}


def change(server: Product, statement: str, *values: str) -> None:
    """Run a statement on the server's embedded database, as another program might."""
    with contextlib.closing(sqlite3.connect(server.data_dir / "menshen.db", isolation_level=None)) as database:
        database.execute(statement, values)


def hold_bytes(server: Product, table: str, column: str) -> None:
    """Let a column give bytes where text or a number is expected."""
    change(server, f"ALTER TABLE {table} RENAME COLUMN {column} TO {column}_before")
    change(server, f"ALTER TABLE {table} ADD COLUMN {column} BLOB DEFAULT X'{TOKEN.encode().hex()}'")


def is_told_once(server: Product, error: str) -> None:
    """Look for the one line with the request's id and the traceback, in which the token is masked."""
    log = server.log_with_traceback()
    assert TOKEN not in log
    told = [line for line in log.splitlines() if "Traceback" in line]
    assert len(told) == 1, told
    assert f" ERROR menshen.http: request {ID} failed | Traceback (most recent call last):" in told[0]
    assert error in told[0]


def tells_nothing(text: str) -> None:
    """Look for what a page or a body must never hold."""
    for word in ("Traceback", "Error", "File &#34;", ".py", TOKEN, TOKEN[4:], "create_time", "flash", "nickname"):
        assert word not in text, word


async def page_of(somebody: Operator, path: str, language: str) -> str:
    """The page of the failure, looked at from all sides."""
    answer = await somebody.ask("GET", f"{path}?lang={language}", headers={"X-Request-Id": ID})
    text = answer.body.decode("utf-8")
    assert answer.status == 500
    assert answer.headers["X-Request-Id"] == ID
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    for sentence in (*LANGUAGES[language], f"<code>{ID}</code>"):
        assert sentence in text
    assert f'<html lang="{TAGS[language]}"' in text
    tells_nothing(text)
    return text


@pytest.mark.gen_test
@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_page_that_fails_names_the_request_and_the_log_tells_why(
    make_server: MakeServer, network: Network, phones: Phones, language: str
) -> None:
    server = make_server()
    mei = await make_operator(server, network)
    [phone] = phones(1, at=server)
    await phone.login()
    hold_bytes(server, "user", "create_time")
    text = await page_of(mei, "/admin/users/1", language)
    assert re.search(r'<a [^>]*href="/admin/sessions', text), "the way on is missing"
    is_told_once(server, "TypeError")
    assert (await mei.get("/admin/sessions")).status == 200


@pytest.mark.gen_test
@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_message_for_the_next_page_that_cannot_be_read_fails_once_and_its_page_is_whole(
    make_server: MakeServer, network: Network, language: str
) -> None:
    server = make_server()
    mei = await make_operator(server, network)
    unknown = json.dumps({"key": f"told.{TOKEN}", "kind": "good", "undo": [], "values": {}})
    for flash, error in ((unknown, "object has no attribute 'mps_***'"), (TOKEN, "JSONDecodeError")):
        change(server, "UPDATE operator_session SET flash = ?", flash)
        await page_of(mei, "/admin/", language)
        is_told_once(server, error)
        assert (await mei.get("/admin/")).status == 200


@pytest.mark.gen_test
async def test_an_answer_of_the_api_that_fails_names_the_request_and_the_log_tells_why(
    make_server: MakeServer, phones: Phones
) -> None:
    server = make_server()
    [phone] = phones(1, at=server)
    await phone.login()
    for path, table, column in (("/api/me", "user", "nickname"), ("/api/verify", "session", "expires_at")):
        hold_bytes(server, table, column)
        answer = await phone.request("GET", path, headers={**phone.bearer, "X-Request-Id": ID})
        assert answer.status == 500, path
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
        assert answer.json == {
            "errcode": 500001,
            "errmsg": "something went wrong here",
            "error": "server_error",
            "retry": "backoff",
            "request_id": ID,
        }
        is_told_once(server, "TypeError")
