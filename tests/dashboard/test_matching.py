"""Whom "everything that this filter matches" reaches, on both pairs of stores."""

from collections.abc import AsyncIterator

import pytest
from inhabited import OTHER, House
from msgspec.structs import replace
from product import APPID

from actions.matching import ids_matching, preview
from actions.questions import Question

pytest_plugins = ["inhabited_house"]


async def collected(batches: AsyncIterator[list[bytes]]) -> list[bytes]:
    return [each async for batch in batches for each in batch]


class TestMatching:
    @pytest.mark.gen_test
    async def test_it_is_what_holds_and_fits_and_nothing_else(self, house: House) -> None:
        mei, han, zoe = await house.person("Mei"), await house.person("Han"), await house.person("Zoe", OTHER)
        await house.comes(mei, "kept", platform="ios")
        await house.comes(mei, "other platform")
        await house.comes(han, "kept too", platform="ios", ago=60)
        await house.comes(han, "ended", platform="ios")
        await house.comes(han, "ended unnoted", platform="ios")
        await house.comes(zoe, "of another", platform="ios")
        await house.end("ended", "revoked")
        await house.end("ended unnoted", "revoked", noted=False)
        question = Question.of({"platform": "ios"})
        expected = {house.sessions[name] for name in ("kept", "kept too")}
        assert set(await collected(ids_matching(house.backend, (APPID,), question))) == expected
        found = await preview(house.backend, (APPID,), question)
        assert (found.sessions, found.users, found.whole) == (2, 2, True)
        assert house.names(found.sample) == ["kept", "kept too"]
        everywhere = {*expected, house.sessions["of another"]}
        assert set(await collected(ids_matching(house.backend, None, question))) == everywhere

    @pytest.mark.gen_test
    async def test_a_shorter_lifetime_in_the_settings_hides_nobody_who_is_still_in(self, house: House) -> None:
        mei = await house.person("Mei")
        await house.comes(mei, "long", ago=3_600)
        house.backend.lifetime = replace(house.backend.lifetime, seconds=60)
        assert await collected(ids_matching(house.backend, None, Question())) == [house.sessions["long"]]

    @pytest.mark.gen_test
    async def test_ended_ones_are_not_ended_again(self, house: House) -> None:
        mei = await house.person("Mei")
        await house.comes(mei, "m")
        assert await collected(ids_matching(house.backend, None, Question(state="ended"))) == []
        assert (await preview(house.backend, None, Question(state="expired"))).sessions == 0

    @pytest.mark.gen_test
    async def test_a_search_narrows_it_as_it_narrows_the_list(self, house: House) -> None:
        mei, han = await house.person("Mei"), await house.person("Han")
        await house.comes(mei, "m")
        await house.comes(han, "h")
        for text in ("Mei", str(mei.id), mei.openid, house.sessions["m"].hex()):
            found = await collected(ids_matching(house.backend, None, Question.of({"q": text})))
            assert found == [house.sessions["m"]], text
            assert await collected(ids_matching(house.backend, (OTHER,), Question.of({"q": text}))) == [], text
        assert await collected(ids_matching(house.backend, None, Question.of({"q": "Nobody"}))) == []

    @pytest.mark.gen_test
    async def test_what_is_too_much_to_count_is_said_to_be_more(self, house: House) -> None:
        mei = await house.person("Mei")
        for n in range(5):
            await house.comes(mei, f"s{n}")
        found = await preview(house.backend, None, Question(), most=3)
        assert (found.sessions, found.whole) == (3, False)
        assert len(found.sample) == 5
