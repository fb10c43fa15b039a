"""The order of one pass, and what to do when a step of it fails. It introduces the rooms to each other.

A pass: look at the machine → judge the rates → a first look at what has just crossed → an incident for
each alert → remember. Everything slow (dumps, profiles, writing) happens on other threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from monitord.logs import get_logger
from monitord.model import Alert, Arming, ProcessRates, Rates, TriggerMetric, Verdict
from monitord.pipeline.failures import Failures
from monitord.pipeline.family import WithoutFamily
from monitord.pipeline.first_looks import FirstLooks
from monitord.pipeline.incidents import IncidentWorker, Opening
from monitord.pipeline.keeping import Keeper
from monitord.pipeline.limits import CaptureBudget, CaptureLimits
from monitord.pipeline.neighbours import Eyes, Judgement
from monitord.pipeline.ring import Ring, thin

__all__ = [
    "CaptureBudget",
    "CaptureLimits",
    "Counts",
    "Failures",
    "FirstLooks",
    "IncidentWorker",
    "Keeper",
    "Opening",
    "Pipeline",
    "Ring",
    "WithoutFamily",
    "thin",
]


_BLAME_SHARE = 0.1
"""Of the memory in use: with less than this a process is merely the largest of many."""


@dataclass(slots=True)
class Counts:
    """What happened since the start."""

    passes: int = 0
    alerts: int = 0
    suppressed: int = 0
    last_incident: str | None = None


class Pipeline:
    """One pass after the other; owns the ring and the counts, and nothing of the outside world."""

    def __init__(
        self,
        eyes: Eyes,
        judgement: Judgement,
        first_looks: FirstLooks,
        worker: IncidentWorker,
        budget: CaptureBudget,
        *,
        ring: Ring,
        new_id: Callable[[], str],
        boot_id: str | None = None,
        failures: Failures | None = None,
    ) -> None:
        self._try = (failures or Failures()).run
        self._eyes = eyes
        self._judgement = judgement
        self._first_looks = first_looks
        self._worker = worker
        self.budget = budget
        self._ring = ring
        self._new_id = new_id
        self._boot_id = boot_id
        self.counts = Counts()

    def run_pass(self) -> tuple[Rates, Verdict]:
        """Look, judge, remember, act.

        Raises what looking or judging raises: then the pass is lost. Of what follows from a verdict, which
        comes once only, each part has its own chance.
        """
        rates = self._eyes.look(self._judgement.demand())
        verdict = self._judgement.judge(rates)
        self.counts.passes += 1
        self._try("ring", lambda: self._ring.add(rates))
        for arming in verdict.disarmed:
            self._first_looks.forget(arming)
        for arming in verdict.armed:
            self._try("first look", partial(self._look_at, arming, rates))
        for alert in verdict.alerts:
            self._try("alert", partial(self._open, alert, rates))
        return rates, verdict

    def _look_at(self, arming: Arming, rates: Rates) -> None:
        self._first_looks.take(arming, self._suspect(arming.metric, rates))

    def _suspect(self, metric: TriggerMetric, rates: Rates) -> ProcessRates | None:
        """Whom to look at when a rule is about the whole machine; None: nobody is large enough to blame."""
        heaviest = self._eyes.heaviest() if metric is TriggerMetric.FREE_MEMORY else None
        used_bytes = rates.system.memory_total_bytes - rates.system.memory_available_bytes
        return heaviest if heaviest and heaviest.rss_bytes >= _BLAME_SHARE * used_bytes else None

    def _open(self, alert: Alert, rates: Rates) -> None:
        """Make an incident of an alert, unless a limit of its rule forbids it; either way it is said."""
        first_look = self._first_looks.claim(
            alert.rule, None if alert.metric.is_machine_wide else alert.target
        )
        if alert.suppressed_by is not None:
            self.counts.suppressed += 1
            get_logger().debug(
                "alert.suppressed", rule=alert.rule, process=alert.process_name, reason=alert.suppressed_by
            )
            return
        suspect = self._suspect(alert.metric, rates)
        if alert.target is None and suspect is not None:
            alert = replace(alert, target=suspect.key, process_name=suspect.name)
        process = self._eyes.details(alert.target) if alert.target else None
        opening = Opening(
            correlation_id=self._new_id(),
            alert=alert,
            process=process,
            history=self._ring.points(alert.target, process.started_at if process else None),
            first_look=first_look,
            describe=self._eyes.details,
            give_back=partial(self.budget.give_back, rates.taken_at),
            boot_id=self._boot_id,
            refusal=self.budget.refusal(rates.taken_at, rates.system) or self._worker.refusal(),
        )
        if opening.wants_profile:
            self.budget.spend(rates.taken_at)
        self.counts.alerts += 1
        self.counts.last_incident = opening.correlation_id
        get_logger().warning(
            "alert.raised",
            correlation_id=opening.correlation_id,
            rule=alert.rule,
            process=alert.process_name,
            reason=alert.reason,
        )
        self._worker.open(opening)
