"""Thousands of broken requests: none is a 5xx, none leaves a traceback, and whoever is in stays in."""

import pytest
from operator_at import make_operator
from phone import Network, Phone, WeChat
from product import Product
from verdicts import succeeded

from hostile.mutations import good_requests, mutations, resident_bytes, throw

NUMBER = 3_000


@pytest.mark.gen_test
async def test_three_thousand_broken_requests_are_refused_and_hurt_nobody(
    new_target: Product, wechat: WeChat, network: Network
) -> None:
    mei = Phone(new_target, wechat, network)
    succeeded(await mei.login())
    admin = await make_operator(new_target, network)
    good = good_requests("127.0.0.1", mei.token, admin.cookies)
    await throw(new_target, mutations(good, 300, seed=1))  # what is loaded at first use is no leak
    before = resident_bytes(new_target.pid)
    report = await throw(new_target, mutations(good, NUMBER))
    assert report.failures == []
    assert sum(report.statuses.values()) > NUMBER // 2  # they were answered, not just dropped
    assert len(report.statuses) > 6
    assert resident_bytes(new_target.pid) - before < 10 * 2**20
    assert succeeded(await mei.verify())
    new_target.check_log()


@pytest.mark.gen_test
async def test_the_same_seed_breaks_the_same_requests() -> None:
    good = good_requests("h", "t", {})
    assert list(mutations(good, 200)) == list(mutations(good, 200))
    assert len(set(mutations(good, 2_000))) > 1_900
