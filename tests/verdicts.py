"""What an answer of the JSON API must look like, whoever gave it: success, or one row of the table of refusals.

The table is written down here a second time on purpose: it is the promise, and the product's own is what is tested.
"""

import re
from dataclasses import dataclass
from typing import Any

from phone import Answer

from stores.sessions import session_id

API_HEADERS = {
    "Content-Type": "application/json; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,64}")
TOKEN = re.compile(r"mps_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True)
class Row:
    """One promised refusal."""

    status: int
    error: str | None
    retry: str


ROWS = {
    40029: Row(400, "invalid_grant", "login"),
    40163: Row(400, "invalid_grant", "login"),
    40226: Row(403, "access_denied", "never"),
    400001: Row(400, "invalid_request", "fix"),
    400002: Row(400, "invalid_request", "fix"),
    400003: Row(400, "invalid_request", "fix"),
    400004: Row(400, "invalid_request", "fix"),
    400006: Row(400, "invalid_request", "fix"),
    400005: Row(400, "invalid_request", "fix"),
    400007: Row(400, "invalid_request", "fix"),
    400008: Row(400, "invalid_request", "login"),
    401001: Row(401, None, "login"),
    401002: Row(401, "invalid_token", "login"),
    403003: Row(403, "access_denied", "never"),
    403004: Row(403, "access_denied", "never"),
    403005: Row(403, "access_denied", "never"),
    403009: Row(403, "access_denied", "fix"),
    404001: Row(404, "not_found", "fix"),
    405001: Row(405, "invalid_request", "fix"),
    413001: Row(413, "invalid_request", "fix"),
    415001: Row(415, "invalid_request", "fix"),
    421001: Row(421, "misdirected", "fix"),
    429001: Row(429, "slow_down", "backoff"),
    502001: Row(502, "upstream_config", "backoff"),
    502002: Row(502, "upstream_invalid", "login"),
    503001: Row(503, "temporarily_unavailable", "backoff"),
    503002: Row(503, "temporarily_unavailable", "backoff"),
    503003: Row(503, "temporarily_unavailable", "backoff"),
    504001: Row(504, "upstream_timeout", "login"),
}


def succeeded(answer: Answer) -> Any:
    """Return the body of a success, without what every success has; raises AssertionError for anything else."""
    assert answer.status == 200, f"{answer.status} {answer.body[:300]!r}"
    body = _checked_envelope(answer)
    assert (body.pop("errcode"), body.pop("errmsg")) == (0, "ok")
    assert "WWW-Authenticate" not in answer.headers
    body.pop("request_id")
    return body


def refused(answer: Answer, errcode: int, *, sent_as: int | None = None, **more: object) -> None:
    """Check a refusal whole: status (``sent_as`` under API_STATUS=wechat), words, headers and not one field besides."""
    row = ROWS[errcode]
    body = _checked_envelope(answer)
    assert (answer.status, body["errcode"]) == (sent_as or row.status, errcode), answer.body
    told = {name: value for name, value in body.items() if name not in {"errcode", "errmsg", "request_id"}}
    assert told == {**({"error": row.error} if row.error else {}), "retry": row.retry, **more}
    assert isinstance(body["errmsg"], str)
    assert body["errmsg"] not in {"", "ok"}
    _check_headers_of(row, answer)


def _checked_envelope(answer: Answer) -> dict[str, Any]:
    body = answer.json
    assert isinstance(body, dict)
    for name, value in API_HEADERS.items():
        assert answer.headers.getall(name, []) == [value], name
    assert body["request_id"] == answer.headers["X-Request-Id"]
    assert REQUEST_ID.fullmatch(body["request_id"])
    assert "Server" not in answer.headers
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert "Set-Cookie" not in answer.headers
    return dict(body)


def _check_headers_of(row: Row, answer: Answer) -> None:
    if row.status in {429, 503}:
        assert re.fullmatch("[1-9][0-9]*", answer.headers["Retry-After"])
    else:
        assert "Retry-After" not in answer.headers
    if row.status == 401:
        expected = f'Bearer error="{row.error}"' if row.error else "Bearer"
        assert answer.headers.getall("WWW-Authenticate") == [expected]
    else:
        assert "WWW-Authenticate" not in answer.headers
    assert ("Allow" in answer.headers) == (row.status == 405)


def without_request_id(answer: Answer) -> tuple[int, bytes, list[tuple[str, str]]]:
    """Return all that an attacker can compare of two answers: status, body and headers, but for the id and the time."""
    request_id = answer.headers["X-Request-Id"].encode()
    headers = [pair for pair in answer.headers.items() if pair[0].lower() not in {"x-request-id", "date"}]
    return answer.status, answer.body.replace(request_id, b"*"), headers


def id_of(token: str) -> str:
    """Return the public id of a token's session: 64 hex digits."""
    found = session_id(token)
    assert found is not None
    return found.hex()
