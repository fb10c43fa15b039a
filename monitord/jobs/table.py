"""The table of jobs: what must be tidied and how often.

To add a job: one function and one line in `jobs_of`. Which are due, running one and remembering it is the
scheduler's: `monitord.storage.artefacts.lifecycle.TaskScheduler`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from monitord.errors import StorageError
from monitord.jobs.limits import RetentionLimits
from monitord.jobs.maintenance import (
    MaintainedStore,
    MaintenanceOutcome,
    check_integrity,
    optimize,
    vacuum_when_idle,
)
from monitord.jobs.retention import RetentionManager
from monitord.logs import get_logger
from monitord.storage.artefacts.lifecycle import ScheduledTask

HOUR_S, DAY_S, WEEK_S = 3600.0, 86400.0, 7 * 86400.0
_QUARANTINE = timedelta(days=3)  # time for a person to look at what could not be read

Job = ScheduledTask  # the house's word for it


def jobs_of(
    store: MaintainedStore, retention: RetentionManager, limits: RetentionLimits, others: Sequence[Job] = ()
) -> tuple[Job, ...]:
    """Every job there is; `others` are those that not every configuration has."""

    def purge(now: datetime) -> MaintenanceOutcome:
        try:
            store.settle()
        except StorageError as error:  # what can't be finished now keeps nothing else from going
            get_logger().warning("store.not_settled", reason=str(error))
        store.drop_quarantine_before(now - _QUARANTINE)
        store.sweep()
        report = retention.purge_expired(now)
        if report.failures:
            return MaintenanceOutcome("failed", report.summary())
        return MaintenanceOutcome("ok" if report.has_room else "refused", report.summary())

    def vacuum(_now: datetime) -> MaintenanceOutcome:
        return vacuum_when_idle(
            store,
            is_idle=True,
            min_free_disk_bytes=limits.min_free_disk_bytes,
            max_total_bytes=limits.max_total_bytes,
        )

    return (
        Job("retention", HOUR_S, first_after_s=60, run=purge),
        Job("optimize", DAY_S, first_after_s=300, run=lambda _now: optimize(store)),
        Job("integrity_check", WEEK_S, first_after_s=600, run=lambda _now: check_integrity(store)),
        Job("vacuum", WEEK_S, first_after_s=900, run=vacuum, needs_idle=True),
        *others,
    )
