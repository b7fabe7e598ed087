"""One person in two mini programs: seen on the page, merged and split by an operator, and nothing else changes."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from at_work import OTHER_APPID, OTHER_SECRET, Seen, two_programs
from backends import Backend
from children import Child
from operator_at import audit, change, make_operator
from phone import Network, Phone, WeChat
from product import APPID, APPSECRET, Product, Simulator
from shell import settings_of
from tornado.ioloop import IOLoop
from verdicts import succeeded

import process
from stores.audit import Entry
from stores.users import User

Phones = Callable[..., list[Phone]]
SURE = {"sure": "yes"}


class World(NamedTuple):
    """A person in both mini programs, and somebody else in the first."""

    server: Product
    here: int
    there: int
    stranger: int
    phone: Phone


@pytest.fixture(scope="module")
def shared(folder: Path, children: list[Child], simulator: Simulator, backend: Backend) -> Iterator[Product]:
    """One server of two mini programs for the file, once on each backend; each test brings people of its own."""

    def make(*, start: bool, **settings: object) -> Product:
        at_wechat = {"WECHAT_BASE": simulator.base, "APPID": APPID, "APPSECRET": APPSECRET}
        return Product(folder / f"merging-{backend.name}", {**at_wechat, **settings})

    server = two_programs(make, **backend.fresh())
    children.append(server)
    yield server
    children.remove(server)
    server.kill()


@pytest.fixture
def world(shared: Product, wechat: WeChat, phones: Phones, io_loop: IOLoop) -> Iterator[World]:
    world: World = io_loop.run_sync(lambda: people(shared, wechat, phones))
    yield world
    shared.check_log()


async def people(server: Product, wechat: WeChat, phones: Phones) -> World:
    await wechat.app(appid=OTHER_APPID, secret=OTHER_SECRET)
    here, there, stranger = phones(3, at=server)
    there.appid = OTHER_APPID
    ids = [
        int(succeeded(await here.login(appid=APPID))["user"]["id"]),
        int(succeeded(await there.login(appid=OTHER_APPID))["user"]["id"]),
        int(succeeded(await stranger.login(appid=APPID))["user"]["id"]),
    ]
    for user, unionid in zip(ids, (f"uMei{ids[0]}", f"uMei{ids[0]}", f"uBob{ids[0]}"), strict=True):
        await change(server, "UPDATE user SET unionid = :unionid WHERE id = :id", unionid=unionid, id=user)
    return World(server, ids[0], ids[1], ids[2], here)


async def persons(world: World) -> list[int | None]:
    """The number of the person, of each of the three."""
    async with process.opened(settings_of(world.server)) as backend:
        found: list[User] = [await backend.users.find(each) for each in (world.here, world.there, world.stranger)]
    return [user.person for user in found]


async def merges(world: World) -> list[Entry]:
    """What the audit has about merging and splitting, the oldest first."""
    return [row for row in reversed(await audit(world.server, 200)) if row.deed in ("user.merge", "user.split")]


@pytest.mark.gen_test
async def test_the_page_of_a_person_shows_the_same_person_elsewhere(world: World, network: Network) -> None:
    viewer = await make_operator(world.server, network, role="viewer")
    seen = Seen.of(await viewer.get(f"/admin/users/{world.here}"))
    assert f"/admin/users/{world.there}" in seen.links
    assert f"/admin/users/{world.stranger}" not in seen.links
    assert not [link for link in seen.links if link.endswith(("/merge", "/split"))]
    assert "The same person elsewhere" not in (await viewer.get(f"/admin/users/{world.stranger}")).text
    operator = await make_operator(world.server, network, role="operator")
    seen = Seen.of(await operator.get(f"/admin/users/{world.here}"))
    assert f"/admin/users/{world.here}/merge" in seen.links
    assert f"/admin/users/{world.here}/split" not in seen.links


@pytest.mark.gen_test
async def test_a_merge_names_them_by_the_smallest_number_and_a_split_takes_it_back(
    world: World, network: Network
) -> None:
    operator = await make_operator(world.server, network, role="operator")
    earlier = await merges(world)
    asked = await operator.get(f"/admin/users/{world.there}/merge")
    assert "Merge 2 users into one person?" in asked.text
    assert await persons(world) == [None, None, None]
    done = await operator.post(f"/admin/users/{world.there}/merge", SURE)
    assert f"Merged 2 users: they are person {min(world.here, world.there)} now." in done.text
    assert await persons(world) == [min(world.here, world.there)] * 2 + [None]
    succeeded(await world.phone.verify())
    assert "Split 2 users again?" in (await operator.get(f"/admin/users/{world.here}/split")).text
    done = await operator.post(f"/admin/users/{world.here}/split", SURE)
    assert "Split 2 users." in done.text
    assert await persons(world) == [None, None, None]
    rows = [row for row in await merges(world) if row not in earlier]
    assert [(row.deed, row.target, row.count, row.result) for row in rows] == [
        ("user.merge", f"user:{world.there}", 2, "done"),
        ("user.split", f"user:{world.here}", 2, "done"),
    ]
    assert {row.actor for row in rows} == {f"operator:{operator.name}"}


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("language", "sessions"), [("en", ["1 session", "2 sessions"]), ("zh", ["1 个会话", "2 个会话"])]
)
async def test_the_question_names_everybody_whom_it_is_about(
    make_server: Callable[..., Product],
    wechat: WeChat,
    phones: Phones,
    network: Network,
    language: str,
    sessions: list[str],
) -> None:
    w = await people(two_programs(make_server), wechat, phones)
    named = await w.phone.request("PUT", "/api/me", json={"nickname": "梅 <b>"}, headers=w.phone.bearer)
    assert named.status == 200
    before = w.phone.token
    succeeded(await w.phone.login(appid=APPID))  # on a second phone
    w.phone.token = before
    operator = await make_operator(w.server, network, role="operator")
    openids = await openids_of(w)
    await operator.post(f"/admin/users/{w.here}/merge", SURE)
    for deed in ("merge", "split"):
        page = await operator.get(f"/admin/users/{w.there}/{deed}?lang={language}")
        assert all(f"…{openid[-6:]}" in page.text for openid in openids[:2])
        assert f"…{openids[2][-6:]}" not in page.text
        seen = Seen.of(page)
        assert "梅 <b>" in seen.words
        assert {f"/admin/users/{user}?lang={language}" for user in (w.here, w.there)} <= seen.links
        assert f"/admin/users/{w.stranger}?lang={language}" not in seen.links
        assert [word for word in seen.words if word in sessions] == sessions
        assert {str(w.here), str(w.there), "The other shop"} <= set(seen.words)


async def openids_of(w: World) -> list[str]:
    async with process.opened(settings_of(w.server)) as backend:
        return [(await backend.users.find(each)).openid for each in (w.here, w.there, w.stranger)]


@pytest.mark.gen_test
async def test_where_there_is_nobody_to_merge_nothing_is_done_and_nothing_written(
    world: World, network: Network
) -> None:
    operator = await make_operator(world.server, network, role="operator")
    earlier = await merges(world)
    for deed in ("merge", "split"):
        page = await operator.post(f"/admin/users/{world.stranger}/{deed}", SURE)
        assert "There was nothing to do" in page.text
    assert await persons(world) == [None, None, None]
    assert await merges(world) == earlier


@pytest.mark.gen_test
async def test_a_viewer_may_not_and_a_limited_operator_reaches_only_his_own(world: World, network: Network) -> None:
    viewer = await make_operator(world.server, network, role="viewer")
    assert (await viewer.post(f"/admin/users/{world.here}/merge", SURE)).status == 403
    limited = await make_operator(world.server, network, role="operator", appids=[APPID])
    assert f"/admin/users/{world.there}" not in Seen.of(await limited.get(f"/admin/users/{world.here}")).links
    assert "There was nothing to do" in (await limited.post(f"/admin/users/{world.here}/merge", SURE)).text
    assert (await limited.post(f"/admin/users/{world.there}/merge", SURE)).status == 404
    assert await persons(world) == [None, None, None]


@pytest.mark.gen_test
async def test_when_wechat_names_another_unionid_the_merge_is_over(
    world: World, wechat: WeChat, network: Network
) -> None:
    operator = await make_operator(world.server, network, role="operator")
    await operator.post(f"/admin/users/{world.here}/merge", SURE)
    await wechat.app(bound_open_platform=True)
    succeeded(await world.phone.login(appid=APPID))
    assert await persons(world) == [None, min(world.here, world.there), None]
