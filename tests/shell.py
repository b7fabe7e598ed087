"""The command line as an operator uses it beside a running server."""

import asyncio
import subprocess
from subprocess import CompletedProcess

import forked
from product import Product

import settings

_SECONDS = 50.0

_SEEN: set[tuple[str, ...]] = set()


def run(product: Product, *words: str, niceness: int = 0) -> CompletedProcess[str]:
    """Run one command with the settings of a server to its end, fifty seconds at most, and return what it printed.

    The first of each command in a run of the tests begins as an operator's does, and so do nice ones; the others are
    forked.
    """
    python, program, *_ = product.command()
    deed = tuple(word for word in words[:2] if not word.startswith("-") and "/" not in word)
    env = product.environment()
    if niceness == 0 and deed in _SEEN and forked.can([python, program], env):
        return forked.run(words, cwd=product.folder, env=env, timeout=_SECONDS)
    _SEEN.add(deed)
    return subprocess.run(
        ["nice", "-n", str(niceness), python, program, *words],
        cwd=product.folder,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )


async def menshen(product: Product, *words: str, niceness: int = 0) -> CompletedProcess[str]:
    """Run one command beside whatever else the test does."""
    return await asyncio.to_thread(run, product, *words, niceness=niceness)


async def done(product: Product, *words: str) -> str:
    """Run one command that must succeed, and return what it printed, without the line's end."""
    finished = await menshen(product, *words)
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
    return finished.stdout.removesuffix("\n")


def settings_of(product: Product) -> settings.Settings:
    """Return the settings of a server, to open its stores in this process as well."""
    return settings.load({}, product.environment()).settings
