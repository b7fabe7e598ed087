"""The faults that are well-formed HTTP answers with the wrong thing inside."""

import zlib
from collections.abc import Callable, Mapping
from typing import Final

from msgspec.structs import replace

from wechat.simulator.answers import HTML_TYPE, SNS_TYPE, Reply, error, html_page, quoted_errcode
from wechat.simulator.faults import Fault
from wechat.simulator.state import World

SECOND_HOST: Final = "/_sim/second_host"
_BLANKS: Final = b" " * 1_000_000


def wrong_answer(world: World, fault: Fault, right: Reply | None) -> Reply:
    """Give the answer that `fault` puts in the place of the `right` one (None when the real path was not asked)."""
    if fault.kind in _EDITS:
        return _EDITS[fault.kind](fault, right or Reply(b"{}"))
    if fault.kind == "string_errcode":
        return quoted_errcode(world, fault.errcode or 0)
    if fault.kind.startswith("http_"):
        return html_page(fault.status, f"{fault.status} from the gateway")
    return error(world, fault.errcode or 0, fault.path)


def _html(_fault: Fault, _right: Reply) -> Reply:
    return html_page(200, "The page you asked for")


def _redirect(fault: Fault, _right: Reply) -> Reply:
    return replace(html_page(fault.status, "Found"), headers=(("Location", SECOND_HOST),))


def _answer(fault: Fault, _right: Reply) -> Reply:
    return Reply(fault.body.encode(), status=fault.status, content_type=fault.content_type or SNS_TYPE)


def _truncated(_fault: Fault, right: Reply) -> Reply:
    return replace(right, body=right.body[: len(right.body) // 2])


def _array(_fault: Fault, right: Reply) -> Reply:
    return replace(right, body=b"[" + right.body + b"]")


def _bad_utf8(_fault: Fault, right: Reply) -> Reply:
    # The bad byte stands in a field that nobody needs: whoever decodes leniently logs the person in.
    return replace(right, body=right.body[:-1] + b',"nickname":"\xff"}')


def _content_type(fault: Fault, right: Reply) -> Reply:
    return replace(right, content_type=fault.content_type or HTML_TYPE)


def _gzip_bomb(fault: Fault, right: Reply) -> Reply:
    """Pack the right answer and many blanks: unpacked without a limit, it is valid JSON and a good login."""
    packer = zlib.compressobj(level=1, wbits=16 + zlib.MAX_WBITS)
    pieces = [right.body, *(_BLANKS[:left] for left in range(fault.size_bytes, 0, -len(_BLANKS)))]
    body = b"".join(packer.compress(piece) for piece in pieces) + packer.flush()
    return replace(right, body=body, headers=(("Content-Encoding", "gzip"),))


_EDITS: Final[Mapping[str, Callable[[Fault, Reply], Reply]]] = {
    "latency": lambda _fault, right: right,
    "empty": lambda _fault, _right: Reply(b""),
    "html": _html,
    "no_openid": lambda _fault, _right: Reply(b"{}"),
    "redirect": _redirect,
    "answer": _answer,
    "truncated": _truncated,
    "array": _array,
    "bad_utf8": _bad_utf8,
    "content_type": _content_type,
    "gzip_bomb": _gzip_bomb,
}
