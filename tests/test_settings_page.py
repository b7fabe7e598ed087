"""What people are shown of the settings: the list of all with their values, and the page in docs/."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from settings_given import APP_SECRET, APPID, OTHER_APPID, OTHER_SECRET, PASSWORD, private, variables
from settings_page import settings_page

import settings
from settings import KNOBS, Knob, Loaded, Secret, describe

pytest_plugins = ["settings_reader"]
pytestmark = pytest.mark.quick


def test_describe_shows_every_setting_and_no_secret(read: Callable[..., Loaded]) -> None:
    environ = variables(
        appid=APPID,
        appsecret=APP_SECRET,
        database=f"mysql://menshen:{PASSWORD}@db/n",
        sessions=f"rediss://me:{PASSWORD}@[::1]/3",
        trusted_proxies="10.0.0.0/8,::1",
    )
    toml = f'[[apps]]\nappid = "{OTHER_APPID}"\nsecret = "{OTHER_SECRET}"\nname = "The shop"'
    rows = describe(read(toml, environ, port="0").settings)
    shown = {row.name: row.value for row in rows}
    assert [row.name for row in rows] == [*(key.upper() for key in KNOBS), "APPS"]
    assert shown["APPSECRET"] == "***"
    assert shown["DATABASE"] == "mysql://menshen:***@db:3306/n"
    assert shown["SESSIONS"] == "rediss://me:***@[::1]:6379/3"
    assert shown["TRUSTED_PROXIES"] == "10.0.0.0/8, ::1/128"
    assert shown["APPS"] == f"{APPID}, {OTHER_APPID} (The shop)"
    assert (shown["SESSION_REASONS"], shown["PUBLIC_URL"]) == ("true", "")
    assert next(row for row in rows if row.name == "PORT").source == "command line --port"
    for secret in (APP_SECRET, OTHER_SECRET, PASSWORD):
        assert secret not in str(rows)


@pytest.mark.parametrize("knob", KNOBS.values(), ids=KNOBS)
def test_every_knob_has_one_sentence_in_both_languages(knob: Knob) -> None:
    assert re.fullmatch(r"[A-Z`].{20,118}\.", knob.sentence)
    assert re.search(r"[\u4e00-\u9fff]", knob.sentence_zh)
    assert knob.sentence_zh.endswith("。")


def test_the_sentences_are_shown_in_the_readers_language(read: Callable[..., Loaded]) -> None:
    loaded = read()
    assert describe(loaded.settings, "zh_CN")[0].sentence == KNOBS["address"].sentence_zh
    assert describe(loaded.settings, "en")[0].sentence == KNOBS["address"].sentence


def test_a_knob_is_one_line_of_the_source() -> None:
    source = Path(settings.__file__).read_text(encoding="utf-8").splitlines()
    for knob in KNOBS.values():
        assert len([line for line in source if line.startswith(f"    {knob.key}: ") and knob.sentence_zh in line]) == 1


# --- the page ------------------------------------------------------------------------------------------------------


def test_the_page_in_docs_is_the_one_made_from_the_table() -> None:
    page = Path(settings.__file__).parent / "docs" / "settings.md"
    assert page.read_text(encoding="utf-8") == settings_page(), "run `make docs`"


def test_the_page_names_every_setting_with_its_default_and_sentence() -> None:
    rows = {line.split("`")[1]: line for line in settings_page().splitlines() if line.startswith("| `")}
    assert list(rows) == [key.upper() for key in KNOBS]
    for knob in KNOBS.values():
        assert rows[knob.name].count("|") == 5
        assert f"| `{knob.default}` |" in rows[knob.name] or not knob.default
        assert rows[knob.name].endswith(f"| {knob.sentence} |")


def test_the_example_of_the_page_loads(read: Callable[..., Loaded], tmp_path: Path) -> None:
    example = settings_page().split("```toml\n")[1].split("```")[0]
    private(tmp_path / "database.url", f"mysql://menshen:{PASSWORD}@127.0.0.1:3306/menshen")
    private(tmp_path / "clinic.appsecret", APP_SECRET)
    push = {"CLINIC_PUSH_TOKEN": "AAAAA", "CLINIC_PUSH_KEY": "A" * 43}
    loaded = read(example, {"SHOP_APPSECRET": OTHER_SECRET, **push})
    assert loaded.warnings == ()
    assert [app.name for app in loaded.settings.apps] == ["The shop", "The clinic"]
    assert [app.push_token for app in loaded.settings.apps] == [None, Secret("AAAAA")]
    assert [app.push_key for app in loaded.settings.apps] == [None, Secret("A" * 43)]
    assert loaded.settings.session_sliding
    assert loaded.settings.session_max_seconds == 30 * 86_400
