"""`make bench`: Menshen beside what people would build instead, on the same stores, measured in one run."""

import sys
from pathlib import Path

# The servers, phones and operators of the tests serve here too.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
