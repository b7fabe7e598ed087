"""Facts about logins on both databases: written behind, in order, and bounded while the database is away."""

import asyncio
import re

import pytest
from engines import APPID, ad_hoc, meet, now, script, some_id
from tornado.ioloop import IOLoop

from settings import SqliteUrl
from stores.db import Database, open_database
from stores.logins import MOST_WAITING, Login, Logins
from stores.users import Users

pytest_plugins = ["store_fixtures"]


def login(user_id: int = 1, *, at: int = 1_000, id: bytes = b"") -> Login:  # noqa: A002  # as the field is called
    return Login(id or some_id(), user_id, APPID, "2001:db8::1", "devtools", "1.2.3", "trial", at, at)


@pytest.fixture(autouse=True)
def people(request: pytest.FixtureRequest, io_loop: IOLoop) -> None:
    """Those whose logins are told: of nobody else are addresses kept."""
    if "database" not in request.fixturenames:
        return
    db: Database = request.getfixturevalue("database")
    add = "INSERT INTO user (id, appid, openid, create_time, last_login_time) VALUES (:id, :appid, :openid, 1, 1)"
    rows = [ad_hoc(add, id=n, appid=APPID, openid=f"oPerson{n}") for n in range(1, 10)]
    io_loop.run_sync(lambda: db.write(script(*rows)))


async def written(logins: Logins, *some: Login) -> None:
    for each in some:
        logins.opened(each)
    await logins.flush()


def ended_before_its_row(database: Database) -> tuple[Logins, Logins, Login]:
    """A process that has noted an end, the one that has still to write that the session began, and the session."""
    here, there, mine = Logins(database), Logins(database), login()
    there.opened(mine)
    here.ended([mine.id], "revoked", 1_100)
    return here, there, mine


class TestAnEndBeforeItsRow:
    """Another process opened the session and has still to write that down."""

    @pytest.mark.gen_test
    async def test_it_is_told_and_written_as_soon_as_there_is_a_row(self, database: Database) -> None:
        here, there, mine = ended_before_its_row(database)
        await here.flush()
        assert [some async for some in here.ended_since(0)] == [[(mine.id, "revoked")]]
        await there.flush()
        assert (await there.find([mine.id]))[mine.id].ended_at is None
        await here.flush()
        row = (await there.find([mine.id]))[mine.id]
        assert (row.ended_at, row.reason) == (1_100, "revoked")
        assert [some async for some in here.ended_since(0)] == [[(mine.id, "revoked")]]
        assert [some async for some in there.ended_since(0)] == [[(mine.id, "revoked")]]

    @pytest.mark.gen_test
    async def test_a_process_that_ends_waits_for_the_row(self, database: Database) -> None:
        here, there, mine = ended_before_its_row(database)
        ending = asyncio.ensure_future(here.finish())
        await asyncio.sleep(0.05)
        await there.flush()
        await ending
        assert (await there.find([mine.id]))[mine.id].reason == "revoked"

    @pytest.mark.gen_test
    async def test_what_was_brought_back_is_not_ended_again(self, database: Database) -> None:
        here, there, mine = ended_before_its_row(database)
        await here.flush()
        here.restored([mine.id])
        await there.flush()
        await here.flush()
        assert (await there.find([mine.id]))[mine.id].ended_at is None


