"""Why a rule fired or did not: its last values, how far they are from the threshold, what suppresses it."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

from monitord.detection.baselines import Baselines
from monitord.detection.judges import RuleJudge
from monitord.detection.looks import Look, resting
from monitord.detection.targets import LAST_VALUES, Track
from monitord.model import ProcessKey, ProcessRates, Rule, RuleStatus, SystemRates, TriggerMetric

MAX_RECENT = 1024
MAX_PER_RULE = 50
_LOOKS_BACK = (
    TriggerMetric.MEMORY_GROWTH, TriggerMetric.FD_GROWTH, TriggerMetric.THREAD_GROWTH, TriggerMetric.HANG,
)  # fmt: skip
LEFT_OUT = "the rule's match leaves this process out"


@dataclass(slots=True)
class _Seen:
    rates: deque[ProcessRates] = field(default_factory=lambda: deque(maxlen=LAST_VALUES))
    at: datetime | None = None
    at_s: float = 0.0


class RecentProcesses:
    """The last few looks at each recently reported process; bounded, the longest unreported goes first."""

    def __init__(self) -> None:
        self._seen: OrderedDict[ProcessKey, _Seen] = OrderedDict()
        self._complete_s = float("-inf")
        self.system: SystemRates | None = None
        self.taken_at: datetime | None = None

    def __len__(self) -> int:
        return len(self._seen)

    def note(self, look: Look) -> None:
        self.system, self.taken_at = look.system, look.taken_at
        if look.is_complete:
            self._complete_s = look.now_s
        for key, process in look.present.items():
            seen = self._seen.get(key)
            if seen is None:
                seen = self._seen[key] = _Seen()
            else:
                self._seen.move_to_end(key)
            seen.rates.append(process)
            seen.at, seen.at_s = look.taken_at, look.now_s
        while len(self._seen) > MAX_RECENT:
            self._seen.popitem(last=False)

    def forget(self, keys: frozenset[ProcessKey]) -> None:
        for key in keys:
            self._seen.pop(key, None)

    def all(self, pid: int | None = None) -> Iterator[tuple[list[ProcessRates], datetime | None]]:
        """The last looks of each process, newest last; at rest if a complete pass did not report it since."""
        for key, seen in self._seen.items():
            if pid is None or key.pid == pid:
                looks = list(seen.rates)
                if self._complete_s > seen.at_s:
                    looks = [*looks[1 - LAST_VALUES :], resting(looks[-1])]
                yield looks, seen.at


def explain_rule(
    judge: RuleJudge, recent: RecentProcesses, pid: int | None, now_s: float
) -> list[RuleStatus]:
    """One rule for the targets it is busy with, for one pid, or (quiet) for whoever comes nearest."""
    busy = {
        target: track
        for target, track in judge.tracks.items()
        if (pid is None or target is None or target.pid == pid)
    }
    worst = sorted(busy.items(), key=lambda item: -_severity(judge, item[1]))[:MAX_PER_RULE]
    statuses = [_of_track(judge, target, track, now_s) for target, track in worst]
    if pid is None and statuses:
        return statuses
    quiet = [status for status in _of_recent(judge, recent, pid, now_s) if status.target not in busy]
    if pid is not None:
        return statuses + quiet
    nearest = min(quiet, key=_nearness, default=None)
    return [nearest if nearest is not None else _of_nobody(judge, "quiet", now_s)]


def disabled(rule: Rule) -> RuleStatus:
    return RuleStatus(rule.name, rule.metric, rule.above or rule.below, rule.window_s, "disabled")


def _severity(judge: RuleJudge, track: Track) -> float:
    return judge.condition.severity(track.last_value, track.level) if track.level and track.values else 0.0


def _nearness(status: RuleStatus) -> tuple[bool, bool, float]:
    value = status.last_values[-1] if status.last_values else 0.0
    return (
        status.suppressed_by == LEFT_OUT,
        status.distance is None,
        -value if status.distance is None else status.distance,
    )


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


def _of_recent(
    judge: RuleJudge, recent: RecentProcesses, pid: int | None, now_s: float
) -> Iterator[RuleStatus]:
    if recent.system is None:
        return
    if judge.is_machine_wide:
        value = judge.meter.peek(None, now_s, recent.system)
        yield _quiet(judge, None, [] if value is None else [value], recent.taken_at, now_s)
        return
    for looks, seen_at in recent.all(pid):
        looked = looks[-1:] if judge.rule.metric in _LOOKS_BACK else looks
        values = [judge.meter.peek(look, now_s, recent.system) for look in looked]
        yield _quiet(judge, looks[-1], [value for value in values if value is not None], seen_at, now_s)


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


def _of_nobody(judge: RuleJudge, state: str, now_s: float) -> RuleStatus:
    rule = judge.rule
    return RuleStatus(
        rule.name, rule.metric, rule.above or rule.below, rule.window_s, state,
        suppressed_by=judge.budget.refusal(now_s),
    )  # fmt: skip


def assess(rule: Rule, rates: ProcessRates | None, system: SystemRates) -> RuleStatus:
    """One look with nothing known before it: "armed" where this value alone breaks the rule, else "quiet".

    Growth and hang look back over time and have no value here. `rates` is None for machine-wide rules.
    """
    if not rule.is_enabled:
        return disabled(rule)
    judge = RuleJudge(rule, Baselines(), {})
    if rule.metric in _LOOKS_BACK or (rates is None and not judge.is_machine_wide):
        return _quiet(judge, rates, [], None, 0.0)
    value = judge.meter.peek(rates, 0.0, system)
    status = _quiet(
        judge, None if judge.is_machine_wide else rates, [] if value is None else [value], None, 0.0
    )
    if status.suppressed_by is None and status.distance is not None and status.distance <= 0:
        return replace(status, state="armed")
    return status
