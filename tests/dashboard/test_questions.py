"""What the parameters of a list's address may say, what a search is taken for, and what becomes of hostile ones."""

from datetime import UTC
from zoneinfo import ZoneInfo

import pytest

from actions.questions import AuditQuestion, BadQuestion, LoginsQuestion, Question, UsersQuestion
from actions.search import Search
from stores.logins import sortable

pytestmark = pytest.mark.quick
CHINA = ZoneInfo("Asia/Shanghai")
FULL = {
    "q": "Mei",
    "app": "wx0000000000000001",
    "platform": "ios",
    "version": "1.2.3",
    "environment": "trial",
    "state": "ended",
    "seen": "90m",
    "from": "2026-01-01",
    "to": "2026-01-31T23:59",
    "order": "created_up",
}


class TestQuestion:
    def test_it_is_written_back_as_it_was_read(self) -> None:
        question = Question.of(FULL)
        assert question.parameters() == FULL
        assert Question.of(question.parameters()) == question

    def test_what_is_not_asked_for_is_left_out(self) -> None:
        assert Question.of({"q": "  ", "platform": "", "lang": "en", "after": "x"}) == Question()
        assert Question().parameters() == {}

    def test_every_part_arrives(self) -> None:
        question = Question.of(FULL)
        assert (question.seen_within, question.state, question.order) == (5_400, "ended", "created_up")
        assert question.created_from == 1_767_225_600
        assert question.created_to == 1_767_225_600 + 31 * 86_400 - 1

    def test_a_day_is_a_day_by_the_operator_s_clock(self) -> None:
        day = {"from": "2026-03-05", "to": "2026-03-05"}
        there, here = Question.of(day, CHINA), Question.of(day, UTC)
        assert (there.created_from, there.created_to) == (1_772_640_000, 1_772_640_000 + 86_399)
        assert here.created_from is not None
        assert there.created_from == here.created_from - 8 * 3_600

    def test_a_day_that_loses_an_hour_is_shorter(self) -> None:
        day = Question.of({"from": "2026-03-29", "to": "2026-03-29"}, ZoneInfo("Europe/Berlin"))
        assert day.created_from is not None
        assert day.created_to == day.created_from + 23 * 3_600 - 1

    @pytest.mark.parametrize(
        ("field", "text"),
        [
            ("q", "x" * 129),
            ("q", "a\x00b"),
            ("q", "a\nb"),
            ("q", "\ud800"),
            ("app", "../etc"),
            ("app", "x" * 33),
            ("platform", "iOS"),
            ("platform", "ios' OR 1=1 --"),
            ("version", "1 2"),
            ("version", "\uff11"),
            ("environment", "production"),
            ("state", "alive"),
            ("state", "LIVE"),
            ("seen", "0m"),
            ("seen", "-1h"),
            ("seen", "1y"),
            ("seen", "999999d"),
            ("seen", "\u0661h"),
            ("from", "yesterday"),
            ("from", "2026-02-30"),
            ("from", "0001-01-01"),
            ("from", "1969-12-31"),
            ("from", "2026-W01-1"),
            ("from", "20260101"),
            ("from", "2026-01-01T25:00"),
            ("from", "2026-01-01T00:00+08:00"),
            ("to", "9999-12-31"),
            ("order", "id"),
            ("order", "created; DROP TABLE login"),
        ],
    )
    def test_a_part_that_is_nothing_it_takes_is_named(self, field: str, text: str) -> None:
        with pytest.raises(BadQuestion) as bad:
            Question.of({field: text})
        assert bad.value.field == field
        assert bad.value.__suppress_context__

    def test_an_order_that_no_index_has_becomes_one_that_it_has(self) -> None:
        assert Question(state="live", order="seen").ordered == "seen"
        assert Question(state="any", order="seen").ordered == "created"
        assert Question(state="ended", order="seen_up").ordered == "created_up"
        assert Question(state="ended", order="created_up").ordered == "created_up"


