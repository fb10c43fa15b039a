"""A profile of a script for people: its hot lines, then its functions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from monitord.cli.table import Cell, Column, draw
from monitord.cli.terminal import Style, cut_left, display_width, wrap
from monitord.export.units import quantity
from monitord.model import counted
from monitord.redaction import printable

if TYPE_CHECKING:
    from monitord.scripts.result import ProfileResult

_SHOWN = 10
_LINES = (
    Column("TIME", right=True), Column("PYTHON", right=True, gives_way=2),
    Column("NATIVE", right=True, gives_way=3), Column("SYSTEM", right=True, gives_way=4),
    Column("LINE", least=12, good=16, keeps_end=True), Column("SOURCE", least=10, good=16),
)  # fmt: skip
_MEMORY = (Column("ALLOCATED", right=True, gives_way=5), Column("PEAK", right=True, gives_way=1))
_FUNCTIONS = (
    Column("SELF", right=True), Column("TOTAL", right=True, gives_way=1),
    Column("FUNCTION", least=12, good=16), Column("LINE", least=12, good=16, keeps_end=True),
)  # fmt: skip


def render_profile(result: ProfileResult, width: int, style: Style) -> Iterator[str]:
    """Yield the lines of the page, none wider than `width`."""
    peak = f", at most {quantity(result.peak_bytes, 'bytes')}" if result.peak_bytes else ""
    script = cut_left(printable(result.script), width)
    about = (
        f"{result.duration_s:.1f} s, {counted(result.sample_count, 'sample')}"
        f", {result.cpu_percent:.0f} % of a core{peak}, Scalene {printable(result.profiler_version)}"
    )
    if display_width(script) + 2 + display_width(about) <= width:
        yield f"{style.paint(script, 'bold')}  {style.paint(about, 'dim')}"
    else:
        yield style.paint(script, "bold")
        yield from (style.paint(line, "dim") for line in wrap(about, width))
    if result.lines:
        yield ""
        yield from _lines(result, width, style)
    if result.hotspots:
        yield ""
        yield from _functions(result, width, style)


def _lines(result: ProfileResult, width: int, style: Style) -> Iterator[str]:
    has_memory = any(line.allocated_bytes or line.peak_bytes for line in result.lines)
    columns = (*_LINES[:4], *_MEMORY, *_LINES[4:]) if has_memory else _LINES
    rows = []
    for line in result.lines[:_SHOWN]:
        shares = (line.percent, line.python_percent, line.native_percent, line.system_percent)
        cells = [Cell(_percent(share), ("red",) if index == 0 else ()) for index, share in enumerate(shares)]
        if has_memory:
            sizes = (line.allocated_bytes, line.peak_bytes)
            cells += [Cell(quantity(size, "bytes") if size else "–") for size in sizes]
        cells.append(Cell(printable(f"{line.file}:{line.line}"), ("bold",)))
        rows.append([*cells, Cell(printable(line.source), ("green",))])
    yield from draw(columns, rows, width=width, style=style)


def _functions(result: ProfileResult, width: int, style: Style) -> Iterator[str]:
    rows = [
        [
            Cell(_percent(spot.self_share * 100), ("red",)),
            Cell(_percent(spot.total_share * 100)),
            Cell(printable(spot.function), ("bold",)),
            Cell(printable(f"{spot.file or spot.module or spot.kind}:{spot.line or '?'}")),
        ]
        for spot in result.hotspots[:_SHOWN]
    ]
    yield from draw(_FUNCTIONS, rows, width=width, style=style)


def _percent(share: float) -> str:
    return f"{share:.0f} %" if share >= 0.5 else "–"
