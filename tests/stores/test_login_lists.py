"""Pages of logins on both databases, against a list that Python sorts and filters itself."""

import random
from collections.abc import Callable, Iterable
from ipaddress import ip_address

import pytest
from engines import APPID, OTHER_APPID, ad_hoc, script
from msgspec.structs import replace
from tornado.ioloop import IOLoop

import stores.logins
from stores.db import Database
from stores.logins import BadPlace, Login, Logins, Order, Place, Sought, sortable

pytest_plugins = ["store_fixtures"]

PEOPLE = 6
ROWS = 120
COUNTERS = {APPID: 2, OTHER_APPID: 0}
OLDEST = 1_010
ORDERS: tuple[Order, ...] = ("created", "created_up", "seen", "seen_up")
NETWORK = tuple(sortable(each) or b"" for each in ("198.51.100.0", "198.51.100.255"))
PERSON_NETWORK = (NETWORK[0], NETWORK[1])


def some_logins() -> list[Login]:
    """Logins that share seconds, addresses, versions and people with each other."""
    dice = random.Random(5)  # noqa: S311  # it makes up rows, and the same ones each time
    return [_login(dice, n) for n in range(ROWS)]


def _login(dice: random.Random, n: int) -> Login:
    created = 1_000 + dice.randrange(30)
    ended = dice.random() < 0.3
    ip = dice.choice(["198.51.100.7", "198.51.100.200", "203.0.113.5", "2001:db8::7"])
    return Login(
        id=dice.randbytes(32),
        user_id=1 + n % PEOPLE,
        appid=dice.choice([APPID, APPID, OTHER_APPID]),
        ip=ip,
        platform=dice.choice(["ios", "android", None]),
        version=dice.choice(["12", "13", None]),
        environment=dice.choice(["release", "develop", None]),
        created_at=created,
        seen_at=created + dice.randrange(40),
        ended_at=2_000 if ended else None,
        reason=dice.choice(["logged_out", "revoked"]) if ended else None,
        epoch=dice.choice([1, 2]),
        address=sortable(ip),
        device="Pixel 7, Android 14",
        wechat="8.0.50",
    )


@pytest.fixture
def logins(database: Database, io_loop: IOLoop, monkeypatch: pytest.MonkeyPatch) -> Logins:
    """The rows in the database, and bounds so small that most pages meet them."""
    monkeypatch.setattr(stores.logins, "LOOKED_THROUGH", 11)
    monkeypatch.setattr(stores.logins, "FEW", 45)
    found = Logins(database)
    io_loop.run_sync(lambda: _fill(database, found))
    return found


async def _fill(database: Database, logins: Logins) -> None:
    add = "INSERT INTO user (id, appid, openid, create_time, last_login_time) VALUES (:id, :appid, :openid, 1, 1)"
    people = [ad_hoc(add, id=n, appid=APPID, openid=f"oPerson{n}") for n in range(1, PEOPLE + 1)]
    epoch = "INSERT INTO epoch (appid, counter) VALUES (:appid, :counter)"
    counters = [ad_hoc(epoch, appid=appid, counter=counter) for appid, counter in COUNTERS.items()]
    await database.write(script(*people, *counters))
    for each in some_logins():
        logins.opened(each)
        logins.seen([each.id], each.seen_at)
        if each.ended_at and each.reason:
            logins.ended([each.id], each.reason, each.ended_at)
    await logins.flush()


def fate(login: Login) -> str:
    if login.ended_at is not None:
        return str(login.reason)
    if login.epoch < COUNTERS[login.appid]:
        return "revoked"
    return "expired" if login.created_at <= OLDEST else "live"


def fits(login: Login, sought: Sought) -> bool:
    """What the statements are to say, in other words."""
    first, last = sought.addresses or (b"", b"\xff" * 17)
    so = fate(login)
    return (
        (sought.appids is None or login.appid in sought.appids)
        and (sought.user_ids is None or login.user_id in sought.user_ids)
        and first <= (login.address or b"") <= last
        and sought.version in (None, login.version)
        and sought.platform in (None, login.platform)
        and sought.environment in (None, login.environment)
        and (sought.state == "any" or sought.state == so or (sought.state == "ended" and so != "live"))
        and login.seen_at >= sought.seen_from
        and sought.created_from <= login.created_at <= sought.created_to
    )


def expected(sought: Sought, order: Order) -> list[Login]:
    def key(login: Login) -> tuple[int, bytes]:
        return (login.seen_at if order.startswith("seen") else login.created_at), login.id

    return sorted((each for each in some_logins() if fits(each, sought)), key=key, reverse=not order.endswith("_up"))


async def walked(logins: Logins, sought: Sought, order: Order, most: int) -> list[Login]:
    """All pages, one after the other; each place goes through its text, as it does in an address."""
    shown: list[Login] = []
    place = None
    for _ in range(20 * ROWS):
        page = await logins.page(sought, order, place, most)
        assert len(page.logins) <= most
        assert page.looked_back_to is None or page.more is not None
        shown += page.logins
        if page.more is None:
            return shown
        place = Place.of(str(page.more))
    raise AssertionError("the list does not end")


