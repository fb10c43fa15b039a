"""Columns for people: aligned by what the eye sees, never wider than the screen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from monitord.cli.terminal import Style, cut, display_width, pad

_GAP = "  "


@dataclass(frozen=True, slots=True)
class Column:
    """One column. One with a `least` width may be cut down to it when the screen is narrow."""

    title: str
    right: bool = False
    least: int | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in a column and how it is painted."""

    text: str
    paint: tuple[str, ...] = ()


def draw(
    columns: Sequence[Column],
    rows: Sequence[Sequence[Cell]],
    *,
    width: int,
    style: Style,
    header: bool = True,
) -> Iterator[str]:
    """The table's lines. Cells hold one line each, made printable already."""
    widths = fit(columns, rows, width, header=header)
    if header:
        titles = [Cell(column.title, ("dim",)) for column in columns]
        yield _line(titles, columns, widths, style)
    for row in rows:
        yield _line(row, columns, widths, style)


def fit(
    columns: Sequence[Column], rows: Sequence[Sequence[Cell]], width: int, *, header: bool = True
) -> list[int]:
    """How wide each column gets: as wide as it needs, the widest flexible ones giving way first."""
    widths = [
        max([display_width(column.title) if header else 0, *(display_width(row[i].text) for row in rows)])
        for i, column in enumerate(columns)
    ]
    excess = sum(widths) + len(_GAP) * (len(columns) - 1) - width
    while excess > 0:
        spare = [(widths[i] - (column.least or widths[i]), i) for i, column in enumerate(columns)]
        most, index = max(spare)
        if most <= 0:
            break
        widths[index] -= 1
        excess -= 1
    return widths


def _line(cells: Sequence[Cell], columns: Sequence[Column], widths: Sequence[int], style: Style) -> str:
    parts = []
    for cell, column, columns_wide in zip(cells, columns, widths, strict=True):
        shown = pad(cut(cell.text, columns_wide), columns_wide, right=column.right)
        parts.append(style.paint(shown, *cell.paint))
    return _GAP.join(parts).rstrip()
