"""The table of jobs: what must be tidied and how often.

To add a job: one function and one line in `jobs_of`. Which are due, running one and remembering it is the
scheduler's: `monitord.scheduling.TaskScheduler`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from monitord.errors import StorageError
from monitord.jobs.limits import RetentionLimits
from monitord.jobs.maintenance import (
    MaintainedStore,
    check_integrity,
    optimize,
    vacuum_when_idle,
)
from monitord.jobs.retention import RetentionManager
from monitord.logs import get_logger
from monitord.scheduling import ScheduledTask, TaskResult

HOUR_S, DAY_S, WEEK_S = 3600.0, 86400.0, 7 * 86400.0
_QUARANTINE = timedelta(days=3)  # time for a person to look at what could not be read


def jobs_of(
    store: MaintainedStore,
    retention: RetentionManager,
    limits: RetentionLimits,
    others: Sequence[ScheduledTask] = (),
) -> tuple[ScheduledTask, ...]:
    """Every job there is; `others` are those that not every configuration has."""

    def purge(now: datetime) -> TaskResult:
        try:
            store.settle()
        except StorageError as error:  # what can't be finished now keeps nothing else from going
            get_logger().warning("store.not_settled", reason=str(error))
        store.drop_quarantine_before(now - _QUARANTINE)
        store.sweep()
        report = retention.purge_expired(now)
        if report.failures:
            return TaskResult("failed", report.summary())
        return TaskResult("ok" if report.has_room else "refused", report.summary())

    def vacuum(_now: datetime) -> TaskResult:
        return vacuum_when_idle(
            store,
            is_idle=True,
            min_free_disk_bytes=limits.min_free_disk_bytes,
            max_total_bytes=limits.max_total_bytes,
        )

    return (
        ScheduledTask("retention", HOUR_S, first_after_s=60, run=purge),
        ScheduledTask("optimize", DAY_S, first_after_s=300, run=lambda _now: optimize(store)),
        ScheduledTask("integrity_check", WEEK_S, first_after_s=600, run=lambda _now: check_integrity(store)),
        ScheduledTask("vacuum", WEEK_S, first_after_s=900, run=vacuum, needs_idle=True),
        *others,
    )
