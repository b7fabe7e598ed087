"""All that tests/api/test_doors.py asks, asked of a server whose requests Tornado's own parser reads."""

from test_doors import *  # noqa: F403  # the tests themselves, with the servers of this folder
