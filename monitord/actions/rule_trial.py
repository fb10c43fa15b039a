"""Rules tried out on stored history: what they would have told, and what history can't show of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from monitord.actions.workspace import Workspace
from monitord.errors import UsageError
from monitord.export.encoding import iso
from monitord.export.shapes import alert_row, rule_row
from monitord.export.units import span
from monitord.model import Alert, ProfileRecord, Rates, Rule, TriggerMetric, counted
from monitord.storage.queries import StoreReader
from monitord.storage.views import RecentFilter

LONGEST_TEXT = 20_000
MOST_RULES = 20
MOST_PASSES = 60_000
MOST_ALERTS = 1_000
LONGEST_TRIAL_S = 15.0
"""Rules with long windows can be a minute's work for the passes that are allowed."""

_MOST_INCIDENTS = 2_000
_NEAR = timedelta(seconds=60)
_SHORTEST_GAP_S = 180.0
_GAP_BEATS = 3.0
_NEVER_LEFT_OUT_S = 20.0  # a recorder looks at least so often; of passes further apart the busiest were kept

_LEADERS_ONLY = (
    "a stored pass names the six first processes each by CPU, memory, disk and network: others are not judged"
)
_NOT_STORED = "cannot be tried out: history does not store {what}; it would be judged from its saving on"
BLIND_SPOTS: dict[TriggerMetric, tuple[str, ...]] = {
    TriggerMetric.CPU: (_LEADERS_ONLY, "waiting for a turn is not stored: what was used counts alone"),
    TriggerMetric.MEMORY: (_LEADERS_ONLY, "limits of control groups are not stored: percent are of RAM"),
    TriggerMetric.DISK_IO: (_LEADERS_ONLY,),
    TriggerMetric.NETWORK: (),
    TriggerMetric.MEMORY_GROWTH: (_LEADERS_ONLY, "private memory is not stored: mapped files count, too"),
    TriggerMetric.HANG: (_LEADERS_ONLY,),
    TriggerMetric.FD_GROWTH: (_LEADERS_ONLY,),
    TriggerMetric.THREAD_GROWTH: (_LEADERS_ONLY,),
    TriggerMetric.FREE_MEMORY: (),
    TriggerMetric.CPU_PRESSURE: (),
    TriggerMetric.MEMORY_PRESSURE: (),
    TriggerMetric.IO_PRESSURE: (),
    TriggerMetric.SHORT_LIVED_CPU: (_NOT_STORED.format(what="what ended children used"),),
    TriggerMetric.SPAWN_STORM: (_NOT_STORED.format(what="how many processes start"),),
    TriggerMetric.SHORT_SPIKE: (_NOT_STORED.format(what="when processes end"),),
    TriggerMetric.OOM_KILL: (_NOT_STORED.format(what="kills for lack of memory"),),
}  # fmt: skip
"""What stored history lacks, by metric; tests hold each line against what is stored."""


def is_replayable(metric: TriggerMetric) -> bool:
    """Whether stored history holds what the metric is judged by."""
    return not any(line.startswith("cannot") for line in BLIND_SPOTS.get(metric, ()))


@dataclass(frozen=True, slots=True)
class Found:
    """An alert that a rule would have raised; `incident` is the id of one stored of the same matter then."""

    alert: Alert
    incident: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it with the keys of docs/output.md."""
        return {**alert_row(self.alert), "crossed_at": iso(self.alert.crossed_at), "incident": self.incident}


@dataclass(frozen=True, slots=True)
class Trial:
    """What rules would have raised on stored history, and `notes`: by rule, what that can't show.

    `step_s` is the usual time between stored passes; None with fewer than two. `stopped` says why not all
    of the period was tried.
    """

    rules: Sequence[Rule]
    found: Sequence[Found]
    passes: int
    first: datetime | None
    last: datetime | None
    step_s: float | None
    notes: Sequence[tuple[str, str]]
    stopped: str | None = None

    @property
    def alerts(self) -> list[Alert]:
        """The alerts alone."""
        return [one.alert for one in self.found]

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data with the keys of docs/output.md."""
        fired = Counter(alert.rule for alert in self.alerts)
        return {
            "rules": [{**rule_row(rule), "fired": fired[rule.name]} for rule in self.rules],
            "alerts": [one.as_json() for one in self.found],
            "passes": self.passes,
            "first": self.first and iso(self.first),
            "last": self.last and iso(self.last),
            "step_seconds": self.step_s,
            "limits": [{"rule": rule, "text": text} for rule, text in self.notes],
            "stopped": self.stopped,
        }


