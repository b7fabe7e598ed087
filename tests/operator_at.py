"""An operator at his browser, as far as HTTP goes: cookies, forms with their token, redirects."""

import html
import itertools
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urljoin, urlsplit

from phone import Answer, Headers, Network
from product import Product
from shell import settings_of

import process
from actions import Actor
from actions.operators import add_operator, invite_operator
from stores.audit import Entry
from stores.db import Query, Script, Statement
from stores.operators import Role

PASSWORD = "seven green lamps at noon"
WRONG = "seven green lamps at dawn"
# One for each browser: the failures of one test must not make the next one's operator wait, as an office's would.
ADDRESSES = (f"127.{16 + n // 65_536}.{n // 256 % 256}.{n % 256}" for n in itertools.count(1))
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"


@dataclass
class Page:
    """What a browser shows after following every redirect."""

    answer: Answer
    path: str

    @property
    def status(self) -> int:
        return self.answer.status

    @property
    def text(self) -> str:
        return html.unescape(self.answer.body.decode("utf-8"))

    @property
    def form_token(self) -> str:
        found = re.search(r'name="form" value="([0-9a-f]{64})"', self.answer.body.decode("utf-8"))
        assert found, f"no form on {self.path}: {self.status} {self.text[:500]}"
        return found[1]

    def value(self, name: str) -> str:
        """The value of a hidden field."""
        found = re.search(rf'name="{name}" value="([^"]*)"', self.answer.body.decode("utf-8"))
        assert found, f"no field {name} on {self.path}"
        return html.unescape(found[1])


class Operator:
    """A browser with a cookie jar; `https` behaves as behind a trusted proxy with TLS."""

    def __init__(self, server: Product, network: Network, *, address: str = "", https: bool = False) -> None:
        self.server = server
        self.address = address or next(ADDRESSES)
        self.https = https
        self.name = ""
        self.cookies: dict[str, str] = {}
        self._network = network

    async def ask(
        self,
        method: str,
        path: str,
        fields: Iterable[tuple[str, str]] | Mapping[str, str] = (),
        headers: Mapping[str, str | None] | None = None,
    ) -> Answer:
        """One request, redirects not followed; cookies are sent and kept."""
        parts = urlsplit(self.server.base)
        origin = f"{'https' if self.https else 'http'}://{parts.netloc}"
        sent: dict[str, str | None] = {"User-Agent": BROWSER, "Accept-Language": "en"}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if self.https:
            sent |= {"X-Forwarded-Proto": "https", "X-Forwarded-For": self.address}
        body = b""
        if method == "POST":
            body = urlencode(list(fields.items()) if isinstance(fields, Mapping) else list(fields)).encode()
            sent |= {
                "Content-Type": "application/x-www-form-urlencoded",
                "Origin": origin,
                "Sec-Fetch-Site": "same-origin",
            }
        sent |= headers or {}
        pairs: Headers = sent
        address = "127.0.0.1" if self.https else self.address
        answer = await self._network.ask(method, f"{self.server.base}{path}", headers=pairs, body=body, address=address)
        self._keep(answer)
        return answer

    async def get(self, path: str) -> Page:
        """A page, with redirects followed."""
        return await self._follow(await self.ask("GET", path), path)

    async def post(
        self, path: str, fields: Iterable[tuple[str, str]] | Mapping[str, str] = (), *, form: str = ""
    ) -> Page:
        """Send a form with its token, taken from the operator's own page unless given, and follow the redirect."""
        token = form or (await self.get("/admin/me")).form_token
        pairs = [*(fields.items() if isinstance(fields, Mapping) else fields), ("form", token)]
        return await self._follow(await self.ask("POST", path, pairs), path)

    async def sign_in(self, name: str, password: str = PASSWORD, code: str = "", path: str = "/admin/signin") -> Page:
        """Type name and password into the form."""
        form = (await self._follow(await self.ask("GET", path), path)).form_token
        self.name = name
        fields = {"name": name, "password": password, "code": code, "form": form}
        return await self._follow(await self.ask("POST", path, fields), path)

    @property
    def token(self) -> str:
        """The token of the session."""
        return self.cookies["__Host-menshen" if self.https else "menshen-dev"]

    def _keep(self, answer: Answer) -> None:
        for line in answer.headers.getall("Set-Cookie", []):
            name, _, rest = line.partition("=")
            value, _, attributes = rest.partition(";")
            if "max-age=0" in attributes.lower() or not value.strip('"'):
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
                self.server.never_logged.add(value)

    async def _follow(self, answer: Answer, path: str) -> Page:
        hops = 0
        while answer.status in (301, 302, 303, 307, 308):
            path = urljoin(path, answer.headers["Location"])
            assert path.startswith("/admin"), path
            answer = await self.ask("GET", path)
            hops += 1
            assert hops < 6, path
        return Page(answer, path)


