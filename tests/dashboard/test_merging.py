"""One person in two mini programs: seen on the page, merged and split by an operator, and nothing else changes."""

from collections.abc import Callable
from typing import NamedTuple

import pytest
from at_work import OTHER_APPID, OTHER_SECRET, Seen, two_programs
from backends import Backend
from operator_at import audit, change, make_operator
from phone import Network, Phone, WeChat
from product import APPID, Product
from shell import settings_of
from verdicts import succeeded

import process
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


@pytest.fixture
def world(make_server: Callable[..., Product], backend: Backend, wechat: WeChat) -> Product:
    return two_programs(make_server, **backend.fresh())


async def people(server: Product, wechat: WeChat, phones: Phones) -> World:
    await wechat.app(appid=OTHER_APPID, secret=OTHER_SECRET)
    here, there, stranger = phones(3, at=server)
    there.appid = OTHER_APPID
    ids = [
        int(succeeded(await here.login(appid=APPID))["user"]["id"]),
        int(succeeded(await there.login(appid=OTHER_APPID))["user"]["id"]),
        int(succeeded(await stranger.login(appid=APPID))["user"]["id"]),
    ]
    for user, unionid in zip(ids, ("uMei", "uMei", "uBob"), strict=True):
        await change(server, "UPDATE user SET unionid = :unionid WHERE id = :id", unionid=unionid, id=user)
    return World(server, ids[0], ids[1], ids[2], here)


async def persons(w: World) -> list[int | None]:
    """The number of the person, of each of the three."""
    async with process.opened(settings_of(w.server)) as backend:
        found: list[User] = [await backend.users.find(each) for each in (w.here, w.there, w.stranger)]
    return [user.person for user in found]


@pytest.mark.gen_test
async def test_the_page_of_a_person_shows_the_same_person_elsewhere(
    world: Product, wechat: WeChat, phones: Phones, network: Network
) -> None:
    w = await people(world, wechat, phones)
    viewer = await make_operator(world, network, role="viewer")
    seen = Seen.of(await viewer.get(f"/admin/users/{w.here}"))
    assert f"/admin/users/{w.there}" in seen.links
    assert f"/admin/users/{w.stranger}" not in seen.links
    assert not [link for link in seen.links if link.endswith(("/merge", "/split"))]
    assert "The same person elsewhere" not in (await viewer.get(f"/admin/users/{w.stranger}")).text
    operator = await make_operator(world, network, role="operator")
    seen = Seen.of(await operator.get(f"/admin/users/{w.here}"))
    assert f"/admin/users/{w.here}/merge" in seen.links
    assert f"/admin/users/{w.here}/split" not in seen.links


@pytest.mark.gen_test
async def test_a_merge_names_them_by_the_smallest_number_and_a_split_takes_it_back(
    world: Product, wechat: WeChat, phones: Phones, network: Network
) -> None:
    w = await people(world, wechat, phones)
    operator = await make_operator(world, network, role="operator")
    asked = await operator.get(f"/admin/users/{w.there}/merge")
    assert "Merge 2 users into one person?" in asked.text
    assert await persons(w) == [None, None, None]
    done = await operator.post(f"/admin/users/{w.there}/merge", SURE)
    assert f"Merged 2 users: they are person {min(w.here, w.there)} now." in done.text
    assert await persons(w) == [min(w.here, w.there)] * 2 + [None]
    succeeded(await w.phone.verify())
    assert "Split 2 users again?" in (await operator.get(f"/admin/users/{w.here}/split")).text
    done = await operator.post(f"/admin/users/{w.here}/split", SURE)
    assert "Split 2 users." in done.text
    assert await persons(w) == [None, None, None]
    rows = [row for row in reversed(await audit(world)) if row.deed in ("user.merge", "user.split")]
    assert [(row.deed, row.target, row.count, row.result) for row in rows] == [
        ("user.merge", f"user:{w.there}", 2, "done"),
        ("user.split", f"user:{w.here}", 2, "done"),
    ]
    assert {row.actor for row in rows} == {f"operator:{operator.name}"}


@pytest.mark.gen_test
async def test_where_there_is_nobody_to_merge_nothing_is_done_and_nothing_written(
    world: Product, wechat: WeChat, phones: Phones, network: Network
) -> None:
    w = await people(world, wechat, phones)
    operator = await make_operator(world, network, role="operator")
    for deed in ("merge", "split"):
        page = await operator.post(f"/admin/users/{w.stranger}/{deed}", SURE)
        assert "There was nothing to do" in page.text
    assert await persons(w) == [None, None, None]
    assert not [row for row in await audit(world) if row.deed in ("user.merge", "user.split")]


@pytest.mark.gen_test
async def test_a_viewer_may_not_and_a_limited_operator_reaches_only_his_own(
    world: Product, wechat: WeChat, phones: Phones, network: Network
) -> None:
    w = await people(world, wechat, phones)
    viewer = await make_operator(world, network, role="viewer")
    assert (await viewer.post(f"/admin/users/{w.here}/merge", SURE)).status == 403
    limited = await make_operator(world, network, role="operator", appids=[APPID])
    assert f"/admin/users/{w.there}" not in Seen.of(await limited.get(f"/admin/users/{w.here}")).links
    assert "There was nothing to do" in (await limited.post(f"/admin/users/{w.here}/merge", SURE)).text
    assert (await limited.post(f"/admin/users/{w.there}/merge", SURE)).status == 404
    assert await persons(w) == [None, None, None]


@pytest.mark.gen_test
async def test_when_wechat_names_another_unionid_the_merge_is_over(
    world: Product, wechat: WeChat, phones: Phones, network: Network
) -> None:
    w = await people(world, wechat, phones)
    operator = await make_operator(world, network, role="operator")
    await operator.post(f"/admin/users/{w.here}/merge", SURE)
    await wechat.app(bound_open_platform=True)
    succeeded(await w.phone.login(appid=APPID))
    assert await persons(w) == [None, min(w.here, w.there), None]
