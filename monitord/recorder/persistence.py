"""What survives a restart: cooldowns, baselines and budgets; and the thinned history for looking back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from monitord.errors import MonitordError
from monitord.logs import get_logger
from monitord.model import DetectionResult, Rates
from monitord.pipeline import thin
from monitord.recorder.retention_store import Saving
from monitord.storage import SQLiteProfileStore, Writer

_MEMORY_KEY = "detection.memory"
_PROCESSES_IN_HISTORY = 15
_FLUSH_S = 60.0
_REMEMBER_S = 600.0
_CLOSE_LOOK_S = 60.0  # after a first crossing every pass is kept for this long


class Historian:
    """Collects passes for the history table and hands them over a minute at a time.

    Kept are complete passes a heartbeat apart, and every pass in the minute after a first crossing: that
    is what `monitord rules test` replays. A power cut loses at most the minute not yet handed over.
    """

    def __init__(self, saving: Saving, writer: Writer, heartbeat_s: float) -> None:
        self._saving = saving
        self._writer = writer
        self._heartbeat_s = heartbeat_s
        self._batch: list[Rates] = []
        self._kept_at_s = float("-inf")
        self._crossed_at_s = float("-inf")

    def note(self, rates: Rates, verdict: DetectionResult) -> None:
        """Keep this pass if it adds something."""
        if verdict.armed:
            self._crossed_at_s = rates.monotonic_s
        is_close_look = rates.monotonic_s - self._crossed_at_s < _CLOSE_LOOK_S
        is_due = rates.monotonic_s - self._kept_at_s >= self._heartbeat_s * 0.9
        if rates.is_complete and (is_due or is_close_look) and rates.gap is None:
            self._batch.append(thin(rates, _PROCESSES_IN_HISTORY))
            self._kept_at_s = rates.monotonic_s
        if self._batch and rates.monotonic_s - self._batch[0].monotonic_s >= _FLUSH_S:
            self.flush()

    def flush(self) -> None:
        """Hand over what was collected; history may be lost, so a store that can't take it is only said."""
        batch, self._batch = self._batch, []
        if batch:
            self._writer.submit(lambda: self._add(batch), may_drop=True)

    def _add(self, batch: list[Rates]) -> None:
        try:
            self._saving.add_history(batch)
        except MonitordError as error:
            get_logger().warning("history.dropped", passes=len(batch), reason=str(error))


def remembered(read_state: Callable[[str], object]) -> Mapping[str, object]:
    """Return what was saved last; empty when nothing was, or nothing that can be understood."""
    held = read_state(_MEMORY_KEY)
    return held if isinstance(held, Mapping) else {}


class Memory:
    """Saves what the limits remember: at once after an alert, else every ten minutes, and at the end."""

    def __init__(
        self, store: SQLiteProfileStore, writer: Writer, remember: Callable[[], Mapping[str, object]]
    ) -> None:
        self._store = store
        self._writer = writer
        self._remember = remember
        self._saved_at: datetime | None = None

    def note(self, rates: Rates, verdict: DetectionResult) -> None:
        """Save after what must not be forgotten by a restart."""
        age_s = (rates.taken_at - self._saved_at).total_seconds() if self._saved_at else None
        if verdict.alerts or age_s is None or not 0 <= age_s < _REMEMBER_S:
            self.save(rates.taken_at)

    def save(self, now: datetime) -> None:
        """Hand the memory to the writer; the next one replaces it, so it may give way to an incident."""
        self._saved_at = now
        memory = self._remember()
        self._writer.submit(lambda: self._put(memory), may_drop=True)

    def _put(self, memory: Mapping[str, object]) -> None:
        try:
            self._store.set_state(_MEMORY_KEY, memory)
        except MonitordError as error:
            get_logger().warning("memory.not_saved", reason=str(error))
