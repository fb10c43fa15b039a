"""The times a person may type, as aware UTC: "1 hour ago", "-2h", "03:00", "yesterday 14:30", "@1763600000".

The letters are journalctl's. A bare time of day means the last time it was that o'clock, because what one
looks for here has happened already. What can't be read is a UsageError that lists the forms.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta, tzinfo

from monitord.errors import UsageError

TIME_FORMS = '"2h", "1 hour ago", "03:00", "today", "yesterday 14:30", "2026-11-20 03:00" or "@1763600000"'

_UNIT_SECONDS = {"s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hr": 3600,
                 "hour": 3600, "d": 86400, "day": 86400, "w": 604800, "week": 604800}  # fmt: skip
_PART = r"(\d+(?:\.\d+)?)\s*([a-z]+)"
_SPAN = re.compile(rf"{_PART}(?:\s*{_PART})*", re.ASCII)
_CLOCK = re.compile(r"(?:(today|yesterday)\s+)?(\d{1,2}):(\d{2})(?::(\d{2}))?", re.ASCII)
_UNIX = re.compile(r"@(\d{1,12}(?:\.\d+)?)", re.ASCII)


def parse_duration(text: str) -> timedelta:
    """Read "90s", "5min", "1h 30m", "2 days" (systemd.time's spans); a bare number is seconds."""
    words = text.strip().lower()
    try:
        if re.fullmatch(r"\d+(?:\.\d+)?", words, re.ASCII):
            return timedelta(seconds=float(words))
        if _SPAN.fullmatch(words):
            parts = re.findall(_PART, words, re.ASCII)
            return timedelta(seconds=sum(float(number) * _unit_seconds(unit) for number, unit in parts))
    except (KeyError, OverflowError):
        pass  # an unknown unit, or more than a timedelta holds: the same answer as below
    raise UsageError(f'"{text}" is no duration; type one like "90s", "5min", "2h" or "1d"')


def parse_time(text: str, now: datetime, zone: tzinfo | None = None) -> datetime:
    """Read one moment. `now` is aware; naive input is local time in `zone` (default: this machine's)."""
    words = " ".join(text.split()).lower()
    local_now = now.astimezone(zone)
    try:
        moment = _named(words, local_now, zone) or _relative(words, now) or _absolute(words, zone)
        if moment is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError, OSError, UsageError):
        pass  # the form fitted but the number did not ("25:61", "9999999 weeks"): the same answer
    raise UsageError(f'"{text}" is no time that monitord knows; type one like {TIME_FORMS}')


def parse_period(
    since: str | None, until: str | None, now: datetime, zone: tzinfo | None = None
) -> tuple[datetime | None, datetime | None]:
    """Both ends of a period; an end before its beginning is a mistake, not an empty answer."""
    start = parse_time(since, now, zone) if since is not None else None
    end = parse_time(until, now, zone) if until is not None else None
    if start is not None and end is not None and start > end:
        raise UsageError(f'--since "{since}" is after --until "{until}"; swap them')
    return start, end


def _unit_seconds(unit: str) -> int:
    return _UNIT_SECONDS.get(unit) or _UNIT_SECONDS[unit.removesuffix("s")]


def _named(words: str, local_now: datetime, zone: tzinfo | None) -> datetime | None:
    if words == "now":
        return local_now
    if words in ("today", "yesterday"):
        words += " 00:00"
    match = _CLOCK.fullmatch(words)
    if match is None:
        return None
    clock = time(int(match[2]), int(match[3]), int(match[4] or 0))
    day = local_now.date() - timedelta(days=match[1] == "yesterday")
    moment = _local(datetime.combine(day, clock), zone)
    if match[1] is None and moment > local_now:
        moment = _local(datetime.combine(day - timedelta(days=1), clock), zone)
    return moment


def _relative(words: str, now: datetime) -> datetime | None:
    span = words.removesuffix(" ago").removeprefix("-").strip()
    # In UTC: a difference taken on the clock of a zone skips or repeats the hour of a time change.
    return now.astimezone(UTC) - parse_duration(span) if _SPAN.fullmatch(span) else None


def _absolute(words: str, zone: tzinfo | None) -> datetime | None:
    unix = _UNIX.fullmatch(words)
    if unix:
        return datetime.fromtimestamp(float(unix[1]), UTC)
    moment = datetime.fromisoformat(words.upper())
    return moment if moment.tzinfo else _local(moment, zone)


def _local(naive: datetime, zone: tzinfo | None) -> datetime:
    """A time on the wall as an aware one; without `zone`, by this machine's rules for that very day."""
    return naive.replace(tzinfo=zone) if zone else naive.astimezone()
