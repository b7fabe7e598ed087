"""What is brought back on a Redis Cluster, and what must not be: the sentences of every engine."""

import pytest
import test_sessions_undo_races
from engines import House
from test_sessions_undo import TestBringingBack, TestStayingGone
from test_sessions_undo_races import TestRaces, TestTheWorstMoment

pytest_plugins = ["store_fixtures"]
__all__ = ["TestBringingBack", "TestRaces", "TestStayingGone", "TestTheWorstMoment"]


@pytest.fixture
def house(cluster_house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """Stands before the fixture of all engines; "everybody out" writes 256 buckets, so there are fewer rounds."""
    monkeypatch.setattr(test_sessions_undo_races, "ROUNDS", 8)
    return cluster_house
