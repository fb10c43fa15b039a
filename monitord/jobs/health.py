"""A look at the health of the storage; the alerts that come of it are the monitor's."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from monitord.scheduling import ScheduledTask, TaskResult

if TYPE_CHECKING:
    from monitord.storage.artefacts.monitor import StorageMonitor

_EVERY_S = 300.0
_FIRST_AFTER_S = 30.0


def health_job(monitor: StorageMonitor) -> ScheduledTask:
    """Make the job that looks; it is ok when it could look: trouble is told by the alerts, once."""

    def look(_now: datetime) -> TaskResult:
        found = monitor.check_storage()
        if found is None or not found.failing:
            return TaskResult("ok", "all is well")
        names = ", ".join(check.name for check in found.failing)
        return TaskResult("ok", f"{len(found.failing)} of {len(found.checks)} checks fail: {names}")

    return ScheduledTask("storage_health", _EVERY_S, _FIRST_AFTER_S, run=look)
