"""The audit: who did what, and the file of it."""

from typing import ClassVar

from actions.exports import export_audit
from actions.lists import audit_page
from actions.questions import AuditQuestion
from handlers.dashboard.asking import ABOUT_NOBODY, AskingPage, Question
from handlers.dashboard.files import send_csv
from handlers.dashboard.listing import ListPage
from stores.operators import Role


class AuditPage(ListPage[AuditQuestion]):
    """GET /admin/audit"""

    role: ClassVar[Role] = "operator"
    page = "audit"
    question = AuditQuestion
    template = "admin/audit.html"

    async def show_page(self, question: AuditQuestion, after: str | None) -> None:
        """The newest rows that match."""
        found = await audit_page(self.backend, self.scope, question, after)
        self.show_found(question, found)

    def show(self, template: str, **values: object) -> None:
        """See DashboardPage."""
        common = {
            "deeds": sorted(vars(self.words.deeds)),
            "target_link": self.target_link,
            "may_export": self.may("admin"),
        }
        super().show(template, export=self.link("/admin/audit/export"), **(common | values))

    def target_link(self, target: str) -> str | None:
        """The page about what a row is about, if there is one."""
        kind, _, name = target.partition(":")
        if kind == "session" and len(name) == 64:
            return f"/admin/sessions/{name}"
        return f"/admin/users/{name}" if kind == "user" and name.isdigit() else None


class ExportAudit(AskingPage):
    """GET and POST /admin/audit/export"""

    role: ClassVar[Role] = "admin"
    page = "audit"

    async def question(self, *_parts: str) -> Question:
        """What is in the file."""
        w = self.words.confirm.audit
        return Question(
            title=w.title,
            consequence=w.consequence,
            afterwards=w.afterwards,
            button=w.button,
            action="/admin/audit/export",
            back="/admin/audit",
            reasons=ABOUT_NOBODY,
            password=self.needs_password,
        )

    async def do(self, *_parts: str) -> None:
        """The file, after the row that says who took it."""
        await self.password_lately()
        chunks = export_audit(self.backend, self.by, self.scope, AuditQuestion(), self.reason(), self.zone)
        await send_csv(self, "audit", chunks)
