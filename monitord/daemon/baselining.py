"""Baselines: now and then, when all is quiet, a short profile of a program at work that has none yet.

A pass costs one comparison until one is due. Never while a rule is armed or fires, the machine is busy, or a
capture ran lately; consent, deny lists and plans apply as to any capture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from monitord.capture.program import program_id
from monitord.errors import MonitordError
from monitord.logs import get_logger
from monitord.model import (
    BASELINE_RULE,
    Alert,
    CapturePlan,
    Incident,
    ProcessDetails,
    ProcessKey,
    ProcessRates,
    Rates,
)
from monitord.pipeline import CaptureBudget, IncidentWorker, Opening
from monitord.storage import SQLiteProfileStore, StoreReader, Writer, new_correlation_id
from monitord.storage.baselines import baseline_id, note_baseline

STATE_KEY = "baselines.last"
_DAY_S = 86_400.0
_SETTLING_S = 600.0  # after a start, and between two searches that found nothing to do
_AT_WORK_PERCENT = 1.0
_STEADY_LOOKS = 4
_LOOK_EVERY_S = 2.0
_CANDIDATES = 20
_LATELY = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class BaselineLimits:
    """How many a day (0: none), and how long and how often each looks."""

    per_day: int = 24
    duration_s: float = 3.0
    rate_hz: int = 20
    max_machine_percent: float = 50.0

    @property
    def spacing_s(self) -> float:
        return _DAY_S / self.per_day if self.per_day else float("inf")


class BaselineRecorder:
    """Chooses whom, on the writer's thread; the capture worker takes it. One at a time, evenly over the day.

    `is_allowed` says by name and executable whether the configuration lets a process be profiled.
    """

    def __init__(
        self,
        worker: IncidentWorker,
        budget: CaptureBudget,
        store: SQLiteProfileStore,
        writer: Writer,
        describe: Callable[[ProcessKey], ProcessDetails | None],
        is_quiet: Callable[[], bool],
        is_allowed: Callable[[str, str | None], bool],
        *,
        limits: BaselineLimits,
        boot_id: str | None = None,
    ) -> None:
        self._worker = worker
        self._budget = budget
        self._store = store
        self._writer = writer
        self._describe = describe
        self._is_quiet = is_quiet
        self._is_allowed = is_allowed
        self._limits = limits
        self._boot_id = boot_id
        self._due_s: float | None = None
        self._steady: dict[ProcessKey, int] = {}
        self._last_at = _last_at(store) if limits.per_day else None

    def use(self, limits: BaselineLimits) -> None:
        """Other limits from now on (the configuration was reloaded)."""
        self._limits, self._due_s = limits, None

    def note(self, rates: Rates) -> None:
        """See whether it is time; hand over to the writer's thread if it is."""
        if self._due_s is None:
            self._due_s = rates.monotonic_s + self._first_wait_s(rates.taken_at)
        if rates.monotonic_s < self._due_s or not rates.is_complete or rates.gap is not None:
            return
        self._due_s = rates.monotonic_s + _LOOK_EVERY_S
        if not self._may(rates):
            self._steady = {}
            return
        at_work = {each.key: each for each in rates.processes if (each.cpu_percent or 0) >= _AT_WORK_PERCENT}
        self._steady = {key: self._steady.get(key, 0) + 1 for key in at_work}
        steady = [each for key, each in at_work.items() if self._steady[key] >= _STEADY_LOOKS]
        if steady:
            self._steady = {}
            self._due_s = rates.monotonic_s + min(_SETTLING_S, self._limits.spacing_s)
            busiest = sorted(steady, key=lambda each: -(each.cpu_percent or 0))[:_CANDIDATES]
            self._writer.submit(lambda: self._choose(busiest, rates.monotonic_s), may_drop=True)

    def _first_wait_s(self, now: datetime) -> float:
        spacing_s = self._limits.spacing_s
        since_s = (now - self._last_at).total_seconds() if self._last_at else spacing_s
        return max(min(_SETTLING_S, spacing_s), spacing_s - max(0.0, since_s))

    def _may(self, rates: Rates) -> bool:
        """Whether nothing is wrong, nothing is under way, and the machine has time."""
        spent = self._budget.spent
        return (
            self._is_quiet()
            and self._worker.is_idle
            and rates.system.machine_percent <= self._limits.max_machine_percent
            and self._budget.refusal(rates.taken_at, rates.system) is None
            and not (spent and rates.taken_at - max(spent) < _LATELY)
        )

    # ------------------------------------------------------------------- on the writer's thread

    def _choose(self, candidates: Sequence[ProcessRates], monotonic_s: float) -> None:
        """Begin with the busiest that has none; the day's budget pays for the attempt."""
        try:
            for each in candidates:
                program = program_id(each.key.pid)
                if program is None or not self._is_missing(program):
                    continue
                details = self._describe(each.key)
                if details is None or not self._is_allowed(details.name, details.executable):
                    continue
                if self._worker.open_quietly(self._opening(each, details, program)):
                    self._due_s = monotonic_s + self._limits.spacing_s
                    self._last_at = datetime.now(UTC)
                    self._store.set_state(STATE_KEY, self._last_at.isoformat())
                return
        except MonitordError as error:
            get_logger().warning("baseline.postponed", reason=str(error))

    def _is_missing(self, program: str) -> bool:
        """Whether the program has no baseline, or only a summary of one that went with age."""
        known = baseline_id(self._store.state, program)
        if known is None or known == "":
            return known is None
        with StoreReader(self._store.data_dir) as reader:
            return not reader.has_evidence(known)

    def _opening(self, process: ProcessRates, details: ProcessDetails, program: str) -> Opening:
        now = datetime.now(UTC)
        used = process.cpu_percent or 0.0
        reason = f"a baseline, taken while nothing was wrong; it used {used:.0f} % of one core"
        alert = Alert.unraised(BASELINE_RULE, process.key, process.name, used, now)
        return Opening(
            correlation_id=new_correlation_id(),
            alert=replace(alert, severity=-1.0, reason=reason),
            process=details,
            history=(),
            first_look=None,
            describe=self._describe,
            give_back=lambda: None,
            boot_id=self._boot_id,
            own_plan=CapturePlan(duration_s=self._limits.duration_s, rate_hz=self._limits.rate_hz),
            ended=lambda incident, saved: self._ended(program, incident, saved),
        )

    def _ended(self, program: str, incident: Incident, saved: Future[object] | None) -> None:
        """Note what became of it, once it is durable; what it replaces goes."""
        if saved is None:
            self._writer.submit(lambda: self._replace(program, ""), may_drop=True)
            reasons = [capture.reason for capture in incident.captures if capture.reason]
            get_logger().info("baseline.not_taken", process=incident.alert.process_name, reasons=reasons)
            return
        saved.add_done_callback(
            lambda done: None if done.cancelled() or done.exception() else self._kept(program, incident)
        )

    def _kept(self, program: str, incident: Incident) -> None:
        self._writer.submit(lambda: self._replace(program, incident.correlation_id), may_drop=True)
        get_logger().info("baseline.taken", process=incident.alert.process_name)

    def _replace(self, program: str, correlation_id: str) -> None:
        try:
            older = baseline_id(self._store.state, program)
            note_baseline(self._store.state, program, correlation_id)
            if older and older != correlation_id and correlation_id:
                self._store.delete_incidents([older])
        except MonitordError as error:
            get_logger().warning("baseline.not_noted", reason=str(error))


def _last_at(store: SQLiteProfileStore) -> datetime | None:
    """When the last one was taken, by an earlier run too; damage counts as never."""
    try:
        return datetime.fromisoformat(str(store.get_state(STATE_KEY))).astimezone(UTC)
    except (MonitordError, ValueError):
        return None
