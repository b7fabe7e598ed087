"""The house rules that a reader of the source can check, said in words when one is broken."""

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.quick

ROOT = Path(__file__).resolve().parent.parent

# A room imports only from lower floors; neighbours on a floor do not know each other.
FLOORS = {
    "server": 4,
    "handlers": 3,
    "actions": 2,
    "stores": 1,
    "wechat": 1,
    "wire": 1,
    "settings": 0,
    "journal": 0,
    "memory": 0,
}
# Files that belong to a room without standing in its folder.
ANNEXES = {
    **dict.fromkeys(("values", "addresses", "disagreements", "strict_json"), "settings"),
    **dict.fromkeys(("commands", "installation", "host", "options", "process", "workers"), "server"),
    **dict.fromkeys(("development", "serving", "starting", "supervisor"), "server"),
}
# Guests may use every room, and no room may use a guest.
GUESTS = {"tests", "benchmarks", "examples", "deploy"}

# Each engine's library has one door, so that changing the engine is a change of one file; HTTP has one to WeChat, and
# one to whoever else is told something.
DOORS: dict[str, str | tuple[str, ...]] = {
    "sqlite3": ("stores/db/sqlite.py", "stores/db/sqlite_writer.py", "stores/db/copies.py"),
    "aiomysql": "stores/db/mysql.py",
    "pymysql": "stores/db/mysql.py",
    "redis": ("stores/sessions/redis_link.py", "stores/sessions/redis_pool.py"),
    "hiredis": "stores/sessions/redis_link.py",
    "cryptography": "wechat/crypto.py",
    "Crypto": "wechat/data.py",
    "httptools": ("wire/head.py", "wechat/connections.py"),
    "uvloop": "wire/loop.py",
    "PIL": "actions/pixels.py",
    "aiohttp": "actions/outgoing.py",
    "aiohappyeyeballs": "wechat/connections.py",
}

MAY_ROLL_DICE = "wechat/simulator/"
FORBIDDEN = {
    r"(verify|validate_cert|check_hostname)\s*=\s*False|CERT_NONE|_create_unverified": "certificates are verified",
    r"\b(import|from)\s+(pickle|marshal|shelve)\b|\byaml\.load\b": "bytes from outside never become code",
    r"(?<![\w.])(eval|exec)\(": "no text is run as a program",
    r"\bmd5\b": "MD5 protects nothing",
    r"\b(import|from)\s+uuid\b": "a UUID is no secret: tokens come from the module secrets",
    r"\|\s*safe\b": "a template escapes all that it prints",
}
DICE = r"\b(import|from)\s+random\b"

SQL = re.compile(
    r"\s*(SELECT\s.+\sFROM\s|INSERT\s+(OR\s+\w+\s+)?INTO\s|REPLACE\s+INTO\s|UPDATE\s.+\sSET\s|DELETE\s+FROM\s)",
    re.DOTALL,
)
FOREIGN_PATHS = re.compile(r"(?<![\w.\-])/(?:root|home/\w+|Users/\w+|work|opt/pypi)(?:/|\b)")
REGISTRIES = re.compile(r"pypi\.(?:org|python)|python[h]osted|registry\.np[m]js")
SILENCED = re.compile(r"#\s*(?:noqa|type:\s*ignore|nosec)(?P<rest>.*)")
LONGEST_FUNCTION = 50
LOCKS = ["requirements.lock", "requirements-dev.lock", "requirements-binary.lock"]


