"""How long a session lives, by each rule that a server may have."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actions.lifetime import NOTE_SECONDS, Lifetime
from stores.sessions import Session

pytestmark = pytest.mark.quick

DAY = 86_400
BORN = 1_000_000
many = settings(max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])


def lives(*, seconds: int = 7 * DAY, sliding: bool = False, longest: int = 30 * DAY, idle: int = 0) -> Lifetime:
    return Lifetime(seconds, sliding, longest, idle)


def test_by_default_it_ends_seven_days_after_the_login_whatever_is_done_with_it() -> None:
    rules = lives()
    assert rules.ends_at(BORN) == BORN + 7 * DAY
    assert rules.expires_at(rules.ends_at(BORN), BORN + 6 * DAY) == BORN + 7 * DAY
    assert not rules.moves


def test_a_sliding_one_lives_on_with_use_up_to_the_longest_life() -> None:
    rules = lives(sliding=True)
    end = rules.ends_at(BORN)
    assert rules.moves
    assert end == BORN + 30 * DAY
    assert rules.expires_at(end, BORN) == BORN + 7 * DAY
    assert rules.expires_at(end, BORN + 6 * DAY) == BORN + 13 * DAY
    assert rules.expires_at(end, BORN + 29 * DAY) == end


def test_a_longest_life_below_the_usual_one_does_not_shorten_it() -> None:
    assert lives(sliding=True, longest=DAY).ends_at(BORN) == BORN + 7 * DAY


def test_an_idle_one_expires_and_a_minute_is_given_for_use_that_was_not_noted() -> None:
    rules = lives(idle=3_600)
    end = rules.ends_at(BORN)
    assert rules.moves
    assert rules.expires_at(end, BORN) == BORN + 3_600 + NOTE_SECONDS
    assert rules.expires_at(end, end - 10) == end


def test_sliding_and_idle_together_take_the_earlier_end() -> None:
    rules = lives(sliding=True, idle=3_600)
    assert rules.expires_at(rules.ends_at(BORN), BORN) == BORN + 3_600 + NOTE_SECONDS


def test_a_phone_is_told_the_seconds_it_has_left() -> None:
    mine = Session(b"i" * 32, 1, "wx1", 0, BORN, BORN + 7 * DAY, BORN + 7 * DAY, b"")
    assert lives().left(mine, BORN + DAY) == 6 * DAY
    assert lives(idle=3_600).left(mine, BORN + DAY) == 3_600 + NOTE_SECONDS


@many
@given(
    seconds=st.integers(1, 100 * DAY),
    sliding=st.booleans(),
    longest=st.integers(1, 100 * DAY),
    idle=st.integers(0, 100 * DAY),
    uses=st.lists(st.integers(0, 50 * DAY), max_size=10),
)
def test_use_never_shortens_a_life_and_never_outlives_its_end(
    seconds: int, sliding: bool, longest: int, idle: int, uses: list[int]
) -> None:
    rules = Lifetime(seconds, sliding, longest, idle)
    end = rules.ends_at(BORN)
    expiries = [rules.expires_at(end, BORN + after) for after in sorted([0, *uses])]
    assert expiries == sorted(expiries)
    assert expiries[-1] <= end
    assert expiries[0] > BORN
    if not rules.moves:
        assert set(expiries) == {end}
