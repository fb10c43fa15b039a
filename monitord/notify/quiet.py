"""Quiet hours: "22:00-07:00" of the machine's local time, over midnight where the end is the earlier one."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta


def quiet_until(hours: str, now: datetime) -> datetime | None:
    """Return when the quiet hours that hold at `now` end, in UTC; None: it is not quiet ("": never)."""
    if not hours:
        return None
    start, end = (time.fromisoformat(part) for part in hours.split("-"))
    local = now.astimezone()
    is_over_midnight = end <= start
    at = local.time()
    if not (at >= start or at < end if is_over_midnight else start <= at < end):
        return None
    day = local.date() + timedelta(days=1 if is_over_midnight and at >= start else 0)
    return datetime.combine(day, end).astimezone().astimezone(UTC)
