"""Where a token may travel: in one place, once (RFC 6750 section 2), and never in a URL unless a dialect wants it so.

The dialects of COMPAT bring carriers of their own. They count wherever a phone shows its token, also on our own paths:
a client that was written for a tutorial keeps its way of sending it. An empty carrier of a dialect is none, because
wx.getStorageSync gives an empty text before the first login.
"""

from collections.abc import Collection, Iterator

from tornado.httputil import HTTPServerRequest

from actions.wafer import token_behind
from handlers.body import JsonObject
from handlers.refusals import BadRequest, NoToken, TokenInQuery, TwoCarriers

TUTORIALS, WAFER_1, WAFER_2 = "tutorials", "wafer1", "wafer2"

# nginx drops a header with an underscore unless it is told not to, so a proxy may have to send the other spelling.
_TUTORIAL_HEADERS = ("Token", "Sessionid", "3rd_session", "3rd-Session")


def token_of(request: HTTPServerRequest, body: JsonObject | None = None, compat: Collection[str] = ()) -> str:
    """The one token of the request; it may be malformed, which the look-up will say.

    `body` is given only where api.md lets a token stand in it, `compat` is the setting COMPAT.
    Raises NoToken, TwoCarriers, TokenInQuery, BadRequest.
    """
    header = bearer(request, compat)
    if body is None or "token" not in body:
        if header is None:
            raise NoToken
        return header
    if header is not None:
        raise TwoCarriers
    if not isinstance(body["token"], str):
        raise BadRequest("token")
    return body["token"]


def bearer(request: HTTPServerRequest, compat: Collection[str] = ()) -> str | None:
    """The token of the Authorization header, or of a dialect's carrier; None when there is none of ours."""
    values = request.headers.get_list("Authorization")
    of_dialects = list(_of_dialects(request, compat)) if compat else []
    in_url = _in_url(request, TUTORIALS in compat) if request.query_arguments else 0
    if len(values) + len(of_dialects) + in_url > 1:
        raise TwoCarriers
    if in_url:
        raise TokenInQuery
    if of_dialects:
        return of_dialects[0]
    return _authorized(values[0] if values else "", TUTORIALS in compat)


def _authorized(value: str, bare: bool) -> str | None:
    """The token of an Authorization header; `bare` also takes one without a scheme in front."""
    scheme, blank, token = value.partition(" ")
    if scheme.lower() != "bearer":
        return value if bare and value and not blank else None
    # Two tokens in one header are two carriers, whichever way a proxy joined them.
    if token.startswith(" ") or "," in token:
        raise TwoCarriers
    return token


def _of_dialects(request: HTTPServerRequest, compat: Collection[str]) -> Iterator[str]:
    """The token of every carrier that only a dialect has."""
    if TUTORIALS in compat:
        for name in _TUTORIAL_HEADERS:
            yield from filter(None, request.headers.get_list(name))
        for value in request.query_arguments.get("token", ()):
            yield from filter(None, [value.decode("utf-8", "replace")])
    if WAFER_1 in compat or WAFER_2 in compat:
        # A proxy joins equal headers with a comma, which no id and no skey holds: neither then fits anything.
        wire_id = ",".join(wafer_values(request, "X-WX-Id", compat))
        for skey in wafer_values(request, "X-WX-Skey", compat):
            yield token_behind(skey, wire_id)


def wafer_values(request: HTTPServerRequest, name: str, compat: Collection[str]) -> list[str]:
    """What a Wafer phone sends under this name, empty ones left out: in headers, and for Wafer 1 also in the URL.

    wafer-node-session takes each of its headers as a parameter of the URL too, in small and capital letters.
    """
    found = request.headers.get_list(name)
    if WAFER_1 in compat:
        for parameter, values in request.query_arguments.items():
            if parameter.lower() == name.lower():
                found += [value.decode("utf-8", "replace") for value in values]
    return [value for value in found if value]


def _in_url(request: HTTPServerRequest, parameter_allowed: bool) -> int:
    """How many: ours, and that of RFC 6750 section 2.3, in the spellings of languages that read arrays from a URL."""
    return sum(
        len(values)
        for name, values in request.query_arguments.items()
        if name.partition("[")[0].lower() in ("token", "access_token") and not (parameter_allowed and name == "token")
    )
