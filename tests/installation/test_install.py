"""`install` and `uninstall`, below a folder: every file with the domain in it, and data that outlives the program."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from product import ROOT
from servers import program

import host
import server
from settings import load

pytestmark = pytest.mark.quick
DOMAIN = "login.example.com"


class Said(NamedTuple):
    status: int
    out: str
    err: str


UNITS = [f"etc/systemd/system/{path.name}" for path in sorted((ROOT / "deploy" / "systemd").iterdir())]


Run = Callable[..., Said]


@pytest.fixture
def menshen(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run one command from a folder that a service may see, with these variables and no others of ours."""
    monkeypatch.setattr(host, "_HIDDEN", ())  # a developer's own folder is often below /home
    for name in [name for name in os.environ if name.startswith("MENSHEN_")]:
        monkeypatch.delenv(name)

    def run(*words: str, **environment: str) -> Said:
        with monkeypatch.context() as inside:
            for name, value in environment.items():
                inside.setenv(name, value)
            status = server.main(list(words))
        return Said(status, *capsys.readouterr())

    return run


def installed(menshen: Run, root: Path, **environment: str) -> list[str]:
    done = menshen("install", "--domain", DOMAIN, "--root", str(root), **environment)
    assert (done.status, done.err) == (0, "")
    return done.out.splitlines()


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}


def environment_of(root: Path) -> dict[str, str]:
    """What systemd makes of the file of settings."""
    found = re.findall(r'(?m)^(\w+)="(.*)"$', (root / "etc/menshen/environment").read_text("utf-8"))
    return {name: re.sub(r"\\(.)", r"\1", value) for name, value in found}


def test_every_file_is_in_its_place_and_the_rest_is_said(menshen: Run, tmp_path: Path) -> None:
    said = installed(menshen, tmp_path)
    assert files(tmp_path) == {
        *UNITS,
        "etc/sysusers.d/menshen.conf",
        "etc/nginx/sites-available/menshen.conf",
        "etc/menshen/environment",
    }
    assert (tmp_path / "etc/menshen/environment").stat().st_mode & 0o777 == 0o600
    texts = {name: (tmp_path / name).read_text("utf-8") for name in files(tmp_path)}
    assert not [name for name, text in texts.items() if "shop.example.com" in text or "/opt/menshen" in text]
    assert f"ExecStart={sys.executable} {ROOT}/server.py serve\n" in texts["etc/systemd/system/menshen.service"]
    assert f"server_name {DOMAIN};" in texts["etc/nginx/sites-available/menshen.conf"]
    left = "\n".join(line for line in said if line.startswith("left to do: "))
    for word in (
        "MENSHEN_APPSECRET",
        "certificate",
        f"https://{DOMAIN}",
        "IP whitelist",
        "ICP",
        "systemctl enable --now",
    ):
        assert word in left, word


def test_the_service_believes_its_proxy_and_knows_its_name(menshen: Run, tmp_path: Path) -> None:
    strange = 'a"b$c`d\\e f'
    installed(menshen, tmp_path, MENSHEN_KEY_PREFIX=strange, MENSHEN_DATA_DIR="/elsewhere")
    given = environment_of(tmp_path)
    assert "MENSHEN_DATA_DIR" not in given
    assert given.pop("MENSHEN_KEY_PREFIX") == strange
    loaded = load({}, {**given, "MENSHEN_DATA_DIR": str(tmp_path)})
    assert [str(each) for each in loaded.settings.trusted_proxies] == ["127.0.0.1/32"]
    assert str(loaded.settings.public_url) == f"https://{DOMAIN}"
    assert list(loaded.warnings) == []


def test_a_second_time_it_keeps_what_people_edit_and_renews_the_rest(menshen: Run, tmp_path: Path) -> None:
    installed(menshen, tmp_path)
    edited = ("etc/menshen/environment", "etc/nginx/sites-available/menshen.conf")
    for name in (*edited, UNITS[0]):
        (tmp_path / name).write_text("# mine\n")
    said = installed(menshen, tmp_path)
    for name in edited:
        assert (tmp_path / name).read_text() == "# mine\n"
        assert f"kept {tmp_path / name} as it is" in said
    assert (tmp_path / UNITS[0]).read_text() != "# mine\n"


def test_uninstalling_leaves_data_settings_and_site(menshen: Run, tmp_path: Path) -> None:
    installed(menshen, tmp_path)
    kept = ["etc/menshen/environment", "etc/nginx/sites-available/menshen.conf", "var/lib/menshen/menshen.db"]
    (tmp_path / "var/lib/menshen").mkdir(parents=True)
    (tmp_path / kept[2]).write_text("data")
    done = menshen("uninstall", "--root", str(tmp_path))
    assert (done.status, done.err) == (0, "")
    assert files(tmp_path) == set(kept)
    assert f"left alone: {tmp_path}/var/lib/menshen" in done.out
    again = menshen("uninstall", "--root", str(tmp_path))
    assert again.status == 0
    assert "removed" not in again.out


@pytest.mark.parametrize(
    "domain",
    ["", "localhost", "https://a.example", "a.example/x", "a-.example", "a..example", "a.example\nb", "1" * 300],
)
def test_what_is_no_domain_is_refused_and_writes_nothing(menshen: Run, tmp_path: Path, domain: str) -> None:
    done = menshen("install", "--domain", domain, "--root", str(tmp_path / "root"))
    assert done.status == 1
    assert "is no domain" in done.err
    assert done.err.count("\n") == 1
    assert not (tmp_path / "root").exists()


def test_a_setting_that_would_become_two_lines_is_refused(menshen: Run, tmp_path: Path) -> None:
    done = menshen("install", "--domain", DOMAIN, "--root", str(tmp_path), MENSHEN_KEY_PREFIX="a\nMENSHEN_ADDRESS=::")
    assert done.status == 1
    assert files(tmp_path) == set()


def test_a_program_that_a_service_cannot_see_is_not_installed(
    menshen: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "_HIDDEN", (str(Path(sys.executable).parent),))
    done = menshen("install", "--domain", DOMAIN, "--root", str(tmp_path))
    assert (done.status, files(tmp_path)) == (1, set())
    assert "move all of it to /opt/menshen" in done.err


def test_a_folder_that_cannot_be_written_is_told_in_one_line(menshen: Run, tmp_path: Path) -> None:
    (tmp_path / "etc").write_text("a file")
    done = menshen("install", "--domain", DOMAIN, "--root", str(tmp_path))
    assert done.status == 1
    assert "Traceback" not in done.err
    assert done.err.count("\n") == 1


def test_systemd_takes_the_units_as_they_are_installed(menshen: Run, tmp_path: Path) -> None:
    assert program("systemd-analyze")
    installed(menshen, tmp_path)
    units = [str(tmp_path / name) for name in UNITS]
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, timeout=50
    )
    assert [line for line in checked.stderr.splitlines() if "menshen" in line] == []
