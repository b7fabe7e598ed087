"""WeChat tells that somebody revoked something: what goes, what stays, and how often."""

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from backends import BACKENDS, Backend
from operator_at import audit, change, make_operator
from phone import Network, Phone, WeChat
from product import APPID, Product
from pushing import KEY, TOKEN, Pusher, as_json, as_xml, event, sealed, sha1, taken
from shell import settings_of
from tornado.ioloop import IOLoop
from verdicts import refused, succeeded

import process
from stores.audit import Entry

Phones = Callable[..., list[Phone]]
MakeServer = Callable[..., Product]
REVOKE, CANCELLATION, MODIFIED = (
    "user_authorization_revoke",
    "user_authorization_cancellation",
    "user_info_modified",
)
SERVED = BACKENDS[1]
OWN = "https://a.example/mei.png"
# What is left of nickname, picture and phone number, by WeChat's number of what was revoked.
LEFT = {
    "6": (None, None, "138****8000"),
    "8": ("Mei", OWN, None),
    "19": (None, OWN, "138****8000"),
    "20": ("Mei", None, "138****8000"),
    "5": ("Mei", OWN, "138****8000"),
    "999": ("Mei", OWN, "138****8000"),
}


@pytest.fixture(scope="module")
def running(file_server: MakeServer, backend: Backend) -> Product:
    """The one server in secure mode on each backend."""
    server = file_server(PUSH_TOKEN=TOKEN, PUSH_KEY=KEY, LOGIN_LIMIT=0, **backend.fresh())
    server.never_logged |= {TOKEN, KEY}
    return server


@pytest.fixture
def pushed(running: Product, wechat: WeChat, io_loop: IOLoop) -> Iterator[Product]:
    """A server in secure mode that was told of nothing yet."""
    io_loop.run_sync(lambda: change(running, "DELETE FROM push_event"))
    yield running
    running.check_log()


@pytest.fixture
def pusher(pushed: Product, network: Network) -> Pusher:
    return Pusher(pushed, network)


@pytest.fixture
def mei(pushed: Product, phones: Phones) -> Phone:
    return phones(1, at=pushed)[0]


async def arrive(phone: Phone) -> int:
    """Log in with a whole profile; gives the person's number."""
    user = succeeded(await phone.login())["user"]["id"]
    named = {"nickname": "Mei", "avatar_url": OWN}
    succeeded(await phone.request("PUT", "/api/me", json=named, headers=phone.bearer))
    assert isinstance(phone.server, Product)
    await change(phone.server, "UPDATE user SET phone = '13800138000' WHERE id = :id", id=user)
    return int(user)


async def again(phone: Phone) -> dict[str, Any]:
    """The profile that the person finds after logging in anew."""
    return dict(succeeded(await phone.login())["user"])


async def audit_after(server: Product, last: int) -> list[Entry]:
    """What the audit has since the row of this number, the newest first."""
    return [row for row in await audit(server) if row.n > last]


async def states(server: Product) -> list[tuple[str, str]]:
    """What the server keeps of the events, the newest first."""
    async with process.opened(settings_of(server)) as backend:
        return [(each.event, each.state) for each in (await backend.push_events.page(None)).rows]


