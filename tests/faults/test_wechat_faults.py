"""WeChat busy, out of quota, wrong, silent or gone: what the phone is told, how often WeChat is asked, what is kept."""

import asyncio
import json
import signal
import sqlite3
from collections.abc import Callable, Iterator
from os import kill
from pathlib import Path
from typing import Any

import pytest
from phone import Network, Phone, WeChat
from product import APPID, APPSECRET, DevServer, Product

from faults.asking import alive, ready, said, timed, unavailable, until

Phones = Callable[..., list[Phone]]
MakeServer = Callable[..., Product]

LOGIN_SECONDS = 12.0  # three times the 4 s that a login may take in all
GOOD_KEY = "EYHiOw5v7tP4HSvxegKjmw=="
MISCONFIGURED = (502, 502001, "backoff")
UNUSABLE = (502, 502002, "login")


@pytest.fixture
def tidy(embedded: Product) -> Iterator[Product]:
    """The shared server, which may not even log the URL that it asks WeChat at, at no level."""
    start = embedded.log_size()
    yield embedded
    logged = embedded.log_after(start)
    assert [word for word in ("jscode2session", "grant_type", GOOD_KEY) if word in logged] == []


def people_in(product: Product) -> int:
    rows = sqlite3.connect(f"file:{product.data_dir / 'menshen.db'}?mode=ro", uri=True)
    try:
        return int(rows.execute("SELECT COUNT(*) FROM user").fetchone()[0])
    finally:
        rows.close()


@pytest.mark.gen_test
async def test_busy_once_is_asked_again_and_busy_twice_is_told(tidy: Product, phones: Phones, wechat: WeChat) -> None:
    mei, lan = phones(2, at=tidy)
    await wechat.fault("busy")
    answer, seconds = await timed(mei.login())
    assert answer.status == 200
    assert seconds <= LOGIN_SECONDS
    assert await wechat.asked() == 2
    await wechat.fault("busy", n=2)
    assert unavailable(await lan.login(), 503003)
    assert await wechat.asked() == 4


@pytest.mark.gen_test
@pytest.mark.parametrize("number", [45009, 45011])
async def test_a_used_up_quota_is_a_minute_of_patience_and_the_code_stays_good(
    make_server: MakeServer, phones: Phones, wechat: WeChat, number: int
) -> None:
    product = make_server()
    mei, lan, hua = phones(3, at=product)
    assert (await hua.login()).status == 200
    code = await mei.code()
    await wechat.fault(number)
    answer = await mei.login(code=code)
    assert unavailable(answer, 503003)
    assert answer.headers["Retry-After"] == "60"
    assert await wechat.asked() == 2
    if number == 45009:  # the whole mini program's quota: nobody is sent for ten seconds
        for each in (mei, lan, hua):
            answer = await each.login()
            assert unavailable(answer, 503003)
            assert answer.headers["Retry-After"] == "60"
        assert await wechat.asked() == 2
    else:  # one person's: the others are not locked out
        assert (await lan.login()).status == 200
        assert (await mei.login(code=code)).status == 200
    assert (await hua.verify()).status == 200
    assert await ready(hua._network, product) == (200, [])


@pytest.mark.gen_test
async def test_somebody_whom_wechat_blocks_is_told_never_and_is_not_written_down(
    tidy: Product, phones: Phones, wechat: WeChat
) -> None:
    [mei] = phones(1, at=tidy)
    before = people_in(tidy)
    await wechat.user(mei.name, blocked=True)
    assert said(await mei.login()) == (403, 40226, "never")
    assert people_in(tidy) == before


@pytest.mark.gen_test
@pytest.mark.parametrize("number", [40125, 40013, 40001, 41002, 41004, 40164, 40243, 48001])
async def test_a_refusal_of_our_configuration_is_one_error_line_and_tells_the_phone_no_details(
    tidy: Product, phones: Phones, wechat: WeChat, number: int
) -> None:
    [mei] = phones(1, at=tidy)
    start = tidy.log_size()
    await wechat.fault(number)
    answer = await mei.login()
    assert said(answer) == MISCONFIGURED
    assert str(number).encode() not in answer.body
    assert b"rid" not in answer.body
    assert b"127.0.0.1" not in answer.body
    errors = [line for line in tidy.log_after(start).splitlines() if " ERROR " in line]
    assert len(errors) == 1
    assert str(number) in errors[0]
    assert await wechat.asked() == 1


def person(**changes: object) -> str:
    return json.dumps({"openid": "o57y35dO3e95DXwQtZ9JuZWIjVRA", "session_key": GOOD_KEY, **changes})


