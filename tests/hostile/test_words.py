"""Whatever people, browsers and proxies write where a parser of ours reads is refused or understood, and no failure."""

import statistics
import string
import time
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as some
from operator_at import Operator, make_operator
from phone import Network, Phone, WeChat
from product import Product
from rawsocket import exchange, request
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine
from verdicts import id_of, refused, succeeded

from actions.questions import AuditQuestion, BadQuestion, LoginsQuestion, Question, UsersQuestion
from actions.search import Search
from handlers import OWN_PAGES
from handlers.callers import Addresses, caller_of
from handlers.operator_page import own_path
from settings import WrongSettings, load

often = settings(
    max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
PARTS = ["q", "app", "platform", "version", "environment", "state", "seen", "from", "to", "order", "deed", "actor"]
PARTS += ["result", "ip", "errcode", "after", "limit", "until", "kind"]
text = some.text(max_size=60)
like_ours = some.text(alphabet=string.digits + string.ascii_letters + ".:/-_%,; TZ+", max_size=40)
SQL_TEXTS = [
    "' OR 1=1 --",
    '" OR ""="',
    "\\'; DROP TABLE user; --",
    "%",
    "_",
    "0x27",
    "1) OR (1=1",
    "*",
    "a%' --",
    "\\",
]


@often
@pytest.mark.parametrize("kind", [Question, UsersQuestion, LoginsQuestion, AuditQuestion])
@given(asked=some.dictionaries(some.sampled_from(PARTS), text | like_ours, max_size=5))
@example(asked={"from": "0001-01-01", "to": "9999-12-31"})
@example(asked={"from": "9999-12-31T23:59"})
@example(asked={"seen": "9" * 4_000 + "d"})
@example(asked={"seen": "٣d"})
def test_a_question_is_read_whole_or_refused_by_name(kind: type[Any], asked: dict[str, str]) -> None:
    try:
        question = kind.of(asked)
    except BadQuestion:
        return
    assert kind.of(question.parameters()) == question


@often
@given(sought=text | like_ours)
@example(sought="10.0.0.0/33")
@example(sought="::1%eth0")
@example(sought="٠.0.0.1")
def test_a_search_is_understood_as_something(sought: str) -> None:
    try:
        question = Question.of({"q": sought})
    except BadQuestion:
        return
    Search.of(question.q or "")


def asked_by(**headers: str) -> HTTPServerRequest:
    sent = HTTPHeaders({"Host": "x", **{name.replace("_", "-"): value for name, value in headers.items()}})
    made = HTTPServerRequest(start_line=RequestStartLine("GET", "/", "HTTP/1.1"), headers=sent)
    made.remote_ip = "127.0.0.1"
    return made


@often
@given(forwarded=some.lists(text | like_ours | some.ip_addresses().map(str), max_size=30).map(",".join))
def test_a_list_of_proxies_always_gives_an_address(forwarded: str) -> None:
    printable = "".join(each for each in forwarded if each.isprintable() and ord(each) < 256)
    asking = asked_by(X_Forwarded_For=printable)
    Addresses([ip_network("127.0.0.0/8")]).settle(asking)
    assert ip_address(asking.remote_ip or "")


@often
@given(agent=some.text(alphabet=some.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f")))
@example(agent="(Linux; Android " + "1" * 5_000)
@example(agent="MicroMessenger/" + "1." * 5_000)
def test_what_a_phone_calls_itself_is_short_printable_ascii_or_nothing(agent: str) -> None:
    stripped = "".join(each for each in agent if each.isprintable())
    caller = caller_of(asked_by(User_Agent=stripped, Referer=stripped))
    for word in (caller.device, caller.wechat, caller.version, caller.platform):
        assert word is None or (word.isascii() and word.isprintable() and len(word) <= 64)


@often
@given(
    wanted=text
    | like_ours
    | some.sampled_from(["/", "//", "/\\", "/admin/"]).flatmap(lambda head: text.map(head.__add__))
)
@example(wanted="/admin/\\evil.example")
@example(wanted="/admin/sessions?x=\r\nLocation: //evil.example")
@example(wanted="/admin/me\n")
def test_where_signing_in_leads_is_always_a_page_of_ours(wanted: str) -> None:
    led = own_path(wanted, OWN_PAGES)
    parts = urlsplit(led)
    assert (parts.scheme, parts.netloc) == ("", "")
    assert led.startswith("/admin/")
    assert not set(led) & set("\r\n\\\t \x00")


@often
@given(written=some.text(max_size=200) | some.dictionaries(some.text("abc_", min_size=1), some.integers()).map(str))
def test_a_settings_file_is_read_or_refused_in_lines(tmp_path: Path, written: str) -> None:
    file = tmp_path / "menshen.toml"
    file.write_text(written, "utf-8", errors="replace")
    file.chmod(0o600)
    lines = None
    try:
        load({}, {"MENSHEN_DATA_DIR": str(tmp_path)}, file)
    except WrongSettings as wrong:
        lines = wrong.lines
    assert lines is None or (lines and all(line.isprintable() for line in lines))


@pytest.mark.gen_test
async def test_whatever_stands_in_a_cookie_nobody_is_signed_in_and_nothing_fails(
    target: Product, network: Network
) -> None:
    mei = await make_operator(target, network)
    token = mei.token
    spoilt = [token[:-1], token + "A", token.upper(), token[::-1], f'"{token}', "", '"', "\\", "=", "a=b"]
    spoilt += [quote(token + "\x00"), "A" * 4_096, "\xff" * 40, "{}", "null", f"x{token}", token.replace(token[5], "%")]
    for value in spoilt:
        for cookie in (f"menshen-dev={value}", f"menshen-dev={value}; menshen-dev={value}", f"menshen-dev ={value}"):
            answer = await exchange(target, request("GET", "/admin/me", f"Cookie: {cookie}"))
            assert answer.status in (303, 400), (cookie, answer.status)
    assert (await mei.ask("GET", "/admin/me")).status == 200
    target.check_log()


@pytest.mark.gen_test
async def test_a_method_that_nobody_knows_is_a_page_of_its_own_everywhere(target: Product, network: Network) -> None:
    mei = await make_operator(target, network)
    cookie = f"Cookie: menshen-dev={mei.token}"
    for path in ("", "sessions", "users", "users/1", "logins", "audit", "audit/export", "events", "operators", "keys"):
        for method in ("GET\x7f", "BREW", "PROPFIND", "get"):
            answer = await exchange(target, request(method, f"/admin/{path}", cookie))
            assert answer.status in (400, 405), (path, method, answer.status)
    target.check_log()


@pytest.mark.gen_test
async def test_sql_in_any_search_or_filter_is_only_text(server: Product, phones: Any, network: Network) -> None:
    people = phones(2)
    for each in people:
        succeeded(await each.login())
    admin: Operator = await make_operator(server, network)
    for path in ("sessions", "users", "logins", "audit", "events", "operators", "keys", "deliveries"):
        for part in ("q", "app", "platform", "state", "order", "after", "deed", "actor", "ip"):
            for sql in SQL_TEXTS:
                answer = await admin.ask("GET", f"/admin/{path}?{part}={quote(sql)}")
                assert answer.status in (200, 303, 400), (path, part, sql, answer.status)
    name = succeeded(await people[0].request("PUT", "/api/me", json={"nickname": "Zoë Q"}, headers=people[0].bearer))
    assert name
    assert "Zoë Q" in (await admin.get(f"/admin/users?q={quote('Zoë Q')}")).text
    for wild in ("%oë Q", "_oë Q", "Zo_ Q", "%Q", "\\Zoë Q"):  # nobody is called so: only a pattern would find her
        found = await admin.get(f"/admin/users?q={quote(wild)}")
        assert "/admin/users/" not in found.text.split("<table", 1)[-1].split("</table", 1)[0] or found.status == 400
    for each in people:
        succeeded(await each.verify())


@pytest.mark.gen_test
async def test_nothing_of_one_person_s_session_is_in_the_next_one_s_on_the_same_phone(
    target: Product, wechat: WeChat, network: Network
) -> None:
    mei, lan = Phone(target, wechat, network), Phone(target, wechat, network)
    first = succeeded(await mei.login())
    succeeded(await mei.logout())
    lan.token = mei.token  # the phone still holds it while the next person logs in
    answer = await lan.request("POST", "/api/login", json={"code": await lan.code()}, headers=mei.bearer)
    second = succeeded(answer)
    lan.token = second["token"]
    target.never_logged.add(lan.token)
    assert first["user"]["id"] != second["user"]["id"]
    assert mei.token not in answer.body.decode()
    assert id_of(mei.token) not in answer.body.decode()
    assert not {mei.token[n : n + 8] for n in range(4, 40)} & {lan.token[n : n + 8] for n in range(4, 40)}
    listed = succeeded(await lan.request("GET", "/api/me/sessions", headers=lan.bearer))["sessions"]
    assert [each["id"] for each in listed] == [id_of(lan.token)]
    refused(await mei.verify(), 401002, reason="logged_out")


@pytest.mark.gen_test
async def test_a_token_that_is_nearly_right_takes_as_long_as_a_wrong_one(
    target: Product, wechat: WeChat, network: Network
) -> None:
    mei = Phone(target, wechat, network)
    succeeded(await mei.login())
    kinds = {"near": mei.token[:-2] + ("AE" if mei.token[-2:] != "AE" else "BE"), "far": "mps_" + "A" * 42 + "E"}
    target.never_logged |= set(kinds.values())
    times: dict[str, list[float]] = {kind: [] for kind in kinds}
    for n in range(800):  # one after the other, so that whatever else the machine does meets both
        kind = ("near", "far")[n % 2]
        began = time.perf_counter()
        answer = await network.ask(
            "GET", f"{target.base}/api/verify", headers={"Authorization": f"Bearer {kinds[kind]}"}
        )
        times[kind].append(time.perf_counter() - began)
        assert answer.status == 401
    near, far = (statistics.median(times[kind]) for kind in ("near", "far"))
    assert abs(near - far) < 0.15 * far  # three times the promise, as for every figure outside `make prove`
