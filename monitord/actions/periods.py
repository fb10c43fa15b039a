"""What happened in a period: its incidents, how many events, the machine's extremes, who was busiest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from monitord.actions.workspace import Workspace
from monitord.errors import UsageError
from monitord.model import ProfileRecord, Rates, counted
from monitord.storage.views import RecentFilter

_LONGEST = timedelta(days=31)
_INCIDENTS = 200
_BUSIEST = 10


@dataclass(frozen=True, slots=True)
class Period:
    """`machine` has extremes of the stored passes, None without any; `busiest` goes by CPU seconds."""

    since: datetime
    until: datetime
    incidents: Sequence[ProfileRecord]
    event_counts: Mapping[str, int]
    machine: Mapping[str, Any] | None
    busiest: Sequence[Mapping[str, Any]]


def sum_up(workspace: Workspace, since: datetime | None, until: datetime) -> Period:
    """Sum up at most 31 days; raises UsageError for more."""
    if since is None or until - since > _LONGEST:
        raise UsageError(f"invalid period: expected at most {counted(_LONGEST.days, 'day')}")
    with workspace.reader() as reader:
        incidents = reader.recent(RecentFilter(limit=_INCIDENTS, since=since, until=until))
        counts = reader.event_counts(since, until)
        machine, busiest = _summed(reader.history(since, until))
    return Period(since, until, incidents, counts, machine, busiest)


def _summed(history: Iterable[Rates]) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    passes = 0
    machine_percent = 0.0
    free_bytes: int | None = None
    seconds: dict[tuple[int, str], float] = {}
    for rates in history:
        passes += 1
        if rates.gap is not None:
            continue  # its rates are averages over what nobody saw
        machine_percent = max(machine_percent, rates.system.machine_percent)
        free = rates.system.memory_available_bytes
        free_bytes = free if free_bytes is None else min(free_bytes, free)
        for process in rates.processes:
            who = (process.key.pid, process.name)
            used_s = (process.cpu_percent or 0.0) * rates.interval_s / 100
            seconds[who] = seconds.get(who, 0.0) + used_s
    busiest = [
        {"pid": pid, "process_name": name, "cpu_seconds": round(used, 1)}
        for (pid, name), used in sorted(seconds.items(), key=lambda one: -one[1])[:_BUSIEST]
        if used > 0
    ]
    machine = {
        "machine_percent_max": machine_percent,
        "memory_available_bytes_min": free_bytes,
        "passes": passes,
    }
    return (machine if passes else None), busiest