class TestTheConsole:
    @pytest.mark.gen_test
    async def test_a_signed_question_gets_its_echo_bare(self, pusher: Pusher) -> None:
        answer = await pusher.send(b"", {**pusher.signed(), "echostr": "4375120948345356249"}, method="GET")
        assert (answer.status, answer.body) == (200, b"4375120948345356249")
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"

    @pytest.mark.gen_test
    async def test_any_other_question_gets_no_echo(self, pusher: Pusher) -> None:
        good = {**pusher.signed(), "echostr": "<script>1</script>"}
        assert (await pusher.send(b"", good, method="GET")).status == 200
        for wrong in (
            {**good, "signature": "0" * 40},
            {**good, "nonce": "other"},
            {**pusher.signed(timestamp=int(time.time()) - 700), "echostr": "1"},
            {name: value for name, value in good.items() if name != "echostr"},
            {**good, "echostr": "x" * 300},
            {**good, "echostr": "猫"},
            {},
        ):
            refused(await pusher.send(b"", wrong, method="GET"), 403009)

    @pytest.mark.gen_test
    async def test_a_parameter_given_twice_is_refused(self, pusher: Pusher, network: Network) -> None:
        one = pusher.signed()
        query = "&".join(f"{name}={value}" for name, value in one.items())
        url = f"{pusher.server.base}/wechat/push/{APPID}?{query}&nonce={one['nonce']}&echostr=1"
        refused(await network.ask("GET", url), 403009)

    @pytest.mark.gen_test
    async def test_a_mini_program_without_a_token_takes_nothing(self, embedded: Product, network: Network) -> None:
        here = Pusher(embedded, network)
        refused(await here.send(b"", {**here.signed(), "echostr": "1"}, method="GET"), 404001)
        refused(await here.plain(event(REVOKE, "oMei")), 404001)
        refused(await Pusher(here.server, network, appid="wx0000000000009999").plain(event(REVOKE, "oMei")), 404001)


