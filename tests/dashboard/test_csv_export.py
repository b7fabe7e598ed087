"""CSV that a spreadsheet opens without running anything in it."""

import csv
import io
from collections.abc import AsyncIterator, Sequence

import pytest

from actions.csv_export import SESSION_COLUMNS, cell, csv_of, session_cells
from actions.lists import SessionRow
from stores.logins import Login
from stores.users import User

pytestmark = pytest.mark.quick

MEI = User(7, "wx1", "oAbCdEfGhIjKlMnOpQrStUvWxYz1", None, "=1+1", None, None, 1, 1, "active", None, None, 0)
LOGIN = Login(b"\xab" * 32, 7, "wx1", "192.0.2.1", "ios", "12", "release", 1_700_000_000, 1_700_000_060)


async def rows(*some: Sequence[object]) -> AsyncIterator[Sequence[object]]:
    for each in some:
        yield each


async def written(columns: Sequence[str], some: AsyncIterator[Sequence[object]], most: int = 100_000) -> bytes:
    return b"".join([chunk async for chunk in csv_of(columns, some, most)])


@pytest.mark.parametrize(
    "text",
    [
        '=HYPERLINK("http://evil.example","x")',
        "+1",
        "-1",
        "@SUM(A1)",
        "\tx",
        "\rx",
        "\nx",
        "\0x",
        "\uff1d1",
        "\uff0b1",
        "\uff0d1",
        "\uff201",
        " =1",
        "\u3000=1",
        "\u00a0\uff1d1",
    ],
)
def test_a_cell_that_begins_like_a_formula_becomes_text(text: str) -> None:
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        ("", ""),
        ("Mei", "Mei"),
        ("a=b", "a=b"),
        (0, "0"),
        (-41002, "-41002"),
        ("小明", "小明"),
        (" x", " x"),
    ],
)
def test_any_other_stays_what_it_is(value: object, shown: str) -> None:
    assert cell(value) == shown


@pytest.mark.gen_test
async def test_the_file_is_utf_8_with_its_mark_and_lines_as_the_rfc_asks() -> None:
    raw = await written(["name", "note"], rows(["小明", 'says "hi", twice'], ["two\nlines", None]))
    assert raw == '\ufeffname,note\r\n小明,"says ""hi"", twice"\r\n"two\nlines",\r\n'.encode()
    read = list(csv.reader(io.StringIO(raw.decode("utf-8-sig"), newline="")))
    assert read == [["name", "note"], ["小明", 'says "hi", twice'], ["two\nlines", ""]]


@pytest.mark.gen_test
async def test_the_last_line_of_a_file_that_is_cut_says_so() -> None:
    many = [[n] for n in range(1_000)]
    lines = (await written(["n"], rows(*many), most=450)).decode("utf-8-sig").splitlines()
    assert len(lines) == 1 + 450 + 1
    assert lines[450] == "449"
    assert lines[451].startswith("# only the first 450 rows")
    whole = (await written(["n"], rows(*many), most=1_000)).decode("utf-8-sig").splitlines()
    assert len(whole) == 1_001
    assert whole[-1] == "999"


@pytest.mark.gen_test
async def test_it_comes_in_pieces_and_asks_for_no_more_rows_than_are_taken() -> None:
    taken = 0

    async def endless() -> AsyncIterator[Sequence[object]]:
        nonlocal taken
        while True:
            taken += 1
            yield [taken]

    pieces = csv_of(["n"], endless())
    await anext(pieces)
    assert taken == 0
    await anext(pieces)
    assert taken <= 200
    await pieces.aclose()


def test_an_openid_is_shortened_unless_it_is_asked_for() -> None:
    row = SessionRow(LOGIN, MEI, None, "revoked", None)
    shown = dict(zip(SESSION_COLUMNS, session_cells(row, openids=False), strict=True))
    assert shown["openid"] == "oAbC…xYz1"
    assert dict(zip(SESSION_COLUMNS, session_cells(row, openids=True), strict=True))["openid"] == MEI.openid
    assert MEI.openid not in str(shown)
    assert shown["nickname"] == "=1+1"
    assert shown["created_at"] == "2023-11-14T22:13:20+00:00"
