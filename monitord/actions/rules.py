"""How the rules stand. What other rules would have made of the past: `rule_trial`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from monitord.actions.rule_names import no_such_rule
from monitord.actions.workspace import Workspace
from monitord.errors import MonitordError, NotFoundError
from monitord.export.encoding import iso
from monitord.export.shapes import rule_row, rule_status
from monitord.model import (
    Demand,
    ProcessKey,
    Rates,
    Rule,
    RuleStatus,
    Threshold,
    TriggerMetric,
)
from monitord.recorder.status import moment_of, read_status
from monitord.storage.views import RuleTally

LOOK_S = 1.0
_REST_S = 0.2
_MOST_STANDING = 50


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule's standing, and who says so: "daemon", or "look" for one taken just now."""

    status: RuleStatus
    source: str

    def as_json(self) -> dict[str, Any]:
        """Return it with the keys of docs/output.md."""
        return {**rule_status(self.status), "source": self.source}


@dataclass(frozen=True, slots=True)
class Standing:
    """How the rules stand, in their order. `told_at`: when the recorder saw them; None: it told nothing.

    `is_frozen` says that the process that was asked about can't run: its control group is frozen.
    """

    findings: Sequence[Finding]
    told_at: datetime | None = None
    is_frozen: bool = False


def standing(workspace: Workspace, rule: str | None = None, pid: int | None = None) -> Standing:
    """Say how the rules stand (one of them; for one process): as the recorder told, else from a look now."""
    from monitord.procfs.cgroups import is_frozen

    rules = _wanted(workspace.settings.rules, rule)
    told, told_at = told_by_recorder(workspace, {each.name for each in rules}, pid)
    known = {finding.status.rule for finding in told}
    unsaid = [each for each in rules if each.name not in known]
    looked = _look(workspace, unsaid, pid) if unsaid else []
    order = [each.name for each in rules]
    findings = sorted((*told, *looked), key=lambda finding: order.index(finding.status.rule))
    return Standing(findings, told_at, pid is not None and is_frozen(pid))


def as_told(workspace: Workspace, rule: str | None = None) -> Standing:
    """Say how the rules stand (one of them) as a running recorder told; none where nobody records.

    Raises NotFoundError for a rule that neither the recorder nor the configuration knows.
    """
    told, told_at = told_by_recorder(workspace, None if rule is None else (rule,))
    if rule is not None and not told:
        _wanted(workspace.settings.rules, rule)
    return Standing(told, told_at)


def told_by_recorder(
    workspace: Workspace, names: Iterable[str] | None = None, pid: int | None = None
) -> tuple[list[Finding], datetime | None]:
    """Return what a running recorder last wrote of these rules (None: of all), and when it saw that."""
    told = read_status(workspace.data_dir)
    if told is None or not told["is_running"]:
        return [], None
    statuses = [status for entry in told.get("rules") or () if (status := _status_of(entry)) is not None]
    fitting = [
        Finding(status, "daemon")
        for status in statuses
        if (names is None or status.rule in names)
        and (pid is None or (status.target is not None and status.target.pid == pid))
    ]
    return fitting, moment_of(told.get("rules_taken_at"))


def _wanted(rules: Sequence[Rule], name: str | None) -> list[Rule]:
    wanted = [rule for rule in rules if name in (None, rule.name)]
    if not wanted:
        raise no_such_rule(str(name), (rule.name for rule in rules))
    return wanted


def _status_of(entry: Mapping[str, Any]) -> RuleStatus | None:
    """A RuleStatus as status.json has it; None where another version wrote something else."""
    try:
        target, threshold = entry["target"], entry["threshold"]
        known = {
            **entry,
            "metric": TriggerMetric(entry["metric"]),
            "target": ProcessKey(**target) if target else None,
            "threshold": Threshold(**threshold) if threshold else None,
            "last_values": tuple(entry["last_values"]),
            "seen_at": moment_of(entry["seen_at"]),
        }
        return RuleStatus(**known)
    except (KeyError, TypeError, ValueError):
        return None


