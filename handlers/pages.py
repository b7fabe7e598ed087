"""What every HTML page is made of: its language and words, its template, its headers, and the files beside it."""

import asyncio
import json
import re
import time
from asyncio import Future
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

from tornado.httputil import HTTPServerRequest, url_concat
from tornado.web import StaticFileHandler

from handlers.base import FORM, Handler, Intake, error_in, row_for
from handlers.refusals import CrossOrigin, NoSuchResource

if TYPE_CHECKING:
    from jinja2 import Environment, Template

_ROOT = Path(__file__).resolve().parent.parent
TEMPLATES = _ROOT / "templates"
STATIC = _ROOT / "static"

# What a link's ?lang= says, and how the setting LANGUAGE, the table of words and the HTML attribute call it.
LANGUAGES = {"zh": "zh_CN", "en": "en"}
_TAGS = {"zh_CN": "zh-CN", "en": "en"}
_TURN_SECONDS = 0.0005  # of writing a page, before others have their turn

# OWASP ASVS 3.4: nothing runs or shows that this server did not send, and no other site frames, opens or reads a page.
PAGE_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
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


@cache
def _template(name: str) -> "Template":
    """A template of templates/, ready to be filled in."""
    return _environment().get_template(name)


@cache
def _environment() -> "Environment":
    # Loaded with the first page: a start is quicker without it.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    # A word that is missing must fail loudly in a test, not be an empty place on a page.
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


async def ready(template: str) -> None:
    """Makes a template ready for use, which takes longer the first time than a turn of the loop may."""
    await asyncio.to_thread(_template, template)


@cache
def words_in(language: str) -> SimpleNamespace:
    """All words of the pages in a language (`zh_CN` or `en`), by page and name: `words.playground.title`."""
    found = SimpleNamespace()
    for path in sorted((TEMPLATES / "words").glob(f"*{language}.json")):
        text = path.read_text("utf-8")
        found.__dict__.update(vars(json.loads(text, object_hook=lambda pairs: SimpleNamespace(**pairs))))
    return found


def wished_language(accept_language: str) -> str | None:
    """The language of ours that a browser wants most (RFC 9110 section 12.5.4), or None when it wants neither."""
    wishes = []
    for part in accept_language.split(","):
        tag, _, parameter = part.partition(";")
        short = tag.strip().lower().split("-")[0]
        if short in LANGUAGES and (quality := _quality(parameter)) > 0:
            wishes.append((quality, short))
    return LANGUAGES[max(wishes, key=lambda wish: wish[0])[1]] if wishes else None


def _quality(parameter: str) -> float:
    if not parameter.strip():
        return 1.0
    found = re.fullmatch(r"\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*", parameter)
    return float(found[1]) if found else 0.0


