"""What must be tidied and how often: plain functions that are given the time.

Nothing here schedules itself: the daemon gives the jobs to a `TaskScheduler` and wakes it.
"""

from monitord.jobs.archiving import archive_job
from monitord.jobs.health import health_job
from monitord.jobs.limits import RetentionLimits
from monitord.jobs.maintenance import MaintenanceOutcome, check_integrity, optimize, vacuum_when_idle
from monitord.jobs.plan import RetentionPlan, plan_retention, policies_of
from monitord.jobs.retention import RetentionManager, RetentionReport
from monitord.jobs.second_look import Uptime, read_uptime
from monitord.jobs.table import Job, jobs_of
from monitord.storage.artefacts.lifecycle import TaskOutcome as JobOutcome
from monitord.storage.artefacts.lifecycle import TaskScheduler

__all__ = [
    "Job",
    "JobOutcome",
    "TaskScheduler",
    "jobs_of",
    "archive_job",
    "health_job",
    "RetentionLimits",
    "RetentionPlan",
    "plan_retention",
    "policies_of",
    "RetentionManager",
    "RetentionReport",
    "Uptime",
    "read_uptime",
    "MaintenanceOutcome",
    "optimize",
    "check_integrity",
    "vacuum_when_idle",
]
