"""`import users FILE`: people keep the ids that other tables know them by; what cannot be taken is named."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from backends import Backend
from phone import Phone
from product import Product
from shell import done, menshen
from verdicts import succeeded

Phones = Callable[..., list[Phone]]
HEADER = "id,openid,unionid,create_time,nickname,phone\n"


def listed(tmp_path: Path, text: str) -> str:
    path = tmp_path / "people.csv"
    path.write_text(text, "utf-8")
    return str(path)


@pytest.mark.gen_test
async def test_people_keep_their_ids_and_log_in_as_themselves(
    make_server: Callable[..., Product], phones: Phones, backend: Backend, tmp_path: Path
) -> None:
    server = make_server(**backend.fresh())
    [mei, newcomer] = phones(2, at=server)
    file = listed(
        tmp_path,
        f"{HEADER}70001,{await mei.openid()},,1500000000,小美,13800138000\n70002,oOther,uOther,2020-01-31 12:00:00,,\n",
    )
    assert await done(server, "import", "users", file, "--dry-run") == (
        "would import 2 users, 0 were there already, 0 refused"
    )
    assert await done(server, "import", "users", file) == "imported 2 users, 0 were there already, 0 refused"
    assert await done(server, "import", "users", file) == "imported 0 users, 2 were there already, 0 refused"
    user = succeeded(await mei.login())["user"]
    assert (user["id"], user["nickname"], user["phone"]) == (70001, "小美", "138****8000")
    assert (user["created_at"], user["new"]) == (1500000000, False)
    assert succeeded(await newcomer.login())["user"]["id"] > 70002
    assert (await done(server, "audit", "verify")).startswith("the chain holds")


@pytest.mark.gen_test
async def test_every_row_that_cannot_be_taken_is_named_and_the_others_come(
    make_server: Callable[..., Product], phones: Phones, backend: Backend, tmp_path: Path
) -> None:
    server = make_server(**backend.fresh())
    [known, gone] = phones(2, at=server)
    mine = succeeded(await known.login())["user"]["id"]
    erased = succeeded(await gone.login())["user"]["id"]
    succeeded(await gone.request("DELETE", "/api/me", headers=gone.bearer))
    rows = {
        "70001,oGood,,,,": None,
        f"70002,{await known.openid()},,,,": "this openid has another id here",
        f"{mine},oAnother,,,,": "somebody else has this id here",
        f"{erased},{await gone.openid()},,,,": "somebody of this id was erased here",
        "0,oA,,,,": "id is no whole number from 1 on",
        "-1,oA,,,,": "id is no whole number from 1 on",
        "9007199254740993,oA,,,,": "id is no whole number from 1 on",
        "7e4,oA,,,,": "id is no whole number from 1 on",
        "70003,,,,,": "openid is missing",
        "70004,o';--,,,,": "openid has an impossible form",
        "70005,oB,u b,,,": "unionid has an impossible form",
        "70006,oC,,0000-00-00 00:00:00,,": "create_time is neither epoch seconds nor like 2026-01-31 12:00:00",
        "70007,oD,,,,call me": "phone has an impossible form",
        f"70008,oE,,,{'x' * 65},": "nickname is longer than 64 characters, or has controls in it",
        "70009,oF,,": "it has not as many fields as the first line",
        "70001,oH,,,,": "its id or openid stands in the file twice",
        "70010,oGood,,,,": "its id or openid stands in the file twice",
    }
    file = listed(tmp_path, HEADER + "".join(f"{row}\n" for row in rows))
    expected = [f"line {n}\t{why}" for n, why in enumerate(rows.values(), 2) if why]
    for words, verb in ((["--dry-run"], "would import"), ([], "imported")):
        finished = await menshen(server, "import", "users", file, *words)
        header, *refused, total = finished.stdout.splitlines()
        assert (finished.returncode, finished.stderr, header) == (1, "", "row\trefused")
        assert sorted(refused) == sorted(expected)
        assert total == f"{verb} 1 user, 0 were there already, {len(expected)} refused"


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"openid\noA\n", "the first line names no column id"),
        (b"", "the first line names no column id and no column openid"),
        (b"id,openid,colour\n1,oA,red\n", "the first line may name each of id, openid"),
        (b"id,openid\n1,\xff\n", "is no text in UTF-8"),
        (b'id,openid\n1,"oA\n', "is no CSV"),
    ],
)
async def test_what_is_no_list_is_refused_in_one_line(
    embedded: Product, tmp_path: Path, content: bytes, says: str
) -> None:
    path = tmp_path / "people.csv"
    path.write_bytes(content)
    finished = await menshen(embedded, "import", "users", str(path))
    assert (finished.returncode, finished.stdout, finished.stderr.count("\n")) == (1, "", 1)
    assert says in finished.stderr


@pytest.mark.gen_test
async def test_a_dry_run_changes_nothing(make_server: Callable[..., Product], tmp_path: Path) -> None:
    server = make_server()
    file = listed(tmp_path, f"\ufeff{HEADER}70001,oGood,,,,\n")

    def kept() -> list[tuple[int]]:
        counts = ("SELECT COUNT(*) FROM user", "SELECT COUNT(*) FROM audit", "SELECT COUNT(*) FROM figure")
        with closing(sqlite3.connect(f"file:{server.data_dir / 'menshen.db'}?mode=ro", uri=True)) as look:
            return [look.execute(count).fetchone() for count in counts]

    before = kept()
    await done(server, "import", "users", file, "--dry-run")
    assert kept() == before
    await done(server, "import", "users", file)
    assert kept()[0] == (before[0][0] + 1,)
