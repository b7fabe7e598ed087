"""What every page of the dashboard stands on: who is signed in, what he may, and that he himself sent the form.

A browser holds one cookie, a token of 256 bits of which only the SHA-256 is kept. Over https it is named `__Host-…`, so
that no other subdomain can plant one. A form carries a token that is bound to the session (OWASP ASVS 3.5.1); a request
that fails any check changes nothing.
"""

import hashlib
import hmac
import json
import logging
import re
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from tornado.httputil import url_concat

from actions import Actor, signing_in
from actions.deeds import denied
from actions.operators import WrongTimezone, zone_of
from actions.signing_in import Browser, NeedsPassword, SignedIn
from handlers.base import FORM, Intake, error_in
from handlers.pages import LANGUAGES, PageHandler, refuse_cross_origin, words_in
from handlers.refusals import BadRequest, CrossOrigin, InsecureSignIn, NoSuchResource, RoleTooLow
from handlers.times import Clock
from settings import VERSION, is_loopback
from stores.operators import Operator, OperatorSession, Role, SignedOut
from stores.sessions import SessionGone
from stores.users import NoSuchUser

log = logging.getLogger("menshen.http")

SIGN_IN, OVERVIEW, ENROL = "/admin/signin", "/admin/", "/admin/me/totp"
_SESSION, _KNOWN, _VISITOR = "", "-browser", "-form"
_MOST_COOKIE_BYTES = 4096
_DEVICE_COOKIE_SECONDS = 90 * 86_400
_MOST_NEXT = 2_000
_QUERY = re.compile(r"[A-Za-z0-9_.~%=&+:,*-]*", re.ASCII)
_MOST_FLASH = 60_000

# The rooms of the dashboard in the order of the menu, and the least role that enters each.
ROOMS: tuple[tuple[str, str, Role], ...] = (
    ("overview", "/admin/", "viewer"),
    ("sessions", "/admin/sessions", "viewer"),
    ("users", "/admin/users", "viewer"),
    ("logins", "/admin/logins", "viewer"),
    ("events", "/admin/events", "viewer"),
    ("audit", "/admin/audit", "operator"),
    ("operators", "/admin/operators", "admin"),
    ("keys", "/admin/keys", "admin"),
    ("apps", "/admin/apps", "viewer"),
    ("settings", "/admin/settings", "admin"),
    ("incident", "/admin/incident", "viewer"),
)


