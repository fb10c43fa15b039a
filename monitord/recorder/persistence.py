"""What survives a restart: cooldowns, baselines and budgets; and the thinned history for looking back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial

from monitord.errors import MonitordError
from monitord.logs import get_logger
from monitord.model import DetectionResult, ProcessKey, ProcessRates, Rates, changed
from monitord.pipeline import thin
from monitord.recorder.retention_store import Saving
from monitord.storage import SQLiteProfileStore, Writer
from monitord.storage.thinning import COARSE_S, FINE_S, LEADERS

_MEMORY_KEY = "detection.memory"
_PROCESSES_IN_HISTORY = 15
_LARGE_KNOWN = 16
_FLUSH_S = 60.0
_REMEMBER_S = 600.0
_CLOSE_LOOK_S = 60.0  # after a first crossing every pass is kept for this long
_CLOSE_LOOKS_S = 3600.0  # and so long a day: more would push out the weeks before
_DAY_S = 86_400.0


class _Largest:
    """The largest processes, as last read: one that does nothing is in no pass, and as large as before."""

    def __init__(self) -> None:
        self._known: dict[ProcessKey, ProcessRates] = {}
        self._least_bytes = 0

    def note(self, rates: Rates) -> None:
        for key in rates.exited:
            self._known.pop(key, None)
        for one in rates.processes:
            if one.rss_bytes > self._least_bytes or one.key in self._known:
                self._known[one.key] = one
        if len(self._known) > 2 * _LARGE_KNOWN:
            largest = sorted(self._known.values(), key=lambda one: -one.rss_bytes)[:_LARGE_KNOWN]
            self._known = {one.key: one for one in largest}
            self._least_bytes = largest[-1].rss_bytes
        elif len(self._known) < _LARGE_KNOWN:
            self._least_bytes = 0

    def idle(self, rates: Rates) -> tuple[ProcessRates, ...]:
        """Those that did nothing in this pass, the largest first."""
        seen = {one.key for one in rates.processes}
        left = [one for key, one in self._known.items() if key not in seen]
        largest = sorted(left, key=lambda one: -one.rss_bytes)[:LEADERS]
        nothing = {"cpu_percent": 0.0, "disk_bytes_per_s": None, "network_bytes_per_s": None}
        return tuple(changed(one, **nothing) for one in largest)


class _CloseLooks:
    """The minutes after first crossings; no more of them than an hour a day."""

    def __init__(self) -> None:
        self._left_s = _CLOSE_LOOKS_S
        self._ends_s = self._noted_s = float("-inf")

    def is_close(self, now_s: float, *, is_crossed: bool) -> bool:
        """Whether a pass is kept because of a crossing, now or before."""
        if is_crossed:
            regained_s = (now_s - self._noted_s) * _CLOSE_LOOKS_S / _DAY_S
            self._left_s, self._noted_s = min(_CLOSE_LOOKS_S, self._left_s + regained_s), now_s
            longer_s = now_s + _CLOSE_LOOK_S - max(now_s, self._ends_s)
            if longer_s <= self._left_s:
                self._left_s -= longer_s
                self._ends_s = now_s + _CLOSE_LOOK_S
        return now_s < self._ends_s


class Historian:
    """Collects passes for the history table and hands them over a minute at a time.

    Kept are passes some two seconds apart, of which the store keeps the busiest as they age; and every pass
    in the minute after a first crossing (an hour a day), kept a day: that is what `monitord rules test`
    replays. Those after a gap say why nothing is known before them. A power cut loses at most the minute not
    yet handed over.
    """

    def __init__(self, saving: Saving, writer: Writer, heartbeat_s: float) -> None:
        self._saving = saving
        self._writer = writer
        self._heartbeat_s = heartbeat_s
        self._batch: list[Rates] = []
        self._largest = _Largest()
        self._step_s = FINE_S
        self._close_looks = _CloseLooks()
        self._kept_at_s = self._looked_at_s = float("-inf")

    def note(self, rates: Rates, verdict: DetectionResult) -> None:
        """Keep this pass if it adds something."""
        now_s = rates.monotonic_s
        self._largest.note(rates)
        is_close_look = self._close_looks.is_close(now_s, is_crossed=bool(verdict.armed))
        step_s = COARSE_S if is_close_look else FINE_S
        if self._batch and (step_s != self._step_s or self._is_full(rates)):
            self.flush()
        self._step_s = step_s
        if is_close_look or rates.gap is not None or self._is_due(rates):
            self._batch.append(self._kept(rates))
            self._kept_at_s = now_s
            self._looked_at_s = now_s if rates.is_complete else self._looked_at_s

    def _kept(self, rates: Rates) -> Rates:
        """With those that matter. One that looked at some alone would pass for one that saw nobody else."""
        if not rates.is_complete:
            return replace(rates, processes=())
        idle = self._largest.idle(rates)
        return replace(rates, processes=(*thin(rates, _PROCESSES_IN_HISTORY).processes, *idle))

    def _is_full(self, rates: Rates) -> bool:
        """A minute long by either clock, for a row stands for all of its time; or the clock was set back."""
        first = self._batch[0]
        wall_s = (rates.taken_at - first.taken_at).total_seconds()
        is_long = max(wall_s, rates.monotonic_s - first.monotonic_s) >= _FLUSH_S
        return is_long or rates.taken_at < self._batch[-1].taken_at

    def _is_due(self, rates: Rates) -> bool:
        """Two seconds after the last one, or a heartbeat after the last that looked at processes."""
        is_look_due = rates.monotonic_s - self._looked_at_s >= self._heartbeat_s * 0.9
        is_step_due = rates.monotonic_s - self._kept_at_s >= FINE_S * 0.9
        return is_step_due or (rates.is_complete and is_look_due)

    def flush(self) -> None:
        """Hand over what was collected; history may be lost, so a store that can't take it is only said."""
        batch, self._batch = self._batch, []
        if batch:
            self._writer.submit(partial(self._add, batch, self._step_s), may_drop=True)

    def _add(self, batch: list[Rates], step_s: int) -> None:
        try:
            self._saving.add_history(batch, step_s)
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