class TestWritingBehind:
    @pytest.mark.gen_test
    async def test_a_login_is_found_once_it_is_written_and_not_before(self, database: Database) -> None:
        logins, mine = Logins(database), login()
        logins.opened(mine)
        assert await logins.find([mine.id]) == {}
        await logins.flush()
        assert await logins.find([mine.id, some_id()]) == {mine.id: mine}
        assert await logins.find([]) == {}

    @pytest.mark.gen_test
    async def test_notes_are_written_in_the_order_in_which_they_were_made(self, database: Database) -> None:
        logins, mine = Logins(database), login()
        logins.opened(mine)
        logins.seen([mine.id], 1_060)
        logins.ended([mine.id], "logged_out", 1_100)
        logins.ended([mine.id], "revoked", 1_200)
        await logins.flush()
        row = (await logins.find([mine.id]))[mine.id]
        assert (row.seen_at, row.ended_at, row.reason) == (1_060, 1_100, "logged_out")

    @pytest.mark.gen_test
    async def test_the_first_cause_stays_also_over_two_flushes(self, database: Database) -> None:
        logins, mine = Logins(database), login()
        await written(logins, mine)
        for reason, at in (("blocked", 1_100), ("revoked", 1_050)):
            logins.ended([mine.id], reason, at)
            await logins.flush()
        row = (await logins.find([mine.id]))[mine.id]
        assert (row.ended_at, row.reason) == (1_100, "blocked")

    @pytest.mark.gen_test
    async def test_last_seen_never_goes_back(self, database: Database) -> None:
        logins, mine = Logins(database), login(at=1_000)
        await written(logins, mine)
        for at in (1_300, 1_200, 900):
            logins.seen([mine.id], at)
        await logins.flush()
        assert (await logins.find([mine.id]))[mine.id].seen_at == 1_300

    @pytest.mark.gen_test
    async def test_a_login_sets_the_persons_last_login_and_an_older_one_does_not(self, database: Database) -> None:
        users, logins = Users(database), Logins(database)
        mei = await meet(users, "oMei")
        later = mei.created_at + 500
        await written(logins, login(mei.id, at=later), login(mei.id, at=later - 100))
        assert (await users.find(mei.id)).last_login_at == later

    @pytest.mark.gen_test
    async def test_the_same_login_told_twice_is_one_row(self, database: Database) -> None:
        logins, mine = Logins(database), login()
        await written(logins, mine, mine)
        assert await logins.of_user(1, 10) == [mine]

    @pytest.mark.gen_test
    async def test_a_thousand_uses_are_one_note_or_two(self, database: Database) -> None:
        logins = Logins(database)
        some = [login(at=1_000) for _ in range(1_200)]
        await written(logins, *some)
        logins.seen((each.id for each in some), 1_060)
        await logins.flush()
        rows = await database.read(ad_hoc("SELECT COUNT(*) FROM login WHERE seen_at = :at", at=1_060))
        assert rows[0][0] == 1_200


class TestFlushesThatMeet:
    @pytest.mark.gen_test
    async def test_no_note_is_lost_between_them(self, database: Database) -> None:
        logins, all_of_them = Logins(database), [login(at=1_000 + n) for n in range(300)]

        async def note() -> None:
            for each in all_of_them:
                logins.opened(each)
                await asyncio.sleep(0.001)

        async def flush_on(noting: asyncio.Task[None]) -> None:
            while not noting.done():
                await logins.flush()
                await asyncio.sleep(0)

        noting = asyncio.ensure_future(note())
        await asyncio.gather(noting, *(flush_on(noting) for _ in range(5)))
        await logins.flush()
        assert await logins.find([each.id for each in all_of_them]) == {each.id: each for each in all_of_them}

    @pytest.mark.gen_test
    async def test_a_flush_that_is_cut_short_loses_nothing(self, database: Database) -> None:
        logins, all_of_them = Logins(database), [login(at=1_000 + n) for n in range(50)]
        for each in all_of_them:
            logins.opened(each)
            flush = asyncio.ensure_future(logins.flush())
            await asyncio.sleep(0)
            flush.cancel()
            await asyncio.gather(flush, return_exceptions=True)
        await logins.flush()
        assert len(await logins.find([each.id for each in all_of_them])) == 50


