"""The order of one pass, and what to do when a step of it fails. It introduces the rooms to each other.

A pass: look at the machine → judge the rates → a first look at what has just crossed → an incident for
each alert → remember. Everything slow (dumps, profiles, writing) happens on other threads.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from queue import SimpleQueue

from monitord.logs import get_logger
from monitord.model import (
    Alert,
    Arming,
    DetectionResult,
    HistoryPoint,
    ProcessDetails,
    ProcessRates,
    Rates,
    TriggerMetric,
)
from monitord.pipeline.causes import Causes
from monitord.pipeline.exclude_self import ExcludeSelf
from monitord.pipeline.failures import Failures
from monitord.pipeline.first_looks import FirstLook, FirstLooks
from monitord.pipeline.flood import Floods
from monitord.pipeline.incidents import IncidentWorker
from monitord.pipeline.limits import CaptureBudget, CaptureLimits
from monitord.pipeline.openings import Opening
from monitord.pipeline.pending import PendingIncidents
from monitord.pipeline.protocols import DetectorProtocol, SamplerProtocol
from monitord.pipeline.repeats import Rows
from monitord.pipeline.ring import Ring, thin

__all__ = [
    "CaptureBudget",
    "CaptureLimits",
    "Causes",
    "Counts",
    "Failures",
    "FirstLooks",
    "IncidentWorker",
    "PendingIncidents",
    "Opening",
    "Pipeline",
    "Ring",
    "ExcludeSelf",
    "thin",
]


_HELD_BEFORE = 200  # processes
_BLAME_SHARE = 0.1
"""Of the memory in use: with less than this a process is merely the largest of many."""


@dataclass(slots=True)
class Counts:
    """What happened since the start: alerts with a row, those that repeat one, those that share one."""

    passes: int = 0
    alerts: int = 0
    suppressed: int = 0
    folded: int = 0
    by_rule: Counter[str] = field(default_factory=Counter)
    last_incident: str | None = None


class Pipeline:
    """One pass after the other; owns the ring and the counts, and nothing of the outside world."""

    def __init__(
        self,
        sampler: SamplerProtocol,
        detector: DetectorProtocol,
        first_looks: FirstLooks,
        worker: IncidentWorker,
        budget: CaptureBudget,
        *,
        ring: Ring,
        new_id: Callable[[], str],
        boot_id: str | None = None,
        failures: Failures | None = None,
        causes: Causes | None = None,
        on_repeat: Callable[[str, Alert], object] = lambda _row, _alert: None,
    ) -> None:
        self._try = (failures or Failures()).run
        self._sampler = sampler
        self._detector = detector
        self._first_looks = first_looks
        self._worker = worker
        self.budget = budget
        self._ring = ring
        self._new_id = new_id
        self._boot_id = boot_id
        self._causes = causes
        self._on_repeat = on_repeat
        self._floods = Floods()
        self._not_taken: SimpleQueue[str] = SimpleQueue()  # rules, from the worker's threads
        self.rows = Rows()
        self.counts = Counts()

    def run_pass(self) -> tuple[Rates, DetectionResult]:
        """Look, judge, remember, act.

        Raises what looking or judging raises: then the pass is lost. Of what follows from a verdict, which
        comes once only, each part has its own chance.
        """
        while not self._not_taken.empty():
            self._detector.give_back(self._not_taken.get())
        rates = self._sampler.look(self._detector.demand())
        verdict = self._detector.judge(rates)
        self.counts.passes += 1
        self._try("ring", lambda: self._ring.add(rates))
        for arming in verdict.disarmed:
            self._first_looks.forget(arming)
            if self._causes is not None:
                self._causes.forget(arming)
        for arming in verdict.armed:
            self._try("first look", partial(self._look_at, arming, rates))
        for alert in verdict.alerts:
            self._try("alert", partial(self._meet, alert, rates))
        self._try("flood", partial(self._tell_flood, rates))
        return rates, verdict

    def _look_at(self, arming: Arming, rates: Rates) -> None:
        self._first_looks.take(arming, self._suspect(arming.metric, rates))
        if self._causes is not None:
            self._causes.arm(arming)

    def _suspect(self, metric: TriggerMetric, rates: Rates) -> ProcessRates | None:
        """Whom to look at when a rule is about the whole machine; None: nobody is large enough to blame."""
        heaviest = self._sampler.heaviest() if metric is TriggerMetric.FREE_MEMORY else None
        used_bytes = rates.system.memory_total_bytes - rates.system.memory_available_bytes
        return heaviest if heaviest and heaviest.rss_bytes >= _BLAME_SHARE * used_bytes else None

    def _meet(self, alert: Alert, rates: Rates) -> None:
        """Every alert leaves something: a row of its own, or its part of an earlier one's."""
        repeated = self.rows.repeated(alert)
        if repeated is not None:
            self.counts.suppressed += 1
            get_logger().debug(
                "alert.suppressed", rule=alert.rule, process=alert.process_name, reason=alert.suppressed_by
            )
            self._on_repeat(repeated, alert)
        elif self._floods.admits(alert, rates.monotonic_s):
            self._open(alert, rates)
        else:
            self.counts.folded += 1

    def _tell_flood(self, rates: Rates) -> None:
        flood = self._floods.due(rates.monotonic_s)
        if flood is None:
            return
        get_logger().warning("alerts.flood", rule=flood.alert.rule, folded=1 + flood.counts.total())
        if flood.correlation_id is None:
            flood.correlation_id = self._open(flood.described(), rates)
        else:
            self._worker.amend(flood.correlation_id, flood.described().reason)

    def _open(self, alert: Alert, rates: Rates) -> str:
        """Make an incident of an alert. Limits only limit its profile."""
        correlation_id = self._new_id()
        crossing = _crossing(alert)
        suspect = self._suspect(alert.metric, rates)
        first_look = self._try("first look", partial(self._first_look, alert, suspect))
        self.rows.note(alert, correlation_id)
        if alert.target is None and suspect is not None:
            alert = replace(alert, target=suspect.key, process_name=suspect.name)
        target = alert.target
        process = self._try("details", lambda: self._sampler.details(target)) if target else None
        opening = Opening(
            correlation_id=correlation_id,
            alert=alert,
            process=process,
            history=self._history(alert, process),
            first_look=first_look,
            describe=self._sampler.details,
            give_back=partial(self._give_back, rates.taken_at, alert.rule),
            is_lasting=partial(self._detector.is_firing, crossing.rule, crossing.target),
            boot_id=self._boot_id,
            refusal=alert.suppressed_by or self.budget.refusal(rates.taken_at, rates.system),
            before=self._observed_before(alert.metric, crossing),
        )
        if opening.wants_profile:
            self.budget.spend(rates.taken_at)
        elif alert.suppressed_by is None:
            self._detector.give_back(alert.rule)
        self.counts.alerts += 1
        self.counts.by_rule[alert.rule] += 1
        self.counts.last_incident = correlation_id
        get_logger().warning(
            "alert.raised",
            correlation_id=correlation_id,
            rule=alert.rule,
            process=alert.process_name,
            reason=alert.reason,
        )
        self._worker.open(opening)
        return correlation_id

    def _first_look(self, alert: Alert, suspect: ProcessRates | None) -> Future[FirstLook] | None:
        """Of a process that was killed there is what another rule has seen of it, or nothing."""
        if alert.metric is TriggerMetric.OOM_KILL:
            return self._first_looks.claim_of(alert.target)
        return self._first_looks.claim_or_take(_crossing(alert), suspect)

    def _observed_before(self, metric: TriggerMetric, crossing: Arming) -> Future[bytes | None] | None:
        """What was observed at the crossing; of a kill, which nothing crosses, what was held before it."""
        if self._causes is None:
            return None
        if metric is not TriggerMetric.OOM_KILL:
            return self._causes.claim(crossing.rule, crossing.target)
        held = [(key.pid, key.start_ticks, "", held) for key, held in self._ring.first_held().items()]
        largest = sorted(held, key=lambda row: -row[3])[:_HELD_BEFORE]
        observed: Future[bytes | None] = Future()
        observed.set_result(json.dumps({"processes": largest}).encode("ascii"))
        return observed

    def _history(self, alert: Alert, process: ProcessDetails | None) -> tuple[HistoryPoint, ...]:
        born = process.started_at if process else None
        return self._try("history", lambda: self._ring.points(alert.target, born)) or ()

    def _give_back(self, moment: datetime, rule: str) -> None:
        """No profile was taken of what was paid for. From any thread."""
        self.budget.give_back(moment)
        self._not_taken.put(rule)


def _crossing(alert: Alert) -> Arming:
    """Under which name the alert's first look was taken: of a rule about the machine it has no target."""
    target = None if alert.metric.is_machine_wide else alert.target
    name, image = alert.process_name, alert.image
    return Arming(alert.rule, alert.metric, target, name, alert.value, alert.crossed_at, image)
