"""The overview against what really happened: logins through the simulator, days that pass, stores that go away."""

import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from backends import BACKENDS
from backends import Backend as Stores
from phone import WeChat
from product import APPID, APPSECRET
from servers import MariaDB, RedisServer

import process
import settings
from actions import Actor, Backend, Caller, LoggedIn, erase, log_in, verify
from actions.figures import Numbers, Overview, overview
from actions.outcomes import MOST_A_MINUTE
from handlers.pages import words_in
from stores.figures import DAY_HOURS, HOUR_SECONDS
from stores.keys import make_keys
from wechat.errors import WeChatTrouble

OTHER = "wx0000000000000002"
DAY = DAY_HOURS * HOUR_SECONDS
ANDROID = Caller("192.0.2.1", "android", "12", "release")
IPHONE = Caller("192.0.2.2", "ios", "13", "release")


def loaded(folder: Path, wechat: WeChat, given: dict[str, str]) -> settings.Settings:
    environ = {"WECHAT_BASE": wechat.base, "APPID": APPID, "APPSECRET": APPSECRET, "DATA_DIR": str(folder), **given}
    return settings.load({}, {f"MENSHEN_{name}": value for name, value in environ.items()}).settings


@contextlib.asynccontextmanager
async def running(folder: Path, wechat: WeChat, given: dict[str, str]) -> AsyncIterator[Backend]:
    """The backend of a server process, without its ports."""
    made = loaded(folder, wechat, given)
    make_keys(folder)
    await process.upgrade(made)
    async with process.opened(made) as backend:
        await backend.epochs.know([APPID])
        await backend.sessions.set_epochs(await backend.epochs.all())
        yield backend


async def come(backend: Backend, wechat: WeChat, who: str, caller: Caller = ANDROID) -> LoggedIn:
    return await log_in(backend, code=await wechat.login(who), appid=APPID, caller=caller)


async def look(backend: Backend, now: int | None = None) -> Overview:
    await backend.uses.flush(backend.now())
    await backend.figures.flush()
    return await overview(backend, [APPID], backend.now() if now is None else now)


async def numbers(backend: Backend, now: int | None = None) -> Numbers:
    found = (await look(backend, now)).numbers
    assert found is not None
    return found


def keys(seen: Overview) -> set[str]:
    return {concern.key for concern in seen.warnings}


@pytest.mark.gen_test
async def test_it_says_what_happened(backend: Stores, wechat: WeChat, tmp_path: Path) -> None:
    async with running(tmp_path, wechat, backend.fresh()) as here:
        await come(here, wechat, "mei")
        await come(here, wechat, "mei", IPHONE)
        lan = await come(here, wechat, "lan", Caller("192.0.2.3"))
        with pytest.raises(WeChatTrouble):
            await log_in(here, code="no-such-code", appid=APPID, caller=ANDROID)
        seen = await look(here)
        found = seen.numbers
        assert found is not None
        assert seen.active == 3
        assert (found.users, found.new_today, found.new_week, found.new_week_before) == (2, 2, 2, 0)
        assert (found.dau, found.wau, found.mau) == (2, 2, 2)
        for slots in (found.hours, found.days):
            assert (slots[-1].logins, slots[-1].new, slots[-1].refused) == (3, 2, 1)
            assert sum(slot.logins for slot in slots) == 3
        assert (len(found.hours), len(found.days), found.days[-1].people) == (24, 30, 2)
        assert [(refused.errcode, refused.n) for refused in found.refused] == [(40029, 1)]
        assert [(part.name, part.n) for part in found.platforms] == [("android", 1), ("ios", 1), ("unknown", 1)]
        assert [(part.name, part.n) for part in found.versions] == [("12", 1), ("13", 1), ("unknown", 1)]
        assert [(part.name, part.n, part.percent) for part in found.environments] == [
            ("release", 2, 66.7),
            ("unknown", 1, 33.3),
        ]
        [talk] = seen.wechat
        assert (talk.calls, talk.breaker_open, talk.refused) == (4, False, None)
        assert talk.p50_ms is not None
        assert talk.p95_ms is not None
        assert talk.p50_ms <= talk.p95_ms
        assert {store.name: store.answers for store in seen.stores} == {"database": True, "sessions": True}
        assert keys(seen) == set()
        await here.sessions.end([(await verify(here, lan.token, "192.0.2.3")).session.id], "logged_out", here.now())
        here.active_sessions._counts.clear()
        assert (await look(here)).active == 2