@cache
def committed() -> tuple[str, ...]:
    """Return every file that is, or would be, committed, as a path from the root."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, capture_output=True, check=False)
    if listed.returncode == 0:
        names = [name for name in listed.stdout.decode().split("\0") if name]
    else:  # a source archive, which holds nothing but what was committed and what was made since
        names = [str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if not _made(path.relative_to(ROOT))]
    return tuple(sorted(name for name in names if (ROOT / name).is_file()))


def _made(path: Path) -> bool:
    return any(part in {"data", "dist", "build", "__pycache__"} or part.startswith(".") for part in path.parts[:-1])


def modules(*, guests: bool) -> list[str]:
    """Return the Python files of the house, with those of its guests if wanted."""
    return [name for name in committed() if name.endswith(".py") and (guests or Path(name).parts[0] not in GUESTS)]


@cache
def source(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(source(name), name)


def room(name: str) -> str:
    """Return the room of a file or of a dotted module name."""
    first = re.split(r"[/.]", name)[0]
    return ANNEXES.get(first, first)


def imports(name: str, module: ast.Module) -> Iterator[str]:
    """Yield the full name of every module that a file imports, at the top or inside a function."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = Path(name).parts[: -node.level] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from ([base] if node.module else [f"{base}.{alias.name}".lstrip(".") for alias in node.names])


def trespasses(name: str, module: ast.Module) -> Iterator[str]:
    """Yield a sentence for every import that the floors forbid."""
    own = room(name)
    for imported in imports(name, module):
        other = room(imported)
        if other in GUESTS or (other in FLOORS and other != own and FLOORS[other] >= FLOORS.get(own, 0)):
            yield f"{name} may not import {imported}"


def wrong_doors(name: str, module: ast.Module) -> Iterator[str]:
    """Yield a sentence for every engine library that is imported where it has no door."""
    for imported in imports(name, module):
        doors = DOORS.get(imported.split(".")[0], name)
        if name not in ((doors,) if isinstance(doors, str) else doors):
            said = doors if isinstance(doors, str) else " or ".join(doors)
            yield f"{name} may not import {imported}: that is what {said} is for"


def assembled_sql(name: str, module: ast.Module) -> Iterator[str]:
    """Yield a sentence for every SQL text that is put together from pieces."""
    for node in ast.walk(module):
        text = _pieces(node)
        if text is not None and SQL.match(text):
            yield f"{name}:{getattr(node, 'lineno', 0)} assembles SQL; it belongs into sql/, under a name"


def _pieces(node: ast.AST) -> str | None:
    """Return the constant beginning of a text that is assembled, or None when nothing is."""
    if isinstance(node, ast.JoinedStr):
        parts = [part.value if isinstance(part, ast.Constant) else "x" for part in node.values]
        return "".join(map(str, parts)) if any(isinstance(part, ast.FormattedValue) for part in node.values) else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod | ast.Add):
        return _text(node.left)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
        return _text(node.func.value)
    return None


def _text(node: ast.AST) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def forbidden(name: str, text: str) -> Iterator[str]:
    """Yield a sentence for every word that does not belong into the product."""
    words = FORBIDDEN if name.startswith(MAY_ROLL_DICE) else {**FORBIDDEN, DICE: "tokens come from the module secrets"}
    for pattern, reason in words.items():
        for found in re.finditer(pattern, text):
            yield f"{name}:{text.count(chr(10), 0, found.start()) + 1} says {found[0]!r}: {reason}"


def unexplained(name: str, text: str) -> Iterator[str]:
    """Yield a sentence for every silenced warning that does not say which one, and why."""
    for number, line in enumerate(text.splitlines(), 1):
        found = SILENCED.search(line)
        if found and not re.match(r"(:\s*[A-Z]+\d+(,\s*[A-Z]+\d+)*|\[[\w, -]+\])\W+\w+\W+\w", found["rest"]):
            yield f"{name}:{number} silences a warning without saying which and why"


def long_functions(name: str, module: ast.Module) -> Iterator[str]:
    """Yield a sentence for every function that is longer than a screen."""
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > LONGEST_FUNCTION:
                yield f"{name}:{node.lineno} {node.name} has {lines} lines"


def nothing(complaints: Iterator[str]) -> None:
    found = list(complaints)
    assert not found, "\n".join(found)


