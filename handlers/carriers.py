"""Where a token may travel: in one place, once (RFC 6750 section 2), and never in a URL."""

from tornado.httputil import HTTPServerRequest

from handlers.body import JsonObject
from handlers.refusals import BadRequest, NoToken, TokenInQuery, TwoCarriers


def token_of(request: HTTPServerRequest, body: JsonObject | None = None) -> str:
    """The one token of the request; it may be malformed, which the look-up will say.

    `body` is given only where api.md lets a token stand in it. Raises NoToken, TwoCarriers, TokenInQuery, BadRequest.
    """
    header = bearer(request)
    if body is None or "token" not in body:
        if header is None:
            raise NoToken
        return header
    if header is not None:
        raise TwoCarriers
    if not isinstance(body["token"], str):
        raise BadRequest("token")
    return body["token"]


def bearer(request: HTTPServerRequest) -> str | None:
    """The token of the Authorization header; None when there is none, or one of another scheme."""
    values = request.headers.get_list("Authorization")
    in_url = _in_url(request)
    if len(values) + in_url > 1:
        raise TwoCarriers
    if in_url:
        raise TokenInQuery
    scheme, _, token = (values[0] if values else "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    # Two tokens in one header are two carriers, whichever way a proxy joined them.
    if token.startswith(" ") or "," in token:
        raise TwoCarriers
    return token


def _in_url(request: HTTPServerRequest) -> int:
    """How many: ours, and that of RFC 6750 section 2.3, in the spellings of languages that read arrays from a URL."""
    return sum(
        len(values)
        for name, values in request.query_arguments.items()
        if name.partition("[")[0].lower() in ("token", "access_token")
    )