@pytest.mark.gen_test
async def test_days_pass_and_people_leave(
    backend: Stores, wechat: WeChat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, wechat, backend.fresh() | {"SESSION_SECONDS": "90d"}) as here:
        start = here.now()
        mei, lan = await come(here, wechat, "mei"), await come(here, wechat, "lan")
        await numbers(here)
        later = start + 7 * DAY
        monkeypatch.setattr(here, "now", lambda: later)
        await verify(here, mei.token, "192.0.2.1")
        await come(here, wechat, "hui")
        found = await numbers(here)
        assert (found.dau, found.wau, found.mau) == (2, 2, 3)
        assert (found.new_today, found.new_week, found.new_week_before) == (1, 1, 2)
        assert [slot.people for slot in found.days if slot.people] == [2, 2]
        await erase(here, Actor("shell:test"), lan.user.id, APPID)
        await erase(here, Actor("shell:test"), mei.user.id, APPID)
        found = await numbers(here)
        assert (found.users, found.dau, found.wau, found.mau) == (1, 1, 1, 1)
        found = await numbers(here, later + 40 * DAY)
        assert (found.users, found.dau, found.wau, found.mau, found.new_week) == (1, 0, 0, 0, 0)
        assert sum(slot.logins for slot in found.days) == 0


@pytest.mark.gen_test
async def test_two_processes_show_the_same_sums(backend: Stores, wechat: WeChat, tmp_path: Path) -> None:
    given = backend.fresh()
    async with running(tmp_path, wechat, given) as one, running(tmp_path, wechat, given) as other:
        for n in range(6):
            await come(one if n % 2 else other, wechat, f"person-{n // 2}")
        await look(one)
        assert await numbers(other) == await numbers(one, other.now())
        found = await numbers(one)
        assert (found.users, found.dau, found.days[-1].logins, found.days[-1].new) == (3, 3, 6, 3)


@pytest.mark.gen_test
async def test_of_other_mini_programs_it_shows_nothing(wechat: WeChat, tmp_path: Path) -> None:
    async with running(tmp_path, wechat, {}) as here:
        await come(here, wechat, "mei")
        await here.figures.flush()
        seen = await overview(here, [OTHER], here.now())
        assert seen.numbers is not None
        assert (seen.active, seen.numbers.users, seen.numbers.dau) == (0, 0, 0)
        assert sum(slot.logins for slot in (*seen.numbers.hours, *seen.numbers.days)) == 0
        assert seen.numbers.platforms == ()
        nobody = await overview(here, [], here.now())
        assert nobody.numbers is not None
        assert (nobody.active, nobody.numbers.users, nobody.wechat) == (0, 0, ())