class TestRooms:
    def test_every_file_stands_in_a_room(self) -> None:
        nothing(
            f"{name} stands in no room"
            for name in modules(guests=False)
            if room(Path(name).stem if "/" not in name else name) not in FLOORS
        )

    def test_rooms_import_only_from_lower_floors(self) -> None:
        nothing(words for name in modules(guests=False) for words in trespasses(name, tree(name)))

    def test_each_engine_has_one_door(self) -> None:
        nothing(words for name in modules(guests=False) for words in wrong_doors(name, tree(name)))

    @pytest.mark.parametrize(
        ("name", "line", "words"),
        [
            ("handlers/x.py", "import server", ["handlers/x.py may not import server"]),
            ("stores/users.py", "from handlers import base", ["stores/users.py may not import handlers"]),
            ("stores/users.py", "from wechat.client import WeChat", ["stores/users.py may not import wechat.client"]),
            ("wechat/client.py", "import stores.db", ["wechat/client.py may not import stores.db"]),
            ("values.py", "import actions", ["values.py may not import actions"]),
            (
                "stores/db/mysql.py",
                "def f():\n    from actions import log_in",
                ["stores/db/mysql.py may not import actions"],
            ),
            ("handlers/x.py", "from tests import phone", ["handlers/x.py may not import tests"]),
            ("handlers/x.py", "from . import base\nfrom .base import ApiHandler\nimport settings, json", []),
            ("stores/db/mysql.py", "from .. import users\nfrom ..errors import StoreTrouble", []),
            ("settings.py", "import values", []),
            ("server.py", "from wechat.simulator import Simulator\nimport handlers", []),
        ],
    )
    def test_a_wrong_import_is_told_in_words(self, name: str, line: str, words: list[str]) -> None:
        assert list(trespasses(name, ast.parse(line))) == words

    def test_a_wrong_door_is_told_in_words(self) -> None:
        said = list(wrong_doors("actions.py", ast.parse("from redis import asyncio as aioredis")))
        doors = "stores/sessions/redis_link.py or stores/sessions/redis_pool.py"
        assert said == [f"actions.py may not import redis: that is what {doors} is for"]


class TestVoice:
    def test_every_module_begins_with_a_sentence(self) -> None:
        silent = []
        for name in modules(guests=True):
            first = (ast.get_docstring(tree(name)) or "").split("\n\n")[0]
            if not re.match(r"(?s)[^a-z\s].*[.!?:。]$", first):
                silent.append(name)
        assert not silent, f"these do not begin with a sentence: {', '.join(silent)}"

    def test_no_function_is_longer_than_a_screen(self) -> None:
        nothing(words for name in modules(guests=True) for words in long_functions(name, tree(name)))

    def test_every_silenced_warning_says_why(self) -> None:
        nothing(words for name in modules(guests=True) for words in unexplained(name, source(name)))

    @pytest.mark.parametrize("line", ["x = 1  # no" + "qa", "x = 1  # no" + "qa: S101", "x  # type: " + "ignore[misc]"])
    def test_one_that_does_not_is_found(self, line: str) -> None:
        assert len(list(unexplained("x.py", line))) == 1
        assert list(unexplained("x.py", "x  # type: " + "ignore[misc]  # the stubs lack it")) == []


