"""Whether the stores answer and since when, as this process sees them, and what is wrong with how they are set up."""

import time
from typing import Literal

import msgspec

from stores.db import Database
from stores.errors import StoreTrouble
from stores.sessions import Advice, Sessions

Name = Literal["database", "sessions"]
ADVICE_SECONDS = 60.0


class Standing(msgspec.Struct, frozen=True):
    """One store. `since` is epoch seconds: when this process first saw it so."""

    name: Name
    answers: bool
    since: int


class Health:
    """What this process knows of its stores; `look` is called every few seconds."""

    def __init__(self, db: Database, sessions: Sessions) -> None:
        self._db = db
        self._sessions = sessions
        self._standing: dict[Name, Standing] = {}
        self._advised: float | None = None  # by the monotonic clock
        self.advice: tuple[Advice, ...] = ()

    @property
    def stores(self) -> tuple[Standing, ...]:
        """Each store as it was last seen; empty before the first look."""
        return tuple(self._standing.values())

    async def look(self, now: int) -> None:
        """Asks each store for an answer, and now and then how it is set up."""
        stores: tuple[tuple[Name, Database | Sessions], ...] = ("database", self._db), ("sessions", self._sessions)
        for name, store in stores:
            try:
                await store.ping()
            except StoreTrouble:
                self.note(name, answers=False, now=now)
            else:
                self.note(name, answers=True, now=now)
        if self._answers("sessions") and self._due():
            self._advised = time.monotonic()
            self.advice = tuple(await self._sessions.advice())

    def _answers(self, name: Name) -> bool:
        return name in self._standing and self._standing[name].answers

    def _due(self) -> bool:
        return self._advised is None or time.monotonic() - self._advised > ADVICE_SECONDS

    def note(self, name: Name, *, answers: bool, now: int) -> None:
        """Somebody asked a store and got an answer, or none."""
        last = self._standing.get(name)
        if last is None or last.answers != answers:
            self._standing[name] = Standing(name, answers, now)