class TestConcerns:
    @pytest.mark.gen_test
    async def test_an_address_that_is_not_on_wechats_list_is_named(self, wechat: WeChat, tmp_path: Path) -> None:
        async with running(tmp_path, wechat, {}) as here, running(tmp_path, wechat, {}) as other:
            await wechat.fault(40164)
            with pytest.raises(WeChatTrouble):
                await come(here, wechat, "mei")
            [concern] = (await look(here)).warnings
            assert concern.key == "config_refused"
            assert (concern.values["appid"], concern.values["errcode"]) == (APPID, 40164)
            assert concern.values["egress"] == "127.0.0.1"
            [told] = (await look(other)).warnings
            assert (told.key, told.values["errcode"], told.values["egress"]) == ("config_refused", 40164, "")
            await come(other, wechat, "mei")
            assert keys(await look(other)) == set()

    @pytest.mark.gen_test
    async def test_it_is_over_when_somebody_logs_in(
        self, wechat: WeChat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with running(tmp_path, wechat, {}) as here:
            await wechat.fault(40125)
            with pytest.raises(WeChatTrouble):
                await come(here, wechat, "mei")
            assert keys(await look(here)) == {"config_refused"}
            monkeypatch.setattr(here.wechat._ledger(APPID), "now", lambda: here.now() + 1)
            await come(here, wechat, "mei")
            assert keys(await look(here)) == set()

    @pytest.mark.gen_test
    async def test_codes_of_another_mini_program_are_told_when_nobody_gets_in(
        self, wechat: WeChat, tmp_path: Path
    ) -> None:
        async with running(tmp_path, wechat, {}) as here:
            for n in range(20):
                with pytest.raises(WeChatTrouble):
                    await log_in(here, code=f"wrong-{n}", appid=APPID, caller=ANDROID)
            assert keys(await look(here)) == {"codes_refused"}
            await come(here, wechat, "mei")
            assert keys(await look(here)) == set()

    @pytest.mark.gen_test
    async def test_a_full_quota_and_a_proxy_that_is_not_trusted_are_told(self, wechat: WeChat, tmp_path: Path) -> None:
        async with running(tmp_path, wechat, {}) as here:
            await wechat.fault(45009)
            with pytest.raises(WeChatTrouble):
                await come(here, wechat, "mei")
            await here.figures.flush()
            seen = await overview(here, [APPID], here.now(), misled=True)
            assert keys(seen) == {"breaker_open", "proxy_not_trusted"}
            assert seen.wechat[0].breaker_open

    @pytest.mark.gen_test
    async def test_an_audit_file_that_cannot_be_written_is_told(self, wechat: WeChat, tmp_path: Path) -> None:
        async with running(tmp_path, wechat, {}) as here:
            (tmp_path / "audit.log").mkdir()
            mei = await come(here, wechat, "mei")
            await erase(here, Actor("shell:test"), mei.user.id, APPID)
            assert keys(await look(here)) == {"audit_file_away"}
            (tmp_path / "audit.log").rmdir()
            lan = await come(here, wechat, "lan")
            await erase(here, Actor("shell:test"), lan.user.id, APPID)
            assert keys(await look(here)) == set()

    @pytest.mark.gen_test
    async def test_every_concern_has_words_in_both_languages(self) -> None:
        source = (Path(process.__file__).parent / "actions" / "figures.py").read_text("utf-8")
        told = set(re.findall(r'Concern\("(\w+)"', source)) | {"redis_too_old", "redis_not_persistent"}
        told |= {"redis_evicts", "redis_open"}
        assert len(told) == 12
        for language in ("en", "zh_CN"):
            words = vars(words_in(language).warnings)
            for key in told:
                assert words[key].kind in ("bad", "warn")
                assert words[key].title
                assert words[key].advice

    @pytest.mark.gen_test
    async def test_a_redis_that_forgets_is_told(
        self, wechat: WeChat, tmp_path: Path, redis_server: RedisServer, mariadb: MariaDB
    ) -> None:
        given = Stores(BACKENDS[1], mariadb, redis_server).fresh()
        async with running(tmp_path, wechat, given) as here:
            with redis_server.client(0) as client:
                client.config_set("appendonly", "no")
                try:
                    assert keys(await look(here)) == {"redis_not_persistent"}
                finally:
                    client.config_set("appendonly", "yes")

    @pytest.mark.gen_test
    async def test_it_is_shown_while_stores_are_away_and_says_which(
        self, wechat: WeChat, tmp_path: Path, redis_server: RedisServer, mariadb: MariaDB
    ) -> None:
        given = Stores(BACKENDS[1], mariadb, redis_server).fresh()
        async with running(tmp_path, wechat, given) as here:
            await come(here, wechat, "mei")
            assert keys(await look(here)) == set()
            here.active_sessions._counts.clear()
            redis_server.stop()
            seen = await look(here)
            assert seen.active is None
            assert seen.numbers is not None
            assert seen.numbers.users == 1
            assert [(told.key, told.values["store"]) for told in seen.warnings] == [("store_away", "sessions")]
            mariadb.stop()
            seen = await look(here)
            assert (seen.active, seen.numbers) == (None, None)
            assert [told.values["store"] for told in seen.warnings] == ["database", "sessions"]
            mariadb.start()
            redis_server.start()
            for _ in range(100):
                await here.health.look(here.now())
                if all(store.answers for store in here.health.stores):
                    break
            assert keys(await look(here)) == set()


@pytest.mark.gen_test
async def test_whoever_guesses_codes_all_day_fills_no_disk(wechat: WeChat, tmp_path: Path) -> None:
    async with running(tmp_path, wechat, {"LOGIN_LIMIT": "1"}) as here:
        minute = here.now() // 60
        for n in range(3):
            with contextlib.suppress(Exception):
                await log_in(here, code=f"guess-{n}", appid=APPID, caller=ANDROID)
        taken = sum(here.ration.take(minute * 60) for _ in range(2 * MOST_A_MINUTE))
        assert MOST_A_MINUTE - 3 <= taken <= MOST_A_MINUTE
        assert here.ration.take((minute + 1) * 60 + 60)
        found = await numbers(here)
        assert sum(refused.n for refused in found.refused) == 3
        assert {refused.errcode for refused in found.refused} >= {40029}
