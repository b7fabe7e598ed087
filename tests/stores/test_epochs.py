"""The counters by which everybody's session ends, and when each was raised last."""

import pytest
from engines import APPID, OTHER_APPID, ad_hoc

from stores.db import Database
from stores.epochs import Epochs

pytest_plugins = ["store_fixtures"]


@pytest.mark.gen_test
async def test_a_counter_says_when_it_was_raised_last(database: Database) -> None:
    epochs = Epochs(database)
    await epochs.know([APPID, OTHER_APPID])
    assert await epochs.raise_for(APPID, 1_790_000_000) == 1
    assert await epochs.raise_for(APPID, 1_790_000_100) == 2
    assert await epochs.raise_for("wxnever", 1_790_000_200) == 1, "a mini program that was not known yet"
    rows = await database.read(ad_hoc("SELECT appid, counter, raised_at FROM epoch"))
    assert set(rows) == {(APPID, 2, 1_790_000_100), (OTHER_APPID, 0, None), ("wxnever", 1, 1_790_000_200)}