class TestAnAbsentDatabase:
    pytestmark = pytest.mark.quick

    @pytest.mark.gen_test
    async def test_what_was_noted_meanwhile_is_written_when_it_is_back(self, sqlite_file: SqliteUrl) -> None:
        db = open_database(sqlite_file)
        logins, mine = Logins(db), login()
        logins.opened(mine)
        await logins.flush()
        logins.ended([mine.id], "revoked", 1_100)
        await db.start()
        await logins.flush()
        assert (await logins.find([mine.id]))[mine.id].reason == "revoked"
        assert logins.lost == 0
        await db.close()

    @pytest.mark.gen_test
    async def test_the_newest_notes_are_kept_up_to_a_bound_and_the_loss_is_told(
        self, sqlite_file: SqliteUrl, caplog: pytest.LogCaptureFixture
    ) -> None:
        db = open_database(sqlite_file)
        logins, oldest, newest = Logins(db), login(), login()
        logins.opened(oldest)
        logins.ended([some_id()] * (3 * MOST_WAITING), "revoked", 1_000)
        noted = 1 + 3 * MOST_WAITING
        assert noted - logins.lost <= 2 * MOST_WAITING
        assert re.search(r"notes about \d+ logins were given up", caplog.text)
        logins.opened(newest)
        await logins.flush()
        assert MOST_WAITING - 500 < noted + 1 - logins.lost <= MOST_WAITING  # one note holds 500 at the most
        await db.start()
        await logins.flush()
        assert list(await logins.find([oldest.id, newest.id])) == [newest.id]
        await db.close()


class TestLooking:
    @pytest.mark.gen_test
    async def test_a_beginning_finds_one_login_or_shows_that_it_is_ambiguous(self, database: Database) -> None:
        logins = Logins(database)
        ids = [bytes.fromhex(word.ljust(64, "5")) for word in ("abcdef01", "abcdef02", "abcdef03", "fffffff0")]
        await written(logins, *(login(id=each) for each in ids))
        assert [each.id for each in await logins.beginning_with("abcdef01")] == [ids[0]]
        assert [each.id for each in await logins.beginning_with(ids[1].hex())] == [ids[1]]
        assert [each.id for each in await logins.beginning_with("fffffff0")] == [ids[3]]
        assert len(await logins.beginning_with("abcdef0")) == 2
        assert await logins.beginning_with("abcdef04") == []

    @pytest.mark.gen_test
    async def test_a_persons_logins_come_the_newest_first(self, database: Database) -> None:
        logins = Logins(database)
        mine = [login(7, at=at) for at in (1_000, 3_000, 2_000)]
        await written(logins, *mine, login(8, at=5_000))
        assert [each.created_at for each in await logins.of_user(7, 10)] == [3_000, 2_000, 1_000]
        assert [each.created_at for each in await logins.of_user(7, 2)] == [3_000, 2_000]
        assert await logins.of_user(9, 10) == []

    @pytest.mark.gen_test
    async def test_pages_of_all_logins_show_each_once_also_those_of_one_second(self, database: Database) -> None:
        logins = Logins(database)
        some = [login(at=1_000 + n // 8) for n in range(50)]
        await written(logins, *some)
        shown: list[Login] = []
        page = await logins.newest(7, now())
        while page:
            shown += page
            assert len(shown) <= 50
            page = await logins.newest(7, page[-1].created_at, page[-1].id)
        assert shown == sorted(some, key=lambda each: (each.created_at, each.id), reverse=True)

    @pytest.mark.gen_test
    async def test_an_erased_persons_addresses_and_devices_go_and_the_times_stay(self, database: Database) -> None:
        logins = Logins(database)
        mine, others, unwritten = login(7), login(8), login(7, at=2_000)
        await written(logins, mine, others)
        logins.opened(unwritten)
        await logins.mask(7)
        for each in await logins.of_user(7, 10):
            assert (each.ip, each.platform, each.version, each.environment) == (None, None, None, None)
        assert [each.created_at for each in await logins.of_user(7, 10)] == [2_000, 1_000]
        assert await logins.of_user(8, 10) == [others]


@pytest.mark.gen_test
async def test_a_note_that_comes_after_its_person_was_erased_keeps_no_address(database: Database) -> None:
    here, elsewhere = Logins(database), Logins(database)
    late = login(3)
    elsewhere.opened(late)
    await Users(database).erase(3, mark=b"m" * 32, now=now())
    await here.mask(3)
    await elsewhere.flush()
    row = (await here.find([late.id]))[late.id]
    assert (row.ip, row.platform, row.version, row.environment) == (None, None, None, None)
    assert row.created_at == late.created_at
