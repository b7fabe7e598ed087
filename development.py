"""What `--dev` adds to `serve`: WeChat's simulator, settings that need no AppID, an address for a phone nearby."""

import argparse
import asyncio
import contextlib
import dataclasses
import socket
from collections.abc import Iterator
from ipaddress import ip_address
from typing import TYPE_CHECKING

from commands import DONE, Refused
from settings import App, Loaded, Secret, Settings, is_loopback

if TYPE_CHECKING:
    from wechat.simulator import Simulator


def simulate(options: argparse.Namespace) -> int:
    """Runs the WeChat simulator alone."""

    async def run() -> None:
        simulator(options.address, options.port)
        await asyncio.Event().wait()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run())
    return DONE


def simulator(address: str, port: int) -> "tuple[Simulator, str]":
    """A simulator that listens, and its address, which is printed. Raises Refused."""
    from wechat.simulator import Simulator  # here, because a server without --dev starts quicker without it

    made = Simulator()
    try:
        base = made.listen(address, port)
    except ValueError as error:
        raise Refused(str(error)) from None
    except OSError as error:
        raise Refused(f"the simulator cannot listen on port {port}: {error.strerror}") from None
    print(f"WeChat simulator at {base}", flush=True)
    return made, base


def with_simulator(loaded: Loaded, options: argparse.Namespace) -> bool:
    """Whether the simulator runs beside the server: with --dev, unless another WeChat is set."""
    return bool(options.dev) and not loaded.is_set("wechat_base")


def unused(loaded: Loaded, options: argparse.Namespace) -> Iterator[str]:
    """What is set and has no effect with --dev, one sentence each."""
    if with_simulator(loaded, options) and loaded.settings.apps:
        named = ", ".join(app.appid for app in loaded.settings.apps)
        yield f"APPID is not used: --dev without WECHAT_BASE serves the simulator's mini program, not {named}"
    if options.dev and loaded.settings.workers > 1:
        yield f"--dev serves with one process: WORKERS={loaded.settings.workers} is not used"


def for_development(loaded: Loaded, *, lan: bool) -> Settings:
    """One process with the simulator's own mini program, unless others are set together with a WeChat to ask."""
    settings = dataclasses.replace(loaded.settings, workers=1)
    if not is_loopback(settings.address) and not lan:
        raise Refused(f"--dev serves only this machine, and ADDRESS is {settings.address}: leave one of them out")
    if not settings.allowed_hosts and not lan:
        # A page elsewhere may point its own name at 127.0.0.1 and would then be let in as the playground itself.
        settings = dataclasses.replace(settings, allowed_hosts=("127.0.0.1", "localhost", "[::1]"))
    if loaded.is_set("wechat_base") and settings.apps:
        return settings
    from wechat.simulator import DEFAULT_APPID, DEFAULT_SECRET

    app = App(DEFAULT_APPID, Secret(DEFAULT_SECRET), "simulator", settings.push_token, settings.push_key)
    # Settings puts APPID first among the apps, whenever one is made; without it the simulator's app is the only one.
    return dataclasses.replace(settings, appid=None, appsecret=None, apps=(app,))


def private_address() -> str:
    """This machine's address on its own network. Raises Refused when it has none, or a public one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # a documentation address; no packet is sent by connecting UDP
            address = str(probe.getsockname()[0])
        except OSError:
            address = ""
    if not address or is_loopback(address) or not ip_address(address).is_private:
        raise Refused("--lan found no private address of this machine to serve a phone on")
    return address
