"""`explain`: why a rule fired or did not: last values, distance to the threshold, what holds it back."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from monitord.cli.context import CliContext, JsonFlag, OutputFlag, wants_json
from monitord.cli.table import Cell, Column, draw
from monitord.cli.terminal import Style, emit, page, say, width
from monitord.cli.when import moment_of
from monitord.errors import MonitordError, NotFoundError, UsageError
from monitord.export.encoding import json_text
from monitord.export.shapes import rule_status
from monitord.export.units import age, quantity, sparkline
from monitord.model import Demand, ProcessKey, Rates, Rule, RuleStatus, Threshold, TriggerMetric
from monitord.redaction import printable

_LOOK_S = 1.0
_REST_S = 0.2
_STATE_PAINT = {"firing": ("red",), "armed": ("yellow",), "cooling_down": ("yellow",), "disabled": ("dim",)}


@dataclass(frozen=True, slots=True)
class _Finding:
    """A rule's standing, and who says so: the daemon, or a look taken just now."""

    status: RuleStatus
    source: str


def explain(
    context: CliContext,
    incident_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="This incident in plain sentences; as for `show`.")
    ] = None,
    pid: Annotated[int | None, typer.Option("--pid", min=1, help="As it stands for this process.")] = None,
    rule: Annotated[str | None, typer.Option("--rule", metavar="NAME", help="Only this rule.")] = None,
    output: OutputFlag = None,
    json: JsonFlag = False,
) -> None:
    """Say for each rule the last values, how far they are from firing, and what suppresses it.

    With an ID: what happened, in plain sentences made from what was recorded.
    """
    as_json = wants_json(output, json)
    if incident_id is not None:
        if pid is not None or rule is not None:
            raise UsageError("an incident is explained as it was; --pid and --rule ask how things stand now")
        from monitord.cli.explain_incident import tell_incident

        tell_incident(context, incident_id, as_json=as_json)
        return
    rules = _wanted_rules(context.config().settings.rules, rule)
    told, told_at = _from_daemon(context, rules, pid)
    unsaid = [each for each in rules if not any(finding.status.rule == each.name for finding in told)]
    looked = _look(context, unsaid, pid) if unsaid else []
    order = [each.name for each in rules]
    findings = sorted((*told, *looked), key=lambda finding: order.index(finding.status.rule))
    if as_json:
        shaped = [{**rule_status(finding.status), "source": finding.source} for finding in findings]
        emit(json_text(shaped) + "\n")
        return
    page(_table(findings, context.style(), width()))
    _say_source(told, told_at, looked)
    if pid is not None:
        _say_frozen(pid)


def _say_frozen(pid: int) -> None:
    """A process that is paused breaks no rule, and nobody sees why."""
    from monitord.procfs.cgroups import is_frozen

    if is_frozen(pid):
        say(f"process {pid} does not run: its control group is frozen (a paused container)")


def _wanted_rules(rules: Sequence[Rule], name: str | None) -> list[Rule]:
    wanted = [rule for rule in rules if name in (None, rule.name)]
    if not wanted:
        known = ", ".join(rule.name for rule in rules)
        raise NotFoundError(f"no rule {name!r}; there are: {known}")
    return wanted


def _from_daemon(
    context: CliContext, rules: Sequence[Rule], pid: int | None
) -> tuple[list[_Finding], datetime | None]:
    """What a running daemon last wrote of these rules (about this pid, when one is asked for)."""
    from monitord.recorder.status import read_status

    told = read_status(context.data_dir())
    if told is None or not told["is_running"]:
        return [], None
    names = {rule.name for rule in rules}
    statuses = [status for entry in told.get("rules") or () if (status := _status_of(entry)) is not None]
    fitting = [
        _Finding(status, "daemon")
        for status in statuses
        if status.rule in names and (pid is None or (status.target is not None and status.target.pid == pid))
    ]
    return fitting, moment_of(told.get("rules_taken_at"))


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