LIVE = Sought(state="live", oldest_live=OLDEST)
ANY = Sought(oldest_live=OLDEST)
SOUGHT: dict[str, Sought] = {
    "everything": ANY,
    "live": LIVE,
    "ended": replace(ANY, state="ended"),
    "expired": replace(ANY, state="expired"),
    "revoked": replace(ANY, state="revoked"),
    "logged out": replace(ANY, state="logged_out"),
    "one mini program": replace(LIVE, appids=(OTHER_APPID,)),
    "no mini program": replace(LIVE, appids=()),
    "one person": replace(LIVE, user_ids=(3,)),
    "many people": replace(LIVE, user_ids=(1, 2, 3, 4)),
    "nobody": replace(LIVE, user_ids=()),
    "one address": replace(LIVE, addresses=(sortable("203.0.113.5") or b"",) * 2),
    "a network": replace(LIVE, addresses=PERSON_NETWORK),
    "all networks": replace(LIVE, addresses=(bytes(16), b"\xff" * 16)),
    "a version": replace(LIVE, version="12"),
    "a platform": replace(LIVE, platform="ios"),
    "a rare environment": replace(LIVE, environment="develop"),
    "the usual environment": replace(LIVE, environment="release"),
    "several things": replace(LIVE, platform="ios", version="13", environment="release", appids=(APPID,)),
    "seen lately": replace(LIVE, seen_from=1_040),
    "a span": replace(ANY, created_from=1_005, created_to=1_011),
    "a span that is over before it begins": replace(ANY, created_from=1_011, created_to=1_005),
}


class TestPages:
    @pytest.mark.gen_test
    @pytest.mark.parametrize("most", [3, 50])
    @pytest.mark.parametrize("kind", SOUGHT)
    async def test_each_login_that_fits_is_shown_once_and_in_its_place(
        self, logins: Logins, kind: str, most: int
    ) -> None:
        for order in ORDERS:
            if order.startswith("seen") and SOUGHT[kind].state != "live":
                continue  # no index has this order; Question.ordered sees to it that nobody asks
            assert await walked(logins, SOUGHT[kind], order, most) == expected(SOUGHT[kind], order), order

    def test_the_kinds_above_find_something_and_leave_something_out(self) -> None:
        none = {kind for kind, sought in SOUGHT.items() if not expected(sought, "created")}
        assert none == {"no mini program", "nobody", "a span that is over before it begins"}
        every = {kind for kind, sought in SOUGHT.items() if len(expected(sought, "created")) == ROWS}
        assert every == {"everything"}

    @pytest.mark.gen_test
    async def test_a_page_that_stops_early_says_how_far_it_looked(self, logins: Logins) -> None:
        page = await logins.page(replace(LIVE, version="99"), "created")
        assert page == stores.logins.Page([])  # the index of versions knows at once
        rare = replace(LIVE, appids=("wx00000000000000c3",))
        page = await logins.page(rare, "created")
        assert page.logins == []
        assert page.more is not None
        assert page.looked_back_to == page.more.value
        assert page.looked_back_to < max(each.created_at for each in some_logins())

    @pytest.mark.gen_test
    async def test_what_is_noted_between_two_pages_moves_nobody(self, logins: Logins) -> None:
        first = await logins.page(ANY, "created", None, 30)
        newer = replace(some_logins()[0], id=b"\xee" * 32, created_at=5_000, seen_at=5_000)
        logins.opened(newer)
        await logins.flush()
        rest: list[Login] = []
        place = first.more
        while place is not None:
            page = await logins.page(ANY, "created", place, 30)
            rest, place = rest + page.logins, page.more
        assert first.logins + rest == expected(ANY, "created")


@pytest.mark.quick
class TestPlaces:
    @pytest.mark.parametrize(
        "text",
        [
            "",
            "-",
            "1",
            "1-",
            "-1-" + "00" * 32,
            "1-" + "00" * 31,
            "1-" + "00" * 33,
            "1-" + "0" * 63,
            "0x1-" + "00" * 32,
            "01-" + "00" * 32,
            "1 -" + "00" * 32,
            "1-" + "AB" * 32,
            "1-" + "zz" * 32,
            "1-" + " " + "00" * 32,
            "f" * 14 + "-" + "00" * 32,
            "f" * 5_000 + "-" + "00" * 32,
            "\uff11-" + "00" * 32,
            "1-" + "00" * 32 + "\n",
            "1' OR 1=1 --",
        ],
    )
    def test_what_no_list_ever_gave_is_refused(self, text: str) -> None:
        with pytest.raises(BadPlace):
            Place.of(text)

    @pytest.mark.parametrize(
        "place", [Place(0, bytes(32)), Place(2**53, b"\xff" * 32), Place(1_700_000_000, b"i" * 32)]
    )
    def test_a_place_comes_back_from_its_text(self, place: Place) -> None:
        assert Place.of(str(place)) == place


def sorted_as_addresses(texts: Iterable[str], key: Callable[[str], object]) -> list[str]:
    return sorted(texts, key=key)  # type: ignore[arg-type]  # keys of both kinds can be compared


@pytest.mark.quick
class TestAddresses:
    def test_bytes_sort_as_addresses_do(self) -> None:
        four = ["1.0.0.0", "9.255.0.1", "10.0.0.0", "100.1.1.1", "255.255.255.255"]
        assert sorted_as_addresses(reversed(four), lambda each: sortable(each)) == four
        six = ["::", "2001:db8::1", "2001:db8:1::", "ffff::"]
        assert sorted_as_addresses(reversed(six), lambda each: int(ip_address(each))) == six
        assert sorted_as_addresses(reversed(six), lambda each: sortable(each)) == six

    def test_an_ipv4_address_is_the_same_in_both_spellings(self) -> None:
        assert sortable("192.0.2.1") == sortable("::ffff:192.0.2.1")

    @pytest.mark.parametrize("text", [None, "", "unknown", "192.0.2", "192.0.2.1/32", "1" * 5_000, "x\n"])
    def test_what_is_no_address_is_none(self, text: str | None) -> None:
        assert sortable(text) is None
