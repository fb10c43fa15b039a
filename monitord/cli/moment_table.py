"""Moments as lines of a table: one a step, and what is unknown in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from monitord.actions.moments import Leader, Moment
from monitord.cli.table import Cell, Column, draw
from monitord.cli.terminal import Style
from monitord.cli.when import local_stamp
from monitord.export.units import quantity

_COLUMNS = (
    Column("TIME", whole=True),
    Column("CPU", right=True),
    Column("MEMORY", right=True, gives_way=3),
    Column("LOAD", right=True, gives_way=6),
    Column("DISK", right=True, gives_way=5),
    Column("NET", right=True, gives_way=5),
    Column("LED BY", least=8, good=20),
    Column("HOTTEST FUNCTION", least=8, good=16, gives_way=2),
    Column("INCIDENTS", least=6, good=12, gives_way=1),
)


def moment_table(moments: Sequence[Moment], columns: int, style: Style, *, utc: bool) -> Iterator[str]:
    """Yield the table's lines."""
    if not moments:
        return iter(())
    latest = moments[-1].at
    stamps = [local_stamp(moment.at, latest, utc=utc) for moment in moments]
    rows = [[Cell(stamp), *(_cells(moment))] for stamp, moment in zip(stamps, moments, strict=True)]
    return draw(_COLUMNS, rows, width=columns, style=style)


def _cells(moment: Moment) -> list[Cell]:
    incidents = Cell(" ".join(one.id for one in moment.incidents), ("red",))
    totals, first = moment.totals, moment.leaders[0] if moment.leaders else None
    if totals is None:
        return [Cell("?"), *[Cell("")] * 4, _led_by(moment, first), _function(first), incidents]
    percent = totals.machine_percent
    return [
        Cell(
            "?" if percent is None else quantity(percent, "percent"), ("red",) if (percent or 0) >= 90 else ()
        ),
        Cell(quantity(totals.memory_used_bytes, "bytes")),
        Cell(f"{totals.load_1:.1f}"),
        *(
            Cell("" if rate is None else quantity(rate, "bytes_per_s"))
            for rate in (totals.disk_bytes_per_s, totals.network_bytes_per_s)
        ),
        _led_by(moment, first),
        _function(first),
        incidents,
    ]


def _led_by(moment: Moment, first: Leader | None) -> Cell:
    """Who led; of a step of which a part is unknown that is said here, where there is room."""
    used = "" if first is None or first.cpu_percent is None else f" {first.cpu_percent:.0f} %"
    name = f"{first.name}{used}" if first else ""
    if moment.unknown is None:
        return Cell(name, ("bold",))
    if not name:
        return Cell(f"unknown: {moment.unknown.reason}", ("yellow",))
    what = "part" if moment.totals is not None else "all else"
    return Cell(f"{name} ({what} unknown: {moment.unknown.reason})", ("yellow",))


def _function(first: Leader | None) -> Cell:
    return Cell(first.function or "" if first else "")