class TestSafety:
    def test_the_product_uses_nothing_forbidden(self) -> None:
        templates = [name for name in committed() if name.startswith("templates/")]
        product = [*modules(guests=False), *templates]
        nothing(words for name in product for words in forbidden(name, source(name)))

    def test_no_sql_is_assembled_outside_sql(self) -> None:
        nothing(words for name in modules(guests=False) for words in assembled_sql(name, tree(name)))

    @pytest.mark.parametrize(
        "line",
        [
            "ssl.CERT_NONE",
            "get(url, verify=False)",
            "fetch(url, validate_cert = False)",
            "import pickle",
            "x = eval(text)",
            "hashlib.md5(x)",
            "from random import choice",
            "import uuid",
            "{{ name | safe }}",
        ],
    )
    def test_each_of_these_is_found(self, line: str) -> None:
        assert len(list(forbidden("stores/x.py", line))) == 1

    def test_only_the_simulator_rolls_dice(self) -> None:
        assert list(forbidden("wechat/simulator/state.py", "import random")) == []
        assert len(list(forbidden("wechat/client.py", "import random"))) == 1

    @pytest.mark.parametrize(
        "line",
        [
            'f"SELECT id FROM {table} WHERE x"',
            '"DELETE FROM %s" % table',
            '"UPDATE {} SET x = 1".format(table)',
            '"INSERT INTO " + table',
            '"INSERT OR IGNORE INTO session VALUES (" + values',
        ],
    )
    def test_assembled_sql_is_found(self, line: str) -> None:
        assert len(list(assembled_sql("x.py", ast.parse(line)))) == 1

    @pytest.mark.parametrize(
        "line", ['"SELECT 1"', 'f"Update {n} of {m}"', '"select " + word', 'f"SELECT id FROM session"']
    )
    def test_what_only_looks_like_it_is_not(self, line: str) -> None:
        assert list(assembled_sql("x.py", ast.parse(line))) == []


def requirements(lock: str) -> dict[str, str]:
    """Return what a lock pins, `name==version ; marker`, with all that belongs to it."""
    entries = re.split(r"(?m)^(?=\S)", source(lock))
    return {entry.split("==")[0]: entry for entry in entries if entry.strip()}


def versions(lock: str) -> list[str]:
    """Return what a lock pins, `name==version`."""
    return [entry.split()[0] for entry in requirements(lock).values()]


class TestLocks:
    @pytest.mark.parametrize("lock", LOCKS)
    def test_every_requirement_is_pinned_by_hash(self, lock: str) -> None:
        pinned = requirements(lock)
        assert "tornado" in pinned
        for entry in pinned.values():
            assert re.match(r"[\w.\-]+==[\w.]+( ; [^\\\n]+)? \\\n(    --hash=sha256:[0-9a-f]{64}( \\)?\n)+\Z", entry), (
                entry
            )

    @pytest.mark.parametrize("lock", LOCKS)
    def test_a_lock_names_no_index_and_no_machine(self, lock: str) -> None:
        found = re.findall(r"(?m)://|^\s*-(?!-hash=).*|^.*@.*$|/", source(lock))
        assert not found, f"{lock} names {found[:3]}"

    def test_the_tests_run_on_what_the_product_runs_on_and_the_binary_holds_it(self) -> None:
        product, tests, binary = (set(versions(lock)) for lock in LOCKS)
        assert product - tests == product - binary == set()

    def test_python_before_3_11_3_gets_what_redis_needs_there(self) -> None:
        assert "python_full_version < '3.11.3'" in requirements("requirements.lock")["async-timeout"]


class TestIndependence:
    def test_nothing_names_a_machine_s_paths_or_a_registry(self) -> None:
        complaints = []
        for name in committed():
            text = (ROOT / name).read_bytes().decode("utf-8", "replace")
            found = FOREIGN_PATHS.search(text) or REGISTRIES.search(text)
            if found:
                complaints.append(f"{name}:{text.count(chr(10), 0, found.start()) + 1} names {found[0]!r}")
        assert not complaints, "\n".join(complaints)

    @pytest.mark.parametrize("path", ["/ro" + "ot/x", '"/ho' + 'me/mei/x"', " /Us" + "ers/mei/", "=/wo" + "rk/x"])
    def test_such_a_path_is_found(self, path: str) -> None:
        assert FOREIGN_PATHS.search(path)

    @pytest.mark.parametrize("path", ["/var/lib/menshen", "/workers", "https://a.example/work.html", "/api/home"])
    def test_other_paths_are_not(self, path: str) -> None:
        assert not FOREIGN_PATHS.search(path)
