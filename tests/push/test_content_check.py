"""CONTENT_CHECK: what people write and show is seen by others only when WeChat lets it pass."""

import asyncio
import base64
import contextlib
import json
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from backends import Backend
from children import Child
from operator_at import change
from phone import Answer, Network, Phone
from product import APPID, APPSECRET, Product, Simulator
from pushing import KEY, TOKEN, Pusher, event, taken
from shell import settings_of
from test_avatar import part, picture, send, upload
from verdicts import refused, succeeded

import process
from actions.content import forget_held
from wechat.simulator.content import RISKY_TEXT

Phones = Callable[..., list[Phone]]
MakeServer = Callable[..., Product]
TEXT, MEDIA = "/wxa/msg_sec_check", "/wxa/media_check_async"
PUBLIC = "https://login.example.com"
ON = {"CONTENT_CHECK": "on", "PUBLIC_URL": PUBLIC, "PUSH_TOKEN": TOKEN, "PUSH_KEY": KEY}

pytestmark = pytest.mark.gen_test(timeout=60)


@pytest.fixture(scope="module")
def running(folder: Path, children: list[Child], simulator: Simulator) -> Product:
    """The one server with CONTENT_CHECK, on SQLite, that most tests share."""
    at = {"WECHAT_BASE": simulator.base, "APPID": APPID, "APPSECRET": APPSECRET, "LOGIN_LIMIT": 0}
    product = Product(folder / "checking", {**at, **ON})
    product.never_logged |= {TOKEN, KEY}
    children.append(product)
    product.start()
    return product


@pytest.fixture
def checking(running: Product) -> Iterator[Product]:
    yield running
    running.check_log()


@pytest.fixture(scope="module")
def on_each(file_server: MakeServer, backend: Backend) -> Product:
    """One with CONTENT_CHECK on each backend."""
    product = file_server(LOGIN_LIMIT=0, **ON, **backend.fresh())
    product.never_logged |= {TOKEN, KEY}
    return product


@pytest.fixture
def mei(checking: Product, phones: Phones) -> Phone:
    return phones(1, at=checking)[0]


async def put(phone: Phone, **fields: object) -> Answer:
    return await phone.request("PUT", "/api/me", json=fields, headers=phone.bearer)


async def shown(phone: Phone) -> Any:
    return succeeded(await phone.me())


async def sent(phone: Phone) -> str:
    """Send a picture; gives the path at which WeChat finds it, which the phone is not told."""
    before = (await shown(phone))["avatar_url"]
    answer = succeeded(await send(phone, upload(part(picture()))))
    assert (answer["checking"], answer["avatar_url"]) == (True, before)
    url = str((await phone.wechat.tell("state"))["media_checks"][-1]["media_url"])
    assert url.startswith(f"{PUBLIC}/avatars/")
    return urlsplit(url).path


async def judged(phone: Phone, **fields: object) -> None:
    """Let WeChat push its verdict on the newest picture to the phone's server."""
    push_url = f"{phone.server.base}/wechat/push/{APPID}"
    await phone.wechat.app(push_url=push_url, push_token=TOKEN, push_key=KEY, push_mode="secure")
    told = await phone.wechat.tell("media_result", **fields)
    assert told["accepted"] == (not fields.get("wrongly_signed")), told


async def status(phone: Phone, path: str) -> int:
    return (await phone.request("GET", path)).status


