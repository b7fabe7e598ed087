"""The documents say what the product does: every error, every address, and the README's own commands."""

import re
import subprocess
from pathlib import Path

import pytest
from product import DevServer

from handlers import ROUTES
from handlers.base import NotFound
from handlers.home import Home
from handlers.pages import StaticFiles
from handlers.refusals import TABLE, UNEXPECTED

ROOT = Path(__file__).resolve().parent.parent
READMES = ["README.md", "README.zh-CN.md"]
ERROR_ROW = re.compile(r"^\| (\d{3}) \| (\d+) \| *(\w*) \| (\w+) \|", re.MULTILINE)


def page(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


@pytest.mark.quick
def test_the_page_of_the_api_holds_the_whole_error_table_and_nothing_else() -> None:
    rows = {*TABLE.values(), UNEXPECTED}
    documented = {
        (int(s), int(n), error or None, retry) for s, n, error, retry in ERROR_ROW.findall(page("docs/api.md"))
    }
    assert documented == {(row.status, row.errcode, row.error, row.retry) for row in rows}


@pytest.mark.quick
def test_every_errcode_has_one_row_and_explains_itself() -> None:
    by_number = {row.errcode: row for row in TABLE.values()}
    for row in [*TABLE.values(), UNEXPECTED]:
        assert by_number.get(row.errcode, row).status == row.status
        assert row.errcode // 1000 == row.status or row.errcode in (40029, 40163, 40226)


@pytest.mark.quick
def test_the_page_of_the_api_names_every_address() -> None:
    text = page("docs/api.md")
    for path, handler in ROUTES:
        written = path.replace("([0-9A-Fa-f]{8,64})", "ID")
        if handler not in (Home, StaticFiles, NotFound):
            assert written in text, f"docs/api.md does not mention {written}"


@pytest.mark.quick
@pytest.mark.parametrize(
    "name", [*READMES, "docs/api.md", "docs/architecture.md", "docs/design.md", "docs/settings.md"]
)
def test_links_between_pages_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page(name)):
        assert (ROOT / name).parent.joinpath(target).exists(), f"{name} links to {target}"


@pytest.mark.quick
def test_both_readmes_give_the_same_commands() -> None:
    assert [commands(block) for block in blocks(READMES[0])] == [commands(block) for block in blocks(READMES[1])]


@pytest.mark.parametrize("name", READMES)
def test_the_first_login_works_as_the_readme_says(name: str, dev: DevServer) -> None:
    [script] = [block for block in blocks(name) if "/_sim/login" in block]
    script = script.replace("http://127.0.0.1:8000", dev.base).replace("http://127.0.0.1:8099", dev.simulator_base)
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True, timeout=60)
    assert '"user_id":' in done.stdout, done
    assert "HTTP/1.1 401" in done.stdout
    assert '"reason":"logged_out","retry":"login"' in done.stdout


def blocks(name: str) -> list[str]:
    return re.findall(r"```sh\n(.*?)```", page(name), re.DOTALL)


def commands(block: str) -> list[str]:
    return [line.split(" #")[0].rstrip() for line in block.splitlines() if line and not line.startswith("#")]


@pytest.mark.quick
def test_the_changelog_names_tests_that_exist() -> None:
    named = set(re.findall(r"`(tests/[\w/]+\.py)`", page("CHANGELOG.md")))
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
