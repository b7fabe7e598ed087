"""COMPAT=wafer1: a business server on Tencent's Wafer 1 server SDK asks /mina_auth/, and its phones notice nothing."""

import os
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from children import Child
from phone import Phone
from product import Product
from servers import program

from compat.wafer_phone import HERE, WaferPhone


class Business(Child):
    """Somebody's server, with the SDK as it was published."""

    def __init__(self, folder: Path, sdks: Path, auth_server: str) -> None:
        super().__init__(folder)
        self._environment = {"PATH": os.environ["PATH"], "NODE_PATH": str(sdks), "AUTH_SERVER": auth_server}

    def command(self) -> Sequence[str]:
        """Return the command line."""
        return [str(program("node")), str(HERE / "business.js")]

    def environment(self) -> Mapping[str, str]:
        """Return the whole environment of the process."""
        return self._environment

    def ready(self) -> bool:
        """Say whether it listens by now."""
        return self._port() is not None

    def _port(self) -> re.Match[str] | None:
        return re.search(r"business server on port (\d+)", self.log_since_start())

    @property
    def base(self) -> str:
        """The base URL."""
        found = self._port()
        assert found, "not started"
        return f"http://127.0.0.1:{found[1]}"


@pytest.fixture
def business(dialects: Product, wafer_sdks: Path, tmp_path: Path) -> Iterator[Business]:
    server = Business(tmp_path, wafer_sdks, f"{dialects.base}/mina_auth/")
    server.start()
    yield server
    server.kill()


@pytest.mark.gen_test
async def test_its_phones_log_in_are_known_are_put_out_and_log_in_again_by_themselves(
    dialects: Product,
    business: Business,
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
    business: Business,
    wafer_phone: Callable[..., Awaitable[WaferPhone]],
    phones: Callable[..., list[Phone]],
) -> None:
    [phone] = phones(1, at=dialects)
    wafer = await wafer_phone("wafer-client-sdk", business.base, phone.name, login="/login")
    await phone.wechat.fault("busy", n=2)
    called = await wafer.login()
    assert called.asked == 1
    assert called.failed["message"].startswith("登录失败(ERR_LOGIN_FAILED)：")
