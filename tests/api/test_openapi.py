"""What /openapi.json says is what the server does, in routes, bodies, answers and refusals, and docs/api.md agrees."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from backends import Backend
from phone import Answer, Network, Phone
from product import APPID, ROOT, Product
from shell import done

from handlers import ROUTES
from handlers.descriptions import OPERATIONS
from handlers.openapi import described, document
from handlers.refusals import TABLE, UNEXPECTED

MakeServer = Callable[..., Product]

# What only the dashboard answers, and 405001, which every path answers to every method that it is not described with.
NOT_OF_THE_API = {403002, 403006, 403007, 403008, 405001, 429002}
# Whether values are good is up to WeChat (codes, signatures, pictures), so what fits the schema may well be refused.
NOT_CHECKED = "positive_data_acceptance"
# They end the token that all the other requests are made with.
FATAL = ("delete_api_me", "post_api_logout")


@pytest.fixture(scope="module")
def api() -> dict[str, Any]:
    return document(ROUTES)


def operations(api: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": told for path, methods in api["paths"].items() for method, told in methods.items()
    }


def api_page() -> str:
    return (ROOT / "docs" / "api.md").read_text("utf-8")


class TestTheDescription:
    @pytest.mark.quick
    def test_it_has_every_route_of_the_api_and_no_other(self) -> None:
        found = list(described(ROUTES))
        assert [(method, pattern) for method, pattern, template in found if not template] == []
        assert sorted(f"{method} {template}" for method, _, template in found) == sorted(OPERATIONS)

    @pytest.mark.quick
    def test_its_schemas_are_schemas_and_its_references_lead_somewhere(self, api: dict[str, Any]) -> None:
        for name in api["components"]["schemas"]:
            validator(api, {"$ref": f"#/components/schemas/{name}"})
        for reference in re.findall(r'"\$ref": "#/components/schemas/(\w+)"', json.dumps(api)):
            assert reference in api["components"]["schemas"]
        ids = [told["operationId"] for told in operations(api).values()]
        assert len(ids) == len(set(ids))

    @pytest.mark.quick
    def test_every_refusal_of_the_table_is_somewhere_in_it(self, api: dict[str, Any]) -> None:
        told: set[int] = set()
        for each in operations(api).values():
            for status, answer in each["responses"].items():
                found = refusals_of(answer)
                assert {row.status for row in TABLE.values() if row.errcode in found} <= {int(status)}
                told |= found
        assert told == {row.errcode for row in [*TABLE.values(), UNEXPECTED]} - NOT_OF_THE_API

    @pytest.mark.quick
    def test_the_page_of_the_api_names_every_address_parameter_and_field(self, api: dict[str, Any]) -> None:
        text = api_page()
        names = {name for each in operations(api).values() for name in names_in(each)}
        names |= {name for schema in api["components"]["schemas"].values() for name in names_in(schema)}
        assert names >= {"encryptedData", "openid", "until", "reason"}
        assert sorted(name for name in names if not re.search(rf"\b{name}\b", text)) == []
        paths = [re.sub(r"{\w+}", "", path) for path in api["paths"]]
        assert [path for path in paths if path.split("//")[0] not in text] == []


def refusals_of(answer: dict[str, Any]) -> set[int]:
    """Return the errcodes of one status; of a success, none."""
    schema = answer.get("content", {}).get("application/json", {}).get("schema", {})
    first, *others = schema.get("allOf", [None])
    if first != {"$ref": "#/components/schemas/Refusal"}:
        return set()
    return {number for part in others for number in part["properties"]["errcode"]["enum"]}


def names_in(schema: Any) -> set[str]:
    """Return the names of all properties and query parameters in a piece of the document."""
    if isinstance(schema, list):
        return {name for each in schema for name in names_in(each)}
    if not isinstance(schema, dict):
        return set()
    own = set(schema.get("properties", ())) | ({schema["name"]} if schema.get("in") == "query" else set())
    return own | {name for each in schema.values() for name in names_in(each)}


def validator(api: dict[str, Any], schema: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator({"components": api["components"], **schema})


class TestTheServer:
    @pytest.mark.gen_test
    async def test_it_serves_the_description_to_anybody(self, embedded: Product, network: Network) -> None:
        answer = await network.ask("GET", f"{embedded.base}/openapi.json")
        assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json; charset=utf-8")
        assert answer.json == document(ROUTES)
        assert (await network.ask("HEAD", f"{embedded.base}/openapi.json")).body == b""

    @pytest.mark.gen_test(timeout=120)
    async def test_it_answers_made_up_requests_as_described(
        self, make_server: MakeServer, backend: Backend, phones: Callable[..., list[Phone]], tmp_path: Path
    ) -> None:
        unlimited = {"LOGIN_LIMIT": 0, "UNKNOWN_TOKEN_LIMIT": 0}
        product = make_server(FORWARD_AUTH=True, **unlimited, **backend.fresh())
        mei, lan = phones(2, at=product)
        await mei.login()
        other = (await lan.login()).json["user"]["id"]
        key = await add_key(product)
        config = tmp_path / "schemathesis.toml"
        config.write_text(
            f'[auth.openapi.token]\nbearer = "{mei.token}"\n[auth.openapi.service_key]\nbearer = "{key}"\n'
            f'[parameters]\n"path.user" = "{other}"\n"path.appid" = "{APPID}"\n'
        )
        told = await schemathesis(product, config)
        assert told.returncode == 0, told.stdout[-8000:]
        tested = re.search(r"Tested: +(\d+)", told.stdout)
        assert tested
        assert int(tested[1]) == len(OPERATIONS) - len(FATAL) - 1  # it reads the description, and does not test it
        assert (await mei.verify()).status == 200

    @pytest.mark.gen_test
    async def test_its_answers_have_the_fields_described_and_no_other(
        self, make_server: MakeServer, phones: Callable[..., list[Phone]], network: Network, api: dict[str, Any]
    ) -> None:
        product = make_server(FORWARD_AUTH=True)
        [mei] = phones(1, at=product)
        key = {"Authorization": f"Bearer {await add_key(product)}"}

        async def asked(operation: str, path: str = "", **given: Any) -> Answer:
            method, template = operation.split()
            answer = await mei.request(method, path or template, **given)
            check(api, operation, answer)
            return answer

        login = await asked("POST /api/login", json={"code": await mei.code()})
        mei.token, user = login.json["token"], login.json["user"]["id"]
        product.never_logged.add(mei.token)
        bearer = mei.bearer
        for path in ("/api/verify", "/api/me", "/api/me/export", "/api/me/sessions", "/auth"):
            await asked(f"GET {path}", headers=bearer)
        await asked("POST /api/verify", json={"token": mei.token})
        await asked("PUT /api/me", json={"nickname": "梅"}, headers=bearer)
        await asked("POST /api/me/sessions/revoke-others", headers=bearer)
        await asked("POST /api/me/sessions/{id}/revoke", f"/api/me/sessions/{'0' * 64}/revoke", headers=bearer)
        await asked("POST /api/signature", json={"rawData": "{}", "signature": "0" * 40}, headers=bearer)
        await asked("POST /api/session-key/check", headers=bearer)
        for path in ("/healthz", "/readyz"):
            await asked(f"GET {path}")
        await asked("POST /partner/introspect", json={"tokens": [mei.token, "none"]}, headers=key)
        await asked("POST /partner/introspect", json={"token": mei.token}, headers=key)
        await asked("GET /partner/users/{user}", f"/partner/users/{user}", headers=key)
        await asked("GET /partner/access-token", headers=key)
        await asked("POST /partner/users/{user}/revoke", f"/partner/users/{user}/revoke", json={}, headers=key)
        await asked("GET /api/verify", headers=bearer)
        await mei.login()
        await asked("DELETE /api/me", headers=mei.bearer)
        await asked("POST /api/logout", headers=mei.bearer)


def check(api: dict[str, Any], operation: str, answer: Answer) -> None:
    """Hold a whole answer against its description; a field that is not in it is an error."""
    told = operations(api)[operation]["responses"]
    assert str(answer.status) in told, f"{operation} answered {answer.status}: {answer.body[:300]!r}"
    described = told[str(answer.status)]
    for name, header in described["headers"].items():
        assert name in answer.headers or not header.get("required")
    if "content" not in described:
        assert answer.body == b""
        return
    schema = described["content"]["application/json"]["schema"]
    errors = list(validator(api, {"unevaluatedProperties": False} | schema).iter_errors(answer.json))
    assert errors == [], f"{operation}: {answer.body[:500]!r}"


async def add_key(product: Product) -> str:
    scopes = "introspect,users,revoke,block,relay,access-token"
    key = await done(product, "key", "add", "tests", "--scope", scopes, "--paths", "/wxa/")
    product.never_logged.add(key)
    return key


async def schemathesis(product: Product, config: Path) -> subprocess.CompletedProcess[str]:
    """Let it make up requests, good and bad ones, of every operation."""
    url = f"{product.base}/openapi.json"
    command = [sys.executable, "-m", "schemathesis.cli", f"--config-file={config}", "run", url]
    options = ["--phases=coverage,fuzzing", "-n", "10", "--seed=1", f"--exclude-checks={NOT_CHECKED}", "--no-color"]
    excluded = [f"--exclude-operation-id={name}" for name in FATAL]
    return await asyncio.to_thread(
        subprocess.run,
        [*command, *options, "--continue-on-failure", *excluded],
        cwd=config.parent,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
