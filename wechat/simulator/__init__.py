"""A WeChat of our own for development and tests, which our client cannot tell from the real one but for its address."""

from collections.abc import Awaitable

from tornado.web import Application

from wechat.simulator.control import ControlHandler
from wechat.simulator.edits import SECOND_HOST
from wechat.simulator.stage import Stage
from wechat.simulator.state import DEFAULT_APPID, DEFAULT_SECRET, World
from wechat.simulator.web import SecondHost, WeChatHandler, write_access_log

__all__ = ["DEFAULT_APPID", "DEFAULT_SECRET", "Simulator"]


class Simulator:
    """One simulated WeChat with its own port on loopback; `seed` makes its codes and keys repeat from run to run.

    It runs alone or inside another Tornado process; `listen` and `close` belong to one running event loop.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._stage = Stage(World(seed))
        parts = {"stage": self._stage}
        self.application = Application(
            [
                (SECOND_HOST, SecondHost, parts),
                (r"/_sim/(.*)", ControlHandler, parts),
                (r".*", WeChatHandler, parts),
            ],
            log_function=write_access_log,
        )

    def listen(self, address: str = "127.0.0.1", port: int = 0) -> str:
        """Open the port (0 picks a free one) and give the base URL, such as `http://127.0.0.1:8099`.

        Raises ValueError when `address` is not a loopback address, OSError when the port is taken.
        """
        return self._stage.port.open(self.application, address, port)

    def wx_login(self, appid: str, user: str) -> str:
        """Do what wx.login does on the phone of `user` (any name) and give the code.

        Raises LookupError when the mini program does not exist.
        """
        return self._stage.world.log_in(self._stage.world.apps[appid], user)

    def close(self) -> Awaitable[None]:
        """Close the port and every connection; await the answer to see the last of them gone."""
        self._stage.waits.end()
        return self._stage.port.close()
