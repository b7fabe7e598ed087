"""COMPAT=wafer1: a business server on Tencent's Wafer 1 server SDK asks /mina_auth/, and its phones notice nothing."""

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from phone import Phone
from product import Product

from compat.node_server import NodeServer
from compat.wafer_phone import WaferPhone


@pytest.fixture
def business(dialects: Product, wafer_sdks: Path, tmp_path: Path) -> Iterator[NodeServer]:
    server = NodeServer(tmp_path, wafer_sdks, "business.js", AUTH_SERVER=f"{dialects.base}/mina_auth/")
    server.start()
    yield server
    server.kill()


@pytest.mark.gen_test
async def test_its_phones_log_in_are_known_are_put_out_and_log_in_again_by_themselves(
    dialects: Product,
    business: NodeServer,
    wafer_phone: Callable[..., Awaitable[WaferPhone]],
    phones: Callable[..., list[Phone]],
) -> None:
    [phone] = phones(1, at=dialects)
    wafer = await wafer_phone("wafer-client-sdk", business.base, phone.name, login="/login")
    assert (await wafer.login()).failed is None
    dialects.never_logged.add((await wafer.stored())["skey"])
    known = await wafer.request("/user")
    assert known.asked == 1
    assert known.ok["data"]["data"]["userInfo"]["openId"] == await phone.openid()

    await phone.login()
    others = await phone.request("POST", "/api/me/sessions/revoke-others", headers=phone.bearer)
    assert others.json["ended"] == 1
    again = await wafer.request("/user")
    assert (again.failed, again.asked) == (None, 3)
    dialects.never_logged.add((await wafer.stored())["skey"])


@pytest.mark.gen_test
async def test_an_outage_does_not_make_its_phones_log_in_again(
    dialects: Product,
    business: NodeServer,
    wafer_phone: Callable[..., Awaitable[WaferPhone]],
    phones: Callable[..., list[Phone]],
) -> None:
    [phone] = phones(1, at=dialects)
    wafer = await wafer_phone("wafer-client-sdk", business.base, phone.name, login="/login")
    await phone.wechat.fault("busy", n=2)
    called = await wafer.login()
    assert called.asked == 1
    assert called.failed["message"].startswith("登录失败(ERR_LOGIN_FAILED)：")