def replay(workspace: Workspace, file: Path, since: datetime | None, until: datetime | None) -> Trial:
    """Try the `[[rules]]` of a file on a period's history, whole; raises ConfigError for an invalid one."""
    from monitord.config import load_rules

    return _tried(workspace, load_rules(file), _Bounds(since, until))


def try_rules(
    workspace: Workspace,
    text: str,
    since: datetime | None,
    until: datetime | None,
    longest_s: float = LONGEST_TRIAL_S,
) -> Trial:
    """Try the `[[rules]]` of a text on a period's history, within bounds of passes, alerts and time.

    Raises ConfigError for an invalid rule, UsageError for more than can be tried at once.
    """
    from monitord.config import parse_rules

    if len(text) > LONGEST_TEXT:
        raise UsageError(f"invalid rules: {len(text):,} characters, expected {LONGEST_TEXT:,} at most")
    rules = parse_rules(text)
    if len(rules) > MOST_RULES:
        raise UsageError(f"invalid rules: {len(rules)} of them, expected {MOST_RULES} at most")
    return _tried(workspace, rules, _Bounds(since, until, MOST_PASSES, MOST_ALERTS, longest_s))


@dataclass(frozen=True, slots=True)
class _Bounds:
    since: datetime | None
    until: datetime | None
    passes: int | None = None
    alerts: int | None = None
    seconds: float | None = None


def _tried(workspace: Workspace, rules: Sequence[Rule], bounds: _Bounds) -> Trial:
    from monitord.detection import check_rule
    from monitord.detection import replay as replayed
    from monitord.sampling import known_users

    for rule in rules:
        check_rule(rule)
    with workspace.reader() as reader:
        ends_s = None if bounds.seconds is None else time.monotonic() + bounds.seconds
        steps = Steps(reader.history(bounds.since, bounds.until), bounds.passes, ends_s)
        alerts = list(islice(replayed(rules, steps, known_users()), bounds.alerts))
        known = _incidents_near(reader, alerts)
    return Trial(
        rules=rules,
        found=[Found(alert, _incident_of(alert, known)) for alert in alerts],
        passes=steps.count,
        first=steps.first,
        last=steps.last,
        step_s=round(median(steps.apart_s), 1) if steps.apart_s else None,
        notes=list(_notes(rules, steps)),
        stopped=_why_stopped(steps, alerts, bounds),
    )


