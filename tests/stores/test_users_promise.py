"""What is promised about people, on both databases: one row and one id for each openid, whatever happens at once."""

import asyncio

import pytest
from engines import APPID, OTHER_APPID, ad_hoc, mark_of, meet, now

from stores.db import Database
from stores.users import AmbiguousUser, NoSuchUser, Seen, SignupClosed, User, UserBlocked, Users

pytest_plugins = ["store_fixtures"]


async def erased(users: Users, user: User) -> User:
    return await users.erase(user.id, mark=mark_of(user.appid, user.openid), now=now())


async def look(users: Users, openid: str, *, at: int | None = None, signup: bool = True) -> Seen:
    return await users.see(APPID, openid, None, mark=mark_of(APPID, openid), now=at or now(), signup=signup)


class TestSeeing:
    @pytest.mark.gen_test
    async def test_a_first_look_makes_the_person_and_a_second_finds_the_same(self, database: Database) -> None:
        users, at = Users(database), now()
        first = await look(users, "oMei", at=at)
        assert first.new
        assert first.user == User(first.user.id, APPID, "oMei", None, None, None, None, at, at, "active", None, None, 0)
        again = await look(users, "oMei", at=at + 100)
        assert not again.new
        assert again.user == first.user == await users.find(first.user.id)

    @pytest.mark.gen_test
    async def test_a_hundred_first_logins_at_once_make_one_person(self, database: Database) -> None:
        users = Users(database)
        for openid in ("oMei", "oLan", "oHui"):
            seen = await asyncio.gather(*(look(users, openid) for _ in range(100)))
            assert len({each.user.id for each in seen}) == 1
            assert {each.user.openid for each in seen} == {openid}
            assert sum(each.new for each in seen) == 1

    @pytest.mark.gen_test
    async def test_people_who_arrive_together_do_not_get_each_others_id(self, database: Database) -> None:
        users = Users(database)
        openids = [f"oPerson{n // 2}" for n in range(100)]
        seen = await asyncio.gather(*(look(users, openid) for openid in openids))
        assert [each.user.openid for each in seen] == openids
        assert len({each.user.id for each in seen}) == 50
        for each in seen[::2]:
            assert (await users.find(each.user.id)).openid == each.user.openid

    @pytest.mark.gen_test
    async def test_openids_that_differ_in_case_are_two_people(self, database: Database) -> None:
        users = Users(database)
        upper, lower = await meet(users, "oAbC"), await meet(users, "oabc")
        assert upper.id != lower.id
        assert (await users.find_openid("oabc", [APPID])).id == lower.id

    @pytest.mark.gen_test
    async def test_an_openid_belongs_to_its_mini_program(self, database: Database) -> None:
        users = Users(database)
        here, there = await meet(users, "oMei"), await meet(users, "oMei", appid=OTHER_APPID)
        assert here.id != there.id
        assert (here.appid, there.appid) == (APPID, OTHER_APPID)

    @pytest.mark.gen_test
    async def test_where_signup_is_closed_only_the_known_are_seen(self, database: Database) -> None:
        users = Users(database)
        mei = await meet(users, "oMei")
        assert (await look(users, "oMei", signup=False)).user == mei
        with pytest.raises(SignupClosed):
            await look(users, "oLan", signup=False)
        with pytest.raises(NoSuchUser):
            await users.find_openid("oLan", [APPID])

    @pytest.mark.gen_test
    async def test_a_person_has_the_columns_that_the_field_knows(self, database: Database) -> None:
        mei = await meet(Users(database), "oMei", unionid="uMei")
        rows = await database.read(
            ad_hoc(
                "SELECT id, appid, openid, unionid, nickname, avatar_url, phone, create_time, last_login_time, state "
                "FROM user"
            )
        )
        at = mei.created_at
        assert rows == [(mei.id, APPID, "oMei", "uMei", None, None, None, at, at, "active")]


