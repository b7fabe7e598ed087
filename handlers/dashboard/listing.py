"""What every list has in common: its question is in the address, and a page leads to the next one."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from actions.questions import AuditQuestion, BadQuestion, LoginsQuestion, Question, UsersQuestion
from handlers.dashboard.page import DashboardPage
from handlers.pages import ready
from stores.logins import BadPlace

Q = TypeVar("Q", Question, UsersQuestion, LoginsQuestion, AuditQuestion)
AFTER = "after"  # the parameter that says where a page begins


class Found(Protocol):
    """What every list answers with: the rows of a page, where the next one begins, how far was looked."""

    @property
    def rows(self) -> Sequence[Any]:
        """The rows, in their order."""

    @property
    def more(self) -> str | None:
        """Where the next page begins."""

    @property
    def looked_back_to(self) -> int | None:
        """The moment, in epoch seconds, at which looking ended early."""


class ListPage(DashboardPage, Generic[Q]):
    """A list with filters. A subclass says what it asks, and shows one page of the answer."""

    question: ClassVar[Any]  # the kind of question that the address asks
    template: ClassVar[str]

    async def get(self) -> None:
        """The page that the address asks for; 400 and the filters to mend when it asks for nothing that there is."""
        given = self.given()
        await ready(self.template)
        try:
            question: Q = self.question.of(given, self.zone)
            await self.show_page(question, given.get(AFTER))
        except BadQuestion as bad:
            self.set_status(400)
            sentence = self.words.wrong.q if bad.field == "q" else self.words.wrong.field.format(field=bad.field)
            self.show_list(self.question(), given, wrong=sentence)
        except BadPlace:
            self.set_status(400)
            self.show_list(self.question(), given, wrong=self.words.wrong.place)
        await self.written_in_turns()

    async def show_page(self, question: Q, after: str | None) -> None:
        """Shows one page. Raises BadPlace."""
        raise NotImplementedError

    def given(self) -> dict[str, str]:
        """The parameters of the address. Of two with one name the last counts; what is no UTF-8 cannot match."""
        return {
            name: values[-1].decode("utf-8", "replace")
            for name, values in self.request.query_arguments.items()
            if values and values[-1]
        }

    def show_found(self, question: Q, found: Found, **values: Any) -> None:
        """Shows what was found, with the way on and how far it was looked."""
        parameters = question.parameters()
        page = {"rows": found.rows, "looked_back_to": found.looked_back_to, **values}
        self.show_list(question, parameters, more=found.more, **page)

    def show_list(self, question: Q, filters: Mapping[str, str], *, more: str | None = None, **values: Any) -> None:
        """Shows the list; `more` is where the next page begins."""
        asked = question.parameters()
        self.show(
            self.template,
            **{
                "rows": [],
                "looked_back_to": None,
                "only_some": False,
                "filters": _Given(filters),
                "filtered": bool(asked),
                "parameters": list(asked.items()),
                "here": self.at(self.request.path, **asked),
                "first_page": self.at(self.request.path, **asked) if AFTER in self.given() else None,
                "next_page": self.at(self.request.path, **asked, **{AFTER: more}) if more else None,
                **values,
            },
        )


class _Given(dict[str, str]):
    """The filters as somebody wrote them, for the fields of the form; one that was not given is empty."""

    def __missing__(self, _name: str) -> str:
        return ""

    def __getattr__(self, name: str) -> str:
        return self[name]


def chip(text: str, without: str) -> SimpleNamespace:
    """One filter in use, and the address without it."""
    return SimpleNamespace(text=text, without=without)
