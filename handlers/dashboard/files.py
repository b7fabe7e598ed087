"""Lists as files to keep."""

from collections.abc import AsyncIterator, Mapping
from typing import ClassVar

from actions.exports import export_sessions, export_users
from actions.questions import Question, UsersQuestion
from handlers.dashboard.page import DashboardPage
from stores.operators import Role


class _Export(DashboardPage):
    """A form whose answer is a file."""

    role: ClassVar[Role] = "operator"

    def asked(self) -> Mapping[str, str]:
        """The filter that the form brings along."""
        return {name: self.field(name) for name in self.request.body_arguments if name != "form"}


class ExportSessions(_Export):
    """POST /admin/sessions/export"""

    page = "sessions"

    async def post(self) -> None:
        """All that the filter fits, not one page of it."""
        question = Question.of(self.asked(), self.zone)
        await send_csv(self, "sessions", export_sessions(self.backend, self.by, self.scope, question, self.zone))


class ExportUsers(_Export):
    """POST /admin/users/export"""

    page = "users"

    async def post(self) -> None:
        """All who fit the filter."""
        question = UsersQuestion.of(self.asked(), self.zone)
        await send_csv(self, "users", export_users(self.backend, self.by, self.scope, question, self.zone))


async def send_csv(page: DashboardPage, name: str, chunks: AsyncIterator[bytes]) -> None:
    """Sends a file piece by piece. What goes wrong before the first piece is a page that says so."""
    first = await anext(chunks)
    page.set_header("Content-Type", "text/csv; charset=utf-8")
    page.set_header(
        "Content-Disposition", f'attachment; filename="menshen-{name}-{page.clock.day(page.clock.now)}.csv"'
    )
    page.write(first)
    async for chunk in chunks:
        page.write(chunk)
        await page.flush()
