"""Packages of npm for the tests, from a committed lock: fetched once for each state of it, and kept in .venv/node."""

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from children import DidNotStart
from product import ROOT
from servers import program


def installed(folder: Path) -> Path:
    """Return the node_modules of what `folder`/package-lock.json pins; raises DidNotStart when npm cannot get it."""
    lock = (folder / "package-lock.json").read_bytes()
    kept = ROOT / ".venv" / "node" / hashlib.sha256(lock).hexdigest()[:16]
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        _install(folder, kept)
    return kept / "node_modules"


def _install(folder: Path, kept: Path) -> None:
    """Install into a folder beside, and put it into its place when it is whole."""
    with tempfile.TemporaryDirectory(dir=kept.parent) as name:
        half = Path(name) / "half"
        half.mkdir()
        for each in ("package.json", "package-lock.json"):
            shutil.copy(folder / each, half)
        command = [str(program("npm")), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        done = subprocess.run(command, cwd=half, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode != 0:
            raise DidNotStart(f"npm could not install what {folder.name} needs:\n{done.stderr[-2000:]}")
        half.rename(kept)