class AdminPage(PageHandler):
    """A page below /admin, whoever looks at it: its cookies, its form, its place in the layout."""

    intake: ClassVar[Intake] = Intake(most_bytes=64 * 1024, types=(FORM,))
    page: ClassVar[str] = ""  # the name of its room, for the menu
    refused_template: ClassVar[str] = "admin/refused.html"
    operator: Operator | None = None
    session: OperatorSession | None = None

    # Cookies

    @property
    def secure(self) -> bool:
        """Whether the browser spoke https, to us or to a proxy that we trust."""
        return self.request.protocol == "https"

    def refuse_insecure(self) -> None:
        """A password goes over plain http only within this machine (OWASP ASVS 12.2.1). Raises InsecureSignIn."""
        forwarded = {"X-Forwarded-For", "Forwarded"} & {name.title() for name in self.request.headers}
        local = is_loopback(self.request.remote_ip or "") and not forwarded
        if not (self.secure or local or self.backend.settings.insecure_signin):
            raise InsecureSignIn

    def let_forms_name_themselves(self) -> None:
        """Under `no-referrer` a form says `Origin: null`, and Sec-Fetch-Site, which tells us more, goes over https or
        within a machine alone. Where INSECURE_SIGNIN lets forms come otherwise, they have to name their own site."""
        if self.backend.settings.insecure_signin and not self.secure:
            self.set_header("Referrer-Policy", "same-origin")

    def cookie(self, kind: str) -> str | None:
        """The value of one of our cookies, None when it is missing, too long, or there is more than one of its name."""
        header = ";".join(self.request.headers.get_list("Cookie"))
        pairs = [part.strip().partition("=") for part in header.split(";")]
        values = [value for name, _, value in pairs if name == self._cookie_name(kind)]
        return values[0] if len(values) == 1 and len(values[0]) <= _MOST_COOKIE_BYTES else None

    def give_cookie(self, kind: str, value: str, seconds: int | None = None) -> None:
        """Sets one of our cookies, for as long as the browser is open unless told."""
        self.set_cookie(
            self._cookie_name(kind),
            value,
            path="/",
            secure=self.secure,
            httponly=True,
            samesite="Lax",
            max_age=seconds,
        )

    def _cookie_name(self, kind: str) -> str:
        return f"__Host-menshen{kind}" if self.secure else f"menshen-dev{kind}"

    def welcome(self, signed_in: SignedIn) -> None:
        """Gives a browser what it needs to be recognised."""
        self.give_cookie(_SESSION, signed_in.session)
        if signed_in.known:
            self.give_cookie(_KNOWN, signed_in.known, _DEVICE_COOKIE_SECONDS)

    def farewell(self) -> None:
        """Takes the session's cookie away; the browser stays known."""
        self.give_cookie(_SESSION, "", 0)

    @property
    def browser(self) -> Browser:
        """Where this request comes from, for the verbs of signing in."""
        return Browser(
            self.request.remote_ip or "unknown",
            _device(self.request.headers.get("User-Agent", "")),
            self.cookie(_SESSION),
            self.cookie(_KNOWN),
            self.request_id,
        )

    # Forms

    def form_token_for(self, bound_to: bytes) -> str:
        """What a form of this session has to bring back."""
        return hmac.new(self.backend.keys.session_mark, b"operator's form:" + bound_to, hashlib.sha256).hexdigest()

    def check_form(self, bound_to: bytes) -> None:
        """Compares in constant time. Raises CrossOrigin."""
        given = self.request.body_arguments.get("form", [])
        wanted = self.form_token_for(bound_to).encode("ascii")
        if len(given) != 1 or not hmac.compare_digest(given[0], wanted):
            raise CrossOrigin

    def field(self, name: str, most: int = 200, default: str | None = None) -> str:
        """A field of the form, at most `most` characters. Raises BadRequest when it is missing and has no default."""
        values = self.fields(name, most)
        if not values and default is not None:
            return default
        if len(values) != 1:
            raise BadRequest(name)
        return values[0]

    def fields(self, name: str, most: int = 200, at_most: int = 1000) -> list[str]:
        """All fields of one name. Raises BadRequest for what is no UTF-8, too long or too many."""
        values = self.request.body_arguments.get(name, [])
        try:
            texts = [value.decode("utf-8") for value in values]
        except UnicodeDecodeError:
            raise BadRequest(name) from None
        if len(texts) > at_most or any(len(text) > most for text in texts):
            raise BadRequest(name)
        return texts

    # The page itself

    @property
    def language(self) -> str:
        """`zh_CN` or `en`: what the link asks for, else what the operator has chosen, else as on any page."""
        chosen = self.operator.language if self.operator and not self.chosen else None
        return chosen if chosen and chosen in LANGUAGES.values() else super().language

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of this reader."""
        try:
            return zone_of((self.operator and self.operator.timezone) or self.backend.settings.timezone)
        except WrongTimezone:
            return ZoneInfo("UTC")

    @property
    def clock(self) -> Clock:
        """Times for this reader."""
        return Clock(self.backend.now(), self.zone, self.words.times)

    @property
    def words(self) -> SimpleNamespace:
        """The words of this reader's language."""
        return words_in(self.language)

    def go(self, path: str) -> None:
        """Sends the browser on to a page of ours; what it asks there is a GET (303)."""
        self.redirect(self.link(path), status=303)

    def show(self, template: str, **values: object) -> None:
        """See PageHandler.show; the layout of the dashboard gets what it needs besides."""
        here: dict[str, object] = {
            "operator": self.operator,
            "form_token": None,
            "flash": None,
            "rooms": [],
            "page": self.page,
            "path": self.request.path,
            "here_in": self._here_in,
            "chosen_language": self.chosen,
            "insecure": not self.secure,
            "version": VERSION,
            "zone": self.zone,
            "clock": self.clock,
            "may": lambda _role: False,
        }
        super().show(template, **{**here, **values})

    def _here_in(self, short: str) -> str:
        """This page in another language, with all that its address says."""
        query = {name: values[-1] for name, values in self.request.query_arguments.items() if name != "lang" and values}
        kept = [(name, value.decode("utf-8", "replace")) for name, value in query.items()]
        return (
            url_concat(self.request.path, [*kept, ("lang", short)])
            if self.request.method != "POST"
            else "?lang=" + short
        )

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """See PageHandler. Who is not there is a page that is not there; 401 is what a phone is told."""
        if isinstance(error_in(kwargs), NoSuchUser | SessionGone):
            kwargs["exc_info"] = (NoSuchResource, NoSuchResource(), None)
        super().write_error(status_code, **kwargs)


