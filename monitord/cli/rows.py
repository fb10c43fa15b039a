"""Incidents as lines of a table: which one, when, who, how much, and the function that is to blame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from monitord.cli.table import Cell, Column, draw
from monitord.cli.terminal import Style
from monitord.cli.when import local_stamp
from monitord.export.units import age, quantity, unit_of
from monitord.model import UNKNOWN_CAUSE, CaptureStatus, ProfileRecord, in_words
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
_WHAT = Column("WHAT", least=10, good=22)
_WEEK = Column("WEEK", right=True, gives_way=6)


def recent_table(
    records: Sequence[ProfileRecord],
    *,
    now: datetime,
    utc: bool,
    width: int,
    style: Style,
    header: bool,
) -> Iterator[str]:
    """Yield the lines of `recent`; no column says what it was where that is known of no record, nor how often
    it came this week where each came once.
    """
    known = [_what(record) for record in records]
    rows = [_cells(record, now, utc) for record in records]
    columns: tuple[Column, ...] = _COLUMNS
    again = [_again(record) for record in records]
    if any(again):
        columns = (*columns, _WEEK)
        rows = [[*row, Cell(times, ("yellow",))] for row, times in zip(rows, again, strict=True)]
    if any(known):
        columns = (*columns, _WHAT)
        rows = [[*row, Cell(what, ("bold",))] for row, what in zip(rows, known, strict=True)]
    yield from draw(columns, rows, width=width, style=style, header=header)


def _again(record: ProfileRecord) -> str:
    """ "3×" where it came for the third time this week, "≥100×" where it came at least so often."""
    times = record.times_this_week_at_least or 1
    more = "≥" if record.times_this_week is None else ""
    return f"{more}{times:,}×" if times > 1 else ""


def _what(record: ProfileRecord) -> str:
    """The hottest function, then the cause: the first stays where the screen is narrow."""
    cause = record.cause if record.cause != UNKNOWN_CAUSE else None
    return ", ".join(printable(text) for text in (record.hottest_function, cause) if text)


def _cells(record: ProfileRecord, now: datetime, utc: bool) -> list[Cell]:
    when = record.raised_at or record.captured_at  # as `show` tells it
    unit = unit_of(record.trigger_metric, record.trigger_value)
    return [
        Cell(short_id(record.correlation_id), ("cyan",)),
        Cell(local_stamp(when, now, utc=utc)),
        Cell(age(when, now).removesuffix(" ago"), ("dim",)),
        Cell(display_name(record.process_name, record.command_line), ("bold",)),
        Cell(str(record.pid) if record.pid else "–"),
        Cell(in_words(record.trigger_metric)),
        Cell(quantity(record.trigger_value, unit)),
        Cell(evidence(record), evidence_paint(record.status)),
    ]


def evidence(record: ProfileRecord) -> str:
    """What there is to look at, or why there is nothing; `late` and `kept` where they hold."""
    if not record.pid and not record.status.has_evidence:
        return "no process"
    who = tool_name(record.profiler) or record.role
    marks = ["late"] * record.late + ["kept"] * record.pinned  # first, so that no narrow screen cuts them off
    how = [] if record.status is CaptureStatus.OK else [in_words(record.status)]
    return printable(" ".join([*marks, who, *how]))


def tool_name(profiler: str | None) -> str | None:
    """Return a profiler's name for people; "auto" and "none" are none: no tool was ever reached."""
    return "profile" if profiler in ("auto", "none") else profiler


def evidence_paint(status: CaptureStatus) -> tuple[str, ...]:
    """Return the paint of a status: green for whole evidence, yellow for some, red for none."""
    if status is CaptureStatus.OK:
        return ("green",)
    return ("yellow",) if status.has_evidence else ("red",)
