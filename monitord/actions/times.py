"""The times a person may type, as aware UTC: "1 hour ago", "03:00", "yesterday 3am", "last monday".

What one looks for here has happened already: a time without its date is the last such time, and at the end of
a period the first one after its beginning. An hour that the clocks pass twice is inside a period as a whole.
What can't be read is a UsageError that lists the forms.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, UTC, date, datetime, time, timedelta, tzinfo

from monitord.config.quantities import readings_of_big_m, seconds_of
from monitord.errors import UsageError

TIME_FORMS = '"2h", "03:00", "3am", "yesterday 14:30", "last monday", "2026-11-20 03:00" or "@1763600000"'

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = rf"({'|'.join(_MONTHS)})[a-z]*"
_WALL = re.compile(
    r"(?P<day>today|yesterday|(?:last )?(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*|\d{4}-\d{2}-\d{2}|"
    rf"{_MONTH} \d{{1,2}}|\d{{1,2}} {_MONTH})?"
    r"(?: ?\bat\b)? ?"
    r"(?P<clock>noon|midnight|\d{1,2}(?::\d{2}){0,2} ?[ap]m|\d{1,2}(?::\d{2}){1,2})?"
    r" ?(?P<zone>z|utc|gmt)?",
    re.ASCII,
)
_UNIX = re.compile(r"@(\d{1,12}(?:\.\d+)?)", re.ASCII)


def parse_duration(text: str) -> timedelta:
    """Read "90s", "5min", "1h 30m", "2 days" (systemd.time's spans); a bare number is seconds."""
    _refuse_big_m(text)
    words = text.strip().lower()
    try:
        is_bare = re.fullmatch(r"\d+(?:\.\d+)?", words, re.ASCII)
        span = timedelta(seconds=float(words)) if is_bare else _span(words)
    except OverflowError:
        span = None  # more than a timedelta holds
    if span is None:
        raise UsageError(f'invalid duration "{text}", expected one like "90s", "5min", "2h" or "1d"')
    return span


def parse_time(text: str, now: datetime, zone: tzinfo | None = None) -> datetime:
    """Read one moment. `now` is aware; naive input is local time in `zone` (default: this machine's)."""
    return _resolved(text, lambda: _last(_read(text, now, zone), now))


def parse_period(
    since: str | None, until: str | None, now: datetime, zone: tzinfo | None = None
) -> tuple[datetime | None, datetime | None]:
    """Read both ends of a period together; raises UsageError for an end before its beginning."""
    start = parse_time(since, now, zone) if since is not None else None
    if until is None:
        return start, None
    end = _resolved(
        until, lambda: _end(_read(until, now, zone), start, now, is_back=since is None or _is_back(since))
    )
    if start is not None and start > end:
        raise UsageError(
            f'invalid period: it begins at {_shown(start, zone)} ("{since}") and ends before that,'
            f' at {_shown(end, zone)} ("{until}")'
        )
    if start == end:
        raise UsageError(
            f"invalid period: it begins and ends at {_shown(end, zone)}, so nothing lies in it; a whole day"
            " is `--since yesterday --until today`"
        )
    return start, end


@dataclass(frozen=True, slots=True)
class _Wall:
    """A time as clocks and calendars show it. `dates` gives its days near one: without a date it has many."""

    clock: time
    dates: Callable[[date], Sequence[date]]
    zone: tzinfo | None
    zone_name: str = ""

    def moments(self, near: datetime, *, is_end: bool) -> list[datetime]:
        """When it is so, around `near`; of an hour that comes twice the first pass, at an end the second."""
        days = self.dates(near.astimezone(self.zone).date())
        return [self._moment(datetime.combine(day, self.clock, None), is_end) for day in days]

    def _moment(self, naive: datetime, is_end: bool) -> datetime:
        passes = [_local(naive.replace(fold=fold), self.zone) for fold in (is_end, not is_end)]
        named = [each for each in passes if (each.tzname() or "").lower() == self.zone_name]
        return (named or passes)[0].astimezone(UTC)


def _last(read: datetime | _Wall, now: datetime, *, is_end: bool = False) -> datetime:
    """The moment, or the last one up to now at which it was so."""
    if isinstance(read, datetime):
        return read
    moments = read.moments(now, is_end=is_end)
    return max((moment for moment in moments if moment <= now), default=moments[0])


def _end(read: datetime | _Wall, start: datetime | None, now: datetime, *, is_back: bool) -> datetime:
    """The end of a period: the first such time after its beginning.

    Counted back from now (`is_back`: "7d" until "03:00") the last such time is meant, if it lies within.
    """
    last = _last(read, now, is_end=True)
    if isinstance(read, datetime) or start is None or (is_back and last > start):
        return last
    return min((moment for moment in read.moments(start, is_end=True) if moment > start), default=last)


def _read(text: str, now: datetime, zone: tzinfo | None) -> datetime | _Wall:
    """A moment, or a time on the wall; raises ValueError where it is neither."""
    words = re.sub(r"(?<![a-z])([ap])\.m\.", r"\1m", " ".join(text.split()).lower())
    unix = _UNIX.fullmatch(words)
    if unix:
        return datetime.fromtimestamp(float(unix[1]), UTC)
    if words == "now":
        return now.astimezone(UTC)
    back = _span_back(words)
    if back is not None:
        # In UTC: a difference taken on the clock of a zone skips or repeats the hour of a time change.
        return now.astimezone(UTC) - back
    words, zone_name = _without_zone_name(words, now, zone)
    wall = _wall(words, now, zone, zone_name)
    if wall is not None:
        return wall
    moment = datetime.fromisoformat(re.sub(r" (?=[+-]\d{2}:?\d{0,2}$)", "", words).upper())
    if moment.tzinfo:
        return moment.astimezone(UTC)
    return _Wall(moment.time(), lambda _near: [moment.date()], zone, zone_name)


def _wall(words: str, now: datetime, zone: tzinfo | None, zone_name: str) -> _Wall | None:
    match = _WALL.fullmatch(words)
    if match is None or not (match["day"] or match["clock"]):
        return None
    zone = UTC if match["zone"] else zone
    dates = _dates(match["day"], now.astimezone(zone).date())
    if _ends_day(match["clock"]):
        return _Wall(time(), lambda near: [day + timedelta(days=1) for day in dates(near)], zone, zone_name)
    return _Wall(_clock(match["clock"]), dates, zone, zone_name)


def _ends_day(clock: str | None) -> bool:
    """Whether it is the last moment of a day, which is the first one of the next (ISO 8601)."""
    return re.fullmatch("24:00(:00)?", clock or "") is not None


def _clock(words: str | None) -> time:
    if words in (None, "midnight"):
        return time()
    if words == "noon":
        return time(12)
    numbers = [int(number) for number in re.findall(r"\d+", words or "")]
    if (words or "").endswith("m"):
        if not 1 <= numbers[0] <= 12:
            raise ValueError(words)
        numbers[0] = numbers[0] % 12 + (12 if (words or "").endswith("pm") else 0)
    hour, minute, second = (*numbers, 0, 0)[:3]
    return time(hour, minute, second)


def _dates(words: str | None, today: date) -> Callable[[date], Sequence[date]]:
    """The days that a word means, near one of them: every day, every Monday, every November 20, or one."""
    if words is None:
        return lambda near: [near + timedelta(days=n) for n in range(-2, 3)]
    if words in ("today", "yesterday"):
        return lambda _near: [today - timedelta(days=words == "yesterday")]
    if words[:4].isdigit():
        return lambda _near: [date.fromisoformat(words)]
    name = words.removeprefix("last ")
    weekday = next((n for n, full in enumerate(_WEEKDAYS) if len(name) > 2 and full.startswith(name)), None)
    if weekday is not None and words.startswith("last "):
        return lambda _near: [today - timedelta(days=(today.weekday() - weekday - 1) % 7 + 1)]
    if weekday is not None:
        return lambda near: [
            day for n in range(-8, 9) if (day := near + timedelta(days=n)).weekday() == weekday
        ]
    month, day = next(word for word in name.split() if word.isalpha()), int(re.sub(r"\D", "", name))
    return lambda near: _anniversaries(_MONTHS.index(month[:3]) + 1, day, near.year)


def _anniversaries(month: int, day: int, near: int) -> list[date]:
    """A day of each year around one; eight back, for February 29."""
    found = []
    for year in range(near - 8, near + 9):
        with suppress(ValueError):
            found.append(date(year, month, day))
    return found


def _without_zone_name(words: str, now: datetime, zone: tzinfo | None) -> tuple[str, str]:
    """The words, and the name of this zone that stood behind them, as `show` writes it ("… 03:00:05 CET")."""
    head, _, tail = words.rpartition(" ")
    seasons = (_local(datetime(now.year, month, 1), zone) for month in (1, 7))  # noqa: DTZ001 - a time on the wall
    names = {(moment.tzname() or "").lower() for moment in seasons}
    return (head, tail) if head and tail.isalpha() and tail in names - {"utc", "gmt"} else (words, "")


def _resolved(text: str, resolve: Callable[[], datetime]) -> datetime:
    _refuse_big_m(text)
    try:
        moment = resolve().astimezone(UTC)
        if not MINYEAR < moment.year < MAXYEAR:  # what lies beside it must be a time, too
            raise OverflowError
        return moment
    except (ValueError, OverflowError, OSError, IndexError):
        # Where the form fitted, the number did not ("25:61", "9999999 weeks").
        raise UsageError(f'invalid time "{text}", expected one like {TIME_FORMS}') from None


def _refuse_big_m(text: str) -> None:
    readings = readings_of_big_m(text)
    if readings:
        raise UsageError(f'invalid time "{text}": {readings}')


def _span_back(words: str) -> timedelta | None:
    """How far back "2h", "-2h" and "2h ago" lie; None for other texts."""
    return _span(re.sub(r"^an? (?=.* ago$)", "1 ", words).removesuffix(" ago").removeprefix("-").strip())


def _is_back(text: str) -> bool:
    return _span_back(" ".join(text.split()).lower()) is not None


def _span(words: str) -> timedelta | None:
    seconds = seconds_of(words)
    return None if seconds is None else timedelta(seconds=seconds)


def _local(naive: datetime, zone: tzinfo | None) -> datetime:
    """A time on the wall as an aware one; without `zone`, by this machine's rules for that very day."""
    return naive.replace(tzinfo=zone) if zone else naive.astimezone()


def _shown(moment: datetime, zone: tzinfo | None) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M}"
