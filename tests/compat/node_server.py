"""A server of somebody else in Node, with a package of Tencent's as it was published."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from children import Child
from servers import program

HERE = Path(__file__).resolve().parent


class NodeServer(Child):
    """`node SCRIPT`, which prints `server on port N` when it listens."""

    def __init__(self, folder: Path, sdks: Path, script: str, **environment: str) -> None:
        super().__init__(folder)
        self._script = script
        self._environment = {"PATH": os.environ["PATH"], "NODE_PATH": str(sdks), **environment}

    def command(self) -> Sequence[str]:
        """Return the command line."""
        return [str(program("node")), str(HERE / self._script)]

    def environment(self) -> Mapping[str, str]:
        """Return the whole environment of the process."""
        return self._environment

    def ready(self) -> bool:
        """Say whether it listens by now."""
        return self._port() is not None

    def _port(self) -> re.Match[str] | None:
        return re.search(r"server on port (\d+)", self.log_since_start())

    @property
    def base(self) -> str:
        """The base URL."""
        found = self._port()
        assert found, "not started"
        return f"http://127.0.0.1:{found[1]}"