class TestSecureMode:
    @pytest.mark.gen_test
    @pytest.mark.parametrize("xml", [False, True], ids=["json", "xml"])
    async def test_a_closed_account_is_erased_and_the_next_request_is_401(
        self, pusher: Pusher, mei: Phone, xml: bool
    ) -> None:
        user = await arrive(mei)
        last = (await audit(pusher.server))[0].n
        taken(await pusher.secure(event(CANCELLATION, await mei.openid()), xml=xml))
        refused(await mei.verify(), 401002, reason="revoked")
        found = await again(mei)
        assert found["new"]
        assert found["id"] != user
        assert (found["nickname"], found["phone"]) == (None, None)
        [row] = [row for row in await audit_after(pusher.server, last) if row.deed == "user.erase"]
        assert (row.actor, row.target, row.reason, row.result) == ("wechat", f"user:{user}", CANCELLATION, "done")

    @pytest.mark.gen_test
    async def test_what_was_revoked_goes_the_rest_stays_and_the_sessions_end(
        self, pusher: Pusher, phones: Phones
    ) -> None:
        for mei, (number, left) in zip(phones(len(LEFT), at=pusher.server), LEFT.items(), strict=True):
            user = await arrive(mei)
            taken(await pusher.secure(event(REVOKE, await mei.openid(), RevokeInfo=number)))
            refused(await mei.verify(), 401002, reason="revoked")
            found = await again(mei)
            assert (found["id"], found["new"]) == (user, False)
            assert (found["nickname"], found["avatar_url"], found["phone"]) == left, number
        assert sorted(await states(pusher.server)) == sorted((f"{REVOKE}:{number}", "done") for number in LEFT)

    @pytest.mark.gen_test
    async def test_a_cleaned_profile_is_cleared_and_nobody_is_put_out(self, pusher: Pusher, mei: Phone) -> None:
        user = await arrive(mei)
        taken(await pusher.secure(event(MODIFIED, await mei.openid())))
        found = succeeded(await mei.me())
        assert (found["id"], found["nickname"], found["avatar_url"]) == (user, None, None)
        assert found["phone"] == "138****8000"

    @pytest.mark.gen_test
    async def test_a_message_that_is_sent_again_does_nothing(self, pusher: Pusher, mei: Phone) -> None:
        await arrive(mei)
        last = (await audit(pusher.server))[0].n
        told = event(REVOKE, await mei.openid(), RevokeInfo="6")
        taken(await pusher.secure(told))
        await again(mei)
        succeeded(await mei.request("PUT", "/api/me", json={"nickname": "New Mei"}, headers=mei.bearer))
        for _ in range(2):
            taken(await pusher.secure(told))
        assert succeeded(await mei.me())["nickname"] == "New Mei"
        assert len(await states(pusher.server)) == 1
        assert [row.deed for row in await audit_after(pusher.server, last) if row.actor == "wechat"] == ["user.clear"]
        taken(await pusher.secure({**told, "CreateTime": int(time.time()) + 1}))
        refused(await mei.verify(), 401002, reason="revoked")

    @pytest.mark.gen_test
    async def test_one_message_that_comes_eight_times_at_once_is_done_once(self, pusher: Pusher, mei: Phone) -> None:
        user = await arrive(mei)
        told = event(CANCELLATION, await mei.openid())
        for answer in await asyncio.gather(*(pusher.secure(told) for _ in range(8))):
            taken(answer)
        assert len(await states(pusher.server)) == 1
        erasures = [row for row in await audit(pusher.server) if row.target == f"user:{user}"]
        assert [(row.deed, row.result) for row in erasures] == [("user.erase", "done")]

    @pytest.mark.gen_test
    async def test_a_forged_message_is_403_and_changes_nothing(self, pusher: Pusher, mei: Phone) -> None:
        await arrive(mei)
        told = event(CANCELLATION, await mei.openid())
        encrypted, other = sealed(as_json(told)), sealed(b"{}")
        old = str(int(time.time()) - 700)
        signed = pusher.sealed_address(encrypted)
        body = as_json({"Encrypt": encrypted})
        for parameters in (
            pusher.signed(),
            pusher.sealed_address(other),
            {**signed, "msg_signature": "0" * 40},
            {**signed, "timestamp": old, "msg_signature": sha1(TOKEN, old, signed["nonce"], encrypted)},
            {},
        ):
            refused(await pusher.send(body, parameters), 403009)
        foreign = sealed(as_json(told), "wx0000000000000002")
        refused(await pusher.send(as_json({"Encrypt": foreign}), pusher.sealed_address(foreign)), 403009)
        wrong_key = sealed(as_json(told), key="z" * 43)
        refused(await pusher.send(as_json({"Encrypt": wrong_key}), pusher.sealed_address(wrong_key)), 403009)
        refused(await pusher.plain(told), 403009)
        succeeded(await mei.verify())
        assert await states(pusher.server) == []

    @pytest.mark.gen_test
    async def test_compatible_mode_is_believed_in_its_sealed_part(self, pusher: Pusher, phones: Phones) -> None:
        mei, bob = phones(2, at=pusher.server)
        await arrive(mei)
        await arrive(bob)
        theirs = event(CANCELLATION, await bob.openid())
        taken(await pusher.secure(event(CANCELLATION, await mei.openid()), beside=theirs))
        refused(await mei.verify(), 401002, reason="revoked")
        succeeded(await bob.verify())

    @pytest.mark.gen_test
    async def test_the_person_is_found_by_openid_and_never_by_the_sender(self, pusher: Pusher, mei: Phone) -> None:
        await arrive(mei)
        openid = await mei.openid()
        taken(await pusher.secure(event(CANCELLATION, None, FromUserName=openid)))
        taken(await pusher.secure(event(CANCELLATION, "oNobody", FromUserName=openid)))
        taken(await pusher.secure(event(CANCELLATION, "猫'; --", FromUserName=openid)))
        taken(await pusher.secure(event(CANCELLATION, openid, AppID="wx0000000000000002")))
        succeeded(await mei.verify())
        assert sorted(state for _, state in await states(pusher.server)) == ["ignored", "nobody", "nobody"]

    @pytest.mark.gen_test
    async def test_events_that_we_do_not_know_are_taken_and_forgotten(self, pusher: Pusher) -> None:
        taken(await pusher.secure(event("debug_demo", None, debug_str="hello world")))
        taken(await pusher.secure({"MsgType": "text", "Content": "hello", "MsgId": 1}))
        assert await states(pusher.server) == []


