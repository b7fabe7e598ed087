"""GET /openapi.json: the API in OpenAPI 3.1, made of the routes, the table of refusals and handlers/descriptions.py."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from handlers.base import ApiHandler, Handler, NotFound
from handlers.descriptions import JSON, OPERATIONS, SCHEMAS, Answer, Carrier, Operation, Schema, fields, named
from handlers.refusals import TABLE, UNEXPECTED, Refusal

Routes = Sequence[tuple[str, type[Handler]]]

# What every answer may be, and what goes with the way in which a caller shows who it is.
_ALWAYS = (421001, 500001)
_WITH_BODY = (400001, 413001, 415001)
_BY_CARRIER: dict[Carrier, tuple[int, ...]] = {
    "nobody": (),
    "phone": (400002, 400005, 401001, 401002, 429001, 503001),
    "phone if it has one": (400002, 400005, 429001, 503001),
    "proxy": (400002, 400005, 401001, 401002, 503001),  # and never 429, which a proxy would make the client's 500
    "back end": (400002, 400005, 401003, 403001, 429001, 503002),
}
_SECURITY: dict[Carrier, list[dict[str, list[str]]]] = {
    "nobody": [],
    "phone": [{"token": []}],
    "phone if it has one": [{"token": []}, {}],
    "proxy": [{"token": []}],
    "back end": [{"service_key": []}],
}

_GROUP = re.compile(r"\(([^)]*)\)")
_BRACES = re.compile(r"{(\w+)}")

_ROWS: dict[int, list[Refusal]] = {}
for _row in [*TABLE.values(), UNEXPECTED]:
    _ROWS.setdefault(_row.errcode, []).append(_row)

_ABOUT = (
    "Login and sessions for WeChat mini programs. Every refusal says in `retry` what to do next: `login` call wx.login "
    "again, at most once a minute; `backoff` keep the token and come back after Retry-After; `fix` the request is "
    "wrong; `never` it will not help. With API_STATUS=wechat a 4xx under /api is sent as 200, with the same body."
)


class OpenApi(ApiHandler):
    """GET /openapi.json"""

    def get(self) -> None:
        """The description; make_application says of which routes."""
        self.finish(self.application.settings["openapi"]())

    head = get


def described(routes: Routes) -> Iterator[tuple[str, str, str]]:
    """The method, the pattern and the template (/api/me/sessions/{id}/revoke) of all that the document describes.

    That is every JSON handler outside the dashboard; one that handlers/descriptions.py leaves out has no template.
    """
    templates = {(key.split()[0], _BRACES.sub("{}", key.split()[1])): key.split()[1] for key in OPERATIONS}
    for pattern, handler in routes:
        if issubclass(handler, ApiHandler) and handler is not NotFound and not pattern.startswith("/admin"):
            for method in handler.allowed().split(", "):
                if method not in ("HEAD", "OPTIONS"):
                    yield method, pattern, templates.get((method, _bare(pattern)), "")


def _bare(pattern: str) -> str:
    """A route's pattern without what its groups take: /api/me/sessions/{}/revoke."""
    return _GROUP.sub("{}", pattern).replace("\\", "")


def document(routes: Routes) -> dict[str, Any]:
    """The whole of it, in the words of OpenAPI 3.1."""
    paths: dict[str, Any] = {}
    for method, pattern, template in described(routes):
        if not template:
            continue  # a test says so; a server that does not start would help nobody
        paths.setdefault(template, {})[method.lower()] = _operation(method, pattern, template)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Menshen", "version": "1", "description": _ABOUT},
        "paths": paths,
        "components": {
            "schemas": SCHEMAS | {"Refusal": _refusal_schema()},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "what POST /api/login gave"},
                "service_key": {"type": "http", "scheme": "bearer", "description": "what `key add` gave"},
            },
        },
    }


def _refusal_schema() -> Schema:
    return fields(
        ("error", "field", "reason"),
        errcode={"type": "integer"},
        errmsg={"type": "string"},
        error={"type": "string"},
        field={"type": "string", "description": "the field of the body that is wrong"},
        reason={"enum": ["expired", "logged_out", "replaced", "revoked", "blocked"]},
        retry={"enum": ["login", "backoff", "fix", "never"]},
        request_id={"type": "string"},
    )


def _operation(method: str, pattern: str, template: str) -> dict[str, Any]:
    told = OPERATIONS[f"{method} {template}"]
    found: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{method.lower()}{template}").rstrip("_"),
        "summary": told.summary,
        "security": _SECURITY[told.carrier],
        "responses": {str(told.answer.status): _success(told), **_refusals(told)},
    }
    if parameters := [*_path_parameters(pattern, template), *_query_parameters(told)]:
        found["parameters"] = parameters
    if told.body:
        content = {kind: {"schema": schema} for kind, schema in told.body.items()}
        found["requestBody"] = {"required": told.body_required, "content": content}
    return found


def _path_parameters(pattern: str, template: str) -> Iterator[Schema]:
    for name, group in zip(_BRACES.findall(template), _GROUP.findall(pattern), strict=True):
        schema = {"type": "string", "pattern": f"^{group}$"}
        yield {"name": name, "in": "path", "required": True, "schema": schema}


def _query_parameters(told: Operation) -> Iterator[Schema]:
    for name, schema in told.query.items():
        yield {"name": name, "in": "query", "required": name in told.query_required, "schema": schema}


def _success(told: Operation) -> dict[str, Any]:
    answer = told.answer
    headers: dict[str, Any] = {"X-Request-Id": {"schema": {"type": "string"}}}
    headers |= {name: {"required": True, "schema": {"type": "string"}} for name in answer.headers}
    found: dict[str, Any] = {"description": told.summary, "headers": headers}
    content = {JSON: _enveloped(answer)} if answer.fields is not None else answer.bare
    if content:
        found["content"] = {kind: {"schema": schema} for kind, schema in content.items()}
    return found


def _enveloped(answer: Answer) -> Schema:
    envelope = fields(errcode={"const": 0}, errmsg={"const": "ok"}, request_id={"type": "string"})
    return {"allOf": [envelope, answer.fields]}


def _refusals(told: Operation) -> dict[str, Any]:
    """Each status that the operation may be refused with, and the errcodes that come with it."""
    numbers = {*_ALWAYS, *_BY_CARRIER[told.carrier], *(_WITH_BODY if told.body else ()), *told.refusals}
    by_status: dict[int, list[Refusal]] = {}
    for row in (row for number in sorted(numbers) for row in _ROWS[number]):
        by_status.setdefault(row.status, []).append(row)
    return {str(status): _refused(rows) for status, rows in sorted(by_status.items())}


def _refused(rows: list[Refusal]) -> dict[str, Any]:
    headers: dict[str, Any] = {"X-Request-Id": {"schema": {"type": "string"}}}
    if rows[0].status in (429, 503):
        headers["Retry-After"] = {"required": True, "schema": {"type": "integer"}, "description": "seconds"}
    if rows[0].status == 401:
        headers["WWW-Authenticate"] = {"required": True, "schema": {"type": "string"}}
    which = {"properties": {"errcode": {"enum": sorted({row.errcode for row in rows})}}}
    return {
        "description": "; ".join(dict.fromkeys(f"{row.errcode} {row.errmsg} (retry: {row.retry})" for row in rows)),
        "headers": headers,
        "content": {JSON: {"schema": {"allOf": [named("Refusal"), which]}}},
    }
