"""The single file in a root file system of its own, as a user who is not root, with nothing else to write to."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from product import ROOT, Product

BINARY = ROOT / "dist" / "menshen"
IN_DEVELOPMENT = ("serve", "--dev", "--simulator-port", "0")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What a service or a container has: a root that is read-only, /proc, a /tmp of its own, one folder, no rights at all.
_SHUT_IN = """
root=$1 held=$2 at=$3 user=$4; shift 4
mount --bind "$root" "$root" && mount --rbind /proc "$root/proc" || exit
mount -t tmpfs -o mode=1777,exec,size=128m tmpfs "$root/tmp" && mount --bind "$held" "$root$at" || exit
mount -o remount,bind,ro "$root" || exit
exec setpriv --clear-groups --no-new-privs --bounding-set=-all,+sys_chroot,+setuid,+setgid \
  unshare --root="$root" --wd="$at" --setgid="$user" --setuid="$user" "$@"
"""


def namespaces() -> list[str]:
    """Return the words that begin a command with mounts of its own."""
    own = [] if os.geteuid() == 0 else ["--user", "--map-root-user", "--map-auto"]
    return ["unshare", *own, "--mount"]


class Rooted(Product):
    """The single file in ``root``. The one folder that it may write to is ``at`` inside, and ``held`` from outside."""

    def __init__(
        self, folder: Path, root: Path, settings: Mapping[str, object], *, program: str, at: str, user: int = 65534
    ) -> None:
        super().__init__(folder, {"DATA_DIR": f"{at}/data", **settings})
        self.root, self.program, self.at, self.user = root, program, at, user
        self.held = folder / "held"
        self.held.mkdir()
        (root / "proc").mkdir(exist_ok=True)
        subprocess.run([*namespaces(), "chown", f"{user}:{user}", str(self.held)], check=True)

    def inside(self) -> list[str]:
        """Return the words that begin a command in there."""
        shut_in = ["sh", "-c", _SHUT_IN, "sh", str(self.root), str(self.held), self.at, str(self.user)]
        return [*namespaces(), *shut_in, self.program]

    def command(self) -> Sequence[str]:
        """See Product."""
        return [*self.inside(), *self.words, "--port", str(self.port)]

    def environment(self) -> Mapping[str, str]:
        """Return PATH and the settings: no HOME, no names of users, no language."""
        return {"PATH": PATH} | {f"MENSHEN_{name}": value for name, value in self.settings.items()}

    def does(self, *words: str) -> str:
        """Run one command beside it in the same root, which must succeed, and return what it printed."""
        done = subprocess.run(
            [*self.inside(), *words], env=self.environment(), capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done
        return done.stdout

    def take_away(self, name: str) -> None:
        """Delete a folder in there."""
        assert "/" not in name
        subprocess.run([*namespaces(), "rm", "-r", str(self.held / name)], check=True)


def placed(folder: Path) -> None:
    """Copy the single file into a folder, as a person does."""
    assert BINARY.exists(), "make binary makes it"
    shutil.copy(BINARY, folder / "menshen")


def simulator_base(server: Product) -> str:
    """Return the base URL of the simulator that the last start of `serve --dev` announced."""
    [found] = re.findall(r"(?m)^WeChat simulator at (http://\S+)$", server.log_since_start())
    return str(found)


def show(config: pytest.Config, line: str) -> None:
    """Write a figure between the tests' dots: one that a reader wants to see and no test can judge."""
    capture = config.pluginmanager.get_plugin("capturemanager")
    assert capture is not None
    with capture.global_and_fixture_disabled():
        sys.stdout.write(f"\n{line}\n")
