"""`explain`: why a rule fired or did not: last values, distance to the threshold, what holds it back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from monitord.cli.context import CliContext
from monitord.cli.strip import strip, strip_title
from monitord.cli.table import Cell, Column, draw
from monitord.cli.terminal import Style, emit_json, page, say, width, wrap
from monitord.errors import UsageError
from monitord.export.units import age, quantity, sparkline
from monitord.redaction import printable

if TYPE_CHECKING:
    from monitord.actions.incidents import Explanation
    from monitord.actions.rules import Finding, Standing

_STATE_PAINT = {"firing": ("red",), "armed": ("yellow",), "cooling_down": ("yellow",), "disabled": ("dim",)}


def explain(
    context: CliContext,
    incident_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="This incident in plain sentences; as for `show`.")
    ] = None,
    pid: Annotated[int | None, typer.Option("--pid", min=1, help="As it stands for this process.")] = None,
    rule: Annotated[str | None, typer.Option("--rule", metavar="NAME", help="Only this rule.")] = None,
    as_json: bool = False,
) -> None:
    """Say for each rule the last values, how far they are from firing, and what suppresses it.

    With an ID: what happened, in plain sentences made from what was recorded.
    """
    if incident_id is not None:
        if pid is not None or rule is not None:
            raise UsageError("invalid call: an incident is told as it was, expected no --pid or --rule")
        _tell_incident(context, incident_id, as_json=as_json)
        return
    from monitord.actions.rules import standing

    found = standing(context.workspace, rule, pid)
    if as_json:
        emit_json([finding.as_json() for finding in found.findings])
        return
    page(_table(found.findings, context.style(), width()))
    for line in _sources(found):
        say(line)
    if found.is_frozen:
        say(f"process {pid} does not run: its control group is frozen (a paused container)")


def _tell_incident(context: CliContext, incident_id: str, *, as_json: bool) -> None:
    """An incident in plain sentences, from what was recorded."""
    from monitord.actions import incidents
    from monitord.export.explaining import sentence_row

    told = incidents.explain(context.workspace, incident_id)
    if told.timeline.trouble:
        say(told.timeline.trouble)
    if as_json:
        said = [sentence_row(each) for each in told.sentences]
        emit_json({"correlation_id": told.correlation_id, "sentences": said, "timeline": told.timeline.steps})
        return
    columns = min(width(), 100)
    style, about = context.style(), ""
    lines: list[str] = []
    for sentence in told.sentences:
        if sentence.about != about:
            lines += _strip_lines(told, columns, style) if about == "who" else []
            lines += [""] if about else []
            about = sentence.about
        dim = ("dim",) if about in ("unknown", "further") else ()
        lines += [style.paint(line, *dim) for line in wrap(printable(sentence.text), columns)]
    page(lines)


def _strip_lines(told: Explanation, columns: int, style: Style) -> list[str]:
    """What ran before it, second by second, on one line."""
    steps = told.timeline.steps
    if not steps:
        return []
    title = " ".join(strip_title(steps, is_snapshot=told.is_snapshot))
    return ["", *wrap(f"{title}:", columns), strip(steps, columns, style)]


_COLUMNS = (
    Column("RULE", least=13),
    Column("STATE"),
    Column("PROCESS", least=6, good=12),
    Column("PID", right=True, gives_way=3),
    Column("LAST", least=4, gives_way=4),
    Column("NOW", right=True),
    Column("FIRES AT", right=True, gives_way=1),
    Column("TO GO", right=True, gives_way=2),
    Column("HELD BACK BY", least=10, good=16),
)


def _table(findings: Iterable[Finding], style: Style, columns_wide: int) -> Iterator[str]:
    """The lines; a column in which nobody has anything to say makes room for the others."""
    rows = [_cells(finding) for finding in findings]
    told = [i for i in range(len(_COLUMNS)) if any(row[i].text for row in rows)]
    columns = [_COLUMNS[i] for i in told]
    return draw(columns, [[row[i] for i in told] for row in rows], width=columns_wide, style=style)


def _cells(finding: Finding) -> list[Cell]:
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
        Cell("–" if distance is None else "reached" if distance <= 0 else quantity(distance, unit)),
        Cell(printable(status.suppressed_by or ""), ("yellow",)),
    ]


def _sources(found: Standing) -> Iterator[str]:
    from monitord.actions.rules import LOOK_S

    has_told = any(finding.source == "daemon" for finding in found.findings)
    looked = [finding.status.rule for finding in found.findings if finding.source == "look"]
    if has_told and found.told_at is not None:
        yield f"as the daemon saw it {age(found.told_at, datetime.now(UTC))}"
    if looked and has_told:
        yield f"from a look of {LOOK_S:.0f} s just now: {', '.join(dict.fromkeys(looked))}"
    elif looked:
        yield (
            f"from a look of {LOOK_S:.0f} s just now; only a recorder judges windows, growth and hangs,"
            " of what it watches"
        )
