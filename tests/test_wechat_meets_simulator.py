"""The WeChat client asks the WeChat simulator: the two have been written apart and must understand each other."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from odd_servers import App, Hidden, asking, log_in, on_a_loop

from wechat.answers import Identity
from wechat.client import WeChat
from wechat.errors import (
    CodeRefused,
    CodeUsed,
    UserHighRisk,
    WeChatBusy,
    WeChatMisconfigured,
    WeChatSilent,
    WeChatTrouble,
    WeChatUnreachable,
    WeChatUnusable,
)
from wechat.simulator import DEFAULT_APPID, DEFAULT_SECRET, Simulator


class Street:
    """A simulated WeChat, the client that asks it, and a hand on the simulator's controls."""

    def __init__(self, client: WeChat, control: aiohttp.ClientSession) -> None:
        self.client = client
        self._control = control

    async def drive(self, call: str, **fields: object) -> dict[str, Any]:
        async with self._control.post(f"/_sim/{call}", json=fields) as answer:
            assert answer.status == 200, await answer.text()
            found: dict[str, Any] = await answer.json()
            return found

    async def code(self, user: str = "mei") -> str:
        return str((await self.drive("login", user=user))["code"])

    async def log_in(
        self, user: str = "mei", *, seconds: float = 4.0, address: str = "::1"
    ) -> Identity | WeChatTrouble:
        code = await self.code(user)
        return await log_in(self.client, code=code, seconds=seconds, address=address, appid=DEFAULT_APPID)

    async def asked(self) -> int:
        return int((await self.drive("log"))["counts"].get("/sns/jscode2session", 0))


@asynccontextmanager
async def street(*, open_logins: int = 500) -> AsyncIterator[Street]:
    simulator = Simulator(seed=1)
    base = simulator.listen("127.0.0.1", 0)
    try:
        async with (
            asking(base, secret=DEFAULT_SECRET, open_logins=open_logins) as client,
            aiohttp.ClientSession(base) as control,
        ):
            yield Street(client, control)
    finally:
        await simulator.close()


def kinds(outcomes: Iterable[object]) -> list[str]:
    return sorted(type(outcome).__name__ for outcome in outcomes)


@on_a_loop
async def test_a_fresh_code_becomes_its_person_with_one_call() -> None:
    async with street() as here:
        mei, again, lei = await here.log_in("mei"), await here.log_in("mei"), await here.log_in("lei")
        known = await here.drive("user", user="mei")
        assert isinstance(mei, Identity)
        assert isinstance(again, Identity)
        assert isinstance(lei, Identity)
        assert mei.openid == again.openid == known["openid"] != lei.openid
        assert mei.unionid is None
        assert len(mei.session_key.reveal()) == 16
        assert await here.asked() == 3


@on_a_loop
async def test_an_app_under_an_open_platform_account_tells_the_unionid() -> None:
    async with street() as here:
        await here.drive("app", appid=DEFAULT_APPID, bound_open_platform=True)
        person = await here.log_in()
        assert isinstance(person, Identity)
        assert person.unionid == (await here.drive("user", user="mei"))["unionid"]


@on_a_loop
async def test_a_used_an_unknown_and_an_old_code_and_a_blocked_person_are_told_apart() -> None:
    async with street() as here:
        code = await here.code()
        first = await log_in(here.client, code=code, appid=DEFAULT_APPID)
        second = await log_in(here.client, code=code, appid=DEFAULT_APPID)
        unknown = await log_in(here.client, code="0" * 32, appid=DEFAULT_APPID)
        old = await here.code()
        await here.drive("clock", advance=301)
        late = await log_in(here.client, code=old, appid=DEFAULT_APPID)
        await here.drive("user", user="mei", blocked=True)
        blocked = await here.log_in()
        outcomes = [first, second, unknown, late, blocked]
        assert [type(outcome) for outcome in outcomes] == [Identity, CodeUsed, CodeRefused, CodeRefused, UserHighRisk]
        assert all(isinstance(outcome, Identity) or outcome.rid for outcome in outcomes[:-1])


@on_a_loop
async def test_fifty_questions_with_one_code_make_one_person() -> None:
    async with street() as here:
        code = await here.code()
        outcomes = await asyncio.gather(*(log_in(here.client, code=code, appid=DEFAULT_APPID) for _ in range(50)))
        assert kinds(outcomes) == ["CodeUsed"] * 49 + ["Identity"]


