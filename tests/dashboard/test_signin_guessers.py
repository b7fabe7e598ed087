"""What somebody meets who guesses at operators' passwords, and what stands in the table for him who has it."""

import asyncio
import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest
from argon2 import PasswordHasher
from operator_at import PASSWORD, WRONG, Operator, add, audit, change, is_in, make_operator
from phone import Network
from product import Product
from shell import settings_of

import process
from actions.passwords import Passwords


class TestGuessers:
    @pytest.mark.gen_test
    async def test_of_fifty_guesses_at_once_five_are_judged_and_all_answers_look_alike(
        self, make_server: Callable[..., Product], network: Network, backend: Any
    ) -> None:
        server = make_server(**backend.fresh())
        await add(server, "mei")
        for name in ("mei", "nobody"):
            browsers = [Operator(server, network, address=f"127.0.1.{n + 1}") for n in range(50)]
            forms = [(await browser.get("/admin/signin")).form_token for browser in browsers]
            answers = await asyncio.gather(
                *(
                    browser.ask("POST", "/admin/signin", {"name": name, "password": WRONG, "form": form})
                    for browser, form in zip(browsers, forms, strict=True)
                )
            )
            assert sorted(each.status for each in answers) == [403] * 5 + [429] * 45
            for each in answers:
                if each.status == 429:
                    assert 0 < int(each.headers["Retry-After"]) <= 30
        rows = [(row.actor, row.deed) for row in await audit(server, 100)]
        assert rows.count(("operator:mei", "operator.signin_failed")) == 5
        assert rows.count(("operator:mei", "operator.locked")) == 1
        assert rows.count(("unknown", "operator.signin_failed")) == 5

    @pytest.mark.gen_test
    async def test_a_locked_name_is_locked_everywhere_but_in_the_browser_that_its_holder_uses(
        self, make_server: Callable[..., Product], network: Network, backend: Any
    ) -> None:
        server = make_server(**backend.fresh())
        mei = await make_operator(server, network, name="mei")
        li = await make_operator(server, network, name="li")
        unknown_to_us = Operator(server, network)
        unknown_to_us.cookies = {"menshen-dev": mei.token}  # signed in, but no longer known
        attacker = Operator(server, network, address="127.0.2.1")
        pages = [await attacker.sign_in("mei", WRONG) for _ in range(7)]
        assert [page.status for page in pages] == [403] * 5 + [429] * 2
        assert (await Operator(server, network).sign_in("mei")).status == 429
        fields = {"old": PASSWORD, "new": PASSWORD + "x", "again": PASSWORD + "x"}
        assert (await unknown_to_us.post("/admin/me/password", fields)).status == 429
        await change(server, "UPDATE operator_session SET confirmed_at = confirmed_at - :n", n=600)
        assert (await unknown_to_us.post("/admin/me/totp/off", {"password": PASSWORD})).status == 429
        # The holder's own browser has a counter of its own, and others are not concerned.
        page = await mei.post("/admin/me/password", fields)
        assert page.path == "/admin/me"
        assert "changed" in page.text
        again = Operator(server, network)
        again.cookies = {name: mei.cookies[name] for name in ("menshen-dev-browser", "menshen-dev-form")}
        assert (await again.sign_in("mei", PASSWORD + "x")).path == "/admin/"
        assert (await Operator(server, network).sign_in("li")).path == "/admin/"
        assert await is_in(li)

    @pytest.mark.gen_test
    async def test_guesses_in_a_known_browser_are_limited_too(
        self, make_server: Callable[..., Product], network: Network
    ) -> None:
        server = make_server()
        mei = await make_operator(server, network, name="mei")
        fields = {"old": WRONG, "new": PASSWORD + "x", "again": PASSWORD + "x"}
        statuses = [(await mei.post("/admin/me/password", fields)).status for _ in range(7)]
        assert statuses == [403] * 5 + [429] * 2
        mei.cookies.pop("menshen-dev")
        assert (await mei.sign_in("mei")).status == 429

    @pytest.mark.gen_test
    async def test_many_names_from_one_address_are_one_guesser(
        self, make_server: Callable[..., Product], network: Network
    ) -> None:
        server = make_server()
        await add(server, "mei")
        sprayer = Operator(server, network, address="127.0.3.1")
        pages = [await sprayer.sign_in(f"name{n}", WRONG) for n in range(30)]
        assert [page.status for page in pages] == [403] * 20 + [429] * 10
        assert (await sprayer.sign_in("mei")).status == 429
        assert (await Operator(server, network).sign_in("mei")).path == "/admin/"

    @pytest.mark.gen_test
    async def test_sign_ins_do_not_slow_verify_down(
        self, make_server: Callable[..., Product], network: Network, phones: Callable[..., Any]
    ) -> None:
        server = make_server()
        [phone] = phones(1, at=server)
        assert (await phone.login()).status == 200
        names = [f"op{n}" for n in range(20)]
        for name in names:
            await add(server, name)
        browsers = [Operator(server, network) for _ in names]
        forms = [(await browser.get("/admin/signin")).form_token for browser in browsers]
        signing_in = asyncio.gather(
            *(
                browser.ask("POST", "/admin/signin", {"name": name, "password": PASSWORD, "form": form})
                for browser, name, form in zip(browsers, names, forms, strict=True)
            )
        )
        seconds = []
        while not signing_in.done():
            started = time.perf_counter()
            assert (await phone.verify()).status == 200
            seconds.append(time.perf_counter() - started)
        assert [each.status for each in await signing_in] == [303] * 20
        assert len(seconds) > 5
        assert statistics.median(seconds) < 0.05


class TestHashes:
    @pytest.mark.gen_test
    async def test_in_the_table_stands_argon2id_with_a_salt_each(
        self, make_server: Callable[..., Product], network: Network
    ) -> None:
        server = make_server()
        hashes = []
        for name in ("mei", "li"):
            await add(server, name)
            async with process.opened(settings_of(server)) as backend:
                operator = await backend.operators.find_name(name)
                hashes.append((await backend.operators.proofs(operator.id)).password)
        assert hashes[0] != hashes[1]
        for each in hashes:
            assert each
            assert each.startswith("$argon2id$v=19$m=19456,t=2,p=1$")

    @pytest.mark.gen_test
    async def test_a_weaker_one_is_made_anew_at_the_next_sign_in(
        self, make_server: Callable[..., Product], network: Network
    ) -> None:
        server = make_server()
        await add(server, "mei")
        weak = PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1).hash(PASSWORD)
        await change(server, "UPDATE operator SET password = :weak", weak=weak)
        assert (await Operator(server, network).sign_in("mei", WRONG)).status == 403
        assert (await Operator(server, network).sign_in("mei")).path == "/admin/"
        async with process.opened(settings_of(server)) as backend:
            proofs = await backend.operators.proofs((await backend.operators.find_name("mei")).id)
        assert proofs.password
        assert "m=19456,t=2,p=1" in proofs.password
        assert (await Operator(server, network).sign_in("mei")).path == "/admin/"

    @pytest.mark.gen_test
    async def test_more_than_can_wait_are_refused(self) -> None:
        passwords = Passwords()
        done = await asyncio.gather(*(passwords.hash(PASSWORD) for _ in range(40)), return_exceptions=True)
        passwords.close()
        refused = [each for each in done if not isinstance(each, str)]
        assert len(refused) == 8
