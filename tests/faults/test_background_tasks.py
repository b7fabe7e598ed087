"""A task in the background that goes wrong is told, waits a little, and is begun again; nobody else notices."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from phone import Phone
from product import Product
from shell import settings_of
from verdicts import succeeded

import actions
import process
from actions import Upkeep
from faults.asking import until

TOLD = "the background task 'sweep' went wrong and will be tried again"


class Defective:
    """A part of the server with a defect in one of its verbs, until it is mended."""

    def __init__(self, whole: object, verb: str) -> None:
        self._whole = whole
        self._verb = verb
        self.broken = True
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        self.asked += name == self._verb
        if self.broken and name == self._verb:
            raise ValueError("a defect")
        return getattr(self._whole, name)


@pytest.mark.gen_test
async def test_a_defect_in_a_background_task_is_told_slowed_down_and_got_over(
    make_server: Callable[..., Product], phones: Callable[..., list[Phone]], caplog: pytest.LogCaptureFixture
) -> None:
    server = make_server()
    [mei] = phones(1, at=server)
    succeeded(await mei.login())
    server.stop()
    caplog.set_level(logging.ERROR, "menshen.upkeep")
    async with process.opened(settings_of(server)) as backend:
        sessions = Defective(backend.sessions, "sweep")
        backend.sessions = sessions
        upkeep = Upkeep(backend)
        upkeep.start()

        async def is_told() -> bool:
            return TOLD in caplog.text

        async def is_begun_again() -> bool:
            return sessions.asked > 1

        await until(is_told, seconds=20)
        assert "ValueError: a defect" in caplog.text
        await actions.verify(backend, mei.token, "127.0.0.1")
        await asyncio.sleep(0.5)
        assert sessions.asked == 1  # not again and again without a pause
        sessions.broken = False
        await until(is_begun_again, seconds=30)
        await upkeep.stop()
    assert caplog.text.count(TOLD) == 1
