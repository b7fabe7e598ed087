"""The examples for other back ends, each run by its own interpreter or compiler against the real server."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from odd_servers import odd_server, raw
from phone import Phone
from product import ROOT, Product
from servers import program
from shell import done

BACKENDS = ROOT / "examples" / "backends"
MakeServer = Callable[..., Product]

PYTHON = "import json, sys, verify; print(json.dumps(getattr(verify, sys.argv[1])(*sys.argv[2:])))"
PHP = "require 'verify.php'; echo json_encode(call_user_func_array($argv[1], array_slice($argv, 2)));"
NODE = (
    "const [name, ...given] = process.argv.slice(1); const made = await import('./verify.mjs');"
    "const { status, body } = await made[name](...given); console.log(JSON.stringify([status, body]))"
)
GO = """package main

import (
	"encoding/json"
	"os"

	"example/menshen"
)

func main() {
	given := append(os.Args[2:], "")
	var status int
	var body map[string]any
	if os.Args[1] == "verify" {
		status, body = menshen.Verify(given[0])
	} else {
		status, body = menshen.Introspect(given[0], given[1])
	}
	json.NewEncoder(os.Stdout).Encode([]any{status, body})
}
"""


@dataclass(frozen=True)
class Language:
    """How one example is run: its interpreter, with one line that calls a function and prints what it gave."""

    name: str
    command: tuple[str, ...]
    scheme: str = "http://"

    async def call(self, base: str, function: str, *given: str) -> tuple[int, Any]:
        """Call a function of the example and return the status and the body that it gave."""
        done = await asyncio.to_thread(
            subprocess.run,
            [str(program(self.command[0])), *self.command[1:], function, *given],
            cwd=BACKENDS,
            env={"MENSHEN": base.replace("http://", self.scheme), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
        status, body = json.loads(done.stdout)
        return status, body


LANGUAGES = [
    Language("python", (sys.executable, "-c", PYTHON), scheme=""),
    Language("php", ("php", "-r", PHP, "--")),
    Language("node", ("node", "--input-type=module", "-e", NODE, "--")),
    Language("go", ()),  # compiled, by `go_program`
]


@pytest.fixture(params=LANGUAGES, ids=lambda language: language.name)
def language(request: pytest.FixtureRequest, back_end_interpreters: None) -> Language:
    """Each of them."""
    made: Language = request.param
    return made if made.command else replace(made, command=(request.getfixturevalue("go_program"),))


@pytest.fixture(scope="session")
def go_program(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of the example in Go with a main program around it."""
    folder = tmp_path_factory.mktemp("go")
    (folder / "menshen").mkdir()
    shutil.copy(BACKENDS / "verify.go", folder / "menshen")
    (folder / "main.go").write_text(GO)
    (folder / "go.mod").write_text("module example\n\ngo 1.18\n")
    own = {name: str(folder / name) for name in ("GOCACHE", "GOPATH")}
    away = {"GOPROXY": "off", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}  # nothing is fetched, no C compiler is needed
    command = [str(program("go")), "build", "-o", "asks", "."]
    subprocess.run(command, cwd=folder, env={**os.environ, **own, **away}, check=True, timeout=240)
    return str(folder / "asks")


@pytest.mark.gen_test
async def test_it_says_whose_a_token_is_and_hands_on_why_it_ended(
    language: Language, embedded: Product, phone: Phone
) -> None:
    user = (await phone.login()).json["user"]["id"]
    status, body = await language.call(embedded.base, "verify", f"Bearer {phone.token}")
    assert (status, body["user_id"]) == (200, user)
    openid = await phone.openid()
    await done(embedded, "sessions", "revoke-user", openid)
    status, body = await language.call(embedded.base, "verify", f"Bearer {phone.token}")
    assert (status, body["errcode"], body["reason"], body["retry"]) == (401, 401002, "revoked", "login")
    status, body = await language.call(embedded.base, "verify", "")
    assert (status, body["errcode"]) == (401, 401001)


@pytest.mark.gen_test
async def test_a_refusal_that_comes_as_200_is_taken_for_what_it_is(
    language: Language, make_server: MakeServer, phones: Callable[..., list[Phone]]
) -> None:
    server = make_server(API_STATUS="wechat")
    [phone] = phones(1, at=server)
    await phone.login()
    assert (await language.call(server.base, "verify", f"Bearer {phone.token}"))[0] == 200
    await phone.logout()
    status, body = await language.call(server.base, "verify", f"Bearer {phone.token}")
    assert (status, body["errcode"], body["reason"]) == (401, 401002, "logged_out")


@pytest.mark.gen_test
async def test_with_a_service_key_it_learns_the_openid(language: Language, embedded: Product, phone: Phone) -> None:
    key = await done(embedded, "key", "add", f"shop-{language.name}", "--scope", "introspect")
    embedded.never_logged.add(key)
    await phone.login()
    status, body = await language.call(embedded.base, "introspect", phone.token, key)
    assert (status, body["active"], body["openid"]) == (200, True, await phone.openid())
    await phone.logout()
    assert await language.call(embedded.base, "introspect", phone.token, key) == (200, {"active": False})
    status, body = await language.call(embedded.base, "introspect", phone.token, "msk_wrong")
    assert (status, body["errcode"]) == (401, 401003)


@pytest.mark.gen_test
async def test_a_server_that_is_away_or_answers_nonsense_is_never_a_401(language: Language, embedded: Product) -> None:
    nonsense = [
        raw(b"HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\n\r\n<h1>Bad Gateway</h1>", close=True),
        raw(b"HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\n", close=True),
    ]
    async with odd_server(*nonsense) as odd:
        for _ in nonsense:
            assert await language.call(odd.base, "verify", "Bearer mps_x") == (503, {"retry": "backoff"})
    assert await language.call(odd.base, "verify", "Bearer mps_x") == (503, {"retry": "backoff"})
