"""Counters of failed attempts to prove who one is: each makes the next ones wait, longer and longer.

A try is counted as a failure before it is judged, in one transaction for all its counters, and given back when it was
none. So fifty guesses sent at once are not fifty tries.
"""

from collections.abc import Sequence

import msgspec

from stores.db import Database, Script, all_of, load

SQL = load("operators.sql")


class MustWait(Exception):
    """There were too many failures; the next try is judged in so many seconds."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(retry_after_seconds)
        self.retry_after_seconds = retry_after_seconds


class Counter(msgspec.Struct, frozen=True):
    """What is counted together, and how patient we are: `free` failures, then each one doubles the wait."""

    id: bytes
    free: int
    first_seconds: int
    longest_seconds: int
    forgotten_after_seconds: int

    def wait(self, failures: int) -> int:
        """How long the next try has to wait after so many failures."""
        if failures < self.free:
            return 0
        doublings = min(failures - self.free, 30)  # bounded, or the number itself would grow without end
        return min(self.first_seconds << doublings, self.longest_seconds)


class Attempts:
    """The counters, shared by every process. All calls raise UsersAway or StoreFull when the database does."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def reserve(self, counters: Sequence[Counter], now: int) -> bool:
        """Counts one try on each counter as failed; gives whether that makes the next one wait.

        Raises MustWait, and then nothing is counted: whoever guesses on and on costs a look each time and no write.
        """
        rows = await self._db.read(SQL["longest_wait"](ids=[counter.id for counter in counters], now=now))
        if (until := rows[0][0]) is not None and until > now:
            raise MustWait(until - now)
        return await self._db.write(lambda: _reserve(counters, now), durable=False, from_reserve=True)

    async def succeeded(self, own: Counter, shared: Sequence[Counter]) -> None:
        """The try was right: its own counter begins anew, and the ones shared with others get it back."""

        def script() -> Script[None]:
            for counter in _in_order([own, *shared]):
                if counter is own:
                    yield SQL["forget_attempts"](id=counter.id)
                else:
                    yield SQL["give_attempt_back"](id=counter.id)

        await self._db.write(script, durable=False, from_reserve=True)

    async def give_back(self, counters: Sequence[Counter]) -> None:
        """The try was never judged."""

        def script() -> Script[None]:
            for counter in _in_order(counters):
                yield SQL["give_attempt_back"](id=counter.id)

        await self._db.write(script, durable=False, from_reserve=True)

    async def sweep(self, now: int) -> None:
        """Forgets counters of which the time is over."""
        await self._db.write(all_of(SQL["sweep_attempts"](now=now)), durable=False, from_reserve=True)


def _in_order(counters: Sequence[Counter]) -> list[Counter]:
    """Always the same order, so that two transactions do not wait for each other."""
    return sorted(counters, key=lambda counter: counter.id)


def _reserve(counters: Sequence[Counter], now: int) -> Script[bool]:
    must_wait, slowed = 0, False
    for counter in _in_order(counters):
        yield SQL["make_attempts"](id=counter.id, expires_at=now + counter.forgotten_after_seconds)
        failures, next_at, expires_at = (yield SQL["attempts"](id=counter.id)).rows[0]
        if expires_at <= now:
            failures, next_at = 0, 0
        must_wait = max(must_wait, next_at - now)
        wait = counter.wait(failures + 1)
        slowed = slowed or wait > 0
        yield SQL["set_attempts"](
            id=counter.id,
            failures=failures + 1,
            next_at=now + wait,
            expires_at=now + wait + counter.forgotten_after_seconds,
        )
    if must_wait > 0:
        raise MustWait(must_wait)
    return slowed
