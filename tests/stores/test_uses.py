"""Use of sessions: noted at most once a minute for each, and told to the stores behind the phone's back."""

import pytest
from engines import WEEK, House, fate, found, now, opened, opening, person
from tornado.ioloop import IOLoop

from actions.lifetime import Lifetime
from actions.uses import Uses
from stores.errors import SessionsAway
from stores.figures import Figures
from stores.logins import Login, Logins
from stores.sessions import Session

pytest_plugins = ["store_fixtures"]

FIXED = Lifetime(WEEK, False, WEEK, 0)
IDLE = Lifetime(WEEK, False, WEEK, 3_600)


async def logged_in(house: House, logins: Logins, rules: Lifetime, at: int) -> Session:
    """A session and the row of its login, as a login leaves them."""
    mei = await person(house)
    ends_at = rules.ends_at(at)
    new = opening(mei, created_at=at, ends_at=ends_at, expires_at=rules.expires_at(ends_at, at))
    await house.sessions.open(new, at)
    logins.opened(Login(new.id, mei.id, mei.appid, None, None, None, None, at, at))
    await logins.flush()
    return await house.sessions.find(new.id, at)


async def seen_at(logins: Logins, session: Session) -> int:
    await logins.flush()
    return (await logins.find([session.id]))[session.id].seen_at


async def expiry(house: House, session: Session, at: int) -> int:
    [live] = await house.sessions.live(session.user_id, session.appid, at)
    return live.expires_at


@pytest.mark.gen_test
async def test_use_is_seen_on_the_list_once_a_minute(house: House) -> None:
    logins, minute = Logins(house.db), now() // 60 * 60
    uses = Uses(house.sessions, logins, FIXED, Figures(house.db))
    session = await logged_in(house, logins, FIXED, minute)
    for at, expected in ((minute + 5, 5), (minute + 50, 5), (minute + 61, 61), (minute + 119, 61)):
        uses.note(session, at)
        await uses.flush(at)
        assert await seen_at(logins, session) == minute + expected


@pytest.mark.gen_test
async def test_with_an_idle_limit_use_pushes_the_end_back(house: House) -> None:
    logins, at = Logins(house.db), now()
    uses = Uses(house.sessions, logins, IDLE, Figures(house.db))
    session = await logged_in(house, logins, IDLE, at)
    before = await expiry(house, session, at)
    uses.note(session, at + 600)
    await uses.flush(at + 600)
    assert await expiry(house, session, at) == before + 600
    assert (await found(house, session.id)).sealed_key == session.sealed_key


@pytest.mark.gen_test
async def test_without_one_use_moves_nothing(house: House) -> None:
    logins, at = Logins(house.db), now()
    uses = Uses(house.sessions, logins, FIXED, Figures(house.db))
    session = await logged_in(house, logins, FIXED, at)
    uses.note(session, at + 600)
    await uses.flush(at + 600)
    assert await expiry(house, session, at) == session.ends_at


@pytest.mark.gen_test
async def test_a_use_that_is_told_after_the_end_revives_nothing(house: House) -> None:
    logins, at = Logins(house.db), now()
    uses = Uses(house.sessions, logins, IDLE, Figures(house.db))
    session = await logged_in(house, logins, IDLE, at)
    uses.note(session, at)
    await house.sessions.end([session.id], "revoked", at)
    await uses.flush(at + 1)
    assert await fate(house, session.id) == "revoked"
    assert await house.sessions.live(session.user_id, session.appid, at) == []


@pytest.mark.gen_test
async def test_many_uses_are_told_at_once(house: House) -> None:
    logins, at = Logins(house.db), now()
    uses = Uses(house.sessions, logins, IDLE, Figures(house.db))
    mei = await person(house)
    ids = [await opened(house, mei, expires_at=at + 1_000) for _ in range(50)]
    for each in ids:
        uses.note(await found(house, each), at + 30)
    await uses.flush(at + 30)
    live = await house.sessions.live(mei.id, mei.appid, at)
    assert {each.expires_at for each in live} == {at + 30 + 3_600 + 60}


@pytest.mark.quick
@pytest.mark.gen_test
async def test_nothing_used_asks_no_store(sqlite_house: House, io_loop: IOLoop) -> None:
    uses = Uses(sqlite_house.sessions, Logins(sqlite_house.db), IDLE, Figures(sqlite_house.db))
    await sqlite_house.db.close()
    await uses.flush(now())
    uses.note(Session(b"i" * 32, 1, "wx1", 0, 1, 2, 2, b""), now())
    with pytest.raises(SessionsAway):
        await uses.flush(now())
    await sqlite_house.db.start()
