"""`rules …`: what counts as abnormal, and what other rules would have made of the past."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitord.actions.times import parse_period
from monitord.cli.context import CliContext
from monitord.cli.listing import UntilFlag
from monitord.cli.table import Cell, Column, draw
from monitord.cli.terminal import Style, emit, emit_json, page, say, width
from monitord.cli.when import local_stamp
from monitord.export.shapes import rule_row
from monitord.export.units import quantity, span
from monitord.model import Alert, Match, Rule, Threshold, counted, in_words
from monitord.redaction import printable

if TYPE_CHECKING:
    from monitord.actions.rule_trial import Trial

_FIRED = (
    Column("WHEN", gives_way=1),
    Column("RULE", least=8, good=13),
    Column("WHY", least=16, good=24),
    Column("NO CAPTURE", least=10, good=16, gives_way=2),
)
_NAME_WIDTH = 24  # a name is there to be typed: it is shown whole up to here


def list_rules(context: CliContext, as_json: bool = False) -> None:
    """List the rules in force: what fires, after how long, how often at most."""
    from monitord.cli.config import tell_whose

    rules = context.config().settings.rules
    tell_whose(context)
    if as_json:
        emit_json([rule_row(rule) for rule in rules])
        return
    columns = (
        Column("RULE", least=min(_NAME_WIDTH, max((len(rule.name) for rule in rules), default=0))),
        Column("METRIC", gives_way=2),
        Column("FIRES"),
        Column("FOR", right=True, gives_way=3),
        Column("COOLDOWN", right=True, gives_way=4),
        Column("PER HOUR", right=True, gives_way=5),
        Column("MATCHES", least=8, gives_way=1),
    )
    rows = [
        [
            Cell(printable(rule.name), ("bold",) if rule.is_enabled else ("dim",)),
            Cell(in_words(rule.metric)),
            Cell(("" if rule.is_enabled else "off; ") + _condition(rule)),
            Cell(f"{rule.min_share * 100:.0f} % of {span(rule.window_s)}"),
            Cell(span(rule.cooldown_s)),
            Cell(str(rule.captures_per_hour)),
            Cell(printable(_matches(rule.match))),
        ]
        for rule in rules
    ]
    page(draw(columns, rows, width=width(), style=context.style()))


def replay_rules(
    context: CliContext,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A TOML file with [[rules]] in it.")],
    since: Annotated[
        str, typer.Option("-S", "--since", metavar="TIME", help="How far back to look.")
    ] = "24h",
    until: UntilFlag = None,
    as_json: bool = False,
) -> None:
    """Replay stored history against other rules and say what would have fired."""
    from monitord.actions.rule_trial import replay

    now = datetime.now(UTC)
    replayed = replay(context.workspace, file, *parse_period(since, until, now))
    if as_json:
        emit_json([found.as_json() for found in replayed.found])
    else:
        for line in _fired(replayed.alerts, now, width(), context.style()):
            emit(f"{line}\n")
    fired = Counter(alert.rule for alert in replayed.alerts)
    told = ", ".join(f"{rule.name} {fired[rule.name]}" for rule in replayed.rules)
    say(f"{_history(replayed, since, now)}; fired: {told}")
    for rule, limit in replayed.notes:
        say(f"{rule}: {limit}")


def _fired(alerts: Sequence[Alert], now: datetime, columns: int, style: Style) -> Iterator[str]:
    """The table of alerts; why one would not have been captured only where there is such a one."""
    rows = [
        [
            Cell(local_stamp(one.raised_at, now)),
            Cell(one.rule, ("bold",)),
            Cell(one.reason),
            Cell(one.suppressed_by or "", ("dim",)),
        ]
        for one in alerts
    ]
    told = len(_FIRED) if any(one.suppressed_by for one in alerts) else len(_FIRED) - 1
    if rows:
        yield from draw(_FIRED[:told], [row[:told] for row in rows], width=columns, style=style)


def _history(replayed: Trial, since: str, now: datetime) -> str:
    """How much history there was, which may begin long after the time that was asked for."""
    if replayed.first is None or replayed.last is None:
        return f"no history is stored since {since}"
    first, last = (local_stamp(each, now) for each in (replayed.first, replayed.last))
    return f"{counted(replayed.passes, 'stored pass')}, from {first} to {last}"


def _condition(rule: Rule) -> str:
    parts = []
    if rule.above and not rule.baseline_alone:
        parts.append(f"at least {_level(rule.above)}")
    if rule.below:
        parts.append(f"at most {_level(rule.below)}")
    if rule.times_baseline:
        parts.append(f"at least {rule.times_baseline:g} × its baseline")
    return " and ".join(parts)


def _level(threshold: Threshold) -> str:
    return quantity(threshold.value, threshold.unit)


def _matches(match: Match) -> str:
    parts = [
        *match.names,
        *(f"user {user}" for user in match.users),
        *(f"unit {unit}" for unit in match.units),
        *(f"pid {pid}" for pid in match.pids),
        *(f"not {name}" for name in match.not_names),
    ]
    return ", ".join(parts) or "all"