class TestOtherQuestions:
    @pytest.mark.parametrize(
        ("kind", "given"),
        [
            (UsersQuestion, {"q": "Mei", "app": "wx1", "state": "blocked", "from": "2026-01-01"}),
            (LoginsQuestion, {"app": "wx1", "platform": "ios", "result": "refused", "errcode": "-1"}),
            (AuditQuestion, {"actor": "operator:mei", "deed": "user.block", "result": "denied", "target": "user:1"}),
        ],
    )
    def test_each_comes_back_from_its_parameters(
        self, kind: type[UsersQuestion | LoginsQuestion | AuditQuestion], given: dict[str, str]
    ) -> None:
        question = kind.of(given)
        assert question.parameters() == given
        assert kind.of(question.parameters()) == question

    @pytest.mark.parametrize(
        ("kind", "field", "text"),
        [
            (UsersQuestion, "state", "live"),
            (LoginsQuestion, "errcode", "1e3"),
            (LoginsQuestion, "errcode", "99999999"),
            (LoginsQuestion, "result", "all"),
            (AuditQuestion, "deed", "user block"),
            (AuditQuestion, "result", "any"),
            (AuditQuestion, "actor", "a\tb"),
            (AuditQuestion, "to", "now"),
        ],
    )
    def test_each_refuses_what_it_does_not_take(
        self, kind: type[UsersQuestion | LoginsQuestion | AuditQuestion], field: str, text: str
    ) -> None:
        with pytest.raises(BadQuestion) as bad:
            kind.of({field: text})
        assert bad.value.field == field


class TestSearch:
    @pytest.mark.parametrize(
        ("text", "taken_for"),
        [
            ("", Search()),
            ("7", Search(user_id=7)),
            ("1234", Search(user_id=1234, phone_tail="1234")),
            ("0042", Search(user_id=42, phone_tail="0042")),
            ("12345678", Search(user_id=12_345_678)),
            ("9" * 19, Search(user_id=2**63 - 1)),
            ("9" * 20, Search(public_id="9" * 20)),
            ("deadbee", Search(nickname="deadbee")),
            ("deadbeef", Search(public_id="deadbeef")),
            ("DEADBEEF01", Search(public_id="deadbeef01")),
            ("0" * 64, Search(public_id="0" * 64)),
            ("a" * 65, Search(nickname="a" * 65)),
            ("o" + "x" * 27, Search(openid="o" + "x" * 27)),
            ("wx0000000000000001:abc", Search(openid="abc", appid="wx0000000000000001")),
            ("小明", Search(nickname="小明")),
            ("\uff11\uff12", Search(nickname="\uff11\uff12")),
            ("192.0.2", Search(nickname="192.0.2")),
            ("192.0.2.1/33", Search(nickname="192.0.2.1/33")),
            ("%", Search(nickname="%")),
        ],
    )
    def test_it_is_recognised_by_its_form(self, text: str, taken_for: Search) -> None:
        assert Search.of(text) == taken_for

    @pytest.mark.parametrize(
        ("text", "first", "last"),
        [
            ("192.0.2.1", "192.0.2.1", "192.0.2.1"),
            ("192.0.2.77/24", "192.0.2.0", "192.0.2.255"),
            ("2001:db8::1", "2001:db8::1", "2001:db8::1"),
            ("2001:db8::/126", "2001:db8::", "2001:db8::3"),
            ("::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1"),
        ],
    )
    def test_an_address_is_a_network_of_one(self, text: str, first: str, last: str) -> None:
        assert Search.of(text).addresses == (sortable(first), sortable(last))

    def test_only_a_search_for_people_needs_people(self) -> None:
        assert [Search.of(each).names_people for each in ("Mei", "7", "o" + "x" * 27, "", "::1", "deadbeef")] == [
            True,
            True,
            True,
            False,
            False,
            False,
        ]
