"""APScheduler wakes up every minute and runs what the table of jobs says is due, on the writer's thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from datetime import UTC, datetime

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from monitord.daemon.journal import Journal
from monitord.errors import MonitordError
from monitord.logs import get_logger
from monitord.recorder.retention_store import Saving
from monitord.scheduling import StateStore, TaskScheduler
from monitord.storage import Writer

_EVERY_S = 60


class LastRuns:
    """What the store remembers of the jobs, read once: only this daemon's jobs change it.

    Else each round would open the database to learn that nothing is due.
    """

    def __init__(self, store: StateStore) -> None:
        self._store = store
        self._known: dict[str, object] = {}

    def get_state(self, key: str, /) -> object:
        if key not in self._known:
            self._known[key] = self._store.get_state(key)
        return self._known[key]

    def set_state(self, key: str, value: object, /) -> None:
        """Raises what the store raises; then the old value is still what is known."""
        self._store.set_state(key, value)
        self._known[key] = value


class Tidying:
    """Runs due jobs; a week's job runs even if no process lives a week, because last runs are persisted."""

    def __init__(
        self,
        store: StateStore,
        saving: Saving,
        writer: Writer,
        is_idle: Callable[[], bool],
        journal: Journal,
    ) -> None:
        self._journal = journal
        self._last_runs = LastRuns(store)
        self._saving = saving
        self._writer = writer
        self._is_idle = is_idle
        self._started_s = time.monotonic()
        self._scheduler = BackgroundScheduler(timezone=UTC, daemon=True)
        self.table: dict[str, dict[str, object]] = {}

    def start(self) -> None:
        """Begin; the first round comes at once, so that the table of last runs is known."""
        self._scheduler.add_job(
            self._round,
            IntervalTrigger(seconds=_EVERY_S, timezone=UTC),
            id="tidy",
            coalesce=True,
            max_instances=1,
            misfire_grace_time=None,
            next_run_time=datetime.now(UTC),
        )
        self._scheduler.start()

    def realign(self) -> None:
        """Set the next round anew, because the wall clock jumped, in which APScheduler counts."""
        self._scheduler.modify_job("tidy", next_run_time=datetime.now(UTC))

    def stop(self) -> None:
        """Begin no further rounds."""
        self._scheduler.shutdown(wait=False)

    def _round(self) -> None:
        try:
            self._writer.submit(self._run_due).result()
        except CancelledError:
            return  # the daemon ends
        except MonitordError as error:
            get_logger().warning("jobs.postponed", reason=str(error))

    def _run_due(self) -> None:
        now = datetime.now(UTC)
        uptime_s = time.monotonic() - self._started_s
        scheduler = TaskScheduler(self._saving.jobs, self._last_runs)
        for done in scheduler.execute_tasks(now, uptime_s=uptime_s, is_idle=self._is_idle):
            self._journal.job(done)
        self.table = scheduler.table()
