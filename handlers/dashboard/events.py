"""What WeChat told about people, what was done then, and how long that took."""

from actions.push import push_events_page
from handlers.dashboard.page import DashboardPage
from stores.logins import BadPlace, Place

_PAGE = 50


class EventsPage(DashboardPage):
    """GET /admin/events"""

    page = "events"

    async def get(self) -> None:
        """The newest first; a page leads to the next one."""
        after = self.get_query_argument("after", "")
        try:
            begins = Place.of(after) if after else None
        except BadPlace:
            self.set_status(400)
            self._show(after, wrong=self.words.wrong.place)
            return
        place = (begins.value, begins.id) if begins else None
        found, people = await push_events_page(self.backend, self.scope, place, _PAGE)
        more = str(Place(*found.more)) if found.more else None
        self._show(after, rows=found.rows, people=people, more=more)

    def _show(self, after: str, *, more: str | None = None, **values: object) -> None:
        mine = [app for app in self.backend.settings.apps if app.appid in self.app_names]
        listed: dict[str, object] = {
            "rows": [],
            "people": {},
            "unset": [str(app) for app in mine if app.push_token is None],
            "plain": [str(app) for app in mine if app.push_token and app.push_key is None],
            "first_page": self.at(self.request.path) if after else None,
            "next_page": self.at(self.request.path, after=more) if more else None,
        }
        self.show("admin/events.html", **(listed | values))
