"""What must be tidied and how often: plain functions that are given the time.

Nothing here schedules itself: the daemon gives the jobs to a `monitord.scheduling.TaskScheduler`.
"""

from monitord.jobs.clock_guard import Uptime, read_uptime
from monitord.jobs.health import health_job
from monitord.jobs.limits import RetentionLimits
from monitord.jobs.maintenance import check_integrity, optimize, vacuum_when_idle
from monitord.jobs.plan import RetentionPlan, policies_of
from monitord.jobs.retention import RetentionManager, RetentionReport
from monitord.jobs.table import jobs_of

__all__ = [
    "jobs_of",
    "health_job",
    "RetentionLimits",
    "RetentionPlan",
    "policies_of",
    "RetentionManager",
    "RetentionReport",
    "Uptime",
    "read_uptime",
    "optimize",
    "check_integrity",
    "vacuum_when_idle",
]
