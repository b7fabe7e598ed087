"""Moments and durations as people read them: in the operator's zone, near ones by their distance."""

from datetime import UTC, date, datetime, time, timedelta
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import msgspec

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_DAYS_TOLD_BY_DISTANCE = 30


class Clock(msgspec.Struct, frozen=True):
    """Writes epoch seconds for one reader. `words` is the section `times` of the pages' words."""

    now: int
    zone: ZoneInfo
    words: SimpleNamespace

    def iso(self, at: int) -> str:
        """For the attribute datetime."""
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def absolute(self, at: int) -> str:
        """Date, time and offset, because a zone's letters name several zones."""
        moment = datetime.fromtimestamp(at, self.zone)
        offset = moment.strftime("%z")
        return f"{moment:%Y-%m-%d %H:%M:%S} UTC{offset[:3]}:{offset[3:]}"

    def day(self, at: int) -> str:
        """The date alone."""
        return f"{datetime.fromtimestamp(at, self.zone):%Y-%m-%d}"

    def hour(self, at: int) -> str:
        """Hour and minute, for the foot of a chart of one day."""
        return f"{datetime.fromtimestamp(at, self.zone):%H:%M}"

    def relative(self, at: int) -> str:
        """`3 minutes ago`, `in 2 hours`; the date when that is far away."""
        distance = abs(self.now - at)
        if distance < _MINUTE:
            return str(self.words.just_now)
        if distance >= _DAYS_TOLD_BY_DISTANCE * _DAY:
            return self.day(at)
        frame = self.words.ago if at <= self.now else self.words.ahead
        return str(frame).format(span=self._coarse(distance))

    def left(self, seconds: int) -> str:
        """A duration in its two largest units: `6 d 3 h`."""
        units = [(self.words.d, _DAY), (self.words.h, _HOUR), (self.words.min, _MINUTE), (self.words.s, 1)]
        first = next((n for n, (_, size) in enumerate(units) if seconds >= size), len(units) - 1)
        parts: list[str] = []
        for unit, size in units[first : first + 2]:
            n, seconds = divmod(seconds, size)
            if n or not parts:
                parts.append(str(unit).format(n=n))
        return " ".join(parts)

    def starts(self, day: date) -> int:
        """The first second of a day in the reader's zone."""
        return int(datetime.combine(day, time(), self.zone).timestamp())

    def ends(self, day: date) -> int:
        """The first second after a day in the reader's zone."""
        return self.starts(day + timedelta(days=1))

    def _coarse(self, seconds: int) -> str:
        for words, size in ((self.words.days, _DAY), (self.words.hours, _HOUR), (self.words.minutes, _MINUTE)):
            if seconds >= size:
                return counted(seconds // size, words)
        return counted(seconds, self.words.seconds)


def counted(n: int, words: list[str]) -> str:
    """`1 session`, `12,345 sessions`: the first form is for one thing, the last for any other number."""
    return (words[0] if n == 1 else words[-1]).format(n=f"{n:,}")
