"""Run by the single file before the program: tells Python where tzdata is, which it asks where a machine has none."""

import sys
from pathlib import Path

sys.path.append(str(Path(sys.prefix) / "tzdata.zip"))  # the folder that the file has unpacked itself to