def _look(context: CliContext, rules: Sequence[Rule], pid: int | None) -> list[_Finding]:
    """Two passes now, judged with what an earlier daemon remembered: cooldowns, baselines, budgets."""
    from monitord.detection import Detector
    from monitord.sampling import Sampler, key_of, known_users

    key = key_of(pid) if pid is not None else None
    if pid is not None and key is None:
        raise NotFoundError(f"no process {pid}; `ps -e` lists what runs")
    say(f"looking for {_LOOK_S:.0f} s …")
    detector = Detector(rules, _memory(context), uid_of=known_users())
    demand = Demand(cpu_percent=0.0, rss_bytes=0, watched=frozenset((key,) if key else ()))
    sampler = Sampler(heartbeat_s=_LOOK_S / 10)
    try:
        detector.judge(sampler.look(demand))
        time.sleep(_LOOK_S)
        rates = sampler.look(demand)
    finally:
        sampler.close()
    detector.judge(rates)
    statuses = detector.explain(pid)
    if key is not None:
        statuses += _at_rest(rules, statuses, key, rates)
    return [_Finding(status, "look") for status in statuses]


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
        raise NotFoundError(f"process {key.pid} went away while it was looked at")
    return [assess(rule, process, rates.system, known_users()) for rule in silent]


def _memory(context: CliContext) -> Mapping[str, object] | None:
    from monitord.recorder.persistence import remembered

    try:
        memory = remembered(context.reader().state).get("detection")
    except MonitordError:
        return None  # no store, or one that can't be read: the look itself still stands
    return memory if isinstance(memory, Mapping) else None


_COLUMNS = (
    Column("RULE", least=13),
    Column("STATE"),
    Column("PROCESS", least=8, good=12),
    Column("PID", right=True, gives_way=2),
    Column("LAST", least=4, gives_way=3),
    Column("NOW", right=True),
    Column("FIRES AT", right=True),
    Column("TO GO", right=True, gives_way=1),
    Column("HELD BACK BY", least=10, good=16),
)


def _table(findings: Iterable[_Finding], style: Style, columns_wide: int) -> Iterator[str]:
    """The lines; a column in which nobody has anything to say makes room for the others."""
    rows = [_cells(finding) for finding in findings]
    told = [i for i in range(len(_COLUMNS)) if any(row[i].text for row in rows)]
    columns = [_COLUMNS[i] for i in told]
    return draw(columns, [[row[i] for i in told] for row in rows], width=columns_wide, style=style)


def _cells(finding: _Finding) -> list[Cell]:
    status = finding.status
    unit = status.threshold.unit if status.threshold else "count"
    values = status.last_values
    distance = status.distance
    return [
        Cell(printable(status.rule), ("bold",)),
        Cell(status.state, _STATE_PAINT.get(status.state, ("green",))),
        Cell(printable(status.process_name or "–")),
        Cell(str(status.target.pid) if status.target else "–"),
        Cell(sparkline(values, 12) if len(values) > 1 else ""),
        Cell(quantity(values[-1], unit) if values else "–"),
        Cell(quantity(status.threshold.value, unit) if status.threshold else "–"),
        Cell("–" if distance is None else "broken" if distance <= 0 else quantity(distance, unit)),
        Cell(printable(status.suppressed_by or ""), ("yellow",)),
    ]


def _say_source(told: Iterable[_Finding], told_at: datetime | None, looked: Iterable[_Finding]) -> None:
    for line in _sources(bool(list(told)), told_at, [finding.status.rule for finding in looked]):
        say(line)


def _sources(has_told: bool, told_at: datetime | None, looked: list[str]) -> Iterator[str]:
    if has_told and told_at is not None:
        yield f"as the daemon saw it {age(told_at, datetime.now(UTC))}"
    if looked and has_told:
        yield f"from a look of {_LOOK_S:.0f} s just now: {', '.join(dict.fromkeys(looked))}"
    elif looked:
        yield f"from a look of {_LOOK_S:.0f} s just now; windows, growth and hangs need a running daemon"