class TestUnionid:
    @pytest.mark.gen_test
    async def test_it_is_kept_when_it_comes_changed_when_it_changes_and_stays_when_it_is_absent(
        self, database: Database
    ) -> None:
        users = Users(database)
        kept = []
        for told in (None, "uFirst", None, "uSecond", None):
            mei = await meet(users, "oMei", unionid=told)
            kept.append((await users.find(mei.id)).unionid)
        assert kept == [None, "uFirst", "uFirst", "uSecond", "uSecond"]

    @pytest.mark.gen_test
    async def test_two_openids_of_one_unionid_stay_two_rows(self, database: Database) -> None:
        users = Users(database)
        here = await meet(users, "oHere", unionid="uMei")
        there = await meet(users, "oThere", unionid="uMei", appid=OTHER_APPID)
        assert here.id != there.id
        assert (await users.find(here.id)).unionid == (await users.find(there.id)).unionid == "uMei"


class TestBlocking:
    @pytest.mark.gen_test
    async def test_a_blocked_person_is_refused_until_unblocked(self, database: Database) -> None:
        users = Users(database)
        mei = await meet(users, "oMei")
        blocked = await users.block(mei.id, reason="spam", until=None)
        assert (blocked.state, blocked.block_reason, blocked.blocked_until) == ("blocked", "spam", None)
        assert blocked.generation > mei.generation
        with pytest.raises(UserBlocked):
            await look(users, "oMei")
        again = await users.unblock(mei.id)
        assert (again.state, again.block_reason, again.generation) == ("active", None, blocked.generation)
        assert (await look(users, "oMei")).user == again

    @pytest.mark.gen_test
    async def test_a_block_until_a_moment_ends_at_that_moment(self, database: Database) -> None:
        users, at = Users(database), now()
        mei = await meet(users, "oMei")
        await users.block(mei.id, reason="calm down", until=at + 100)
        with pytest.raises(UserBlocked):
            await look(users, "oMei", at=at + 99)
        assert (await look(users, "oMei", at=at + 100)).user.id == mei.id

    @pytest.mark.gen_test
    async def test_every_block_raises_the_generation_also_when_many_block_at_once(self, database: Database) -> None:
        users = Users(database)
        mei = await meet(users, "oMei")
        blocked = await asyncio.gather(*(users.block(mei.id, reason="x", until=None) for _ in range(10)))
        assert sorted(each.generation for each in blocked) == list(range(1, 11))

    @pytest.mark.gen_test
    async def test_somebody_unknown_cannot_be_found_blocked_renamed_or_erased(self, database: Database) -> None:
        users = Users(database)
        for deed in (
            users.find(4_711),
            users.block(4_711, reason="x", until=None),
            users.unblock(4_711),
            users.rename(4_711, {"nickname": "x", "avatar_url": None}),
            users.erase(4_711, mark=b"m" * 32, now=now()),
        ):
            with pytest.raises(NoSuchUser):
                await deed


class TestErasing:
    @pytest.mark.gen_test
    async def test_an_erased_person_who_comes_back_is_somebody_new(self, database: Database) -> None:
        users = Users(database)
        mei = await meet(users, "oMei", unionid="uMei")
        assert (await erased(users, mei)).id == mei.id
        with pytest.raises(NoSuchUser):
            await users.find(mei.id)
        again = await look(users, "oMei")
        assert again.new
        assert again.user.id > mei.id
        assert again.user.unionid is None

    @pytest.mark.gen_test
    async def test_an_id_is_never_used_again(self, database: Database) -> None:
        users, ids = Users(database), []
        for n in range(5):
            somebody = await meet(users, f"oPerson{n}")
            ids.append(somebody.id)
            await erased(users, somebody)
        assert ids == sorted(set(ids))

    @pytest.mark.gen_test
    async def test_a_block_outlives_the_erasure(self, database: Database) -> None:
        users, at = Users(database), now()
        mei, lan = await meet(users, "oMei"), await meet(users, "oLan")
        await users.block(mei.id, reason="spam", until=None)
        await users.block(lan.id, reason="calm down", until=at + 100)
        for each in (mei, lan):
            await erased(users, each)
            with pytest.raises(UserBlocked):
                await look(users, each.openid, at=at)
            with pytest.raises(NoSuchUser):
                await users.find_openid(each.openid, [APPID])
        assert (await look(users, "oLan", at=at + 100)).new
        with pytest.raises(UserBlocked):
            await look(users, "oMei", at=at + 100)

    @pytest.mark.gen_test
    async def test_the_block_list_names_nobody(self, database: Database) -> None:
        users = Users(database)
        mei = await meet(users, "oMeiOfTheBlockList")
        await users.block(mei.id, reason="spam", until=None)
        await erased(users, mei)
        rows = await database.read(ad_hoc("SELECT person, appid, blocked_until, block_reason FROM blocked_person"))
        assert rows == [(mark_of(APPID, "oMeiOfTheBlockList"), APPID, None, "spam")]

    @pytest.mark.gen_test
    async def test_a_second_block_and_erasure_keep_the_newer_block(self, database: Database) -> None:
        users, at = Users(database), now()
        for until in (at + 100, None):
            seen = await look(users, "oMei", at=at + 200)
            await users.block(seen.user.id, reason="again", until=until)
            await erased(users, seen.user)
            at_end = (at + 100 if until else at + 10_000) - 1
            with pytest.raises(UserBlocked):
                await look(users, "oMei", at=at_end)

    @pytest.mark.gen_test
    async def test_who_was_not_blocked_leaves_nothing_behind(self, database: Database) -> None:
        users = Users(database)
        await erased(users, await meet(users, "oMei"))
        assert await database.read(ad_hoc("SELECT person FROM blocked_person")) == []
        assert await database.read(ad_hoc("SELECT id FROM user")) == []


