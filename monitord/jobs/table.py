"""The table of jobs, which of them are due, and running one so that its failure stays its own.

Last runs live in the store (`jobs.last_runs`), so a week's job runs although no process lives a week.
To add a job: one function and one line in `jobs_of`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from monitord.errors import MonitordError
from monitord.jobs.maintenance import (
    MaintainedStore,
    MaintenanceOutcome,
    check_integrity,
    optimize,
    vacuum_when_idle,
)
from monitord.jobs.retention import RetentionManager
from monitord.logs import get_logger

STATE_KEY = "jobs.last_runs"
HOUR_S, DAY_S, WEEK_S = 3600.0, 86400.0, 7 * 86400.0
_QUARANTINE = timedelta(days=3)  # time for a person to look at what could not be read


class StateStore(Protocol):
    """Where last runs are kept."""

    def get_state(self, key: str, /) -> object: ...
    def set_state(self, key: str, value: object, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Job:
    """One thing to be done every `every_s` seconds, not before the process is `first_after_s` old."""

    name: str
    every_s: float
    first_after_s: float
    run: Callable[[datetime], MaintenanceOutcome]
    needs_idle: bool = False


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """How one run ended: `outcome` is ok, refused, damaged, failed or deferred (not run: machine busy)."""

    name: str
    outcome: str
    detail: str
    started_at: datetime
    duration_s: float


def jobs_of(store: MaintainedStore, retention: RetentionManager, max_total_bytes: int) -> tuple[Job, ...]:
    """Every job there is."""

    def purge(now: datetime) -> MaintenanceOutcome:
        store.drop_quarantine_before(now - _QUARANTINE)
        report = retention.purge_expired(now)
        return MaintenanceOutcome("ok" if report.has_room else "refused", report.summary())

    def vacuum(_now: datetime) -> MaintenanceOutcome:
        return vacuum_when_idle(store, is_idle=True, max_total_bytes=max_total_bytes)

    return (
        Job("retention", HOUR_S, first_after_s=60, run=purge),
        Job("optimize", DAY_S, first_after_s=300, run=lambda _now: optimize(store)),
        Job("integrity_check", WEEK_S, first_after_s=600, run=lambda _now: check_integrity(store)),
        Job("vacuum", WEEK_S, first_after_s=900, run=vacuum, needs_idle=True),
    )


def due_jobs(
    jobs: Sequence[Job], last_runs: Mapping[str, object], now: datetime, *, uptime_s: float
) -> list[Job]:
    """The jobs whose time has come, in the order of the table.

    `last_runs` is what `read_last_runs` gave, `uptime_s` the age of this process. A last run in the future
    (the clock was set back) counts as due: running once too often is harmless, never is not.
    """
    return [
        job
        for job in jobs
        if uptime_s >= job.first_after_s and not _is_fresh(job, last_runs.get(job.name), now)
    ]


def run_job(job: Job, store: StateStore, now: datetime, *, is_idle: bool = True) -> JobOutcome:
    """Run one job and remember that it ran; whatever it raises becomes its outcome.

    A job that needs an idle machine and has none is deferred: it stays due and is not remembered as run.
    """
    if job.needs_idle and not is_idle:
        return JobOutcome(job.name, "deferred", "the machine is busy", now, 0.0)
    started_s = time.monotonic()
    result = _attempt(job, now)
    outcome = JobOutcome(job.name, result.outcome, result.detail, now, time.monotonic() - started_s)
    log = get_logger()
    tell = log.info if outcome.outcome == "ok" else log.warning
    tell(
        "job.finished",
        job=job.name,
        outcome=outcome.outcome,
        detail=outcome.detail,
        duration_s=round(outcome.duration_s, 3),
    )
    try:
        store.set_state(STATE_KEY, {**read_last_runs(store), job.name: _as_json(outcome)})
    except (MonitordError, OSError) as error:
        # A full or locked disk: the job stays due, which is what a sick store needs of retention anyway.
        log.warning("job.not_remembered", job=job.name, error=str(error))
    return outcome


def read_last_runs(store: StateStore) -> dict[str, object]:
    """What is remembered of each job's last run; empty when nothing readable is."""
    state = store.get_state(STATE_KEY)
    return {str(name): run for name, run in state.items()} if isinstance(state, Mapping) else {}


def schedule(jobs: Sequence[Job], last_runs: Mapping[str, object]) -> dict[str, dict[str, object]]:
    """For people: each job's last run, next run (ISO-8601 UTC) and last outcome; None where it never ran."""
    table: dict[str, dict[str, object]] = {}
    for job in jobs:
        entry = last_runs.get(job.name)
        last = _last_run(entry)
        following = last + timedelta(seconds=_wait_s(job, entry)) if last else None
        table[job.name] = {
            "last_run": last.isoformat() if last else None,
            "next_run": following.isoformat() if following else None,
            "outcome": entry.get("outcome") if isinstance(entry, Mapping) else None,
        }
    return table


def _attempt(job: Job, now: datetime) -> MaintenanceOutcome:
    try:
        return job.run(now)
    except Exception as error:  # noqa: BLE001  one job's failure must stop neither the others nor the daemon
        get_logger().error("job.failed", job=job.name, exc_info=True)
        return MaintenanceOutcome("failed", f"{type(error).__name__}: {error}")


def _is_fresh(job: Job, entry: object, now: datetime) -> bool:
    last = _last_run(entry)
    return last is not None and last <= now < last + timedelta(seconds=_wait_s(job, entry))


def _wait_s(job: Job, entry: object) -> float:
    """How long a job rests; one that failed or was refused for want of room tries again within the hour."""
    is_ok = isinstance(entry, Mapping) and entry.get("outcome") in ("ok", "damaged")
    return job.every_s if is_ok else min(job.every_s, HOUR_S)


def _last_run(entry: object) -> datetime | None:
    if not isinstance(entry, Mapping):
        return None
    try:
        last = datetime.fromisoformat(str(entry["last_run"]))
    except (KeyError, ValueError):
        return None
    return last if last.tzinfo else last.replace(tzinfo=UTC)


def _as_json(outcome: JobOutcome) -> dict[str, object]:
    return {
        "last_run": outcome.started_at.isoformat(),
        "outcome": outcome.outcome,
        "detail": outcome.detail,
        "duration_s": outcome.duration_s,
    }
