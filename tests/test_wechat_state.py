"""What the dashboard is told of one mini program's talk with WeChat: latencies, and when a refusal is over."""

import pytest

from wechat.answers import Identity, SessionKey
from wechat.errors import (
    CodeRefused,
    WeChatBusy,
    WeChatMisconfigured,
    WeChatSilent,
    WeChatTrouble,
    WeChatUnreachable,
)
from wechat.state import LATEST_ANSWERS, Ledger, was_sent

pytestmark = pytest.mark.quick

SOMEBODY = Identity("oMei", None, SessionKey(bytes(16)))


def test_before_the_first_answer_there_is_no_latency() -> None:
    state = Ledger(lambda: 0.0).state(breaker_open=False)
    assert (state.p50_ms, state.p95_ms) == (None, None)


@pytest.mark.parametrize(
    ("milliseconds", "p50", "p95"),
    [([7], 7, 7), ([1, 2], 1, 2), (list(range(1, 101)), 50, 95), ([5] * 99 + [4_000], 5, 5), ([9, 1, 5], 5, 9)],
)
def test_the_percentiles_are_those_of_the_nearest_rank(milliseconds: list[int], p50: int, p95: int) -> None:
    ledger = Ledger(lambda: 0.0)
    for each in milliseconds:
        ledger.note(SOMEBODY, each / 1000)
    state = ledger.state(breaker_open=False)
    assert (state.p50_ms, state.p95_ms) == (p50, p95)


def test_old_answers_are_forgotten() -> None:
    ledger = Ledger(lambda: 0.0)
    ledger.note(SOMEBODY, 9.0)
    for _ in range(LATEST_ANSWERS):
        ledger.note(CodeRefused(40029), 0.020)
    assert ledger.state(breaker_open=False).p95_ms == 20
    assert len(ledger.latest) == LATEST_ANSWERS


@pytest.mark.parametrize(
    ("outcome", "sent"),
    [
        (SOMEBODY, True),
        (CodeRefused(40029), True),
        (WeChatSilent(), True),
        (WeChatBusy(60, 45011, why="", code_spent=False), True),
        (WeChatBusy(60, why="the breaker", code_spent=False), False),
        (WeChatUnreachable("no name"), False),
        (WeChatMisconfigured(None, why="TLS"), False),
    ],
    ids=repr,
)
def test_what_was_never_sent_says_nothing_about_wechat(outcome: Identity | WeChatTrouble, sent: bool) -> None:
    ledger = Ledger(lambda: 0.0)
    ledger.note(outcome, 1.0)
    assert was_sent(outcome) is sent
    assert (ledger.state(breaker_open=False).p50_ms is not None) is sent


def test_a_refusal_of_our_configuration_is_over_with_the_next_login() -> None:
    at = 100.0
    ledger = Ledger(lambda: at)
    ledger.note(SOMEBODY, 0.1)
    at = 101.0
    ledger.note(WeChatMisconfigured(40164, egress="1.2.3.4"), 0.1)
    refused = ledger.state(breaker_open=False).refused
    assert refused is not None
    assert (refused.errcode, refused.egress, refused.at) == (40164, "1.2.3.4", 101)
    at = 102.0
    ledger.note(SOMEBODY, 0.1)
    assert ledger.state(breaker_open=False).refused is None
    assert ledger.state(breaker_open=False).misconfiguration == refused