def first_link(server: Product) -> str | None:
    """The path of the link that the last start printed."""
    line = re.compile(r"^first operator, within an hour: http://[\d.:]+(/admin/setup\?link=\S+)$", re.MULTILINE)
    found = line.findall(server.log())
    return found[-1] if found else None


async def set_up(browser: Operator, path: str, password: str = PASSWORD, again: str = "", name: str = "") -> Page:
    """Fill in the form behind a one-time link, and give the page that follows."""
    form = await browser.get(path)
    fields = {"link": form.value("link"), "password": password, "again": again or password, "form": form.form_token}
    fields |= {"name": name} if name else {}
    answer = await browser.ask("POST", "/admin/setup", fields)
    if answer.status == 303:
        return await browser.get(answer.headers["Location"])
    return Page(answer, "/admin/setup")


def name_of() -> str:
    """A name that no other test uses."""
    return f"op-{secrets.token_hex(4)}"


async def make_operator(
    server: Product,
    network: Network,
    role: Role = "admin",
    *,
    appids: Iterable[str] | None = None,
    name: str = "",
    address: str = "",
    https: bool = False,
) -> Operator:
    """A new operator of this role, signed in."""
    name = name or name_of()
    await add(server, name, role, appids)
    operator = Operator(server, network, address=address, https=https)
    page = await operator.sign_in(name)
    assert page.path == "/admin/", (page.status, page.text[:2000])
    return operator


async def add(server: Product, name: str, role: Role = "admin", appids: Iterable[str] | None = None) -> None:
    """Add an operator with the usual password, as the shell would."""
    server.never_logged.add(PASSWORD)
    async with process.opened(settings_of(server)) as backend:
        await add_operator(backend, Actor("shell:test"), name, role, PASSWORD, appids)


async def invite(server: Product, name: str, role: Role = "viewer") -> str:
    """Add an operator without a password; give the path of the link."""
    async with process.opened(settings_of(server)) as backend:
        link = (await invite_operator(backend, Actor("shell:test"), name, role)).link
    server.never_logged.add(link)
    return f"/admin/setup?link={link}"


async def audit(server: Product, most: int = 50) -> list[Entry]:
    async with process.opened(settings_of(server)) as backend:
        return await backend.audit.newest(most)


async def deeds_of(server: Product, name: str) -> list[tuple[str, str]]:
    """What the audit has about an operator, the oldest first."""
    return [(row.deed, row.result) for row in reversed(await audit(server)) if row.actor == f"operator:{name}"]


async def change(server: Product, sql: str, **values: object) -> None:
    """Change the database behind the server's back."""

    def script() -> Script[None]:
        mysql = re.sub(r":([a-z_]+)", r"%(\1)s", sql)
        yield Query(Statement("ad_hoc", "", {"sqlite": sql, "mysql": sql}, {"sqlite": sql, "mysql": mysql}), values)

    async with process.opened(settings_of(server)) as backend:
        await backend.db.write(script)


async def is_in(operator: Operator) -> bool:
    """Whether the next click is answered, or leads to the form."""
    answer = await operator.ask("GET", "/admin/me")
    if answer.status == 200:
        return True
    assert answer.status == 303
    assert answer.headers["Location"] == "/admin/signin?next=%2Fadmin%2Fme"
    return False
