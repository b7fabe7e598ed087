"""WeChat's check of what people write and show: a text is judged at once, a picture later, by an event."""

from typing import Any, Final

from wechat.simulator.answers import Reply, api_success
from wechat.simulator.asking import Question, Refused
from wechat.simulator.state import MediaCheck, World, remember
from wechat.simulator.tokens import appid_of_token

RISKY_TEXT: Final = "特3456书yuuo莞6543李zxcz蒜7782法fgnv级"  # with which WeChat's page shows a text that is refused
VISIT_SECONDS: Final = 7_200
LABELS: Final = {"pass": 100, "review": 20002, "risky": 20002}
_MOST_TEXT: Final = 2_500
_SCENES: Final = (1, 2, 3, 4)  # a profile, a comment, a forum, a diary
_MEDIA: Final = (1, 2)  # a sound, a picture


def msg_sec_check(world: World, question: Question) -> Reply:
    """Judge a text as POST /wxa/msg_sec_check does: WeChat's own example of a bad one is risky, all others pass.

    Without `version` it is the old kind of question, which needs no person and says no with 87014.
    """
    appid, fields = _asked(world, question)
    content = fields.get("content")
    if not isinstance(content, str) or not 0 < len(content) <= _MOST_TEXT:
        raise Refused(47001)
    suggest = "risky" if RISKY_TEXT in content else "pass"
    if fields.get("version") != 2:
        if suggest == "risky":
            raise Refused(87014)
        return api_success({})
    _check_visitor(world, appid, fields)
    return api_success({**verdict(suggest), "trace_id": world.request_id()})


def media_check_async(world: World, question: Question) -> Reply:
    """Take in a picture or a sound as POST /wxa/media_check_async does; POST /_sim/media_result pushes the verdict."""
    appid, fields = _asked(world, question)
    url = fields.get("media_url")
    if not isinstance(url, str) or not url or fields.get("version") != 2:
        raise Refused(47001)
    if fields.get("media_type") not in _MEDIA:
        raise Refused(40004)
    _check_visitor(world, appid, fields)
    check = MediaCheck(world.request_id(), appid, url)
    remember(world.media_checks, check.trace_id, check)
    return api_success({"trace_id": check.trace_id})


def verdict(suggest: str) -> dict[str, Any]:
    """Give what both kinds say of `suggest` (pass, review, risky): as a whole, and in detail."""
    found = {"suggest": suggest, "label": LABELS[suggest]}
    return {"result": found, "detail": [{"strategy": "content_model", "errcode": 0, **found, "prob": 90}]}


def _asked(world: World, question: Question) -> tuple[str, dict[str, Any]]:
    if question.method != "POST":
        raise Refused(43002)
    return appid_of_token(world, question), question.fields()


def _check_visitor(world: World, appid: str, fields: dict[str, Any]) -> None:
    """Let nobody be asked about who has not been in the mini program for two hours. Raises Refused."""
    if fields.get("scene") not in _SCENES:
        raise Refused(40129)
    person = world.of_openid(str(fields.get("openid")))
    if person is None:
        raise Refused(40003)
    if person.appid != appid:
        raise Refused(43104)
    if world.now() - person.seen_at > VISIT_SECONDS:
        raise Refused(61010)
