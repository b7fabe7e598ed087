"""The logins: every attempt, succeeded or refused, and what to do about the refusals."""

from actions.lists import logins_page
from actions.questions import LoginsQuestion
from handlers.dashboard.listing import ListPage


class LoginsPage(ListPage[LoginsQuestion]):
    """GET /admin/logins"""

    page = "logins"
    question = LoginsQuestion
    template = "admin/logins.html"

    async def show_page(self, question: LoginsQuestion, after: str | None) -> None:
        """The newest attempts that match, and what the errcodes among them mean."""
        found = await logins_page(self.backend, self.scope, question, after)
        self.show_found(
            question,
            found,
            errcodes=sorted({attempt.refused.errcode for attempt in found.rows if attempt.refused}),
        )
