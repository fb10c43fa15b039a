"""What must be tidied and how often: plain functions that are given the time.

Nothing here schedules itself; whoever runs the daemon asks `due_jobs` and calls `run_job`.
"""

from monitord.jobs.maintenance import MaintenanceOutcome, check_integrity, optimize, vacuum_when_idle
from monitord.jobs.plan import RetentionLimits, RetentionPlan, plan_retention
from monitord.jobs.retention import RetentionManager, RetentionReport
from monitord.jobs.second_look import Uptime, read_uptime
from monitord.jobs.table import Job, JobOutcome, due_jobs, jobs_of, read_last_runs, run_job, schedule

__all__ = [
    "Job",
    "JobOutcome",
    "jobs_of",
    "due_jobs",
    "run_job",
    "read_last_runs",
    "schedule",
    "RetentionLimits",
    "RetentionPlan",
    "plan_retention",
    "RetentionManager",
    "RetentionReport",
    "Uptime",
    "read_uptime",
    "MaintenanceOutcome",
    "optimize",
    "check_integrity",
    "vacuum_when_idle",
]
