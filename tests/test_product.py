"""The program as the tests start it: shared or of a test's own, with people's phones and WeChat around it."""

from collections.abc import Callable

import aiohttp
import pytest
from backends import Backend
from phone import Network, Phone, WeChat
from product import Product


@pytest.mark.gen_test
async def test_a_person_logs_in_on_every_backend(server: Product, phone: Phone, wechat: WeChat) -> None:
    assert phone.server is server
    assert (await phone.login()).status == 200
    assert (await phone.verify()).status == 200
    assert await wechat.asked() == 1
    assert phone.token in server.never_logged


@pytest.mark.gen_test
async def test_each_test_finds_a_wechat_that_was_asked_nothing(wechat: WeChat) -> None:
    assert await wechat.asked() == 0


@pytest.mark.gen_test
async def test_people_are_different_people(embedded: Product, phones: Callable[..., list[Phone]]) -> None:
    mei, lan = phones(2)
    assert mei.server is lan.server is embedded
    assert (await mei.login()).status == 200
    assert (await lan.login()).status == 200
    assert (await mei.verify()).json["user_id"] != (await lan.verify()).json["user_id"]
    assert await mei.openid() != await lan.openid()


@pytest.mark.gen_test
@pytest.mark.parametrize("end", [Product.stop, Product.kill])
async def test_a_server_comes_back_with_its_people_at_its_address(
    make_server: Callable[..., Product],
    backend: Backend,
    phones: Callable[..., list[Phone]],
    end: Callable[[Product], object],
) -> None:
    product = make_server(**backend.fresh())
    [mei] = phones(1, at=product)
    assert (await mei.login()).status == 200
    base = product.base
    end(product)
    with pytest.raises(aiohttp.ClientConnectionError):
        await mei.verify()
    product.start()
    assert product.base == base
    assert (await mei.verify()).status == 200


@pytest.mark.gen_test
async def test_two_servers_share_their_stores_and_keys(
    two_servers: Callable[..., tuple[Product, Product]], phones: Callable[..., list[Phone]]
) -> None:
    first, second = two_servers()
    [mei] = phones(1, at=first)
    assert (await mei.login()).status == 200
    mei.server = second
    assert (await mei.verify()).status == 200


@pytest.mark.gen_test
async def test_fresh_stores_know_nobody(
    make_server: Callable[..., Product], backend: Backend, phones: Callable[..., list[Phone]]
) -> None:
    first, second = make_server(**backend.fresh()), make_server(**backend.fresh())
    [mei] = phones(1, at=first)
    assert (await mei.login()).status == 200
    mei.server = second
    assert (await mei.verify()).status == 401


class TestHealing:
    """The first leaves the shared server dead; the second finds it well."""

    @pytest.mark.gen_test
    async def test_first_it_is_killed(self, embedded: Product, phone: Phone) -> None:
        embedded.kill()
        with pytest.raises(aiohttp.ClientConnectionError):
            await phone.verify()

    @pytest.mark.gen_test
    async def test_then_it_answers_again(self, embedded: Product, network: Network) -> None:
        assert (await network.ask("GET", f"{embedded.base}/healthz")).status == 200


class TestRefusedWeChat:
    """The first leaves WeChat's port closed; the second finds it open."""

    @pytest.mark.gen_test
    async def test_first_it_is_closed(self, wechat: WeChat) -> None:
        await wechat.fault("refuse", seconds=1)
        with pytest.raises(aiohttp.ClientConnectionError):
            await wechat.asked()

    @pytest.mark.gen_test
    async def test_then_it_is_open(self, wechat: WeChat) -> None:
        assert await wechat.asked() == 0
