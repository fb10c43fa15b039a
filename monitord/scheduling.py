"""Which tasks are due, what is remembered of them, and running one so that its failure stays its own.

Nothing here has a thread or a clock: the caller passes the time. Last runs live in a store, so a
week's task runs although no process lives a week.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from monitord.errors import MonitordError
from monitord.logs import get_logger

STATE_KEY = "jobs.last_runs"
_RETRY_S = 3600.0


class SchedulerError(MonitordError):
    """A task that can't be scheduled."""


class StateStore(Protocol):
    """Where last runs are kept."""

    def get_state(self, key: str, /) -> object: ...
    def set_state(self, key: str, value: object, /) -> None: ...


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What came of one piece of work: `outcome` is ok, refused, damaged or failed, `detail` one line for a
    person.
    """

    outcome: str
    detail: str


@dataclass(frozen=True, slots=True)
class TaskOutcome:
    """How one run ended: as TaskResult says, failed when it raised, deferred when the machine was busy."""

    name: str
    outcome: str
    detail: str
    started_at: datetime
    duration_s: float


@dataclass(frozen=True, slots=True)
class ScheduledTask:
    """One thing to be done every `every_s` seconds, not before the process is `first_after_s` old."""

    name: str
    every_s: float
    first_after_s: float
    run: Callable[[datetime], TaskResult]
    needs_idle: bool = False

    def should_run(self, entry: object, now: datetime, *, uptime_s: float) -> bool:
        """Whether its time has come; `entry` is what is remembered of its last run.

        A last run in the future (the clock was set back) counts as due: running once too often is harmless,
        never is not.
        """
        if uptime_s < self.first_after_s:
            return False
        last, following = _last_run(entry), self.next_run(entry)
        return last is None or following is None or not last <= now < following

    def next_run(self, entry: object) -> datetime | None:
        """When it is due again; one that failed or was refused for want of room tries within the hour."""
        last = _last_run(entry)
        is_ok = isinstance(entry, Mapping) and entry.get("outcome") in ("ok", "damaged")
        wait_s = self.every_s if is_ok else min(self.every_s, _RETRY_S)
        return last + timedelta(seconds=wait_s) if last else None


class TaskExecutor:
    """Runs one task; whatever it raises becomes its outcome."""

    def execute(self, task: ScheduledTask, now: datetime) -> TaskOutcome:
        """Run it and say in the log how it ended."""
        started_s = time.monotonic()
        result = self._attempt(task, now)
        outcome = TaskOutcome(task.name, result.outcome, result.detail, now, time.monotonic() - started_s)
        log = get_logger()
        tell = log.info if outcome.outcome == "ok" else log.warning
        tell(
            "job.finished",
            job=task.name,
            outcome=outcome.outcome,
            detail=outcome.detail,
            duration_s=round(outcome.duration_s, 3),
        )
        return outcome

    def _attempt(self, task: ScheduledTask, now: datetime) -> TaskResult:
        try:
            return task.run(now)
        except MonitordError as error:  # its words say what failed, and what to do
            return TaskResult("failed", str(error))
        except Exception as error:  # noqa: BLE001  one job's failure must stop neither the others nor the daemon
            get_logger().error("job.failed", job=task.name, exc_info=True)
            return TaskResult("failed", f"{type(error).__name__}: {error}")


class TaskScheduler:
    """The tasks there are, in their order, and what is remembered of their runs."""

    def __init__(
        self, tasks: Iterable[ScheduledTask], memory: StateStore, executor: TaskExecutor | None = None
    ) -> None:
        self.tasks: dict[str, ScheduledTask] = {}
        self.executor = executor or TaskExecutor()
        self._memory = memory
        for task in tasks:
            self.schedule_task(task)

    def schedule_task(self, task: ScheduledTask) -> None:
        """Add a task; raises SchedulerError when its name is taken or it would never rest."""
        if task.name in self.tasks:
            raise SchedulerError(f"invalid task {task.name!r}: it exists already")
        if task.every_s <= 0:
            raise SchedulerError(f"invalid task {task.name!r}: every {task.every_s} s, expected above 0")
        self.tasks[task.name] = task

    def due(self, now: datetime, *, uptime_s: float) -> list[ScheduledTask]:
        """The tasks whose time has come; `uptime_s` is the age of this process."""
        last_runs = self.last_runs()
        return [
            task
            for task in self.tasks.values()
            if task.should_run(last_runs.get(task.name), now, uptime_s=uptime_s)
        ]

    def execute_tasks(
        self, now: datetime, *, uptime_s: float, is_idle: Callable[[], bool] = lambda: True
    ) -> list[TaskOutcome]:
        """Run what is due, one after the other; `is_idle` is asked before each."""
        return [self.run(task, now, is_idle=is_idle()) for task in self.due(now, uptime_s=uptime_s)]

    def run(self, task: ScheduledTask, now: datetime, *, is_idle: bool = True) -> TaskOutcome:
        """Run a task now and remember that it ran.

        One that needs an idle machine and has none is deferred: it stays due and is not remembered as run.
        """
        if task.needs_idle and not is_idle:
            return TaskOutcome(task.name, "deferred", "the machine is busy", now, 0.0)
        outcome = self.executor.execute(task, now)
        try:
            self._memory.set_state(STATE_KEY, {**self.last_runs(), task.name: _as_json(outcome)})
        except (MonitordError, OSError) as error:
            # A full or locked disk: the task stays due, which is what a sick store needs of retention anyway.
            get_logger().warning("job.not_remembered", job=task.name, error=str(error))
        return outcome

    def last_runs(self) -> dict[str, object]:
        """What is remembered of each task's last run; empty when nothing readable is."""
        state = self._memory.get_state(STATE_KEY)
        return {str(name): run for name, run in state.items()} if isinstance(state, Mapping) else {}

    def table(self) -> dict[str, dict[str, object]]:
        """Return each task's last run, next run (ISO-8601 UTC) and last outcome; None where it never ran."""
        last_runs = self.last_runs()
        return {name: _line(task, last_runs.get(name)) for name, task in self.tasks.items()}


def _line(task: ScheduledTask, entry: object) -> dict[str, object]:
    last, following = _last_run(entry), task.next_run(entry)
    return {
        "last_run": last.isoformat() if last else None,
        "next_run": following.isoformat() if following else None,
        "outcome": entry.get("outcome") if isinstance(entry, Mapping) else None,
    }


def _last_run(entry: object) -> datetime | None:
    if not isinstance(entry, Mapping):
        return None
    try:
        last = datetime.fromisoformat(str(entry["last_run"]))
    except (KeyError, ValueError):
        return None
    return last if last.tzinfo else last.replace(tzinfo=UTC)


def _as_json(outcome: TaskOutcome) -> dict[str, object]:
    return {
        "last_run": outcome.started_at.isoformat(),
        "outcome": outcome.outcome,
        "detail": outcome.detail,
        "duration_s": outcome.duration_s,
    }