class NoRoom(AdminPage):
    """Where no route leads, below /admin."""

    intake: ClassVar[Intake] = Intake(types=())

    def prepare(self) -> None:
        """Refuses every method alike."""
        raise NoSuchResource


class VisitorPage(AdminPage):
    """A page for somebody who is not signed in. Its form is bound to a cookie of its own (login CSRF)."""

    def prepare(self) -> None:
        """Refuses plain http from elsewhere, and forms that were not shown to this browser."""
        self.refuse_insecure()
        self.let_forms_name_themselves()
        visitor = self.cookie(_VISITOR)
        if self.request.method == "POST":
            refuse_cross_origin(self.request)
            if visitor is None:
                raise CrossOrigin
            self.check_form(b"visitor:" + visitor.encode("utf-8"))
        elif signing_in.secret_id(visitor) is None:
            visitor = signing_in.new_secret()
            self.give_cookie(_VISITOR, visitor)
        self._visitor = visitor or ""

    def show(self, template: str, **values: object) -> None:
        """See AdminPage.show."""
        visitor = getattr(self, "_visitor", None)
        token = self.form_token_for(b"visitor:" + visitor.encode("utf-8")) if visitor else None
        super().show(template, **{"form_token": token, **values})

    def next_page(self) -> str:
        """Where to go after signing in: `?next=` when it is a page of ours, the overview otherwise."""
        values = self.request.query_arguments.get("next", [])
        wanted = values[0].decode("utf-8", "replace") if len(values) == 1 else ""
        return own_path(wanted, self.settings["own_pages"])


def own_path(wanted: str, own_pages: Iterable[re.Pattern[str]]) -> str:
    """The path and query if they belong to a page of ours, `/admin/` otherwise (OWASP ASVS 1.3.6, open redirects).

    Nothing is parsed as an address: the path has to be, letter for letter, one that a route of ours describes.
    """
    path, _, query = wanted.partition("?")
    if len(wanted) > _MOST_NEXT or not _QUERY.fullmatch(query):
        return OVERVIEW
    if not any(pattern.fullmatch(path) for pattern in own_pages):
        return OVERVIEW
    return f"{path}?{query}" if query else path


