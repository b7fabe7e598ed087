"""What the tests of faults ask again and again: a refusal's parts, how long an answer took, when a server is well."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from subprocess import CompletedProcess
from typing import Any, TypeVar

import shell
from phone import Answer, Network
from product import Product

T = TypeVar("T")


def said(answer: Answer) -> tuple[int, int, str | None]:
    """Status, errcode and retry of an answer."""
    return answer.status, answer.json["errcode"], answer.json.get("retry")


def unavailable(answer: Answer, errcode: int, retry: str = "backoff") -> bool:
    """Say whether this is an honest 503: our number, what to do, and a Retry-After in whole seconds."""
    seconds = answer.headers.get("Retry-After", "")
    return said(answer) == (503, errcode, retry) and seconds.isdigit() and int(seconds) >= 1


async def timed(answer: Awaitable[T]) -> tuple[T, float]:
    """Return what was awaited, and the seconds it took."""
    started = time.monotonic()
    return await answer, time.monotonic() - started


async def until(holds: Callable[[], Awaitable[bool]], *, seconds: float) -> None:
    """Ask until it holds; AssertionError when it does not within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not await holds():
        assert time.monotonic() < deadline, f"did not come true within {seconds} s"
        await asyncio.sleep(0.02)


async def ready(network: Network, product: Product) -> Any:
    """Return /readyz: its status and which parts are degraded."""
    answer = await network.ask("GET", f"{product.base}/readyz")
    return answer.status, answer.json.get("degraded")


async def alive(network: Network, product: Product) -> bool:
    """Say whether the process answers at all, as a supervisor would ask."""
    return (await network.ask("GET", f"{product.base}/healthz")).status == 200


def run(product: Product, *words: str) -> CompletedProcess[str]:
    """Run a command of the program with a server's settings to its end; never a traceback."""
    done = shell.run(product, *words)
    assert "Traceback" not in done.stderr
    return done