UNUSABLE_ANSWERS = {
    "errcode_null": person(errcode=None),
    "errcode_true": person(errcode=True),
    "errcode_list": person(errcode=[]),
    "ok_without_anybody": '{"errcode":0,"errmsg":"ok"}',
    "openid_number": person(openid=7),
    "openid_empty": person(openid=""),
    "openid_huge": person(openid="o" * 30_000),
    "openid_nul": person(openid="o\x00"),
    "openid_emoji": person(openid="o🧧"),
    "openid_html": person(openid="<script>"),
    "key_missing": json.dumps({"openid": "o57y35dO3e95DXwQtZ9JuZWIjVRA"}),
    "key_no_base64": person(session_key="!!!!"),
    "key_short": person(session_key="AAAA"),
    "key_of_24_bytes": person(session_key="A" * 32),
    "unionid_object": person(unionid={}),
    "nan": '{"errcode":NaN}',
    "two_objects": person() + person(),
    "too_deep": "[" * 50_000,
    "text": "ok",
}


@pytest.mark.gen_test
async def test_an_answer_that_makes_no_sense_lets_nobody_in_and_writes_nothing(
    tidy: Product, phones: Phones, wechat: WeChat
) -> None:
    before = people_in(tidy)
    for name, body in UNUSABLE_ANSWERS.items():
        await wechat.fault("answer", body=body)
        assert said(await phones(1, at=tidy)[0].login()) == UNUSABLE, name
    assert await wechat.asked() == len(UNUSABLE_ANSWERS)
    assert people_in(tidy) == before


KINDS: dict[str, tuple[int, int, str]] = {
    "99999": UNUSABLE,
    "string_errcode": (400, 40029, "login"),
    "no_openid": UNUSABLE,
    "html": UNUSABLE,
    "empty": UNUSABLE,
    "truncated": UNUSABLE,
    "bad_utf8": UNUSABLE,
    "array": UNUSABLE,
    "close": UNUSABLE,
    "lost": UNUSABLE,
    "redirect": UNUSABLE,
    "huge": UNUSABLE,
    "gzip_bomb": UNUSABLE,
    **{f"http_{status}": UNUSABLE for status in (500, 502, 503, 504, 404, 403, 204)},
}


@pytest.mark.gen_test
@pytest.mark.parametrize("kind", KINDS)
async def test_a_broken_answer_is_told_honestly_and_never_asked_for_twice(
    tidy: Product, phones: Phones, wechat: WeChat, kind: str
) -> None:
    mei, lan = phones(2, at=tidy)
    assert (await lan.login()).status == 200
    before, asked = people_in(tidy), await wechat.asked()
    memory = resident(tidy)
    await wechat.fault(kind)
    assert said(await mei.login()) == KINDS[kind]
    assert await wechat.asked() == asked + 1
    assert "/_sim/second_host" not in (await wechat.log())["counts"]
    assert people_in(tidy) == before
    assert resident(tidy) - memory < 6 * 2**20  # three times 2 MiB, whatever came
    assert (await lan.verify()).status == 200
    assert (await mei.login()).status == 200


def resident(product: Product) -> int:
    """Return the bytes of memory that the server takes."""
    return int(Path(f"/proc/{product.pid}/statm").read_text().split()[1]) * 4096


@pytest.mark.gen_test
async def test_good_json_counts_whatever_its_type_is_called(tidy: Product, phone: Phone, wechat: WeChat) -> None:
    await wechat.fault("content_type")
    assert (await phone.login()).status == 200


@pytest.mark.gen_test
async def test_while_wechat_hangs_logins_end_in_time_and_whoever_is_in_notices_nothing(
    tidy: Product, phones: Phones, wechat: WeChat, network: Network
) -> None:
    lan, *others = phones(5, at=tidy)
    assert (await lan.login()).status == 200
    for kind in ("stall_headers", "stall_body", "drip", "stall_headers"):
        await wechat.fault(kind)
    logins = [asyncio.ensure_future(timed(each.login())) for each in others]
    while not all(each.done() for each in logins):
        assert (await lan.verify()).status == 200
        assert await ready(network, tidy) == (200, [])
        await asyncio.sleep(0.05)
    for login in logins:
        answer, seconds = login.result()
        assert said(answer) == (504, 504001, "login")
        assert seconds <= LOGIN_SECONDS
    assert (await others[0].login()).status == 200


