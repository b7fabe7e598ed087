"""The event loop under a server: uvloop's beside llhttp where there is one for the platform, else Python's own.

benchmarks/verify.py measures it: beside llhttp it saves a sixth of the processor's time for a verify.
"""

import asyncio
from collections.abc import Callable, Coroutine


def run(main: Coroutine[object, object, None], parser: str) -> None:
    """Runs to its end, like asyncio.run; `parser` is the setting PARSER."""
    with asyncio.Runner(loop_factory=_fast() if parser == "llhttp" else None) as runner:
        runner.run(main)


def _fast() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # Windows, PyPy
        return None
    return uvloop.new_event_loop