class OperatorPage(AdminPage):
    """A page of the dashboard. A subclass says which role it takes to be there; `self.operator` is who is there."""

    role: ClassVar[Role] = "viewer"
    is_use: ClassVar[bool] = True  # whether asking for it keeps the session from its idle end
    before_totp: ClassVar[bool] = False  # whether it may be seen before a second factor that is obligatory is set up
    operator: Operator
    session: OperatorSession
    appids: list[str]

    async def prepare(self) -> None:
        """Lets in who is signed in, may be here, and has sent the form himself; anybody else changes nothing."""
        writes = self.request.method not in ("GET", "HEAD")
        self.let_forms_name_themselves()
        try:
            self.refuse_insecure()
            self.session, self.operator = await signing_in.session_of(self.backend, self.cookie(_SESSION))
        except (SignedOut, InsecureSignIn):
            if writes:
                refuse_cross_origin(self.request)
            self._ask_to_sign_in()
            return
        if writes:
            await self._check_form()
        if not self.may(self.role):
            await self._denied("role")
            raise RoleTooLow
        if self.backend.settings.require_totp and not self.operator.has_totp and not self.before_totp:
            self.go(ENROL)
            return
        if self.is_use:
            await self.backend.operators.touch(self.session, self.backend.now())
        self.appids = await self._appids()
        if self.session.flash and self.request.method == "GET":
            await self.backend.operators.clear_flash(self.session.id, self.session.flash)
            self._flash = json.loads(self.session.flash)

    def _ask_to_sign_in(self) -> None:
        wanted = own_path(self.request.uri or "", self.settings["own_pages"])
        self.go(SIGN_IN if wanted == OVERVIEW else url_concat(SIGN_IN, {"next": wanted}))

    async def _check_form(self) -> None:
        try:
            refuse_cross_origin(self.request)
            self.check_form(self.session.id)
        except CrossOrigin:
            await self._denied("form")
            raise

    async def _denied(self, why: str) -> None:
        """Writes down that nothing was done, and why not: the role, or the form."""
        log.warning("request %s of operator %s was denied for its %s", self.request_id, self.operator.name, why)
        await denied(self.backend, self.by, f"dashboard.{why}", target=self.request.path)

    async def _appids(self) -> list[str]:
        served = [app.appid for app in self.backend.settings.apps]
        known = {*served, *await self.backend.epochs.all()}
        ordered = [*served, *sorted(known - set(served))]
        his = self.operator.appids
        return ordered if his is None else [appid for appid in ordered if appid in his]

    @property
    def by(self) -> Actor:
        """Who does what is done here, for the audit."""
        return Actor(f"operator:{self.operator.name}", self.request.remote_ip, self.request_id, self.operator.role)

    @property
    def form_token(self) -> str:
        """What every form of this session has to bring back in the field `form`."""
        return self.form_token_for(self.session.id)

    def may(self, role: Role) -> bool:
        """Whether the operator has this role or a greater one; nobody has any, while an early error is shown."""
        operator: Operator | None = self.operator
        return operator is not None and operator.may(role)

    def may_enter(self, room: str, role: Role) -> bool:
        """Whether the menu shows a room; what concerns every mini program is not for an admin of some."""
        return self.may(role) and (room not in ("settings", "keys") or self.operator.appids is None)

    @property
    def needs_password(self) -> bool:
        """Whether a grave deed would want the password again now."""
        return self.backend.now() - self.session.confirmed_at >= signing_in.CONFIRMED_SECONDS

    async def confirmed(self, password: str = "") -> None:
        """Passes when the password was given within five minutes, or is given now (OWASP ASVS 7.5.3).

        Raises NeedsPassword, WrongPassword, MustWait, TooManyHashes.
        """
        if not password:
            if self.needs_password:
                raise NeedsPassword
            return
        await signing_in.confirm(self.backend, self.by, self.session, self.operator, password, self.browser)

    async def tell(self, key: str, *, kind: str = "good", undo: Iterable[str] = (), **values: object) -> None:
        """Lets the next page say the words `section.name`, filled with `values`; `undo` are ids to bring back."""
        flash = json.dumps({"key": key, "kind": kind, "undo": list(undo), "values": values})
        if len(flash) > _MOST_FLASH:
            flash = json.dumps({"key": key, "kind": kind, "undo": [], "values": values})
        await self.backend.operators.set_flash(self.session.id, flash)

    def show(self, template: str, **values: object) -> None:
        """See AdminPage.show."""
        session = getattr(self, "session", None)
        if session is None:  # the trouble came before anybody was recognised
            super().show(template, **values)
            return
        here = {
            "form_token": self.form_token,
            "flash": self._take_flash(),
            "rooms": [{"name": name, "path": path} for name, path, role in ROOMS if self.may_enter(name, role)],
            "may": self.may,
        }
        super().show(template, **{**here, **values})

    def _take_flash(self) -> dict[str, object] | None:
        told, self._flash = self._flash, None  # one that cannot be told must not stop the page that says so
        if told is None:
            return None
        section, _, name = told["key"].partition(".")
        sentence = str(getattr(getattr(self.words, section), name)).format(**told["values"])
        return {"kind": told["kind"], "sentence": sentence, "undo": told["undo"]}

    _flash: dict[str, Any] | None = None


def _device(user_agent: str) -> str | None:
    """What a browser calls itself, as far as it is printable."""
    plain = "".join(letter for letter in user_agent[:400] if " " <= letter <= "~")
    return plain[:200] or None