def _look(workspace: Workspace, rules: Sequence[Rule], pid: int | None) -> list[Finding]:
    """Two passes now, judged with what an earlier recorder remembered: cooldowns, baselines, budgets."""
    from monitord.detection import Detector
    from monitord.sampling import Sampler, key_of, known_users

    key = key_of(pid) if pid is not None else None
    if pid is not None and key is None:
        raise NotFoundError(f"cannot find process {pid}; `ps -e` lists what runs")
    workspace.tell(f"looking for {LOOK_S:.0f} s …")
    detector = Detector(rules, _memory(workspace), uid_of=known_users())
    demand = Demand(cpu_percent=0.0, rss_bytes=0, watched=frozenset((key,) if key else ()))
    sampler = Sampler(heartbeat_s=LOOK_S / 10)
    try:
        detector.judge(sampler.look(demand))
        time.sleep(LOOK_S)
        rates = sampler.look(demand)
    finally:
        sampler.close()
    detector.judge(rates)
    statuses = detector.explain(pid)
    if key is not None:
        statuses += _at_rest(rules, statuses, key, rates)
    return [Finding(status, "look") for status in statuses]


def _at_rest(
    rules: Sequence[Rule], known: Sequence[RuleStatus], key: ProcessKey, rates: Rates
) -> list[RuleStatus]:
    """What a process that did nothing in the look is to the rules that had nothing to say of it."""
    from monitord.detection import assess
    from monitord.sampling import known_users, observe

    said = {status.rule for status in known}
    silent = [rule for rule in rules if rule.name not in said]
    if not silent:
        return []
    process = next((seen for seen in rates.processes if seen.key == key), None) or observe(key.pid, _REST_S)
    if process is None:
        raise NotFoundError(f"cannot look at process {key.pid}: it ended")
    return [assess(rule, process, rates.system, known_users()) for rule in silent]


def _memory(workspace: Workspace) -> Mapping[str, object] | None:
    from monitord.recorder.persistence import remembered

    try:
        with workspace.reader() as reader:
            memory = remembered(reader.state).get("detection")
    except MonitordError:
        return None  # no store, or one that can't be read: the look itself still stands
    return memory if isinstance(memory, Mapping) else None


@dataclass(frozen=True, slots=True)
class RuleOnBoard:
    """A rule as configured, how it stands as the recorder told, and what it made in a period.

    `rule` is None for one that made incidents and is configured no more; `standing` is empty where nobody
    records.
    """

    name: str
    rule: Rule | None
    standing: Sequence[RuleStatus]
    tally: RuleTally | None

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "name": self.name,
            "rule": None if self.rule is None else rule_row(self.rule),
            "state": state_of(self.standing) if self.rule is None or self.rule.is_enabled else "disabled",
            "standing": [rule_status(status) for status in self.standing[:_MOST_STANDING]],
            "incidents": self.tally.incidents if self.tally else 0,
            "last_at": iso(self.tally.last_at) if self.tally else None,
            "highest_severity": round(self.tally.highest_severity, 3) if self.tally else None,
        }


def board(workspace: Workspace, since: datetime | None, until: datetime | None) -> list[RuleOnBoard]:
    """Put all rules beside what each made in a period: those configured in their order, then earlier ones."""
    configured = {rule.name: rule for rule in workspace.settings.rules}
    told, _told_at = told_by_recorder(workspace)
    tallies = _tallies(workspace, since, until)
    return [
        RuleOnBoard(
            name,
            configured.get(name),
            [finding.status for finding in told if finding.status.rule == name],
            tallies.get(name),
        )
        for name in (*configured, *(name for name in tallies if name not in configured))
    ]


def _tallies(workspace: Workspace, since: datetime | None, until: datetime | None) -> dict[str, RuleTally]:
    try:
        with workspace.reader() as reader:
            return {tally.rule: tally for tally in reader.incidents_by_rule(since, until)}
    except NotFoundError:
        return {}  # nothing was recorded so far, and rules stand all the same


_LOUDEST_FIRST = ("firing", "armed", "cooling_down", "quiet", "disabled")


def state_of(statuses: Sequence[RuleStatus]) -> str | None:
    """Return the state that most needs attention of a rule's targets; None: nobody told."""
    states = {status.state for status in statuses}
    return next((state for state in _LOUDEST_FIRST if state in states), None)
