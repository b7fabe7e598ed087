"""What Menshen is made of: the bill of materials, the page of licences, and whether anything in it is known to be bad.

`python tests/supply.py bill|licences|audit`; the Makefile has a door to each.
"""

import argparse
import json
import platform
import re
import sqlite3
import ssl
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from settings import VERSION

ROOT = Path(__file__).resolve().parent.parent
LOCK, LOCK_OF_TESTS = ROOT / "requirements.lock", ROOT / "requirements-dev.lock"
PAGE = ROOT / "docs/licences.md"
_ENTRY = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)([^\n]*(?:\n    [^\n]*)*)", re.MULTILINE)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
# What no lock names and the single file nevertheless brings along, of the Python that builds it.
BUILT_IN = {
    "cpython": platform.python_version(),
    "openssl": ssl.OPENSSL_VERSION.split()[1],
    "sqlite": sqlite3.sqlite_version,
    "glibc": platform.libc_ver()[1],
}
COULD_NOT_LOOK, FOUND_SOMETHING = 2, 1


@dataclass(frozen=True)
class Package:
    """One entry of a lock."""

    name: str
    version: str
    hashes: tuple[str, ...]
    older_pythons_alone: bool = False


def packages(lock: Path = LOCK) -> list[Package]:
    """Return every package of a lock."""
    found = _ENTRY.findall(lock.read_text("ascii"))
    return [
        Package(name, version, tuple(_HASH.findall(rest)), "python_full_version <" in rest)
        for name, version, rest in found
    ]


def bill(lock: Path = LOCK, binary: Path | None = None) -> dict[str, Any]:
    """Return the bill of materials in CycloneDX 1.5. It says nothing of when and where, so that it can be compared.

    With the single file it also holds that file's checksum, and what of this machine was built into it.
    """
    component = {"type": "application", "name": "menshen", "version": VERSION, "bom-ref": "menshen"}
    hashes = [{"alg": "SHA-256", "content": sha256(binary.read_bytes()).hexdigest()}] if binary else []
    built_in = [{"type": "library", "bom-ref": name, "name": name, "version": v} for name, v in BUILT_IN.items()]
    components = [*map(_component, packages(lock)), *(built_in if binary else [])]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {**component, **({"hashes": hashes} if hashes else {})}},
        "components": components,
        "dependencies": [{"ref": "menshen", "dependsOn": [each["bom-ref"] for each in components]}],
    }


def _component(package: Package) -> dict[str, Any]:
    licence = licence_of(package.name)
    return {
        "type": "library",
        "bom-ref": _purl(package),
        "name": package.name,
        "version": package.version,
        "purl": _purl(package),
        **({"licenses": [{"license": {"name": licence}}]} if licence else {}),
        "externalReferences": [
            {"type": "distribution", "url": _purl(package), "hashes": [{"alg": "SHA-256", "content": each}]}
            for each in package.hashes
        ],
    }


def _purl(package: Package) -> str:
    return f"pkg:pypi/{package.name.lower()}@{package.version}"


def licence_of(name: str) -> str | None:
    """Return the licence as the installed package itself states it; None where it is not installed."""
    try:
        stated = distribution(name).metadata
    except PackageNotFoundError:
        return None
    if "License-Expression" in stated:
        return stated["License-Expression"]
    classified = [each.rpartition(" :: ")[2] for each in stated.get_all("Classifier", []) if "License ::" in each]
    if classified:
        return ", ".join(classified)
    return stated["License"].strip().splitlines()[0] if "License" in stated else "not stated"


def licences_page() -> str:
    """Return docs/licences.md."""
    here = [each for each in packages() if not each.older_pythons_alone]
    rows = [f"| {each.name} | {licence_of(each.name)} |" for each in here]
    return "\n".join([_HEAD, *rows, ""])


_HEAD = """# Licences

Menshen is under the [MIT licence](../LICENSE). It runs on these packages, each under its own licence as the package
states it. `make licences` writes this page from what is installed, and a test keeps it true. Versions and
hashes are in `make bill`.

| package | licence |
|---|---|"""


def verdict(report: str, expected: Iterable[Package]) -> tuple[int, str]:
    """Judge what pip-audit printed as JSON: 0 only when it looked at every package and found nothing."""
    try:
        looked: list[Mapping[str, Any]] = json.loads(report)["dependencies"]
        seen = {each["name"].lower(): each for each in looked}
        bad = [f"{name}: {each['id']}" for name, found in seen.items() for each in found.get("vulns", [])]
        passed_over = sorted(name for name, found in seen.items() if "vulns" not in found)
    except (ValueError, KeyError, TypeError, AttributeError):
        return COULD_NOT_LOOK, "could not look: the audit gave no report"
    if bad:
        return FOUND_SOMETHING, "known to be vulnerable: " + ", ".join(sorted(bad))
    unseen = sorted({each.name.lower() for each in expected} - set(seen))
    if unseen or passed_over:
        return COULD_NOT_LOOK, "could not look at " + ", ".join(sorted({*unseen, *passed_over}))
    return 0, f"looked at {len(seen)} packages: nothing is known against them"


def audit(command: list[str], lock: Path) -> tuple[int, str]:
    """Run pip-audit over a lock and judge what it says."""
    words = [*command, "--requirement", str(lock), "--disable-pip", "--require-hashes", "--format", "json"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return COULD_NOT_LOOK, "could not look: pip-audit did not run"
    # Entries for other Pythons are not looked at, and are none of ours here.
    here = [each for each in packages(lock) if licence_of(each.name)]
    return verdict(done.stdout, here)


def main(words: list[str]) -> int:
    """Do one of the three."""
    parser = argparse.ArgumentParser()
    parser.add_argument("deed", choices=["bill", "licences", "audit"])
    parser.add_argument("--offline", action="store_true", help="audit: do not look, and say so")
    parser.add_argument("--with", dest="command", default=f"{sys.executable} -m pip_audit", help="audit: the program")
    parser.add_argument("--of", type=Path, metavar="FILE", help="bill: of the single file, with what is built into it")
    options = parser.parse_args(words)
    if options.deed == "bill":
        sys.stdout.write(json.dumps(bill(binary=options.of), indent=1) + "\n")
    elif options.deed == "licences":
        PAGE.write_text(licences_page(), "utf-8")
    elif options.offline:
        sys.stdout.write("did not look, as asked\n")
    else:
        judged = [(lock.name, *audit(options.command.split(), lock)) for lock in (LOCK, LOCK_OF_TESTS)]
        sys.stdout.write("".join(f"{name}: {sentence}\n" for name, _, sentence in judged))
        return max(status for _, status, _ in judged)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
