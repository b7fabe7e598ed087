"""The key file: made once, read by its owner alone, and never guessed at when it is damaged."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stores.keys import FILE_NAME, KeysUnreadable, load_keys, make_keys

pytestmark = pytest.mark.quick


def test_the_first_start_makes_keys_and_every_later_one_finds_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    keys = make_keys(folder)
    assert load_keys(folder) == make_keys(folder) == keys
    assert {len(each) for each in (*keys.sealing.values(), keys.session_mark, keys.person_mark)} == {32}
    assert len({*keys.sealing.values(), keys.session_mark, keys.person_mark}) == 3
    assert keys.current in keys.sealing


def test_reading_makes_no_keys_and_no_folder(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with pytest.raises(KeysUnreadable, match=f"no keys in {folder}"):
        load_keys(folder)
    assert not folder.exists()


def test_only_the_owner_can_read_them_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make_keys(tmp_path / "data")
    finally:
        os.umask(before)
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "data" / FILE_NAME).stat().st_mode & 0o777 == 0o600
    assert [each.name for each in (tmp_path / "data").iterdir()] == [FILE_NAME]


def test_two_installations_have_no_key_in_common(tmp_path: Path) -> None:
    one, other = make_keys(tmp_path / "one"), make_keys(tmp_path / "other")
    assert not {*one.sealing.values(), one.session_mark, one.person_mark} & {
        *other.sealing.values(),
        other.session_mark,
        other.person_mark,
    }


def test_servers_that_start_at_once_agree_on_the_keys(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        for n in range(20):
            found = list(pool.map(make_keys, [tmp_path / f"data-{n}"] * 8))
            assert all(each == found[0] for each in found)
            assert [each.name for each in (tmp_path / f"data-{n}").iterdir()] == [FILE_NAME]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_a_file_that_others_can_open_is_refused_with_the_way_out(tmp_path: Path, mode: int) -> None:
    make_keys(tmp_path)
    (tmp_path / FILE_NAME).chmod(mode)
    with pytest.raises(KeysUnreadable, match="chmod 600"):
        load_keys(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "[]",
        "null",
        "{}",
        "{",
        '{"current": 1, "sealing": {}, "session_mark": "", "person_mark": ""}',
        '{"current": 1, "sealing": [], "session_mark": "", "person_mark": ""}',
        "\x00" * 100,
    ],
)
def test_a_damaged_file_is_refused_and_left_alone(tmp_path: Path, damage: str) -> None:
    make_keys(tmp_path)
    (tmp_path / FILE_NAME).write_text(damage)
    with pytest.raises(KeysUnreadable, match="damaged"):
        load_keys(tmp_path)
    assert (tmp_path / FILE_NAME).read_text() == damage


@pytest.mark.parametrize("part", ["session_mark", "person_mark", "current", "sealing"])
def test_a_file_with_a_part_missing_or_too_short_is_refused(tmp_path: Path, part: str) -> None:
    make_keys(tmp_path)
    path = tmp_path / FILE_NAME
    whole = json.loads(path.read_text())
    for value in (None, "c2hvcnQ=", 2, {"1": "c2hvcnQ="}):
        path.write_text(json.dumps({**whole, part: value}))
        with pytest.raises(KeysUnreadable) as told:
            load_keys(tmp_path)
        assert whole["session_mark"] not in str(told.value)
    path.write_text(json.dumps({name: value for name, value in whole.items() if name != part}))
    with pytest.raises(KeysUnreadable):
        load_keys(tmp_path)


def test_a_file_of_bytes_that_are_no_text_is_refused(tmp_path: Path) -> None:
    make_keys(tmp_path)
    (tmp_path / FILE_NAME).write_bytes(b"\xff\xfe" * 50)
    with pytest.raises(KeysUnreadable):
        load_keys(tmp_path)


def test_keys_do_not_print_themselves(tmp_path: Path) -> None:
    keys = make_keys(tmp_path)
    text = repr(keys)
    for each in (*keys.sealing.values(), keys.session_mark, keys.person_mark):
        assert repr(each) not in text
        assert each.hex() not in text
