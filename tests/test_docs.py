"""The documents say what the product does: every error, address and command, and the README's own commands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from product import DevServer
from servers import MariaDB

import server
from commands import IMPORT_DEEDS, KEY_DEEDS, OPERATOR_DEEDS, SESSION_DEEDS
from handlers import ROUTES
from handlers.base import NotFound
from handlers.home import Home
from handlers.operator_page import NoRoom
from handlers.pages import StaticFiles
from handlers.refusals import TABLE, UNEXPECTED

ROOT = Path(__file__).resolve().parent.parent
READMES = ["README.md", "README.zh-CN.md"]
OWN_OPTION = re.compile(r"^  (--(?!config)[a-z-]+)(?![\w-]| VALUE)", re.MULTILINE)  # settings take a VALUE
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
        written = re.sub(r"\([^)]*\)", "ID", path).replace("\\", "")
        if handler not in (Home, StaticFiles, NotFound, NoRoom):
            assert written in text, f"docs/api.md does not mention {written}"


@pytest.mark.quick
@pytest.mark.parametrize(
    "name",
    [*READMES, *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").glob("*.md")))],
)
def test_links_between_pages_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page(name)):
        assert (ROOT / name).parent.joinpath(target).exists(), f"{name} links to {target}"


@pytest.mark.quick
@pytest.mark.parametrize(
    "command",
    [
        *[[name] for name in server.COMMANDS if name not in ("sessions", "operator", "key", "audit")],
        *[["sessions", name] for name in SESSION_DEEDS],
        *[["operator", name] for name in OPERATOR_DEEDS],
        *[["import", name] for name in IMPORT_DEEDS],
        *[["key", name] for name in KEY_DEEDS],
        ["audit", "verify"],
    ],
    ids=" ".join,
)
def test_the_page_of_commands_has_every_command_with_its_options(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    chapter = page("docs/commands.md").partition(f"\n## {command[0]}")[2].partition("\n## ")[0]
    assert chapter
    assert " ".join(command) in chapter or len(command) == 1
    with pytest.raises(SystemExit):
        server.main([*command, "--help"])
    options = OWN_OPTION.findall(capsys.readouterr().out)
    assert [option for option in options if f"`{option}" not in chapter] == []


@pytest.mark.quick
def test_both_readmes_give_the_same_commands() -> None:
    for language in ("sh", "sql"):
        english, chinese = ([commands(block) for block in blocks(name, language)] for name in READMES)
        assert english
        assert english == chinese


@pytest.mark.quick
@pytest.mark.parametrize("name", READMES)
def test_the_readme_s_mini_program_is_the_playground_s(name: str) -> None:
    [readme] = blocks(name, "js")
    assert program(readme) == program(page("templates/playground_snippet.html"))


def test_the_readme_s_database_is_one_that_a_server_can_use(mariadb: MariaDB, tmp_path: Path) -> None:
    [sql] = blocks(READMES[0], "sql")
    for statement in sql.split(";\n")[:-1]:
        mariadb.query(statement.replace("'menshen'@", "'newcomer'@"))
    try:
        url = f"mysql://newcomer:password@127.0.0.1:{mariadb.port}/menshen"
        words = [sys.executable, str(ROOT / "server.py"), "upgrade"]
        environment = {"MENSHEN_DATABASE": url, "MENSHEN_DATA_DIR": str(tmp_path), "PATH": os.environ["PATH"]}
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, env=environment, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "applied version" in done.stdout
    finally:
        mariadb.query("DROP USER 'newcomer'@'127.0.0.1'")
        mariadb.query("DROP DATABASE menshen")


@pytest.mark.parametrize("name", READMES)
def test_the_first_login_works_as_the_readme_says(name: str, dev: DevServer) -> None:
    [script] = [block for block in blocks(name) if "/_sim/login" in block]
    script = script.replace("http://127.0.0.1:8000", dev.base).replace("http://127.0.0.1:8099", dev.simulator_base)
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True, timeout=60)
    assert '"user_id":' in done.stdout, done
    assert "HTTP/1.1 401" in done.stdout
    assert '"reason":"logged_out","retry":"login"' in done.stdout


def blocks(name: str, language: str = "sh") -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page(name), re.DOTALL)


def program(snippet: str) -> str:
    """Return the code alone: neither the server's address, nor comments, nor the layout."""
    code = re.sub(r"^const SERVER = .*", "", snippet)
    return re.sub(r"\s", "", re.sub(r"//.*", "", code))


def commands(block: str) -> list[str]:
    return [line.split(" #")[0].rstrip() for line in block.splitlines() if line and not line.startswith("#")]


@pytest.mark.quick
def test_every_picture_is_shown_in_the_guide_and_together_they_are_light() -> None:
    shown = set(re.findall(r"\((pictures/[\w-]+\.png)\)", page("docs/operators.md") + page("docs/operators.zh-CN.md")))
    taken = {f"pictures/{path.name}": path.stat().st_size for path in (ROOT / "docs/pictures").iterdir()}
    assert shown == set(taken)
    assert sum(taken.values()) < 1_500_000


@pytest.mark.quick
def test_the_changelog_names_tests_that_exist() -> None:
    named = set(re.findall(r"`(tests/[\w/]+\.py)`", page("CHANGELOG.md")))
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
