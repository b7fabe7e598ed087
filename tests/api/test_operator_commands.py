"""The command `operator`: accounts of the dashboard without a browser, beside a running server."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from subprocess import CompletedProcess
from typing import Any

import pytest
from operator_at import PASSWORD, Operator, audit, is_in, name_of
from phone import Network
from product import APPID, ROOT, Product
from shell import done, menshen


async def with_password(server: Product, password: str, *words: str) -> CompletedProcess[str]:
    """`operator add` with the password on stdin."""
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, str(ROOT / "server.py"), "operator", "add", *words, "--password-stdin"],
        cwd=server.folder,
        env=dict(server.environment()),
        input=f"{password}\n",
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


async def set_password(server: Product, network: Network, printed: str, password: str) -> Operator:
    """Open the link that a command printed, and set a password by it."""
    link = printed.rpartition("link=")[2]
    server.never_logged.add(link)
    browser = Operator(server, network)
    form = (await browser.get(f"/admin/setup?link={link}")).form_token
    fields = {"link": link, "password": password, "again": password, "form": form}
    assert (await browser.ask("POST", "/admin/setup", fields)).status == 303
    return browser


@pytest.mark.gen_test
async def test_one_who_is_added_comes_in_by_the_link_that_is_printed(server: Product, network: Network) -> None:
    name = name_of()
    printed = await done(server, "operator", "add", name, "--role", "operator", "--apps", APPID)
    assert printed.startswith("http://127.0.0.1:")
    assert "/admin/setup?link=" in printed
    browser = await set_password(server, network, printed, PASSWORD)
    assert await is_in(browser)
    [listed] = [
        json.loads(line) for line in (await done(server, "operator", "list", "--json")).splitlines() if name in line
    ]
    assert listed["created_at"] <= listed["last_seen_at"]
    del listed["created_at"], listed["last_seen_at"]
    assert listed == {
        "name": name,
        "role": "operator",
        "apps": APPID,
        "state": "active",
        "password": "yes",
        "second_factor": "no",
    }
    rows = [(row.actor, row.deed, row.target) for row in await audit(server) if row.target == f"operator:{name}"]
    assert rows[-1][0].startswith("shell:")
    assert rows[-1][1:] == ("operator.add", f"operator:{name}")


@pytest.mark.gen_test
async def test_a_password_may_come_on_stdin(embedded: Product, network: Network) -> None:
    name = name_of()
    finished = await with_password(embedded, PASSWORD, name, "--role", "admin")
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, f"{name} can sign in\n", "")
    assert (await Operator(embedded, network).sign_in(name)).path == "/admin/"
    for password, words in (("short", "too short"), ("password1234", "everybody uses"), ("", "too short")):
        finished = await with_password(embedded, password, name_of())
        assert (finished.returncode, finished.stdout) == (1, "")
        assert words in finished.stderr
        assert finished.stderr.count("\n") == 1


@pytest.mark.gen_test
async def test_one_who_is_disabled_is_out_at_once_and_comes_back_when_enabled(
    server: Product, network: Network
) -> None:
    name, boss = name_of(), name_of()
    for each in (name, boss):
        await with_password(server, PASSWORD, each, "--role", "admin")
    browser = Operator(server, network)
    await browser.sign_in(name)
    assert await done(server, "operator", "disable", name) == f"{name} is disabled"
    assert not await is_in(browser)
    assert (await browser.sign_in(name)).status == 403
    assert await done(server, "operator", "enable", name) == f"{name} is enabled"
    assert not await is_in(browser)
    assert (await browser.sign_in(name)).path == "/admin/"


@pytest.mark.gen_test
async def test_a_reset_takes_everything_away_and_gives_a_link(server: Product, network: Network) -> None:
    name = name_of()
    await with_password(server, PASSWORD, name)
    browser = Operator(server, network)
    await browser.sign_in(name)
    first = await done(server, "operator", "reset", name)
    assert not await is_in(browser)
    assert (await browser.sign_in(name)).status == 403
    second = await done(server, "operator", "reset", name)
    server.never_logged.add(first.rpartition("link=")[2])
    stranger = Operator(server, network)
    assert (await stranger.get(f"/admin/setup?link={first.rpartition('link=')[2]}")).status == 404
    assert await is_in(await set_password(server, network, second, "four quiet boats in the harbour"))


@pytest.mark.gen_test
async def test_what_cannot_be_done_is_one_line_and_exit_status_1(
    make_server: Callable[..., Product], network: Network, backend: Any
) -> None:
    server = make_server(**backend.fresh())
    await with_password(server, PASSWORD, "mei", "--role", "admin")
    for words, sentence in (
        (["add", "mei"], "there is an operator of this name"),
        (["add", "MEI"], "there is an operator of this name"),
        (["add", "a b"], "a name has 1 to 32"),
        (["add", "x" * 33], "a name has 1 to 32"),
        (["add", "-x"], ""),
        (["add", "li", "--apps", "wx9999999999999999"], "not known here"),
        (["disable", "mei"], "the last admin who can sign in"),
        (["disable", "nobody"], "no operator of this name"),
        (["enable", "nobody"], "no operator of this name"),
        (["reset", "nobody"], "no operator of this name"),
        (["add", "li", "--role", "owner"], ""),
    ):
        finished = await menshen(server, "operator", *words)
        assert finished.returncode == (1 if sentence else 2), (words, finished)
        assert finished.stdout == ""
        if sentence:
            assert sentence in finished.stderr
            assert finished.stderr.count("\n") == 1
    assert (await Operator(server, network).sign_in("mei")).path == "/admin/"


@pytest.mark.gen_test
async def test_the_list_has_a_header_and_a_line_for_each(make_server: Callable[..., Product]) -> None:
    server = make_server()
    await with_password(server, PASSWORD, "mei", "--role", "admin")
    server.never_logged.add((await done(server, "operator", "add", "李")).rpartition("link=")[2])
    header, *rows = (await done(server, "operator", "list")).splitlines()
    assert header.split("\t") == [
        "name",
        "role",
        "apps",
        "state",
        "password",
        "second_factor",
        "created_at",
        "last_seen_at",
    ]
    assert [row.split("\t")[:6] for row in rows] == [
        ["mei", "admin", "all", "active", "yes", "no"],
        ["李", "viewer", "all", "active", "no", "no"],
    ]


@pytest.mark.gen_test
async def test_a_link_begins_with_the_public_address_where_that_is_set(make_server: Callable[..., Product]) -> None:
    server = make_server(PUBLIC_URL="https://login.example.com")
    printed = await done(server, "operator", "add", "mei")
    assert printed.startswith("https://login.example.com/admin/setup?link=")
    assert "first operator, within an hour: https://login.example.com/admin/setup?link=" in server.log()