@pytest.mark.gen_test
async def test_a_wechat_that_refuses_connections_costs_nobody_a_code(
    tidy: Product, phones: Phones, wechat: WeChat
) -> None:
    [mei] = phones(1, at=tidy)
    code = await mei.code()
    await wechat.fault("refuse", seconds=1.5)
    assert unavailable(await mei.login(code=code), 503003)
    assert await alive(mei._network, tidy)
    await until(lambda: _logs_in_with(mei, code), seconds=6)
    assert await wechat.asked() == 1


async def _logs_in_with(phone: Phone, code: str) -> bool:
    answer = await phone.login(code=code)
    assert answer.status == 200 or unavailable(answer, 503003), answer.body
    return answer.status == 200


async def no_tls(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.0 400 Bad Request\r\n\r\n")
    await writer.drain()
    writer.close()


@pytest.mark.gen_test
async def test_a_wechat_that_cannot_do_tls_is_a_matter_for_the_operator(
    make_server: MakeServer, phones: Phones
) -> None:
    impostor = await asyncio.start_server(no_tls, "127.0.0.1", 0)
    port = impostor.sockets[0].getsockname()[1]
    product = make_server(WECHAT_BASE=f"https://127.0.0.1:{port}")
    [mei] = phones(1, at=product)
    assert said(await mei.login()) == MISCONFIGURED
    assert product.log().count(" ERROR ") == 1
    impostor.close()
    await impostor.wait_closed()


@pytest.mark.gen_test
async def test_logins_over_the_cap_are_refused_at_once_with_their_code_unspent(
    make_server: MakeServer, phones: Phones, wechat: WeChat
) -> None:
    product = make_server(OPEN_LOGINS=3)
    mei, *others = phones(4, at=product)
    code = await mei.code()
    await wechat.fault("stall_headers", n=3)
    waiting = [asyncio.ensure_future(each.login()) for each in others]
    await until(lambda: _asked(wechat, 3), seconds=6)
    answer, seconds = await timed(mei.login(code=code))
    assert unavailable(answer, 503003)
    assert seconds <= 1.5
    await wechat.reset()  # lets those go who wait, and forgets the people: this one's code too
    assert {(await each).status for each in waiting} == {502}
    answer, seconds = await timed(mei.login())
    assert answer.status == 200
    assert seconds <= 3.0


async def _asked(wechat: WeChat, times: int) -> bool:
    return await wechat.asked() >= times


@pytest.mark.gen_test
async def test_a_changed_appsecret_is_taken_up_without_a_restart_and_wrong_settings_are_not(
    make_server: MakeServer, phones: Phones, wechat: WeChat, tmp_path: Path
) -> None:
    product = make_server(start=False)
    file, new, wrong = product.data_dir / "menshen.toml", "the-second-secret-of-this-app", "a-secret-that-is-wrong"
    product.never_logged |= {new, wrong}
    del product.settings["APPID"], product.settings["APPSECRET"]
    file.parent.mkdir(mode=0o700)
    write(file, APPSECRET)
    product.start()
    mei, lan = phones(2, at=product)
    assert (await mei.login()).status == 200
    await wechat.app(secret=new)
    assert said(await lan.login()) == MISCONFIGURED
    for broken in ("appid = [", 'appid = "not an appid"\n', "no_such_setting = 1\n", ""):
        text = hang_up(product, lambda broken=broken: file.write_text(broken))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        assert (await text).count(" ERROR ") == 1, broken
        assert said(await lan.login()) == MISCONFIGURED
    await hang_up(product, lambda: write(file, new))
    assert (await lan.login()).status == 200
    await hang_up(product, lambda: write(file, wrong))
    assert said(await mei.login()) == MISCONFIGURED
    assert (await mei.verify()).status == 200
    await wechat.app(secret=APPSECRET)


def write(file: Path, secret: str) -> None:
    file.touch(mode=0o600)
    file.write_text(f'appid = "{APPID}"\nappsecret = "{secret}"\n')


async def hang_up(product: Product, change: Callable[[], Any]) -> str:
    """Change the settings' file, send SIGHUP, and return what the server logged about it."""
    start = product.log_size()
    change()
    kill(product.pid, signal.SIGHUP)

    async def noticed() -> bool:
        text = product.log_after(start)
        return "were read anew" in text or "were not taken up" in text

    await until(noticed, seconds=6)
    return product.log_after(start)


@pytest.mark.gen_test
async def test_a_development_server_keeps_its_mini_program_over_a_sighup(dev: DevServer, phones: Phones) -> None:
    [mei] = phones(1, at=dev)
    assert "were read anew" in await hang_up(dev, lambda: None)
    answer = await mei.login()  # with a code of another simulator: refused as a code, not for want of an app
    assert said(answer) == (400, 40029, "login")
