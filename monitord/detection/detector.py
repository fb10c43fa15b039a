"""All rules together: passes go in, armings and alerts come out. Pure: the time is in the passes.

The detector's clock is made of the differences of `Rates.monotonic_s` and never runs backwards, so no
jump of the wall clock ends or extends anything within a run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from monitord.detection import memory as memories
from monitord.detection.baselines import Baselines
from monitord.detection.demands import demand_of, watched_by
from monitord.detection.explanations import RecentProcesses, disabled, explain_rule
from monitord.detection.judges import Findings, RuleJudge, owner_of
from monitord.detection.oom import OomKillMeter, one_incident_a_kill
from monitord.detection.passes import Pass
from monitord.errors import ConfigError
from monitord.model import (
    Alert,
    Arming,
    Demand,
    DetectionResult,
    ProcessKey,
    Rates,
    Rule,
    RuleStatus,
    TriggerMetric,
)


class Detector:
    """Judges passes by rules; see DESIGN's words.

    `memory` is what an earlier `remember()` gave; `same_boot` says whether it is of this boot of the
    machine (else the processes in it are strangers: pid and start may repeat). `uid_of`
    gives the uid of user names in matches. Raises ConfigError for a rule that can't be judged.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        memory: Mapping[str, object] | None = None,
        *,
        uid_of: Mapping[str, int] | None = None,
        same_boot: bool = True,
    ) -> None:
        self._uid_of = dict(uid_of or {})
        self._baselines = Baselines()
        self._recent = RecentProcesses()
        self._now_s = 0.0
        self._monotonic_s: float | None = None
        self._taken_at: datetime | None = None
        self._judges: list[RuleJudge] = []
        self._rules: tuple[Rule, ...] = ()
        self._demand: tuple[int, Demand] | None = None  # of busy rules too, but for whom they watch
        self._ended: list[Alert] = []  # above a threshold; a kill of them may be told later
        self._dropped: tuple[Arming, ...] = ()  # armed by rules since removed: disarmed with the next pass
        self.replace_rules(rules)
        if memory is not None:
            self._taken_at = memories.saved_at(memory)
            if self._taken_at is not None:
                memories.restore(memory, self._judges, self._baselines, same_boot=same_boot)

    # --------------------------------------------------------------------------------------- rules

    def replace_rules(self, rules: Sequence[Rule]) -> None:
        """Judge by these rules from now on; a rule that did not change goes on where it was."""
        names = [rule.name for rule in rules]
        if len(set(names)) < len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ConfigError(f"invalid rules: expected one rule of each name, got several of {twice}")
        self._dropped += tuple(
            arming for judge in self._judges if judge.rule not in rules for arming in judge.armings()
        )
        known = {judge.rule: judge for judge in self._judges}
        self._judges = [
            known.get(rule) or RuleJudge(rule, self._baselines, self._uid_of)
            for rule in rules
            if rule.is_enabled
        ]
        meters = [judge.meter for judge in self._judges]
        self._kills = [meter for meter in meters if isinstance(meter, OomKillMeter)]
        self._rules = tuple(rules)
        self._demand = None

    def demand(self) -> Demand:
        """What the next pass must show for no rule to be missed."""
        total_bytes = self._recent.system.memory_total_bytes if self._recent.system else 0
        if self._demand is None or self._demand[0] != total_bytes:
            self._demand = total_bytes, demand_of(self._judges, total_bytes)
        watched = watched_by(self._judges, self._now_s)
        return replace(self._demand[1], watched=watched) if watched else self._demand[1]

    # -------------------------------------------------------------------------------------- passes

    def judge(self, rates: Rates) -> DetectionResult:
        """Move everything by one pass."""
        is_gap = self._advance(rates) or rates.gap is not None
        look = Pass.of(rates, self._now_s)
        self._recent.note(look)
        found: dict[RuleJudge, Findings] = {}
        # A pass that was left out says nothing to a rule about processes that is busy with nobody.
        is_full = bool(look.present) or look.is_complete
        for judge in self._judges:
            if is_gap:
                judge.meet(look)
            elif is_full or judge.tracks or judge.reads_every_pass:
                found[judge] = judge.judge(look)
        self._teach(found)
        alerts = [alert for judge, each in found.items() if each.held for alert in judge.settle(each, look)]
        if alerts:
            alerts = [self._with_cause(alert) for alert in alerts]
        ended = self._forget(look, found) if look.exited else []
        if alerts or ended or self._ended:
            goes_on = any(kill.is_waiting for kill in self._kills)
            alerts, self._ended = one_incident_a_kill(alerts, ended, self._ended, goes_on=goes_on)
        if is_gap or not self._kills:
            alerts, self._ended = alerts + self._ended, []
        dropped, self._dropped = self._dropped, ()
        return DetectionResult(
            armed=tuple(arming for each in found.values() for arming in each.armed),
            disarmed=dropped + tuple(arming for each in found.values() for arming in each.disarmed),
            # What counts with another's incident comes behind it.
            alerts=tuple(sorted(alerts, key=lambda one: (one.counts_with is not None, -one.severity))),
        )

    def _with_cause(self, alert: Alert) -> Alert:
        """One that is part of what another rule tells of the machine while it fires counts with that one."""
        if _is_one_of_the_crowd(alert):
            cause = self._firing(TriggerMetric.CPU_PRESSURE)
        elif alert.metric is TriggerMetric.SPAWN_STORM:  # the same children: how many, and what they used
            cause = self._firing(TriggerMetric.SHORT_LIVED_CPU)
        else:
            return alert
        return alert if cause is None else replace(alert, counts_with=cause)

    def _firing(self, metric: TriggerMetric) -> str | None:
        """A rule of this metric that fires."""
        judges = (judge for judge in self._judges if judge.rule.metric is metric)
        return next((judge.rule.name for judge in judges if judge.is_firing_at_all), None)

    def _advance(self, rates: Rates) -> bool:
        """Move the clock; True when the pass's clock ran backwards (another boot, a replay's seam)."""
        last_s, self._monotonic_s = self._monotonic_s, rates.monotonic_s
        if last_s is None:
            # The first pass after a restore: the time away, never less than none.
            away_s = (rates.taken_at - self._taken_at).total_seconds() if self._taken_at is not None else 0.0
            self._now_s += max(0.0, away_s)
        else:
            self._now_s += max(0.0, rates.monotonic_s - last_s)
        self._taken_at = rates.taken_at
        return last_s is not None and rates.monotonic_s < last_s

    def _teach(self, found: Mapping[RuleJudge, Findings]) -> None:
        """Each quiet value teaches its baseline once, unless a rule of the metric is busy with the target."""
        lessons = {
            (judge.rule.metric, reading.target): reading
            for judge, findings in found.items()
            for reading in findings.quiet
        }
        for (metric, target), reading in lessons.items():
            peers = (judge for judge in self._judges if judge.rule.metric is metric)
            if not any(judge.is_busy_with(target) for judge in peers):
                self._baselines.learn(*owner_of(reading.process), metric, reading.value)

    def _forget(self, look: Pass, found: dict[RuleJudge, Findings]) -> list[Alert]:
        self._recent.forget(look.exited)
        return [
            alert
            for judge in self._judges
            for alert in judge.forget(look.exited, look, found.setdefault(judge, Findings()))
        ]

    # ------------------------------------------------------------------------------------- asking

    def explain(self, pid: int | None = None, rule: str | None = None) -> list[RuleStatus]:
        """How each rule stands: for its targets, for one pid, or for the process nearest to it."""
        judges = {judge.rule.name: judge for judge in self._judges}
        statuses: list[RuleStatus] = []
        for each in self._rules:
            if rule is not None and each.name != rule:
                continue
            judge = judges.get(each.name)
            if judge is None:
                statuses.append(disabled(each))
            else:
                statuses += explain_rule(judge, self._recent, pid, self._now_s)
        return statuses

    def is_firing(self, rule: str, target: ProcessKey | None) -> bool:
        """Whether what the rule told of this target still lasts; may be asked from another thread."""
        return any(judge.is_firing(target) for judge in self._judges if judge.rule.name == rule)

    def give_back(self, rule: str) -> None:
        """A capture that the rule was granted was not taken: it does not count in its hour."""
        for judge in self._judges:
            if judge.rule.name == rule:
                judge.budget.give_back()

    @property
    def is_quiet(self) -> bool:
        """Whether no rule is armed or fires."""
        tracks = (track for judge in self._judges for track in judge.tracks.values())
        return not any(track.is_firing or track.window is not None for track in tracks)

    def remember(self) -> dict[str, object]:
        """What must survive a restart, as JSON-able values; call it after alerts and now and then."""
        return memories.remember(self._judges, self._baselines, self._now_s, self._taken_at)


def _is_one_of_the_crowd(alert: Alert) -> bool:
    """Refused, and above its threshold by waiting alone: an overload that was told is its cause.

    Each is counted with that one: a crowd of thirty is not thirty incidents beside the one that names them.
    """
    used = alert.value - (alert.waited_percent or 0.0)
    is_starved = alert.metric is TriggerMetric.CPU and used < alert.threshold.value
    return is_starved and alert.suppressed_by is not None


def replay(
    rules: Sequence[Rule], passes: Iterable[Rates], uid_of: Mapping[str, int] | None = None
) -> Iterator[Alert]:
    """Yield what these rules would have said to recorded passes, in order, suppressed alerts included.

    Disabled rules are replayed too: trying one out is what a replay is for.
    """
    detector = Detector([replace(rule, is_enabled=True) for rule in rules], uid_of=uid_of)
    for rates in passes:
        yield from detector.judge(rates).alerts