FAULTS: dict[str, type[WeChatTrouble]] = {
    **dict.fromkeys(("http_500", "http_502", "http_503", "http_504", "redirect", "close", "lost"), WeChatUnusable),
    **dict.fromkeys(("empty", "truncated", "html", "bad_utf8", "array", "no_openid"), WeChatUnusable),
    **dict.fromkeys(("huge", "gzip_bomb"), WeChatUnusable),
    **dict.fromkeys(("stall_headers", "stall_body", "drip"), WeChatSilent),
    **dict.fromkeys(("40125", "40013", "40164", "40243", "48001"), WeChatMisconfigured),
    **dict.fromkeys(("45009", "45011"), WeChatBusy),
    "string_errcode": CodeRefused,
    "40226": UserHighRisk,
    "99999": WeChatUnusable,
}


@pytest.mark.parametrize(("fault", "kind"), FAULTS.items(), ids=FAULTS)
@on_a_loop
async def test_every_fault_is_asked_once_named_and_over_for_the_next_person(
    fault: str, kind: type[WeChatTrouble]
) -> None:
    async with street() as here:
        await here.log_in("somebody before")  # so that the faulty answer meets a kept connection
        await here.drive("fault", kind=int(fault) if fault.isdigit() else fault)
        outcome = await here.log_in(seconds=0.8)
        assert isinstance(outcome, kind), outcome
        assert await here.asked() == 2
        assert (await here.drive("log"))["redirected"] == 0
        if fault != "45009":
            assert isinstance(await here.log_in("the next"), Identity)


@pytest.mark.parametrize("fault", ["content_type", "latency"])
@on_a_loop
async def test_odd_but_right_answers_are_taken(fault: str) -> None:
    async with street() as here:
        await here.drive("fault", kind=fault)
        assert isinstance(await here.log_in(), Identity)


@on_a_loop
async def test_a_busy_wechat_is_asked_twice_and_no_more() -> None:
    async with street() as here:
        await here.drive("fault", kind="busy", n=1)
        assert isinstance(await here.log_in(), Identity)
        assert await here.asked() == 2
        await here.drive("fault", kind="busy", n=9)
        assert isinstance(await here.log_in(), WeChatBusy)
        assert await here.asked() == 4


@on_a_loop
async def test_a_closed_port_is_unreachable_until_it_opens_again() -> None:
    async with street() as here:
        codes = [await here.code(), await here.code()]
        await here.drive("fault", kind="refuse", seconds=1)
        trouble = await log_in(here.client, code=codes[0], appid=DEFAULT_APPID)
        assert isinstance(trouble, WeChatUnreachable)
        assert not trouble.code_spent
        await asyncio.sleep(1.2)
        assert isinstance(await log_in(here.client, code=codes[0], appid=DEFAULT_APPID), Identity)


@on_a_loop
async def test_a_rotated_secret_is_wrong_until_the_new_one_is_taken_up() -> None:
    async with street() as here:
        await here.drive("app", appid=DEFAULT_APPID, secret="the-new-secret-of-the-app-000001")
        trouble = await here.log_in()
        assert isinstance(trouble, WeChatMisconfigured)
        assert trouble.errcode == 40125
        here.client.use({DEFAULT_APPID: App(Hidden("the-new-secret-of-the-app-000001"))})
        assert isinstance(await here.log_in(), Identity)


@on_a_loop
async def test_one_persons_quota_of_a_hundred_a_minute_stops_that_person_only() -> None:
    async with street() as here:
        outcomes = [await here.log_in("mei") for _ in range(101)]
        assert kinds(outcomes) == ["Identity"] * 100 + ["WeChatBusy"]
        assert isinstance(await here.log_in("lei"), Identity)


@on_a_loop
async def test_three_hundred_logins_ten_at_a_time_need_ten_connections() -> None:
    async with street() as here:
        codes = [await here.code(f"person {number}") for number in range(300)]
        for start in range(0, 300, 10):
            logins = (log_in(here.client, code=code, appid=DEFAULT_APPID) for code in codes[start : start + 10])
            assert kinds(await asyncio.gather(*logins)) == ["Identity"] * 10
        log = await here.drive("log")
        assert log["counts"]["/sns/jscode2session"] == 300
        assert log["connections"] <= 10


@on_a_loop
async def test_while_wechat_hangs_the_cap_holds_and_afterwards_all_is_well() -> None:
    async with street(open_logins=100) as here:
        codes = [await here.code(f"person {number}") for number in range(150)]
        await here.drive("fault", kind="stall_headers", n=100)
        outcomes = await asyncio.gather(
            *(log_in(here.client, code=code, appid=DEFAULT_APPID, seconds=1.5) for code in codes)
        )
        assert kinds(outcomes) == ["WeChatBusy"] * 50 + ["WeChatSilent"] * 100
        assert await here.asked() == 100
        started = asyncio.get_running_loop().time()
        assert isinstance(await here.log_in(), Identity)
        assert asyncio.get_running_loop().time() - started < 1.0
