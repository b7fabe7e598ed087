"""What is too old goes, by a clock that the test holds; what is not, what lives and what must be kept stays."""

import asyncio

import pytest
from engines import APPID, DAY, House, ad_hoc, now, opened, person, redis_sessions, script, some_id
from test_figures import stand

from actions.lifetime import Lifetime
from actions.retention import GRACE_SECONDS, PAUSE_SECONDS, Retention
from settings import RedisUrl, Secret
from settings import Retention as Days
from stores.db import Database
from stores.errors import StoreTrouble
from stores.figures import Figures
from stores.leftovers import A_FEW, Leftovers

pytest_plugins = ["store_fixtures"]

WEEKLY = Lifetime(7 * DAY, False, 30 * DAY, 0)
DEFAULTS = Days()


class Clock:
    """Seconds that only the test moves."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


class Keeper:
    """A Retention whose two clocks go together until the test sets one of them."""

    def __init__(self, house: House, days: Days = DEFAULTS, lifetime: Lifetime = WEEKLY) -> None:
        self.clock = Clock()
        self.at = now()
        self.retention = Retention(days, Leftovers(house.db), house.sessions, lifetime, self.clock)

    def wait(self, seconds: float) -> None:
        self.clock.seconds += seconds
        self.at += int(seconds)

    async def all(self) -> None:
        """Steps until nothing old is left."""
        while await self.retention.step(self.at):
            pass


async def login(house: House, at: int, session: bytes | None = None, user_id: int = 7) -> bytes:
    """A login row with everything that is known of a login."""
    found = session or some_id()
    row = (
        "INSERT INTO login (id, user_id, appid, ip, platform, version, environment, created_at, seen_at, address, "
        "device, wechat) VALUES (:i, :u, :a, '192.0.2.7', 'ios', '12', 'release', :t, :t, :b, 'iPhone', '8.0')"
    )
    await house.db.write(script(ad_hoc(row, i=found, u=user_id, a=APPID, t=at, b=bytes(16))))
    return found


async def refused(house: House, at: int) -> None:
    row = "INSERT INTO refused_login (at, appid, errcode, ip) VALUES (:t, :a, 40029, '192.0.2.7')"
    await house.db.write(script(ad_hoc(row, t=at, a=APPID)))


async def rows(db: Database, sql: str) -> set[tuple[object, ...]]:
    return {tuple(row) for row in await db.read(ad_hoc(sql))}


async def logins(house: House) -> set[object]:
    return {row[0] for row in await rows(house.db, "SELECT id FROM login")}


@pytest.mark.gen_test
async def test_each_kind_goes_after_its_own_days(house: House) -> None:
    keeper = Keeper(house, Days(logins=190, addresses=30, refused=60, figures=400))
    keeper.wait(GRACE_SECONDS + 1)
    at = keeper.at
    _, masked, fresh = [await login(house, at - days * DAY) for days in (191, 31, 29)]
    for days in (61, 59, 31, 29):
        await refused(house, at - days * DAY)
    figures = Figures(house.db)
    for days in (402, 401, 399, 0):
        figures.count(APPID, "login", at - days * DAY)
    await figures.flush()
    await keeper.all()
    assert await logins(house) == {masked, fresh}
    asked = "SELECT id, ip, address, device, wechat, platform, version, created_at FROM login"
    assert await rows(house.db, asked) == {
        (masked, None, None, None, None, "ios", "12", at - 31 * DAY),
        (fresh, "192.0.2.7", bytes(16), "iPhone", "8.0", "ios", "12", at - 29 * DAY),
    }
    assert await rows(house.db, "SELECT at, ip FROM refused_login") == {
        (at - 59 * DAY, None),
        (at - 31 * DAY, None),
        (at - 29 * DAY, "192.0.2.7"),
    }
    assert set(await stand(house.db, "login")) == {(at - days * DAY) // 3_600 for days in (399, 0)}
    keeper.wait(200 * DAY)
    await keeper.all()
    assert await logins(house) == set()
    assert await rows(house.db, "SELECT at FROM refused_login") == set()


@pytest.mark.gen_test
async def test_addresses_are_masked_as_the_days_go_by_also_after_a_restart(house: House) -> None:
    keeper = Keeper(house, Days(addresses=30))
    keeper.wait(GRACE_SECONDS + 1)
    start = keeper.at
    for day in range(6):
        await login(house, start - 29 * DAY + day * DAY)
    for day in range(1, 6):
        keeper.wait(DAY)
        if day == 3:
            restarted = Keeper(house, Days(addresses=30))
            restarted.wait(keeper.at - restarted.at)
            keeper = restarted
        await keeper.all()
        known = await rows(house.db, "SELECT id FROM login WHERE ip IS NOT NULL")
        assert len(known) == 7 - day


@pytest.mark.gen_test
async def test_more_than_a_batch_of_one_second_goes_too(house: House) -> None:
    keeper = Keeper(house, Days(addresses=30))
    keeper.wait(GRACE_SECONDS + 1)
    for _ in range(A_FEW + 50):
        await login(house, keeper.at - 40 * DAY)
        await refused(house, keeper.at - 40 * DAY)
    await keeper.all()
    assert await rows(house.db, "SELECT id FROM login WHERE ip IS NOT NULL") == set()
    assert await rows(house.db, "SELECT id FROM refused_login WHERE ip IS NOT NULL") == set()
    keeper.wait(200 * DAY)
    await keeper.all()
    assert await logins(house) == set()
    assert await rows(house.db, "SELECT id FROM refused_login") == set()


@pytest.mark.gen_test
async def test_the_row_of_a_session_that_lives_stays_however_old(house: House) -> None:
    keeper = Keeper(house)
    keeper.wait(GRACE_SECONDS + 1)
    mei, at = await person(house), keeper.at
    # Begun under an older setting of SESSION_SECONDS, a year, of which this server knows nothing any more.
    session = await opened(house, mei, created_at=at - 300 * DAY, ends_at=at + 60 * DAY, expires_at=at + 60 * DAY)
    await login(house, at - 300 * DAY, session, mei.id)
    gone = await login(house, at - 300 * DAY)
    await keeper.all()
    assert await logins(house) == {session}
    assert gone not in await logins(house)
    await house.sessions.end([session], "logged_out", at)
    keeper.wait(PAUSE_SECONDS + 1)
    await keeper.all()
    assert await logins(house) == set()


@pytest.mark.quick
@pytest.mark.gen_test
async def test_rows_are_kept_as_long_as_a_session_may_live(sqlite_house: House) -> None:
    keeper = Keeper(sqlite_house, lifetime=Lifetime(365 * DAY, False, 0, 0))
    keeper.wait(GRACE_SECONDS + 1)
    young = await login(sqlite_house, keeper.at - 300 * DAY)
    await login(sqlite_house, keeper.at - 366 * DAY)
    await keeper.all()
    assert await logins(sqlite_house) == {young}


@pytest.mark.quick
class TestTheClock:
    @pytest.mark.gen_test
    async def test_after_a_start_nothing_goes_for_five_minutes(self, sqlite_house: House) -> None:
        keeper = Keeper(sqlite_house)
        old = await login(sqlite_house, keeper.at - 300 * DAY)
        keeper.wait(GRACE_SECONDS - 1)
        await keeper.all()
        assert await logins(sqlite_house) == {old}
        keeper.wait(2)
        await keeper.all()
        assert await logins(sqlite_house) == set()

    @pytest.mark.gen_test
    @pytest.mark.parametrize("jump", [366 * DAY, 3_600])
    async def test_a_clock_that_jumps_forward_takes_nothing_with_it(self, sqlite_house: House, jump: int) -> None:
        keeper = Keeper(sqlite_house)
        keeper.wait(GRACE_SECONDS + 1)
        kept = await login(sqlite_house, keeper.at - 190 * DAY + 600)
        await keeper.all()
        keeper.wait(PAUSE_SECONDS - 3_000)
        keeper.at += jump
        for _ in range(9):
            await keeper.all()
            assert await logins(sqlite_house) == {kept}
            keeper.wait(30)
        keeper.at -= jump  # somebody puts it right
        for _ in range(20):
            keeper.wait(15)
            await keeper.all()
        assert await logins(sqlite_house) == {kept}

    @pytest.mark.gen_test
    async def test_a_jump_that_was_meant_holds_after_a_while(self, sqlite_house: House) -> None:
        keeper = Keeper(sqlite_house)
        keeper.wait(GRACE_SECONDS + 1)
        await login(sqlite_house, keeper.at)
        await keeper.all()
        keeper.at += 366 * DAY
        await keeper.all()
        keeper.wait(GRACE_SECONDS + 1)
        await keeper.all()
        assert await logins(sqlite_house) == set()


@pytest.mark.gen_test
async def test_two_processes_that_tidy_up_at_once_take_nothing_too_much(house: House) -> None:
    first, second = Keeper(house), Keeper(house)
    for keeper in (first, second):
        keeper.wait(GRACE_SECONDS + 1)
    for _ in range(30):
        await login(house, first.at - 191 * DAY)
    kept = await login(house, first.at - 189 * DAY)
    await asyncio.gather(first.all(), second.all())
    assert await logins(house) == {kept}


@pytest.mark.quick
@pytest.mark.gen_test
async def test_while_nobody_knows_who_is_in_no_login_goes(sqlite_house: House) -> None:
    nobody = RedisUrl("127.0.0.1", 1, "", Secret(""), 0, tls=False)
    _, away = redis_sessions(nobody, sqlite_house.db)
    keeper = Keeper(sqlite_house)
    keeper.retention = Retention(DEFAULTS, Leftovers(sqlite_house.db), away, WEEKLY, keeper.clock)
    keeper.wait(GRACE_SECONDS + 1)
    old = await login(sqlite_house, keeper.at - 300 * DAY)
    with pytest.raises(StoreTrouble):
        await keeper.retention.step(keeper.at)
    assert await logins(sqlite_house) == {old}
    await away.close()