class TestFromWeChatItself:
    """The same, from the simulator: its addresses, its three tries, its five seconds."""

    @pytest.mark.gen_test
    @pytest.mark.parametrize("mode", ["secure", "compatible"])
    @pytest.mark.parametrize("kind", ["json", "xml"])
    async def test_a_revoked_consent_clears_and_puts_out_and_a_repeated_one_does_nothing(
        self, pushed: Product, wechat: WeChat, mei: Phone, mode: str, kind: str
    ) -> None:
        url = f"{pushed.base}/wechat/push/{APPID}"
        await wechat.app(push_url=url, push_token=TOKEN, push_key=KEY, push_mode=mode, push_format=kind)
        assert (await wechat.tell("push_check"))["proved"]
        assert not (await wechat.tell("push_check", wrongly_signed=True))["proved"]
        await arrive(mei)
        forged = await wechat.tell("revoke", user=mei.name, event=REVOKE, revoke_info="8", wrongly_signed=True)
        assert [answer["status"] for answer in forged["answers"]] == [403, 403, 403]
        assert succeeded(await mei.me())["phone"] == "138****8000"
        told = await wechat.tell("revoke", user=mei.name, event=REVOKE, revoke_info="8")
        assert [(answer["status"], answer["body"]) for answer in told["answers"]] == [(200, "success")]
        refused(await mei.verify(), 401002, reason="revoked")
        assert (await again(mei))["phone"] is None
        assert (await wechat.tell("revoke", user=mei.name, again=True))["accepted"]
        succeeded(await mei.verify())
        assert await states(pushed) == [(f"{REVOKE}:8", "done")]


class TestPlainMode:
    @pytest.mark.gen_test
    async def test_a_message_that_is_not_sealed_ends_sessions_and_deletes_nothing(
        self, make_server: MakeServer, network: Network, phones: Phones, wechat: WeChat
    ) -> None:
        server = make_server(PUSH_TOKEN=TOKEN)
        pusher, mei = Pusher(server, network), phones(1, at=server)[0]
        user = await arrive(mei)
        taken(await pusher.plain(event(MODIFIED, await mei.openid())))
        succeeded(await mei.verify())
        taken(await pusher.plain(event(CANCELLATION, await mei.openid())))
        refused(await mei.verify(), 401002, reason="revoked")
        found = await again(mei)
        assert (found["id"], found["nickname"], found["phone"]) == (user, "Mei", "138****8000")
        taken(await pusher.plain(event(REVOKE, "oNobody", RevokeInfo="8")))
        assert sorted(await states(server)) == [(CANCELLATION, "hinted"), (MODIFIED, "hinted")]
        body = as_json(event(CANCELLATION, await mei.openid()))
        refused(await pusher.send(body, {**pusher.signed(), "signature": "0" * 40}), 403009)
        succeeded(await mei.verify())
        encrypted = sealed(body)
        refused(await pusher.send(as_json({"Encrypt": encrypted}), pusher.sealed_address(encrypted)), 403009)


class TestBodies:
    @pytest.mark.gen_test
    async def test_what_is_no_message_is_refused_and_named(self, make_server: MakeServer, network: Network) -> None:
        pusher = Pusher(make_server(PUSH_TOKEN=TOKEN), network)
        for body in (b"[]", b"{", b"\xff", b"<xml>", b'<!DOCTYPE x SYSTEM "file:///etc/hostname"><xml/>'):
            refused(await pusher.send(body, pusher.signed()), 400001)
        refused(await pusher.send(b"", pusher.signed()), 400001)
        refused(await pusher.send(b"x=1", pusher.signed(), content_type="application/x-www-form-urlencoded"), 415001)
        refused(await pusher.send(b"{" + b" " * 65_536, pusher.signed()), 413001)
        taken(await pusher.send(as_xml({"MsgType": "text"}), pusher.signed(), content_type="text/xml"))
        refused(await pusher.send(b"{}", pusher.signed(), method="PUT"), 405001)


