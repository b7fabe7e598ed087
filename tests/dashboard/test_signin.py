"""The way in for operators: the form, what it says, and where it leads."""

import re
import statistics
import time
from collections.abc import Callable
from urllib.parse import quote

import pytest
from operator_at import PASSWORD, WRONG, Operator, Page, add, audit, deeds_of, make_operator, name_of
from phone import Network
from product import Product


def of_another_page(page: Page) -> str:
    """A page's text without what is different each time."""
    return re.sub(r"[0-9a-f]{16,64}|op-[0-9a-f]+|\d+ seconds", "…", page.text)


class TestTheWayIn:
    @pytest.mark.gen_test
    async def test_an_operator_signs_in_and_the_audit_says_so(self, server: Product, network: Network) -> None:
        mei = await make_operator(server, network)
        page = await mei.get("/admin/me")
        assert page.status == 200
        assert mei.name in page.text
        assert "Firefox" in page.text
        assert await deeds_of(server, mei.name) == [("operator.signin", "done")]

    @pytest.mark.gen_test
    async def test_a_name_is_the_same_in_capitals(self, embedded: Product, network: Network) -> None:
        name = name_of()
        await add(embedded, name)
        assert (await Operator(embedded, network).sign_in(f" {name.upper()} ")).path == "/admin/"

    @pytest.mark.gen_test
    @pytest.mark.parametrize(("name", "password"), [("admin", "admin"), ("admin", ""), ("", ""), ("root", "root")])
    async def test_no_published_password_opens_anything(
        self, embedded: Product, network: Network, name: str, password: str
    ) -> None:
        page = await Operator(embedded, network).sign_in(name, password)
        assert page.status == 403
        assert page.path == "/admin/signin"

    @pytest.mark.gen_test
    async def test_an_unknown_name_gets_the_answer_of_a_wrong_password(self, server: Product, network: Network) -> None:
        name = name_of()
        await add(server, name)
        known = await Operator(server, network).sign_in(name, WRONG)
        unknown = await Operator(server, network).sign_in(name_of(), WRONG)
        assert known.status == unknown.status == 403
        assert of_another_page(known) == of_another_page(unknown)
        assert set(known.answer.headers) == set(unknown.answer.headers)

    @pytest.mark.gen_test
    async def test_an_unknown_name_takes_as_long(self, make_server: Callable[..., Product], network: Network) -> None:
        server = make_server()
        seconds: dict[str, list[float]] = {"known": [], "unknown": []}
        for n in range(16):
            for kind, found in seconds.items():
                name = f"{kind}{n}"
                if kind == "known":
                    await add(server, name)
                browser = Operator(server, network, address=f"127.0.0.{2 + n}")
                form = (await browser.get("/admin/signin")).form_token
                started = time.perf_counter()
                answer = await browser.ask("POST", "/admin/signin", {"name": name, "password": WRONG, "form": form})
                found.append(time.perf_counter() - started)
                assert answer.status == 403
        medians = [statistics.median(each) for each in seconds.values()]
        assert 0.67 < medians[0] / medians[1] < 1.5, medians

    @pytest.mark.gen_test
    @pytest.mark.parametrize(
        "name", ["x" * 60_000, "a\r\nSet-Cookie: b=c", "\x1b[31mred\x1b[0m", PASSWORD, "👩‍🚒" * 40]
    )
    async def test_what_is_typed_as_a_name_stands_in_no_log_and_no_audit(
        self, embedded: Product, network: Network, name: str
    ) -> None:
        before = embedded.log_size()
        page = await Operator(embedded, network, address="127.0.0.77").sign_in(name, WRONG)
        assert page.status in (403, 413, 429)
        logged = embedded.log_after(before)
        assert name[:33] not in logged
        assert "\x1b" not in logged
        for row in await audit(embedded, 2):
            assert name[:20] not in f"{row.actor} {row.target} {row.reason}"

    @pytest.mark.gen_test
    async def test_bytes_that_are_no_text_are_refused(self, embedded: Product, network: Network) -> None:
        browser = Operator(embedded, network)
        form = (await browser.get("/admin/signin")).form_token
        body = b"name=%ff%fe&password=x&form=" + form.encode()
        answer = await network.ask(
            "POST",
            f"{embedded.base}/admin/signin",
            headers={
                "Content-Type": "application/x-www-form-urlencoded",
                "Cookie": f"menshen-dev-form={browser.cookies['menshen-dev-form']}",
            },
            body=body,
        )
        assert answer.status == 400

    @pytest.mark.gen_test
    @pytest.mark.parametrize(
        "wanted",
        [
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "/%5Cevil.example",
            "/%09/evil.example",
            "/\t/evil.example",
            "https:evil.example",
            "https://evil.example/admin/me",
            "http:///evil.example",
            "\\\\evil.example",
            "javascript:alert(1)",
            "@evil.example",
            ".evil.example",
            "%0a//evil.example",
            "/admin/me@evil.example",
            "/admin/me//evil.example",
            "/admin/me/../../x",
            "/admin/me?x=<script>",
            "/admin/signout",
            "/admin/me#fragment",
            "/admin/me?" + "x" * 10_000,
            "x" * 10_000,
        ],
    )
    async def test_signing_in_leads_nowhere_else(self, embedded: Product, network: Network, wanted: str) -> None:
        shared = getattr(type(self), "_mei", None) or name_of()
        if not hasattr(type(self), "_mei"):
            await add(embedded, shared)
            type(self)._mei = shared  # type: ignore[attr-defined]  # one operator for all of these
        browser = Operator(embedded, network)
        form = (await browser.get("/admin/signin")).form_token
        fields = {"name": shared, "password": PASSWORD, "form": form}
        answer = await browser.ask("POST", f"/admin/signin?next={quote(wanted, safe='')}", fields)
        assert answer.status == 303
        assert answer.headers["Location"] == "/admin/"

    @pytest.mark.gen_test
    async def test_signing_in_leads_to_the_page_that_was_wanted(self, embedded: Product, network: Network) -> None:
        name = name_of()
        await add(embedded, name)
        browser = Operator(embedded, network)
        wanted = await browser.ask("GET", "/admin/me?lang=en")
        assert wanted.headers["Location"] == "/admin/signin?next=%2Fadmin%2Fme%3Flang%3Den&lang=en"
        page = await browser.sign_in(name, path=wanted.headers["Location"])
        assert page.path.startswith("/admin/me?lang=en")

    @pytest.mark.gen_test
    @pytest.mark.parametrize("path", ["/admin", "/admin//evil.example/..", "/admin/%2f%2fevil.example", "/admin/x"])
    async def test_a_path_of_the_dashboard_never_leads_off(
        self, embedded: Product, network: Network, path: str
    ) -> None:
        answer = await Operator(embedded, network).ask("GET", path)
        if path == "/admin":
            assert answer.headers["Location"] == "/admin/"
        else:
            assert answer.status == 404
            assert "Location" not in answer.headers

    @pytest.mark.gen_test
    async def test_a_host_that_somebody_made_up_stands_in_no_answer(self, embedded: Product, network: Network) -> None:
        browser = Operator(embedded, network)
        made_up = {"Host": "evil.example", "X-Forwarded-Host": "evil.example"}
        for path in ("/admin", "/admin/", "/admin/me", "/admin/signin"):
            answer = await browser.ask("GET", path, headers=made_up)
            assert b"evil.example" not in answer.body
            assert "evil.example" not in str(dict(answer.headers))
