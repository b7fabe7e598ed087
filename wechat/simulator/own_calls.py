"""The paths by which a mini program looks after its own calls: its quotas cleared, a refused question looked up."""

import re
from typing import Any, Final

from wechat.simulator.answers import Reply, api_success
from wechat.simulator.asking import Question, Refused
from wechat.simulator.state import Answered, World, remember
from wechat.simulator.tokens import appid_of_token

RID_SECONDS: Final = 7 * 86_400
_RID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}")
_SECRET: Final = ("secret", "js_code")
_MOST_BODY: Final = 2_000


def clear_quota(world: World, question: Question) -> Reply:
    """Forget what was asked today, as POST /cgi-bin/clear_quota does ten times a month."""
    appid = appid_of_token(world, question)
    if question.fields().get("appid") != appid:
        raise Refused(40013)
    world.quotas.clear(appid, world.now())
    return api_success({})


def rid_get(world: World, question: Question) -> Reply:
    """Say what stands behind a request id of one's own, as POST /cgi-bin/openapi/rid/get does for seven days."""
    appid = appid_of_token(world, question)
    rid = question.fields().get("rid")
    if not isinstance(rid, str) or not _RID.fullmatch(rid):
        raise Refused(76002)
    found = world.answered.get(rid)
    if found is None:
        raise Refused(76001)
    if found.appid != appid:
        raise Refused(76003)
    if world.now() - found.at > RID_SECONDS:
        raise Refused(76004)
    if found.path.startswith("/sns/"):
        raise Refused(76022)
    return api_success({"request": _shown(found)})


def note_refused(world: World, question: Question, reply: Reply) -> None:
    """Remember a question that was refused, under the request id of its answer."""
    answer = reply.body.decode("utf-8", "replace") if reply.errcode else ""
    found = _RID.search(answer)
    if found is None:
        return
    token = question.one("access_token")
    known = world.issued.get(token)
    appid = known.appid if known else question.one("appid")
    # A body of the stable token's path holds the secret, and nobody needs to read that again.
    body = "" if b"secret" in question.body else question.body[:_MOST_BODY].decode("utf-8", "replace")
    query = "&".join(f"{name}={_masked(name, question.one(name))}" for name in question.query)
    row = Answered(appid, question.path, world.now(), query, body, answer, question.address)
    remember(world.answered, found[0], row)


def _masked(name: str, value: str) -> str:
    if name in _SECRET:
        return "xxxx"
    return f"{value[:5]}xxxx" if name == "access_token" else value


def _shown(row: Answered) -> dict[str, Any]:
    return {
        "invoke_time": row.at,
        "cost_in_ms": 30,
        "request_url": row.query,
        "request_body": row.body,
        "response_body": row.answer,
        "client_ip": row.address,
    }