class TestAfterATrouble:
    @pytest.mark.gen_test
    async def test_what_was_begun_and_not_done_is_done_by_whoever_looks(self, pusher: Pusher, mei: Phone) -> None:
        user = await arrive(mei)
        taken(await pusher.secure(event(CANCELLATION, await mei.openid())))
        refused(await mei.verify(), 401002, reason="revoked")
        # As if the process had died before it could finish, a while ago.
        await change(
            pusher.server, "UPDATE push_event SET state = 'begun', done_at = NULL, tried_at = 1 WHERE at > :at", at=0
        )
        deadline = time.monotonic() + 60
        while await states(pusher.server) != [(CANCELLATION, "done")]:
            assert time.monotonic() < deadline, "nobody came back to it"
            await asyncio.sleep(0.5)
        erasures = [row for row in await audit(pusher.server) if row.target == f"user:{user}"]
        assert {(row.deed, row.result) for row in erasures} == {("user.erase", "done")}
        assert len(erasures) == 2

    @pytest.mark.parametrize("backend", [SERVED], indirect=True)  # an embedded database is not away
    @pytest.mark.gen_test
    async def test_while_users_are_away_wechat_is_told_to_come_back(
        self, pusher: Pusher, mei: Phone, backend: Backend
    ) -> None:
        assert backend.mariadb is not None
        await arrive(mei)
        openid = await mei.openid()
        backend.mariadb.freeze()
        refused(await pusher.secure(event(CANCELLATION, openid)), 503002)
        backend.mariadb.thaw()
        deadline = time.monotonic() + 15
        while (answer := await pusher.secure(event(CANCELLATION, openid))).status != 200:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.2)
        taken(answer)
        refused(await mei.verify(), 401002, reason="revoked")


class TestTheDashboard:
    @pytest.mark.gen_test
    async def test_the_page_shows_what_came_and_what_was_done(
        self, pusher: Pusher, phones: Phones, network: Network
    ) -> None:
        mei, bob = phones(2, at=pusher.server)
        user, gone = await arrive(mei), await arrive(bob)
        taken(await pusher.secure(event(REVOKE, await mei.openid(), RevokeInfo="8")))
        taken(await pusher.secure(event(CANCELLATION, await bob.openid())))
        taken(await pusher.secure(event(REVOKE, await mei.openid(), RevokeInfo="777")))
        viewer = await make_operator(pusher.server, network, role="viewer")
        page = await viewer.get("/admin/events")
        assert page.status == 200
        for shown in ("consent revoked", "phone number", "WeChat account closed", "number 777", "Mei", "done"):
            assert shown in page.text, shown
        assert f"/admin/users/{user}" in page.text
        assert f"/admin/users/{gone}" in page.text
        chinese = await viewer.get("/admin/events?lang=zh")
        assert "撤回授权" in chinese.text
        assert (await viewer.get("/admin/events?after=nonsense")).status == 400

    @pytest.mark.gen_test
    async def test_a_long_list_has_pages(self, pusher: Pusher, network: Network) -> None:
        for n in range(51):
            taken(await pusher.secure(event(CANCELLATION, "oNobody", CreateTime=1_790_000_000 + n)))
        viewer = await make_operator(pusher.server, network, role="viewer")
        first = await viewer.get("/admin/events")
        assert first.text.count("nobody known") == 50
        [after] = re.findall(r'rel="next" href="([^"]+)"', first.text)
        assert (await viewer.get(after)).text.count("nobody known") == 1

    @pytest.mark.gen_test
    async def test_who_sees_other_mini_programs_alone_sees_nothing(
        self, pusher: Pusher, mei: Phone, network: Network
    ) -> None:
        await arrive(mei)
        taken(await pusher.secure(event(CANCELLATION, await mei.openid())))
        other = await make_operator(pusher.server, network, role="viewer", appids=["wx0000000000000002"])
        assert "WeChat account closed" not in (await other.get("/admin/events")).text
