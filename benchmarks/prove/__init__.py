"""Measures the numeric goals of docs/security.md on real servers, and writes what it saw to docs/proof.md."""

import sys
from pathlib import Path

# The servers, phones and proxies of the tests serve here too.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
