"""Which mini programs are ours."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actions.backend import Backend


class UnknownApp(Exception):
    """The appid is not one of ours, or there are several and none was named."""


def one_of_ours(backend: "Backend", appid: str | None) -> str:
    """The mini program that is meant; without a name it is the only one. Raises UnknownApp."""
    known = [app.appid for app in backend.settings.apps]
    if appid in known:
        return str(appid)
    if appid is None and len(known) == 1:
        return known[0]
    raise UnknownApp
