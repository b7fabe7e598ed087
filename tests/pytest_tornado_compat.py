"""Makes pytest-tornado 0.8.1 start with today's setuptools, and gives its tests a minute each.

Loaded by ``-p`` before the plugins' entry points: pytest-tornado imports pkg_resources, which setuptools 82 removed,
for nothing but comparing two versions; and it reads the default time limit of a test when it is loaded.
"""

import os
import sys
import types
from importlib import import_module

os.environ.setdefault("ASYNC_TEST_TIMEOUT", "60")

try:
    import_module("pkg_resources")
except ImportError:
    from packaging.version import parse

    stand_in = types.ModuleType("pkg_resources")
    stand_in.parse_version = parse  # type: ignore[attr-defined]  # a module made by hand has what we give it
    sys.modules["pkg_resources"] = stand_in
