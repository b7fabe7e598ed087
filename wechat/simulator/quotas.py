"""How often a mini program may ask a path: so many times a minute and a day, counted for each of them by itself."""

from typing import Final

import msgspec

from wechat.simulator.asking import Refused

MINUTE: Final = 60
DAY: Final = 86_400
CLEARED_A_MONTH: Final = 10


class Limits(msgspec.Struct, frozen=True):
    """The most a minute and a day, zero for no limit, and WeChat's number for the minute; that for the day is 45009."""

    minute: int
    day: int
    errcode: int = 45011


# As WeChat's pages name them; of the classic token no page does, and 2,000 is what its console shows a new account.
LIMITS: Final[dict[str, Limits]] = {
    "/cgi-bin/token": Limits(0, 2_000),
    "/cgi-bin/stable_token": Limits(10_000, 500_000),
    "/wxa/resetusersessionkey": Limits(60_000, 0),
    "/wxa/msg_sec_check": Limits(4_000, 2_000_000, 44991),
    "/wxa/media_check_async": Limits(2_000, 200_000, 44991),
}


class Quotas:
    """The counts of all mini programs, and the limits that a control call has changed."""

    def __init__(self) -> None:
        self._limits = dict(LIMITS)
        self._counts: dict[tuple[str, str, int], tuple[int, int]] = {}
        self._cleared: dict[str, tuple[int, int]] = {}

    def limit(self, path: str, minute: int, day: int) -> Limits:
        """Change the limits of a path that has any, for every mini program; give them. Raises LookupError."""
        self._limits[path] = Limits(minute, day, self._limits[path].errcode)
        return self._limits[path]

    def count(self, appid: str, path: str, now: int) -> None:
        """Count one question; `now` is epoch seconds. Raises Refused when a quota is used up."""
        limits = self._limits.get(path)
        if limits is None:
            return
        if self._over(appid, path, now, DAY, limits.day):
            raise Refused(45009)
        if self._over(appid, path, now, MINUTE, limits.minute):
            raise Refused(limits.errcode)

    def clear(self, appid: str, now: int) -> None:
        """Forget what was asked today, ten times a month (of 30 days). Raises Refused: 48006."""
        month = now // (30 * DAY)
        counted, times = self._cleared.get(appid, (month, 0))
        times = times if counted == month else 0
        if times >= CLEARED_A_MONTH:
            raise Refused(48006)
        self._cleared[appid] = month, times + 1
        for key in [key for key in self._counts if key[0] == appid and key[2] == DAY]:
            del self._counts[key]

    def _over(self, appid: str, path: str, now: int, seconds: int, most: int) -> bool:
        """Count it in the minute or the day of now; true when that has had its fill."""
        window, times = self._counts.get((appid, path, seconds), (0, 0))
        times = times + 1 if window == now // seconds else 1
        self._counts[appid, path, seconds] = now // seconds, times
        return 0 < most < times
