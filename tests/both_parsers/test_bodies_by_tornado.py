"""All that tests/api/test_bodies.py asks, asked of a server whose requests Tornado's own parser reads."""

from test_bodies import *  # noqa: F403  # the tests themselves, with the servers of this folder
