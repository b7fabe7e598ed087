"""What happens at the same time on a Redis Cluster: the sentences of every engine."""

import pytest
import test_sessions_races
from engines import House
from test_sessions_races import TestBlocks, TestEnding, TestEpochs, TestOpening

pytest_plugins = ["store_fixtures"]
__all__ = ["TestBlocks", "TestEnding", "TestEpochs", "TestOpening"]


@pytest.fixture
def house(cluster_house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """Stands before the fixture of all engines; "everybody out" writes 256 buckets, so there are fewer rounds."""
    monkeypatch.setattr(test_sessions_races, "ROUNDS", 8)
    return cluster_house
