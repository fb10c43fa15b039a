"""Moments as a person reads them: local time, with the year only where it is not this one."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo


def local_stamp(moment: datetime, now: datetime, *, utc: bool = False, zone: tzinfo | None = None) -> str:
    """Write "03:00:05" today, "Nov 19 03:00:05" this year, "2025-11-19 03:00" otherwise; in UTC with a Z."""
    zone = UTC if utc else zone
    local, today = moment.astimezone(zone), now.astimezone(zone)
    mark = "Z" if utc else ""
    if local.date() == today.date():
        return f"{local:%H:%M:%S}{mark}"
    if local.year == today.year:
        return f"{_MONTHS[local.month - 1]} {local.day:2} {local:%H:%M:%S}{mark}"
    return f"{local:%Y-%m-%d %H:%M}{mark}"


def full_stamp(moment: datetime, *, utc: bool = False, zone: tzinfo | None = None) -> str:
    """Write "2026-11-20 03:00:05 CET", for the one incident that is looked at closely."""
    return f"{moment.astimezone(UTC if utc else zone):%Y-%m-%d %H:%M:%S %Z}"


# Not %b: names of months follow the locale, columns should not.
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
