"""Why a rule fired or did not: its last values, how far they are from the threshold, what suppresses it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from monitord.detection.baselines import Baselines
from monitord.detection.judges import RuleJudge
from monitord.detection.passes import Pass, resting
from monitord.detection.targets import LAST_VALUES, Track
from monitord.model import ProcessKey, ProcessRates, Rule, RuleStatus, SystemRates, TriggerMetric

MAX_RECENT = 4096
"""The first pass and each that finds a new process report it; only those that move again are reported again.
With fewer than the machine has, `explain` would know nothing of its largest process when that rests."""
MAX_PER_RULE = 50
_LOOKS_BACK = (
    TriggerMetric.MEMORY_GROWTH, TriggerMetric.FD_GROWTH, TriggerMetric.THREAD_GROWTH, TriggerMetric.HANG,
)  # fmt: skip
LEFT_OUT = "the rule's match leaves this process out"


@dataclass(slots=True)
class _Seen:
    rates: tuple[ProcessRates, ...] = ()  # newest last; a deque of one would take ten times the memory
    at: datetime | None = None
    at_s: float = 0.0
    rest: ProcessRates | None = None  # how it is since a complete pass left it out

    @property
    def now(self) -> ProcessRates:
        return self.rest or self.rates[-1]

    @property
    def looks(self) -> tuple[ProcessRates, ...]:
        return self.rates if self.rest is None else (*self.rates[1 - LAST_VALUES :], self.rest)


class RecentProcesses:
    """The last few looks at each recently reported process; bounded, the longest unreported goes first."""

    def __init__(self) -> None:
        self._seen: dict[ProcessKey, _Seen] = {}  # the longest unreported first
        self._complete_s = float("-inf")
        self.system: SystemRates | None = None
        self.taken_at: datetime | None = None

    def __len__(self) -> int:
        return len(self._seen)

    def note(self, look: Pass) -> None:
        self.system, self.taken_at = look.system, look.taken_at
        if look.is_complete:
            self._complete_s = look.now_s
        for key, process in look.present.items():
            seen = self._seen.pop(key) if key in self._seen else _Seen()
            self._seen[key] = seen
            seen.rates = (*seen.rates[1 - LAST_VALUES :], process)
            seen.at, seen.at_s, seen.rest = look.taken_at, look.now_s, None
        while len(self._seen) > MAX_RECENT:
            del self._seen[next(iter(self._seen))]

    def forget(self, keys: frozenset[ProcessKey]) -> None:
        for key in keys:
            self._seen.pop(key, None)

    def all(self, pid: int | None = None) -> Iterator[_Seen]:
        """Processes reported lately; at rest if a complete pass did not report them since."""
        for key, seen in self._seen.items():
            if pid is None or key.pid == pid:
                if seen.rest is None and self._complete_s > seen.at_s:
                    seen.rest = resting(seen.rates[-1])
                yield seen


def explain_rule(
    judge: RuleJudge, recent: RecentProcesses, pid: int | None, now_s: float
) -> list[RuleStatus]:
    """One rule for the targets it is busy with, for one pid, or (quiet) for the nearest process."""
    busy = {
        target: track
        for target, track in judge.tracks.items()
        if (pid is None or target is None or target.pid == pid)
    }
    worst = sorted(busy.items(), key=lambda item: -_severity(judge, item[1]))[:MAX_PER_RULE]
    statuses = [_of_track(judge, target, track, now_s) for target, track in worst]
    if (pid is None and statuses) or recent.system is None:
        return statuses or [_of_nobody(judge, now_s)]
    if judge.is_machine_wide:
        return statuses or [_of_machine(judge, recent, recent.system, now_s)]
    if pid is None:
        nearest = _nearest(judge, recent, recent.system, now_s)
        return [
            _of_nobody(judge, now_s) if nearest is None else _of_seen(judge, nearest, recent.system, now_s)
        ]
    quiet = [seen for seen in recent.all(pid) if seen.now.key not in busy]
    return statuses + [_of_seen(judge, seen, recent.system, now_s) for seen in quiet]


def disabled(rule: Rule) -> RuleStatus:
    return RuleStatus(rule.name, rule.metric, rule.above or rule.below, rule.window_s, "disabled")


def _severity(judge: RuleJudge, track: Track) -> float:
    return judge.condition.severity(track.last_value, track.level) if track.level and track.values else 0.0


def _nearest(judge: RuleJudge, recent: RecentProcesses, system: SystemRates, now_s: float) -> _Seen | None:
    """The process nearest to breaking the rule: first among those it is about, then among the others."""
    nearest: _Seen | None = None
    best = (True, True, float("inf"))
    least = float("-inf")  # without a baseline all have one threshold: no lower value comes nearer
    for seen in recent.all():
        process = seen.now
        value = judge.meter.peek(process, now_s, system)
        if value is None or value <= least:
            continue
        distance = judge.condition.distance(value, judge.condition.level(judge.baseline(process)))
        rank = (
            not judge.matcher.hits(process),
            distance is None,  # its baseline is not known yet: nobody can say how near it is
            -value if distance is None else distance,
        )
        if nearest is None or rank < best:
            nearest, best = seen, rank
            if not (rank[0] or judge.learns):
                least = value
    return nearest


def _of_track(judge: RuleJudge, target: ProcessKey | None, track: Track, now_s: float) -> RuleStatus:
    condition = judge.condition
    level = track.level if track.level is not None else condition.level(judge.baseline(track.process))
    return RuleStatus(
        rule=judge.rule.name,
        metric=judge.rule.metric,
        threshold=condition.threshold(level) if level is not None else None,
        window_s=judge.rule.window_s,
        state=track.state(now_s),
        target=target,
        process_name=track.name or None,
        last_values=tuple(track.values),
        share_above=track.window.share if track.window is not None else None,
        distance=condition.distance(track.last_value, level) if track.values else None,
        baseline=judge.baseline(track.process),
        suppressed_by=judge.suppressed_by(track, now_s),
        seen_at=track.seen_at,
    )


def _of_machine(judge: RuleJudge, recent: RecentProcesses, system: SystemRates, now_s: float) -> RuleStatus:
    value = judge.meter.peek(None, now_s, system)
    return _quiet(judge, None, [] if value is None else [value], recent.taken_at, now_s)


def _of_seen(judge: RuleJudge, seen: _Seen, system: SystemRates, now_s: float) -> RuleStatus:
    looks = (seen.now,) if judge.rule.metric in _LOOKS_BACK else seen.looks
    values = [judge.meter.peek(look, now_s, system) for look in looks]
    return _quiet(judge, seen.now, [value for value in values if value is not None], seen.at, now_s)


def _quiet(
    judge: RuleJudge,
    process: ProcessRates | None,
    values: list[float],
    seen_at: datetime | None,
    now_s: float,
) -> RuleStatus:
    condition, baseline = judge.condition, judge.baseline(process)
    level = condition.level(baseline)
    is_out = process is not None and not judge.matcher.hits(process)
    broken = sum(condition.is_broken(value, level) for value in values)
    return RuleStatus(
        rule=judge.rule.name,
        metric=judge.rule.metric,
        threshold=condition.threshold(level) if level is not None else None,
        window_s=judge.rule.window_s,
        state="quiet",
        target=process.key if process is not None else None,
        process_name=process.name if process is not None else None,
        last_values=tuple(values),
        share_above=broken / len(values) if values else None,
        distance=condition.distance(values[-1], level) if values else None,
        baseline=baseline,
        suppressed_by=LEFT_OUT if is_out else judge.budget.refusal(now_s),
        seen_at=seen_at,
    )


def _of_nobody(judge: RuleJudge, now_s: float) -> RuleStatus:
    rule, refusal = judge.rule, judge.budget.refusal(now_s)
    limit = rule.above or rule.below
    return RuleStatus(rule.name, rule.metric, limit, rule.window_s, "quiet", suppressed_by=refusal)


def assess(
    rule: Rule, rates: ProcessRates | None, system: SystemRates, uid_of: Mapping[str, int] | None = None
) -> RuleStatus:
    """Judge one look with nothing known before it: "armed" where its value breaks the rule, else "quiet".

    Growth and hang look back over time and have no value here. `rates` is None for machine-wide rules.
    """
    if not rule.is_enabled:
        return disabled(rule)
    judge = RuleJudge(rule, Baselines(), uid_of or {})
    if rule.metric in _LOOKS_BACK or (rates is None and not judge.is_machine_wide):
        return _quiet(judge, rates, [], None, 0.0)
    value = judge.meter.peek(rates, 0.0, system)
    status = _quiet(
        judge, None if judge.is_machine_wide else rates, [] if value is None else [value], None, 0.0
    )
    if status.suppressed_by is None and status.distance is not None and status.distance <= 0:
        return replace(status, state="armed")
    return status
