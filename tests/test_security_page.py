"""The page about security is true: every check and goal stands once, and every test it names exists."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.quick
ROOT = Path(__file__).resolve().parent.parent
CHECKS, GOALS = 204, 27
NAMED = re.compile(r"`(tests/[\w/]+\.py)((?:::\w+)*)`")
EXCUSES = ("not yet: ", "dropped: ", "figure: D")


def page() -> str:
    return (ROOT / "docs/security.md").read_text("utf-8")


def rows() -> list[tuple[int, str, str]]:
    found = re.findall(r"^\| (\d+) \| ([^|]+) \| ([^|]*) \|$", page(), re.MULTILINE)
    return [(int(number), words, shown) for number, words, shown in found]


def held_by(path: Path) -> Iterator[str]:
    """Yield every test of a file, as ``::test_x`` or ``::TestX::test_y``."""

    def walk(nodes: list[ast.stmt], before: str) -> Iterator[str]:
        for node in nodes:
            if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
                yield from walk(node.body, f"{before}::{node.name}")
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                yield f"{before}::{node.name}"

    yield from walk(ast.parse(path.read_text("utf-8")).body, "")


def test_every_check_stands_once_and_in_order() -> None:
    assert [number for number, _, _ in rows()] == list(range(1, CHECKS + 1))


def test_every_goal_stands_once_with_its_command() -> None:
    goals = re.findall(r'^\| D(\d+) \| [^|]+ \| `make prove ARGS="D(\d+)"` \|$', page(), re.MULTILINE)
    assert goals == [(str(n), str(n)) for n in range(1, GOALS + 1)]


def test_every_check_has_a_test_or_says_why_not() -> None:
    silent = [number for number, _, shown in rows() if not NAMED.search(shown) and not shown.startswith(EXCUSES)]
    assert silent == []


def test_every_test_that_is_named_exists() -> None:
    missing = []
    for file, name in NAMED.findall(page()):
        path = ROOT / file
        if not path.exists() or (name and name not in set(held_by(path))):
            missing.append(file + name)
    assert missing == []


def test_a_test_that_is_not_there_would_be_found(tmp_path: Path) -> None:
    file = tmp_path / "test_x.py"
    file.write_text("class TestA:\n    async def test_b(self): ...\n    def c(self): ...\ndef test_d(): ...\n")
    assert list(held_by(file)) == ["::TestA::test_b", "::test_d"]


def test_the_page_needs_no_other_to_be_understood() -> None:
    assert re.findall(r"\.\./(?!SECURITY\.md)", page()) == []
