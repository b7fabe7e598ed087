"""Requests that nginx and we might read differently, through the site that we ship: nobody gets another one's answer.

nginx keeps a few connections to us and sends everybody's requests down them. Whatever it took for a part of one request
and we for a request of its own would be answered to whoever comes next.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from nginx import Nginx, shipped
from phone import Network, Phone, WeChat
from product import Product
from verdicts import succeeded

from benchmarks.prove.hostile import smuggled
from hostile.test_boundaries import AMBIGUOUS, INNER, POST

PROBES = 300
GET = b"GET /healthz HTTP/1.1\r\nHost: a\r\n"
# Whole requests for nginx, which passes on what is in their bodies as it came.
WITHIN = {
    "a request in a body": POST + b"Content-Length: %d\r\n\r\n" % len(INNER) + INNER,
    "a request in a chunk": POST + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(INNER) + INNER + b"\r\n0\r\n\r\n",
    "a request after the last chunk": POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + INNER,
    "a request in a body of a GET": GET + b"Content-Length: %d\r\n\r\n" % len(INNER) + INNER,
    "a wish to go on": POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(INNER) + INNER,
    "a wish for another protocol": GET + b"Upgrade: h2c\r\nConnection: Upgrade\r\n\r\n" + INNER,
    "a body that is cut short": POST + b"Content-Length: 900\r\n\r\n" + INNER,
}  # fmt: skip


@pytest.fixture
def nginx(target: Product, tmp_path: Path) -> Iterator[Nginx]:
    """Start an nginx with our plain site before the target."""
    door = Nginx(tmp_path / "nginx", shipped("menshen.conf", {"127.0.0.1:8000": target.port}))
    door.start()
    yield door
    door.stop()


@pytest.mark.gen_test(timeout=120)
async def test_no_request_hidden_in_another_takes_somebody_s_answer(
    target: Product, nginx: Nginx, wechat: WeChat, network: Network
) -> None:
    phones = [Phone(target, wechat, network) for _ in range(5)]
    users = [succeeded(await each.login())["user"] for each in phones]
    owners = [(each.token, user["id"]) for each, user in zip(phones, users, strict=True)]
    seen = await smuggled(nginx.port, owners, [*AMBIGUOUS.values(), *WITHIN.values()], PROBES)
    assert seen.misrouted == 0
    assert seen.asked > PROBES // 10
    assert sum(seen.statuses.values()) > PROBES // 2
    assert not {500, 502, 503, 504} & set(seen.statuses), seen.statuses  # 501 is what nginx says of unknown codings
