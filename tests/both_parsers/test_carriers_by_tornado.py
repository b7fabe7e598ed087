"""All that tests/api/test_carriers.py asks, asked of a server whose requests Tornado's own parser reads."""

from test_carriers import *  # noqa: F403  # the tests themselves, with the servers of this folder
