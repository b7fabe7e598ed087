"""What the tests of the dashboard over HTTP have in common: its routes, its audit, its people, and a reader of HTML."""

import re
from collections.abc import Callable, Iterable, Sequence
from html.parser import HTMLParser

from operator_at import PASSWORD, Operator, Page
from phone import Answer, Phone
from product import Product
from shell import settings_of
from verdicts import id_of, succeeded

import process
from handlers import ROUTES
from handlers.operator_page import AdminPage, OperatorPage
from stores.audit import Entry
from stores.operators import Role

OTHER_APPID = "wx0000000000000002"
OTHER_SECRET = "another-secret"
# Written down here a second time on purpose: it is the promise, and the product's own is what is tested.
PAGE_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
NOBODY = "0" * 64
Phones = Callable[..., list[Phone]]
MakeServer = Callable[..., Product]


def dashboard_routes(method: str) -> list[tuple[str, type[AdminPage]]]:
    """Every route below /admin that takes a method, with its class."""
    return [
        (path, handler) for path, handler in ROUTES if issubclass(handler, AdminPage) and method in handler.allowed()
    ]


def guarded_posts(user: int, session: str, operator: int) -> list[tuple[str, Role]]:
    """The path of every form that only somebody signed in may send, filled in, with the least role that it takes."""
    found = []
    for route, handler in dashboard_routes("POST"):
        if issubclass(handler, OperatorPage):
            kind = route.split("/")[2]
            named = {"users": str(user), "sessions": session, "operators": str(operator)}
            named |= {"keys": "1", "deliveries": "1", "apps": "wx0000000000000001"}
            name = named.get(kind, "")
            path = re.sub(r"\(\[.*?\]\{.*?\}\)", name, route)
            assert re.fullmatch(r"[/a-z0-9-]+", path), path
            found.append((path, handler.role))
    return found


async def rows(server: Product, most: int = 20) -> list[Entry]:
    """The newest rows of the audit, the oldest of them first."""
    async with process.opened(settings_of(server)) as backend:
        return (await backend.audit.newest(most))[::-1]


async def newest(server: Product) -> Entry:
    """The newest row of the audit."""
    return (await rows(server, 1))[0]


async def rows_of(server: Product, operator: Operator, most: int = 60) -> list[Entry]:
    """What the audit has about an operator, the oldest first, without his signing in."""
    found = [row for row in await rows(server, most) if row.actor == f"operator:{operator.name}"]
    return [row for row in found if row.deed != "operator.signin"]


async def arrive(phone: Phone, **fields: object) -> tuple[int, str]:
    """Log in; gives the person's number and the public id of the session."""
    body = succeeded(await phone.login(**fields))
    return int(body["user"]["id"]), id_of(phone.token)


async def statuses(people: Iterable[Phone]) -> list[int]:
    """What verify answers to each phone."""
    return [(await each.verify()).status for each in people]


def two_programs(make_server: MakeServer, **settings: object) -> Product:
    """A server of two mini programs: APPID and OTHER_APPID, whose secret WeChat has to be told."""
    server = make_server(start=False, LOGIN_LIMIT=0, **settings)
    server.data_dir.mkdir(mode=0o700)
    file = server.data_dir / "menshen.toml"
    file.touch(0o600)
    file.write_text(f'[[apps]]\nappid = "{OTHER_APPID}"\nsecret = "{OTHER_SECRET}"\nname = "The other shop"\n')
    server.start()
    server.never_logged.add(OTHER_SECRET)
    return server


def sure(reason: str = "test", **more: str) -> dict[str, str]:
    """The fields of a deed's second click."""
    return {"sure": "yes", "reason": reason, **more}


def with_password(reason: str = "test", **more: str) -> dict[str, str]:
    """The same, with the password."""
    return sure(reason, password=PASSWORD, **more)


def check_headers(answer: Answer) -> None:
    """Raise AssertionError when an answer of the dashboard lacks a header that protects it, or tells too much."""
    for name, value in PAGE_HEADERS.items():
        assert answer.headers.getall(name, []) == [value], (answer.status, name)
    for name in ("Server", "Access-Control-Allow-Origin", "Strict-Transport-Security", "ETag"):
        assert name not in answer.headers, (answer.status, name)
    assert answer.headers["X-Request-Id"]


class Seen(HTMLParser):
    """A page as a browser reads it: its elements with their attributes, and its text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []

    @classmethod
    def of(cls, page: Page) -> "Seen":
        """Read a page."""
        seen = cls()
        seen.feed(page.answer.body.decode("utf-8"))
        seen.close()
        return seen

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        """Called by the parser."""
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        """Called by the parser."""
        self.words.append(data)

    @property
    def text(self) -> str:
        """What is shown, its values of fields included."""
        fields = [attributes["value"] for _, attributes in self.elements if "value" in attributes]
        return "\n".join([*self.words, *fields])

    @property
    def actions(self) -> set[str]:
        """Where the forms of the page lead."""
        return {attributes["action"] for tag, attributes in self.elements if tag == "form" and "action" in attributes}

    @property
    def links(self) -> set[str]:
        """Where the links of the page lead."""
        return {attributes["href"] for tag, attributes in self.elements if tag == "a" and "href" in attributes}
