"""The sessions: who is in, one of them in detail, and the deeds that end them."""

from types import SimpleNamespace

from actions import revoke, revoke_matching, revoke_selection
from actions.lists import SessionRow, session_detail, sessions_chosen, sessions_page
from actions.matching import ids_matching, preview
from actions.questions import Question as Sought
from handlers.dashboard.asking import AskingPage, Question
from handlers.dashboard.listing import ListPage, chip
from handlers.dashboard.page import DashboardPage

MOST_CHOSEN = 200
_SEEN = ("1h", "24h", "7d")
_SNIPPET = """wx.login({ success: ({ code }) => wx.request({
  url: '…/api/login', method: 'POST', data: { code },
  success: ({ data }) => wx.setStorageSync('token', data.token) }) })"""


class SessionsPage(ListPage[Sought]):
    """GET /admin/sessions"""

    page = "sessions"
    question = Sought
    template = "admin/sessions.html"

    async def show_page(self, question: Sought, after: str | None) -> None:
        """A page of sessions, each with the truth of the session store about it."""
        found = await sessions_page(self.backend, self.scope, question, after)
        self.show_found(
            question,
            found,
            only_some=found.only_some,
            chips=self._chips(question),
            matching=self.at("/admin/sessions/matching", **question.parameters()),
        )

    def show(self, template: str, **values: object) -> None:
        """See DashboardPage."""
        filters = values.get("filters")
        common = {
            "chips": [],
            "seen_choices": _SEEN,
            "lifetime": self.backend.settings.session_seconds,
            "open_filters": bool(filters and set(dict(filters)) - {"q", "after", "lang"}),  # type: ignore[call-overload]  # what show_list passes is a dict
            "matching": self.link("/admin/sessions/matching"),
            "snippet": _SNIPPET,
        }
        super().show(template, **(common | values))

    def _chips(self, question: Sought) -> list[SimpleNamespace]:
        given = question.parameters()
        return [
            chip(said, self.at("/admin/sessions", **{name: other for name, other in given.items() if name != left_out}))
            for left_out, said in describe_filter(self, question)
        ]


def describe_filter(page: DashboardPage, question: Sought) -> list[tuple[str, str]]:
    """Each filter in use, by its parameter, in the operator's words."""
    w, given = page.words.sessions, question.parameters()
    labels = {
        "q": w.search,
        "app": w.app,
        "platform": w.platform,
        "version": w.version,
        "environment": w.environment,
        "state": w.state,
        "seen": w.seen_within,
        "from": w.created_from,
        "to": w.created_to,
        "order": w.order,
    }
    readable = {
        "app": page.app_names,
        "platform": vars(page.words.platforms),
        "environment": vars(page.words.environments),
        "state": vars(w.state_choices),
        "seen": vars(w.seen_choices),
        "order": vars(w.orders),
    }
    return [(name, f"{labels[name]}: {readable.get(name, {}).get(value, value)}") for name, value in given.items()]


class SessionPage(DashboardPage):
    """GET /admin/sessions/ID"""

    page = "sessions"

    async def get(self, public_id: str) -> None:
        """One session and what was done to it. Raises NoSuchSession, AmbiguousSession."""
        found = await session_detail(self.backend, self.scope, public_id.lower())
        await self.show_in_turns("admin/session.html", row=found.row, events=found.deeds)


class RevokeSession(AskingPage):
    """GET and POST /admin/sessions/ID/revoke"""

    page = "sessions"

    async def question(self, *parts: str) -> Question:
        """Whose session, on which phone."""
        row = (await session_detail(self.backend, self.scope, parts[0].lower())).row
        w = self.words.confirm.revoke
        short = row.public_id[:8]
        return Question(
            title=w.title.format(id=short),
            consequence=w.consequence.format(person=self.called(row.user, row.login.user_id)),
            afterwards=afterwards(self, w.afterwards),
            button=w.button,
            action=f"/admin/sessions/{row.public_id}/revoke",
            back=f"/admin/sessions/{row.public_id}",
            sample=[row],
        )

    async def do(self, *parts: str) -> str:
        """Ends it; the phone's next request is refused."""
        row = (await session_detail(self.backend, self.scope, parts[0].lower())).row
        ended = await revoke(self.backend, self.by, row.public_id, reason=self.reason(), undoable=True)
        await tell_ended(self, ended.sessions, ended.users, undo=[row.public_id])
        return "/admin/sessions"


