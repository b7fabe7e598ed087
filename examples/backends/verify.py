"""Who sent this request? Ask Menshen, which knows at once when a token was taken back. No package is needed."""

import http.client
import json
import os
from typing import Any
from urllib.parse import urlencode

MENSHEN = os.environ.get("MENSHEN", "127.0.0.1:8000")  # host and port; beyond this machine take HTTPSConnection


def verify(authorization: str) -> tuple[int, Any]:
    """The phone's own header in; (200, {"user_id", "appid"}) out, or what to answer the phone, status and body."""
    return _ask("GET", "/api/verify", authorization)


def introspect(token: str, service_key: str) -> tuple[int, Any]:
    """The same with a service key, and with the openid: (200, {"active": True, "sub", "openid", …})."""
    return _ask("POST", "/partner/introspect", f"Bearer {service_key}", urlencode({"token": token}))


def _ask(method: str, path: str, authorization: str, form: str | None = None) -> tuple[int, Any]:
    headers = {"Authorization": authorization}
    if form is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    try:
        connection = http.client.HTTPConnection(MENSHEN, timeout=5)
        connection.request(method, path, form, headers)
        answer = connection.getresponse()
        return _judged(answer.status, json.load(answer))
    except (OSError, ValueError, http.client.HTTPException):
        return 503, {"retry": "backoff"}  # never 401: then every phone would log in again at once


def _judged(status: int, body: Any) -> tuple[int, Any]:
    """With the setting API_STATUS=wechat a refusal comes as 200: its errcode begins with the real status."""
    errcode = body.get("errcode") if isinstance(body, dict) else 0
    return (errcode // 1000 if errcode else status), body
