"""`make audit` judges our packages from outside: the auditor and what it needs are in an environment of their own."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from product import ROOT
from supply import packages

# It answers as the real one does, of every package in the lock that it is given.
AUDITOR = """
import json, re, sys
lock = open(sys.argv[sys.argv.index("--requirement") + 1]).read()
names = re.findall("^([A-Za-z0-9._-]+)==", lock, re.MULTILINE)
print(json.dumps({"dependencies": [{"name": name, "vulns": []} for name in names]}))
"""


def wheel_of(auditor: str, folder: Path) -> None:
    """A package pip_audit that pip can install, though no index is asked."""
    about = "pip_audit-99.0.dist-info"
    with zipfile.ZipFile(folder / "pip_audit-99.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("pip_audit/__init__.py", "")
        wheel.writestr("pip_audit/__main__.py", auditor)
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: pip-audit\nVersion: 99.0\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")


@pytest.fixture
def workshop(tmp_path: Path) -> Path:
    """The project with an environment of its own, which sees our packages and holds none."""
    for name in ("tests", *(path.name for path in ROOT.glob("*.py"))):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "audit", tmp_path / ".ci")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / ".venv")], check=True)
    (own(tmp_path, ".venv") / "ours.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return tmp_path


def own(workshop: Path, environment: str) -> Path:
    """Where an environment keeps its packages."""
    [found] = (workshop / environment).glob("lib/python3*/site-packages")
    return found


def test_the_auditor_never_comes_into_the_environment_that_it_judges(workshop: Path) -> None:
    wheel_of(AUDITOR, workshop)
    before = sorted(os.listdir(own(workshop, ".venv")))
    audit = subprocess.run(
        [workshop / ".ci" / "audit"],
        env={**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(workshop)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert audit.returncode == 0, audit.stdout + audit.stderr
    looked_at = len({each.name for each in packages()})
    assert f"requirements.lock: looked at {looked_at} packages: nothing is known against them" in audit.stdout
    assert "pip_audit" in os.listdir(own(workshop, ".venv/auditor"))
    assert sorted(os.listdir(own(workshop, ".venv"))) == before == ["ours.pth"]