def afterwards(page: DashboardPage, undoable: str) -> str:
    """What is said of taking it back, which a key that WeChat has reset does not allow."""
    return str(page.words.wechat_deeds.no_undo) if page.backend.settings.reset_key_on_revoke else undoable


async def tell_ended(page: DashboardPage, sessions: int, people: int, *, asked: int = 0, undo: list[str]) -> None:
    """Lets the next page say how many were ended, and offer to take it back."""
    if not sessions:
        await page.tell("told.revoked_none", kind="warn")
        return
    left = asked - sessions
    await page.tell(
        "told.revoked_some" if left > 0 else "told.revoked",
        undo=[] if page.backend.settings.reset_key_on_revoke else undo,
        sessions=page.counted(sessions, "session"),
        people=page.counted(people, "person"),
        left=page.counted(max(left, 0), "session"),
    )


class RevokeSelection(AskingPage):
    """POST /admin/sessions/revoke"""

    page = "sessions"

    async def get(self, *_parts: str) -> None:
        """Without a selection there is nothing to ask about."""
        self.go("/admin/sessions")

    async def post(self, *parts: str) -> None:
        """The first POST asks, the second does it; without a selection it says so."""
        if not self.fields("id", most=64):
            await self.tell("told.none_chosen", kind="warn")
            self.go("/admin/sessions")
            return
        await super().post(*parts)

    async def question(self, *_parts: str) -> Question:
        """How many sessions of how many people, and which."""
        rows = await self._rows()
        w = self.words.confirm.selection
        sessions = self.counted(len(rows), "session")
        people = self.counted(len({row.login.user_id for row in rows}), "person")
        return Question(
            title=w.title.format(sessions=sessions),
            consequence=w.consequence.format(sessions=sessions, people=people),
            afterwards=afterwards(self, w.afterwards),
            button=w.button.format(sessions=sessions),
            action="/admin/sessions/revoke",
            back="/admin/sessions",
            hidden=[("id", row.public_id) for row in rows],
            sample=rows[:10],
        )

    async def do(self, *_parts: str) -> str:
        """Ends them, and offers to take it back."""
        chosen = [row.public_id for row in await self._rows()]
        ended = await revoke_selection(self.backend, self.by, chosen, reason=self.reason())
        await tell_ended(self, ended.sessions, ended.users, asked=len(chosen), undo=chosen)
        return "/admin/sessions"

    async def _rows(self) -> list[SessionRow]:
        """The sessions of the form, each one that this operator may see. Raises NoSuchSession, BadRequest."""
        return await sessions_chosen(self.backend, self.scope, self.fields("id", most=64, at_most=MOST_CHOSEN))


class RevokeMatching(AskingPage):
    """GET and POST /admin/sessions/matching"""

    page = "sessions"

    async def question(self, *_parts: str) -> Question:
        """The dry run: how many sessions of how many people match now, and some of them."""
        asked = self._asked()
        found = await preview(self.backend, self.scope, asked)
        w = self.words.confirm.matching
        sessions, people = self.counted(found.sessions, "session"), self.counted(found.users, "person")
        told = "; ".join(said for _, said in describe_filter(self, asked)) or w.everything
        more = "" if found.whole else w.more.format(sessions=sessions) + " "
        return Question(
            title=w.title,
            consequence=more + w.consequence.format(sessions=sessions, people=people),
            afterwards=w.afterwards.format(filter=told),
            button=w.button.format(sessions=sessions),
            action=self.at("/admin/sessions/matching", **asked.parameters()),
            back=self.at("/admin/sessions", **asked.parameters()),
            sample=found.sample,
            password=self.needs_password,
        )

    async def do(self, *_parts: str) -> str:
        """Ends everything that matches now."""
        await self.password_lately()
        asked, reason = self._asked(), self.reason()
        found = await preview(self.backend, self.scope, asked)
        ended = await revoke_matching(
            self.backend,
            self.by,
            str(asked),
            ids_matching(self.backend, self.scope, asked),
            found.sessions,
            reason=reason,
        )
        await tell_ended(self, ended.sessions, ended.users, undo=[])
        return "/admin/sessions"

    def _asked(self) -> Sought:
        given = {name: self.get_query_argument(name) for name in self.request.query_arguments}
        return Sought.of(given, self.zone)