class TestNicknames:
    async def test_one_that_passes_is_kept_and_only_a_new_one_is_asked_about(
        self, on_each: Product, phones: Phones
    ) -> None:
        mei, before = phones(2, at=on_each)
        succeeded(await before.login())
        await put(before, nickname="Mei")  # with a token that an earlier test may have left
        already = await mei.wechat.asked(TEXT)
        succeeded(await mei.login())
        for _ in range(2):
            assert succeeded(await put(mei, nickname="小明👋"))["nickname"] == "小明👋"
        assert await mei.wechat.asked(TEXT) == already + 1
        for nickname in (" ", "", None):
            assert succeeded(await put(mei, nickname=nickname))["nickname"] == nickname
        refused(await put(mei, nickname="x" * 65), 400001, field="nickname")
        assert await mei.wechat.asked(TEXT) == already + 1

    async def test_a_risky_one_is_refused_by_name_and_nothing_of_the_request_is_kept(
        self, checking: Product, mei: Phone
    ) -> None:
        succeeded(await mei.login())
        succeeded(await put(mei, nickname="Mei"))
        checking.never_logged.add(RISKY_TEXT)
        theirs = "https://thirdwx.qlogo.cn/mmopen/vi_32/abc/132"
        refused(await put(mei, nickname=f"小{RISKY_TEXT}明", avatar_url=theirs), 400007, field="nickname")
        found = await shown(mei)
        assert (found["nickname"], found["avatar_url"]) == ("Mei", None)

    @pytest.mark.parametrize("suggest", ["review", "risky"])
    async def test_what_a_human_should_look_at_is_refused_like_what_is_risky(self, mei: Phone, suggest: str) -> None:
        succeeded(await mei.login())
        body = json.dumps({"errcode": 0, "errmsg": "ok", "result": {"suggest": suggest, "label": 20006}})
        await mei.wechat.fault("answer", path=TEXT, body=body)
        refused(await put(mei, nickname="Mei"), 400007, field="nickname")
        await mei.wechat.fault(87014, path=TEXT)
        refused(await put(mei, nickname="Mei"), 400007, field="nickname")
        assert (await shown(mei))["nickname"] is None

    @pytest.mark.parametrize(
        ("kind", "times", "errcode"),
        [
            ("busy", 2, 503003),
            ("44991", 1, 503003),
            ("45009", 1, 503003),
            ("48001", 1, 502001),
            ("43104", 1, 502002),
            ("lost", 1, 502002),
            ("http_500", 1, 502002),
            ("array", 1, 502002),
            ("no_openid", 1, 502002),
            ("stall_body", 1, 504001),
        ],
    )
    async def test_while_wechat_cannot_judge_nothing_is_kept_and_nobody_is_put_out(
        self, mei: Phone, kind: str, times: int, errcode: int
    ) -> None:
        succeeded(await mei.login())
        succeeded(await put(mei, nickname="before"))
        await mei.wechat.fault(kind, path=TEXT, n=times)
        refused(await put(mei, nickname="Mei"), errcode, retry="backoff")
        assert (await shown(mei))["nickname"] == "before"
        assert succeeded(await put(mei, nickname="Mei"))["nickname"] == "Mei"

    async def test_whom_wechat_has_not_seen_for_two_hours_logs_in_and_tries_again(self, mei: Phone) -> None:
        succeeded(await mei.login())
        await mei.wechat.clock(7_210)
        refused(await put(mei, nickname="Mei"), 400008)
        refused(await send(mei, upload(part(picture()))), 400008)
        succeeded(await mei.login())
        assert succeeded(await put(mei, nickname="Mei"))["nickname"] == "Mei"

    async def test_one_person_cannot_use_up_the_mini_program_s_quota(self, mei: Phone) -> None:
        succeeded(await mei.login())
        answers = [await put(mei, nickname=f"Mei {n}") for n in range(62)]  # a minute may turn meanwhile
        assert {answer.status for answer in answers} == {200, 429}
        refused(next(answer for answer in answers if answer.status == 429), 429001)
        assert await mei.wechat.asked(TEXT) <= 62  # one with a token that an earlier test left

    async def test_without_the_setting_nobody_is_asked(self, embedded: Product, phone: Phone) -> None:
        succeeded(await phone.login())
        assert succeeded(await put(phone, nickname=RISKY_TEXT))["nickname"] == RISKY_TEXT
        assert "checking" not in succeeded(await send(phone, upload(part(picture()))))
        assert set((await phone.wechat.log())["counts"]) == {"/sns/jscode2session"}