@dataclass(slots=True)
class Steps:
    """Passes on their way through, each as long as the time since the stored one before it.

    That time is what one of them stands for; of one that looked at processes it is the time since the last
    that did. A long one means that nobody recorded, and joins nothing. They are counted here, for a month of
    them is more than memory should hold.
    """

    passes: Iterable[Rates]
    most: int | None = None
    ends_s: float | None = None  # on the monotonic clock
    count: int = 0
    first: datetime | None = None
    last: datetime | None = None
    apart_s: list[float] = field(default_factory=list)
    looks_apart_s: list[float] = field(default_factory=list)  # of those that looked at processes
    is_cut: bool = False
    is_late: bool = False

    def __iter__(self) -> Iterator[Rates]:
        before: Rates | None = None
        looked: Rates | None = None
        for rates in self.passes:
            self.is_late = self.ends_s is not None and time.monotonic() >= self.ends_s
            self.is_cut = self.count == self.most
            if self.is_cut or self.is_late:
                return
            self.count += 1
            self.first, self.last = self.first or rates.taken_at, rates.taken_at
            found = rates if before is None else self._after(before, looked, rates)
            yield found
            before = found
            if found.gap is not None or found.processes:
                looked = found if found.gap is None else None

    def _after(self, before: Rates, looked: Rates | None, rates: Rates) -> Rates:
        apart_s = rates.monotonic_s - before.monotonic_s
        if rates.gap is not None or apart_s <= 0:
            return rates
        if apart_s > max(_SHORTEST_GAP_S, _GAP_BEATS * rates.interval_s):
            return replace(rates, gap=f"nothing is stored of {span(apart_s)}")
        self.apart_s.append(apart_s)
        if looked is not None and rates.processes:
            apart_s = rates.monotonic_s - looked.monotonic_s
            self.looks_apart_s.append(apart_s)
        return replace(rates, interval_s=max(rates.interval_s, apart_s))

    def coarse(self, window_s: float, *, of_machine: bool) -> tuple[float, float]:
        """Return the share of the time in which passes lie further apart than that, and how far usually."""
        apart_s = self.apart_s if of_machine else self.looks_apart_s
        wide_s, whole_s = [each for each in apart_s if each > window_s], sum(apart_s)
        return (sum(wide_s) / whole_s, median(wide_s)) if wide_s else (0.0, 0.0)


def _notes(rules: Sequence[Rule], steps: Steps) -> Iterator[tuple[str, str]]:
    """By rule, what history can't show of it, in the order of the rules."""
    for rule in rules:
        yield from ((rule.name, line) for line in BLIND_SPOTS.get(rule.metric, ()))
        if not is_replayable(rule.metric) or not steps.count:
            continue
        share, apart_s = steps.coarse(rule.window_s, of_machine=rule.metric.is_machine_wide)
        if share >= 0.005:
            step = span(apart_s)
            yield (
                rule.name,
                f"{share:.0%} of this history has a pass only every {step}, and the rule's window is"
                f" {span(rule.window_s)}: what lasts less than {step} is missed there, or levelled out",
            )
        thinned, _apart_s = steps.coarse(_NEVER_LEFT_OUT_S, of_machine=rule.metric.is_machine_wide)
        if thinned >= 0.005:
            yield (
                rule.name,
                f"{thinned:.0%} of this history is thinned to its busiest passes:"
                " there it looks worse than it was",
            )
        if rule.times_baseline is not None:
            yield rule.name, "baselines are learned from this history alone: early in it they are not known"


def _why_stopped(steps: Steps, alerts: Sequence[Alert], bounds: _Bounds) -> str | None:
    if steps.is_late:
        done = counted(steps.count, "stored pass")
        return f"stopped after {done}, because it took long; try a shorter period or fewer rules"
    if steps.is_cut:
        return f"stopped after {counted(steps.count, 'stored pass')}; try a shorter period"
    if bounds.alerts is not None and len(alerts) >= bounds.alerts:
        return f"stopped after {counted(len(alerts), 'alert')}: the rule fires nearly always"
    return None


def _incidents_near(reader: StoreReader, alerts: Sequence[Alert]) -> list[ProfileRecord]:
    if not alerts:
        return []
    since = min(alert.crossed_at for alert in alerts) - _NEAR
    until = max(alert.raised_at for alert in alerts) + _NEAR
    return reader.recent(RecentFilter(limit=_MOST_INCIDENTS, since=since, until=until))


def _incident_of(alert: Alert, known: Sequence[ProfileRecord]) -> str | None:
    """An incident of the same process (of the machine: of the same metric) that was raised at that time."""
    pid = alert.target.pid if alert.target is not None else None
    for record in known:
        raised_at = record.raised_at or record.captured_at
        is_same = record.trigger_metric is alert.metric if pid is None else record.pid == pid
        if is_same and alert.crossed_at - _NEAR <= raised_at <= alert.raised_at + _NEAR:
            return record.correlation_id
    return None