def refuse_cross_origin(request: HTTPServerRequest) -> None:
    """Refuses what another site's page sent. Raises CrossOrigin.

    A browser says so itself in Sec-Fetch-Site or Origin, which no page can forge; what says neither is no browser, or
    one so old that its caller needs another proof too.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site not in (None, "same-origin", "none"):
        raise CrossOrigin
    origin = request.headers.get("Origin")
    if origin == "null" and site == "same-origin":
        return  # our Referrer-Policy makes browsers leave the name out of a form's own Origin (Fetch, section 3.2)
    # Compared as text: urlsplit raises on an Origin such as "http://[". The scheme may differ behind a proxy.
    if origin is not None and origin.lower().partition("://")[2] != request.host.lower():
        raise CrossOrigin


class PageHandler(Handler):
    """A handler that answers with a page, in Chinese or English."""

    intake: ClassVar[Intake] = Intake(types=(FORM,))
    refused_template: ClassVar[str] = "refused.html"
    _page: Iterable[str] = ()

    def set_default_headers(self) -> None:
        """See Handler."""
        super().set_default_headers()
        self.put_headers(PAGE_HEADERS)
        if self.request.protocol == "https":  # OWASP ASVS 3.4.1; over http a browser ignores it
            self.set_header("Strict-Transport-Security", "max-age=31536000")

    @property
    def chosen(self) -> str | None:
        """The language that the link asked for by ?lang=zh or ?lang=en, as written there."""
        values = self.request.query_arguments.get("lang") or [b""]
        short = values[-1].decode("utf-8", "replace")
        return short if short in LANGUAGES else None

    @property
    def language(self) -> str:
        """`zh_CN` or `en`: what the link asks for, else the browser, else the setting LANGUAGE."""
        if self.chosen:
            return LANGUAGES[self.chosen]
        return wished_language(self.request.headers.get("Accept-Language", "")) or self.backend.settings.language

    def link(self, path: str) -> str:
        """A link to another page of ours that keeps the language somebody has chosen."""
        return url_concat(path, {"lang": self.chosen}) if self.chosen else path

    def show(self, template: str, **values: object) -> None:
        """Chooses the page: a template, which gets `words`, `lang`, `link` and the values. `finish` sends it."""
        language = self.language
        self.set_header("Content-Language", _TAGS[language])
        self.set_header("Vary", "Accept-Language")
        words = words_in(language)
        given = {"words": words, "lang": _TAGS[language], "link": self.link, **values}
        self._page = _template(template).generate(**given)

    async def show_in_turns(self, template: str, **values: object) -> None:
        """As `show`, for a page that takes long to write."""
        await ready(template)
        self.show(template, **values)
        await self.written_in_turns()

    async def written_in_turns(self) -> None:
        """Writes the page that was chosen, and lets others have their turn meanwhile: a list takes as long as hundreds
        of verifies."""
        pieces, began = list[str](), time.perf_counter()
        for piece in self._page:
            pieces.append(piece)
            if time.perf_counter() - began > _TURN_SECONDS:
                await asyncio.sleep(0)
                began = time.perf_counter()
        self._page = pieces

    def finish(self, chunk: str | bytes | dict[str, Any] | None = None) -> "Future[None]":
        """Called by Tornado when the handler has returned: sends the page that was chosen, if one was."""
        return super().finish("".join(self._page) or None if chunk is None else chunk)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Called by Tornado with the exception that ended a handler: a page that says what happened, kindly."""
        row = row_for(status_code, error_in(kwargs))
        self.set_refusal_headers(row)
        self.set_status(row.status)
        told = vars(words_in(self.language).refused)
        by_status = told.get(f"status_{row.status}", told["status_5xx" if row.status >= 500 else "status_4xx"])
        sentence = told.get(f"errcode_{row.errcode}", by_status)
        self.show(self.refused_template, status=row.status, sentence=sentence, request_id=self.request_id)
        self.finish()


class NoPage(PageHandler):
    """Where no route leads, outside the API."""

    intake: ClassVar[Intake] = Intake(types=())

    def prepare(self) -> None:
        """Refuses every method alike."""
        raise NoSuchResource


class StaticFiles(PageHandler, StaticFileHandler):
    """GET /static/…: style sheets, scripts and pictures; a browser asks each time whether its copy is still good."""

    intake: ClassVar[Intake] = Intake(types=())

    def initialize(self, *args: Any, **kwargs: Any) -> None:
        """See Handler."""
        PageHandler.initialize(self, *args, **kwargs)
        StaticFileHandler.initialize(self, str(STATIC))

    def get_cache_time(self, *_file: object) -> int:
        """No time of validity, also not for a URL with ?v=: set_extra_headers says what holds."""
        return 0

    def set_extra_headers(self, path: str) -> None:
        """Called by Tornado when the file is found. A new version of the server must not meet an old script."""
        self.set_header("Cache-Control", "no-cache")

    def compute_etag(self) -> str | None:
        """The hash of the file."""
        return StaticFileHandler.compute_etag(self)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """What lies outside the folder, or is a folder, is not told from what does not exist."""
        super().write_error(404 if status_code == 403 else status_code, **kwargs)