class TestPictures:
    async def test_one_is_shown_when_wechat_lets_it_pass_and_the_one_before_stays_until_then(
        self, on_each: Product, phones: Phones
    ) -> None:
        [mei] = phones(1, at=on_each)
        succeeded(await mei.login())
        first = await sent(mei)
        answer = await mei.request("GET", first)
        assert (answer.status, answer.headers["Content-Type"]) == (200, "image/jpeg")
        assert (await shown(mei))["avatar_url"] is None
        await judged(mei)
        assert (await shown(mei))["avatar_url"] == PUBLIC + first
        second = await sent(mei)
        assert [await status(mei, path) for path in (first, second)] == [200, 200]
        assert (await shown(mei))["avatar_url"] == PUBLIC + first
        await judged(mei, suggest="pass")
        assert (await shown(mei))["avatar_url"] == PUBLIC + second
        assert [await status(mei, path) for path in (first, second)] == [404, 200]

    async def test_one_that_does_not_pass_is_gone_and_the_one_before_stays(
        self, on_each: Product, phones: Phones
    ) -> None:
        [mei] = phones(1, at=on_each)
        succeeded(await mei.login())
        first = await sent(mei)
        await judged(mei)
        for verdict in ({"suggest": "risky"}, {"suggest": "review"}, {"errcode": -1008}):
            path = await sent(mei)
            await judged(mei, **verdict)
            assert [await status(mei, each) for each in (first, path)] == [200, 404], verdict
            assert (await shown(mei))["avatar_url"] == PUBLIC + first

    async def test_only_the_verdict_on_the_newest_one_counts(self, mei: Phone) -> None:
        succeeded(await mei.login())
        first = await sent(mei)
        [trace] = [each["trace_id"] for each in (await mei.wechat.tell("state"))["media_checks"]]
        second = await sent(mei)
        await judged(mei, trace_id=trace)
        assert (await shown(mei))["avatar_url"] is None
        assert [await status(mei, path) for path in (first, second)] == [404, 200]
        await judged(mei)
        await judged(mei, suggest="risky")  # a second word about the same picture
        assert (await shown(mei))["avatar_url"] == PUBLIC + second

    async def test_a_verdict_that_is_not_wechat_s_own_is_not_heard(
        self, checking: Product, mei: Phone, network: Network
    ) -> None:
        succeeded(await mei.login())
        path = await sent(mei)
        trace = (await mei.wechat.tell("state"))["media_checks"][-1]["trace_id"]
        await judged(mei, wrongly_signed=True)
        pusher = Pusher(checking, network)
        verdict = event("wxa_media_check", None, AppID=None, trace_id=trace, result={"suggest": "pass"}, errcode=0)
        refused(await pusher.plain({**verdict, "appid": APPID}), 403009)
        taken(await pusher.secure({**verdict, "appid": "wx0000000000000002"}))
        assert ((await shown(mei))["avatar_url"], await status(mei, path)) == (None, 200)
        taken(await pusher.secure({**verdict, "appid": APPID}))
        assert (await shown(mei))["avatar_url"] == PUBLIC + path

    async def test_a_verdict_without_a_clear_word_lets_nothing_pass(
        self, checking: Product, mei: Phone, network: Network
    ) -> None:
        succeeded(await mei.login())
        pusher = Pusher(checking, network)
        for said in ({}, {"result": "pass"}, {"result": {"suggest": "PASS"}}, {"isrisky": 0}, {"suggest": "pass"}):
            path = await sent(mei)
            trace = (await mei.wechat.tell("state"))["media_checks"][-1]["trace_id"]
            taken(await pusher.secure(event("wxa_media_check", None, appid=APPID, trace_id=trace, **said)))
            assert ((await shown(mei))["avatar_url"], await status(mei, path)) == (None, 404), said

    async def test_a_verdict_that_comes_before_its_number_is_written_down_is_waited_for(
        self, checking: Product, mei: Phone
    ) -> None:
        succeeded(await mei.login())
        path = await sent(mei)
        trace = (await mei.wechat.tell("state"))["media_checks"][-1]["trace_id"]
        mine = (await shown(mei))["id"]
        await change(checking, "UPDATE held_avatar SET trace_id = NULL WHERE user_id = :mine", mine=mine)
        verdict = asyncio.create_task(judged(mei))
        noted = "UPDATE held_avatar SET trace_id = :trace WHERE user_id = :mine"
        await change(checking, noted, trace=trace, mine=mine)
        await verdict
        assert (await shown(mei))["avatar_url"] == PUBLIC + path

    @pytest.mark.parametrize("how", ["put", "delete", "revoked"])
    async def test_who_changes_their_mind_takes_the_held_one_back(
        self, checking: Product, mei: Phone, network: Network, how: str
    ) -> None:
        succeeded(await mei.login())
        path = await sent(mei)
        if how == "put":
            succeeded(await put(mei, avatar_url=None))
        elif how == "delete":
            succeeded(await mei.request("DELETE", "/api/me", headers=mei.bearer))
        else:
            told = event("user_authorization_revoke", await mei.openid(), RevokeInfo="20")
            taken(await Pusher(checking, network).secure(told))
        assert await status(mei, path) == 404
        await judged(mei)
        succeeded(await mei.login())
        assert (await shown(mei))["avatar_url"] is None

    @pytest.mark.parametrize(
        ("kind", "errcode"), [("45009", 503003), ("87020", 503003), ("lost", 502002), ("48001", 502001)]
    )
    async def test_while_wechat_cannot_be_asked_no_picture_is_held(
        self, checking: Product, mei: Phone, kind: str, errcode: int
    ) -> None:
        succeeded(await mei.login())
        await mei.wechat.fault(kind, path=MEDIA)
        refused(await send(mei, upload(part(picture()))), errcode, retry="backoff")
        mine = (await shown(mei))["id"]
        with contextlib.closing(sqlite3.connect(checking.data_dir / "menshen.db")) as db:
            assert db.execute("SELECT 1 FROM held_avatar WHERE user_id = ?", (mine,)).fetchall() == []
        await sent(mei)

    async def test_one_about_which_wechat_says_nothing_goes_after_half_an_hour(
        self, checking: Product, phones: Phones
    ) -> None:
        mei, lei = phones(2, at=checking)
        succeeded(await mei.login())
        succeeded(await lei.login())
        old, new = await sent(mei), await sent(lei)
        name = old.removeprefix("/avatars/")
        await change(checking, "UPDATE held_avatar SET at = at - 1801 WHERE name = :name", name=name)
        async with process.opened(settings_of(checking)) as backend:
            await forget_held(backend)
        assert [await status(mei, path) for path in (old, new)] == [404, 200]

    async def test_the_copy_of_ones_data_holds_the_picture_itself_and_not_where_it_is(self, mei: Phone) -> None:
        succeeded(await mei.login())
        path = await sent(mei)
        exported = await mei.request("GET", "/api/me/export", headers=mei.bearer)
        held = succeeded(exported)["held_avatar"]
        assert base64.b64decode(held["base64"], validate=True) == (await mei.request("GET", path)).body
        assert (held["type"], held["created_at"] <= time.time()) == ("image/jpeg", True)
        assert path.removeprefix("/avatars/") not in exported.body.decode()
        await judged(mei)
        copy = succeeded(await mei.request("GET", "/api/me/export", headers=mei.bearer))
        assert (copy["avatar"]["path"], copy["held_avatar"]) == (path, None)

    async def test_an_address_elsewhere_is_taken_only_if_it_is_wechat_s(self, mei: Phone) -> None:
        succeeded(await mei.login())
        for wrong in (
            f"https://a.example/{secrets.token_hex(4)}.png",
            "https://qlogo.cn.example/a.png",
            "https://evilqlogo.cn/a.png",
            "https://thirdwx.qlogo.cn@a.example/a.png",
            "http://thirdwx.qlogo.cn/a.png",
        ):
            refused(await put(mei, avatar_url=wrong), 400001, field="avatar_url")
        good = "https://thirdwx.qlogo.cn/mmopen/vi_32/abc/132"
        assert succeeded(await put(mei, avatar_url=good))["avatar_url"] == good
        path = await sent(mei)
        await judged(mei)
        assert succeeded(await put(mei, avatar_url=PUBLIC + path))["avatar_url"] == PUBLIC + path
        assert await status(mei, path) == 200
