"""`/metrics` counts what phones did, of all workers together, and shows itself only to whom it should."""

import asyncio
import re
from collections.abc import Callable

import pytest
from patience import until
from phone import Network, Phone, WeChat
from product import Product
from shell import done
from verdicts import refused, succeeded

from handlers.meter import Meter

Phones = Callable[..., list[Phone]]
Make = Callable[..., Product]
LINE = re.compile(r"(# (HELP|TYPE) menshen_\w+ .+|menshen_\w+(\{\w+=\"[^\"]*\"(,\w+=\"[^\"]*\")*\})? [0-9.e+-]+)")


async def measured(network: Network, base: str, key: str = "") -> dict[str, float]:
    """Every value by its name and labels, after a look at each line's form."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    answer = await network.ask("GET", f"{base}/metrics", headers=headers)
    assert answer.status == 200, answer.body
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = answer.body.decode().removesuffix("\n").split("\n")
    assert [line for line in lines if not LINE.fullmatch(line)] == []
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def dashboard_of(server: Product) -> str:
    found = re.search(r"^dashboard at (http://\S+)/admin/$", server.log(), re.MULTILINE)
    assert found
    return found[1]


@pytest.mark.gen_test
@pytest.mark.parametrize("parser", ["tornado", "llhttp"])
async def test_it_counts_logins_verifies_and_refusals_and_how_long_they_took(
    make_server: Make, phones: Phones, network: Network, wechat: WeChat, parser: str
) -> None:
    server = make_server(PARSER=parser)
    mei, lan = phones(2, at=server)
    key = await done(server, "key", "add", "prometheus", "--scope", "metrics")
    succeeded(await mei.login())
    await wechat.fault(40029)
    refused(await lan.login(), 40029)
    for _ in range(3):
        succeeded(await mei.verify())
    succeeded(await mei.logout())
    refused(await mei.verify(), 401002, reason="logged_out")
    found = await measured(network, server.base, key)
    assert found['menshen_requests_total{road="login",errcode="0"}'] == 1
    assert found['menshen_requests_total{road="login",errcode="40029"}'] == 1
    assert found['menshen_requests_total{road="verify",errcode="0"}'] == 3
    assert found['menshen_requests_total{road="verify",errcode="401002"}'] == 1
    assert found['menshen_verify_seconds_bucket{le="+Inf"}'] == found["menshen_verify_seconds_count"] == 4
    assert found["menshen_login_seconds_count"] == found["menshen_wechat_seconds_count"] == 2
    assert 0 < found["menshen_wechat_seconds_sum"] <= found["menshen_login_seconds_sum"] < 20
    assert found['menshen_sessions{appid="wx0000000000000001"}'] == 0
    assert found["menshen_rss_bytes"] > 10_000_000
    assert found["menshen_notes_lost_total"] == found["menshen_audit_write_failures_total"] == 0
    assert f'parser="{parser}"' in next(name for name in found if name.startswith("menshen_build_info"))
    text = str(found)
    assert mei.token not in text
    assert key not in text


@pytest.mark.gen_test
async def test_without_a_key_of_that_scope_it_tells_nothing(make_server: Make, network: Network) -> None:
    server = make_server()
    other = await done(server, "key", "add", "shop", "--scope", "introspect")
    assert (await network.ask("GET", f"{server.base}/metrics")).json["errcode"] == 401003
    answer = await network.ask("GET", f"{server.base}/metrics", headers={"Authorization": f"Bearer {other}"})
    assert answer.json["errcode"] == 403001
    assert b"menshen_" not in answer.body


@pytest.mark.gen_test
async def test_whichever_worker_is_asked_it_tells_of_all(
    make_server: Make, phones: Phones, network: Network, wechat: WeChat
) -> None:
    server = make_server(WORKERS=3, ADMIN_PORT=0)
    people = phones(30, at=server)
    for each in people:
        succeeded(await each.login())
    told = []
    for _ in range(9):  # a connection each, so that several workers answer
        scrape = Network()
        told.append(await measured(scrape, dashboard_of(server)))
        await scrape.close()
    assert {each['menshen_requests_total{road="login",errcode="0"}'] for each in told} == {30}
    assert {each["menshen_wechat_seconds_count"] for each in told} == {30}


@pytest.mark.gen_test
async def test_an_audit_that_cannot_be_written_whole_is_counted(
    make_server: Make, phones: Phones, network: Network
) -> None:
    server = make_server(ADMIN_PORT=0)
    log = server.data_dir / "audit.log"
    log.unlink()
    log.mkdir()
    server.stop()
    server.start()
    base = re.findall(r"^dashboard at (http://\S+)/admin/$", server.log(), re.MULTILINE)[-1]
    assert (await measured(network, base))["menshen_audit_write_failures_total"] >= 1


@pytest.mark.gen_test
@pytest.mark.parametrize("parser", ["tornado", "llhttp"])
async def test_operators_have_a_listener_of_their_own(
    make_server: Make, phones: Phones, network: Network, parser: str
) -> None:
    server = make_server(ADMIN_PORT=0, PARSER=parser)
    inside = dashboard_of(server)
    assert f"first operator, within an hour: {inside}/admin/setup" in server.log()
    [mei] = phones(1, at=server)
    succeeded(await mei.login())
    succeeded(await mei.verify())
    await measured(network, inside)

    async def status(base: str, path: str) -> int:
        return (await network.ask("GET", f"{base}{path}", headers=mei.bearer)).status

    for path in ("/healthz", "/readyz"):
        assert [await status(base, path) for base in (server.base, inside)] == [200, 200]
    for path in ("/api/verify", "/api/me", "/partner/introspect", "/auth", "/openapi.json", "/avatars/x", "/"):
        assert await status(inside, path) == 404, path
    for path in ("/admin", "/admin/", "/admin/signin", "/static/admin.css", "/metrics", "/admin/live"):
        assert await status(server.base, path) == 404, path
    assert await status(inside, "/admin/signin") == 200
    assert await status(inside, "/static/admin.css") == 200
    await asyncio.to_thread(server.stop)
    await until(lambda: "stopped" in server.log())


@pytest.mark.quick
def test_a_worker_that_takes_the_place_of_another_goes_on_counting_there() -> None:
    first = Meter(2)
    first.answered("verify", 0, 0.002)
    first.take_row(1)
    first.answered("verify", 0, 0.002)
    first.take_row(1)
    first.answered("verify", 0, 9.0)
    lines = set(first.lines())
    assert 'menshen_requests_total{road="verify",errcode="0"} 3' in lines
    assert 'menshen_verify_seconds_bucket{le="0.0025"} 2' in lines
    assert 'menshen_verify_seconds_bucket{le="5.0"} 2' in lines
    assert 'menshen_verify_seconds_bucket{le="+Inf"} 3' in lines


@pytest.mark.quick
def test_a_number_that_the_table_does_not_hold_is_counted_without_one() -> None:
    meter = Meter()
    meter.answered("other", 123456, 0.1)
    assert 'menshen_requests_total{road="other",errcode="none"} 1' in set(meter.lines())
