"""The overview: who is here, how logins went, and what somebody should mend."""

from types import SimpleNamespace

from actions.figures import Concern, Numbers, Part, Slot, overview
from handlers.dashboard.page import DashboardPage


class OverviewPage(DashboardPage):
    """GET /admin/"""

    page = "overview"

    async def get(self) -> None:
        """Every figure with the moment it belongs to; what cannot be known now is said to be unknown."""
        addresses = self.settings["addresses"]
        found = await overview(self.backend, self.appids, self.backend.now(), misled=addresses.misled)
        await self.show_in_turns(
            "admin/overview.html",
            o=found,
            here=self.link("/admin/"),
            warnings=[self._warning(concern) for concern in found.warnings],
            **(self._charts(found.numbers) if found.numbers else {}),
        )

    def _charts(self, numbers: Numbers) -> dict[str, object]:
        words, clock = self.words, self.clock
        return {
            "hours": [_bar(slot, clock.hour(slot.at)) for slot in numbers.hours],
            "days": [_bar(slot, clock.day(slot.at)) for slot in numbers.days],
            "people": [
                SimpleNamespace(label=clock.day(slot.at), total=slot.people or 0, second=0) for slot in numbers.days
            ],
            "platforms": [self._part(part, vars(words.platforms)) for part in numbers.platforms],
            "versions": [self._part(part, {"other": words.overview.other}) for part in numbers.versions],
            "environments": [self._part(part, vars(words.environments)) for part in numbers.environments],
        }

    def _part(self, part: Part, names: dict[str, str]) -> SimpleNamespace:
        return SimpleNamespace(label=names.get(part.name, part.name), n=part.n, percent=part.percent)

    def _warning(self, concern: Concern) -> SimpleNamespace:
        told = vars(self.words.warnings)[concern.key]
        values = self._told(dict(concern.values))
        return SimpleNamespace(
            kind=told.kind, title=told.title.format(**values).strip(), advice=told.advice.format(**values).strip()
        )

    def _told(self, values: dict[str, str | int]) -> dict[str, str | int]:
        """The values of a warning as people read them."""
        words = self.words
        if "store" in values:
            values["store"] = vars(words.admin.stores)[str(values["store"])]
        for moment in ("since", "at"):
            if moment in values:
                values[moment] = self.clock.absolute(int(values[moment]))
        if "appid" in values:
            values["app"] = self.app_names.get(str(values["appid"]), str(values["appid"]))
        if "errcode" in values:
            told = self.explained(int(values["errcode"]))
            values |= {"explained": told.title, "advice": told.advice}
            values["egress"] = words.warnings.egress.format(egress=values["egress"]) if values["egress"] else ""
        return values


def _bar(slot: Slot, label: str) -> SimpleNamespace:
    return SimpleNamespace(label=label, total=slot.logins + slot.refused, second=slot.refused)
