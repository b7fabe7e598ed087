"""Named SQL from sql/*.sql, each statement in the words of the database at hand.

A statement begins with `-- name: what it returns or does`. Where SQLite and MySQL differ, the two stand one below the
other under `-- on sqlite` and `-- on mysql`. Parameters are written `:name`; a list becomes as many as it holds, and
a list of rows as many in brackets. What several statements of a file have in common stands once, as
`-- part name: what it is`, and is named `{{name}}` in them.
A name like `page_(time|user)_up` stands for two, `page_time_up` and `page_user_up`, and `@` in the text for that word.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

Dialect = Literal["sqlite", "mysql"]
Row = tuple[Any, ...]

FOLDER = Path(__file__).resolve().parents[2] / "sql"
_NAMED = re.compile(r"^-- (?P<part>part )?(?P<name>[a-z_]*(\((?P<words>[a-z_|]+)\))?[a-z_]*): (?P<says>.+)$")
_INCLUDED = re.compile(r"\{\{([a-z_]+)\}\}")
_VERSION = re.compile(r"^-- version (?P<number>\d+): (?P<says>.+)$")
_DIALECT = re.compile(r"^-- on (?P<dialect>sqlite|mysql)$")
_PARAMETER = re.compile(r"(?<![:\w]):([a-z_]+)")


class Statement(msgspec.Struct, frozen=True):
    """One named statement; `text` holds it for each dialect."""

    name: str
    says: str
    text: Mapping[Dialect, str]
    scalar_text: Mapping[Dialect, str]  # with the driver's placeholders, for the usual case of no list among the values

    def __call__(self, **parameters: Any) -> "Query":
        """The statement with its parameters, ready to be run."""
        return Query(self, parameters)


class Query(msgspec.Struct, frozen=True):
    """A statement and the values for its parameters."""

    statement: Statement
    parameters: Mapping[str, Any] = msgspec.field(default_factory=dict)

    def bound(self, dialect: Dialect) -> tuple[str, Mapping[str, Any]]:
        """The text and the parameters as the dialect's driver takes them; lists are spread out."""
        if not any(isinstance(value, list) for value in self.parameters.values()):
            return self.statement.scalar_text[dialect], self.parameters
        flat: dict[str, Any] = {}

        def place(match: re.Match[str]) -> str:
            name = match.group(1)
            value = self.parameters[name]
            if not isinstance(value, list):
                flat[name] = value
                return _placeholder(name, dialect)
            if value and isinstance(value[0], tuple):
                return ", ".join(f"({spread(f'{name}_{n}', row)})" for n, row in enumerate(value))
            return spread(name, value)

        def spread(name: str, values: Sequence[Any]) -> str:
            names = [f"{name}_{n}" for n in range(len(values))]
            flat.update(zip(names, values, strict=True))
            return ", ".join(_placeholder(each, dialect) for each in names) or "NULL"

        return _PARAMETER.sub(place, self.statement.text[dialect]), flat


def _placeholder(name: str, dialect: Dialect) -> str:
    return f":{name}" if dialect == "sqlite" else f"%({name})s"


class Result(msgspec.Struct, frozen=True):
    """What a statement gave: its rows, and how many rows it changed.

    The id of a new row is left out on purpose: after an upsert the drivers report ids of other rows.
    """

    rows: Sequence[Row] = ()
    changed: int = 0


def _blocks(path: Path, opening: re.Pattern[str]) -> Iterator[tuple[re.Match[str], dict[Dialect, str]]]:
    """Each `opening` line of the file with the text below it for each dialect."""
    head: re.Match[str] | None = None
    texts: dict[Dialect, list[str]] = {}
    current: list[Dialect] = []
    for line in path.read_text("utf-8").splitlines():
        if found := opening.match(line):
            if head:
                yield head, {dialect: "\n".join(lines).strip() for dialect, lines in texts.items()}
            head, current, texts = found, ["sqlite", "mysql"], {"sqlite": [], "mysql": []}
        elif found := _DIALECT.match(line):
            current = ["sqlite" if found.group("dialect") == "sqlite" else "mysql"]
        elif head and not line.startswith("--"):
            for dialect in current:
                texts[dialect].append(line)
    if head:
        yield head, {dialect: "\n".join(lines).strip() for dialect, lines in texts.items()}


def load(file_name: str) -> dict[str, Statement]:
    """The named statements of one file in sql/, in its order."""
    found = {}
    parts: dict[tuple[str, Dialect], str] = {}
    for head, texts in _blocks(FOLDER / file_name, _NAMED):
        for name, own in _each(head, texts):
            clean = {dialect: _whole(text.rstrip(";"), dialect, parts) for dialect, text in own.items()}
            if head.group("part"):
                parts |= {(name, dialect): text for dialect, text in clean.items()}
                continue
            scalar: dict[Dialect, str] = {
                "sqlite": clean["sqlite"],
                "mysql": _PARAMETER.sub(r"%(\1)s", clean["mysql"]),
            }
            found[name] = Statement(name, head.group("says"), clean, scalar)
    return found


def _each(head: re.Match[str], texts: dict[Dialect, str]) -> Iterator[tuple[str, dict[Dialect, str]]]:
    """The names and texts that a block stands for: one, or one for each word between the brackets of its name."""
    name, words = head.group("name", "words")
    if words is None:
        yield name, texts
        return
    for word in words.split("|"):
        yield name.replace(f"({words})", word), {dialect: text.replace("@", word) for dialect, text in texts.items()}


def _whole(text: str, dialect: Dialect, parts: Mapping[tuple[str, Dialect], str]) -> str:
    """The text with the parts it names in their places; a part stands above whatever names it."""
    return _INCLUDED.sub(lambda found: parts[found.group(1), dialect], text)


def history(dialect: Dialect) -> dict[int, list[str]]:
    """The schema's versions, oldest first, each as the statements that bring it about."""
    return {
        int(head.group("number")): [part.strip() for part in texts[dialect].split(";\n") if part.strip(" ;\n")]
        for head, texts in _blocks(FOLDER / "schema.sql", _VERSION)
    }
