"""The command line as an operator uses it beside a running server."""

import asyncio
import subprocess
import sys
from subprocess import CompletedProcess

from product import ROOT, Product

import settings


async def menshen(product: Product, *words: str, niceness: int = 0) -> CompletedProcess[str]:
    """Run one command with the settings of a server, and return its exit status and what it printed."""
    return await asyncio.to_thread(
        subprocess.run,
        ["nice", "-n", str(niceness), sys.executable, str(ROOT / "server.py"), *words],
        cwd=product.folder,
        env=dict(product.environment()),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


async def done(product: Product, *words: str) -> str:
    """Run one command that must succeed, and return what it printed, without the line's end."""
    finished = await menshen(product, *words)
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
    return finished.stdout.removesuffix("\n")


def settings_of(product: Product) -> settings.Settings:
    """Return the settings of a server, to open its stores in this process as well."""
    return settings.load({}, product.environment()).settings
