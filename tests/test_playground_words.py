"""The playground in two languages, each said to the end, and which of them is shown."""

import json
import re

import pytest
from phone import Network
from playground_visit import visit
from playwright.async_api import Browser, expect
from product import ROOT, DevServer

from handlers.pages import LANGUAGES, TEMPLATES, wished_language


class TestWords:
    def test_both_languages_say_the_same_things(self) -> None:
        chinese, english = words("zh_CN"), words("en")
        assert list(chinese) == list(english)
        assert all(word.strip() for word in [*chinese.values(), *english.values()])
        for name in chinese:
            assert places(chinese[name]) <= places(english[name]), name

    def test_the_script_asks_for_no_word_that_is_not_there(self) -> None:
        asked = set(re.findall(r"\bwords\.(\w+)", (ROOT / "static/playground.js").read_text("utf-8")))
        there = {name.partition(".")[2] for name in words("en") if name.startswith("script.")}
        assert asked - there == set()
        assert {f"said_{retry}" for retry in ("login", "backoff", "fix", "never")} <= there

    @pytest.mark.parametrize(
        ("header", "language"),
        [
            ("zh-CN,zh;q=0.9,en;q=0.8", "zh_CN"),
            ("en-GB", "en"),
            ("zh-Hant-TW", "zh_CN"),
            ("fr, en;q=0.3, zh;q=0.5", "zh_CN"),
            ("en, zh", "en"),
            ("zh;q=0, en;q=0.001", "en"),
            ("EN", "en"),
            ("", None),
            ("fr-FR, *;q=0.5", None),
            ("zh;q=oops, english", None),
            (";;q=1,,,", None),
        ],
    )
    def test_the_browser_s_wish_is_read(self, header: str, language: str | None) -> None:
        assert wished_language(header) == language

    @pytest.mark.gen_test
    @pytest.mark.parametrize(
        ("query", "accepted", "lang"),
        [
            ("", "en", "en"),
            ("?lang=zh", "en", "zh-CN"),
            ("?lang=en", "zh", "en"),
            ("?lang=xx", "en", "en"),
            ("?lang=%ff", "en", "en"),
            ("", "fr", "zh-CN"),  # the setting LANGUAGE
        ],
    )
    async def test_the_link_wins_over_the_browser_and_that_over_the_setting(
        self, dev: DevServer, network: Network, query: str, accepted: str, lang: str
    ) -> None:
        answer = await network.ask("GET", f"{dev.base}/{query}", headers={"Accept-Language": accepted})
        assert answer.status == 200
        assert answer.headers["Content-Language"] == lang
        assert f'<html lang="{lang}">' in answer.body.decode()

    @pytest.mark.gen_test
    @pytest.mark.parametrize(("locale", "other"), [("zh-CN", "en"), ("en-US", "zh_CN")])
    async def test_each_language_is_spoken_to_the_end(
        self, chromium: Browser, dev: DevServer, locale: str, other: str
    ) -> None:
        async with visit(chromium, dev, locale=locale) as at:
            await expect(at.page.locator("html")).to_have_attribute(
                "lang", locale[:2] + ("-CN" if other == "en" else "")
            )
            await at.press("wx_login", "log_in", "verify", "sessions", "log_out", "verify")
            await at.page.context.set_offline(offline=True)
            await at.press("wx_login")
            await at.page.context.set_offline(offline=False)
            at.complaints.clear()  # Chromium says that it is offline
            text = await at.page.locator("body").inner_text()
        own = words("zh_CN" if other == "en" else "en")
        foreign = {
            word for name, word in words(other).items() if word != own[name] and len(word) > 8 and "{" not in word
        }
        assert not [word for word in foreign if word in text]
        assert not re.search(r"undefined|\{\w+\}|\bsaid_|\bwhy_", text)
        assert other == "en" or not re.search(r"[\u4e00-\u9fff]", text.replace("中文", ""))


def words(language: str) -> dict[str, str]:
    """Return every word of a language by its full name."""
    assert language in LANGUAGES.values()
    table = json.loads((TEMPLATES / "words" / f"{language}.json").read_text("utf-8"))
    return {f"{page}.{name}": word for page, told in table.items() for name, word in told.items()}


def places(word: str) -> set[str]:
    return set(re.findall(r"\{\w+\}", word))
