"""What has changed a moment ago, small enough to be asked every few seconds: what a page keeps up to date."""

import msgspec

from actions.backend import Backend
from stores.errors import StoreTrouble
from stores.figures import day_of, first_hour


class Happening(msgspec.Struct, frozen=True):
    """The figures of now; what a store that is away would know is None. `logins` are those of today."""

    active: int | None
    users: int | None
    new_today: int | None
    dau: int | None
    logins: int | None


async def happening(backend: Backend, appids: list[str], now: int) -> Happening:
    """The figures of these mini programs. Two questions by key; never raises for a store that is away."""
    active = await backend.active_sessions.count(appids, now)
    today = first_hour(day_of(now))
    try:
        counted = await backend.figures.named(appids, ["day.new", "day.login", "seen"], today)
        users = sum(figure.n for figure in await backend.figures.named(appids, ["users"], 0))
    except StoreTrouble:
        return Happening(active, None, None, None, None)
    sums = dict.fromkeys(("day.new", "day.login", "seen"), 0)
    for figure in counted:
        if figure.hour == today:
            sums[figure.name] += figure.n
    return Happening(active, users, sums["day.new"], sums["seen"], sums["day.login"])
