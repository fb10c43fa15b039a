"""Incidents as lines of a table: which one, when, who, how much, and the function that is to blame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from monitord.cli.table import Cell, Column, draw
from monitord.cli.terminal import Style
from monitord.cli.when import local_stamp
from monitord.export.units import age, quantity, unit_of
from monitord.model import CaptureStatus, ProfileRecord
from monitord.redaction import printable
from monitord.redaction.naming import display_name
from monitord.storage.ids import short_id

_COLUMNS = (
    Column("ID"),
    Column("WHEN", gives_way=1),
    Column("AGE", right=True, gives_way=5),
    Column("PROCESS", least=8, good=12),
    Column("PID", right=True, gives_way=4),
    Column("TRIGGER", gives_way=2),
    Column("VALUE", right=True),
    Column("EVIDENCE", least=8, gives_way=3),
)
_CAUSE = Column("CAUSE", least=8, gives_way=4)
_TOP = Column("HOTTEST FUNCTION", least=10, good=16)


def recent_table(
    records: Sequence[ProfileRecord],
    *,
    now: datetime,
    utc: bool,
    width: int,
    style: Style,
    header: bool,
) -> Iterator[str]:
    """Yield the lines of `recent`, without the columns of causes and functions where no record has one."""
    known = [
        (column, [printable(text or "") for text in texts], paint)
        for column, texts, paint in (
            (_CAUSE, [record.cause for record in records], ()),
            (_TOP, [record.hottest_function for record in records], ("bold",)),
        )
        if any(texts)
    ]
    rows = [
        [*_cells(record, now, utc), *(Cell(texts[at], paint) for _column, texts, paint in known)]
        for at, record in enumerate(records)
    ]
    columns = (*_COLUMNS, *(column for column, _texts, _paint in known))
    yield from draw(columns, rows, width=width, style=style, header=header)


def _cells(record: ProfileRecord, now: datetime, utc: bool) -> list[Cell]:
    when = record.raised_at or record.captured_at  # as `show` tells it
    unit = unit_of(record.trigger_metric, record.trigger_value)
    return [
        Cell(short_id(record.correlation_id), ("cyan",)),
        Cell(local_stamp(when, now, utc=utc)),
        Cell(age(when, now).removesuffix(" ago"), ("dim",)),
        Cell(display_name(record.process_name, record.command_line), ("bold",)),
        Cell(str(record.pid) if record.pid else "–"),
        Cell(record.trigger_metric.value),
        Cell(quantity(record.trigger_value, unit)),
        Cell(evidence(record), evidence_paint(record.status)),
    ]


def evidence(record: ProfileRecord) -> str:
    """What there is to look at, or why there is nothing; `late` and `kept` where they hold."""
    if not record.pid and not record.status.has_evidence:
        return "no process"
    who = tool_name(record.profiler) or record.role
    marks = ["late"] * record.late + ["kept"] * record.pinned  # first, so that no narrow screen cuts them off
    how = [] if record.status is CaptureStatus.OK else [record.status.value]
    return printable(" ".join([*marks, who, *how]))


def tool_name(profiler: str | None) -> str | None:
    """Return a profiler's name for people; "auto" and "none" are none: no tool was ever reached."""
    return "profile" if profiler in ("auto", "none") else profiler


def evidence_paint(status: CaptureStatus) -> tuple[str, ...]:
    """Return the paint of a status: green for whole evidence, yellow for some, red for none."""
    if status is CaptureStatus.OK:
        return ("green",)
    return ("yellow",) if status.has_evidence else ("red",)