class TestNames:
    @pytest.mark.gen_test
    @pytest.mark.parametrize("nickname", ["梅", "Zoë", "👩‍👩‍👧 & <b>", "'; -- x", "x" * 64, None])
    async def test_what_a_person_typed_in_comes_back_as_it_was(self, database: Database, nickname: str | None) -> None:
        users = Users(database)
        mei = await meet(users, "oMei")
        renamed = await users.rename(mei.id, {"nickname": nickname, "avatar_url": "https://a.example/a.png"})
        assert renamed == await users.find(mei.id)
        assert (renamed.nickname, renamed.avatar_url) == (nickname, "https://a.example/a.png")

    @pytest.mark.gen_test
    async def test_the_same_name_again_is_no_error(self, database: Database) -> None:
        users = Users(database)
        mei = await meet(users, "oMei")
        first = await users.rename(mei.id, {"nickname": "Mei", "avatar_url": None})
        assert await users.rename(mei.id, {"nickname": "Mei", "avatar_url": None}) == first

    @pytest.mark.gen_test
    async def test_an_openid_in_two_mini_programs_is_ambiguous_until_one_is_named(self, database: Database) -> None:
        users = Users(database)
        here, there = await meet(users, "oMei"), await meet(users, "oMei", appid=OTHER_APPID)
        with pytest.raises(AmbiguousUser):
            await users.find_openid("oMei", [APPID, OTHER_APPID])
        assert (await users.find_openid("oMei", [APPID])).id == here.id
        assert (await users.find_openid("oMei", [OTHER_APPID])).id == there.id
        with pytest.raises(NoSuchUser):
            await users.find_openid("oMei", [])
        with pytest.raises(NoSuchUser):
            await users.find_openid("omei", [APPID, OTHER_APPID])


class TestAtOnce:
    @pytest.mark.gen_test
    async def test_nobody_escapes_a_block_by_erasing_themselves_meanwhile(self, database: Database) -> None:
        users = Users(database)
        for n in range(40):
            mei = (await meet(users, f"oEscape{n}")).id
            mark = mark_of(APPID, f"oEscape{n}")
            blocked, _ = await asyncio.gather(
                users.block(mei, reason="spam", until=None),
                users.erase(mei, mark=mark, now=now()),
                return_exceptions=True,
            )
            if not isinstance(blocked, BaseException):
                with pytest.raises(UserBlocked):
                    await meet(users, f"oEscape{n}")

    @pytest.mark.gen_test
    async def test_two_changes_of_a_profile_at_once_both_hold(self, database: Database) -> None:
        users = Users(database)
        mei = await meet(users, "oTwoChanges")
        for n in range(20):
            name, url = f"Mei {n}", f"https://a.example/{n}.png"
            await asyncio.gather(users.rename(mei.id, {"nickname": name}), users.rename(mei.id, {"avatar_url": url}))
            after = await users.find(mei.id)
            assert (after.nickname, after.avatar_url) == (name, url)
