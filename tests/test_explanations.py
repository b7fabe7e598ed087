"""Every number that a login can end with is explained to operators, in both languages, and the two tables agree."""

import json

import pytest

from actions import CodeSpent, TooManyLogins
from actions.outcomes import errcode_of
from handlers.pages import TEMPLATES
from handlers.refusals import TABLE, UNEXPECTED, refusal
from stores.errors import SessionsAway, StoreFull, UsersAway
from stores.sessions import TooManySessions
from stores.users import SignupClosed, UserBlocked
from wechat.answers import BUSY, DAILY_QUOTA, MINUTE_QUOTA, MISCONFIGURED
from wechat.errors import (
    CodeRefused,
    CodeUsed,
    UserHighRisk,
    WeChatBusy,
    WeChatMisconfigured,
    WeChatSilent,
    WeChatUnreachable,
    WeChatUnusable,
)

pytestmark = pytest.mark.quick

OF_WECHAT = MISCONFIGURED | {BUSY, DAILY_QUOTA, MINUTE_QUOTA, 40029, 41008, 40163, 40226}
OF_OURS = {row.errcode for row in [*TABLE.values(), UNEXPECTED]}


def explained(language: str) -> dict[str, dict[str, str]]:
    table = json.loads((TEMPLATES / "words" / f"errcodes.{language}.json").read_text("utf-8"))
    found: dict[str, dict[str, str]] = table["errcodes"]
    return found


@pytest.mark.parametrize("language", ["en", "zh_CN"])
def test_every_number_has_a_title_a_meaning_and_advice(language: str) -> None:
    told = explained(language)
    assert {str(errcode) for errcode in OF_WECHAT | OF_OURS} | {"unknown"} <= set(told)
    for errcode, words in told.items():
        assert list(words) == ["title", "meaning", "advice"], errcode
        assert all(word.strip() and "{" not in word for word in words.values()), errcode
    assert len({words["title"] for words in told.values()}) == len(told)


def test_both_languages_explain_the_same_numbers_in_the_same_order() -> None:
    assert list(explained("en")) == list(explained("zh_CN"))
    chinese = json.dumps(explained("zh_CN"), ensure_ascii=False)
    assert all(words["title"] not in chinese for words in explained("en").values())


@pytest.mark.parametrize(
    ("refused", "errcode"),
    [
        (WeChatMisconfigured(40125), 40125),
        (WeChatMisconfigured(None, why="TLS"), 502001),
        (WeChatBusy(60, 45011, why="", code_spent=False), 45011),
        (WeChatBusy(60, why="the breaker", code_spent=False), 503003),
        (WeChatUnusable("an unknown errcode", 87009), 87009),
        (WeChatUnusable("an unknown errcode", 10**30), 502002),
        (WeChatUnusable("not JSON"), 502002),
        (ValueError("a defect"), 500001),
    ],
)
def test_operators_see_wechats_number_where_it_gave_one(refused: Exception, errcode: int) -> None:
    assert errcode_of(refused) == errcode


@pytest.mark.parametrize(
    "refused",
    [
        CodeRefused(40029),
        CodeUsed(40163),
        UserHighRisk(40226),
        WeChatUnreachable("no name"),
        WeChatSilent(),
        TooManyLogins(3),
        TooManySessions(),
        SignupClosed(),
        UserBlocked(),
        SessionsAway(),
        UsersAway(),
        StoreFull(),
        CodeSpent(UsersAway()),
        CodeSpent(SessionsAway()),
        CodeSpent(StoreFull()),
    ],
    ids=repr,
)
def test_everywhere_else_it_is_the_number_that_the_phone_is_told(refused: Exception) -> None:
    row = refusal(refused)
    assert row is not None
    assert errcode_of(refused) == row.errcode
